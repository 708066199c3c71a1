//! Step 7: an organization keeps its accounts' models in approved regions, whoever calls.
//!
//! It plays on a server of its own, which has two regions and keeps nothing: only there can an account with root keys be made for the play.

use serde_json::json;
use wire::Value;
use zeroize::Zeroizing;

use super::stage::{Stage, list, object, text, text_at};
use crate::client::{Client, ClientError, Credentials};
use crate::command::Failure;
use crate::command::up::Serving;

pub const REGIONS: [&str; 2] = [APPROVED, ABROAD];
const APPROVED: &str = "us-east-1";
const ABROAD: &str = "eu-central-1";
const MEMBER: &str = "222222222222";
const REFUSAL: &str = "with an explicit deny in a service control policy";

/// The server with the organization, in both of its regions.
struct Place {
    approved: Client,
    abroad: Client,
}

impl Place {
    fn new(serving: &Serving) -> Result<Self, ClientError> {
        let client = |region| Client::new(serving.running.endpoint(), region, Some(&serving.authority_pem));
        Ok(Self { approved: client(APPROVED)?, abroad: client(ABROAD)? })
    }

    async fn call(&self, who: &Credentials, service: &str, operation: &str, input: Value) -> Result<Value, ClientError> {
        self.approved.call_named(who, service, operation, &input).await
    }
}

/// One question to a model.
async fn ask(client: &Client, who: &Credentials, model: &str) -> Result<Value, ClientError> {
    let message = object([("role", text("user")), ("content", list([object([("text", text("Where are you?"))])]))]);
    let input = object([("modelId", text(model)), ("messages", list([message]))]);
    client.call_named(who, "bedrock-runtime", "Converse", &input).await
}

fn first(value: &Value, list: &str, member: &str) -> String {
    match value.member(list) {
        Some(Value::List(items)) => items.first().map(|item| text_at(item, member)).unwrap_or_default(),
        _ => String::new(),
    }
}

fn credentials(value: &Value, prefix: &str) -> Credentials {
    let at = |name: &str| text_at(value, &format!("{prefix}{name}"));
    let token = at("SessionToken");
    Credentials {
        access_key_id: at("AccessKeyId"),
        secret_access_key: Zeroizing::new(at("SecretAccessKey")),
        session_token: (!token.is_empty()).then_some(token),
    }
}

/// An account joins by invitation: its root user agrees.
async fn joined(place: &Place, management: &Credentials) -> Result<Credentials, ClientError> {
    let made = place.call(management, "bailiwick", "CreateAccount", object([("AccountId", text(MEMBER))])).await?;
    let member = credentials(&made, "");
    place.call(management, "organizations", "CreateOrganization", object([("FeatureSet", text("ALL"))])).await?;
    let target = object([("Target", object([("Id", text(MEMBER)), ("Type", text("ACCOUNT"))]))]);
    let invited = place.call(management, "organizations", "InviteAccountToOrganization", target).await?;
    let handshake = object([("HandshakeId", text(text_at(&invited, "Handshake.Id")))]);
    place.call(&member, "organizations", "AcceptHandshake", handshake).await?;
    Ok(member)
}

/// An account is made by the organization, and its administrator's role is assumed at once.
async fn made(place: &Place, management: &Credentials) -> Result<Credentials, ClientError> {
    let input = object([("Email", text("research@example.com")), ("AccountName", text("research"))]);
    let status = place.call(management, "organizations", "CreateAccount", input).await?;
    let asked = object([("CreateAccountRequestId", text(text_at(&status, "CreateAccountStatus.Id")))]);
    let status = place.call(management, "organizations", "DescribeCreateAccountStatus", asked).await?;
    let account = text_at(&status, "CreateAccountStatus.AccountId");

    let name = object([("UserName", text("administrator"))]);
    place.call(management, "iam", "CreateUser", name.clone()).await?;
    let policy = object([("UserName", text("administrator")), ("PolicyArn", text("arn:aws:iam::aws:policy/AdministratorAccess"))]);
    place.call(management, "iam", "AttachUserPolicy", policy).await?;
    let key = place.call(management, "iam", "CreateAccessKey", name).await?;
    let administrator = credentials(&key, "AccessKey.");
    let role = format!("arn:aws:iam::{account}:role/OrganizationAccountAccessRole");
    let input = object([("RoleArn", text(role)), ("RoleSessionName", text("demo"))]);
    let session = place.call(&administrator, "sts", "AssumeRole", input).await?;
    Ok(credentials(&session, "Credentials."))
}

async fn lock(place: &Place, management: &Credentials) -> Result<String, ClientError> {
    let content = json!({ "Version": "2012-10-17", "Statement": [{
        "Sid": "ApprovedRegions",
        "Effect": "Deny",
        "NotAction": ["iam:*", "organizations:*", "sts:*", "support:*"],
        "Resource": "*",
        "Condition": { "StringNotEquals": { "aws:RequestedRegion": [APPROVED] } },
    }] });
    let policy = object([
        ("Name", text("approved-regions")),
        ("Description", text("models stay in approved regions")),
        ("Type", text("SERVICE_CONTROL_POLICY")),
        ("Content", text(content.to_string())),
    ]);
    let made = place.call(management, "organizations", "CreatePolicy", policy).await?;
    let roots = place.call(management, "organizations", "ListRoots", object([])).await?;
    let attachment =
        object([("PolicyId", text(text_at(&made, "Policy.PolicySummary.Id"))), ("TargetId", text(first(&roots, "Roots", "Id")))]);
    place.call(management, "organizations", "AttachPolicy", attachment).await?;
    Ok(text_at(&made, "Policy.PolicySummary.Arn"))
}

/// Before the lock everybody reaches the model in both regions; after it nobody in a member account does abroad.
pub async fn locked(stage: &mut Stage, serving: &Serving) -> Result<(), Failure> {
    let place = Place::new(serving)?;
    let management = serving.root.clone().ok_or_else(|| Failure::general("the start made no root credentials"))?;
    let root = joined(&place, &management).await?;
    let session = made(&place, &management).await?;
    let models = place.abroad.call_named(&management, "bedrock", "ListFoundationModels", &object([])).await?;
    let model = first(&models, "modelSummaries", "modelId");
    let before = ask(&place.abroad, &root, &model).await.is_ok() && ask(&place.abroad, &session, &model).await.is_ok();
    stage.prove("before the lock, a member's root user and a new account's administrator reach the model abroad", before, ABROAD)?;

    let policy = lock(&place, &management).await?;
    let parts = ["bedrock:InvokeModel", REFUSAL, policy.as_str()];
    let refused = ask(&place.abroad, &root, &model).await;
    stage.prove_refused(
        "on the very next call the model abroad is refused to the member's root user",
        refused,
        "AccessDeniedException",
        403,
        &parts,
    )?;
    let refused = ask(&place.abroad, &session, &model).await;
    stage.prove_refused("and to the administrator of the new account", refused, "AccessDeniedException", 403, &parts)?;
    let here = ask(&place.approved, &root, &model).await.is_ok() && ask(&place.approved, &session, &model).await.is_ok();
    stage.prove("in the approved region both still reach it", here, APPROVED)?;
    let free = ask(&place.abroad, &management, &model).await;
    let evidence = free.as_ref().err().map_or_else(|| ABROAD.to_owned(), ToString::to_string);
    stage.prove("nothing binds the management account", free.is_ok(), evidence)
}
