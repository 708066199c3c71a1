//! The model server that Bedrock calls go to: the configured one, or the embedded responder.

use bedrock::Upstream;

use crate::config::Config;

/// The upstream of the settings.
pub fn upstream(config: &Config) -> Upstream {
    match &config.upstream {
        Some(url) => Upstream::OpenAiCompatible { base_url: url.clone(), allow_internal: config.allow_internal.clone() },
        None => Upstream::Embedded,
    }
}
