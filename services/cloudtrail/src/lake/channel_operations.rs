//! Making, changing, reading and deleting channels.

use api_cloudtrail::{
    Channel as ChannelDescription, CreateChannelInput, CreateChannelOutput, DeleteChannelInput, DeleteChannelOutput, Destination,
    DestinationType, GetChannelInput, GetChannelOutput, IngestionStatus, ListChannelsInput, ListChannelsOutput, Tag, UpdateChannelInput,
    UpdateChannelOutput,
};
use plane::{ApiError, Call};
use wire::Timestamp;

use super::channel::{self, CHANNELS_LIMIT, Channel};
use super::error::LakeError;
use super::event_data_store::{self, Content};
use super::resource_policy;
use crate::tag;

const PAGE_LENGTH: usize = 100;
/// Events from anywhere; the names of AWS's partners are for their own integrations, which are not here.
const CUSTOM: &str = "Custom";

/// ARNs of the stores that the destinations name: active ones for events of channels.
async fn stores(cx: &mut Call, destinations: &[Destination]) -> Result<Vec<String>, ApiError> {
    let mut found = Vec::with_capacity(destinations.len());
    for destination in destinations {
        if destination.type_ != DestinationType::EventDataStore {
            return Err(LakeError::Parameter("The destination of an integration's channel is an event data store.".to_owned()).into());
        }
        let store = event_data_store::find_active(cx, &destination.location).await?;
        if !matches!(store.content, Content::Activity { .. }) {
            return Err(LakeError::StoreCategory(store.arn()).into());
        }
        if !found.contains(&store.arn()) {
            found.push(store.arn());
        }
    }
    Ok(found)
}

pub(crate) async fn create_channel(cx: &mut Call, input: CreateChannelInput) -> Result<CreateChannelOutput, ApiError> {
    if input.source != CUSTOM {
        return Err(LakeError::ChannelSource(input.source).into());
    }
    let existing = channel::of_account(cx).await?;
    if existing.iter().any(|channel| channel.name == input.name) {
        return Err(LakeError::ChannelExists(input.name).into());
    }
    if existing.len() >= CHANNELS_LIMIT {
        return Err(LakeError::TooManyChannels(CHANNELS_LIMIT).into());
    }
    let tags = tag::checked(input.tags.unwrap_or_default())?;
    let stores = stores(cx, &input.destinations).await?;
    let channel = Channel {
        id: cx.random_uuid()?,
        name: input.name,
        account: cx.account.clone(),
        region: cx.region.clone(),
        source: input.source,
        stores,
        tags,
        ingestion: channel::Ingestion::default(),
    };
    channel.put(&mut cx.tx)?;
    cx.touch("AWS::CloudTrail::Channel", &channel.arn(), &channel.account);
    Ok(CreateChannelOutput {
        channel_arn: Some(channel.arn()),
        destinations: Some(channel.destinations()),
        tags: Some(channel.tags.iter().map(|(key, value)| Tag { key: key.clone(), value: Some(value.clone()) }).collect()),
        name: Some(channel.name),
        source: Some(channel.source),
    })
}

pub(crate) async fn get_channel(cx: &mut Call, input: GetChannelInput) -> Result<GetChannelOutput, ApiError> {
    let channel = channel::find(cx, &input.channel).await?;
    let ingestion = &channel.ingestion;
    Ok(GetChannelOutput {
        channel_arn: Some(channel.arn()),
        destinations: Some(channel.destinations()),
        ingestion_status: Some(IngestionStatus {
            latest_ingestion_success_time: ingestion.success_ms.map(Timestamp),
            latest_ingestion_success_event_id: ingestion.success_event.clone(),
            latest_ingestion_error_code: ingestion.error_code.clone(),
            latest_ingestion_attempt_time: ingestion.attempt_ms.map(Timestamp),
            latest_ingestion_attempt_event_id: ingestion.attempt_event.clone(),
        }),
        name: Some(channel.name),
        source: Some(channel.source),
        source_config: None,
    })
}

pub(crate) async fn list_channels(cx: &mut Call, input: ListChannelsInput) -> Result<ListChannelsOutput, ApiError> {
    let channels = channel::of_account(cx).await?;
    let limit = input.max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_LENGTH);
    let page = cx.page(channels, |channel| channel.id.clone(), "", input.next_token.as_deref(), limit).map_err(crate::of_page)?;
    let shown = page.items.into_iter().map(|channel| ChannelDescription { channel_arn: Some(channel.arn()), name: Some(channel.name) });
    Ok(ListChannelsOutput { channels: Some(shown.collect()), next_token: page.next })
}

pub(crate) async fn update_channel(cx: &mut Call, input: UpdateChannelInput) -> Result<UpdateChannelOutput, ApiError> {
    let mut channel = channel::find(cx, &input.channel).await?;
    if let Some(name) = input.name.filter(|name| *name != channel.name) {
        if channel::of_account(cx).await?.iter().any(|other| other.name == name) {
            return Err(LakeError::ChannelExists(name).into());
        }
        channel.name = name;
    }
    if let Some(destinations) = input.destinations {
        channel.stores = stores(cx, &destinations).await?;
    }
    channel.put(&mut cx.tx)?;
    Ok(UpdateChannelOutput {
        channel_arn: Some(channel.arn()),
        destinations: Some(channel.destinations()),
        name: Some(channel.name),
        source: Some(channel.source),
    })
}

pub(crate) async fn delete_channel(cx: &mut Call, input: DeleteChannelInput) -> Result<DeleteChannelOutput, ApiError> {
    let channel = channel::find(cx, &input.channel).await?;
    cx.tx.delete::<Channel>(&Channel::key(&channel.account, &channel.region, &channel.id));
    resource_policy::forget(&mut cx.tx, &channel.arn());
    Ok(DeleteChannelOutput {})
}
