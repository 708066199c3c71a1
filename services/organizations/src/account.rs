//! Member accounts.

use api_organizations::{
    Account, AccountJoinedMethod, AccountState, AccountStatus, CloseAccountInput, CloseAccountOutput, CreateAccountFailureReason,
    CreateAccountInput, CreateAccountOutput, CreateAccountState, CreateAccountStatus, DescribeAccountInput, DescribeAccountOutput,
    DescribeCreateAccountStatusInput, DescribeCreateAccountStatusOutput, LeaveOrganizationInput, LeaveOrganizationOutput,
    ListAccountsForParentInput, ListAccountsForParentOutput, ListAccountsInput, ListAccountsOutput, ListCreateAccountStatusInput,
    ListCreateAccountStatusOutput, MoveAccountInput, MoveAccountOutput, RemoveAccountFromOrganizationInput,
    RemoveAccountFromOrganizationOutput,
};
use plane::audit::ServiceEvent;
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Call, Key, Record, Scope};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use store::Table;
use wire::{Secret, Timestamp};

use crate::error::OrganizationError;
use crate::organization::{self, Member, Membership, Organization, membership_key};
use crate::policy_type::FULL_AWS_ACCESS;
use crate::{identifier, paged, tag};

/// Accounts of one organization: what one record holds with room to spare. (AWS begins with 10 and grows on request.)
const ACCOUNTS_LIMIT: usize = 10_000;
/// Role through which the management account works in an account that it made.
const ACCESS_ROLE: &str = "OrganizationAccountAccessRole";
/// Who acts when a request of this service ends.
const SERVICE_PRINCIPAL: &str = "organizations.amazonaws.com";
/// Tries to find an account id that is not taken.
const ID_ATTEMPTS: usize = 16;

/// What became of a `CreateAccount`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CreateAccountRequest {
    id: String,
    account_name: String,
    requested_ms: i64,
    /// `None`: it failed, because the address is taken.
    account: Option<String>,
}

impl Record for CreateAccountRequest {
    const TABLE: Table = Table("organizations-create-account");
    const SCOPE: Scope = Scope::Home;
}

fn requests(organization: &Organization) -> Key {
    Key::new(&organization.management_account, "").then(&organization.id)
}

impl CreateAccountRequest {
    fn describe(&self) -> CreateAccountStatus {
        CreateAccountStatus {
            id: Some(self.id.clone()),
            account_name: Some(Secret::new(self.account_name.clone())),
            state: Some(if self.account.is_some() { CreateAccountState::Succeeded } else { CreateAccountState::Failed }),
            requested_timestamp: Some(Timestamp(self.requested_ms)),
            completed_timestamp: Some(Timestamp(self.requested_ms)),
            account_id: self.account.clone(),
            gov_cloud_account_id: None,
            failure_reason: self.account.is_none().then_some(CreateAccountFailureReason::EmailAlreadyExists),
        }
    }
}

impl CreateAccountRequest {
    /// What the event of its end says; names are hidden in it, as in AWS's.
    fn event_details(&self) -> Json {
        let time = plane::clock::detail_time(self.requested_ms);
        match &self.account {
            Some(account) => json!({
                "id": self.id, "state": "SUCCEEDED", "accountName": "****", "accountId": account,
                "requestedTimestamp": time, "completedTimestamp": time,
            }),
            None => json!({
                "id": self.id, "state": "FAILED", "accountName": "****", "failureReason": "EMAIL_ALREADY_EXISTS",
                "requestedTimestamp": time, "completedTimestamp": time,
            }),
        }
    }
}

pub(crate) fn describe(organization: &Organization, id: &str, member: &Member) -> Account {
    let (status, state) = standing(member);
    Account {
        id: Some(id.to_owned()),
        arn: Some(organization.account_arn(id)),
        email: Some(Secret::new(member.email.clone())),
        name: Some(Secret::new(member.name.clone())),
        status: Some(status),
        state: Some(state),
        paths: Some(vec![format!("{}{id}/", organization.path(id))]),
        joined_method: Some(joined(member)),
        joined_timestamp: Some(Timestamp(member.joined_ms)),
    }
}

