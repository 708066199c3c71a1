//! The queue and who empties it.
//!
//! A letter is a row of the queue, in the order of the time when it is due. It is taken away when it has arrived, when its endpoint refuses it for
//! good, or when its policy has no more tries; a crash between arrival and removal brings it twice, which SNS's promise (at least once) allows.
//!
//! Source: SNS Developer Guide, "Amazon SNS message delivery retries" and "HTTP/HTTPS delivery": 2xx is success, 429 and 5xx are tried again, other 4xx
//! are final.

use std::sync::Arc;
use std::time::Duration;

use outbound::{AddressRule, Client, Limits};
use plane::transaction::Abort;
use plane::{ApiError, Call, Key, Plane, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;
use store::jobs::{Jobs, Lease};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::delivery_policy::RetryPolicy;
use crate::message::{Letter, Sender};
use crate::subscription::{self, SubscriptionRecord};
use crate::{signing_key, topic};

/// Letters sent at once.
const AT_ONCE: u32 = 32;
/// Somebody looks into the queue this often, and soon after a call put something there.
const PAUSE: Duration = Duration::from_secs(1);
/// A call that put something into the queue commits within about this time.
const COMMIT: Duration = Duration::from_millis(20);
/// Longest wait for an endpoint. Source: SNS Developer Guide: 15 seconds.
const TIMEOUT: Duration = Duration::from_secs(15);
const ANSWER_BYTES: u64 = 64 * 1024;
const LEASE: &str = "sns-delivery";
/// Renewed before each batch, which takes as long as its slowest endpoint: after a crash, letters wait no longer than this for the next node.
const LEASE_MS: u64 = 25_000;

/// A letter that waits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Waiting {
    subscription_account: String,
    topic_name: String,
    subscription_id: String,
    /// A topic or subscription that was made again is another.
    topic_id: String,
    letter: Letter,
    /// Tries so far.
    tries: u32,
}

impl Record for Waiting {
    const TABLE: Table = Table("sns-queue");
    const SCOPE: Scope = Scope::Region;
}

impl Waiting {
    pub(crate) fn new(subscription: &SubscriptionRecord, letter: Letter) -> Self {
        Self {
            subscription_account: subscription.topic_account.clone(),
            topic_name: subscription.topic_name.clone(),
            subscription_id: subscription.id.clone(),
            topic_id: subscription.topic_id.clone(),
            letter,
            tries: 0,
        }
    }
}

fn queue(region: &str) -> Key {
    Key::new("", region)
}

/// The inner part of a row's key: when it is due, then something of its own.
fn place(due_ms: i64, id: &str) -> Vec<u8> {
    [&u64::try_from(due_ms).unwrap_or_default().to_be_bytes()[..], id.as_bytes()].concat()
}

/// Puts a letter into the queue, in the commit of the call.
pub(crate) fn send(cx: &mut Call, waiting: Waiting) -> Result<(), ApiError> {
    let id = cx.random_uuid()?;
    cx.tx.put(&queue(&cx.region).last(place(cx.now.0, &id)), &waiting)?;
    if let Some(courier) = cx.plane.extension::<Courier>(api_sns::SERVICE) {
        courier.wake.notify_one();
    }
    Ok(())
}

/// Who brings letters: the outbound client, and a way to wake whoever empties the queue.
pub struct Courier {
    client: Client,
    wake: Notify,
}

impl Courier {
    /// Reaches public addresses and what `rule` names.
    pub fn new(rule: AddressRule) -> Self {
        let limits = Limits {
            connect_timeout: Duration::from_secs(5),
            head_timeout: TIMEOUT,
            part_timeout: TIMEOUT,
            body_limit_bytes: ANSWER_BYTES,
        };
        Self { client: Client::new(rule, limits), wake: Notify::new() }
    }

    /// Brings a letter.
    async fn bring(&self, request: http::Request<bytes::Bytes>) -> Outcome {
        match self.client.send(request).await {
            Ok(answer) => Outcome::of_status(answer.status()),
            Err(error) => {
                tracing::debug!(%error, "a notification did not arrive");
                Outcome::Later
            }
        }
    }
}

/// What became of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Arrived,
    Later,
    Refused,
}

impl Outcome {
    fn of_status(status: http::StatusCode) -> Self {
        if status.is_success() {
            Self::Arrived
        } else if status.is_client_error() && status != http::StatusCode::TOO_MANY_REQUESTS {
            Self::Refused
        } else {
            Self::Later
        }
    }
}

/// Empties the queues of all regions until the plane is gone.
pub fn start(plane: &Arc<Plane>) {
    let Some(courier) = plane.extension::<Courier>(api_sns::SERVICE) else { return };
    let plane = Arc::downgrade(plane);
    tokio::spawn(async move {
        loop {
            let woken = tokio::time::timeout(PAUSE, courier.wake.notified()).await.is_ok();
            if woken {
                tokio::time::sleep(COMMIT).await;
            }
            let Some(plane) = plane.upgrade() else { return };
            for position in 0..plane.regions.iter().count() {
                if let Err(error) = deliver(&plane, position).await {
                    tracing::warn!(%error, position, "notifications will be tried again");
                }
            }
        }
    });
}

/// Brings what is due in a region; of all nodes on one store, one at a time does it.
///
/// # Errors
/// When the store cannot answer.
pub async fn deliver(plane: &Arc<Plane>, position: usize) -> Result<(), ApiError> {
    let region = plane.regions.at(position)?.name.clone();
    if due(plane, position, &region).await?.is_empty() {
        return Ok(());
    }
    let holder = format!("{}-{}", std::process::id(), plane.random_uuid()?);
    let jobs = Jobs::new(Arc::clone(&plane.regions.at(position)?.store), holder, LEASE_MS);
    let acquired = jobs.acquire(LEASE, now_ms(plane)).await.map_err(|error| ApiError::internal(&error))?;
    let Some(mut lease) = acquired else { return Ok(()) };
    let done = empty(plane, position, &region, &jobs, &mut lease).await;
    if let Err(error) = jobs.release(lease).await {
        tracing::debug!(%error, "a lease was not given back; it ends by itself");
    }
    done
}

