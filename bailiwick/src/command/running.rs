//! How commands find the running server and the credentials to call it with.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Failure;
use crate::client::{Client, Credentials};

/// Name of the file in the data folder that tells where the server listens.
const FILE: &str = "server.json";
/// The same while it is written.
const UNFINISHED: &str = "server.json.new";

/// Where a server listens; written at start, removed at exit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Running {
    pub endpoints: Vec<String>,
    pub region: String,
    pub account_id: String,
    /// File of the certificate authority.
    pub authority: PathBuf,
    pub process_id: u32,
}

impl Running {
    /// Whoever sees the file sees all of it.
    pub fn write(&self, data_dir: &Path) -> std::io::Result<()> {
        let unfinished = data_dir.join(UNFINISHED);
        std::fs::write(&unfinished, serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(unfinished, data_dir.join(FILE))
    }

    pub fn remove(data_dir: &Path) {
        // A file that is gone already is what we want.
        let _ = std::fs::remove_file(data_dir.join(FILE));
    }

    pub fn read(data_dir: &Path) -> Result<Self, Failure> {
        let path = data_dir.join(FILE);
        let text = std::fs::read(&path).map_err(|_| {
            Failure::general(format!("no server runs on `{}`", data_dir.display()))
                .with_code(4)
                .with_hint("start one with `bailiwick up`, or name its folder with `--data-dir`")
        })?;
        serde_json::from_slice(&text).map_err(|error| Failure::general(format!("`{}` cannot be read: {error}", path.display())))
    }

    /// The endpoint that clients are told: TLS before plain HTTP.
    pub fn endpoint(&self) -> &str {
        self.endpoints
            .iter()
            .find(|endpoint| endpoint.starts_with("https://"))
            .or_else(|| self.endpoints.first())
            .map_or("", String::as_str)
    }

    pub fn client(&self) -> Result<Client, Failure> {
        let pem = std::fs::read_to_string(&self.authority).ok();
        Ok(Client::new(self.endpoint(), &self.region, pem.as_deref())?)
    }
}

/// Which credentials a command uses.
#[derive(clap::Args, Clone, Debug)]
pub struct CredentialsSource {
    /// File in AWS shared-credentials format (as `up --credentials-out` writes it); without it the `AWS_*` variables count.
    #[arg(long, value_name = "FILE", env = "BAILIWICK_CREDENTIALS")]
    pub credentials: Option<PathBuf>,
    /// Profile in that file.
    #[arg(long, default_value = "default")]
    pub profile: String,
}

impl CredentialsSource {
    pub fn read(&self) -> Result<Credentials, Failure> {
        let Some(path) = &self.credentials else { return environment() };
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::general(format!("the credentials file `{}` cannot be read: {error}", path.display())))?;
        profile(&text, &self.profile)
            .ok_or_else(|| Failure::general(format!("the profile `{}` is not in `{}`", self.profile, path.display())))
    }
}

fn environment() -> Result<Credentials, Failure> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    match (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
        (Some(access_key_id), Some(secret)) => {
            Ok(Credentials { access_key_id, secret_access_key: Zeroizing::new(secret), session_token: variable("AWS_SESSION_TOKEN") })
        }
        _ => Err(Failure::general("there are no credentials").with_hint(
            "give `--credentials FILE` (see `bailiwick up --credentials-out`) or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )),
    }
}

fn profile(text: &str, name: &str) -> Option<Credentials> {
    let header = format!("[{name}]");
    let section = text.lines().map(str::trim).skip_while(|line| *line != header).skip(1).take_while(|line| !line.starts_with('['));
    let values: std::collections::HashMap<&str, &str> =
        section.filter_map(|line| line.split_once('=')).map(|(key, value)| (key.trim(), value.trim())).collect();
    Some(Credentials {
        access_key_id: (*values.get("aws_access_key_id")?).to_owned(),
        secret_access_key: Zeroizing::new((*values.get("aws_secret_access_key")?).to_owned()),
        session_token: values.get("aws_session_token").map(|token| (*token).to_owned()),
    })
}

/// Writes a shared-credentials file that only its owner can read.
pub fn write_credentials(path: &Path, credentials: &Credentials) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    writeln!(
        file,
        "[default]\naws_access_key_id = {}\naws_secret_access_key = {}",
        credentials.access_key_id,
        credentials.secret_access_key.as_str()
    )?;
    if let Some(token) = &credentials.session_token {
        writeln!(file, "aws_session_token = {token}")?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_of_a_credentials_file() {
        let text = "[other]\naws_access_key_id = A\n[default]\naws_access_key_id = AKIA1\naws_secret_access_key=s=1\n";
        let credentials = profile(text, "default").unwrap();
        assert_eq!((credentials.access_key_id.as_str(), credentials.secret_access_key.as_str()), ("AKIA1", "s=1"));
        assert!(profile(text, "other").is_none());
        assert!(profile(text, "none").is_none());
    }
}