pub(crate) fn standing(member: &Member) -> (AccountStatus, AccountState) {
    if member.suspended { (AccountStatus::Suspended, AccountState::Suspended) } else { (AccountStatus::Active, AccountState::Active) }
}

pub(crate) fn joined(member: &Member) -> AccountJoinedMethod {
    if member.created { AccountJoinedMethod::Created } else { AccountJoinedMethod::Invited }
}

/// The account is there and usable when this answers; its state is told through the documented status all the same.
pub(crate) async fn create_account(cx: &mut Call, input: CreateAccountInput) -> Result<CreateAccountOutput, ApiError> {
    let mut organization = organization::load(cx).await?;
    let tags = tag::checked(input.tags)?;
    if organization.accounts.len() >= ACCOUNTS_LIMIT {
        return Err(OrganizationError::Constraint(
            "ACCOUNT_NUMBER_LIMIT_EXCEEDED",
            "You have exceeded the allowed number of AWS accounts.",
        )
        .into());
    }
    if input.iam_user_access_to_billing.is_some_and(|access| access.as_str() == "DENY") {
        return Err(OrganizationError::Input("INVALID_ENUM", "Access to billing cannot be denied here: there is no billing.").into());
    }
    let (name, email) = (input.account_name.into_inner(), input.email.into_inner());
    let taken = organization.accounts.values().any(|member| member.email.eq_ignore_ascii_case(&email));
    let account = if taken { None } else { Some(new_account(cx, input.role_name.as_deref().unwrap_or(ACCESS_ROLE)).await?) };
    if let Some(account) = &account {
        let root = organization.root.id.clone();
        let member = Member { name: name.clone(), email, parent: root, created: true, joined_ms: cx.now.0, suspended: false, tags };
        join(cx, &mut organization, account, member)?;
    }
    let request = CreateAccountRequest { id: identifier::create_account_request(cx)?, account_name: name, requested_ms: cx.now.0, account };
    cx.tx.put(&requests(&organization).last(&request.id), &request)?;
    organization.put(&mut cx.tx)?;
    tell_result(cx, "CreateAccountResult", json!({ "createAccountStatus": request.event_details() }));
    Ok(CreateAccountOutput { create_account_status: Some(request.describe()) })
}

/// An account without credentials of its own, with the role that the management account may assume.
async fn new_account(cx: &mut Call, role_name: &str) -> Result<String, ApiError> {
    let management = cx.account.clone();
    for _ in 0..ID_ATTEMPTS {
        let id = identifier::account(cx)?;
        if iam::member_account::create(cx, &id, role_name, &management).await? {
            return Ok(id);
        }
    }
    Err(ApiError::internal(&"no free account id was found"))
}

/// Puts an account into the organization.
pub(crate) fn join(cx: &mut Call, organization: &mut Organization, account: &str, member: Member) -> Result<(), ApiError> {
    organization.accounts.insert(account.to_owned(), member);
    if organization.all_features {
        organization.attach(account, FULL_AWS_ACCESS);
    }
    cx.tx.put(&membership_key(account), &Membership { organization: organization.id.clone() })
}

pub(crate) async fn describe_account(cx: &mut Call, input: DescribeAccountInput) -> Result<DescribeAccountOutput, ApiError> {
    let organization = organization::load(cx).await?;
    let member = organization.accounts.get(&input.account_id).ok_or(OrganizationError::AccountNotFound)?;
    Ok(DescribeAccountOutput { account: Some(describe(&organization, &input.account_id, member)) })
}