fn now_ms(plane: &Plane) -> u64 {
    u64::try_from(plane.now().0).unwrap_or_default()
}

/// Rows that are due now.
async fn due(plane: &Arc<Plane>, position: usize, region: &str) -> Result<Vec<(Vec<u8>, Waiting)>, ApiError> {
    let rows = plane.transaction(position).scan::<Waiting>(&queue(region), None, AT_ONCE).await?;
    let now = place(plane.now().0.saturating_add(1), "");
    Ok(rows.into_iter().map(|(key, waiting)| (key.to_vec(), waiting)).filter(|(key, _)| *key < now).collect())
}

async fn empty(plane: &Arc<Plane>, position: usize, region: &str, jobs: &Jobs, lease: &mut Lease) -> Result<(), ApiError> {
    loop {
        let rows = due(plane, position, region).await?;
        if rows.is_empty() {
            return Ok(());
        }
        jobs.renew(lease, now_ms(plane)).await.map_err(|error| ApiError::internal(&error))?;
        let mut tries = JoinSet::new();
        for (key, waiting) in rows {
            let (plane, region) = (Arc::clone(plane), region.to_owned());
            tries.spawn(async move { try_one(&plane, position, &region, &key, waiting).await });
        }
        while let Some(done) = tries.join_next().await {
            done.map_err(|error| ApiError::internal(&error))??;
        }
    }
}

/// What a try needs: the subscription as it is now, and its retry policy.
async fn prepare(tx: &mut Transaction, region: &str, waiting: &Waiting) -> Result<Option<(SubscriptionRecord, RetryPolicy)>, ApiError> {
    let arn = format!("{}:{}", topic::topic_arn(region, &waiting.subscription_account, &waiting.topic_name), waiting.subscription_id);
    let found = subscription::find(tx, region, &arn).await?.filter(|subscription| subscription.topic_id == waiting.topic_id);
    let Some(subscription) = found else { return Ok(None) };
    let topic = topic::find(tx, &waiting.subscription_account, region, &waiting.topic_name).await?;
    let of_topic = topic.and_then(|topic| topic.delivery_policy);
    let own = subscription.delivery_policy.clone().filter(|_| of_topic.as_ref().is_none_or(|policy| !policy.disable_overrides));
    let retry = own.or(of_topic).unwrap_or_default().retry;
    Ok(Some((subscription, retry)))
}

async fn try_one(plane: &Arc<Plane>, position: usize, region: &str, key: &[u8], mut waiting: Waiting) -> Result<(), ApiError> {
    let courier = plane.extension::<Courier>(api_sns::SERVICE).ok_or_else(|| ApiError::internal(&"nobody brings notifications"))?;
    let mut tx = plane.transaction(position);
    let Some((subscription, retry)) = prepare(&mut tx, region, &waiting).await? else {
        return settle(plane, position, region, key, None).await;
    };
    let signing = signing_key::current(plane, &mut tx, region).await?;
    if tx.has_writes() {
        commit(tx).await?;
        // Another try may have made a key at the same time; the next one finds which.
        return Ok(());
    }
    let public_url = plane.public_url().ok_or_else(|| ApiError::internal(&"the server does not know its public URL yet"))?;
    let sender = Sender { region, public_url, key: &signing };
    let outcome = courier.bring(waiting.letter.request(&subscription, &sender)?).await;
    waiting.tries = waiting.tries.saturating_add(1);
    let again = match outcome {
        Outcome::Arrived | Outcome::Refused => None,
        Outcome::Later => retry.delay_s(waiting.tries),
    };
    if outcome != Outcome::Arrived && again.is_none() {
        tracing::warn!(subscription = subscription.arn(region), tries = waiting.tries, "a notification is given up");
    }
    let next = again.map(|delay_s| (plane.now().0.saturating_add(i64::from(delay_s) * 1000), waiting));
    settle(plane, position, region, key, next).await
}

/// Takes a row away, and puts it where it is due next.
async fn settle(plane: &Arc<Plane>, position: usize, region: &str, key: &[u8], next: Option<(i64, Waiting)>) -> Result<(), ApiError> {
    let mut tx = plane.transaction(position);
    let row = queue(region).last(key);
    // Somebody else has dealt with it.
    if tx.get::<Waiting>(&row).await?.is_none() {
        return Ok(());
    }
    tx.delete::<Waiting>(&row);
    if let Some((due_ms, waiting)) = next {
        tx.put(&queue(region).last(place(due_ms, &plane.random_uuid()?)), &waiting)?;
    }
    commit(tx).await
}

async fn commit(tx: Transaction) -> Result<(), ApiError> {
    match tx.commit(Vec::new()).await {
        // The row is as it was; the next round deals with it.
        Ok(()) | Err(Abort::Conflict) => Ok(()),
        Err(Abort::Failed(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_the_order_of_their_time() {
        assert!(place(5, "z") < place(6, "a") && place(255, "") < place(256, ""));
    }

    #[test]
    fn what_a_status_means() {
        let outcome = |status: u16| Outcome::of_status(http::StatusCode::from_u16(status).unwrap());
        assert_eq!([200, 204, 301, 400, 404, 429, 500, 503].map(outcome), {
            use Outcome::{Arrived, Later, Refused};
            [Arrived, Arrived, Later, Refused, Refused, Later, Later, Later]
        });
    }
}
