//! What an account's token issuer says of itself: OpenID Connect discovery and the keys, for whoever is to believe a token. Nobody needs to be
//! known to read them.

use http::{Response, StatusCode};
use iam::outbound_federation::{self, ISSUERS};
use plane::Plane;
use plane::body::Body;

use super::page;

/// How long a verifier may keep what it read. New keys come as seldom as every ninety days, and a token names its key.
const CACHE: &str = "public, max-age=3600";

/// Answers a request below [`ISSUERS`].
pub async fn answer(plane: &Plane, path: &str) -> Response<Body> {
    let named = path.strip_prefix(ISSUERS).and_then(|rest| rest.split_once('/'));
    let found = match named {
        Some((id, ".well-known/openid-configuration")) => outbound_federation::discovery(plane, id).await,
        Some((id, ".well-known/jwks.json")) => outbound_federation::key_set(plane, id).await,
        _ => Ok(None),
    };
    match found {
        Ok(Some(document)) => {
            let mut response = page(StatusCode::OK, "application/json", document.to_string());
            response.headers_mut().insert("cache-control", http::HeaderValue::from_static(CACHE));
            response
        }
        Ok(None) => page(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "not found\n".to_owned()),
        Err(error) => {
            tracing::error!(%error, "an issuer's pages cannot be served");
            page(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", "the issuer cannot be read\n".to_owned())
        }
    }
}
