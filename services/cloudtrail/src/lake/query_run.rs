//! Running a query: its tables are brought up to date, it runs, its answer is kept and delivered.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::lake::{Answer, BasinError, Limits, Plan};
use plane::{ApiError, Plane};

use super::engine::{self, FillError, LakeEngine, Wanted};
use super::event_data_store::{self, EventDataStore, Status};
use super::query::{CHUNK_ROWS, Chunk, Query, State};
use super::query_delivery;
use crate::delivery::settle;
use crate::destination;

/// The call that makes a query commits after its handler; until then its record is looked for so often, this far apart.
const LOOKS: u32 = 100;
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Attempts to write a query's end while somebody else writes it.
const ATTEMPTS: u32 = 8;

/// Runs a query in the background.
pub(crate) fn start(plane: &Arc<Plane>, region: &str, account: &str, id: &str) {
    let Some(engine) = engine::of(plane) else { return };
    let (plane, region, account, id) = (Arc::clone(plane), region.to_owned(), account.to_owned(), id.to_owned());
    tokio::spawn(async move {
        if let Err(error) = run(&plane, &engine, &region, &account, &id).await {
            // It stays open and is run again by the next round.
            tracing::warn!(%error, query = id, "a query could not be run");
        }
        engine.end(&id);
    });
}

/// Why a query has no answer.
enum Failure {
    Basin(BasinError),
    Refused(String),
    Api(ApiError),
}

