//! Grants: allows on a key, one grantee each.
//!
//! Source: KMS Developer Guide, "Grants in AWS KMS".

use std::sync::Arc;

use api_kms::{
    CreateGrantInput, CreateGrantOutput, GrantConstraints, RetireGrantInput, RetireGrantOutput, RevokeGrantInput, RevokeGrantOutput,
};
use plane::{ApiError, Call, Key, PrincipalKind, Record, Scope, Transaction};
use policy::{MapContext, PolicyKind};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::Table;
use wire::IntoValue;

use crate::ciphertext::EncryptionContext;
use crate::error::KmsError;
use crate::grant_token::GrantName;
use crate::key::KmsKey;
use crate::key_spec::KeySpec;
use crate::resolve::KeyPlace;
use crate::{condition_key, grant_token, resolve, resource, scan};

/// Grants of one key. AWS's quota is 50,000; every decision on the key reads them all.
const LIMIT: u32 = 5_000;
/// Pairs of a constraint, and characters of their keys and values together.
const CONSTRAINT_PAIRS: usize = 8;
const CONSTRAINT_CHARACTERS: usize = 384;

/// Operations that a grant may allow, by the kind of key.
const FOR_SYMMETRIC: [&str; 11] = [
    "CreateGrant",
    "Decrypt",
    "DescribeKey",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom",
    "ReEncryptTo",
    "RetireGrant",
];
const FOR_MAC: [&str; 5] = ["CreateGrant", "DescribeKey", "GenerateMac", "RetireGrant", "VerifyMac"];

/// A grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Owner of the key.
    pub account: String,
    pub key_id: String,
    pub created_ms: i64,
    #[serde(flatten)]
    pub terms: GrantTerms,
    /// ARN of the account (its root) that made the grant.
    pub issuing_account: String,
    /// Unique id of a grantee that is a user, role or role session; grants of older versions have none.
    #[serde(default)]
    pub grantee_id: Option<String>,
    /// The same of the retiring principal.
    #[serde(default)]
    pub retiring_id: Option<String>,
}

/// What a caller says of a grant: two requests with a name and equal terms are one grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GrantTerms {
    pub name: Option<String>,
    pub grantee: String,
    pub retiring: Option<String>,
    /// Sorted, each once.
    pub operations: Vec<String>,
    pub context_subset: Option<EncryptionContext>,
    pub context_equals: Option<EncryptionContext>,
}

impl Record for Grant {
    const TABLE: Table = Table("kms_grant");
    const SCOPE: Scope = Scope::Region;
}

/// Which grants a principal may retire, by the principal: they are on keys of any account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Retirable {
    pub account: String,
    pub key_id: String,
    pub grant_id: String,
}

impl Record for Retirable {
    const TABLE: Table = Table("kms_retirable");
    const SCOPE: Scope = Scope::Region;
}

impl Grant {
    pub(crate) fn range(account: &str, region: &str, key_id: &str) -> Key {
        Key::new(account, region).then(key_id)
    }

    fn place(&self, region: &str) -> Key {
        Self::range(&self.account, region, &self.key_id).last(&self.id)
    }

    fn retirable_place(&self, region: &str) -> Option<Key> {
        let retiring = self.terms.retiring.as_ref()?;
        Some(Retirable::range(retiring, region).last([self.account.as_str(), &self.key_id, &self.id].join("/")))
    }

    pub(crate) fn put(&self, tx: &mut Transaction, region: &str) -> Result<(), ApiError> {
        tx.put(&self.place(region), self)?;
        if let Some(place) = self.retirable_place(region) {
            tx.put(&place, &Retirable { account: self.account.clone(), key_id: self.key_id.clone(), grant_id: self.id.clone() })?;
        }
        Ok(())
    }

    pub(crate) fn delete(&self, tx: &mut Transaction, region: &str) {
        tx.delete::<Self>(&self.place(region));
        if let Some(place) = self.retirable_place(region) {
            tx.delete::<Retirable>(&place);
        }
    }
}

impl Retirable {
    pub(crate) fn range(principal: &str, region: &str) -> Key {
        Key::new(account_of(principal), region).then(principal)
    }
}

/// The account in a principal's ARN.
fn account_of(principal: &str) -> &str {
    principal.split(':').nth(4).unwrap_or_default()
}

