//! Making, changing, reading, deleting and restoring event data stores; starting and stopping what they take.

use api_cloudtrail::{
    BillingMode, CreateEventDataStoreInput, CreateEventDataStoreOutput, DeleteEventDataStoreInput, DeleteEventDataStoreOutput,
    EventDataStore as StoreDescription, EventDataStoreStatus, FederationStatus, GetEventDataStoreInput, GetEventDataStoreOutput,
    ListEventDataStoresInput, ListEventDataStoresOutput, RestoreEventDataStoreInput, RestoreEventDataStoreOutput,
    StartEventDataStoreIngestionInput, StartEventDataStoreIngestionOutput, StopEventDataStoreIngestionInput,
    StopEventDataStoreIngestionOutput, Tag, UpdateEventDataStoreInput, UpdateEventDataStoreOutput,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plane::{ApiError, Call};
use policy::MapContext;
use wire::Timestamp;

use super::error::LakeError;
use super::event_context::EventConfiguration;
use super::event_data_store::{self, Content, EventDataStore, STORES_LIMIT, Status, StoreKey};
use super::{channel, import, round};
use crate::{destination, tag};

const PAGE_LENGTH: usize = 100;
/// Days that events are kept: default and most, by pricing. Source: API reference, `CreateEventDataStore`.
const EXTENDABLE_DAYS: (i32, i32) = (366, 3653);
const FIXED_DAYS: (i32, i32) = (2557, 2557);

fn retention(extendable: bool, wanted: Option<i32>) -> Result<i32, LakeError> {
    let (default, most) = if extendable { EXTENDABLE_DAYS } else { FIXED_DAYS };
    let days = wanted.unwrap_or(default);
    if days > most {
        return Err(LakeError::Parameter(format!("The retention period of this pricing option is at most {most} days.")));
    }
    Ok(days)
}

fn is_extendable(mode: Option<&BillingMode>, now: bool) -> Result<bool, LakeError> {
    match mode {
        None => Ok(now),
        Some(BillingMode::ExtendableRetentionPricing) => Ok(true),
        Some(BillingMode::FixedRetentionPricing) => Ok(false),
        Some(BillingMode::Other(other)) => Err(LakeError::Parameter(format!("The billing mode {other} is not valid."))),
    }
}

fn refuse_organization(wanted: Option<bool>) -> Result<(), LakeError> {
    if wanted == Some(true) {
        return Err(LakeError::Unsupported("Event data stores of an organization are not supported here."));
    }
    Ok(())
}

/// Events of channels cannot be told apart by region, and AWS takes them in one.
fn is_multi_region(content: &Content, wanted: Option<bool>) -> bool {
    matches!(content, Content::Events(_)) && wanted.unwrap_or(true)
}

pub(crate) async fn create_event_data_store(
    cx: &mut Call,
    input: CreateEventDataStoreInput,
) -> Result<CreateEventDataStoreOutput, ApiError> {
    refuse_organization(input.organization_enabled)?;
    let extendable = is_extendable(input.billing_mode.as_ref(), true)?;
    let retention_days = retention(extendable, input.retention_period)?;
    let content = event_data_store::content(input.advanced_event_selectors)?;
    let tags = tag::checked(input.tags_list.unwrap_or_default())?;
    let existing = event_data_store::of_account(&mut cx.tx, &cx.account.clone(), &cx.region.clone()).await?;
    if existing.iter().any(|store| store.name == input.name) {
        return Err(LakeError::StoreExists(input.name).into());
    }
    if existing.len() >= STORES_LIMIT {
        return Err(LakeError::TooManyStores(STORES_LIMIT).into());
    }
    let id = match cx.recall::<String>("event-data-store") {
        Some(id) => id,
        None => cx.random_uuid()?,
    };
    cx.remember("event-data-store", id.clone());
    let arn = event_data_store::arn(&cx.region, &cx.account, &id);
    let key = match input.kms_key_id.filter(|key| !key.is_empty()) {
        Some(key) => Some(store_key(cx, &arn, &key).await?),
        None => None,
    };
    let now_ms = cx.now.0;
    let mut store = EventDataStore {
        id,
        name: input.name,
        account: cx.account.clone(),
        region: cx.region.clone(),
        status: Status::StoppedIngestion,
        multi_region: is_multi_region(&content, input.multi_region_enabled),
        content,
        retention_days,
        gone_before_ms: None,
        termination_protection: input.termination_protection_enabled.unwrap_or(true),
        extendable,
        key,
        created_ms: now_ms,
        updated_ms: now_ms,
        deleted_ms: None,
        periods: Vec::new(),
        tags,
        configuration: EventConfiguration::default(),
        next_batch: 0,
    };
    if input.start_ingestion.unwrap_or(true) {
        store.start(now_ms);
    }
    store.put(&mut cx.tx)?;
    round::note_account(cx).await?;
    cx.touch("AWS::CloudTrail::EventDataStore", &arn, &store.account);
    let tags = store.tags.iter().map(|(key, value)| Tag { key: key.clone(), value: Some(value.clone()) }).collect();
    Ok(CreateEventDataStoreOutput {
        event_data_store_arn: Some(arn),
        advanced_event_selectors: Some(store.advanced_selectors()),
        billing_mode: Some(store.billing()),
        status: Some(if store.status == Status::Enabled { EventDataStoreStatus::Created } else { store.status.of_api() }),
        name: Some(store.name),
        multi_region_enabled: Some(store.multi_region),
        organization_enabled: Some(false),
        retention_period: Some(store.retention_days),
        termination_protection_enabled: Some(store.termination_protection),
        tags_list: Some(tags),
        created_timestamp: Some(Timestamp(store.created_ms)),
        updated_timestamp: Some(Timestamp(store.updated_ms)),
        kms_key_id: store.key.map(|key| key.arn),
    })
}

/// A data key under the customer's key, made by CloudTrail for this store.
///
/// Source: CloudTrail User Guide, "Configure AWS KMS key policies for CloudTrail", on event data stores.
async fn store_key(cx: &mut Call, store_arn: &str, key: &str) -> Result<StoreKey, ApiError> {
    let name = if key.starts_with("arn:") || key.starts_with("alias/") {
        key.to_owned()
    } else {
        format!("arn:{}:kms:{}:{}:key/{key}", plane::PARTITION, cx.region, cx.account)
    };
    let missing = || LakeError::KeyMissing(key.to_owned());
    let described = cx
        .forward(api_kms::DescribeKeyInput { key_id: name, grant_tokens: None })
        .await
        .map_err(|error| if error.code == "NotFoundException" { missing().into() } else { error })?;
    let arn = described.key_metadata.and_then(|metadata| metadata.arn).ok_or_else(missing)?;
    let caller = destination::caller(store_arn, &cx.account);
    let plane = std::sync::Arc::clone(&cx.plane);
    let keys = MapContext::new();
    for action in ["GenerateDataKey", "Decrypt"] {
        let full = format!("kms:{action}");
        if !plane.is_service_allowed(&caller, &cx.region, ("kms", action), (&full, &arn), &keys).await? {
            return Err(LakeError::KeyPolicy(arn).into());
        }
    }
    let input = api_kms::GenerateDataKeyInput {
        key_id: arn.clone(),
        encryption_context: Some([("aws:cloudtrail:arn".to_owned(), store_arn.to_owned())].into()),
        number_of_bytes: Some(32),
        key_spec: None,
        grant_tokens: None,
        recipient: None,
        dry_run: None,
    };
    let made = plane.call_as_service(&caller, &cx.region, input, None).await.map_err(|_| LakeError::KeyPolicy(arn.clone()))?;
    let wrapped = made.ciphertext_blob.map(|blob| STANDARD.encode(blob)).ok_or_else(missing)?;
    let key = StoreKey { arn, wrapped };
    Ok(key)
}

pub(crate) async fn update_event_data_store(
    cx: &mut Call,
    input: UpdateEventDataStoreInput,
) -> Result<UpdateEventDataStoreOutput, ApiError> {
    refuse_organization(input.organization_enabled)?;
    let mut store = event_data_store::find_active(cx, &input.event_data_store).await?;
    if let Some(name) = input.name.filter(|name| *name != store.name) {
        let others = event_data_store::of_account(&mut cx.tx, &store.account, &store.region).await?;
        if others.iter().any(|other| other.name == name) {
            return Err(LakeError::StoreExists(name).into());
        }
        store.name = name;
    }
    if let Some(selectors) = input.advanced_event_selectors {
        let content = event_data_store::content(Some(selectors))?;
        if std::mem::discriminant(&content) != std::mem::discriminant(&store.content) {
            return Err(LakeError::Selectors("The category of an event data store cannot be changed.".to_owned()).into());
        }
        store.content = content;
    }
    if let Some(multi_region) = input.multi_region_enabled {
        store.multi_region = is_multi_region(&store.content, Some(multi_region));
    }
    let extendable = is_extendable(input.billing_mode.as_ref(), store.extendable)?;
    if store.extendable && !extendable {
        return Err(LakeError::Parameter("The pricing option cannot be changed to seven-year retention pricing.".to_owned()).into());
    }
    store.extendable = extendable;
    if let Some(days) = input.retention_period {
        store.keep_for(retention(extendable, Some(days))?, cx.now.0);
    }
    if let Some(protection) = input.termination_protection_enabled {
        store.termination_protection = protection;
    }
    if let Some(key) = input.kms_key_id.filter(|key| !key.is_empty()) {
        if store.key.as_ref().is_some_and(|current| current.arn != key) {
            return Err(LakeError::Parameter("The KMS key of an event data store cannot be changed.".to_owned()).into());
        }
        store.key = Some(store_key(cx, &store.arn(), &key).await?);
    }
    store.updated_ms = cx.now.0;
    store.put(&mut cx.tx)?;
    Ok(UpdateEventDataStoreOutput {
        event_data_store_arn: Some(store.arn()),
        advanced_event_selectors: Some(store.advanced_selectors()),
        billing_mode: Some(store.billing()),
        status: Some(store.status.of_api()),
        name: Some(store.name),
        multi_region_enabled: Some(store.multi_region),
        organization_enabled: Some(false),
        retention_period: Some(store.retention_days),
        termination_protection_enabled: Some(store.termination_protection),
        created_timestamp: Some(Timestamp(store.created_ms)),
        updated_timestamp: Some(Timestamp(store.updated_ms)),
        kms_key_id: store.key.map(|key| key.arn),
        federation_status: Some(FederationStatus::Disabled),
        federation_role_arn: None,
    })
}

pub(crate) async fn get_event_data_store(cx: &mut Call, input: GetEventDataStoreInput) -> Result<GetEventDataStoreOutput, ApiError> {
    let store = event_data_store::find_shared(cx, &input.event_data_store).await?;
    Ok(GetEventDataStoreOutput {
        event_data_store_arn: Some(store.arn()),
        advanced_event_selectors: Some(store.advanced_selectors()),
        billing_mode: Some(store.billing()),
        status: Some(store.status.of_api()),
        name: Some(store.name),
        multi_region_enabled: Some(store.multi_region),
        organization_enabled: Some(false),
        retention_period: Some(store.retention_days),
        termination_protection_enabled: Some(store.termination_protection),
        created_timestamp: Some(Timestamp(store.created_ms)),
        updated_timestamp: Some(Timestamp(store.updated_ms)),
        kms_key_id: store.key.map(|key| key.arn),
        federation_status: Some(FederationStatus::Disabled),
        ..GetEventDataStoreOutput::default()
    })
}

pub(crate) async fn list_event_data_stores(cx: &mut Call, input: ListEventDataStoresInput) -> Result<ListEventDataStoresOutput, ApiError> {
    let stores = event_data_store::of_account(&mut cx.tx, &cx.account.clone(), &cx.region.clone()).await?;
    let limit = input.max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_LENGTH);
    let page = cx.page(stores, |store| store.id.clone(), "", input.next_token.as_deref(), limit).map_err(crate::of_page)?;
    // AWS shows name and ARN here since 2023; the rest is for `GetEventDataStore`.
    let shown = page.items.into_iter().map(|store| StoreDescription {
        event_data_store_arn: Some(store.arn()),
        name: Some(store.name),
        ..StoreDescription::default()
    });
    Ok(ListEventDataStoresOutput { event_data_stores: Some(shown.collect()), next_token: page.next })
}

