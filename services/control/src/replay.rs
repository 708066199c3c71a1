//! Recorded history under other policies: which past calls would have been decided otherwise.
//!
//! Every audit entry holds what its decision was taken on: the action, the resource, the condition keys and the limits of the session. A replay
//! takes the decision again twice, under the policies of today and under those that are proposed, and compares both with what was recorded. What
//! cannot be taken again (its principal is gone) is counted and said, not guessed.
//!
//! What is proposed is a policy at some place, or an operation that changes policies, which is done in a transaction that nobody commits.

mod proposal;
mod question;
mod rehearsal;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use plane::organization::ControlPolicies;
use plane::{ApiError, Call, PrincipalAccess, Reply, Transaction};
use serde_json::{Value as Json, json};
use trail::{Entry, Filter, lookup};
use wire::Value;

use crate::reply;
use proposal::Proposal;
use question::{Actor, Question, State, resource_access};
use rehearsal::Rehearsal;

/// Entries of an account and region read at a time, and in all.
const PAGE: usize = 1_000;
const ENTRIES_MAX: usize = 200_000;
/// Changed calls that are listed; all are counted.
const LISTED_MAX: usize = 10_000;

const GONE: &str = "the principal does not exist any more, or belongs to another account";
const UNRECORDED: &str = "the call was recorded without what its decision was taken on";
const OLD_SESSION: &str = "the session policies of the call are not recorded";

/// What is proposed.
enum Change {
    Policy(Box<Proposal>),
    Operation(Box<Rehearsal>),
}

impl Change {
    async fn read(cx: &Call, input: &Value) -> Result<Self, ApiError> {
        let invalid = |text: &str| Err(ApiError::new("ValidationException", text));
        match (input.member("Change"), input.member("Policy"), input.member("PolicyType")) {
            (Some(Value::Document(change)), None, None) => Ok(Self::Operation(Box::new(Rehearsal::of(cx, change).await?))),
            (None, Some(_), Some(_)) if input.member("Target").is_some() => Ok(Self::Policy(Box::new(Proposal::read(input)?))),
            (None, _, _) => invalid("give `Policy`, `PolicyType` and `Target`, or `Change`"),
            _ => invalid("give a policy or a change, not both"),
        }
    }

    /// The accounts whose calls it is about.
    async fn accounts(&self, cx: &Call) -> Result<BTreeSet<String>, ApiError> {
        let mut accounts = BTreeSet::from([cx.account.clone()]);
        let view = cx.plane.organization(&cx.account).await?.filter(|view| view.organization.management_account == cx.account);
        let members = view.iter().flat_map(|view| view.members.keys());
        match self {
            Self::Policy(proposal) => accounts.extend(members.filter(|account| proposal.is_about(account)).cloned()),
            Self::Operation(rehearsal) if rehearsal.is_of_organization() => accounts.extend(members.cloned()),
            Self::Operation(_) => {}
        }
        Ok(accounts)
    }
}

/// What a replay has seen.
#[derive(Default)]
struct Summary {
    examined: usize,
    changed: usize,
    newly_allowed: usize,
    newly_denied: usize,
    rows: Vec<Json>,
    /// How many calls could not be decided again, by reason.
    undecided: BTreeMap<&'static str, usize>,
    is_incomplete: bool,
}

impl Summary {
    fn skip(&mut self, reason: &'static str) {
        *self.undecided.entry(reason).or_default() += 1;
    }

    fn answer(self) -> Json {
        let undecided: Vec<Json> = self.undecided.iter().map(|(reason, calls)| json!({ "reason": reason, "calls": calls })).collect();
        json!({
            "examined": self.examined,
            "changed": self.changed,
            "newlyAllowed": self.newly_allowed,
            "newlyDenied": self.newly_denied,
            "calls": self.rows,
            "undecided": undecided,
            "complete": !self.is_incomplete,
        })
    }
}

/// A principal now and after the change.
#[derive(Clone)]
struct Person {
    actor: Arc<Actor>,
    then: Arc<PrincipalAccess>,
}

