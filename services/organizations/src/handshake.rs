//! Handshakes: an account joins an organization when both have said so.

use api_organizations::{
    AcceptHandshakeInput, AcceptHandshakeOutput, ActionType, CancelHandshakeInput, CancelHandshakeOutput, DeclineHandshakeInput,
    DeclineHandshakeOutput, DescribeHandshakeInput, DescribeHandshakeOutput, Handshake as HandshakeDescription, HandshakeFilter,
    HandshakeParty, HandshakePartyType, HandshakeResource, HandshakeResourceType, HandshakeState, InviteAccountToOrganizationInput,
    InviteAccountToOrganizationOutput, ListHandshakesForAccountInput, ListHandshakesForAccountOutput, ListHandshakesForOrganizationInput,
    ListHandshakesForOrganizationOutput,
};
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Call, Key, Record, Scope};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::{Secret, Timestamp};

use crate::error::OrganizationError;
use crate::organization::{self, Member, Organization};
use crate::{account, identifier, paged, tag};

const DAY_MS: i64 = 24 * 3600 * 1000;
/// An invitation ends after this time. Source: Organizations User Guide, "Managing account invitations".
const LIFE_MS: i64 = 15 * DAY_MS;
/// What has ended is shown for this time.
const SHOWN_MS: i64 = 30 * DAY_MS;
/// Open invitations of one organization.
const OPEN_LIMIT: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    Open,
    Accepted,
    Declined,
    Canceled,
    Expired,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Accepted => "ACCEPTED",
            Self::Declined => "DECLINED",
            Self::Canceled => "CANCELED",
            Self::Expired => "EXPIRED",
        }
    }

    fn to_api(self) -> HandshakeState {
        match self {
            Self::Open => HandshakeState::Open,
            Self::Accepted => HandshakeState::Accepted,
            Self::Declined => HandshakeState::Declined,
            Self::Canceled => HandshakeState::Canceled,
            Self::Expired => HandshakeState::Expired,
        }
    }
}

/// An invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Invitation {
    pub id: String,
    pub organization: String,
    pub management_account: String,
    pub management_email: String,
    pub management_name: String,
    pub all_features: bool,
    /// The invited account.
    pub account: String,
    pub notes: Option<String>,
    /// Tags that the account gets when it joins.
    #[serde(default)]
    pub tags: Vec<(String, String)>,
    pub requested_ms: i64,
    pub state: State,
}

impl Record for Invitation {
    const TABLE: Table = Table("organizations-handshake");
    const SCOPE: Scope = Scope::Home;
}

fn key(id: &str) -> Key {
    Key::shared().last(id)
}

impl Invitation {
    fn expires_ms(&self) -> i64 {
        self.requested_ms.saturating_add(LIFE_MS)
    }

    /// The state as it is at this time.
    fn state_at(&self, now_ms: i64) -> State {
        if self.state == State::Open && now_ms >= self.expires_ms() { State::Expired } else { self.state }
    }

    fn describe(&self, now_ms: i64) -> HandshakeDescription {
        let party = |id: &str, type_| HandshakeParty { id: Secret::new(id.to_owned()), type_ };
        let resource =
            |type_, value: &str, resources| HandshakeResource { value: Some(Secret::new(value.to_owned())), type_: Some(type_), resources };
        let features = if self.all_features { "ALL" } else { "CONSOLIDATED_BILLING" };
        let about = vec![
            resource(HandshakeResourceType::MasterEmail, &self.management_email, None),
            resource(HandshakeResourceType::MasterName, &self.management_name, None),
            resource(HandshakeResourceType::OrganizationFeatureSet, features, None),
        ];
        let mut resources = vec![
            resource(HandshakeResourceType::Organization, &self.organization, Some(about)),
            resource(HandshakeResourceType::Account, &self.account, None),
        ];
        resources.extend(self.notes.as_ref().map(|notes| resource(HandshakeResourceType::Notes, notes, None)));
        HandshakeDescription {
            id: Some(self.id.clone()),
            arn: Some(arn(&self.management_account, &self.organization, "invite", &self.id)),
            parties: Some(vec![
                party(self.organization.trim_start_matches("o-"), HandshakePartyType::Organization),
                party(&self.account, HandshakePartyType::Account),
            ]),
            state: Some(self.state_at(now_ms).to_api()),
            requested_timestamp: Some(Timestamp(self.requested_ms)),
            expiration_timestamp: Some(Timestamp(self.expires_ms())),
            action: Some(ActionType::Invite),
            resources: Some(resources),
        }
    }
}

pub(crate) fn arn(management: &str, organization: &str, action: &str, id: &str) -> String {
    format!("arn:{}:organizations::{management}:handshake/{organization}/{action}/{id}", plane::PARTITION)
}

