//! Callers: what the `Principal` element and the keys about callers mean in the space of requests.

use policy::{Principal, PrincipalEntry, PrincipalKind};

use crate::language::{Part, SetId};
use crate::pattern::Token;
use crate::space::{Clause, EVERY_KIND, Field, IDENTITIES, Kind, Literal, Space, arn_of_account};

const EVERY_BUT_FEDERATED: u8 = EVERY_KIND & !64;

fn characters(text: &str) -> impl Iterator<Item = Token> {
    text.chars().map(Token::Char)
}

fn in_account(space: &mut Space, account: &str) -> Literal {
    let tokens = arn_of_account(&characters(account).collect::<Vec<_>>());
    space.tokens(tokens).map_or(Literal::Never, |set| Literal::Text(Field::Principal, set, true))
}

/// A role session's ARN in parts: account, role name, session name.
fn session_parts(arn: &str) -> Option<(&str, &str, &str)> {
    let account = policy::account_of(arn)?;
    let rest = policy::resource_of(arn)?.strip_prefix("assumed-role/")?;
    let (role, session) = rest.split_once('/')?;
    arn.contains(":sts:").then_some((account, role, session))
}

/// The ARNs that a role of this name may have, with any path.
fn role_arns(space: &mut Space, account: &str, name: &str) -> SetId {
    let mut head: Vec<Token> = characters("arn:").collect();
    head.push(Token::ManyInSegment);
    head.extend(characters(&format!(":iam::{account}:role/")));
    let plain = head.iter().copied().chain(characters(name)).collect();
    let with_path = head.iter().copied().chain([Token::Many, Token::Char('/')]).chain(characters(name)).collect();
    let mut parts = Vec::new();
    for tokens in [plain, with_path] {
        if let Some(pattern) = space.sets.pattern(tokens) {
            parts.push(Part { patterns: vec![pattern], flag: None });
        }
    }
    space.sets.set(parts)
}

fn exactly(space: &mut Space, field: Field, text: &str) -> Literal {
    Literal::Text(field, space.texts([text]), true)
}

/// The callers that an entry of `Principal` names, as literals that must all hold.
pub(crate) fn named(space: &mut Space, entry: &PrincipalEntry) -> Vec<Literal> {
    match entry {
        PrincipalEntry::Everybody => Vec::new(),
        PrincipalEntry::AnyAws => vec![Literal::Kinds(EVERY_BUT_FEDERATED)],
        PrincipalEntry::Account(account) => vec![Literal::Kinds(IDENTITIES), in_account(space, account)],
        PrincipalEntry::Arn(arn) => match session_parts(arn) {
            Some((account, role, session)) => {
                let roles = role_arns(space, account, role);
                vec![
                    Literal::Kinds(Kind::Role.bit()),
                    Literal::Text(Field::Principal, roles, true),
                    exactly(space, Field::Session, session),
                ]
            }
            None => vec![Literal::Kinds(IDENTITIES), exactly(space, Field::Principal, arn)],
        },
        PrincipalEntry::UniqueId(id) => {
            let whole = space.sets.pattern(characters(id).collect());
            let session = space.sets.pattern(characters(id).chain([Token::Char(':'), Token::Many]).collect());
            let parts = [whole, session].into_iter().flatten().map(|pattern| Part { patterns: vec![pattern], flag: None });
            let ids = space.sets.set(parts.collect());
            vec![Literal::Kinds(Kind::User.bit() | Kind::Role.bit() | Kind::FederatedUser.bit()), Literal::Text(Field::UserId, ids, true)]
        }
        PrincipalEntry::Service(name) => vec![Literal::Kinds(Kind::Service.bit()), exactly(space, Field::Service, name)],
        PrincipalEntry::Federated(provider) => vec![Literal::Kinds(Kind::Federated.bit()), exactly(space, Field::Provider, provider)],
        // The account behind a canonical id is not known: it is an account of which nothing else is said.
        PrincipalEntry::CanonicalUser(id) => {
            let key = space.key("canonical-user-id");
            let set = space.texts([&**id]);
            vec![Literal::Kinds(IDENTITIES), Literal::Value { key, test: crate::space::Test::Set(set), passes: true, exists: true }]
        }
    }
}