/// A replay under way.
struct Replay<'a> {
    cx: &'a Call,
    change: Change,
    accounts: BTreeSet<String>,
    people: HashMap<(String, String), Option<Person>>,
    control: HashMap<(String, String), ControlPolicies>,
    /// Decisions that were seen, where an entry may stand in two accounts.
    seen: HashSet<(String, String, String)>,
    summary: Summary,
}

pub(crate) async fn replay_policy(cx: &mut Call, input: Value) -> Result<Reply, ApiError> {
    let change = Change::read(cx, &input).await?;
    let accounts = change.accounts(cx).await?;
    let number = |member: &str| match input.member(member) {
        Some(Value::Int(value)) => Some(*value),
        _ => None,
    };
    let (since, until) = (number("Since"), number("Until").unwrap_or(cx.now.0));
    cx.plane.flush().await?;
    let mut replay = Replay {
        cx,
        change,
        accounts: accounts.clone(),
        people: HashMap::new(),
        control: HashMap::new(),
        seen: HashSet::new(),
        summary: Summary::default(),
    };
    for account in accounts {
        let filter = Filter { account, start_ms: since, end_ms: Some(until), ..Filter::default() };
        replay.account(&filter).await?;
    }
    Ok(reply([("Replay", Value::Document(replay.summary.answer()))]))
}

/// The decisions that an entry holds: the first and what else the call needed.
fn decisions(entry: &Entry) -> impl Iterator<Item = &Json> {
    let further = entry.decision.as_ref().and_then(|decision| decision.get("further")).and_then(Json::as_array);
    entry.decision.as_deref().into_iter().chain(further.into_iter().flatten())
}

