//! Log groups.
//!
//! Source: CloudWatch Logs API reference, `CreateLogGroup` and its kin.

use api_logs::{
    CreateLogGroupInput, CreateLogGroupOutput, DeleteLogGroupInput, DeleteLogGroupOutput, DescribeLogGroupsInput, DescribeLogGroupsOutput,
    ListLogGroupsInput, ListLogGroupsOutput, LogGroup, LogGroupClass, LogGroupSummary, PutLogGroupDeletionProtectionInput,
    PutLogGroupDeletionProtectionOutput, TagFilter,
};
use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;

use crate::encryption::DataKeyRecord;
use crate::error::{LogsError, unsupported};
use crate::retention::DAY_MS;
use crate::sweep::Doomed;
use crate::{encryption, listing, log_stream, tag};

/// Items of a page when the caller does not say.
const PAGE: usize = 50;
/// Names below this are AWS's own.
const RESERVED: &str = "aws/";
pub(crate) const GROUP_TYPE: &str = "AWS::Logs::LogGroup";

/// A log group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LogGroupRecord {
    /// Never used again: a group of the same name that is made later is another one.
    pub id: String,
    pub name: String,
    pub created_ms: i64,
    #[serde(default)]
    pub retention_days: Option<i32>,
    /// Which of `data_keys` new events are under.
    #[serde(default)]
    pub data_key: Option<usize>,
    /// Every data key that an event may be under.
    #[serde(default)]
    pub data_keys: Vec<DataKeyRecord>,
    #[serde(default)]
    pub deletion_protected: bool,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
}

impl Record for LogGroupRecord {
    const TABLE: Table = Table("logs-group");
    const SCOPE: Scope = Scope::Region;
}

/// Finds every group of a region, for the background work. Written with its group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct GroupLocation {
    pub account: String,
    pub name: String,
}

impl Record for GroupLocation {
    const TABLE: Table = Table("logs-group-location");
    const SCOPE: Scope = Scope::Region;
}

impl GroupLocation {
    pub(crate) fn key(region: &str, group_id: &str) -> Key {
        Key::new("", region).last(group_id)
    }
}

impl LogGroupRecord {
    /// ARN without the `:*` at its end.
    pub(crate) fn arn(&self, region: &str, account: &str) -> String {
        group_arn(region, account, &self.name)
    }

    /// Events that are older are not read any more.
    pub(crate) fn kept_since_ms(&self, now_ms: i64) -> i64 {
        self.retention_days.map_or(i64::MIN, |days| now_ms.saturating_sub(i64::from(days).saturating_mul(DAY_MS)))
    }

    pub(crate) fn kms_key_arn(&self) -> Option<&str> {
        self.data_key.and_then(|at| self.data_keys.get(at)).map(|key| key.kms_key_arn.as_str())
    }
}

/// The ARN of a log group, without `:*` at its end.
pub fn group_arn(region: &str, account: &str, name: &str) -> String {
    format!("arn:{}:logs:{region}:{account}:log-group:{name}", plane::PARTITION)
}

