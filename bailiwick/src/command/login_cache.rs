//! What AWS SDKs read of a sign-in: a profile that names the session, and the session's tokens in a cache.
//!
//! Source: AWS SDKs and Tools Reference Guide, "Login credentials provider": `login_session`, `~/.aws/login/cache` and the variable
//! `AWS_LOGIN_CACHE_DIRECTORY`; a cache file is called after the SHA-256 of the session's name.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value as Json, json};
use zeroize::Zeroizing;

use super::Failure;

/// Largest configuration file that is changed.
const CONFIG_BYTES_MAX: u64 = 1024 * 1024;

/// A sign-in, with what its program needs to go on.
pub struct Login {
    /// The answer of `CreateOAuth2Token`.
    pub tokens: Json,
    pub client_id: String,
    pub key_pem: Zeroizing<String>,
    pub endpoint: String,
    pub region: String,
    pub authority: Option<PathBuf>,
}

/// A name that can stand in the configuration file.
pub fn check_profile_name(name: &str) -> Result<(), Failure> {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "_-.@+".contains(character);
    if !name.is_empty() && name.chars().all(is_plain) {
        return Ok(());
    }
    Err(Failure::general(format!("`{name}` cannot be the name of a profile")).with_code(2))
}

/// Writes the tokens, then the profile; gives the session's name, which is the user's ARN.
pub fn write(profile: &str, login: &Login) -> Result<String, Failure> {
    let (session, document) = document(login, jiff::Timestamp::now())?;
    let folder = cache_folder()?;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let file = folder.join(format!("{}.json", sigv4::sha256_hex(session.as_bytes())));
    replace(&file, Zeroizing::new(document.to_string()).as_bytes())?;
    write_profile(profile, &session, login)?;
    Ok(session)
}

/// The cache's document, and the session that it is of.
fn document(login: &Login, now: jiff::Timestamp) -> Result<(String, Json), Failure> {
    let unreadable = || Failure::general("the answer of the server has not the form of tokens");
    let id_token = login.tokens.get("idToken").and_then(Json::as_str).ok_or_else(unreadable)?;
    let session = subject(id_token).ok_or_else(unreadable)?;
    let account = session.split(':').nth(4).filter(|account| !account.is_empty()).ok_or_else(unreadable)?.to_owned();
    let lasts_s =
        login.tokens.get("expiresIn").and_then(Json::as_i64).filter(|lasts_s| (1..=3600).contains(lasts_s)).ok_or_else(unreadable)?;
    let expires =
        jiff::Timestamp::from_second(now.as_second().saturating_add(lasts_s)).map_err(|error| Failure::general(error.to_string()))?;
    let mut access = login.tokens.get("accessToken").and_then(Json::as_object).cloned().ok_or_else(unreadable)?;
    access.insert("accountId".to_owned(), json!(account));
    access.insert("expiresAt".to_owned(), json!(expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()));
    let document = json!({
        "accessToken": access,
        "tokenType": login.tokens.get("tokenType"),
        "clientId": login.client_id,
        "refreshToken": login.tokens.get("refreshToken"),
        "idToken": id_token,
        "dpopKey": login.key_pem.as_str(),
        "signInRegion": login.region,
    });
    Ok((session, document))
}

/// `sub` of a token. It came over the connection that we trust, from whoever issued it.
fn subject(token: &str) -> Option<String> {
    let claims: Json = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?).ok()?;
    let subject = claims.get("sub")?.as_str()?;
    subject.chars().all(|character| character.is_ascii_graphic()).then(|| subject.to_owned())
}

fn home() -> Result<PathBuf, Failure> {
    std::env::home_dir().ok_or_else(|| Failure::general("there is no home folder"))
}

fn from_variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn cache_folder() -> Result<PathBuf, Failure> {
    match from_variable("AWS_LOGIN_CACHE_DIRECTORY") {
        Some(folder) => Ok(folder),
        None => Ok(home()?.join(".aws/login/cache")),
    }
}

