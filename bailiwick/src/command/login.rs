//! `bailiwick login`: sign-in with a password, from a terminal, for programs that use an AWS SDK.
//!
//! It does what `aws login` does with a browser: it sends the sign-in page's form, exchanges the code, and leaves a profile whose credentials the
//! SDKs fetch and refresh by themselves. The password is read without echo and kept nowhere.
//!
//! Source: AWS CLI User Guide, "Login for AWS local development using console credentials"; RFC 7636 and 9449.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value as Json, json};
use zeroize::Zeroizing;

use super::login_cache::{self, Login};
use super::running::Running;
use super::{Failure, Settings, output};
use crate::client::{Answer, Client};

const CLIENT_ID: &str = "arn:aws:signin:::devtools/same-device";
/// Where the code would be sent; the redirect is read here and not followed, so nobody needs to listen.
const REDIRECT_URI: &str = "http://127.0.0.1:1/oauth/callback";
const AUTHORIZE: &str = "/v1/authorize";
const TOKEN: &str = "/v1/token";
/// Bytes of a line that is typed.
const LINE_BYTES_MAX: u64 = 1024;

/// Sign in with a user's password, and give AWS SDKs a profile whose credentials they refresh by themselves, for twelve hours.
#[derive(clap::Args)]
pub struct LoginCommand {
    /// Name of the user.
    #[arg(long, value_name = "NAME")]
    user: String,
    /// Account id or alias; the running server's account unless given.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// Profile of the AWS configuration file that is written.
    #[arg(long, value_name = "NAME", default_value = "bailiwick")]
    profile: String,
    /// Where the server is; the one that runs on the data folder unless given.
    #[arg(long, value_name = "URL", env = "BAILIWICK_ENDPOINT", requires = "account")]
    endpoint: Option<String>,
    /// Certificate authority of that server.
    #[arg(long, value_name = "FILE", requires = "endpoint")]
    ca_bundle: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

/// Where to sign in.
struct Place {
    client: Client,
    endpoint: String,
    region: String,
    authority: Option<PathBuf>,
}

/// What is typed.
struct Typed {
    password: Zeroizing<String>,
    mfa_code: String,
    new_password: Option<Zeroizing<String>>,
}

impl LoginCommand {
    fn place(&self) -> Result<(Place, String), Failure> {
        if let (Some(endpoint), Some(account)) = (&self.endpoint, &self.account) {
            let pem = self.ca_bundle.as_ref().map(std::fs::read_to_string).transpose()?;
            let region = self.settings.regions.first().cloned().unwrap_or_else(|| "us-east-1".to_owned());
            let endpoint = endpoint.trim_end_matches('/').to_owned();
            let client = Client::new(&endpoint, &region, pem.as_deref())?;
            return Ok((Place { client, endpoint, region, authority: self.ca_bundle.clone() }, account.clone()));
        }
        let running = Running::read(&self.settings.resolve()?.data_dir)?;
        let region = self.settings.regions.first().unwrap_or(&running.region).clone();
        let (client, endpoint) = (running.client()?, running.endpoint().trim_end_matches('/').to_owned());
        let authority = endpoint.starts_with("https://").then(|| running.authority.clone());
        Ok((Place { client, endpoint, region, authority }, self.account.clone().unwrap_or(running.account_id)))
    }

    pub async fn run(self) -> Result<(), Failure> {
        login_cache::check_profile_name(&self.profile)?;
        let (place, account) = self.place()?;
        let mut typed = Typed { password: prompt("Password", Echo::Off)?, mfa_code: String::new(), new_password: None };
        prompt("MFA code (empty without a device)", Echo::On)?.trim().clone_into(&mut typed.mfa_code);
        let (verifier, state) = (random_text()?, random_text()?);
        let code = self.sign_in(&place, &account, &mut typed, &verifier, &state).await?;
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|error| Failure::general(error.to_string()))?;
        let tokens = redeem(&place, &key, &code, &verifier).await?;
        let login = Login {
            tokens,
            client_id: CLIENT_ID.to_owned(),
            key_pem: pem(&key)?,
            endpoint: place.endpoint,
            region: place.region,
            authority: place.authority,
        };
        let session = login_cache::write(&self.profile, &login)?;
        output::line(&format!("signed in as {session}; use it with `--profile {}` or AWS_PROFILE={}", self.profile, self.profile))
    }

