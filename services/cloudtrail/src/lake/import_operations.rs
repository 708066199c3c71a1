//! Starting, watching, stopping and listing imports.
//!
//! Source: CloudTrail API reference, `StartImport`; CloudTrail User Guide, "Copy trail events to CloudTrail Lake".

use api_cloudtrail::{
    GetImportInput, GetImportOutput, ImportFailureListItem, ImportFailureStatus, ImportStatus, ImportsListItem, ListImportFailuresInput,
    ListImportFailuresOutput, ListImportsInput, ListImportsOutput, StartImportInput, StartImportOutput, StopImportInput, StopImportOutput,
};
use plane::{ApiError, Call, authorize};
use wire::Timestamp;

use super::error::LakeError;
use super::event_data_store::{self, Content, Status};
use super::import::{self, Import, Progress};
use super::import_run;

const PAGE_LENGTH: usize = 100;

pub(crate) async fn start_import(cx: &mut Call, input: StartImportInput) -> Result<StartImportOutput, ApiError> {
    let import = match input.import_id {
        Some(id) => {
            if input.destinations.is_some() || input.import_source.is_some() {
                return Err(LakeError::Parameter("An import that is started again takes no other parameters.".to_owned()).into());
            }
            again(cx, &id).await?
        }
        None => new(cx, input).await?,
    };
    import.put(&mut cx.tx)?;
    import_run::start(&cx.plane, &import.region, &import.account, &import.id);
    Ok(StartImportOutput {
        import_source: Some(import.source()),
        destinations: Some(vec![import.store_arn.clone()]),
        start_event_time: import.start_ms.map(Timestamp),
        end_event_time: import.end_ms.map(Timestamp),
        import_status: Some(import.status.of_api()),
        created_timestamp: Some(Timestamp(import.created_ms)),
        updated_timestamp: Some(Timestamp(import.updated_ms)),
        import_id: Some(import.id),
    })
}

/// A stopped or failed import goes on where it ended.
async fn again(cx: &mut Call, id: &str) -> Result<Import, ApiError> {
    let mut import = import::find(cx, id).await?;
    if !matches!(import.status, Progress::Stopped | Progress::Failed) {
        return Err(LakeError::Parameter(format!("The import {id} is not one that was stopped or has failed.")).into());
    }
    if import::is_ongoing(cx, None).await? {
        return Err(LakeError::ImportOngoing.into());
    }
    into_store(cx, &import.store_arn.clone()).await?;
    import.status = Progress::Initializing;
    import.updated_ms = cx.now.0;
    Ok(import)
}

async fn into_store(cx: &mut Call, reference: &str) -> Result<String, ApiError> {
    let store = event_data_store::find(cx, reference).await?;
    match (&store.content, store.status) {
        (_, Status::PendingDeletion) => Err(LakeError::StoreInactive(store.arn()).into()),
        (Content::Activity { .. }, _) => Err(LakeError::StoreCategory(store.arn()).into()),
        _ => Ok(store.arn()),
    }
}

async fn new(cx: &mut Call, input: StartImportInput) -> Result<Import, ApiError> {
    let (Some(destinations), Some(source)) = (input.destinations, input.import_source) else {
        return Err(LakeError::Parameter("A new import needs a destination and a source.".to_owned()).into());
    };
    let (start_ms, end_ms) = (input.start_event_time.map(|time| time.0), input.end_event_time.map(|time| time.0));
    if let (Some(start), Some(end)) = (start_ms, end_ms)
        && start >= end
    {
        return Err(LakeError::Parameter("The start event time must be before the end event time.".to_owned()).into());
    }
    let reference = destinations.first().cloned().unwrap_or_default();
    let store_arn = into_store(cx, &reference).await?;
    if import::is_ongoing(cx, None).await? {
        return Err(LakeError::ImportOngoing.into());
    }
    let s3 = source.s3;
    let place =
        s3.s3_location_uri.strip_prefix("s3://").ok_or_else(|| LakeError::ImportSource("the location is not an S3 URI.".to_owned()))?;
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    if bucket.is_empty() {
        return Err(LakeError::ImportSource("the location names no bucket.".to_owned()).into());
    }
    if cx.plane.regions.position(&s3.s3_bucket_region).is_none() {
        return Err(LakeError::ImportSource(format!("the region {} is not served here.", s3.s3_bucket_region)).into());
    }
    let role_arn = s3.s3_bucket_access_role_arn;
    let own_role = format!("arn:{}:iam::{}:role/", plane::PARTITION, cx.account);
    if !role_arn.starts_with(&own_role) {
        return Err(LakeError::ImportSource("the role is not one of this account.".to_owned()).into());
    }
    if let Some(refusal) = authorize::check(cx, "iam:PassRole", &role_arn).await? {
        return Err(refusal);
    }
    let now_ms = cx.now.0;
    let id = match cx.recall::<String>("import") {
        Some(id) => id,
        None => cx.random_uuid()?,
    };
    cx.remember("import", id.clone());
    Ok(Import {
        id,
        account: cx.account.clone(),
        region: cx.region.clone(),
        store_arn,
        uri: s3.s3_location_uri.clone(),
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        bucket_region: s3.s3_bucket_region,
        role_arn,
        start_ms,
        end_ms,
        status: Progress::Initializing,
        created_ms: now_ms,
        updated_ms: now_ms,
        cursor: None,
        files: 0,
        events: 0,
        failed: 0,
        failures: Vec::new(),
    })
}