fn write_profile(profile: &str, session: &str, login: &Login) -> Result<(), Failure> {
    let path = match from_variable("AWS_CONFIG_FILE") {
        Some(path) => path,
        None => home()?.join(".aws/config"),
    };
    let before = match std::fs::metadata(&path) {
        Ok(found) if found.len() > CONFIG_BYTES_MAX => {
            return Err(Failure::general(format!("`{}` is too large to be a configuration file", path.display())));
        }
        Ok(_) => std::fs::read_to_string(&path)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error.into()),
    };
    let mut settings =
        vec![("login_session", session.to_owned()), ("region", login.region.clone()), ("endpoint_url", login.endpoint.clone())];
    if let Some(authority) = &login.authority {
        settings.push(("ca_bundle", authority.display().to_string()));
    }
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    replace(&path, with_profile(&before, profile, &settings).as_bytes())
}

/// The configuration with these settings in the profile; all else stays as it was.
fn with_profile(before: &str, profile: &str, settings: &[(&str, String)]) -> String {
    let header = if profile == "default" { "[default]".to_owned() } else { format!("[profile {profile}]") };
    let mut lines: Vec<String> = Vec::new();
    let (mut inside, mut found) = (false, false);
    for line in before.lines() {
        if line.trim_start().starts_with('[') {
            inside = line.trim() == header;
            lines.push(line.to_owned());
            if inside && !found {
                found = true;
                lines.extend(settings.iter().map(|(name, value)| format!("{name} = {value}")));
            }
            continue;
        }
        let name = line.split_once('=').map(|(name, _)| name.trim());
        if !(inside && name.is_some_and(|name| settings.iter().any(|(known, _)| *known == name))) {
            lines.push(line.to_owned());
        }
    }
    if !found {
        if lines.last().is_some_and(|line| !line.trim().is_empty()) {
            lines.push(String::new());
        }
        lines.push(header);
        lines.extend(settings.iter().map(|(name, value)| format!("{name} = {value}")));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// Whoever reads the file sees the old one or the new one, and nobody but its owner sees either.
fn replace(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let unfinished = path.with_file_name(name);
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    Ok(std::fs::rename(&unfinished, path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_profiles_and_settings_stay() {
        let before = "[default]\nregion = eu-west-1\n\n# mine\n[profile work]\nlogin_session = old\noutput = json\n[profile other]\nlogin_session = x\n";
        let after = with_profile(before, "work", &[("login_session", "new".to_owned()), ("region", "us-east-1".to_owned())]);
        assert_eq!(
            after,
            "[default]\nregion = eu-west-1\n\n# mine\n[profile work]\nlogin_session = new\nregion = us-east-1\noutput = json\n[profile other]\nlogin_session = x\n"
        );
        assert_eq!(with_profile("", "a", &[("region", "x".to_owned())]), "[profile a]\nregion = x\n");
        assert_eq!(with_profile("[x]", "default", &[("region", "y".to_owned())]), "[x]\n\n[default]\nregion = y\n");
    }

    #[test]
    fn a_name_cannot_begin_another_section() {
        for name in ["", "a]", "a b", "a\n[default]"] {
            assert!(check_profile_name(name).is_err(), "{name}");
        }
        check_profile_name("team.dev_1").unwrap();
    }

    #[test]
    fn the_cache_has_what_sdks_require() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"sub":"arn:aws:iam::111111111111:user/ana"}"#);
        let login = Login {
            tokens: json!({
                "accessToken": { "accessKeyId": "ASIA", "secretAccessKey": "s", "sessionToken": "t" },
                "expiresIn": 900, "idToken": format!("x.{claims}.y"), "refreshToken": "ASOR", "tokenType": "aws_sigv4",
            }),
            client_id: "client".to_owned(),
            key_pem: Zeroizing::new("key".to_owned()),
            endpoint: "https://127.0.0.1:1".to_owned(),
            region: "us-east-1".to_owned(),
            authority: None,
        };
        let (session, document) = document(&login, jiff::Timestamp::from_second(0).unwrap()).unwrap();
        assert_eq!(session, "arn:aws:iam::111111111111:user/ana");
        assert_eq!(document["accessToken"]["accountId"], "111111111111");
        assert_eq!(document["accessToken"]["expiresAt"], "1970-01-01T00:15:00Z");
        for member in ["accessToken", "refreshToken", "dpopKey", "clientId"] {
            assert!(!document[member].is_null(), "{member}");
        }
        assert!(super::document(&Login { tokens: json!({}), ..login }, jiff::Timestamp::UNIX_EPOCH).is_err());
    }
}