impl Replay<'_> {
    /// Replays what one account did in all regions.
    async fn account(&mut self, filter: &Filter) -> Result<(), ApiError> {
        let plane = Arc::clone(&self.cx.plane);
        for (position, region) in plane.regions.iter().enumerate() {
            let mut tx = plane.transaction(position);
            let mut after = None;
            let mut read = 0;
            loop {
                let page = lookup(region.store.as_ref(), &plane.sealer(), filter, after, PAGE).await;
                let page = page.map_err(|error| ApiError::internal(&error))?;
                read += page.entries.len();
                for entry in &page.entries {
                    for decision in decisions(entry) {
                        self.decision(&mut tx, &region.name, entry, decision).await?;
                    }
                }
                match page.next {
                    Some(next) if read < ENTRIES_MAX => after = Some(next),
                    next => {
                        self.summary.is_incomplete |= next.is_some();
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    async fn decision(&mut self, tx: &mut Transaction, region: &str, entry: &Entry, decision: &Json) -> Result<(), ApiError> {
        let field = |name: &str| decision.get(name).and_then(Json::as_str);
        // Calls that need no permission, and refusals before any decision, hold neither.
        let (Some(action), Some(resource), Some(recorded)) =
            (field("action"), field("resource"), decision.get("allowed").and_then(Json::as_bool))
        else {
            return Ok(());
        };
        let id = (entry.record.request_id.clone(), action.to_owned(), resource.to_owned());
        if self.accounts.len() > 1 && !self.seen.insert(id) {
            return Ok(());
        }
        let asked = decision.get("asked");
        let Some(person) = self.person(tx, entry, asked.unwrap_or(&Json::Null)).await? else {
            self.summary.skip(GONE);
            return Ok(());
        };
        let actor = &person.actor;
        let owner = asked.and_then(|asked| asked.get("owner")).and_then(Json::as_str).unwrap_or(&actor.principal.account).to_owned();
        if let Change::Policy(proposal) = &self.change
            && !proposal.concerns(&actor.principal, actor.behind(), resource, &owner)
        {
            return Ok(());
        }
        let Some(asked) = asked else {
            self.summary.skip(UNRECORDED);
            return Ok(());
        };
        if asked.get("sessionPolicies").is_some() {
            self.summary.skip(OLD_SESSION);
            return Ok(());
        }
        let Some((now, then)) = self.states(tx, region, (action, resource), &owner, &person).await? else { return Ok(()) };
        self.summary.examined += 1;
        let mut question = Question::read(entry, (action, resource), asked, &owner, actor);
        let now = question.decide(&now).allowed;
        let then = question.decide(&then);
        if then.allowed == recorded && then.allowed == now {
            return Ok(());
        }
        let arn = entry.record.user_identity.arn.clone().unwrap_or_default();
        let because = if then.allowed { "every policy that applies allows it".to_owned() } else { then.message(&arn, action, resource) };
        let word = |allowed: bool| if allowed { "allowed" } else { "denied" };
        let row = json!({
            "time": entry.record.event_time,
            "principal": arn,
            "action": action,
            "resource": resource,
            "recorded": word(recorded),
            "now": word(now),
            "proposed": word(then.allowed),
            "because": because,
            "requestId": entry.record.request_id,
            "region": region,
        });
        self.changed(recorded, then.allowed, row);
        Ok(())
    }

    fn changed(&mut self, recorded: bool, proposed: bool, row: Json) {
        let summary = &mut self.summary;
        summary.changed += 1;
        summary.newly_allowed += usize::from(proposed && !recorded);
        summary.newly_denied += usize::from(!proposed && recorded);
        if summary.rows.len() < LISTED_MAX {
            summary.rows.push(row);
        }
    }

    /// Who made a recorded call, if they may be looked at here.
    async fn person(&mut self, tx: &mut Transaction, entry: &Entry, asked: &Json) -> Result<Option<Person>, ApiError> {
        let identity = &entry.record.user_identity;
        let limits = asked.get("session").map(Json::to_string).unwrap_or_default();
        let key = (identity.arn.clone().unwrap_or_default(), limits);
        if let Some(known) = self.people.get(&key) {
            return Ok(known.clone());
        }
        let found = Actor::find(self.cx, tx, identity, asked).await?.filter(|actor| self.accounts.contains(&actor.principal.account));
        let person = match found {
            Some(actor) => {
                let then = match &mut self.change {
                    Change::Operation(rehearsal) => rehearsal.access(self.cx, &actor.principal).await?,
                    Change::Policy(_) => actor.access.clone(),
                };
                Some(Person { actor: Arc::new(actor), then: Arc::new(then) })
            }
            None => None,
        };
        self.people.insert(key, person.clone());
        Ok(person)
    }

    async fn control(&mut self, caller: &str, owner: &str) -> Result<ControlPolicies, ApiError> {
        let key = (caller.to_owned(), owner.to_owned());
        if let Some(known) = self.control.get(&key) {
            return Ok(known.clone());
        }
        let control = self.cx.plane.control_policies(caller, owner).await?;
        self.control.insert(key, control.clone());
        Ok(control)
    }

    /// What the decision stands on now and after the change. `None`: the change does not touch it.
    async fn states(
        &mut self,
        tx: &mut Transaction,
        region: &str,
        (action, resource): (&str, &str),
        owner: &str,
        person: &Person,
    ) -> Result<Option<(State, State)>, ApiError> {
        let cx = self.cx;
        let caller = person.actor.principal.account.clone();
        let found = resource_access(cx, tx, region, action, resource).await?;
        let control = self.control(&caller, owner).await?;
        let now = State::new(action, &person.actor.access, control.clone(), found.clone());
        let then = match &mut self.change {
            Change::Policy(proposal) => {
                let mut then = now.clone();
                proposal.apply(&mut then.policies, resource);
                return Ok(Some((now, then)));
            }
            Change::Operation(rehearsal) => {
                let found = rehearsal.resource(cx, region, action, resource).await?.unwrap_or(found);
                let control = rehearsal.control(cx, &caller, owner).await?.unwrap_or(control);
                State::new(action, &person.then, control, found)
            }
        };
        Ok((now != then).then_some((now, then)))
    }
}