impl GrantTerms {
    /// Whether this grant gives nothing that `parent` does not give.
    fn is_within(&self, parent: &Self) -> bool {
        let operations = self.operations.iter().all(|operation| parent.operations.contains(operation));
        let equals = parent.context_equals.as_ref().is_none_or(|wanted| self.context_equals.as_ref() == Some(wanted));
        let subset = parent.context_subset.as_ref().is_none_or(|wanted| {
            let includes = |own: &Option<EncryptionContext>| {
                own.as_ref().is_some_and(|own| wanted.iter().all(|(key, value)| own.get(key) == Some(value)))
            };
            includes(&self.context_subset) || includes(&self.context_equals)
        });
        operations && equals && subset
    }

    /// Reads and checks what a caller asks for.
    fn requested(input: &CreateGrantInput, spec: KeySpec) -> Result<Self, KmsError> {
        let constraints = input.constraints.clone().unwrap_or_default();
        if input.grantee_service_principal.is_some() || input.retiring_service_principal.is_some() {
            return Err(KmsError::Unsupported("grants to service principals are not supported".to_owned()));
        }
        if constraints.source_arn.is_some() {
            return Err(KmsError::Unsupported("the grant constraint `SourceArn` is not supported".to_owned()));
        }
        let grantee = input
            .grantee_principal
            .clone()
            .ok_or_else(|| KmsError::Validation("Either GranteePrincipal or GranteeServicePrincipal must be specified.".to_owned()))?;
        for principal in [Some(&grantee), input.retiring_principal.as_ref()].into_iter().flatten() {
            check_principal(principal)?;
        }
        let mut operations: Vec<String> = input.operations.iter().map(|operation| operation.as_str().to_owned()).collect();
        operations.sort_unstable();
        operations.dedup();
        check_operations(&operations, spec)?;
        check_constraints(&constraints, spec)?;
        Ok(Self {
            name: input.name.clone(),
            grantee,
            retiring: input.retiring_principal.clone(),
            operations,
            context_subset: constraints.encryption_context_subset,
            context_equals: constraints.encryption_context_equals,
        })
    }
}

/// Principals are named by ARN: account root, user, role, role session or federated user.
fn check_principal(arn: &str) -> Result<(), KmsError> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let is_account = |text: &str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    let kinds: &[&str] = match parts.as_slice() {
        ["arn", partition, "iam", "", account, "root"] if *partition == plane::PARTITION && is_account(account) => return Ok(()),
        ["arn", partition, "iam", "", account, _] if *partition == plane::PARTITION && is_account(account) => &["user/", "role/"],
        ["arn", partition, "sts", "", account, _] if *partition == plane::PARTITION && is_account(account) => {
            &["assumed-role/", "federated-user/"]
        }
        _ => &[],
    };
    let named = parts.get(5).is_some_and(|name| kinds.iter().any(|kind| name.strip_prefix(kind).is_some_and(|rest| !rest.is_empty())));
    if named { Ok(()) } else { Err(KmsError::ArnInvalid(arn.to_owned())) }
}

fn check_operations(operations: &[String], spec: KeySpec) -> Result<(), KmsError> {
    if operations.is_empty() {
        return Err(KmsError::Validation("At least one grant operation must be specified.".to_owned()));
    }
    let possible: &[&str] = if spec.is_symmetric_encryption() { &FOR_SYMMETRIC } else { &FOR_MAC };
    match operations.iter().find(|operation| !possible.contains(&operation.as_str())) {
        Some(operation) => {
            Err(KmsError::Validation(format!("The grant operation {operation} is not valid for keys of the spec {}.", spec.name())))
        }
        None => Ok(()),
    }
}

fn check_constraints(constraints: &GrantConstraints, spec: KeySpec) -> Result<(), KmsError> {
    for context in [&constraints.encryption_context_subset, &constraints.encryption_context_equals].into_iter().flatten() {
        if !spec.is_symmetric_encryption() {
            return Err(KmsError::Validation("Encryption context constraints are valid for symmetric encryption keys only.".to_owned()));
        }
        let too_long = context.iter().any(|(key, value)| key.chars().count() + value.chars().count() > CONSTRAINT_CHARACTERS);
        if context.len() > CONSTRAINT_PAIRS || too_long {
            return Err(KmsError::Validation(format!(
                "A grant constraint has at most {CONSTRAINT_PAIRS} encryption context pairs of {CONSTRAINT_CHARACTERS} characters."
            )));
        }
    }
    Ok(())
}

