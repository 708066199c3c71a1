//! Roles Anywhere as a service of the plane.

use async_trait::async_trait;
use plane::service::ResourceAccess;
use plane::{ApiError, Call, Handler, Service, Target, Transaction, handler};
use policy::MapContext;
use wire::Value;

use crate::profile::ProfileRecord;
use crate::resource::{self, Resource};
use crate::revocation_list::RevocationListRecord;
use crate::subject::SubjectRecord;
use crate::trust_anchor::TrustAnchorRecord;
use crate::{create_session, notification, profile, revocation_list, subject, tag, trust_anchor};

const HANDLERS: &[Handler] = &[
    handler!("CreateProfile", profile::create_profile),
    handler!("CreateSession", create_session::create_session),
    handler!("CreateTrustAnchor", trust_anchor::create_trust_anchor),
    handler!("DeleteAttributeMapping", profile::delete_attribute_mapping),
    handler!("DeleteCrl", revocation_list::delete_crl),
    handler!("DeleteProfile", profile::delete_profile),
    handler!("DeleteTrustAnchor", trust_anchor::delete_trust_anchor),
    handler!("DisableCrl", revocation_list::disable_crl),
    handler!("DisableProfile", profile::disable_profile),
    handler!("DisableTrustAnchor", trust_anchor::disable_trust_anchor),
    handler!("EnableCrl", revocation_list::enable_crl),
    handler!("EnableProfile", profile::enable_profile),
    handler!("EnableTrustAnchor", trust_anchor::enable_trust_anchor),
    handler!("GetCrl", revocation_list::get_crl),
    handler!("GetProfile", profile::get_profile),
    handler!("GetSubject", subject::get_subject),
    handler!("GetTrustAnchor", trust_anchor::get_trust_anchor),
    handler!("ImportCrl", revocation_list::import_crl),
    handler!("ListCrls", revocation_list::list_crls),
    handler!("ListProfiles", profile::list_profiles),
    handler!("ListSubjects", subject::list_subjects),
    handler!("ListTagsForResource", tag::list_tags_for_resource),
    handler!("ListTrustAnchors", trust_anchor::list_trust_anchors),
    handler!("PutAttributeMapping", profile::put_attribute_mapping),
    handler!("PutNotificationSettings", notification::put_notification_settings),
    handler!("ResetNotificationSettings", notification::reset_notification_settings),
    handler!("TagResource", tag::tag_resource),
    handler!("UntagResource", tag::untag_resource),
    handler!("UpdateCrl", revocation_list::update_crl),
    handler!("UpdateProfile", profile::update_profile),
    handler!("UpdateTrustAnchor", trust_anchor::update_trust_anchor),
];

/// The service. Its state is in the records.
#[derive(Clone, Copy, Debug, Default)]
pub struct RolesAnywhere;

/// The roles that a call puts into a profile: each is passed.
fn passed_roles(input: &Value) -> Vec<Target> {
    let Some(Value::List(arns)) = input.member("roleArns") else { return Vec::new() };
    let pass = |arn: &str| Target { action: "iam:PassRole".to_owned(), resource_arn: arn.to_owned() };
    arns.iter().filter_map(Value::as_str).map(pass).collect()
}

async fn known<R: Resource>(tx: &mut Transaction, account: &str, region: &str, id: &str) -> Result<Option<ResourceAccess>, ApiError> {
    let found = resource::find::<R>(tx, account, region, id).await?;
    Ok(found.map(|record| ResourceAccess { account: account.to_owned(), tags: record.tags().to_vec(), ..ResourceAccess::default() }))
}

#[async_trait]
impl Service for RolesAnywhere {
    fn id(&self) -> &'static str {
        api_rolesanywhere::SERVICE
    }

    // Else whoever names the service compiles all its handlers once more.
    #[inline(never)]
    fn handlers(&self) -> &'static [Handler] {
        HANDLERS
    }

    async fn targets(&self, call: &mut Call, input: &Value) -> Result<Option<Vec<Target>>, ApiError> {
        let text = |member: &str| input.member(member).and_then(Value::as_str).unwrap_or_default().to_owned();
        let own = |resource_arn: String| Target { action: format!("rolesanywhere:{}", call.operation.name), resource_arn };
        let mut targets = match call.operation.name {
            "CreateSession" => return create_session::targets(call, input).await.map(Some),
            "CreateProfile" => vec![own("*".to_owned())],
            "UpdateProfile" => {
                let id = text("profileId");
                vec![own(resource::arn::<ProfileRecord>(&call.account, &call.region, resource::id_of::<ProfileRecord>(&id)))]
            }
            "ListTagsForResource" | "TagResource" | "UntagResource" => vec![own(text("resourceArn"))],
            _ => return Ok(None),
        };
        targets.extend(passed_roles(input));
        Ok(Some(targets))
    }

    async fn resource(&self, tx: &mut Transaction, region: &str, arn: &str) -> Result<Option<ResourceAccess>, ApiError> {
        let Some(kind) = tag::kind_of(arn) else { return Ok(None) };
        let account = arn.split(':').nth(4).unwrap_or_default();
        match kind {
            TrustAnchorRecord::KIND => known::<TrustAnchorRecord>(tx, account, region, resource::id_of::<TrustAnchorRecord>(arn)).await,
            ProfileRecord::KIND => known::<ProfileRecord>(tx, account, region, resource::id_of::<ProfileRecord>(arn)).await,
            RevocationListRecord::KIND => {
                known::<RevocationListRecord>(tx, account, region, resource::id_of::<RevocationListRecord>(arn)).await
            }
            SubjectRecord::KIND => known::<SubjectRecord>(tx, account, region, resource::id_of::<SubjectRecord>(arn)).await,
            _ => Ok(None),
        }
    }

    fn condition_keys(&self, call: &Call, _input: &Value, keys: &mut MapContext) {
        match call.operation.name {
            "CreateSession" => create_session::condition_keys(call, keys),
            "CreateProfile" | "UpdateProfile" => {
                keys.set("iam:PassedToService", "rolesanywhere.amazonaws.com");
            }
            _ => {}
        }
    }

    fn denied_message(&self, call: &Call, _target: &Target, _owner: &str) -> Option<String> {
        create_session::denied_message(call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_with_types_has_a_handler() {
        let handled: Vec<&str> = HANDLERS.iter().map(|handler| handler.operation).collect();
        assert_eq!(handled, api_rolesanywhere::OPERATIONS);
    }
}
