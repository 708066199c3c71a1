//! The questions: what is newly allowed, whether given access is granted, whether strangers get in.

use policy::{Condition, Effect, OperatorFamily, Policy, PrincipalElement, PrincipalEntry};

use crate::language::SetId;
use crate::pattern::Token;
use crate::read::{Reader, Variables, rules};
use crate::solve::{Cube, Solver};
use crate::space::{ATTACHED, Clause, Field, IDENTITIES, KINDS, Kind, Literal, Rule, Space, Special, Test};
use crate::typed;
use crate::witness::{Witness, polish, witness};

/// What was found about a policy, statement by statement.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Analysis {
    /// Statements with a request that proves it.
    pub findings: Vec<Finding>,
    /// Statements about which nothing was proved, neither the one nor the other.
    pub undecided: Vec<Undecided>,
}

impl Analysis {
    /// Whether it is proved that there is nothing to find.
    pub fn is_clear(&self) -> bool {
        self.findings.is_empty() && self.undecided.is_empty()
    }
}

/// A statement that gives the access in question.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// Index of the statement from 0.
    pub statement: usize,
    /// Its `Sid`.
    pub sid: Option<String>,
    /// A request that it allows.
    pub witness: Witness,
}

/// A statement outside of the decided fragment.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Undecided {
    /// Index of the statement from 0.
    pub statement: usize,
    /// What is not decided.
    pub reason: &'static str,
}

const OPEN_VARIABLES: &str = "policy variables whose values are not known";

/// Requests that the policy allows and the other policy does not, for each statement that allows some. `actions` are
/// known action names, which witnesses prefer.
pub fn new_access(new: &Policy, old: &Policy, actions: &[&str]) -> Analysis {
    analyse(new, actions, &|question| question.avoid(old), &|witness| witness.is_allowed_by(new) && !witness.is_allowed_by(old))
}

/// Requests with one of the actions on one of the resources that the policy allows. Both lists may have wildcards; an
/// empty list means any.
pub fn granted_access(policy: &Policy, wanted_actions: &[&str], wanted_resources: &[&str], actions: &[&str]) -> Analysis {
    let lower: Vec<policy::Glob> = wanted_actions.iter().map(|action| policy::Glob::new(&action.to_lowercase())).collect();
    let within = |witness: &Witness| {
        let action = witness.action.to_lowercase();
        (lower.is_empty() || lower.iter().any(|glob| glob.matches(&action)))
            && (wanted_resources.is_empty() || matches_resource(wanted_resources, &witness.resource))
    };
    analyse(policy, actions, &|question| question.limit_to(wanted_actions, wanted_resources), &|witness| {
        within(witness) && witness.is_allowed_by(policy)
    })
}

/// Whether a resource is one of the wanted ones, as the engine matches ARNs.
fn matches_resource(wanted: &[&str], resource: &str) -> bool {
    let statement = policy::StatementDocument {
        sid: None,
        effect: Effect::Allow,
        principal: PrincipalElement::Implied,
        actions: policy::DocumentValues { negated: false, list: vec!["*".to_owned()] },
        resources: Some(policy::DocumentValues { negated: false, list: wanted.iter().map(|text| (*text).to_owned()).collect() }),
        conditions: Vec::new(),
    };
    let document = policy::PolicyDocument { variables: false, id: None, statements: vec![statement] };
    let policy = Policy::parse_stored(&document.text(), policy::PolicyKind::Identity);
    let check = policy::Check::new("x:x", policy::Resource { arn: resource.to_owned(), ..policy::Resource::default() });
    policy.says(&policy::Principal::anonymous(), &check, &policy::MapContext::new(), false) == Some(Effect::Allow)
}

/// Requests of strangers that a resource-based policy allows: of callers in accounts that it does not name, who meet its
/// conditions without any of the fixed values that it names for who they are, where they come from or on whose behalf.
pub fn public_access(policy: &Policy, actions: &[&str]) -> Analysis {
    let zone = Zone::default();
    analyse(policy, actions, &|question| question.strangers(policy, &zone, true), &|witness| witness.is_allowed_by(policy))
}

/// Whom the owner of a resource trusts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Zone {
    /// Accounts inside.
    pub accounts: Vec<String>,
    /// The organization, if all of it is inside.
    pub organization: Option<String>,
}

/// Requests of callers outside of the zone of trust that one statement of a policy allows through one of its principals.
/// `entry` counts the entries of its `Principal`; for `NotPrincipal` it is 0.
pub fn external_access(policy: &Policy, zone: &Zone, statement: usize, entry: usize, actions: &[&str]) -> Analysis {
    analyse_some(
        policy,
        actions,
        &|question| question.strangers(policy, zone, false),
        &|witness| witness.is_allowed_by(policy),
        Some((statement, entry)),
    )
}

