//! `bailiwick credentials`: credentials in the forms that other programs read.

use serde_json::json;

use super::credentials_agent::Agent;
use super::running::CredentialsSource;
use super::{Failure, output};

/// Print credentials for other programs, or serve a role's.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Credentials {
    #[command(subcommand)]
    service: Option<Service>,
    #[command(flatten)]
    source: CredentialsSource,
    /// `env` for a shell, `process` for `credential_process` of an AWS profile, `json`.
    #[arg(value_enum, required = true)]
    form: Option<Form>,
}

#[derive(clap::Subcommand)]
enum Service {
    /// Serve role credentials at a loopback endpoint, as a container's endpoint does.
    Agent(Box<Agent>),
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Form {
    Env,
    Process,
    Json,
}

impl Credentials {
    pub async fn run(self) -> Result<(), Failure> {
        if let Some(Service::Agent(agent)) = self.service {
            return agent.run().await;
        }
        let credentials = self.source.read()?;
        let secret = credentials.secret_access_key.as_str();
        match self.form.unwrap_or(Form::Json) {
            Form::Env => {
                output::line(&format!("export AWS_ACCESS_KEY_ID={}", credentials.access_key_id))?;
                output::line(&format!("export AWS_SECRET_ACCESS_KEY={secret}"))?;
                credentials.session_token.iter().try_for_each(|token| output::line(&format!("export AWS_SESSION_TOKEN={token}")))
            }
            Form::Process | Form::Json => {
                let mut document = json!({ "AccessKeyId": credentials.access_key_id, "SecretAccessKey": secret });
                if let Some(members) = document.as_object_mut() {
                    if matches!(self.form, Some(Form::Process)) {
                        members.insert("Version".to_owned(), json!(1));
                    }
                    if let Some(token) = credentials.session_token {
                        members.insert("SessionToken".to_owned(), json!(token));
                    }
                }
                output::document(output::Format::Json, &document)
            }
        }
    }
}