/// All grants of a key, in the order of their ids.
pub(crate) async fn of_key(tx: &mut Transaction, region: &str, key: &KmsKey) -> Result<Vec<Grant>, ApiError> {
    if key.grant_count == 0 {
        return Ok(Vec::new());
    }
    scan::all::<Grant>(tx, &Grant::range(&key.account, region, &key.id)).await
}

pub(crate) async fn create_grant(cx: &mut Call, input: CreateGrantInput) -> Result<CreateGrantOutput, ApiError> {
    grant_token::check_all(cx, input.grant_tokens.as_deref())?;
    let region = cx.region.clone();
    let mut key = resolve::key_to_change(cx, &input.key_id).await?;
    let terms = GrantTerms::requested(&input, key.spec)?;
    let grantee_id = unique_id(cx, &terms.grantee).await?;
    let retiring_id = match &terms.retiring {
        Some(retiring) => unique_id(cx, retiring).await?,
        None => None,
    };
    let grants = of_key(&mut cx.tx, &region, &key).await?;
    check_parent(cx, &key, &grants, &terms, input.clone()).await?;
    if input.dry_run == Some(true) {
        return Err(KmsError::DryRun.into());
    }
    let same = terms.name.as_ref().and_then(|_| grants.iter().find(|grant| grant.terms == terms && grant.grantee_id == grantee_id));
    if let Some(grant) = same {
        note_response(cx, &key, grant);
        return Ok(CreateGrantOutput { grant_token: Some(grant_token::issue(cx, grant)?), grant_id: Some(grant.id.clone()) });
    }
    if key.grant_count >= LIMIT {
        return Err(KmsError::Limit(format!("{} has {LIMIT} grants, which is the limit", key.arn(&region))).into());
    }
    let mut id = [0_u8; 32];
    cx.random(&mut id)?;
    let issuing_account = format!("arn:{}:iam::{}:root", plane::PARTITION, cx.account);
    let grant = Grant {
        id: hex::encode(id),
        account: key.account.clone(),
        key_id: key.id.clone(),
        created_ms: cx.now.0,
        terms,
        issuing_account,
        grantee_id,
        retiring_id,
    };
    grant.put(&mut cx.tx, &region)?;
    key.grant_count = key.grant_count.saturating_add(1);
    key.put(&mut cx.tx, &region)?;
    note_response(cx, &key, &grant);
    Ok(CreateGrantOutput { grant_token: Some(grant_token::issue(cx, &grant)?), grant_id: Some(grant.id) })
}

/// The event names the grant; the token stays with the caller.
fn note_response(cx: &mut Call, key: &KmsKey, grant: &Grant) {
    cx.audit.response_elements = Some(json!({ "grantId": grant.id, "keyId": key.arn(&cx.region) }));
}

/// Who may make grants only because of a grant cannot give more than that grant gives.
async fn check_parent(cx: &mut Call, key: &KmsKey, grants: &[Grant], terms: &GrantTerms, input: CreateGrantInput) -> Result<(), ApiError> {
    let parents: Vec<&Grant> = grants
        .iter()
        .filter(|grant| {
            grant.terms.operations.iter().any(|operation| operation == "CreateGrant")
                && is_named(cx, &grant.terms.grantee, grant.grantee_id.as_deref())
        })
        .collect();
    if parents.is_empty() {
        // No grant can have decided.
        return Ok(());
    }
    if parents.iter().any(|parent| terms.is_within(&parent.terms)) {
        return Ok(());
    }
    let arn = key.arn(&cx.region);
    let compiled = plane::authorize::compiled(PolicyKind::KeyPolicy, &key.policy);
    let access = resource::access_without_grants(key, &cx.region, compiled);
    let mut keys = MapContext::new();
    condition_key::of_request(cx, &input.into_value(), &mut keys);
    if plane::authorize::allowed_under(cx, "kms:CreateGrant", &arn, &access, &keys).await? {
        return Ok(());
    }
    Err(KmsError::AccessDenied(format!("User: {} is not authorized to perform: kms:CreateGrant on resource: {arn} because the new grant gives more than the grant that it is made under", cx.principal.arn)).into())
}