/// Region, account and name in the ARN of a log group, with or without `:*` at its end.
pub fn parse_group_arn(arn: &str) -> Option<(&str, &str, &str)> {
    let mut parts = arn.splitn(6, ':');
    let (scheme, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
    let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
    let name = resource.strip_prefix("log-group:")?;
    let name = name.strip_suffix(":*").unwrap_or(name);
    let is_group = scheme == "arn" && partition == plane::PARTITION && service == "logs" && !name.is_empty() && !name.contains([':', '*']);
    is_group.then_some((region, account, name))
}

pub(crate) fn key(account: &str, region: &str, name: &str) -> Key {
    Key::new(account, region).last(name)
}

pub(crate) async fn find(tx: &mut Transaction, account: &str, region: &str, name: &str) -> Result<Option<LogGroupRecord>, ApiError> {
    tx.get(&key(account, region, name)).await
}

/// The group of the caller's account.
pub(crate) async fn load(cx: &mut Call, name: &str) -> Result<LogGroupRecord, ApiError> {
    let (account, region) = (cx.account.clone(), cx.region.clone());
    let found = find(&mut cx.tx, &account, &region, name).await?;
    cx.touch(GROUP_TYPE, &group_arn(&region, &account, name), &account);
    found.ok_or_else(|| LogsError::GroupMissing.into())
}

/// As [`load`], by one of two members: exactly one must be given, the second may be a name or an ARN.
pub(crate) async fn load_either(cx: &mut Call, name: Option<&str>, identifier: Option<&str>) -> Result<LogGroupRecord, ApiError> {
    let name = name_of_either(cx, name, identifier)?;
    load(cx, &name).await
}

fn name_of_either(cx: &Call, name: Option<&str>, identifier: Option<&str>) -> Result<String, ApiError> {
    match (name, identifier) {
        (Some(_), Some(_)) => Err(LogsError::parameter("LogGroup name and LogGroup ARN are mutually exclusive parameters.").into()),
        (None, None) => Err(LogsError::parameter("At least one of LogGroup name or LogGroup ARN must be specified.").into()),
        (Some(name), None) => Ok(name.to_owned()),
        (None, Some(identifier)) => name_of(cx, identifier),
    }
}

/// The name in an identifier that is a name or an ARN of the caller's account and region.
pub(crate) fn name_of(cx: &Call, identifier: &str) -> Result<String, ApiError> {
    if !identifier.starts_with("arn:") {
        return Ok(identifier.to_owned());
    }
    let (region, account, name) =
        parse_group_arn(identifier).ok_or_else(|| LogsError::parameter("The specified log group ARN is not valid."))?;
    if region != cx.region || account != cx.account {
        return Err(LogsError::GroupMissing.into());
    }
    Ok(name.to_owned())
}

pub(crate) fn save(cx: &mut Call, group: &LogGroupRecord) -> Result<(), ApiError> {
    cx.tx.put(&key(&cx.account, &cx.region, &group.name), group)
}

pub(crate) async fn create_log_group(cx: &mut Call, input: CreateLogGroupInput) -> Result<CreateLogGroupOutput, ApiError> {
    let name = input.log_group_name;
    if input.log_group_class.is_some_and(|class| class != LogGroupClass::Standard) {
        return Err(unsupported("logGroupClass"));
    }
    if name.starts_with(RESERVED) {
        return Err(LogsError::parameter(format!("Log groups starting with {RESERVED} are reserved for AWS.")).into());
    }
    let (account, region) = (cx.account.clone(), cx.region.clone());
    if find(&mut cx.tx, &account, &region, &name).await?.is_some() {
        return Err(LogsError::GroupExists.into());
    }
    let mut group = LogGroupRecord {
        id: cx.random_uuid()?,
        name,
        created_ms: cx.now.0,
        retention_days: None,
        data_key: None,
        data_keys: Vec::new(),
        deletion_protected: input.deletion_protection_enabled.unwrap_or(false),
        tags: tag::from_map(input.tags.unwrap_or_default())?,
    };
    if let Some(kms_key) = &input.kms_key_id {
        encryption::associate(cx, &mut group, kms_key).await?;
    }
    cx.tx.put(&GroupLocation::key(&region, &group.id), &GroupLocation { account: account.clone(), name: group.name.clone() })?;
    cx.touch(GROUP_TYPE, &group.arn(&region, &account), &account);
    save(cx, &group)?;
    Ok(CreateLogGroupOutput {})
}

pub(crate) async fn delete_log_group(cx: &mut Call, input: DeleteLogGroupInput) -> Result<DeleteLogGroupOutput, ApiError> {
    let group = load(cx, &input.log_group_name).await?;
    if group.deletion_protected {
        return Err(LogsError::Protected.into());
    }
    let (account, region) = (cx.account.clone(), cx.region.clone());
    cx.tx.delete::<LogGroupRecord>(&key(&account, &region, &group.name));
    cx.tx.delete::<GroupLocation>(&GroupLocation::key(&region, &group.id));
    crate::resource_policy::forget(cx, &group.arn(&region, &account));
    let doomed = Doomed { account, group_id: group.id.clone(), stream_id: None };
    cx.tx.put(&Doomed::key(&region, &group.id), &doomed)?;
    Ok(DeleteLogGroupOutput {})
}

pub(crate) async fn put_log_group_deletion_protection(
    cx: &mut Call,
    input: PutLogGroupDeletionProtectionInput,
) -> Result<PutLogGroupDeletionProtectionOutput, ApiError> {
    let mut group = load_either(cx, None, Some(&input.log_group_identifier)).await?;
    group.deletion_protected = input.deletion_protection_enabled;
    save(cx, &group)?;
    Ok(PutLogGroupDeletionProtectionOutput {})
}

/// Refuses to look into other accounts.
pub(crate) fn own_account_only(cx: &Call, accounts: Option<&[String]>, linked: Option<bool>) -> Result<(), ApiError> {
    if linked == Some(true) {
        return Err(unsupported("includeLinkedAccounts"));
    }
    if accounts.is_some_and(|accounts| accounts.iter().any(|account| *account != cx.account)) {
        return Err(unsupported("accountIdentifiers"));
    }
    Ok(())
}

pub(crate) async fn describe_log_groups(cx: &mut Call, input: DescribeLogGroupsInput) -> Result<DescribeLogGroupsOutput, ApiError> {
    own_account_only(cx, input.account_identifiers.as_deref(), input.include_linked_accounts)?;
    if input.log_group_name_prefix.is_some() && input.log_group_name_pattern.is_some() {
        return Err(LogsError::parameter("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.").into());
    }
    let names = match &input.log_group_identifiers {
        Some(identifiers) => Some(identifiers.iter().map(|identifier| name_of(cx, identifier)).collect::<Result<Vec<_>, _>>()?),
        None => None,
    };
    let standard = input.log_group_class.as_ref().is_none_or(|class| *class == LogGroupClass::Standard);
    let prefix = input.log_group_name_prefix.unwrap_or_default();
    let groups = listing::all::<LogGroupRecord>(&mut cx.tx, &Key::new(&cx.account, &cx.region).last(&prefix)).await?;
    let pattern = input.log_group_name_pattern.unwrap_or_default();
    let is_shown = |group: &LogGroupRecord| {
        standard && group.name.contains(&pattern) && names.as_ref().is_none_or(|names| names.contains(&group.name))
    };
    let groups = groups.into_iter().filter(is_shown).collect();
    let filter = format!("{prefix}\n{pattern}\n{names:?}");
    let page = (false, input.next_token.as_deref(), listing::limit(input.limit, PAGE));
    let (shown, next_token) = listing::cut(cx, groups, |group| group.name.clone(), &filter, page)?;
    let mut log_groups = Vec::with_capacity(shown.len());
    for group in shown {
        log_groups.push(describe(cx, &group).await?);
    }
    Ok(DescribeLogGroupsOutput { log_groups: Some(log_groups), next_token })
}

async fn describe(cx: &mut Call, group: &LogGroupRecord) -> Result<LogGroup, ApiError> {
    let arn = group.arn(&cx.region, &cx.account);
    let stored = log_stream::stored_bytes(cx, group).await?;
    Ok(LogGroup {
        log_group_name: Some(group.name.clone()),
        creation_time: Some(group.created_ms),
        retention_in_days: group.retention_days,
        metric_filter_count: Some(0),
        arn: Some(format!("{arn}:*")),
        stored_bytes: Some(i64::try_from(stored).unwrap_or(i64::MAX)),
        kms_key_id: group.kms_key_arn().map(str::to_owned),
        log_group_class: Some(LogGroupClass::Standard),
        log_group_arn: Some(arn),
        deletion_protection_enabled: Some(group.deletion_protected),
        ..LogGroup::default()
    })
}

/// Whether a name fits one of the alternatives of a pattern: a text that it contains, or begins with where `^` stands before.
fn fits(name: &str, pattern: &str) -> bool {
    pattern.split('|').any(|part| part.strip_prefix('^').map_or_else(|| name.contains(part), |start| name.starts_with(start)))
}

/// Whether tags have what a filter asks for. Values may have `*` at either end, and `!` before them turns them round.
fn has_tag(tags: &[(String, String)], filter: &TagFilter) -> bool {
    let Some((_, value)) = tags.iter().find(|(key, _)| *key == filter.key) else { return false };
    let values = filter.values.as_deref().unwrap_or_default();
    let matches = |pattern: &str| {
        let (open_start, rest) = pattern.strip_prefix('*').map_or((false, pattern), |rest| (true, rest));
        let (open_end, middle) = rest.strip_suffix('*').map_or((false, rest), |middle| (true, middle));
        match (open_start, open_end) {
            (true, true) => value.contains(middle),
            (true, false) => value.ends_with(middle),
            (false, true) => value.starts_with(middle),
            (false, false) => value == middle,
        }
    };
    values.is_empty() || values.iter().any(|value| value.strip_prefix('!').map_or_else(|| matches(value), |value| !matches(value)))
}

pub(crate) async fn list_log_groups(cx: &mut Call, input: ListLogGroupsInput) -> Result<ListLogGroupsOutput, ApiError> {
    own_account_only(cx, input.account_identifiers.as_deref(), input.include_linked_accounts)?;
    if input.data_sources.is_some() {
        return Err(unsupported("dataSources"));
    }
    if input.field_index_names.is_some() {
        return Err(unsupported("fieldIndexNames"));
    }
    let standard = input.log_group_class.as_ref().is_none_or(|class| *class == LogGroupClass::Standard);
    let filters = input.log_group_tags.unwrap_or_default();
    let pattern = input.log_group_name_pattern;
    let is_shown = |group: &LogGroupRecord| {
        standard
            && pattern.as_ref().is_none_or(|pattern| fits(&group.name, pattern))
            && filters.iter().all(|filter| has_tag(&group.tags, filter))
    };
    let groups = listing::all::<LogGroupRecord>(&mut cx.tx, &Key::new(&cx.account, &cx.region)).await?;
    let groups = groups.into_iter().filter(is_shown).collect();
    let filter = format!("{pattern:?}\n{filters:?}");
    let page = (false, input.next_token.as_deref(), listing::limit(input.limit, PAGE));
    let (shown, next_token) = listing::cut(cx, groups, |group| group.name.clone(), &filter, page)?;
    let summary = |group: LogGroupRecord| LogGroupSummary {
        log_group_arn: Some(group.arn(&cx.region, &cx.account)),
        log_group_name: Some(group.name),
        log_group_class: Some(LogGroupClass::Standard),
    };
    Ok(ListLogGroupsOutput { log_groups: Some(shown.into_iter().map(summary).collect()), next_token })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_of_groups() {
        let arn = group_arn("us-east-1", "111111111111", "/app/a");
        for text in [arn.clone(), format!("{arn}:*")] {
            assert_eq!(parse_group_arn(&text), Some(("us-east-1", "111111111111", "/app/a")));
        }
        for bad in ["/app/a", "arn:aws:s3:us-east-1:1:log-group:a", &format!("{arn}:log-stream:x"), "arn:aws:logs:us-east-1:1:log-group:"] {
            assert_eq!(parse_group_arn(bad), None, "{bad}");
        }
    }

    #[test]
    fn patterns_of_names_and_tags() {
        assert!(fits("/app/web", "web") && fits("/app/web", "^/app|nothing") && !fits("/app/web", "^web"));
        let tags = [("team".to_owned(), "audit".to_owned())];
        let filter =
            |values: &[&str]| TagFilter { key: "team".to_owned(), values: Some(values.iter().map(|value| (*value).to_owned()).collect()) };
        for (values, expected) in [
            (&["audit"][..], true),
            (&["aud*"], true),
            (&["*it"], true),
            (&["*di*"], true),
            (&["!audit"], false),
            (&["x", "!x"], true),
            (&[], true),
        ] {
            assert_eq!(has_tag(&tags, &filter(values)), expected, "{values:?}");
        }
        assert!(!has_tag(&[], &filter(&["!x"])));
    }
}
