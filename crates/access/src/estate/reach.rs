//! Who can do something, and what somebody can do.

use policy::{Attached, Check, Decision, Effect, GrantClass, MapContext, PolicySet, PolicyType, Resource, ResourcePolicy};

use super::{Estate, Identity};
use crate::analysis::granted_access;

/// Whether an identity can do something.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ability {
    /// Without any condition key.
    Yes,
    /// With these condition keys and values, for one.
    If(Vec<(String, Vec<String>)>),
    /// Nothing allows it, whatever the condition keys.
    No,
    /// A policy of this type denies it or does not allow it, in every case that was tried; other cases may exist.
    Unknown,
}

/// An identity and what it can.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Access {
    /// ARN of the user or role, `*` for everybody, or what a resource policy names.
    pub principal: String,
    /// Whether it can.
    pub ability: Ability,
    /// The policy and statement that allow it, or that stand in the way.
    pub because: String,
}

/// A statement that gives an identity something.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Grant {
    /// Name or ARN of the policy.
    pub policy: String,
    /// Index of the statement.
    pub statement: usize,
    /// `Action` or `NotAction` as written; the latter with `not` in front.
    pub actions: Vec<String>,
    /// `Resource` or `NotResource` as written.
    pub resources: Vec<String>,
    /// Condition operators and keys.
    pub conditions: Vec<String>,
    /// A request that it allows, decided with everything else that binds the identity.
    pub example: Option<String>,
    /// What keeps all of it from being used, if something does.
    pub blocked_by: Option<String>,
}

impl Estate {
    /// The policies that a call of the identity on the resource meets.
    fn policies(&self, identity: &Identity, action: &str, resource: &str) -> (PolicySet, Option<String>) {
        let mut policies = identity.policies.clone();
        let found = self.resources.get(resource).or_else(|| self.resources.get(&bucket_of(resource)?));
        let is_assume = action.to_lowercase().starts_with("sts:");
        let Some((policy, owner)) = found else { return (policies, None) };
        if !matches!(policy, ResourcePolicy::Trust(_)) || is_assume {
            policies.resource = policy.clone();
        }
        (policies, Some(owner.clone()))
    }

    pub(super) fn decide(&self, identity: &Identity, action: &str, resource: &str, context: &MapContext) -> Decision {
        let (policies, owner) = self.policies(identity, action, resource);
        let account = owner.or_else(|| policy::account_of(resource).filter(|account| account.len() == 12).map(str::to_owned));
        let account = account.unwrap_or_else(|| self.account.clone());
        let check = Check::new(action, Resource { arn: resource.to_owned(), account: Some(account), ..Resource::default() });
        policy::decide(&identity.principal, &check, &policies, context, self.organization.as_ref())
    }

    /// Whether the identity can, with a reason.
    pub(super) fn ability(&self, identity: &Identity, action: &str, resource: &str) -> (Ability, String) {
        let plain = self.decide(identity, action, resource, &MapContext::new());
        if plain.allowed {
            return (Ability::Yes, because(&plain));
        }
        let (policies, _) = self.policies(identity, action, resource);
        let mut sides = Sides { identity: true, resource: true, close: true };
        let own = policies.identity.len();
        for (at, attached) in granting(&policies).enumerate() {
            let mut analysis = granted_access(&attached.policy, &[action], &[resource], &[]);
            // What a resource's policy gives to others is no matter here.
            let class = |at: usize| {
                let statement = attached.policy.statements().get(at)?;
                statement.names(&identity.principal, policies.boundary.is_some())
            };
            analysis.findings.retain(|finding| class(finding.statement).is_some());
            analysis.undecided.retain(|undecided| class(undecided.statement).is_some());
            if at < own {
                sides.identity &= analysis.is_clear();
            } else {
                let is_close = |at: usize| class(at).is_some_and(|class| class > GrantClass::Account);
                sides.resource &= analysis.is_clear();
                sides.close &= !analysis.findings.iter().any(|finding| is_close(finding.statement))
                    && !analysis.undecided.iter().any(|undecided| is_close(undecided.statement));
            }
            for finding in analysis.findings {
                let mut context = finding.witness.map_context();
                for condition in other_keys(&policies, &context) {
                    context.set(&condition.0, condition.1);
                }
                let decision = self.decide(identity, action, resource, &context);
                if decision.allowed {
                    return (Ability::If(finding.witness.context.clone()), because(&decision));
                }
            }
        }
        let proved = sides.prove_denial(&policies.resource);
        let ability =
            if proved || plain.explicit == Some(true) && is_unconditional(&plain, &policies) { Ability::No } else { Ability::Unknown };
        (ability, because(&plain))
    }
}

/// Which sides are proved to give nothing.
struct Sides {
    /// The identity's own policies.
    identity: bool,
    /// The resource's policy, however it names the identity.
    resource: bool,
    /// The resource's policy where it names the identity or its role, and not its account.
    close: bool,
}

impl Sides {
    /// Whether nothing can allow it: a resource's policy that names the account leaves the matter to the identity's own policies, and
    /// those are no help where the resource's policy must allow by itself.
    fn prove_denial(&self, resource: &ResourcePolicy) -> bool {
        let must_allow = matches!(resource, ResourcePolicy::Trust(_) | ResourcePolicy::Key(_));
        (self.identity && self.close) || (must_allow && self.resource)
    }
}

/// The bucket of an object's ARN.
fn bucket_of(resource: &str) -> Option<String> {
    let rest = resource.strip_prefix("arn:aws:s3:::")?;
    let (bucket, _) = rest.split_once('/')?;
    Some(format!("arn:aws:s3:::{bucket}"))
}

