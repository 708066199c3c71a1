//! The signed log of each region, as C2SP `tlog-tiles` wants it, below `/_bailiwick/log/REGION/`. Nobody needs to be known to read it: it holds
//! hashes only.
//!
//! Beside `checkpoint`, `tile/...` and `tile/entries/...` there are `keys` (what checkpoints are signed with), `cosigned` (the newest checkpoint
//! that a witness has signed) and proofs, for clients that do not want to compute them from tiles.

use http::{Response, StatusCode};
use plane::Plane;
use plane::body::Body;
use serde_json::json;
use transparency::TilePath;
use transparency::merkle::Hash;

use super::page;

/// Where the log is.
pub const PREFIX: &str = "/_bailiwick/log/";
const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";

/// Answers a request below [`PREFIX`].
pub async fn answer(plane: &Plane, path: &str, query: &str) -> Response<Body> {
    match find(plane, path, query).await {
        Ok(Some(found)) => found,
        Ok(None) => page(StatusCode::NOT_FOUND, TEXT, "not found\n".to_owned()),
        Err(error) => {
            tracing::error!(%error, "the log cannot be served");
            page(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the log cannot be read\n".to_owned())
        }
    }
}

async fn find(plane: &Plane, path: &str, query: &str) -> Result<Option<Response<Body>>, trail::LedgerError> {
    let Some((region, name)) = path.strip_prefix(PREFIX).and_then(|rest| rest.split_once('/')) else { return Ok(None) };
    let Some(ledger) = plane.regions.position(region).and_then(|position| plane.ledger(position).ok()) else { return Ok(None) };
    let number = |wanted: &str| {
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(name, _)| *name == wanted)
            .and_then(|(_, value)| value.parse::<u64>().ok())
    };
    let now_s = u64::try_from(plane.now().0 / 1000).unwrap_or_default();
    Ok(match name {
        "checkpoint" => {
            // What was handed to the recorder belongs to the log.
            if let Err(error) = plane.flush().await {
                tracing::warn!(%error, "the newest events are not in the checkpoint");
            }
            Some(page(StatusCode::OK, TEXT, ledger.checkpoint(now_s).await?.to_note()))
        }
        "cosigned" => ledger.cosigned().await?.map(|note| page(StatusCode::OK, TEXT, note.to_note())),
        "keys" => {
            let keys = ledger.verifier_keys().await?;
            let mut lines: Vec<String> = keys.iter().map(ToString::to_string).collect();
            lines.push(String::new());
            Some(page(StatusCode::OK, TEXT, lines.join("\n")))
        }
        "proof/consistency" => match (number("old"), number("size")) {
            (Some(old), Some(size)) => proof(ledger.consistency(old, size).await)?,
            _ => None,
        },
        "proof/inclusion" => match (number("leaf"), number("size")) {
            (Some(leaf), Some(size)) => proof(ledger.inclusion(leaf, size).await)?,
            _ => None,
        },
        _ => match TilePath::parse(name) {
            Ok(path) => ledger.file(path).await?.map(|file| {
                let mut response = Response::new(plane::body::full(file.bytes));
                response.headers_mut().insert("content-type", http::HeaderValue::from_static(BYTES));
                response.headers_mut().insert("cache-control", http::HeaderValue::from_static("public, max-age=31536000, immutable"));
                response
            }),
            Err(_) => None,
        },
    })
}

fn proof(hashes: Result<Vec<Hash>, trail::LedgerError>) -> Result<Option<Response<Body>>, trail::LedgerError> {
    match hashes {
        Ok(hashes) => {
            let hashes: Vec<String> =
                hashes.iter().map(|hash| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, hash)).collect();
            Ok(Some(page(StatusCode::OK, "application/json", json!({ "hashes": hashes }).to_string())))
        }
        Err(trail::LedgerError::Outside) => Ok(None),
        Err(error) => Err(error),
    }
}
