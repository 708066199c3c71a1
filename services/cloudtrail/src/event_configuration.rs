//! `PutEventConfiguration` and `GetEventConfiguration`: how large the events of an event data store may be, and what they show of tags and
//! condition keys. Aggregated events of trails are not made here.
//!
//! Source: API reference, `PutEventConfiguration`: context keys need large events; a trail has aggregations, a store has the rest.

use api_cloudtrail::{
    ContextKeySelector, GetEventConfigurationInput, GetEventConfigurationOutput, MaxEventSize, PutEventConfigurationInput,
    PutEventConfigurationOutput, Type,
};
use plane::{ApiError, Call};

use crate::error::TrailError;
use crate::lake::error::LakeError;
use crate::lake::event_context::{EventConfiguration, is_known_key};
use crate::lake::event_data_store::{self, Content, EventDataStore};
use crate::trail;

/// What such a call is about.
enum Subject {
    Trail(String),
    Store(String),
}

fn subject(trail: Option<String>, store: Option<String>) -> Result<Subject, TrailError> {
    match (trail, store) {
        (Some(trail), None) => Ok(Subject::Trail(trail)),
        (None, Some(store)) => Ok(Subject::Store(store)),
        _ => Err(TrailError::Combination("Either a trail or an event data store must be given.")),
    }
}

/// The caller's store of CloudTrail events.
async fn store_of(cx: &mut Call, reference: &str) -> Result<EventDataStore, ApiError> {
    let store = event_data_store::find_active(cx, reference).await?;
    if matches!(store.content, Content::Events(_)) { Ok(store) } else { Err(LakeError::StoreCategory(store.arn()).into()) }
}

pub(crate) async fn put_event_configuration(
    cx: &mut Call,
    input: PutEventConfigurationInput,
) -> Result<PutEventConfigurationOutput, ApiError> {
    match subject(input.trail_name, input.event_data_store)? {
        Subject::Trail(name) => {
            if input.max_event_size.is_some() || input.context_key_selectors.is_some() {
                return Err(TrailError::Combination("Event sizes and context keys are settings of event data stores.").into());
            }
            let trail = trail::find_to_change(cx, &name).await?;
            let aggregations =
                input.aggregation_configurations.ok_or(TrailError::Combination("The aggregation configurations are missing."))?;
            if !aggregations.is_empty() {
                return Err(TrailError::Unsupported("Aggregated events are not supported here.").into());
            }
            Ok(PutEventConfigurationOutput {
                trail_arn: Some(trail.arn()),
                aggregation_configurations: Some(Vec::new()),
                ..PutEventConfigurationOutput::default()
            })
        }
        Subject::Store(reference) => {
            if input.aggregation_configurations.is_some() {
                return Err(TrailError::Combination("Aggregation configurations are settings of trails.").into());
            }
            let mut store = store_of(cx, &reference).await?;
            store.configuration = changed(store.configuration, input.max_event_size, input.context_key_selectors)?;
            store.updated_ms = cx.now.0;
            store.put(&mut cx.tx)?;
            Ok(PutEventConfigurationOutput {
                event_data_store_arn: Some(store.arn()),
                max_event_size: Some(shown_size(&store.configuration)),
                context_key_selectors: Some(shown_selectors(&store.configuration)),
                ..PutEventConfigurationOutput::default()
            })
        }
    }
}

/// The configuration after a change; what is not given stays.
fn changed(
    was: EventConfiguration,
    size: Option<MaxEventSize>,
    selectors: Option<Vec<ContextKeySelector>>,
) -> Result<EventConfiguration, TrailError> {
    let mut now = was;
    match size {
        Some(MaxEventSize::Standard) => now.large = false,
        Some(MaxEventSize::Large) => now.large = true,
        Some(MaxEventSize::Other(other)) => return Err(TrailError::Parameter(format!("The event size {other} is not valid."))),
        None => {}
    }
    if let Some(selectors) = selectors {
        now.tags.clear();
        now.conditions.clear();
        for selector in selectors {
            let keys = match &selector.type_ {
                Type::TagContext => &mut now.tags,
                Type::RequestContext => &mut now.conditions,
                Type::Other(other) => {
                    return Err(TrailError::Parameter(format!("The type {other} of a context key selector is not valid.")));
                }
            };
            if !keys.is_empty() {
                return Err(TrailError::Parameter("Each type of context key selector may be given once.".to_owned()));
            }
            *keys = selector.equals;
        }
        if let Some(unknown) = now.conditions.iter().find(|key| !is_known_key(key)) {
            return Err(TrailError::Parameter(format!("The condition key {unknown} is not one that events show.")));
        }
    }
    let shows_context = !now.tags.is_empty() || !now.conditions.is_empty();
    if shows_context && !now.large {
        return Err(TrailError::Combination("MaxEventSize must be Large when context key selectors are used."));
    }
    Ok(now)
}

fn shown_size(configuration: &EventConfiguration) -> MaxEventSize {
    if configuration.large { MaxEventSize::Large } else { MaxEventSize::Standard }
}

fn shown_selectors(configuration: &EventConfiguration) -> Vec<ContextKeySelector> {
    let selector = |type_, keys: &Vec<String>| ContextKeySelector { type_, equals: keys.clone() };
    let all = [selector(Type::TagContext, &configuration.tags), selector(Type::RequestContext, &configuration.conditions)];
    all.into_iter().filter(|selector| !selector.equals.is_empty()).collect()
}

pub(crate) async fn get_event_configuration(
    cx: &mut Call,
    input: GetEventConfigurationInput,
) -> Result<GetEventConfigurationOutput, ApiError> {
    match subject(input.trail_name, input.event_data_store)? {
        Subject::Trail(name) => {
            let trail = trail::find(cx, &name).await?;
            Ok(GetEventConfigurationOutput {
                trail_arn: Some(trail.arn()),
                aggregation_configurations: Some(Vec::new()),
                ..GetEventConfigurationOutput::default()
            })
        }
        Subject::Store(reference) => {
            let store = store_of(cx, &reference).await?;
            Ok(GetEventConfigurationOutput {
                event_data_store_arn: Some(store.arn()),
                max_event_size: Some(shown_size(&store.configuration)),
                context_key_selectors: Some(shown_selectors(&store.configuration)),
                ..GetEventConfigurationOutput::default()
            })
        }
    }
}
