//! The space of requests: its fields, the statements about them, and what a policy says in these terms.

use std::collections::{HashMap, HashSet};

use policy::{Condition, Effect};

use crate::language::{Part, SetId, Sets};
use crate::pattern::Token;

/// A field of a request that holds one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Field {
    /// The action, in lower case.
    Action,
    Resource,
    /// ARN of the user, role, root or federated user.
    Principal,
    /// Name of a role's session.
    Session,
    /// `aws:userid`.
    UserId,
    /// Name of a service principal.
    Service,
    /// Identity provider of a federated caller.
    Provider,
}

/// How many fields there are.
pub(crate) const FIELDS: usize = 7;

impl Field {
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Action => 0,
            Self::Resource => 1,
            Self::Principal => 2,
            Self::Session => 3,
            Self::UserId => 4,
            Self::Service => 5,
            Self::Provider => 6,
        }
    }
}

/// Kinds of callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    User,
    Role,
    FederatedUser,
    Root,
    Service,
    Anonymous,
    /// A caller of AssumeRoleWithWebIdentity or AssumeRoleWithSAML.
    Federated,
}

/// All kinds, the plainest first: a witness is looked for in this order.
pub(crate) const KINDS: [Kind; 7] =
    [Kind::User, Kind::Role, Kind::Anonymous, Kind::Root, Kind::FederatedUser, Kind::Service, Kind::Federated];

impl Kind {
    pub(crate) fn bit(self) -> u8 {
        match self {
            Self::User => 1,
            Self::Role => 2,
            Self::FederatedUser => 4,
            Self::Root => 8,
            Self::Service => 16,
            Self::Anonymous => 32,
            Self::Federated => 64,
        }
    }

    /// Whether it is an identity of an account.
    pub(crate) fn has_account(self) -> bool {
        self.bit() & IDENTITIES != 0
    }
}

pub(crate) const IDENTITIES: u8 = 1 | 2 | 4 | 8;
/// Kinds that identity-based policies can be attached to or passed on to.
pub(crate) const ATTACHED: u8 = 1 | 2 | 4;
pub(crate) const EVERY_KIND: u8 = 127;

/// A test of one value of a condition key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Test {
    /// It lies in a set of texts.
    Set(SetId),
    /// It meets one of the typed values of a condition.
    Typed(usize),
}

/// A statement about a request that is true or false of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Literal {
    Always,
    Never,
    /// The caller is of one of these kinds.
    Kinds(u8),
    /// The caller has a permissions boundary.
    Bounded(bool),
    /// The field lies in the set, or does not.
    Text(Field, SetId, bool),
    /// Some value of the key passes the test (or, with `passes` false, fails it); with `exists` false there is no such value.
    Value {
        key: usize,
        test: Test,
        passes: bool,
        exists: bool,
    },
}

impl Literal {
    pub(crate) fn negated(self) -> Self {
        match self {
            Self::Always => Self::Never,
            Self::Never => Self::Always,
            Self::Kinds(kinds) => Self::Kinds(EVERY_KIND & !kinds),
            Self::Bounded(bounded) => Self::Bounded(!bounded),
            Self::Text(field, set, inside) => Self::Text(field, set, !inside),
            Self::Value { key, test, passes, exists } => Self::Value { key, test, passes, exists: !exists },
        }
    }
}

/// One of these holds.
pub(crate) type Clause = Vec<Literal>;

/// A statement of a policy for one of its principals: it matches the requests for which all clauses hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rule {
    pub(crate) effect: Effect,
    /// Index of the statement.
    pub(crate) statement: usize,
    pub(crate) clauses: Vec<Clause>,
}

/// Condition keys whose value follows from the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Special {
    PrincipalArn,
    PrincipalAccount,
    PrincipalType,
    PrincipalIsAwsService,
    PrincipalServiceName,
    UserId,
    /// Users have one, others have none.
    UserName,
    /// Every request has it.
    SecureTransport,
    /// Every request has it.
    ResourceAccount,
    /// Not one of these: independent of everything else.
    Free,
}

impl Special {
    /// Whether the value is in the caller itself and not beside it.
    pub(crate) fn is_of_caller(self) -> bool {
        !matches!(self, Self::Free | Self::UserName | Self::SecureTransport | Self::ResourceAccount)
    }

