//! What principals did, from the trail.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use plane::{ApiError, Plane};
use trail::{Entry, Filter, lookup};

/// Entries read at a time, and in all, per region.
const PAGE: usize = 1_000;
const ENTRIES_MAX: usize = 200_000;

/// One action that was allowed: when last, and on which resources (a few).
#[derive(Debug, Clone, Default)]
pub(crate) struct Use {
    pub last_ms: i64,
    pub resources: Vec<String>,
}

/// Actions by principal (user or role ARN).
pub(crate) type Uses = HashMap<String, BTreeMap<String, Use>>;

/// Resources kept of one action.
const RESOURCES_MAX: usize = 20;

/// The user or role behind an entry.
fn principal(entry: &Entry) -> Option<String> {
    let identity = &entry.record.user_identity;
    let issuer = identity.session_context.as_ref().and_then(|session| session.session_issuer.as_ref()).map(|issuer| issuer.arn.clone());
    issuer.or_else(|| identity.arn.clone())
}

/// What the account's principals were allowed to do in a stretch of time. `true`: all of it was read.
pub(crate) async fn uses(plane: &Arc<Plane>, account: &str, from_ms: i64, to_ms: i64) -> Result<(Uses, bool), ApiError> {
    plane.flush().await?;
    let mut uses = Uses::new();
    let mut complete = true;
    let filter = Filter { account: account.to_owned(), start_ms: Some(from_ms), end_ms: Some(to_ms), ..Filter::default() };
    for region in plane.regions.iter() {
        let mut after = None;
        let mut read = 0;
        loop {
            let page =
                lookup(region.store.as_ref(), &plane.sealer(), &filter, after, PAGE).await.map_err(|error| ApiError::internal(&error))?;
            read += page.entries.len();
            for entry in &page.entries {
                note(&mut uses, entry);
            }
            match page.next {
                Some(next) if read < ENTRIES_MAX => after = Some(next),
                Some(_) => {
                    complete = false;
                    break;
                }
                None => break,
            }
        }
    }
    Ok((uses, complete))
}

fn note(uses: &mut Uses, entry: &Entry) {
    let decision = |member: &str| entry.decision.as_ref().and_then(|decision| decision.get(member));
    let allowed = decision("allowed").and_then(serde_json::Value::as_bool) == Some(true);
    let Some(action) = decision("action").and_then(serde_json::Value::as_str).filter(|_| allowed) else { return };
    let Some(principal) = principal(entry) else { return };
    let at_ms = plane::clock::parse_iso8601(&entry.record.event_time).unwrap_or_default();
    let used = uses.entry(principal).or_default().entry(action.to_owned()).or_default();
    used.last_ms = used.last_ms.max(at_ms);
    if let Some(resource) = decision("resource").and_then(serde_json::Value::as_str)
        && used.resources.len() < RESOURCES_MAX
        && !used.resources.iter().any(|known| known == resource)
    {
        used.resources.push(resource.to_owned());
    }
}