/// What `EnableAllFeatures` answers when nobody had to be asked.
pub(crate) fn all_features(cx: &Call, organization: &Organization) -> Result<HandshakeDescription, ApiError> {
    let id = identifier::handshake(cx)?;
    Ok(HandshakeDescription {
        arn: Some(arn(&organization.management_account, &organization.id, "enable_all_features", &id)),
        id: Some(id),
        parties: Some(vec![HandshakeParty {
            id: Secret::new(organization.id.trim_start_matches("o-").to_owned()),
            type_: HandshakePartyType::Organization,
        }]),
        state: Some(HandshakeState::Accepted),
        requested_timestamp: Some(cx.now),
        expiration_timestamp: Some(cx.now),
        action: Some(ActionType::EnableAllFeatures),
        resources: None,
    })
}

async fn all(cx: &mut Call) -> Result<Vec<Invitation>, ApiError> {
    let rows = cx.tx.scan::<Invitation>(&Key::shared(), None, SCAN_LIMIT).await?;
    Ok(rows.into_iter().map(|(_, invitation)| invitation).collect())
}

/// Open invitations end with their organization.
pub(crate) async fn delete_all(cx: &mut Call, organization: &Organization) -> Result<(), ApiError> {
    for invitation in all(cx).await? {
        if invitation.organization == organization.id {
            cx.tx.delete::<Invitation>(&key(&invitation.id));
        }
    }
    Ok(())
}

pub(crate) async fn find(cx: &mut Call, id: &str) -> Result<Option<Invitation>, ApiError> {
    cx.tx.get::<Invitation>(&key(id)).await
}

/// The invitation, for one of its two parties.
async fn load(cx: &mut Call, id: &str) -> Result<Invitation, ApiError> {
    let invitation = find(cx, id).await?.ok_or(OrganizationError::HandshakeNotFound)?;
    if invitation.account == cx.account || invitation.management_account == cx.account {
        return Ok(invitation);
    }
    Err(OrganizationError::HandshakeNotFound.into())
}

pub(crate) async fn invite_account_to_organization(
    cx: &mut Call,
    input: InviteAccountToOrganizationInput,
) -> Result<InviteAccountToOrganizationOutput, ApiError> {
    let organization = organization::load(cx).await?;
    let target = input.target.id.into_inner();
    match input.target.type_ {
        HandshakePartyType::Account if target.len() == 12 && target.bytes().all(|byte| byte.is_ascii_digit()) => {}
        HandshakePartyType::Account => {
            return Err(OrganizationError::Input("INVALID_PARTY_TYPE_TARGET", "You specified an invalid account id.").into());
        }
        // Nobody here has a mailbox that an invitation could reach.
        _ => {
            return Err(OrganizationError::Input(
                "INVALID_PARTY_TYPE_TARGET",
                "Accounts are invited by their account id here, not by their email address.",
            )
            .into());
        }
    }
    if organization.accounts.contains_key(&target) {
        return Err(OrganizationError::HandshakeConstraint(
            "ALREADY_IN_AN_ORGANIZATION",
            "The handshake request is invalid because the invited account is already a member of an organization.",
        )
        .into());
    }
    if !iam::member_account::exists(cx, &target).await? {
        return Err(OrganizationError::AccountNotFound.into());
    }
    let now_ms = cx.now.0;
    let open: Vec<Invitation> = all(cx)
        .await?
        .into_iter()
        .filter(|invitation| invitation.organization == organization.id && invitation.state_at(now_ms) == State::Open)
        .collect();
    if open.iter().any(|invitation| invitation.account == target) {
        return Err(OrganizationError::DuplicateHandshake.into());
    }
    if open.len() >= OPEN_LIMIT {
        return Err(OrganizationError::HandshakeConstraint(
            "HANDSHAKE_RATE_LIMIT_EXCEEDED",
            "You have exceeded the number of invitations that may be open at a time.",
        )
        .into());
    }
    let management = organization.accounts.get(&organization.management_account);
    let invitation = Invitation {
        id: identifier::handshake(cx)?,
        organization: organization.id.clone(),
        management_account: organization.management_account.clone(),
        management_email: management.map(|member| member.email.clone()).unwrap_or_default(),
        management_name: management.map(|member| member.name.clone()).unwrap_or_default(),
        all_features: organization.all_features,
        account: target,
        notes: input.notes.map(Secret::into_inner),
        tags: tag::checked(input.tags)?,
        requested_ms: now_ms,
        state: State::Open,
    };
    cx.tx.put(&key(&invitation.id), &invitation)?;
    Ok(InviteAccountToOrganizationOutput { handshake: Some(invitation.describe(now_ms)) })
}