    fn of(lower: &str) -> Self {
        match lower {
            "aws:principalarn" => Self::PrincipalArn,
            "aws:principalaccount" => Self::PrincipalAccount,
            "aws:principaltype" => Self::PrincipalType,
            "aws:principalisawsservice" => Self::PrincipalIsAwsService,
            "aws:principalservicename" | "aws:principalservicenameslist" => Self::PrincipalServiceName,
            "aws:userid" => Self::UserId,
            "aws:username" => Self::UserName,
            "aws:securetransport" => Self::SecureTransport,
            "aws:resourceaccount" => Self::ResourceAccount,
            _ => Self::Free,
        }
    }
}

/// A condition key of the comparison.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) special: Special,
    /// It may have several values.
    pub(crate) multivalued: bool,
    /// Numbers, dates, booleans, bytes or addresses are compared: `values` stand for all.
    pub(crate) typed: bool,
    /// All that is typed about it are booleans, whose spellings can be listed.
    pub(crate) only_booleans: bool,
    /// Tests that no list of values can stand for: what is not found among `values` may still exist.
    pub(crate) undecided: bool,
    pub(crate) values: Vec<String>,
}

/// What the policies of one comparison speak about.
#[derive(Debug, Default)]
pub(crate) struct Space {
    pub(crate) sets: Sets,
    pub(crate) keys: Vec<Key>,
    pub(crate) conditions: Vec<Condition>,
    /// An element that the fragment does not cover: then nothing is proved.
    pub(crate) outside: Option<&'static str>,
    /// Keys that are compared as texts.
    pub(crate) texts_of_keys: HashSet<usize>,
    key_ids: HashMap<String, usize>,
    /// For sets of account ids the set of ARNs in those accounts.
    accounts: HashMap<SetId, SetId>,
}

impl Space {
    pub(crate) fn key(&mut self, name: &str) -> usize {
        let lower = name.to_lowercase();
        if let Some(known) = self.key_ids.get(&lower) {
            return *known;
        }
        let id = self.keys.len();
        self.keys.push(Key {
            name: name.to_owned(),
            special: Special::of(&lower),
            multivalued: crate::vocabulary::is_multivalued(&lower),
            typed: false,
            only_booleans: true,
            undecided: false,
            values: Vec::new(),
        });
        self.key_ids.insert(lower, id);
        id
    }

    /// The set of one pattern.
    pub(crate) fn tokens(&mut self, tokens: Vec<Token>) -> Option<SetId> {
        let pattern = self.sets.pattern(tokens)?;
        Some(self.sets.set(vec![Part { patterns: vec![pattern], flag: None }]))
    }

    /// The set of some texts.
    pub(crate) fn texts<'t>(&mut self, texts: impl IntoIterator<Item = &'t str>) -> SetId {
        let mut parts = Vec::new();
        for text in texts {
            if let Some(pattern) = self.sets.pattern(text.chars().map(Token::Char).collect()) {
                parts.push(Part { patterns: vec![pattern], flag: None });
            }
        }
        self.sets.set(parts)
    }

    /// All texts.
    pub(crate) fn everything(&mut self) -> SetId {
        self.sets.set(vec![Part { patterns: Vec::new(), flag: None }])
    }

    /// All texts but the empty one.
    pub(crate) fn not_empty(&mut self) -> SetId {
        self.tokens(vec![Token::One, Token::Many]).unwrap_or_default()
    }

    /// The ARNs whose account lies in the set.
    pub(crate) fn arns_of_accounts(&mut self, accounts: SetId) -> SetId {
        if let Some(known) = self.accounts.get(&accounts) {
            return *known;
        }
        let parts = self.sets.parts(accounts).to_vec();
        let mut arns = Vec::new();
        for part in parts {
            let mut patterns = Vec::new();
            for pattern in &part.patterns {
                let account: Vec<Token> = self.sets.tokens(*pattern).iter().map(|token| in_segment(*token)).collect();
                patterns.extend(self.sets.pattern(arn_of_account(&account)));
            }
            arns.push(Part { patterns, flag: part.flag });
        }
        let set = self.sets.set(arns);
        self.accounts.insert(accounts, set);
        set
    }
}

fn in_segment(token: Token) -> Token {
    match token {
        Token::Many => Token::ManyInSegment,
        Token::One => Token::OneInSegment,
        other => other,
    }
}

/// `arn:PARTITION:SERVICE:REGION:ACCOUNT:…` with any other segments.
pub(crate) fn arn_of_account(account: &[Token]) -> Vec<Token> {
    let mut tokens: Vec<Token> = "arn:".chars().map(Token::Char).collect();
    for _ in 0..3 {
        tokens.extend([Token::ManyInSegment, Token::Char(':')]);
    }
    tokens.extend_from_slice(account);
    tokens.extend([Token::Char(':'), Token::Many]);
    tokens
}