    /// Sends the form, again with a new password when one is due; gives the code.
    async fn sign_in(
        &self,
        place: &Place,
        account: &str,
        typed: &mut Typed,
        verifier: &str,
        state: &str,
    ) -> Result<Zeroizing<String>, Failure> {
        let mut answer = self.submit(place, account, typed, verifier, state).await?;
        if answer.status == StatusCode::FORBIDDEN.as_u16() && page(&answer).contains("name=\"new_password\"") {
            tell(&message(&answer));
            let (new, again) = (prompt("New password", Echo::Off)?, prompt("New password, again", Echo::Off)?);
            if new != again {
                return Err(Failure::general("the two new passwords differ"));
            }
            if !typed.mfa_code.is_empty() {
                prompt("Next MFA code", Echo::On)?.trim().clone_into(&mut typed.mfa_code);
            }
            typed.new_password = Some(new);
            answer = self.submit(place, account, typed, verifier, state).await?;
        }
        code_of(&answer, state)
    }

    async fn submit(&self, place: &Place, account: &str, typed: &Typed, verifier: &str, state: &str) -> Result<Answer, Failure> {
        let challenge = URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes()));
        let fields = [
            ("response_type", "code"),
            ("client_id", CLIENT_ID),
            ("redirect_uri", REDIRECT_URI),
            ("scope", "openid"),
            ("state", state),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("account", account),
            ("username", &self.user),
            ("password", &typed.password),
            ("mfa_code", &typed.mfa_code),
            ("new_password", typed.new_password.as_deref().map_or("", String::as_str)),
        ];
        let form: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", wire::percent_encoded(value))).collect();
        send(place, AUTHORIZE, "application/x-www-form-urlencoded", form.join("&"), None).await
    }
}

async fn send(place: &Place, path: &str, kind: &str, body: String, proof: Option<&str>) -> Result<Answer, Failure> {
    let body = Bytes::from(body);
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header("host", &place.client.authority)
        .header("content-type", kind)
        .header("content-length", body.len())
        .header("user-agent", concat!("bailiwick/", env!("CARGO_PKG_VERSION")));
    if let Some(proof) = proof {
        request = request.header("dpop", proof);
    }
    let request = request.body(Full::new(body)).map_err(|error| Failure::general(error.to_string()))?;
    Ok(place.client.send(request).await?)
}

/// The code in the redirect that answers a form.
fn code_of(answer: &Answer, state: &str) -> Result<Zeroizing<String>, Failure> {
    let location = answer.headers.get("location").and_then(|value| value.to_str().ok());
    let Some(query) = location.filter(|_| answer.status == StatusCode::SEE_OTHER.as_u16()).and_then(|place| place.split_once('?')) else {
        return Err(Failure::general(message(answer)).with_code(5));
    };
    let value = |name: &str| plane::identify::form_value(query.1.as_bytes(), name);
    if value("state").as_deref() != Some(state) {
        return Err(Failure::general("the answer is not to this sign-in"));
    }
    value("code").map(Zeroizing::new).ok_or_else(|| {
        Failure::general("the user may not sign in for local development").with_code(5).with_hint(
            "it needs the actions signin:AuthorizeOAuth2Access and signin:CreateOAuth2Token: policy SignInLocalDevelopmentAccess",
        )
    })
}

/// Exchanges the code for tokens that only this key can use.
async fn redeem(place: &Place, key: &EcdsaKeyPair, code: &str, verifier: &str) -> Result<Json, Failure> {
    let proof = proof(key, &format!("{}{TOKEN}", place.endpoint))?;
    let body = json!({
        "clientId": CLIENT_ID, "grantType": "authorization_code", "code": code, "redirectUri": REDIRECT_URI, "codeVerifier": verifier,
    });
    let answer = send(place, TOKEN, "application/json", body.to_string(), Some(&proof)).await?;
    let content: Json = serde_json::from_slice(&answer.body).map_err(|_| Failure::general("the answer cannot be read"))?;
    if answer.status == StatusCode::OK.as_u16() {
        return Ok(content);
    }
    let text = |name: &str| content.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
    Err(Failure::general(format!("{}: {}", text("error"), text("message"))).with_code(5))
}

/// A proof that we hold the key, for one request.
fn proof(key: &EcdsaKeyPair, url: &str) -> Result<String, Failure> {
    // Behind the byte that says "not compressed".
    let coordinates = key.public_key().as_ref().get(1..).and_then(|point| point.split_at_checked(32));
    let (x, y) = coordinates.ok_or_else(|| Failure::general("the key has no coordinates"))?;
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) });
    let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk });
    let claims = json!({ "htm": "POST", "htu": url, "iat": jiff::Timestamp::now().as_second(), "jti": random_text()? });
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).map_err(|error| Failure::general(error.to_string()))?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
}