/// What is asked beside "does the policy allow it".
#[derive(Default)]
struct Asked {
    /// Clauses that must hold.
    clauses: Vec<Clause>,
    /// A policy that must not allow the request.
    allows: Vec<Rule>,
    denies: Vec<Rule>,
    has_other: bool,
    kinds: u8,
}

/// Makes the question in a space.
struct Question<'a, 'b> {
    reader: &'a mut Reader<'b>,
    asked: Asked,
}

impl Question<'_, '_> {
    fn avoid(&mut self, other: &Policy) {
        let (denies, allows) = rules(self.reader, other).into_iter().partition(|rule| rule.effect == Effect::Deny);
        self.asked.denies = denies;
        self.asked.allows = allows;
        self.asked.has_other = true;
    }

    fn limit_to(&mut self, actions: &[&str], resources: &[&str]) {
        if !actions.is_empty() {
            let set = self.reader.action_set(actions);
            self.asked.clauses.push(vec![Literal::Text(Field::Action, set, true)]);
        }
        if !resources.is_empty() {
            let set = self.reader.resource_set(resources);
            self.asked.clauses.push(vec![Literal::Text(Field::Resource, set, true)]);
        }
    }

    /// Callers that the zone does not hold. `fresh` leaves out everybody whom the policy names, too.
    fn strangers(&mut self, policy: &Policy, zone: &Zone, fresh: bool) {
        self.asked.kinds = IDENTITIES | Kind::Anonymous.bit() | if fresh { 0 } else { Kind::Federated.bit() };
        let mut accounts = zone.accounts.clone();
        if fresh {
            accounts.extend(named_accounts(policy));
            let ids = unique_ids(policy);
            let set = self.reader.space.texts(ids.iter().map(String::as_str));
            self.asked.clauses.push(vec![Literal::Kinds(Kind::Anonymous.bit()), Literal::Text(Field::UserId, set, false)]);
        }
        let inside = self.reader.space.texts(accounts.iter().map(String::as_str));
        let inside = self.reader.space.arns_of_accounts(inside);
        self.asked
            .clauses
            .push(vec![Literal::Kinds(Kind::Anonymous.bit() | Kind::Federated.bit()), Literal::Text(Field::Principal, inside, false)]);
        for statement in policy.statements() {
            for condition in statement.conditions() {
                self.trusted_values(condition, zone, fresh, policy.has_variables());
            }
        }
    }

    /// No value of the condition that makes its bearer trusted may be in the request.
    fn trusted_values(&mut self, condition: &Condition, zone: &Zone, fresh: bool, variables: bool) {
        let lower = condition.key_lower();
        let Some(trust) = Trust::of(lower) else { return };
        let key = self.reader.space.key(condition.key());
        if condition.operator().family == OperatorFamily::IpAddress {
            if fresh && condition.values().all(is_narrow) {
                let test = typed::test(self.reader.space, condition, key, variables);
                self.asked.clauses.push(vec![Literal::Value { key, test, passes: true, exists: false }]);
            }
            return;
        }
        let trusted = |value: &str| match (fresh, trust) {
            (true, _) => is_fixed(value, trust),
            (false, Trust::Account) => zone.accounts.iter().any(|account| account == value),
            (false, Trust::Arn) => policy::account_of(value).is_some_and(|account| zone.accounts.iter().any(|known| known == account)),
            (false, Trust::Organization) => zone.organization.as_deref() == Some(value),
            (false, Trust::Path) => {
                zone.organization.as_deref().is_some_and(|id| value.strip_prefix(id).is_some_and(|rest| rest.starts_with('/')))
            }
            (false, Trust::Other) => false,
        };
        let values: Vec<&str> = condition.values().filter(|value| trusted(value)).collect();
        if values.is_empty() {
            return;
        }
        let set = self.reader.value_set(condition, &values);
        typed::note_texts(self.reader.space, key, set);
        self.asked.clauses.push(vec![Literal::Value { key, test: Test::Set(set), passes: true, exists: false }]);
    }
}

/// What the value of a key says about who may be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    Account,
    Arn,
    Organization,
    Path,
    Other,
}