fn page_of(
    cx: &Call,
    organization: &Organization,
    ids: Vec<String>,
    filter: &str,
    token: Option<String>,
    max_results: Option<i32>,
) -> Result<(Vec<Account>, Option<String>), ApiError> {
    let page = paged::cut(cx, ids, Clone::clone, filter, token, max_results)?;
    let shown = page.items.iter().filter_map(|id| organization.accounts.get(id).map(|member| describe(organization, id, member)));
    Ok((shown.collect(), page.next))
}

pub(crate) async fn list_accounts(cx: &mut Call, input: ListAccountsInput) -> Result<ListAccountsOutput, ApiError> {
    let organization = organization::load(cx).await?;
    let ids = organization.accounts.keys().cloned().collect();
    let (accounts, next_token) = page_of(cx, &organization, ids, "accounts", input.next_token, input.max_results)?;
    Ok(ListAccountsOutput { accounts: Some(accounts), next_token })
}

pub(crate) async fn list_accounts_for_parent(
    cx: &mut Call,
    input: ListAccountsForParentInput,
) -> Result<ListAccountsForParentOutput, ApiError> {
    let organization = organization::load(cx).await?;
    if !organization.is_parent(&input.parent_id) {
        return Err(OrganizationError::ParentNotFound.into());
    }
    let below = organization.accounts.iter().filter(|(_, member)| member.parent == input.parent_id);
    let ids = below.map(|(id, _)| id.clone()).collect();
    let (accounts, next_token) = page_of(cx, &organization, ids, &input.parent_id, input.next_token, input.max_results)?;
    Ok(ListAccountsForParentOutput { accounts: Some(accounts), next_token })
}

pub(crate) async fn describe_create_account_status(
    cx: &mut Call,
    input: DescribeCreateAccountStatusInput,
) -> Result<DescribeCreateAccountStatusOutput, ApiError> {
    let organization = organization::load(cx).await?;
    let key = requests(&organization).last(&input.create_account_request_id);
    let request = cx.tx.get::<CreateAccountRequest>(&key).await?.ok_or(OrganizationError::CreateAccountStatusNotFound)?;
    Ok(DescribeCreateAccountStatusOutput { create_account_status: Some(request.describe()) })
}

pub(crate) async fn list_create_account_status(
    cx: &mut Call,
    input: ListCreateAccountStatusInput,
) -> Result<ListCreateAccountStatusOutput, ApiError> {
    let organization = organization::load(cx).await?;
    let states: Vec<String> = input.states.unwrap_or_default().iter().map(|state| state.as_str().to_owned()).collect();
    let mut found: Vec<CreateAccountRequest> =
        cx.tx.scan::<CreateAccountRequest>(&requests(&organization), None, SCAN_LIMIT).await?.into_iter().map(|(_, it)| it).collect();
    found.retain(|request| {
        let state = if request.account.is_some() { "SUCCEEDED" } else { "FAILED" };
        states.is_empty() || states.iter().any(|wanted| wanted == state)
    });
    let page = paged::cut(cx, found, |request| request.id.clone(), &states.join(" "), input.next_token, input.max_results)?;
    let shown = page.items.iter().map(CreateAccountRequest::describe);
    Ok(ListCreateAccountStatusOutput { create_account_statuses: Some(shown.collect()), next_token: page.next })
}

pub(crate) async fn move_account(cx: &mut Call, input: MoveAccountInput) -> Result<MoveAccountOutput, ApiError> {
    let mut organization = organization::load(cx).await?;
    let parent = organization.accounts.get(&input.account_id).ok_or(OrganizationError::AccountNotFound)?.parent.clone();
    if !organization.is_parent(&input.source_parent_id) || parent != input.source_parent_id {
        return Err(OrganizationError::SourceParentNotFound.into());
    }
    if !organization.is_parent(&input.destination_parent_id) {
        return Err(OrganizationError::DestinationParentNotFound.into());
    }
    if parent == input.destination_parent_id {
        return Err(OrganizationError::DuplicateAccount.into());
    }
    if let Some(member) = organization.accounts.get_mut(&input.account_id) {
        member.parent = input.destination_parent_id;
    }
    organization.put(&mut cx.tx)?;
    Ok(MoveAccountOutput {})
}