pub(crate) async fn delete_event_data_store(
    cx: &mut Call,
    input: DeleteEventDataStoreInput,
) -> Result<DeleteEventDataStoreOutput, ApiError> {
    let mut store = event_data_store::find_active(cx, &input.event_data_store).await?;
    if store.termination_protection {
        return Err(LakeError::StoreProtected(store.arn()).into());
    }
    if channel::of_account(cx).await?.iter().any(|channel| channel.stores.contains(&store.arn())) {
        return Err(LakeError::StoreHasChannels(store.arn()).into());
    }
    if import::is_ongoing(cx, Some(&store.arn())).await? {
        return Err(LakeError::StoreHasImport(store.arn()).into());
    }
    let now_ms = cx.now.0;
    store.stop(now_ms);
    store.status = Status::PendingDeletion;
    store.deleted_ms = Some(now_ms);
    store.updated_ms = now_ms;
    store.put(&mut cx.tx)?;
    Ok(DeleteEventDataStoreOutput {})
}

pub(crate) async fn restore_event_data_store(
    cx: &mut Call,
    input: RestoreEventDataStoreInput,
) -> Result<RestoreEventDataStoreOutput, ApiError> {
    let mut store = event_data_store::find(cx, &input.event_data_store).await?;
    if store.status != Status::PendingDeletion {
        return Err(LakeError::StoreStatus { store: store.arn(), status: store.status.name() }.into());
    }
    let now_ms = cx.now.0;
    store.deleted_ms = None;
    store.updated_ms = now_ms;
    store.start(now_ms);
    store.put(&mut cx.tx)?;
    Ok(RestoreEventDataStoreOutput {
        event_data_store_arn: Some(store.arn()),
        advanced_event_selectors: Some(store.advanced_selectors()),
        billing_mode: Some(store.billing()),
        status: Some(store.status.of_api()),
        name: Some(store.name),
        multi_region_enabled: Some(store.multi_region),
        organization_enabled: Some(false),
        retention_period: Some(store.retention_days),
        termination_protection_enabled: Some(store.termination_protection),
        created_timestamp: Some(Timestamp(store.created_ms)),
        updated_timestamp: Some(Timestamp(store.updated_ms)),
        kms_key_id: store.key.map(|key| key.arn),
    })
}

