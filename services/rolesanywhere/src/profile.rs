//! Profiles: which roles a certificate may open, and within which session policies.
//!
//! Source: IAM Roles Anywhere API Reference, "CreateProfile" and its kin.

use api_rolesanywhere::{
    AttributeMapping, CertificateField, CreateProfileInput, CreateProfileOutput, DeleteAttributeMappingInput, DeleteAttributeMappingOutput,
    DeleteProfileInput, DeleteProfileOutput, DisableProfileInput, DisableProfileOutput, EnableProfileInput, EnableProfileOutput,
    GetProfileInput, GetProfileOutput, ListProfilesInput, ListProfilesOutput, MappingRule, ProfileDetail, PutAttributeMappingInput,
    PutAttributeMappingOutput, UpdateProfileInput, UpdateProfileOutput,
};
use plane::{ApiError, Call};
use policy::{Policy, PolicyKind};
use serde::{Deserialize, Serialize};
use wire::Timestamp;

use crate::attribute_mapping::{Field, Mappings};
use crate::error::{RolesAnywhereError, unsupported};
use crate::resource::{self, Resource, resource};
use crate::tag;

/// Profiles of an account and region. Source: IAM Roles Anywhere quotas.
const PER_ACCOUNT: usize = 250;
const DURATION_S: i32 = 3_600;

/// A profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProfileRecord {
    pub id: String,
    pub name: String,
    pub enabled: bool,
    pub created_by: String,
    pub role_arns: Vec<String>,
    pub session_policy: Option<String>,
    pub managed_policy_arns: Vec<String>,
    pub duration_s: i32,
    pub accepts_session_name: bool,
    pub mappings: Mappings,
    pub created_ms: i64,
    pub updated_ms: i64,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
}

resource!(ProfileRecord, "profile", "rolesanywhere.profile");

fn certificate_field(field: Field) -> CertificateField {
    match field {
        Field::Subject => CertificateField::X509Subject,
        Field::Issuer => CertificateField::X509Issuer,
        Field::AlternativeName => CertificateField::X509SAN,
    }
}

fn field(field: &CertificateField) -> Result<Field, ApiError> {
    match field {
        CertificateField::X509Subject => Ok(Field::Subject),
        CertificateField::X509Issuer => Ok(Field::Issuer),
        CertificateField::X509SAN => Ok(Field::AlternativeName),
        CertificateField::Other(_) => Err(RolesAnywhereError::Validation("the certificate field is not known".to_owned()).into()),
    }
}

impl ProfileRecord {
    fn detail(&self, cx: &Call) -> ProfileDetail {
        let mapping = |(field, specifiers): (&Field, &Vec<String>)| AttributeMapping {
            certificate_field: Some(certificate_field(*field)),
            mapping_rules: Some(specifiers.iter().map(|specifier| MappingRule { specifier: specifier.clone() }).collect()),
        };
        ProfileDetail {
            profile_id: Some(self.id.clone()),
            profile_arn: Some(self.arn(&cx.account, &cx.region)),
            name: Some(self.name.clone()),
            require_instance_properties: Some(false),
            enabled: Some(self.enabled),
            created_by: Some(self.created_by.clone()),
            session_policy: self.session_policy.clone(),
            role_arns: Some(self.role_arns.clone()),
            managed_policy_arns: Some(self.managed_policy_arns.clone()),
            created_at: Some(Timestamp(self.created_ms)),
            updated_at: Some(Timestamp(self.updated_ms)),
            duration_seconds: Some(self.duration_s),
            accept_role_session_name: Some(self.accepts_session_name),
            attribute_mappings: Some(self.mappings.0.iter().map(mapping).collect()),
            ..ProfileDetail::default()
        }
    }
}

async fn check_policies(cx: &mut Call, policy: Option<&str>, arns: &[String]) -> Result<(), ApiError> {
    if let Some(text) = policy {
        Policy::parse(text, PolicyKind::Session).map_err(|error| RolesAnywhereError::Validation(error.message))?;
    }
    let account = cx.account.clone();
    for arn in arns {
        iam::managed_policy::check_attachable(&mut cx.tx, &account, arn)
            .await
            .map_err(|error| if error.internal { error } else { RolesAnywhereError::Validation(error.message).into() })?;
    }
    Ok(())
}

pub(crate) async fn create_profile(cx: &mut Call, input: CreateProfileInput) -> Result<CreateProfileOutput, ApiError> {
    if input.require_instance_properties == Some(true) {
        return Err(unsupported("requireInstanceProperties"));
    }
    if input.alias_name.is_some() {
        return Err(unsupported("aliasName"));
    }
    let tags = tag::from_input(input.tags)?;
    let managed_policy_arns = input.managed_policy_arns.unwrap_or_default();
    check_policies(cx, input.session_policy.as_deref(), &managed_policy_arns).await?;
    if resource::all::<ProfileRecord>(&mut cx.tx, &cx.account, &cx.region).await?.len() >= PER_ACCOUNT {
        return Err(RolesAnywhereError::Validation(format!("an account has at most {PER_ACCOUNT} profiles in a region")).into());
    }
    let record = ProfileRecord {
        id: cx.plane.random_uuid()?,
        name: input.name,
        enabled: input.enabled.unwrap_or_default(),
        created_by: cx.principal.arn.clone(),
        role_arns: input.role_arns,
        session_policy: input.session_policy,
        managed_policy_arns,
        duration_s: input.duration_seconds.unwrap_or(DURATION_S),
        accepts_session_name: input.accept_role_session_name.unwrap_or_default(),
        mappings: Mappings::default(),
        created_ms: cx.now.0,
        updated_ms: cx.now.0,
        tags,
    };
    resource::save(cx, &record)?;
    Ok(CreateProfileOutput { profile: Some(record.detail(cx)) })
}