impl From<BasinError> for Failure {
    fn from(error: BasinError) -> Self {
        Self::Basin(error)
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<FillError> for Failure {
    fn from(error: FillError) -> Self {
        match error {
            FillError::Basin(error) => Self::Basin(error),
            FillError::Api(error) => Self::Api(error),
        }
    }
}

async fn run(plane: &Arc<Plane>, engine: &Arc<LakeEngine>, region: &str, account: &str, id: &str) -> Result<(), ApiError> {
    let position = plane.regions.position(region).unwrap_or_default();
    let Some(stop) = engine.begin(id) else { return Ok(()) };
    let Some(query) = begun(plane, position, &Query::key(account, region, id)).await? else { return Ok(()) };
    let started_ms = plane.clock.now_ms();
    let outcome = answer(plane, engine, position, &query, &stop).await;
    let execution_ms = plane.clock.now_ms().saturating_sub(started_ms);
    match outcome {
        Ok(answer) => finish(plane, position, query, answer, execution_ms).await,
        Err(Failure::Api(error)) if error.internal => {
            fail(plane, position, &query, State::Failed, "The query could not be run.".to_owned(), execution_ms).await
        }
        Err(Failure::Api(error)) => fail(plane, position, &query, State::Failed, error.message, execution_ms).await,
        Err(Failure::Refused(message)) => fail(plane, position, &query, State::Failed, message, execution_ms).await,
        // Who cancelled it has written so.
        Err(Failure::Basin(BasinError::Stopped)) => Ok(()),
        Err(Failure::Basin(error @ BasinError::Time(_))) => {
            fail(plane, position, &query, State::TimedOut, sentence(&error), execution_ms).await
        }
        Err(Failure::Basin(error)) => fail(plane, position, &query, State::Failed, sentence(&error), execution_ms).await,
    }
}

fn sentence(error: &BasinError) -> String {
    format!("Query failed: {error}.")
}

/// The query, once it is there, marked as running. `None`: it never came, or has ended.
async fn begun(plane: &Arc<Plane>, position: usize, key: &plane::Key) -> Result<Option<Query>, ApiError> {
    for _ in 0..LOOKS {
        let mut tx = plane.transaction(position);
        match tx.get::<Query>(key).await? {
            Some(query) if !query.state.is_open() => return Ok(None),
            Some(mut query) => {
                query.state = State::Running;
                query.put(&mut tx)?;
                if settle(tx).await? {
                    return Ok(Some(query));
                }
            }
            None => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
    Ok(None)
}

async fn answer(
    plane: &Arc<Plane>,
    engine: &Arc<LakeEngine>,
    position: usize,
    query: &Query,
    stop: &::lake::StopSignal,
) -> Result<Answer, Failure> {
    let mut tx = plane.transaction(position);
    let stores = event_data_store::of_account(&mut tx, &query.account, &query.region).await?;
    let schemas: HashMap<String, ::lake::Schema> = stores.iter().map(|store| (store.id.clone(), store.schema())).collect();
    let plan = ::lake::plan(&query.statement, &query.parameters, &schemas, query.created_ms)
        .map_err(|error| Failure::Refused(format!("Query failed: {error}.")))?;
    let read: Vec<EventDataStore> = stores.into_iter().filter(|store| plan.sources.contains_key(&store.id)).collect();
    for store in &read {
        may_read(plane, store).await?;
    }
    match attempt(plane, engine, query, &plan, &read, stop, false).await {
        Err(Failure::Basin(BasinError::Memory)) => {
            engine.forget_others();
            attempt(plane, engine, query, &plan, &read, stop, true).await
        }
        other => other,
    }
}

/// A store under a customer's key is closed when CloudTrail may not use that key.
async fn may_read(plane: &Arc<Plane>, store: &EventDataStore) -> Result<(), Failure> {
    if store.status == Status::PendingDeletion {
        return Err(Failure::Refused(format!("Query failed: the event data store {} is inactive.", store.arn())));
    }
    let Some(key) = &store.key else { return Ok(()) };
    let blob =
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &key.wrapped).map_err(|error| ApiError::internal(&error))?;
    let input = api_kms::DecryptInput {
        ciphertext_blob: Some(blob.into()),
        key_id: Some(key.arn.clone()),
        encryption_context: Some([("aws:cloudtrail:arn".to_owned(), store.arn())].into()),
        ..api_kms::DecryptInput::default()
    };
    let caller = destination::caller(&store.arn(), &store.account);
    match plane.call_as_service(&caller, &store.region, input, None).await {
        Ok(_) => Ok(()),
        Err(error) if error.internal => Err(error.into()),
        Err(error) => Err(Failure::Refused(format!("Query failed: the KMS key {} cannot be used ({}).", key.arn, error.code))),
    }
}

async fn attempt(
    plane: &Arc<Plane>,
    engine: &Arc<LakeEngine>,
    query: &Query,
    plan: &Plan,
    stores: &[EventDataStore],
    stop: &::lake::StopSignal,
    narrow: bool,
) -> Result<Answer, Failure> {
    let mut tables = engine.tables(&query.account, &query.region).await;
    if narrow {
        tables.clear();
    }
    for store in stores {
        let source = plan.sources.get(&store.id).cloned().unwrap_or_default();
        tables = engine::fill(plane, tables, &Wanted { store: store.clone(), source, narrow }, stop).await?;
    }
    let (plan, signal) = (plan.clone(), stop.clone());
    let (mut tables, answer) = engine::on_tables(tables, move |tables| tables.basin()?.run(&plan, Limits::default(), &signal)).await?;
    if narrow {
        for store in stores {
            tables.forget(&store.id);
        }
    }
    Ok(answer?)
}

async fn finish(plane: &Arc<Plane>, position: usize, query: Query, answer: Answer, execution_ms: i64) -> Result<(), ApiError> {
    let mut done = Query {
        columns: answer.columns,
        rows: answer.rows.len(),
        matched_events: answer.matched_events,
        scanned_events: answer.scanned_events,
        scanned_bytes: answer.scanned_bytes,
        execution_ms,
        state: State::Finished,
        ..query
    };
    for (number, rows) in answer.rows.chunks(CHUNK_ROWS).enumerate() {
        let mut tx = plane.transaction(position);
        let key = done.chunks().last(u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
        tx.put(&key, &Chunk { rows: rows.to_vec() })?;
        settle(tx).await?;
    }
    if let Some(target) = done.target.take() {
        done.target = Some(query_delivery::deliver(plane, &done, target, &answer.rows).await);
    }
    write_end(plane, position, &done).await
}

async fn fail(
    plane: &Arc<Plane>,
    position: usize,
    query: &Query,
    state: State,
    message: String,
    execution_ms: i64,
) -> Result<(), ApiError> {
    let mut done = Query { state, error: Some(message), execution_ms, ..query.clone() };
    if let Some(target) = &mut done.target {
        target.status = super::query::Delivery::Cancelled;
    }
    write_end(plane, position, &done).await
}

/// Writes how a query ended, unless it was cancelled meanwhile.
async fn write_end(plane: &Arc<Plane>, position: usize, done: &Query) -> Result<(), ApiError> {
    for _ in 0..ATTEMPTS {
        let mut tx = plane.transaction(position);
        let now = tx.get::<Query>(&Query::key(&done.account, &done.region, &done.id)).await?;
        if now.is_none_or(|query| !query.state.is_open()) {
            return Ok(());
        }
        done.put(&mut tx)?;
        if settle(tx).await? {
            return Ok(());
        }
    }
    Err(ApiError::internal(&"the end of a query could not be written"))
}
