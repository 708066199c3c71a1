//! `bailiwick upstream`: secrets of model servers. They are read from standard input, so that they stand in no history and no process list.

use std::io::Read as _;

use clap::Subcommand;
use wire::{Struct, Value};

use super::running::{CredentialsSource, Running};
use super::{Failure, Settings, output};

/// Secrets of model servers.
#[derive(Subcommand)]
pub enum Upstream {
    /// Keep a secret under a name that `secret` of an upstream refers to; it is read from standard input.
    SetSecret {
        name: String,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        credentials: CredentialsSource,
    },
    /// Forget a secret.
    DeleteSecret {
        name: String,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        credentials: CredentialsSource,
    },
    /// Names of all secrets.
    Secrets {
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        credentials: CredentialsSource,
    },
}

impl Upstream {
    pub async fn run(self) -> Result<(), Failure> {
        let mut input = Struct::new();
        match self {
            Self::SetSecret { name, settings, credentials } => {
                let mut secret = zeroize::Zeroizing::new(String::new());
                std::io::stdin().lock().take(8192).read_to_string(&mut secret)?;
                input.set("Name", Value::Str(name.clone()));
                input.set("Value", Value::Str(secret.trim_end_matches(['\r', '\n']).to_owned()));
                call(&settings, &credentials, "PutUpstreamSecret", input).await?;
                output::line(&format!("the secret `{name}` is kept"))
            }
            Self::DeleteSecret { name, settings, credentials } => {
                input.set("Name", Value::Str(name.clone()));
                call(&settings, &credentials, "DeleteUpstreamSecret", input).await?;
                output::line(&format!("the secret `{name}` is forgotten"))
            }
            Self::Secrets { settings, credentials } => {
                let answer = call(&settings, &credentials, "ListUpstreamSecrets", input).await?;
                let Some(Value::Document(names)) = answer.member("Names") else { return Ok(()) };
                for name in names.as_array().into_iter().flatten().filter_map(|name| name.as_str()) {
                    output::line(name)?;
                }
                Ok(())
            }
        }
    }
}

/// Calls an operation of our own with the credentials of the command line.
pub async fn call(settings: &Settings, credentials: &CredentialsSource, operation: &str, input: Struct) -> Result<Value, Failure> {
    let client = Running::read(&settings.resolve()?.data_dir)?.client()?;
    Ok(client.call_named(&credentials.read()?, "bailiwick", operation, &Value::Struct(input)).await?)
}