/// Policies that can allow something.
fn granting(policies: &PolicySet) -> impl Iterator<Item = &Attached> {
    policies.identity.iter().chain(policies.resource.attached())
}

/// Values that keys of other policies ask for and the context lacks: the first fixed value of each plain condition of an Allow.
fn other_keys(policies: &PolicySet, context: &MapContext) -> Vec<(String, String)> {
    let known: Vec<&str> = context.names().collect();
    let statements =
        policies.all().flat_map(|attached| attached.policy.statements()).filter(|statement| statement.effect() == Effect::Allow);
    let mut keys: Vec<(String, String)> = Vec::new();
    for condition in statements.flat_map(policy::Statement::conditions) {
        let operator = condition.operator();
        let value = condition.values().next().unwrap_or_default();
        if !operator.negated && !known.contains(&condition.key_lower()) && !value.contains("${") {
            keys.push((condition.key().to_owned(), value.to_owned()));
        }
    }
    keys
}

/// Whether the denying statement has no conditions.
fn is_unconditional(decision: &Decision, policies: &PolicySet) -> bool {
    let Some(deciding) = &decision.deciding else { return false };
    let Some(index) = deciding.statement_index else { return true };
    let denier = policies.all().find(|attached| attached.id == deciding.policy_id);
    denier.and_then(|attached| attached.policy.statements().get(index)).is_some_and(|statement| statement.conditions().is_empty())
}

fn because(decision: &Decision) -> String {
    match &decision.deciding {
        Some(deciding) => {
            let index = deciding.statement_index.map_or_else(|| "-".to_owned(), |index| index.to_string());
            format!("{} `{}`, statement {index}", deciding.policy_type, deciding.policy_id)
        }
        None => match decision.denied_by.as_slice() {
            [] => decision.credential_limit.unwrap_or("no policy").to_owned(),
            types => format!("no {}", types.iter().map(|policy_type| PolicyType::name(*policy_type)).collect::<Vec<_>>().join(", no ")),
        },
    }
}

/// Who can do this: the identities of the account, and whom else the resource's policy lets in.
pub fn who_can(estate: &Estate, action: &str, resource: &str) -> Vec<Access> {
    let mut all = Vec::new();
    for identity in &estate.identities {
        let (ability, because) = estate.ability(identity, action, resource);
        if ability != Ability::No {
            all.push(Access { principal: identity.arn.clone(), ability, because });
        }
    }
    let policy = estate.resources.get(resource).or_else(|| estate.resources.get(&bucket_of(resource)?));
    if let Some((policy, _)) = policy
        && let Some(attached) = policy.attached()
    {
        let zone = crate::Zone { accounts: vec![estate.account.clone()], organization: None };
        for (at, statement) in attached.policy.statements().iter().enumerate() {
            let policy::PrincipalElement::Only(entries) = statement.principals() else { continue };
            let granted = granted_access(&attached.policy, &[action], &[resource], &[]);
            if !granted.findings.iter().any(|finding| finding.statement == at) {
                continue;
            }
            for (entry, principal) in entries.iter().enumerate() {
                let analysis = crate::external_access(&attached.policy, &zone, at, entry, &[]);
                let Some(finding) = analysis.findings.first() else { continue };
                let context = &finding.witness.context;
                let ability = if context.is_empty() { Ability::Yes } else { Ability::If(context.clone()) };
                let because = format!("{} `{}`, statement {at}", PolicyType::Resource, attached.id);
                all.push(Access { principal: external_name(principal), ability, because });
            }
        }
    }
    all
}

fn external_name(entry: &policy::PrincipalEntry) -> String {
    use policy::PrincipalEntry as Entry;
    match entry {
        Entry::Everybody | Entry::AnyAws => "*".to_owned(),
        Entry::Account(text)
        | Entry::Arn(text)
        | Entry::UniqueId(text)
        | Entry::Service(text)
        | Entry::Federated(text)
        | Entry::CanonicalUser(text) => text.to_string(),
    }
}

/// What an identity can do: each statement that gives it something, with a request that proves it or what blocks it.
pub fn what_can(estate: &Estate, identity: &Identity) -> Vec<Grant> {
    let mut grants = Vec::new();
    for attached in &identity.policies.identity {
        let analysis = granted_access(&attached.policy, &[], &[], &[]);
        for (at, statement) in attached.policy.statements().iter().enumerate() {
            if statement.effect() != Effect::Allow {
                continue;
            }
            let witness = analysis.findings.iter().find(|finding| finding.statement == at).map(|finding| &finding.witness);
            let decision = witness.map(|witness| {
                let (ability, because) = estate.ability(identity, &witness.action, &witness.resource);
                (matches!(ability, Ability::Yes | Ability::If(_)), because, format!("{} on {}", witness.action, witness.resource))
            });
            let named = |(negated, list): (bool, Vec<&str>)| -> Vec<String> {
                list.into_iter().map(|text| if negated { format!("not {text}") } else { text.to_owned() }).collect()
            };
            let (not_action, actions) = statement.actions();
            let (not_resource, resources) = statement.resources();
            grants.push(Grant {
                policy: attached.id.to_string(),
                statement: at,
                actions: named((not_action, actions.collect())),
                resources: named((not_resource, resources.collect())),
                conditions: statement
                    .conditions()
                    .iter()
                    .map(|condition| format!("{} {}", condition.operator_name(), condition.key()))
                    .collect(),
                blocked_by: match &decision {
                    Some((true, ..)) => None,
                    Some((false, because, _)) => Some(because.clone()),
                    None => Some(format!("a deny in `{}`", attached.id)),
                },
                example: decision.filter(|(allowed, ..)| *allowed).map(|(_, _, example)| example),
            });
        }
    }
    grants
}