/// The id of a user, role or role session, which must exist; accounts and federated users have none.
async fn unique_id(cx: &mut Call, arn: &str) -> Result<Option<String>, ApiError> {
    if arn.ends_with(":root") || arn.contains(":federated-user/") {
        return Ok(None);
    }
    let directory = Arc::clone(cx.plane.directory());
    match directory.unique_id(&mut cx.tx, arn).await? {
        Some(id) => Ok(Some(id)),
        None => Err(KmsError::PrincipalMissing(arn.to_owned()).into()),
    }
}

/// Whether a principal of a grant means the caller: itself, its role, or its whole account. Where there is an id, it counts.
fn is_named(cx: &Call, arn: &str, id: Option<&str>) -> bool {
    let principal = &cx.principal;
    if arn == format!("arn:{}:iam::{}:root", plane::PARTITION, principal.account) {
        return true;
    }
    let is = |has_arn: &str, has_id: &str| id.map_or(has_arn == arn, |id| has_id == id);
    let is_caller = is(&principal.arn, &principal.principal_id);
    match &principal.kind {
        PrincipalKind::AssumedRole { role_arn, role_id, .. } => is_caller || is(role_arn, role_id),
        PrincipalKind::FederatedUser { user_arn, user_id, .. } => is_caller || is(user_arn, user_id),
        _ => is_caller,
    }
}

/// The grant behind `GrantToken`, or behind `KeyId` and `GrantId`.
pub(crate) async fn named(cx: &mut Call, token: Option<&str>, key_id: Option<&str>, grant_id: Option<&str>) -> Result<GrantName, ApiError> {
    match (token, key_id, grant_id) {
        (Some(token), None, None) => Ok(grant_token::open(cx, token)?),
        (None, Some(key_id), Some(grant_id)) => {
            let action = format!("kms:{}", cx.operation.name);
            let KeyPlace { account, id } = resolve::place(cx, key_id, &action).await?;
            Ok(GrantName { account, key_id: id, grant_id: grant_id.to_owned() })
        }
        _ => Err(KmsError::Validation("Specify either a grant token, or a key ARN and a grant ID.".to_owned()).into()),
    }
}

async fn load(cx: &mut Call, name: &GrantName) -> Result<(KmsKey, Grant), ApiError> {
    let region = cx.region.clone();
    let place = KeyPlace { account: name.account.clone(), id: name.key_id.clone() };
    let arn = place.arn(&region);
    let key = resolve::find(cx, &place).await?.ok_or(KmsError::KeyMissing(arn))?;
    let grant = cx.tx.get::<Grant>(&Grant::range(&name.account, &region, &name.key_id).last(&name.grant_id)).await?;
    Ok((Arc::unwrap_or_clone(key), grant.ok_or(KmsError::GrantId)?))
}

fn remove(cx: &mut Call, mut key: KmsKey, grant: &Grant) -> Result<(), ApiError> {
    let region = cx.region.clone();
    grant.delete(&mut cx.tx, &region);
    key.grant_count = key.grant_count.saturating_sub(1);
    key.put(&mut cx.tx, &region)
}

pub(crate) async fn revoke_grant(cx: &mut Call, input: RevokeGrantInput) -> Result<RevokeGrantOutput, ApiError> {
    let name = named(cx, None, Some(&input.key_id), Some(&input.grant_id)).await?;
    let (key, grant) = load(cx, &name).await?;
    if input.dry_run == Some(true) {
        return Err(KmsError::DryRun.into());
    }
    remove(cx, key, &grant)?;
    Ok(RevokeGrantOutput {})
}

/// The plane has decided that the caller may retire grants of the key; which grants is said by the grants themselves. A policy alone
/// allows nothing here, as AWS documents.
pub(crate) async fn retire_grant(cx: &mut Call, input: RetireGrantInput) -> Result<RetireGrantOutput, ApiError> {
    let name = named(cx, input.grant_token.as_deref(), input.key_id.as_deref(), input.grant_id.as_deref()).await?;
    let (key, grant) = load(cx, &name).await?;
    if !may_retire(cx, &grant) {
        let arn = key.arn(&cx.region);
        return Err(KmsError::AccessDenied(format!(
            "User: {} is not authorized to perform: kms:RetireGrant on resource: {arn}",
            cx.principal.arn
        ))
        .into());
    }
    if input.dry_run == Some(true) {
        return Err(KmsError::DryRun.into());
    }
    remove(cx, key, &grant)?;
    Ok(RetireGrantOutput {})
}