/// The private key in the form that the SDKs read (RFC 5915), in lines of 64 characters.
fn pem(key: &EcdsaKeyPair) -> Result<Zeroizing<String>, Failure> {
    let der: aws_lc_rs::encoding::EcPrivateKeyRfc5915Der<'_> =
        key.private_key().as_der().map_err(|error| Failure::general(error.to_string()))?;
    let encoded = Zeroizing::new(STANDARD.encode(der.as_ref()));
    let mut text = Zeroizing::new("-----BEGIN EC PRIVATE KEY-----\n".to_owned());
    for (at, character) in encoded.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str("\n-----END EC PRIVATE KEY-----\n");
    Ok(text)
}

/// 256 random bits, base64url: 43 characters.
fn random_text() -> Result<String, Failure> {
    let mut bytes = [0_u8; 32];
    keyring::Randomness::fill(&keyring::SystemRandomness, &mut bytes).map_err(|error| Failure::general(error.to_string()))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn page(answer: &Answer) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(&answer.body)
}

/// What the page says went wrong, without anything that a terminal would obey.
fn message(answer: &Answer) -> String {
    let page = page(answer);
    let text = page
        .split_once("role=\"alert\">")
        .and_then(|(_, rest)| rest.split_once("</p>"))
        .map_or("the sign-in was refused", |(text, _)| text);
    let text = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")]
        .into_iter()
        .fold(text.to_owned(), |text, (entity, character)| text.replace(entity, character));
    text.chars().filter(|character| !character.is_control()).collect()
}

/// Words for the person, where they are not the output of the command.
fn tell(text: &str) {
    // Standard error may be closed; the command goes on.
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Echo {
    On,
    Off,
}

/// Reads a line; without echo when a person types it.
fn prompt(text: &str, echo: Echo) -> Result<Zeroizing<String>, Failure> {
    let is_terminal = std::io::stdin().is_terminal();
    let _ = write!(std::io::stderr(), "{text}: ").and_then(|()| std::io::stderr().flush());
    let hidden = (is_terminal && echo == Echo::Off).then(Hidden::begin).transpose()?;
    let mut line = Zeroizing::new(String::new());
    std::io::Read::take(std::io::stdin().lock(), LINE_BYTES_MAX).read_line(&mut line)?;
    drop(hidden);
    if !is_terminal || echo == Echo::Off {
        tell("");
    }
    Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// The terminal shows nothing of what is typed until this is dropped.
struct Hidden;

impl Hidden {
    fn begin() -> Result<Self, Failure> {
        if stty("-echo") { Ok(Self) } else { Err(Failure::general("the terminal cannot be told to hide the password")) }
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        stty("echo");
    }
}

fn stty(setting: &str) -> bool {
    std::process::Command::new("stty").arg(setting).status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, location: Option<&'static str>, body: &str) -> Answer {
        let mut headers = http::HeaderMap::new();
        if let Some(location) = location {
            headers.insert("location", http::HeaderValue::from_static(location));
        }
        Answer { status, headers, body: Bytes::from(body.to_owned()) }
    }

    #[test]
    fn a_code_is_taken_from_the_answer_to_this_sign_in_only() {
        let code = |answer: &Answer| code_of(answer, "s").map(|code| code.to_string()).map_err(|failure| failure.code);
        assert_eq!(code(&answer(303, Some("http://127.0.0.1:1/?code=a-b&state=s"), "")), Ok("a-b".to_owned()));
        assert_eq!(code(&answer(303, Some("http://127.0.0.1:1/?code=a-b&state=t"), "")), Err(1));
        assert_eq!(code(&answer(303, Some("http://127.0.0.1:1/?error=access_denied&state=s"), "")), Err(5));
        assert_eq!(code(&answer(200, Some("http://127.0.0.1:1/?code=a-b&state=s"), "")), Err(5));
    }

    #[test]
    fn the_message_of_a_page_is_plain_text() {
        assert_eq!(message(&answer(403, None, "<p role=\"alert\">a &lt;b&gt; &amp; \u{1b}[1mc</p>")), "a <b> & [1mc");
        assert_eq!(message(&answer(500, None, "")), "the sign-in was refused");
    }

    #[test]
    fn a_key_is_written_as_sdks_read_it() {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let text = pem(&key).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().all(|line| line.len() <= 64));
        let der = STANDARD.decode(lines[1..lines.len() - 1].concat()).unwrap();
        assert_eq!((der[0], &der[2..7]), (0x30, &[2, 1, 1, 4, 32][..]), "a sequence with version 1 and a key of 32 bytes");
    }
}
