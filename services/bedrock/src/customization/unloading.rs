//! Adapters that an upstream is to forget.
//!
//! What a call takes away is noted in the call's own commit and unloaded by background work afterwards: a call that fails has taken nothing away,
//! and one that is committed is followed up until the upstream has answered, whatever is killed between.

use std::sync::Arc;

use plane::transaction::{Abort, SCAN_LIMIT};
use plane::{ApiError, Call, Key, Plane, Record, Scope};
use serde::{Deserialize, Serialize};
use store::Table;

use crate::runtime::State;

/// An adapter that nothing is routed to any more.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Unloading {
    upstream: String,
    adapter: String,
}

impl Record for Unloading {
    const TABLE: Table = Table("bedrock-adapter-unloading");
    const SCOPE: Scope = Scope::Region;
}

fn key(region: &str, adapter: &str) -> Key {
    Key::new("", region).last(adapter)
}

/// Notes that an upstream is to forget an adapter once the call is committed.
pub(crate) fn note(cx: &mut Call, upstream: String, adapter: String) -> Result<(), ApiError> {
    let key = key(&cx.region, &adapter);
    cx.tx.put(&key, &Unloading { upstream, adapter })
}

/// Unloads what is noted in a region. An upstream that cannot be reached is asked again with the next round.
pub(crate) async fn run_due(plane: &Arc<Plane>, state: &State, position: usize) -> Result<(), ApiError> {
    let region = plane.regions.at(position)?.name.clone();
    let due = plane.transaction(position).scan::<Unloading>(&Key::new("", &region), None, SCAN_LIMIT).await?;
    for (_, unloading) in due {
        if unload(plane, state, &unloading).await {
            let mut tx = plane.transaction(position);
            tx.delete::<Unloading>(&key(&region, &unloading.adapter));
            // On a conflict another node has unloaded it, too.
            if let Err(Abort::Failed(error)) = tx.commit(Vec::new()).await {
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Whether the upstream has it no more. One that was started anew never had it, and one that is not configured any more is not asked.
async fn unload(plane: &Arc<Plane>, state: &State, unloading: &Unloading) -> bool {
    let server = state.gateway.servers().iter().find(|server| server.settings.name == unloading.upstream);
    let Some(server) = server else { return true };
    match server.adapter(plane.as_ref(), &unloading.adapter, None).await {
        Ok(()) => true,
        Err(failure) if failure.error.code == "ValidationException" => true,
        Err(failure) => {
            tracing::warn!(error = %failure.error, upstream = unloading.upstream, "an adapter will be unloaded later");
            false
        }
    }
}
