//! `bailiwick credentials`: credentials in the forms that other programs read.

use serde_json::json;

use super::running::CredentialsSource;
use super::{Failure, output};

/// Print credentials for other programs.
#[derive(clap::Args)]
pub struct Credentials {
    #[command(flatten)]
    source: CredentialsSource,
    /// `env` for a shell, `process` for `credential_process` of an AWS profile, `json`.
    #[arg(value_enum)]
    form: Form,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Form {
    Env,
    Process,
    Json,
}

impl Credentials {
    pub fn run(self) -> Result<(), Failure> {
        let credentials = self.source.read()?;
        let secret = credentials.secret_access_key.as_str();
        match self.form {
            Form::Env => {
                output::line(&format!("export AWS_ACCESS_KEY_ID={}", credentials.access_key_id))?;
                output::line(&format!("export AWS_SECRET_ACCESS_KEY={secret}"))?;
                credentials.session_token.iter().try_for_each(|token| output::line(&format!("export AWS_SESSION_TOKEN={token}")))
            }
            Form::Process | Form::Json => {
                let mut document = json!({ "AccessKeyId": credentials.access_key_id, "SecretAccessKey": secret });
                if let Some(members) = document.as_object_mut() {
                    if matches!(self.form, Form::Process) {
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