/// A store of CloudTrail events in this status; another status is an error.
async fn to_switch(cx: &mut Call, reference: &str, from: Status) -> Result<EventDataStore, ApiError> {
    let store = event_data_store::find(cx, reference).await?;
    if !matches!(store.content, Content::Events(_)) {
        return Err(LakeError::StoreCategory(store.arn()).into());
    }
    if store.status != from {
        return Err(LakeError::StoreStatus { store: store.arn(), status: store.status.name() }.into());
    }
    Ok(store)
}

pub(crate) async fn start_event_data_store_ingestion(
    cx: &mut Call,
    input: StartEventDataStoreIngestionInput,
) -> Result<StartEventDataStoreIngestionOutput, ApiError> {
    let mut store = to_switch(cx, &input.event_data_store, Status::StoppedIngestion).await?;
    store.start(cx.now.0);
    store.updated_ms = cx.now.0;
    store.put(&mut cx.tx)?;
    Ok(StartEventDataStoreIngestionOutput {})
}

pub(crate) async fn stop_event_data_store_ingestion(
    cx: &mut Call,
    input: StopEventDataStoreIngestionInput,
) -> Result<StopEventDataStoreIngestionOutput, ApiError> {
    let mut store = to_switch(cx, &input.event_data_store, Status::Enabled).await?;
    store.stop(cx.now.0);
    store.updated_ms = cx.now.0;
    store.put(&mut cx.tx)?;
    Ok(StopEventDataStoreIngestionOutput {})
}