/// An open invitation comes to its end. `by_account`: only the invited account may say this; else only who invited.
async fn conclude(cx: &mut Call, id: &str, state: State, by_account: bool) -> Result<Invitation, ApiError> {
    let mut invitation = load(cx, id).await?;
    let speaks = if by_account { &invitation.account } else { &invitation.management_account };
    if *speaks != cx.account {
        return Err(OrganizationError::AccessDenied.into());
    }
    match invitation.state_at(cx.now.0) {
        State::Open => {}
        current if current == state => return Err(OrganizationError::HandshakeAlreadyInState(state.name()).into()),
        current => return Err(OrganizationError::HandshakeTransition(current.name()).into()),
    }
    invitation.state = state;
    cx.tx.put(&key(id), &invitation)?;
    Ok(invitation)
}

pub(crate) async fn accept_handshake(cx: &mut Call, input: AcceptHandshakeInput) -> Result<AcceptHandshakeOutput, ApiError> {
    let invitation = conclude(cx, &input.handshake_id, State::Accepted, true).await?;
    let account = cx.account.clone();
    if organization::of_account(&mut cx.tx, &account).await?.is_some() {
        return Err(OrganizationError::HandshakeConstraint(
            "ALREADY_IN_AN_ORGANIZATION",
            "The handshake request is invalid because the account is already a member of an organization.",
        )
        .into());
    }
    let organization = cx.tx.get::<Organization>(&organization::organization_key(&invitation.organization)).await?;
    let mut organization = organization.ok_or(OrganizationError::HandshakeNotFound)?;
    let member = Member {
        name: account.clone(),
        email: format!("{account}@bailiwick.invalid"),
        parent: organization.root.id.clone(),
        created: false,
        joined_ms: cx.now.0,
        suspended: false,
        tags: invitation.tags.clone(),
    };
    account::join(cx, &mut organization, &account, member)?;
    organization.put(&mut cx.tx)?;
    Ok(AcceptHandshakeOutput { handshake: Some(invitation.describe(cx.now.0)) })
}

pub(crate) async fn decline_handshake(cx: &mut Call, input: DeclineHandshakeInput) -> Result<DeclineHandshakeOutput, ApiError> {
    let invitation = conclude(cx, &input.handshake_id, State::Declined, true).await?;
    Ok(DeclineHandshakeOutput { handshake: Some(invitation.describe(cx.now.0)) })
}

pub(crate) async fn cancel_handshake(cx: &mut Call, input: CancelHandshakeInput) -> Result<CancelHandshakeOutput, ApiError> {
    let invitation = conclude(cx, &input.handshake_id, State::Canceled, false).await?;
    Ok(CancelHandshakeOutput { handshake: Some(invitation.describe(cx.now.0)) })
}

pub(crate) async fn describe_handshake(cx: &mut Call, input: DescribeHandshakeInput) -> Result<DescribeHandshakeOutput, ApiError> {
    let invitation = load(cx, &input.handshake_id).await?;
    Ok(DescribeHandshakeOutput { handshake: Some(invitation.describe(cx.now.0)) })
}

/// Invitations that the test takes and that are open or ended not long ago.
async fn shown(
    cx: &mut Call,
    filter: Option<HandshakeFilter>,
    token: Option<String>,
    max_results: Option<i32>,
    is_ours: impl Fn(&Invitation) -> bool,
) -> Result<(Vec<HandshakeDescription>, Option<String>), ApiError> {
    let now_ms = cx.now.0;
    let filter = filter.unwrap_or_default();
    if filter.action_type.is_some() && filter.parent_handshake_id.is_some() {
        return Err(OrganizationError::Input("INVALID_LIST_MEMBER", "Filter by the action or by the parent handshake, not by both.").into());
    }
    let is_invite = filter.action_type.as_ref().is_none_or(|action| *action == ActionType::Invite) && filter.parent_handshake_id.is_none();
    let mut found = all(cx).await?;
    found.retain(|invitation| is_invite && is_ours(invitation) && now_ms < invitation.expires_ms().saturating_add(SHOWN_MS));
    let binding = format!("{filter:?}");
    let page = paged::cut(cx, found, |invitation| invitation.id.clone(), &binding, token, max_results)?;
    Ok((page.items.iter().map(|invitation| invitation.describe(now_ms)).collect(), page.next))
}

pub(crate) async fn list_handshakes_for_account(
    cx: &mut Call,
    input: ListHandshakesForAccountInput,
) -> Result<ListHandshakesForAccountOutput, ApiError> {
    let account = cx.account.clone();
    let (handshakes, next_token) =
        shown(cx, input.filter, input.next_token, input.max_results, |invitation| invitation.account == account).await?;
    Ok(ListHandshakesForAccountOutput { handshakes: Some(handshakes), next_token })
}

pub(crate) async fn list_handshakes_for_organization(
    cx: &mut Call,
    input: ListHandshakesForOrganizationInput,
) -> Result<ListHandshakesForOrganizationOutput, ApiError> {
    let id = organization::load(cx).await?.id;
    let (handshakes, next_token) =
        shown(cx, input.filter, input.next_token, input.max_results, |invitation| invitation.organization == id).await?;
    Ok(ListHandshakesForOrganizationOutput { handshakes: Some(handshakes), next_token })
}