impl Trust {
    /// Source: S3 User Guide, "The meaning of public"; Access Analyzer's guide, "How findings work", for the keys that
    /// limit access to trusted callers.
    fn of(lower: &str) -> Option<Self> {
        Some(match lower {
            "aws:principalaccount" | "aws:sourceaccount" | "aws:sourceowner" | "kms:calleraccount" | "s3:dataaccesspointaccount" => {
                Self::Account
            }
            "aws:principalarn" | "aws:sourcearn" | "aws:sourcevpcarn" | "s3:dataaccesspointarn" | "lambda:sourcefunctionarn" => Self::Arn,
            "aws:principalorgid" | "aws:sourceorgid" | "aws:vpceorgid" => Self::Organization,
            "aws:principalorgpaths" | "aws:sourceorgpaths" | "aws:vpceorgpaths" => Self::Path,
            "aws:sourcevpc"
            | "aws:sourcevpce"
            | "aws:vpceaccount"
            | "aws:userid"
            | "aws:sourceip"
            | "aws:vpcsourceip"
            | "aws:principalservicename"
            | "kms:viaservice"
            | "sts:externalid"
            | "lambda:functionurlauthtype"
            | "s3:x-amz-server-side-encryption-aws-kms-key-id" => Self::Other,
            _ => return None,
        })
    }
}

/// Whether a value can be borne by few: no wildcard where it counts.
fn is_fixed(value: &str, trust: Trust) -> bool {
    if value.contains("${") {
        return false;
    }
    let wild = ['*', '?'];
    match trust {
        Trust::Arn => policy::account_of(value).is_some_and(|account| !account.contains(wild)) || !value.contains(wild),
        Trust::Path => value.split('/').next().is_some_and(|id| id.starts_with("o-") && !id.contains(wild)),
        _ => !value.contains(wild),
    }
}

/// Whether a block of addresses is not half the Internet: at least /8, for IPv6 /32.
fn is_narrow(block: &str) -> bool {
    match block.split_once('/') {
        None => true,
        Some((_, bits)) => bits.trim().parse::<u32>().is_ok_and(|bits| bits >= if block.contains(':') { 32 } else { 8 }),
    }
}

fn entries(policy: &Policy) -> impl Iterator<Item = &PrincipalEntry> {
    policy.statements().iter().flat_map(|statement| match statement.principals() {
        PrincipalElement::Implied => &[][..],
        PrincipalElement::Only(entries) | PrincipalElement::Except(entries) => entries,
    })
}

/// Accounts that the policy names as principals.
fn named_accounts(policy: &Policy) -> Vec<String> {
    entries(policy)
        .filter_map(|entry| match entry {
            PrincipalEntry::Account(account) => Some(account.to_string()),
            PrincipalEntry::Arn(arn) => policy::account_of(arn).map(str::to_owned),
            _ => None,
        })
        .collect()
}

fn unique_ids(policy: &Policy) -> Vec<String> {
    entries(policy)
        .filter_map(|entry| match entry {
            PrincipalEntry::UniqueId(id) => Some(id.to_string()),
            _ => None,
        })
        .collect()
}

type Ask<'q> = &'q dyn Fn(&mut Question<'_, '_>);

fn analyse(policy: &Policy, actions: &[&str], ask: Ask<'_>, is_true: &dyn Fn(&Witness) -> bool) -> Analysis {
    analyse_some(policy, actions, ask, is_true, None)
}

fn analyse_some(
    policy: &Policy,
    actions: &[&str],
    ask: Ask<'_>,
    is_true: &dyn Fn(&Witness) -> bool,
    only: Option<(usize, usize)>,
) -> Analysis {
    let mut open = Run::new(policy, Variables::Open, ask);
    let mut made_up: [Option<Run>; 2] = [None, None];
    let mut analysis = Analysis::default();
    for (at, statement) in policy.statements().iter().enumerate() {
        if statement.effect() != Effect::Allow || only.is_some_and(|(wanted, _)| wanted != at) {
            continue;
        }
        let entry = only.map(|(_, entry)| entry);
        let mut answer = open.statement(at, entry, is_true);
        // Where unknown variables are in the way, values are made up for them; what then is found is true as well.
        for (run, variables) in made_up.iter_mut().zip([Variables::Fixed, Variables::Absent]) {
            if !matches!(answer, Answer::Undecided(OPEN_VARIABLES)) {
                break;
            }
            let run = run.get_or_insert_with(|| Run::new(policy, variables, ask));
            if let found @ Answer::Found(_) = run.statement(at, entry, is_true) {
                answer = found;
            }
        }
        match answer {
            Answer::None => {}
            Answer::Found(found) => {
                let witness = polish(*found, actions, is_true);
                analysis.findings.push(Finding { statement: at, sid: statement.sid().map(str::to_owned), witness });
            }
            Answer::Undecided(reason) => analysis.undecided.push(Undecided { statement: at, reason }),
        }
    }
    analysis
}

