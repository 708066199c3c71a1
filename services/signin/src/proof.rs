//! Proofs of possession that come with a request for tokens: each is for this request, made now, and used once.
//!
//! Source: RFC 9449, sections 4.3 and 11.1.

use aws_lc_rs::digest::{SHA256, digest};
use federation::dpop::Dpop;
use plane::{ApiError, Call, Key, Record, Scope};
use serde::{Deserialize, Serialize};
use store::Table;

use crate::error::invalid_request;

/// Seconds that a proof's time may be off: the clocks of the client and the server differ.
const WINDOW_S: i64 = 300;
/// Used proofs that are too old to be taken again are taken away, so many with each new one.
const FORGOTTEN: u32 = 10;
const HEADER: &str = "dpop";

/// A proof that was used, under the hash of its key and identifier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct UsedProofRecord {
    issued_s: i64,
}

impl Record for UsedProofRecord {
    const TABLE: Table = Table("signin.used-proof");
    const SCOPE: Scope = Scope::Home;
}

/// Keys are in order of time, so that the oldest are found.
fn made_at(issued_s: i64) -> String {
    format!("{issued_s:020}")
}

fn key(proof: &Dpop) -> Key {
    let name = digest(&SHA256, format!("{}\0{}", proof.thumbprint, proof.identifier).as_bytes());
    Key::shared().then(&made_at(proof.issued_s)).last(name.as_ref())
}

/// The proof of a call: signed, for this method and URL, and made about now.
///
/// # Errors
/// `ValidationException`: there is none, or it proves nothing for this request.
pub(crate) fn verify(call: &Call) -> Result<Dpop, ApiError> {
    let mut headers = call.request.headers.get_all(HEADER).iter();
    let (Some(header), None) = (headers.next(), headers.next()) else {
        return Err(invalid_request("Exactly one DPoP proof is required."));
    };
    let text = header.to_str().map_err(|_| invalid_request("The DPoP proof cannot be read."))?;
    let proof = Dpop::verify(text).map_err(|error| invalid_request(&format!("The DPoP proof is not valid: {error}.")))?;
    if proof.method != call.request.method || !is_url_of(call, &proof.url) {
        return Err(invalid_request("The DPoP proof is for another request."));
    }
    let age_s = call.now.0.div_euclid(1000).saturating_sub(proof.issued_s);
    if !(-WINDOW_S..=WINDOW_S).contains(&age_s) {
        return Err(invalid_request("The DPoP proof was not made about now."));
    }
    Ok(proof)
}

/// Whether the URL is that of the request: as its connection and host say, or as the server is called outside.
fn is_url_of(call: &Call, url: &str) -> bool {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let scheme = if call.request.origin.tls.is_some() { "https" } else { "http" };
    let bases = [call.request.host.as_deref().map(|host| format!("{scheme}://{host}")), call.plane.public_url().map(str::to_owned)];
    bases.into_iter().flatten().any(|base| is_at(url, &base, &call.request.path))
}

/// Scheme and host do not know case; the port that a scheme has anyway may be left out.
fn is_at(url: &str, base: &str, path: &str) -> bool {
    let Some(origin) = url.strip_suffix(path) else { return false };
    plain(origin).is_some_and(|origin| Some(origin) == plain(base))
}

fn plain(origin: &str) -> Option<String> {
    let (scheme, authority) = origin.split_once("://")?;
    let (scheme, authority) = (scheme.to_ascii_lowercase(), authority.to_ascii_lowercase());
    let port = if scheme == "https" { ":443" } else { ":80" };
    Some(format!("{scheme}://{}", authority.strip_suffix(port).unwrap_or(&authority)))
}

/// Uses the proof up, in the commit of its call.
///
/// # Errors
/// `ValidationException`: it was used before.
pub(crate) async fn use_up(cx: &mut Call, proof: &Dpop) -> Result<(), ApiError> {
    let oldest = made_at(cx.now.0.div_euclid(1000).saturating_sub(2 * WINDOW_S).max(0));
    for (rest, _) in cx.tx.scan_reverse::<UsedProofRecord>(&Key::shared(), oldest.as_bytes(), FORGOTTEN).await? {
        cx.tx.delete::<UsedProofRecord>(&Key::shared().last(&rest));
    }
    if !cx.tx.insert(&key(proof), &UsedProofRecord { issued_s: proof.issued_s }).await? {
        return Err(invalid_request("The DPoP proof was used already."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_compared_without_case_and_default_port() {
        let path = "/v1/token";
        assert!(is_at("https://SIGNIN.example/v1/token", "https://signin.example:443", path));
        assert!(is_at("http://127.0.0.1:4566/v1/token", "http://127.0.0.1:4566", path));
        for url in [
            "http://signin.example/v1/token",
            "https://other.example/v1/token",
            "https://signin.example/v1/other",
            "https://signin.example/x/v1/token",
            "/v1/token",
        ] {
            assert!(!is_at(url, "https://signin.example", path), "{url}");
        }
    }
}
