//! `bailiwick env`: the variables that point AWS clients at the running server.

use super::running::{CredentialsSource, Running};
use super::{Failure, Settings, output};

/// Print the environment that points AWS clients at the running server.
#[derive(clap::Args)]
pub struct Env {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    credentials: CredentialsSource,
}

impl Env {
    pub fn run(self) -> Result<(), Failure> {
        let config = self.settings.resolve()?;
        let running = Running::read(&config.data_dir)?;
        let endpoint = running.endpoint().to_owned();
        let mut variables = vec![
            ("AWS_ENDPOINT_URL", endpoint.clone()),
            ("AWS_DEFAULT_REGION", running.region.clone()),
            ("AWS_REGION", running.region.clone()),
        ];
        if endpoint.starts_with("https://") {
            variables.push(("AWS_CA_BUNDLE", running.authority.display().to_string()));
        }
        // Credentials that the environment already has need not be said again.
        if self.credentials.credentials.is_some() {
            let credentials = self.credentials.read()?;
            variables.push(("AWS_ACCESS_KEY_ID", credentials.access_key_id));
            variables.push(("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key.to_string()));
            if let Some(token) = credentials.session_token {
                variables.push(("AWS_SESSION_TOKEN", token));
            }
        }
        for (name, value) in variables {
            output::line(&format!("export {name}={}", quoted(&value)))?;
        }
        Ok(())
    }
}

/// Quoted for a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_quote_cannot_end_the_string() {
        assert_eq!(super::quoted("a'b; rm"), r"'a'\''b; rm'");
    }
}