/// The callers that a `NotPrincipal` does not leave out, as clauses that must all hold. A caller is left out if its
/// whole chain is listed and it has no permissions boundary.
pub(crate) fn all_but(space: &mut Space, entries: &[PrincipalEntry]) -> Vec<Clause> {
    let mut clauses = Vec::new();
    let bounded = Literal::Bounded(true);
    let not = |kinds: u8| Literal::Kinds(EVERY_KIND & !kinds);
    let listed = |account: &str| entries.iter().any(|entry| matches!(entry, PrincipalEntry::Account(listed) if **listed == *account));
    let listed_arn = |arn: &str| entries.iter().any(|entry| matches!(entry, PrincipalEntry::Arn(listed) if **listed == *arn));
    for entry in entries {
        match entry {
            PrincipalEntry::Everybody => clauses.push(vec![bounded]),
            PrincipalEntry::AnyAws => clauses.push(vec![bounded, not(EVERY_BUT_FEDERATED)]),
            PrincipalEntry::Account(account) => {
                let outside = in_account(space, account).negated();
                clauses.push(vec![bounded, not(Kind::Root.bit()), outside]);
            }
            PrincipalEntry::Arn(arn) => match session_parts(arn) {
                Some((account, name, session)) if listed(account) => {
                    let roles: Vec<&str> = entries
                        .iter()
                        .filter_map(|entry| match entry {
                            PrincipalEntry::Arn(role) if is_role_named(role, account, name) => Some(&**role),
                            _ => None,
                        })
                        .collect();
                    let roles = space.texts(roles);
                    let session = exactly(space, Field::Session, session).negated();
                    clauses.push(vec![bounded, not(Kind::Role.bit()), Literal::Text(Field::Principal, roles, false), session]);
                }
                Some(_) => {}
                None => {
                    let account = policy::account_of(arn).unwrap_or_default();
                    let other = exactly(space, Field::Principal, arn).negated();
                    // A federated user's chain is the federated ARN and the account; roles need their session besides.
                    if listed(account) && listed_arn(arn) {
                        clauses.push(vec![bounded, not(Kind::User.bit() | Kind::FederatedUser.bit()), other]);
                    }
                }
            },
            PrincipalEntry::UniqueId(_) | PrincipalEntry::CanonicalUser(_) => {
                space.outside = Some("`NotPrincipal` with unique or canonical ids");
            }
            PrincipalEntry::Service(name) => {
                let other = exactly(space, Field::Service, name).negated();
                clauses.push(vec![not(Kind::Service.bit()), other]);
            }
            PrincipalEntry::Federated(provider) => {
                let other = exactly(space, Field::Provider, provider).negated();
                clauses.push(vec![not(Kind::Federated.bit()), other]);
            }
        }
    }
    clauses
}

fn is_role_named(arn: &str, account: &str, name: &str) -> bool {
    let Some(resource) = policy::resource_of(arn) else { return false };
    policy::account_of(arn) == Some(account)
        && resource.starts_with("role/")
        && resource.rsplit('/').next() == Some(name)
        && arn.contains(":iam:")
}

/// The ARNs that a caller of this kind can have.
pub(crate) fn shape(space: &mut Space, kind: Kind) -> Option<SetId> {
    let (service, resource) = match kind {
        Kind::User => ("iam", "user/"),
        Kind::Role => ("iam", "role/"),
        Kind::FederatedUser => ("sts", "federated-user/"),
        Kind::Root => ("iam", "root"),
        _ => return None,
    };
    let mut tokens: Vec<Token> = characters("arn:aws").collect();
    tokens.push(Token::ManyInSegment);
    tokens.extend(characters(&format!(":{service}::")));
    tokens.extend([Token::Digit; 12]);
    tokens.extend(characters(&format!(":{resource}")));
    if kind != Kind::Root {
        tokens.extend([Token::One, Token::Many]);
    }
    space.tokens(tokens)
}

/// A caller of the engine from the fields of a witness.
pub(crate) fn principal(kind: Kind, arn: &str, session: &str, user_id: Option<&str>, service: &str, provider: &str) -> Principal {
    let account = policy::account_of(arn).unwrap_or_default();
    let mut principal = match kind {
        Kind::User => Principal::new(PrincipalKind::User, account, arn),
        Kind::Root => Principal::new(PrincipalKind::Root, account, arn),
        Kind::FederatedUser => {
            let user_arn = format!("arn:aws:iam::{account}:user/federating-user");
            Principal::new(PrincipalKind::FederatedUser { user_arn }, account, arn)
        }
        Kind::Role => {
            let partition = arn.split(':').nth(1).unwrap_or("aws");
            let name = arn.rsplit('/').next().unwrap_or_default();
            let kind = PrincipalKind::RoleSession { role_arn: arn.to_owned() };
            Principal::new(kind, account, format!("arn:{partition}:sts::{account}:assumed-role/{name}/{session}"))
        }
        Kind::Service => Principal::unaccounted(PrincipalKind::Service { name: service.to_owned() }),
        Kind::Anonymous => Principal::anonymous(),
        Kind::Federated => Principal::unaccounted(PrincipalKind::WebIdentity { provider: provider.to_owned() }),
    };
    principal.user_id = user_id.map(str::to_owned);
    principal
}

/// The value of `aws:PrincipalType`.
pub(crate) fn type_name(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::User => Some("User"),
        Kind::Role => Some("AssumedRole"),
        Kind::FederatedUser => Some("FederatedUser"),
        Kind::Root => Some("Account"),
        Kind::Anonymous => Some("Anonymous"),
        Kind::Service | Kind::Federated => None,
    }
}