/// The retiring principal, a grantee whose grant says so, and the root of the key's account.
fn may_retire(cx: &Call, grant: &Grant) -> bool {
    let terms = &grant.terms;
    let retiring = terms.retiring.as_ref().is_some_and(|arn| is_named(cx, arn, grant.retiring_id.as_deref()));
    let grantee =
        terms.operations.iter().any(|operation| operation == "RetireGrant") && is_named(cx, &terms.grantee, grant.grantee_id.as_deref());
    let owner = cx.principal.kind == PrincipalKind::Root && cx.account == grant.account;
    retiring || grantee || owner
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(operations: &[&str], subset: Option<&[(&str, &str)]>, equals: Option<&[(&str, &str)]>) -> GrantTerms {
        let context = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        GrantTerms {
            name: None,
            grantee: "arn:aws:iam::111111111111:user/a".to_owned(),
            retiring: None,
            operations: operations.iter().map(|operation| (*operation).to_owned()).collect(),
            context_subset: subset.map(context),
            context_equals: equals.map(context),
        }
    }

    #[test]
    fn a_grant_made_under_a_grant_gives_no_more() {
        let pair: &[(&str, &str)] = &[("a", "b")];
        let pairs: &[(&str, &str)] = &[("a", "b"), ("c", "d")];
        let free = terms(&["CreateGrant", "Decrypt"], None, None);
        let subset = terms(&["CreateGrant", "Decrypt"], Some(pair), None);
        let equals = terms(&["CreateGrant", "Decrypt"], None, Some(pair));
        for (child, parent, expected) in [
            (terms(&["Decrypt"], None, None), &free, true),
            (terms(&["Decrypt", "Encrypt"], None, None), &free, false),
            (terms(&["Decrypt"], None, None), &subset, false),
            (terms(&["Decrypt"], Some(pair), None), &subset, true),
            (terms(&["Decrypt"], Some(pairs), None), &subset, true),
            (terms(&["Decrypt"], None, Some(pairs)), &subset, true),
            (terms(&["Decrypt"], Some(&[("a", "B")]), None), &subset, false),
            (terms(&["Decrypt"], None, None), &equals, false),
            (terms(&["Decrypt"], None, Some(pairs)), &equals, false),
            (terms(&["Decrypt"], None, Some(pair)), &equals, true),
        ] {
            assert_eq!(child.is_within(parent), expected, "{child:?} under {parent:?}");
        }
    }

    #[test]
    fn principals_of_grants() {
        for arn in [
            "arn:aws:iam::111111111111:root",
            "arn:aws:iam::111111111111:user/path/a",
            "arn:aws:iam::111111111111:role/r",
            "arn:aws:sts::111111111111:assumed-role/r/s",
            "arn:aws:sts::111111111111:federated-user/f",
        ] {
            assert_eq!(check_principal(arn), Ok(()), "{arn}");
        }
        for arn in [
            "*",
            "111111111111",
            "arn:aws:iam::1:root",
            "arn:aws:iam::111111111111:user/",
            "arn:aws:iam::111111111111:group/g",
            "arn:aws:s3:::bucket",
            "s3.amazonaws.com",
        ] {
            assert_eq!(check_principal(arn).map_err(|error| error.code()), Err("InvalidArnException"), "{arn}");
        }
    }

    #[test]
    fn operations_fit_the_key() {
        let check = |operations: &[&str], spec| {
            check_operations(&operations.iter().map(|operation| (*operation).to_owned()).collect::<Vec<_>>(), spec).is_ok()
        };
        assert!(check(&["Decrypt", "CreateGrant"], KeySpec::SymmetricDefault));
        assert!(!check(&["Sign"], KeySpec::SymmetricDefault));
        assert!(!check(&["Decrypt"], KeySpec::Hmac256));
        assert!(check(&["GenerateMac"], KeySpec::Hmac256));
        assert!(!check(&[], KeySpec::SymmetricDefault));
        assert!(FOR_SYMMETRIC.is_sorted() && FOR_MAC.is_sorted());
    }

    #[test]
    fn constraints_have_limits() {
        let many: EncryptionContext = (0..9).map(|number| (number.to_string(), String::new())).collect();
        let long = EncryptionContext::from([("k".repeat(200), "v".repeat(185))]);
        for context in [many, long] {
            let constraints = GrantConstraints { encryption_context_subset: Some(context), ..GrantConstraints::default() };
            assert!(check_constraints(&constraints, KeySpec::SymmetricDefault).is_err());
        }
    }
}
