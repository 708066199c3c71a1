//! Where a trail's events go besides its bucket: a log group of CloudWatch Logs, written to in a role that CloudTrail takes.
//!
//! Source: CloudTrail User Guide, "Sending events to CloudWatch Logs" and "Role policy document for CloudTrail to use CloudWatch Logs for
//! monitoring".

use std::sync::Arc;

use api_logs::CreateLogStreamInput;
use plane::{ApiError, Call, Plane, ServiceCaller, authorize};
use policy::MapContext;
use serde::{Deserialize, Serialize};

use crate::destination;
use crate::error::TrailError;

/// Name of the session that CloudTrail takes.
const SESSION: &str = "CloudTrail_CloudWatchLogs";

/// A trail's log group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogGroup {
    /// With `:*` at its end, as it was given.
    pub arn: String,
    pub role_arn: String,
    /// Events are delivered from here on.
    pub since_ms: i64,
}

/// Region and name in the ARN of a log group that ends as CloudTrail wants it.
fn parse(arn: &str) -> Option<(&str, &str, &str)> {
    let mut parts = arn.splitn(6, ':');
    let (scheme, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
    let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
    let name = resource.strip_prefix("log-group:")?.strip_suffix(":*")?;
    let is_group = scheme == "arn" && partition == plane::PARTITION && service == "logs" && !name.is_empty() && !name.contains([':', '*']);
    is_group.then_some((region, account, name))
}

impl LogGroup {
    pub(crate) fn region(&self) -> &str {
        parse(&self.arn).map_or("", |(region, ..)| region)
    }

    pub(crate) fn name(&self) -> &str {
        parse(&self.arn).map_or("", |(.., name)| name)
    }

    /// The session of the role in which CloudTrail writes.
    pub(crate) fn session_arn(&self) -> String {
        let account = self.role_arn.split(':').nth(4).unwrap_or_default();
        let role = self.role_arn.rsplit('/').next().unwrap_or_default();
        format!("arn:{}:sts::{account}:assumed-role/{role}/{SESSION}", plane::PARTITION)
    }

    /// Makes a stream; one that is there is as good.
    pub(crate) async fn create_stream(&self, plane: &Arc<Plane>, caller: &ServiceCaller, name: &str) -> Result<(), ApiError> {
        let input = CreateLogStreamInput { log_group_name: self.name().to_owned(), log_stream_name: name.to_owned() };
        match plane.call_in_role(caller, &self.session_arn(), self.region(), input).await {
            Err(error) if error.code != "ResourceAlreadyExistsException" => Err(error),
            _ => Ok(()),
        }
    }
}

/// The stream of an account's events in a region. Source: "CloudWatch log group and log stream naming for CloudTrail".
pub(crate) fn stream_name(organization: Option<&str>, account: &str, region: &str) -> String {
    let organization = organization.map(|id| format!("{id}_")).unwrap_or_default();
    format!("{organization}{account}_CloudTrail_{region}")
}

/// What a call gives for the log group and the role: an absent text leaves a setting, an empty one takes it away.
pub(crate) struct Wanted {
    pub arn: Option<String>,
    pub role_arn: Option<String>,
}

/// The trail's log group after the call, when CloudTrail can write to it.
pub(crate) async fn check(
    cx: &mut Call,
    (trail_arn, organization): (&str, Option<&str>),
    known: Option<LogGroup>,
    wanted: Wanted,
) -> Result<Option<LogGroup>, ApiError> {
    if wanted.arn.is_none() && wanted.role_arn.is_none() {
        return Ok(known);
    }
    let given = |text: Option<String>, known: Option<String>| text.or(known).filter(|text| !text.is_empty());
    let arn = given(wanted.arn, known.as_ref().map(|group| group.arn.clone()));
    let role_arn = given(wanted.role_arn, known.as_ref().map(|group| group.role_arn.clone()));
    let (arn, role_arn) = match (arn, role_arn) {
        (None, None) => return Ok(None),
        (Some(_), None) => return Err(TrailError::LogRole("CloudTrail cannot validate the specified role ARN.").into()),
        (None, Some(_)) => return Err(TrailError::LogGroup("CloudTrail cannot validate the specified log group ARN.").into()),
        (Some(arn), Some(role_arn)) => (arn, role_arn),
    };
    if let Some(known) = known.filter(|known| known.arn == arn && known.role_arn == role_arn) {
        return Ok(Some(known));
    }
    let group = LogGroup { arn, role_arn, since_ms: cx.now.0 };
    validate(cx, trail_arn, organization, &group).await?;
    Ok(Some(group))
}

async fn validate(cx: &mut Call, trail_arn: &str, organization: Option<&str>, group: &LogGroup) -> Result<(), ApiError> {
    let invalid_group = || TrailError::LogGroup("CloudTrail cannot validate the specified log group ARN.");
    let (region, account, _) = parse(&group.arn).ok_or_else(invalid_group)?;
    if account != cx.account {
        return Err(invalid_group().into());
    }
    if region != cx.region {
        return Err(TrailError::LogGroup("You must specify a log group that is in the current region.").into());
    }
    let own_role = format!("arn:{}:iam::{}:role/", plane::PARTITION, cx.account);
    if !group.role_arn.starts_with(&own_role) {
        return Err(TrailError::LogRole("CloudTrail cannot validate the specified role ARN.").into());
    }
    if let Some(refusal) = authorize::check(cx, "iam:PassRole", &group.role_arn).await? {
        return Err(refusal);
    }
    let caller = destination::caller(trail_arn, &cx.account);
    let plane = Arc::clone(&cx.plane);
    let target = ("sts:AssumeRole", group.role_arn.as_str());
    let trusts = plane.is_service_allowed(&caller, &cx.region, ("sts", "AssumeRole"), target, &MapContext::new()).await?;
    let exists = plane.directory().principal(&mut plane.transaction(0), &group.session_arn()).await?.is_some();
    if !trusts || !exists {
        return Err(TrailError::LogRole("Access denied. Check the trust relationships for your role.").into());
    }
    // As AWS does: the stream is made at once, and shows whether the role may.
    group.create_stream(&plane, &caller, &stream_name(organization, &cx.account, &cx.region)).await.map_err(|error| {
        if error.internal {
            return error;
        }
        match error.code.as_ref() {
            "ResourceNotFoundException" => invalid_group().into(),
            "AccessDeniedException" | "AccessDenied" => TrailError::LogGroup("Access denied. Check the permissions for your role.").into(),
            _ => TrailError::LogsUnavailable.into(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_streams() {
        let group = LogGroup {
            arn: "arn:aws:logs:us-east-1:111111111111:log-group:/trail/a:*".to_owned(),
            role_arn: "arn:aws:iam::111111111111:role/path/writer".to_owned(),
            since_ms: 0,
        };
        assert_eq!((group.region(), group.name()), ("us-east-1", "/trail/a"));
        assert_eq!(group.session_arn(), "arn:aws:sts::111111111111:assumed-role/writer/CloudTrail_CloudWatchLogs");
        assert_eq!(parse("arn:aws:logs:us-east-1:111111111111:log-group:/trail/a"), None);
        assert_eq!(stream_name(None, "1", "r"), "1_CloudTrail_r");
        assert_eq!(stream_name(Some("o-x"), "1", "r"), "o-x_1_CloudTrail_r");
    }
}