pub(crate) async fn get_profile(cx: &mut Call, input: GetProfileInput) -> Result<GetProfileOutput, ApiError> {
    let record = resource::load::<ProfileRecord>(cx, &input.profile_id).await?;
    Ok(GetProfileOutput { profile: Some(record.detail(cx)) })
}

pub(crate) async fn list_profiles(cx: &mut Call, input: ListProfilesInput) -> Result<ListProfilesOutput, ApiError> {
    let records = resource::all::<ProfileRecord>(&mut cx.tx, &cx.account, &cx.region).await?;
    let (items, next_token) = resource::cut(cx, records, input.next_token.as_deref(), input.page_size)?;
    Ok(ListProfilesOutput { profiles: Some(items.iter().map(|record| record.detail(cx)).collect()), next_token })
}

pub(crate) async fn update_profile(cx: &mut Call, input: UpdateProfileInput) -> Result<UpdateProfileOutput, ApiError> {
    if input.alias_name.is_some() {
        return Err(unsupported("aliasName"));
    }
    let mut record = resource::load::<ProfileRecord>(cx, &input.profile_id).await?;
    let arns = input.managed_policy_arns.clone().unwrap_or_default();
    check_policies(cx, input.session_policy.as_deref(), &arns).await?;
    record.name = input.name.unwrap_or(record.name);
    record.session_policy = input.session_policy.or(record.session_policy);
    record.role_arns = input.role_arns.unwrap_or(record.role_arns);
    record.managed_policy_arns = input.managed_policy_arns.unwrap_or(record.managed_policy_arns);
    record.duration_s = input.duration_seconds.unwrap_or(record.duration_s);
    record.accepts_session_name = input.accept_role_session_name.unwrap_or(record.accepts_session_name);
    record.updated_ms = cx.now.0;
    resource::save(cx, &record)?;
    Ok(UpdateProfileOutput { profile: Some(record.detail(cx)) })
}

pub(crate) async fn delete_profile(cx: &mut Call, input: DeleteProfileInput) -> Result<DeleteProfileOutput, ApiError> {
    let record = resource::load::<ProfileRecord>(cx, &input.profile_id).await?;
    resource::remove(cx, &record);
    Ok(DeleteProfileOutput { profile: Some(record.detail(cx)) })
}

async fn switch(cx: &mut Call, identifier: &str, enabled: bool) -> Result<ProfileDetail, ApiError> {
    let mut record = resource::load::<ProfileRecord>(cx, identifier).await?;
    record.enabled = enabled;
    record.updated_ms = cx.now.0;
    resource::save(cx, &record)?;
    Ok(record.detail(cx))
}

pub(crate) async fn enable_profile(cx: &mut Call, input: EnableProfileInput) -> Result<EnableProfileOutput, ApiError> {
    Ok(EnableProfileOutput { profile: Some(switch(cx, &input.profile_id, true).await?) })
}

pub(crate) async fn disable_profile(cx: &mut Call, input: DisableProfileInput) -> Result<DisableProfileOutput, ApiError> {
    Ok(DisableProfileOutput { profile: Some(switch(cx, &input.profile_id, false).await?) })
}

pub(crate) async fn put_attribute_mapping(cx: &mut Call, input: PutAttributeMappingInput) -> Result<PutAttributeMappingOutput, ApiError> {
    let mut record = resource::load::<ProfileRecord>(cx, &input.profile_id).await?;
    let specifiers = input.mapping_rules.into_iter().map(|rule| rule.specifier).collect();
    record.mappings.0.insert(field(&input.certificate_field)?, specifiers);
    record.updated_ms = cx.now.0;
    resource::save(cx, &record)?;
    Ok(PutAttributeMappingOutput { profile: record.detail(cx) })
}

pub(crate) async fn delete_attribute_mapping(
    cx: &mut Call,
    input: DeleteAttributeMappingInput,
) -> Result<DeleteAttributeMappingOutput, ApiError> {
    let mut record = resource::load::<ProfileRecord>(cx, &input.profile_id).await?;
    let field = field(&input.certificate_field)?;
    match input.specifiers.filter(|specifiers| !specifiers.is_empty()) {
        None => {
            record.mappings.0.remove(&field);
        }
        Some(specifiers) => {
            if let Some(known) = record.mappings.0.get_mut(&field) {
                known.retain(|specifier| !specifiers.contains(specifier));
            }
        }
    }
    record.updated_ms = cx.now.0;
    resource::save(cx, &record)?;
    Ok(DeleteAttributeMappingOutput { profile: record.detail(cx) })
}