enum Answer {
    None,
    Found(Box<Witness>),
    Undecided(&'static str),
}

/// One reading of the policies.
struct Run {
    space: Space,
    rules: Vec<Rule>,
    asked: Asked,
    assumptions: Vec<Literal>,
    callers: bool,
    /// A rule asks whether the caller has a permissions boundary.
    has_bounds: bool,
    has_open_variables: bool,
}

impl Run {
    fn new(policy: &Policy, variables: Variables, ask: Ask<'_>) -> Self {
        let mut space = Space::default();
        let mut reader = Reader { space: &mut space, variables, variable_keys: Vec::new() };
        let rules = rules(&mut reader, policy);
        let mut question = Question { reader: &mut reader, asked: Asked { kinds: crate::space::EVERY_KIND, ..Asked::default() } };
        ask(&mut question);
        let asked = question.asked;
        let assumptions = reader.assumptions();
        let has_open_variables = variables == Variables::Open && !reader.variable_keys.is_empty();
        let named = policy.statements().iter().any(|statement| !matches!(statement.principals(), PrincipalElement::Implied));
        // Policies that are attached to their callers speak of them by condition keys at most.
        let callers = named || space.keys.iter().any(|key| key.special.is_of_caller() || key.special == Special::UserName);
        let mut asked = asked;
        if !named {
            asked.kinds &= ATTACHED;
        }
        let literals = rules.iter().chain(&asked.denies).chain(&asked.allows).flat_map(|rule| rule.clauses.iter().flatten());
        let has_bounds = literals.into_iter().any(|literal| matches!(literal, Literal::Bounded(_)));
        Self { space, rules, asked, assumptions, callers, has_bounds, has_open_variables }
    }

    fn statement(&mut self, at: usize, entry: Option<usize>, is_true: &dyn Fn(&Witness) -> bool) -> Answer {
        if let Some(outside) = self.space.outside {
            return Answer::Undecided(outside);
        }
        let own: Vec<Rule> = self.rules.iter().filter(|rule| rule.statement == at && rule.effect == Effect::Allow).cloned().collect();
        let mut own: Vec<Rule> = match entry {
            Some(entry) => own.into_iter().skip(entry).take(1).collect(),
            None => own,
        };
        let denies: Vec<Rule> = self.rules.iter().filter(|rule| rule.effect == Effect::Deny).cloned().collect();
        let mut undecided = None;
        own.retain(|rule| !self.asked.gives(&self.space, rule, &denies));
        for rule in own {
            for part in parts(&mut self.space, &rule) {
                match self.rule(&part, &denies, is_true) {
                    Answer::None => {}
                    found @ Answer::Found(_) => return found,
                    Answer::Undecided(reason) => undecided = Some(reason),
                }
            }
        }
        undecided.map_or(Answer::None, Answer::Undecided)
    }

    /// Looks for a request of the rule that nothing denies and that the other policy does not allow.
    fn rule(&mut self, rule: &Rule, denies: &[Rule], is_true: &dyn Fn(&Witness) -> bool) -> Answer {
        let callers = self.callers;
        let has_bounds = self.has_bounds;
        let mut solver = Solver::new(&mut self.space, callers);
        let kinds: &[Kind] = if callers { &KINDS } else { &[Kind::User] };
        let clauses: Vec<Clause> =
            rule.clauses.iter().chain(&self.asked.clauses).cloned().chain(self.assumptions.iter().map(|literal| vec![*literal])).collect();
        let mut refuted = false;
        for kind in kinds {
            if callers && self.asked.kinds & kind.bit() == 0 {
                continue;
            }
            for is_bounded in [false, true] {
                if is_bounded && (!has_bounds || !kind.has_account()) {
                    continue;
                }
                let Some(all) = solver.all(*kind, is_bounded) else { continue };
                for cube in solver.within(&all, &clauses) {
                    let Some(found) = self.asked.search(&mut solver, &cube, denies) else { continue };
                    let request = witness(solver.space, &found, callers);
                    if is_true(&request) {
                        return Answer::Found(Box::new(request));
                    }
                    refuted = true;
                }
            }
        }
        match (refuted, solver.undecided) {
            (true, _) if self.has_open_variables => Answer::Undecided(OPEN_VARIABLES),
            (true, _) => Answer::Undecided("a request that the engine judges otherwise"),
            (false, Some(reason)) => Answer::Undecided(reason),
            (false, None) => Answer::None,
        }
    }
}

impl Asked {
    /// Whether the other policy surely allows what the rule allows: one of its statements asks for no more, and whatever it
    /// denies is denied beside the rule as well. What an edit leaves alone needs no search.
    fn gives(&self, space: &Space, rule: &Rule, denies: &[Rule]) -> bool {
        self.has_other
            && self.allows.iter().any(|allow| implies(space, rule, allow))
            && self.denies.iter().all(|other| denies.iter().any(|deny| implies(space, other, deny)))
    }

