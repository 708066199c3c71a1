//! Starting, watching, reading, cancelling and listing queries.
//!
//! Source: CloudTrail API reference, `StartQuery`, `DescribeQuery`, `GetQueryResults`, `CancelQuery`, `ListQueries`.

use std::collections::{BTreeMap, HashMap};

use api_cloudtrail::{
    CancelQueryInput, CancelQueryOutput, DescribeQueryInput, DescribeQueryOutput, GetQueryResultsInput, GetQueryResultsOutput,
    ListQueriesInput, ListQueriesOutput, Query as QueryDescription, QueryStatistics, QueryStatisticsForDescribeQuery, QueryStatus,
    StartQueryInput, StartQueryOutput,
};
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Call, Key, Transaction, page};
use wire::Timestamp;

use super::engine;
use super::error::LakeError;
use super::event_data_store::{self, Status};
use super::query::{self, CHUNK_ROWS, CONCURRENT_LIMIT, Chunk, Delivery, KEPT_MS, Query, State};
use super::{dashboard, query_delivery, query_run};

const PAGE_LENGTH: usize = 1_000;

pub(crate) async fn start_query(cx: &mut Call, input: StartQueryInput) -> Result<StartQueryOutput, ApiError> {
    let owner = owner(cx, input.event_data_store_owner_account_id);
    let (statement, parameters, alias) = match (input.query_statement, input.query_alias) {
        (Some(statement), None) => (statement, input.query_parameters.unwrap_or_default(), None),
        (None, Some(_)) if owner != cx.account => {
            return Err(LakeError::Parameter("A query alias is of the caller's own dashboards.".to_owned()).into());
        }
        (None, Some(alias)) => {
            let widget = dashboard::widget(cx, &alias).await?;
            let widget = widget.ok_or_else(|| LakeError::Parameter(format!("The query alias {alias} was not found.")))?;
            (widget.statement, input.query_parameters.unwrap_or(widget.parameters), Some(alias))
        }
        _ => return Err(LakeError::Parameter("Either a query statement or a query alias must be given.".to_owned()).into()),
    };
    let target = match &input.delivery_s3_uri {
        Some(uri) => Some(query_delivery::target(cx, uri).await?),
        None => None,
    };
    let running = open_count(cx, &owner).await?;
    if running >= CONCURRENT_LIMIT {
        return Err(LakeError::TooManyQueries(CONCURRENT_LIMIT).into());
    }
    let id = match cx.recall::<String>("query") {
        Some(id) => id,
        None => cx.random_uuid()?,
    };
    cx.remember("query", id.clone());
    let started = Start { id: id.clone(), owner: owner.clone(), statement, parameters, target, alias, refresh_id: None };
    start(cx, started).await?;
    query_run::start(&cx.plane, &cx.region, &owner, &id);
    Ok(StartQueryOutput { query_id: Some(id), event_data_store_owner_account_id: shown_owner(cx, &owner) })
}

/// What a new query is.
pub(crate) struct Start {
    pub id: String,
    /// The account of the stores that it reads; it is filed there.
    pub owner: String,
    pub statement: String,
    pub parameters: Vec<String>,
    pub target: Option<query::Target>,
    pub alias: Option<String>,
    pub refresh_id: Option<String>,
}

/// Checks a query and writes it, to be run.
pub(crate) async fn start(cx: &mut Call, start: Start) -> Result<(), ApiError> {
    let (region, now_ms) = (cx.region.clone(), cx.now.0);
    let stores = check_for(&mut cx.tx, &start.owner, &region, &start.statement, &start.parameters, now_ms).await?;
    let query = Query {
        parameters: start.parameters,
        target: start.target,
        alias: start.alias,
        refresh_id: start.refresh_id,
        deliverer: Some(cx.account.clone()),
        ..Query::new(start.id, &start.owner, &cx.region, start.statement, stores, cx.now.0)
    };
    query.put(&mut cx.tx)
}

/// Whether the statement may run: ARNs of the stores that it reads.
pub(crate) async fn check(cx: &mut Call, statement: &str, parameters: &[String]) -> Result<Vec<String>, ApiError> {
    let (account, region, now_ms) = (cx.account.clone(), cx.region.clone(), cx.now.0);
    check_for(&mut cx.tx, &account, &region, statement, parameters, now_ms).await
}