pub(crate) async fn get_import(cx: &mut Call, input: GetImportInput) -> Result<GetImportOutput, ApiError> {
    let import = import::find(cx, &input.import_id).await?;
    Ok(GetImportOutput {
        import_source: Some(import.source()),
        import_statistics: Some(import.statistics()),
        destinations: Some(vec![import.store_arn.clone()]),
        start_event_time: import.start_ms.map(Timestamp),
        end_event_time: import.end_ms.map(Timestamp),
        import_status: Some(import.status.of_api()),
        created_timestamp: Some(Timestamp(import.created_ms)),
        updated_timestamp: Some(Timestamp(import.updated_ms)),
        import_id: Some(import.id),
    })
}

pub(crate) async fn stop_import(cx: &mut Call, input: StopImportInput) -> Result<StopImportOutput, ApiError> {
    let mut import = import::find(cx, &input.import_id).await?;
    if !import.status.is_open() {
        return Err(LakeError::Parameter(format!("The import {} has ended.", import.id)).into());
    }
    import.status = Progress::Stopped;
    import.updated_ms = cx.now.0;
    import.put(&mut cx.tx)?;
    Ok(StopImportOutput {
        import_source: Some(import.source()),
        import_statistics: Some(import.statistics()),
        destinations: Some(vec![import.store_arn.clone()]),
        start_event_time: import.start_ms.map(Timestamp),
        end_event_time: import.end_ms.map(Timestamp),
        import_status: Some(import.status.of_api()),
        created_timestamp: Some(Timestamp(import.created_ms)),
        updated_timestamp: Some(Timestamp(import.updated_ms)),
        import_id: Some(import.id),
    })
}

pub(crate) async fn list_imports(cx: &mut Call, input: ListImportsInput) -> Result<ListImportsOutput, ApiError> {
    let store = match &input.destination {
        Some(reference) => Some(event_data_store::arn(&cx.region, &cx.account, &event_data_store::id_of(cx, reference)?)),
        None => None,
    };
    if let Some(ImportStatus::Other(other)) = &input.import_status {
        return Err(LakeError::Parameter(format!("The import status {other} is not valid.")).into());
    }
    let mut imports = import::of_account(cx).await?;
    imports.retain(|import| {
        store.as_ref().is_none_or(|store| import.store_arn == *store)
            && input.import_status.as_ref().is_none_or(|status| import.status.of_api() == *status)
    });
    let filter = format!("{store:?} {:?}", input.import_status);
    let limit = input.max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_LENGTH);
    let page = cx.page(imports, |import| import.id.clone(), &filter, input.next_token.as_deref(), limit).map_err(crate::of_page)?;
    let shown = page.items.into_iter().map(|import| ImportsListItem {
        destinations: Some(vec![import.store_arn.clone()]),
        import_status: Some(import.status.of_api()),
        created_timestamp: Some(Timestamp(import.created_ms)),
        updated_timestamp: Some(Timestamp(import.updated_ms)),
        import_id: Some(import.id),
    });
    Ok(ListImportsOutput { imports: Some(shown.collect()), next_token: page.next })
}

pub(crate) async fn list_import_failures(cx: &mut Call, input: ListImportFailuresInput) -> Result<ListImportFailuresOutput, ApiError> {
    // The API lists no error for an import that does not exist; AWS's general one for parameters says it.
    let import = import::find(cx, &input.import_id)
        .await
        .map_err(|error| if error.code == "ImportNotFoundException" { LakeError::Parameter(error.message).into() } else { error })?;
    let failures: Vec<_> = import.failures.into_iter().enumerate().collect();
    let limit = input.max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_LENGTH);
    let page =
        cx.page(failures, |(number, _)| format!("{number:06}"), &import.id, input.next_token.as_deref(), limit).map_err(crate::of_page)?;
    let shown = page.items.into_iter().map(|(_, failure)| ImportFailureListItem {
        location: Some(failure.location),
        status: Some(ImportFailureStatus::Failed),
        error_type: Some(failure.error_type),
        error_message: Some(failure.message),
        last_updated_time: Some(Timestamp(failure.at_ms)),
    });
    Ok(ListImportFailuresOutput { failures: Some(shown.collect()), next_token: page.next })
}
