//! A slow and plain evaluator of cases, written from the documentation and without the engine: it reads the JSON
//! as it stands, compiles nothing, and tries everything. The differential test compares the two.

use serde_json::{Map, Value, json};

/// The answer: allowed, or denied (explicitly, by these policy types; no types for limits of the credentials).
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Allow,
    Explicit(Vec<&'static str>),
    Implicit(Vec<&'static str>),
    Limit,
}

const ID: &str = "identity-based policy";
const RES: &str = "resource-based policy";
const TRUST: &str = "role trust policy";
const BOUNDARY: &str = "permissions boundary";
const SESSION: &str = "session policy";
const SCP: &str = "service control policy";
const RCP: &str = "resource control policy";
const VPCE: &str = "VPC endpoint policy";

struct World<'a> {
    case: &'a Value,
    check: &'a Value,
}

pub(crate) fn decide(case: &Value) -> Answer {
    for check in case["checks"].as_array().unwrap() {
        let answer = World { case, check }.decide();
        if answer != Answer::Allow {
            return answer;
        }
    }
    Answer::Allow
}

/// A list of documents: absent is empty, one document is a list of one.
fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Null => vec![],
        Value::Array(items) => items.iter().collect(),
        other => vec![other],
    }
}

fn strings(value: &Value) -> Vec<String> {
    list(value)
        .into_iter()
        .map(|item| match item {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
        .collect()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or("")
}

/// Whether the pattern matches, by trying every way. `None` in the pattern is a star.
fn wild(pattern: &[Symbol], text: &[char]) -> bool {
    let mut row = vec![false; text.len() + 1];
    row[0] = true;
    for symbol in pattern {
        let before = row.clone();
        for at in 0..=text.len() {
            row[at] = match symbol {
                Symbol::Many => before[..=at].iter().any(|reached| *reached),
                Symbol::One => at > 0 && before[at - 1],
                Symbol::Is(wanted) => at > 0 && before[at - 1] && text[at - 1] == *wanted,
            };
        }
    }
    row[text.len()]
}

#[derive(Clone, PartialEq)]
enum Symbol {
    Many,
    One,
    Is(char),
}

fn symbols(pattern: &str) -> Vec<Symbol> {
    pattern
        .chars()
        .map(|character| match character {
            '*' => Symbol::Many,
            '?' => Symbol::One,
            other => Symbol::Is(other),
        })
        .collect()
}

fn wild_text(pattern: &[Symbol], text: &str) -> bool {
    wild(pattern, &text.chars().collect::<Vec<_>>())
}

fn arn_like(pattern: &[Symbol], arn: &str) -> bool {
    if !pattern.is_empty() && pattern.iter().all(|symbol| *symbol == Symbol::Many) {
        return true;
    }
    let segments: Vec<&str> = arn.splitn(6, ':').collect();
    if segments.len() < 6 {
        return false;
    }
    let patterns: Vec<&[Symbol]> = pattern.splitn(6, |symbol| *symbol == Symbol::Is(':')).collect();
    let last = patterns.len() - 1;
    if last < 5 && patterns[last].last() != Some(&Symbol::Many) {
        return false;
    }
    let rest = segments[last..].join(":");
    (0..last).all(|at| wild_text(patterns[at], segments[at])) && wild_text(patterns[last], &rest)
}

impl World<'_> {
    fn principal(&self) -> &Value {
        &self.case["principal"]
    }

    fn kind(&self) -> &str {
        text(self.principal(), "kind")
    }

    fn action(&self) -> String {
        text(self.check, "action").to_lowercase()
    }

    fn owner(&self) -> Value {
        match &self.check["resource"]["account"] {
            Value::Null => self.principal()["account"].clone(),
            account => account.clone(),
        }
    }

    fn account_entry(&self, account: &Value) -> Value {
        account.as_str().map_or(Value::Null, |number| self.case["org"]["accounts"][number].clone())
    }

    fn is_member(&self, account: &Value) -> bool {
        !self.account_entry(account).is_null() && self.case["org"]["management"] != *account
    }

    fn key(&self, name: &str) -> Value {
        let same = |other: &str| other.to_lowercase() == name.to_lowercase();
        let within = |map: &Value, prefix: &str| {
            map.as_object()
                .and_then(|map| map.iter().find(|(tag, _)| same(&format!("{prefix}{tag}"))))
                .map_or(Value::Null, |(_, value)| value.clone())
        };
        let given = within(&self.check["context"], "");
        if !given.is_null() {
            return given;
        }
        for (map, prefix) in [
            (&self.principal()["tags"], "aws:PrincipalTag/"),
            (&self.check["resource"]["tags"], "aws:ResourceTag/"),
            (&self.check["request_tags"], "aws:RequestTag/"),
            (&self.check["encryption_context"], "kms:EncryptionContext:"),
            (&self.check["resource"]["tags"], if self.action().starts_with("iam:") { "iam:ResourceTag/" } else { "aws:ResourceTag/" }),
        ] {
            let found = within(map, prefix);
            if !found.is_null() {
                return found;
            }
        }
        let principal = self.principal();
        let kind = self.kind();
        let own = &principal["account"];
        let has_org = |account: &Value, member: Value| match self.account_entry(account) {
            Value::Null => Value::Null,
            entry => {
                if member.is_null() {
                    json!([entry["path"]])
                } else {
                    member
                }
            }
        };
        match name.to_lowercase().as_str() {
            "aws:principalarn" if kind == "role-session" => principal["role"].clone(),
            "aws:principalarn" => principal["arn"].clone(),
            "aws:principalaccount" if kind == "anonymous" => json!("anonymous"),
            "aws:principalaccount" => own.clone(),
            "aws:principaltype" => match kind {
                "user" => json!("User"),
                "role-session" => json!("AssumedRole"),
                "federated-user" => json!("FederatedUser"),
                "root" => json!("Account"),
                "anonymous" => json!("Anonymous"),
                _ => Value::Null,
            },
            "aws:username" if kind == "user" => json!(text(principal, "arn").rsplit('/').next()),
            "aws:principalisawsservice" if !["anonymous", "web-identity", "saml"].contains(&kind) => {
                json!(if kind == "service" { "true" } else { "false" })
            }
            "aws:principalservicename" => principal["service"].clone(),
            "aws:assumedroot" if principal["assumed_root"] == true => json!("true"),
            "aws:principalorgid" => has_org(own, self.case["org"]["id"].clone()),
            "aws:principalorgpaths" => has_org(own, Value::Null),
            "aws:resourceaccount" => self.owner(),
            "aws:resourceorgid" => has_org(&self.owner(), self.case["org"]["id"].clone()),
            "aws:resourceorgpaths" => has_org(&self.owner(), Value::Null),
            "aws:tagkeys" => match self.check["request_tags"].as_object() {
                Some(tags) if !tags.is_empty() => json!(tags.keys().collect::<Vec<_>>()),
                _ => Value::Null,
            },
            "kms:encryptioncontextkeys" => match self.check["encryption_context"].as_object() {
                Some(pairs) if !pairs.is_empty() => json!(pairs.keys().collect::<Vec<_>>()),
                _ => Value::Null,
            },
            "aws:securetransport" => json!("true"),
            _ => Value::Null,
        }
    }

    /// The pattern with its variables replaced; `None` if one has no value.
    fn resolve(&self, pattern: &str, variables: bool) -> Option<Vec<Symbol>> {
        let Some((before, rest)) = pattern.split_once("${").filter(|_| variables) else {
            return Some(symbols(pattern));
        };
        let Some((inside, after)) = rest.split_once('}') else {
            return Some(symbols(pattern));
        };
        let value = match inside {
            "*" | "?" | "$" => inside.to_owned(),
            _ => {
                let (name, default) = match inside.split_once(", '") {
                    Some((name, default)) => (name, default.strip_suffix('\'')),
                    None => (inside, None),
                };
                match self.key(name) {
                    Value::Array(_) => return None,
                    Value::Null => default?.to_owned(),
                    value if value == "" => default?.to_owned(),
                    value => strings(&value)[0].clone(),
                }
            }
        };
        let mut result = symbols(before);
        result.extend(value.chars().map(Symbol::Is));
        result.extend(self.resolve(after, variables)?);
        Some(result)
    }

    fn one_value(&self, family: &str, wanted: &str, actual: &str, variables: bool) -> bool {
        let literal = || -> Option<String> {
            let symbols = self.resolve(wanted, variables)?;
            Some(
                symbols
                    .iter()
                    .map(|symbol| match symbol {
                        Symbol::Many => '*',
                        Symbol::One => '?',
                        Symbol::Is(character) => *character,
                    })
                    .collect(),
            )
        };
        match family {
            "StringEquals" => literal().as_deref() == Some(actual),
            "StringEqualsIgnoreCase" => literal().is_some_and(|text| text.to_lowercase() == actual.to_lowercase()),
            "StringLike" => self.resolve(wanted, variables).is_some_and(|pattern| wild_text(&pattern, actual)),
            "ArnLike" => self.resolve(wanted, variables).is_some_and(|pattern| arn_like(&pattern, actual)),
            "Bool" => {
                let wanted = literal().unwrap_or_default().to_lowercase();
                ["true", "false"].contains(&wanted.as_str()) && wanted == actual.to_lowercase()
            }
            "NumericLessThan" => match (actual.parse::<f64>(), wanted.parse::<f64>()) {
                (Ok(actual), Ok(wanted)) => actual < wanted,
                _ => false,
            },
            "IpAddress" => ipv4(actual).zip(block(wanted)).is_some_and(|(address, (low, high))| (low..=high).contains(&address)),
            _ => panic!("{family}"),
        }
    }

    fn condition(&self, operator: &str, key: &str, wanted: &Value, variables: bool) -> bool {
        let actual = self.key(key);
        if operator == "Null" {
            let null = strings(&actual).iter().all(String::is_empty);
            return strings(wanted).iter().any(|value| *value == null.to_string());
        }
        let (set, rest) = operator.split_once(':').unwrap_or(("", operator));
        let base = rest.strip_suffix("IfExists").unwrap_or(rest);
        if actual.is_null() || actual == json!([]) {
            return base != rest || set == "ForAllValues" || (set.is_empty() && base.contains("Not"));
        }
        let family = base.replacen("Not", "", 1).replace("ArnEquals", "ArnLike");
        let matches_one = |value: &String| {
            let hit = strings(wanted).iter().any(|wanted| self.one_value(&family, wanted, value, variables));
            hit != base.contains("Not")
        };
        let values = strings(&actual);
        match set {
            "ForAllValues" => values.iter().all(String::is_empty) || values.iter().all(matches_one),
            "ForAnyValue" => values.iter().any(matches_one),
            _ if base.contains("Not") => values.iter().all(matches_one),
            _ => values.iter().any(matches_one),
        }
    }

    /// How an element names the caller: 0 not at all, 1 by account, 2 by role, 3 directly.
    fn named(&self, element: &Value) -> u8 {
        let kind = self.kind();
        if element == "*" {
            return 3;
        }
        let principal = self.principal();
        let mut best = 0;
        for (name, entries) in element.as_object().unwrap() {
            for entry in strings(entries) {
                let account = entry.strip_suffix(":root").map_or(entry.as_str(), |arn| arn.rsplit(':').next().unwrap());
                let class = match name.as_str() {
                    "AWS" if entry == "*" => {
                        if ["web-identity", "saml"].contains(&kind) {
                            0
                        } else {
                            3
                        }
                    }
                    "AWS" if entry == text(principal, "arn") => 3,
                    "AWS" if entry == text(principal, "role") => 2,
                    "AWS" if entry == text(principal, "user") && !entry.ends_with(":root") => 2,
                    "AWS" if account == text(principal, "account") => 1,
                    "Service" if entry == text(principal, "service") => 3,
                    "Federated" if entry == text(principal, "provider") => 3,
                    _ => 0,
                };
                best = best.max(if class == 1 && kind == "root" { 3 } else { class });
            }
        }
        best
    }

    fn spared(&self, element: &Value) -> bool {
        let own_policies = ["user", "role-session", "federated-user", "root"].contains(&self.kind());
        if own_policies && !self.case["policies"]["boundary"].is_null() {
            return false;
        }
        if element == "*" {
            return true;
        }
        let entries = strings(&element["AWS"]);
        if entries.iter().any(|entry| entry == "*") && !["web-identity", "saml"].contains(&self.kind()) {
            return true;
        }
        let principal = self.principal();
        let account = text(principal, "account");
        let root = format!("arn:aws:iam::{account}:root");
        let has = |wanted: &str| entries.iter().any(|entry| entry == wanted);
        let has_account = has(account) || has(&root);
        match self.kind() {
            "user" | "federated-user" => has_account && has(text(principal, "arn")),
            "role-session" => has_account && has(text(principal, "arn")) && has(text(principal, "role")),
            "root" => has_account,
            _ => self.named(element) == 3,
        }
    }

    /// 0 if the statement does not match, else how it names the caller.
    fn statement(&self, statement: &Value, variables: bool) -> u8 {
        let listed =
            |name: &str| strings(&statement[name]).iter().any(|pattern| wild_text(&symbols(&pattern.to_lowercase()), &self.action()));
        let action = if statement["Action"].is_null() { !listed("NotAction") } else { listed("Action") };
        let arn = text(&self.check["resource"], "arn");
        let on = |name: &str| {
            strings(&statement[name]).iter().any(|pattern| {
                let early = variables && pattern.split("${").next().unwrap().matches(':').count() < 5 && pattern.contains("${");
                !early && self.resolve(pattern, variables).is_some_and(|pattern| arn_like(&pattern, arn))
            })
        };
        let resource = match (&statement["Resource"], &statement["NotResource"]) {
            (Value::Null, Value::Null) => true,
            (Value::Null, _) => !on("NotResource"),
            _ => on("Resource"),
        };
        let class = match (&statement["Principal"], &statement["NotPrincipal"]) {
            (Value::Null, Value::Null) => 3,
            (Value::Null, spared) => {
                if self.spared(spared) || statement["Effect"] == "Allow" {
                    0
                } else {
                    3
                }
            }
            (named, _) => self.named(named),
        };
        let empty = Map::new();
        let conditions = statement["Condition"].as_object().unwrap_or(&empty);
        let holds = conditions
            .iter()
            .all(|(operator, keys)| keys.as_object().unwrap().iter().all(|(key, wanted)| self.condition(operator, key, wanted, variables)));
        if action && resource && holds { class } else { 0 }
    }

    /// Whether the documents deny, and how closely they allow.
    fn ask(&self, documents: &[&Value]) -> (bool, u8) {
        let mut answer = (false, 0);
        for document in documents {
            if *document == "FullAWSAccess" {
                answer.1 = 3;
                continue;
            }
            let variables = document["Version"] == "2012-10-17";
            for statement in list(&document["Statement"]) {
                let class = self.statement(statement, variables);
                if statement["Effect"] == "Deny" {
                    answer.0 |= class > 0;
                } else {
                    answer.1 = answer.1.max(class);
                }
            }
        }
        answer
    }

    /// How the grants of the key name the caller.
    fn granted(&self) -> u8 {
        let action = self.action();
        let Some(operation) = action.strip_prefix("kms:") else { return 0 };
        let mut best = 0;
        for grant in list(&self.check["kms_grants"]) {
            let grantee = text(grant, "GranteePrincipal");
            let class = if self.kind() == "service" {
                3 * u8::from(grantee == text(self.principal(), "service"))
            } else if grantee.contains(':') {
                self.named(&json!({ "AWS": grantee }))
            } else {
                0
            };
            let listed = strings(&grant["Operations"]).iter().any(|listed| listed.to_lowercase() == operation);
            let constraints = &grant["Constraints"];
            let from_source = match &constraints["SourceArn"] {
                Value::Null => true,
                wanted => strings(&self.key("aws:SourceArn")).iter().any(|arn| wanted == arn),
            };
            let given: Vec<(String, &Value)> = self.check["encryption_context"]
                .as_object()
                .map(|pairs| pairs.iter().map(|(name, value)| (name.to_lowercase(), value)).collect())
                .unwrap_or_default();
            let includes =
                |wanted: &Value| wanted.as_object().unwrap().iter().all(|(name, value)| given.contains(&(name.to_lowercase(), value)));
            // DescribeKey has no encryption context, so the constraints do not bind it.
            let in_context = operation == "describekey"
                || ((constraints["EncryptionContextSubset"].is_null() || includes(&constraints["EncryptionContextSubset"]))
                    && (constraints["EncryptionContextEquals"].is_null()
                        || (includes(&constraints["EncryptionContextEquals"])
                            && given.len() == constraints["EncryptionContextEquals"].as_object().unwrap().len())));
            if listed && from_source && in_context {
                best = best.max(class);
            }
        }
        best
    }

    /// Whether S3 calls the resource's policy public: an Allow for everybody that no fixed value limits.
    fn is_public(&self) -> bool {
        const LIMITING: [&str; 5] =
            ["aws:principalarn", "aws:sourcearn", "aws:sourcevpc", "aws:principalservicename", "aws:principalorgid"];
        let everybody =
            |statement: &Value| statement["Principal"] == "*" || strings(&statement["Principal"]["AWS"]).iter().any(|entry| entry == "*");
        let limits = |operator: &str, key: &str, values: &[String]| match operator {
            "IpAddress" => key == "aws:sourceip",
            "StringEquals" | "StringEqualsIgnoreCase" | "StringLike" | "ArnEquals" | "ArnLike" => {
                LIMITING.contains(&key) && values.iter().all(|value| !value.contains(['*', '?']) && !value.contains("${"))
            }
            _ => false,
        };
        let limited = |statement: &Value| {
            statement["Condition"].as_object().is_some_and(|operators| {
                operators.iter().any(|(operator, keys)| {
                    keys.as_object().unwrap().iter().any(|(key, values)| limits(operator, &key.to_lowercase(), &strings(values)))
                })
            })
        };
        let documents = list(&self.check["resource_policy"]);
        documents
            .into_iter()
            .flat_map(|document| list(&document["Statement"]))
            .any(|statement| statement["Effect"] == "Allow" && everybody(statement) && !limited(statement))
    }

    fn limited(&self) -> bool {
        let action = self.action();
        let sts = action.starts_with("sts:");
        let iam = action.starts_with("iam:");
        match self.kind() {
            "role-session" => action == "sts:getsessiontoken" || action == "sts:getfederationtoken",
            "federated-user" => sts || iam,
            "root" if action == "sts:assumerole" || action == "sts:assumeroot" => true,
            "user" | "root" if self.principal()["credential"] == "session-token" => {
                (sts && !["sts:assumerole", "sts:tagsession", "sts:setsourceidentity"].contains(&action.as_str()))
                    || (iam && self.key("aws:MultiFactorAuthPresent") != "true")
            }
            _ => false,
        }
    }

    fn decide(&self) -> Answer {
        let action = self.action();
        let kind = self.kind();
        let own = &self.principal()["account"];
        let owner = self.owner();
        let has_policies = ["user", "role-session", "federated-user", "root"].contains(&kind);
        if action == "sts:getcalleridentity" && (has_policies || kind == "service") {
            return Answer::Allow;
        }
        if self.limited() {
            return Answer::Limit;
        }
        let linked = self.principal()["service_linked"] == true;
        let policies = &self.case["policies"];
        let asked = |documents: &Value| self.ask(&list(documents));
        let (mut identity, mut boundary, mut session) = ((false, 0), (false, 0), (false, 0));
        if has_policies {
            identity = asked(&policies["identity"]);
            boundary = asked(&policies["boundary"]);
            session = asked(&policies["session"]);
        }
        let levels: Vec<(bool, u8)> = if has_policies && !linked && self.is_member(own) {
            list(&self.account_entry(own)["scps"]).into_iter().map(asked).collect()
        } else {
            vec![]
        };
        let service = action.split(':').next().unwrap();
        let rcp_binds = !linked
            && self.is_member(&owner)
            && ["s3", "kms", "sts", "sqs"].contains(&service)
            && self.check["resource"]["aws_managed_key"] != true;
        let rcp = rcp_binds && list(&self.account_entry(&owner)["rcps"]).into_iter().any(|level| asked(level).0);
        let endpoint = asked(&policies["vpc_endpoint"]);
        let resource_kind = self.check["resource_policy_kind"].as_str().unwrap_or("standard");
        let resource_name = if resource_kind == "trust" { TRUST } else { RES };
        let mut resource = asked(&self.check["resource_policy"]);
        let same = *own == owner && has_policies;
        if kind == "root" && same && ["s3:getbucketpolicy", "s3:putbucketpolicy", "s3:deletebucketpolicy"].contains(&action.as_str()) {
            resource.0 = false;
        }
        let denied: Vec<&'static str> = [
            (levels.iter().any(|level| level.0), SCP),
            (rcp, RCP),
            (endpoint.0, VPCE),
            (resource.0, resource_name),
            (identity.0, ID),
            (boundary.0, BOUNDARY),
            (session.0, SESSION),
        ]
        .into_iter()
        .filter_map(|(denies, name)| denies.then_some(name))
        .collect();
        if !denied.is_empty() {
            return Answer::Explicit(denied);
        }
        let mut missing = vec![];
        if self.check["s3_restrict_public_buckets"] == true && kind != "service" && !same && self.is_public() {
            return Answer::Explicit(vec![RES]);
        }
        let mut need = |wanted: bool, allowed: bool, name: &'static str| {
            if wanted && !allowed {
                missing.push(name);
            }
        };
        need(levels.iter().any(|level| level.1 == 0), false, SCP);
        need(!policies["vpc_endpoint"].is_null(), endpoint.1 > 0, VPCE);
        let class = resource.1.max(self.granted());
        let strict = resource_kind != "standard";
        let (by_resource, by_identity, by_bounds) = if !has_policies {
            (true, false, false)
        } else if !same {
            (true, true, true)
        } else if class == 3 {
            (true, false, false)
        } else if class == 2 {
            (true, false, true)
        } else if class == 1 {
            (true, true, true)
        } else {
            (strict, !strict, !strict)
        };
        let federated = kind == "federated-user";
        let root_behind = kind == "root" || (federated && text(self.principal(), "user").ends_with(":root"));
        need(by_resource, class > 0, resource_name);
        need(by_identity && !root_behind && action != "sts:getsessiontoken", identity.1 > 0, ID);
        need(by_bounds && !policies["boundary"].is_null(), boundary.1 > 0, BOUNDARY);
        if self.principal()["assumed_root"] == true {
            // Its task policy binds it everywhere; a case without one is about something else.
            need(!policies["session"].is_null(), session.1 > 0, SESSION);
        } else {
            need(by_bounds && (federated || !policies["session"].is_null()), session.1 > 0, SESSION);
        }
        if missing.is_empty() { Answer::Allow } else { Answer::Implicit(missing) }
    }
}

fn ipv4(text: &str) -> Option<u64> {
    let parts: Vec<u64> = text.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    (parts.len() == 4).then(|| parts.iter().fold(0, |sum, part| sum * 256 + part))
}

fn block(text: &str) -> Option<(u64, u64)> {
    let (address, bits) = text.split_once('/').unwrap_or((text, "32"));
    let size = 1u64 << (32 - bits.parse::<u32>().ok()?);
    let low = ipv4(address)? / size * size;
    Some((low, low + size - 1))
}
