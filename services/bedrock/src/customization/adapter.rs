//! LoRA adapters: which upstream can load one that lies in S3, and from where.
//!
//! Source: vLLM documentation, "Dynamically serving LoRA adapters"; PEFT's `adapter_config.json`.

use std::sync::Arc;

use plane::{ApiError, Call};
use serde::Deserialize;

use crate::refusal::Refusal;
use crate::runtime::State;
use crate::s3_data::{Folder, Role};
use crate::upstream::server::Server;

/// The file that says what an adapter is for.
const CONFIGURATION: &str = "adapter_config.json";

#[derive(Deserialize)]
struct AdapterConfiguration {
    base_model_name_or_path: String,
    peft_type: Option<String>,
}

/// An adapter that an upstream can load.
pub(crate) struct Adapter {
    pub(crate) server: Arc<Server>,
    pub(crate) base_model: String,
    /// Where the upstream sees it.
    path: String,
}

impl Adapter {
    /// The adapter at a place that the role may read. With a key's ARN, it must be encrypted under that key.
    pub(crate) async fn at(state: &State, role: &Role, s3_uri: &str, kms_key_arn: Option<&str>) -> Result<Self, ApiError> {
        let configuration = role.read(&Folder::parse(s3_uri)?, CONFIGURATION, kms_key_arn).await?;
        let unreadable =
            |_| Refusal::invalid(format!("`{CONFIGURATION}` of the model cannot be read: only LoRA adapters can be imported."));
        let configuration: AdapterConfiguration = serde_json::from_slice(&configuration).map_err(unreadable)?;
        if configuration.peft_type.as_deref() != Some("LORA") {
            return Err(Refusal::invalid("Only adapters of the type LORA can be imported.").into());
        }
        Ok(Self::of(state, configuration.base_model_name_or_path, s3_uri)?)
    }

    /// The adapter at a place, for a known base model.
    pub(crate) fn of(state: &State, base_model: String, s3_uri: &str) -> Result<Self, Refusal> {
        let no_server = || Refusal::invalid(format!("No upstream serves the base model `{base_model}` and loads adapters."));
        let server = state.gateway.adapter_server(&base_model).ok_or_else(no_server)?;
        let seen = server.settings.loads_adapters.as_ref().and_then(|seen| {
            let rest = s3_uri.strip_prefix(&seen.s3)?;
            // Nothing above the folder that the owner has declared.
            let is_below = rest.split('/').all(|step| step != "..");
            is_below.then(|| format!("{}/{}", seen.path.trim_end_matches('/'), rest.trim_start_matches('/')))
        });
        let unseen = || Refusal::invalid("The upstream that serves the base model does not see the S3 location of the model.");
        let path = seen.ok_or_else(unseen)?;
        Ok(Self { server, base_model, path })
    }

    /// Makes the upstream load it under a name.
    pub(crate) async fn load(&self, cx: &Call, name: &str) -> Result<(), ApiError> {
        self.server.adapter(cx.plane.as_ref(), name, Some(&self.path)).await.map_err(|failure| failure.error)
    }
}