    fn search(&self, solver: &mut Solver<'_>, cube: &Cube, denies: &[Rule]) -> Option<Cube> {
        let mut avoid: Vec<&Rule> = denies.iter().collect();
        if !self.has_other {
            return solver.outside_of(cube.clone(), &avoid);
        }
        avoid.extend(&self.allows);
        if let Some(found) = solver.outside_of(cube.clone(), &avoid) {
            return Some(found);
        }
        // Or the other policy denies it, whatever it allows.
        let avoid: Vec<&Rule> = denies.iter().collect();
        for deny in &self.denies {
            for part in solver.within(cube, &deny.clauses) {
                if let Some(found) = solver.outside_of(part, &avoid) {
                    return Some(found);
                }
            }
        }
        None
    }
}

/// Whether every request that matches the rule matches the wider one, as far as can be seen from their literals alone.
fn implies(space: &Space, rule: &Rule, wider: &Rule) -> bool {
    let literal = |one: &Literal, other: &Literal| match (one, other) {
        (Literal::Text(field, set, true), Literal::Text(same, bigger, true)) => field == same && space.sets.is_part_of(*set, *bigger),
        _ => one == other,
    };
    let clause = |one: &Clause, other: &Clause| one.iter().all(|one| other.iter().any(|other| literal(one, other)));
    wider.clauses.iter().all(|wanted| rule.clauses.iter().any(|given| clause(given, wanted)))
}

/// The rule for each of its action patterns, and for each resource pattern whose variables are open: small cubes prune
/// early, and a variable's pattern must stand alone to be compared with itself.
fn parts(space: &mut Space, rule: &Rule) -> Vec<Rule> {
    let mut parts = vec![rule.clone()];
    for (at, clause) in rule.clauses.iter().enumerate() {
        let [Literal::Text(field, set, true)] = clause.as_slice() else { continue };
        let splits = match field {
            Field::Action => true,
            Field::Resource => space.sets.has_flags(*set),
            _ => false,
        };
        if !splits {
            continue;
        }
        let sets: Vec<SetId> = space.sets.parts(*set).to_vec().into_iter().map(|part| space.sets.set(vec![part])).collect();
        let mut next = Vec::with_capacity(parts.len().saturating_mul(sets.len()));
        for part in &parts {
            for set in &sets {
                let mut part = part.clone();
                if let Some(clause) = part.clauses.get_mut(at) {
                    *clause = vec![Literal::Text(*field, *set, true)];
                }
                next.push(part);
            }
        }
        parts = next;
    }
    parts
}

impl Reader<'_> {
    fn action_set(&mut self, actions: &[&str]) -> SetId {
        let mut parts = Vec::new();
        for action in actions {
            let tokens = action.to_lowercase().chars().map(wild).collect();
            parts.extend(self.space.sets.pattern(tokens).map(|pattern| crate::language::Part { patterns: vec![pattern], flag: None }));
        }
        self.space.sets.set(parts)
    }

    fn resource_set(&mut self, resources: &[&str]) -> SetId {
        let parts = resources.iter().filter_map(|resource| self.arn_part("wanted", resource, false)).collect();
        self.space.sets.set(parts)
    }

    /// The set of some of a condition's values, read as the condition reads them.
    fn value_set(&mut self, condition: &Condition, values: &[&str]) -> SetId {
        let is_arn = condition.operator().family == OperatorFamily::Arn;
        let is_like = condition.operator().family == OperatorFamily::StringLike;
        let mut parts = Vec::new();
        for value in values {
            if is_arn {
                parts.extend(self.arn_part("trusted", value, false));
            } else {
                let tokens = value.chars().map(if is_like { wild } else { Token::Char }).collect();
                parts.extend(self.space.sets.pattern(tokens).map(|pattern| crate::language::Part { patterns: vec![pattern], flag: None }));
            }
        }
        self.space.sets.set(parts)
    }
}

fn wild(character: char) -> Token {
    match character {
        '*' => Token::Many,
        '?' => Token::One,
        other => Token::Char(other),
    }
}
