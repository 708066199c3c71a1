//! The model servers that Bedrock calls go to: the declared ones, the one of `--upstream`, or the embedded responder.

use bedrock::settings::{ModelSettings, UpstreamSettings};
use outbound::{AddressRule, AllowEntry};

use crate::config::Config;

/// What the settings declare.
pub fn models(config: &Config) -> ModelSettings {
    let mut models = config.models.clone();
    models.allow_internal.clone_from(&config.allow_internal);
    models.data_subject_key.clone_from(&config.data_subject_key);
    models.upstreams.extend(config.upstream.as_deref().map(UpstreamSettings::at));
    models
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