/// As [`check`], without a call.
pub(crate) async fn check_for(
    tx: &mut Transaction,
    account: &str,
    region: &str,
    statement: &str,
    parameters: &[String],
    now_ms: i64,
) -> Result<Vec<String>, ApiError> {
    let stores = event_data_store::of_account(tx, account, region).await?;
    let schemas: HashMap<String, ::lake::Schema> = stores.iter().map(|store| (store.id.clone(), store.schema())).collect();
    let plan = match ::lake::plan(statement, parameters, &schemas, now_ms) {
        Ok(plan) => plan,
        Err(::lake::QueryError::UnknownStore(name)) if name.len() == 36 => return Err(LakeError::StoreMissing(name).into()),
        Err(error) => return Err(LakeError::Statement(sentence(&error.to_string())).into()),
    };
    let read: Vec<_> = stores.iter().filter(|store| plan.sources.contains_key(&store.id)).collect();
    if let Some(inactive) = read.iter().find(|store| store.status == Status::PendingDeletion) {
        return Err(LakeError::StoreInactive(inactive.arn()).into());
    }
    Ok(read.iter().map(|store| store.arn()).collect())
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().map(|letter| letter.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

/// Whose stores a query is about: the caller's, or another account's, whose policies the decision has asked.
fn owner(cx: &Call, named: Option<String>) -> String {
    named.unwrap_or_else(|| cx.account.clone())
}

/// The owner, where an answer names it: only to others.
fn shown_owner(cx: &Call, owner: &str) -> Option<String> {
    (owner != cx.account).then(|| owner.to_owned())
}

async fn open_count(cx: &mut Call, owner: &str) -> Result<usize, ApiError> {
    let queries = cx.tx.scan::<Query>(&Key::new(owner, &cx.region), None, SCAN_LIMIT).await?;
    Ok(queries.iter().filter(|(_, query)| query.state.is_open()).count())
}

/// The query of an id, of the store that is named with it, if one is.
async fn of_store(cx: &mut Call, owner: &str, id: &str, store: Option<&str>) -> Result<Query, ApiError> {
    let query = query::find(cx, owner, id).await?;
    if let Some(store) = store {
        let store = event_data_store::find_active_of(cx, owner, store).await?;
        if !query.stores.contains(&store.arn()) {
            return Err(LakeError::QueryMissing(id.to_owned()).into());
        }
    }
    Ok(query)
}

pub(crate) async fn describe_query(cx: &mut Call, input: DescribeQueryInput) -> Result<DescribeQueryOutput, ApiError> {
    let owner = owner(cx, input.event_data_store_owner_account_id);
    let query = match (&input.query_id, &input.query_alias) {
        (Some(id), None) => of_store(cx, &owner, id, input.event_data_store.as_deref()).await?,
        (None, Some(alias)) if owner != cx.account => return Err(LakeError::QueryMissing(alias.clone()).into()),
        (None, Some(alias)) => by_alias(cx, alias, input.refresh_id.as_deref()).await?,
        _ => return Err(LakeError::Parameter("Either a query id or a query alias must be given.".to_owned()).into()),
    };
    Ok(DescribeQueryOutput {
        query_id: Some(query.id),
        query_string: Some(query.statement),
        query_status: Some(query.state.of_api()),
        query_statistics: Some(QueryStatisticsForDescribeQuery {
            events_matched: Some(signed(query.matched_events)),
            events_scanned: Some(signed(query.scanned_events)),
            bytes_scanned: Some(signed(query.scanned_bytes)),
            execution_time_in_millis: Some(i32::try_from(query.execution_ms).unwrap_or(i32::MAX)),
            creation_time: Some(Timestamp(query.created_ms)),
        }),
        error_message: query.error,
        delivery_status: query.target.as_ref().map(|target| target.status.of_api()),
        delivery_s3_uri: query.target.map(|target| target.uri),
        event_data_store_owner_account_id: shown_owner(cx, &owner),
        ..DescribeQueryOutput::default()
    })
}

/// The latest query of a widget, or that of one refresh.
async fn by_alias(cx: &mut Call, alias: &str, refresh_id: Option<&str>) -> Result<Query, ApiError> {
    let queries = cx.tx.scan::<Query>(&Key::new(&cx.account, &cx.region), None, SCAN_LIMIT).await?;
    let of_alias = queries.into_iter().map(|(_, query)| query).filter(|query| query.alias.as_deref() == Some(alias));
    let wanted = of_alias.filter(|query| refresh_id.is_none_or(|id| query.refresh_id.as_deref() == Some(id)));
    wanted.max_by_key(|query| query.created_ms).ok_or_else(|| LakeError::QueryMissing(alias.to_owned()).into())
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) async fn get_query_results(cx: &mut Call, input: GetQueryResultsInput) -> Result<GetQueryResultsOutput, ApiError> {
    let owner = owner(cx, input.event_data_store_owner_account_id);
    let query = of_store(cx, &owner, &input.query_id, input.event_data_store.as_deref()).await?;
    let limit = input.max_query_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_LENGTH);
    let first = match &input.next_token {
        Some(token) => {
            let place = page::open(cx, &cx.plane.keyring, &query.id, token).map_err(|_| LakeError::Token)?;
            let place = <[u8; 8]>::try_from(place.as_slice()).map_err(|_| LakeError::Token)?;
            usize::try_from(u64::from_be_bytes(place)).map_err(|_| LakeError::Token)?
        }
        None => 0,
    };
    let rows = if query.state == State::Finished { rows(cx, &query, first, limit).await? } else { Vec::new() };
    let next = first.saturating_add(rows.len());
    let next_token = if query.state == State::Finished && next < query.rows {
        Some(page::seal(cx, &cx.plane.keyring, &query.id, &(next as u64).to_be_bytes())?)
    } else {
        None
    };
    let shown: Vec<Vec<BTreeMap<String, String>>> = rows
        .into_iter()
        .map(|row| query.columns.iter().zip(row).map(|(name, cell)| BTreeMap::from([(name.clone(), cell.unwrap_or_default())])).collect())
        .collect();
    Ok(GetQueryResultsOutput {
        query_status: Some(query.state.of_api()),
        query_statistics: Some(QueryStatistics {
            results_count: i32::try_from(shown.len()).ok(),
            total_results_count: i32::try_from(query.rows).ok(),
            bytes_scanned: Some(signed(query.scanned_bytes)),
        }),
        query_result_rows: Some(shown),
        next_token,
        error_message: query.error,
    })
}

async fn rows(cx: &mut Call, query: &Query, first: usize, limit: usize) -> Result<Vec<Vec<Option<String>>>, ApiError> {
    let mut found = Vec::with_capacity(limit.min(query.rows));
    let mut chunk = first / CHUNK_ROWS;
    let mut skip = first % CHUNK_ROWS;
    while found.len() < limit {
        let key = query.chunks().last(u32::try_from(chunk).unwrap_or(u32::MAX).to_be_bytes());
        let Some(Chunk { rows }) = cx.tx.get::<Chunk>(&key).await? else { break };
        let wanted = limit - found.len();
        found.extend(rows.into_iter().skip(skip).take(wanted));
        skip = 0;
        chunk += 1;
    }
    Ok(found)
}

pub(crate) async fn cancel_query(cx: &mut Call, input: CancelQueryInput) -> Result<CancelQueryOutput, ApiError> {
    let owner = owner(cx, input.event_data_store_owner_account_id);
    let mut query = of_store(cx, &owner, &input.query_id, input.event_data_store.as_deref()).await?;
    if !query.state.is_open() {
        return Err(LakeError::QueryInactive(query.id).into());
    }
    query.state = State::Cancelled;
    if let Some(target) = &mut query.target {
        target.status = Delivery::Cancelled;
    }
    query.put(&mut cx.tx)?;
    if let Some(engine) = engine::of(&cx.plane) {
        engine.stop(&query.id);
    }
    Ok(CancelQueryOutput {
        query_id: query.id,
        query_status: QueryStatus::Cancelled,
        event_data_store_owner_account_id: shown_owner(cx, &owner),
    })
}

pub(crate) async fn list_queries(cx: &mut Call, input: ListQueriesInput) -> Result<ListQueriesOutput, ApiError> {
    let store = event_data_store::find_shared_active(cx, &input.event_data_store).await?;
    let (owner, store) = (store.account.clone(), store.arn());
    let (start, end) = (input.start_time.map(|time| time.0), input.end_time.map(|time| time.0));
    if let (Some(start), Some(end)) = (start, end)
        && start > end
    {
        return Err(LakeError::DateRange.into());
    }
    let wanted_status = input.query_status.as_ref();
    if let Some(QueryStatus::Other(other)) = wanted_status {
        return Err(ApiError::new("InvalidQueryStatusException", format!("The query status {other} is not valid.")));
    }
    let earliest = cx.now.0.saturating_sub(KEPT_MS);
    let queries = cx.tx.scan::<Query>(&Key::new(&owner, &cx.region), None, SCAN_LIMIT).await?;
    let mut found: Vec<Query> = queries
        .into_iter()
        .map(|(_, query)| query)
        .filter(|query| query.stores.contains(&store) && query.created_ms > earliest)
        .filter(|query| start.is_none_or(|start| query.created_ms >= start) && end.is_none_or(|end| query.created_ms <= end))
        .filter(|query| wanted_status.is_none_or(|status| query.state.of_api() == *status))
        .collect();
    // Newest first; the place is a key that grows.
    let place = |query: &Query| format!("{:020}{}", i64::MAX - query.created_ms, query.id);
    found.sort_by_key(place);
    let filter = format!("{store} {start:?} {end:?} {wanted_status:?}");
    let limit = input.max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_LENGTH);
    let page = cx.page(found, place, &filter, input.next_token.as_deref(), limit).map_err(crate::of_page)?;
    let shown = page.items.into_iter().map(|query| QueryDescription {
        query_id: Some(query.id),
        query_status: Some(query.state.of_api()),
        creation_time: Some(Timestamp(query.created_ms)),
    });
    Ok(ListQueriesOutput { queries: Some(shown.collect()), next_token: page.next })
}