/// The account's principals can do nothing from the next call on. It stays a member.
pub(crate) async fn close_account(cx: &mut Call, input: CloseAccountInput) -> Result<CloseAccountOutput, ApiError> {
    let mut organization = organization::load(cx).await?;
    if organization.is_management(&input.account_id) {
        return Err(OrganizationError::Constraint("CANNOT_CLOSE_MANAGEMENT_ACCOUNT", "You can't close the management account.").into());
    }
    if organization.delegated.contains_key(&input.account_id) {
        return Err(OrganizationError::Constraint(
            "CLOSE_ACCOUNT_DELEGATED_ADMINISTRATOR",
            "You can't close an account that is a delegated administrator: deregister it first.",
        )
        .into());
    }
    let member = organization.accounts.get_mut(&input.account_id).ok_or(OrganizationError::AccountNotFound)?;
    if member.suspended {
        return Err(OrganizationError::AlreadyClosed.into());
    }
    member.suspended = true;
    organization.put(&mut cx.tx)?;
    let now = plane::clock::detail_time(cx.now.0);
    let status = json!({ "accountId": input.account_id, "state": "SUCCEEDED", "requestedTimestamp": now, "completedTimestamp": now });
    tell_result(cx, "CloseAccountResult", json!({ "closeAccountStatus": status }));
    Ok(CloseAccountOutput {})
}

/// The event that tells what became of work which AWS does in the background, and which is done here when the call answers.
///
/// Source: Organizations User Guide, "Logging AWS Organizations API calls with AWS CloudTrail".
fn tell_result(cx: &mut Call, name: &'static str, details: Json) {
    cx.audit.service_events.push(ServiceEvent {
        source: SERVICE_PRINCIPAL,
        actor: SERVICE_PRINCIPAL,
        name,
        account: cx.account.clone(),
        region: cx.region.clone(),
        now_ms: cx.now.0,
        additional: None,
        details: Some(details),
        resources: Vec::new(),
    });
}

fn part(cx: &mut Call, mut organization: Organization, account: &str) -> Result<(), ApiError> {
    if organization.is_management(account) {
        return Err(OrganizationError::ManagementCannotLeave.into());
    }
    let member = organization.accounts.get(account).ok_or(OrganizationError::AccountNotFound)?;
    if member.suspended {
        return Err(OrganizationError::Constraint(
            "ACCOUNT_CANNOT_LEAVE_ORGANIZATION",
            "You can't remove a closed account from the organization.",
        )
        .into());
    }
    if organization.delegated.contains_key(account) {
        return Err(OrganizationError::Constraint(
            "CANNOT_REMOVE_DELEGATED_ADMINISTRATOR_FROM_ORG",
            "You can't remove an account that is a delegated administrator: deregister it first.",
        )
        .into());
    }
    organization.forget_account(account);
    cx.tx.delete::<Membership>(&membership_key(account));
    organization.put(&mut cx.tx)
}

pub(crate) async fn remove_account_from_organization(
    cx: &mut Call,
    input: RemoveAccountFromOrganizationInput,
) -> Result<RemoveAccountFromOrganizationOutput, ApiError> {
    let organization = organization::load(cx).await?;
    part(cx, organization, &input.account_id)?;
    Ok(RemoveAccountFromOrganizationOutput {})
}

pub(crate) async fn leave_organization(cx: &mut Call, _input: LeaveOrganizationInput) -> Result<LeaveOrganizationOutput, ApiError> {
    let organization = organization::load(cx).await?;
    let account = cx.account.clone();
    part(cx, organization, &account)?;
    Ok(LeaveOrganizationOutput {})
}
