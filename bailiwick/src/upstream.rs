//! The model server that Bedrock calls go to: the configured one, or the embedded responder.

use bedrock::Upstream;
use outbound::{AddressRule, AllowEntry};

use crate::config::Config;

/// The upstream of the settings.
pub fn upstream(config: &Config) -> Upstream {
    match &config.upstream {
        Some(url) => Upstream::OpenAiCompatible { base_url: url.clone(), allow_internal: config.allow_internal.clone() },
        None => Upstream::Embedded,
    }
}

/// What calls to other servers may reach beyond public addresses.
pub fn reachable(config: &Config) -> AddressRule {
    let entries = config.allow_internal.iter().filter_map(|name| match name.parse::<AllowEntry>() {
        Ok(entry) => Some(entry),
        Err(error) => {
            // Left out, so that less is reached and not more.
            tracing::error!(%error, "an entry of the list of allowed internal hosts is not used");
            None
        }
    });
    AddressRule::new(entries.collect())
}
