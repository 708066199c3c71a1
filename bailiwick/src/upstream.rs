//! The model servers that Bedrock calls go to: the declared ones, the one of `--upstream`, or the embedded responder.

use bedrock::settings::{ModelSettings, UpstreamSettings};

use crate::config::Config;

/// What the settings declare.
pub fn models(config: &Config) -> ModelSettings {
    let mut models = config.models.clone();
    models.allow_internal.clone_from(&config.allow_internal);
    models.upstreams.extend(config.upstream.as_deref().map(UpstreamSettings::at));
    models
}
