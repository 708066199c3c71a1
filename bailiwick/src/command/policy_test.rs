//! `bailiwick policy test`: expectations about policies, for CI.
//!
//! A file (YAML or JSON) names policies and requests with the decision that is expected:
//!
//! ```yaml
//! policies:
//!   identity: [reader.json]        # files beside this one, or documents
//!   boundary: boundary.json
//!   scp: [[root.json], [unit.json]]
//!   resource: bucket.json
//! principal: arn:aws:iam::111111111111:user/ana
//! tests:
//!   - name: reads its bucket
//!     action: s3:GetObject
//!     resource: arn:aws:s3:::b/k
//!     context: { aws:SourceVpc: vpc-1 }
//!     expect: allowed              # allowed, denied, explicitDeny or implicitDeny
//!   - action: s3:DeleteObject
//!     resource: arn:aws:s3:::b/k
//!     expect: denied
//!     by: scp                      # the type of policy that stands in the way
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::policy::{
    Attached, Check, MapContext, Policy, PolicyKind, PolicySet, PolicySource, PolicyType, Principal, PrincipalKind, Resource, ResourceKind,
    ResourcePolicy,
};
use serde_json::Value as Json;

use super::Failure;
use super::policy_check::Form;
use super::report::Outcome;

/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Decide requests under policies and compare with what is expected.
///
/// Exit code 0 if every expectation is met, 3 if one is not, 2 if a file cannot be read.
#[derive(clap::Args)]
pub struct Test {
    /// Files of expectations, YAML or JSON.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

impl Test {
    pub fn run(self) -> Result<(), Failure> {
        let (mut rows, mut outcomes) = (Vec::new(), Vec::new());
        for file in &self.files {
            let read = read(file).and_then(|json| run_file(file, &json));
            for (name, problem) in read.map_err(|problem| Failure::general(format!("`{}`: {problem}", file.display())).with_code(2))? {
                let result = if problem.is_none() { "ok" } else { "FAILED" };
                let place = file.display().to_string();
                rows.push(vec![place.clone(), name.clone(), result.to_owned(), problem.clone().unwrap_or_default()]);
                outcomes.push(Outcome { file: place, name, problem, level: "error", line: None });
            }
        }
        self.output.print(&["file", "test", "result", "problem"], &rows, &outcomes)?;
        if outcomes.iter().any(|outcome| outcome.problem.is_some()) { Err(Failure::general(String::new()).with_code(3)) } else { Ok(()) }
    }
}

type Problem = String;

fn read(path: &Path) -> Result<Json, Problem> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > FILE_BYTES_MAX {
        return Err("the file is too large".to_owned());
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    if let Ok(json) = serde_json::from_str(&text) {
        return Ok(json);
    }
    yaml(&text)
}

/// YAML as JSON. The reader refuses repeated keys, and bounds nesting and repetition.
fn yaml(text: &str) -> Result<Json, Problem> {
    let read: serde_norway::Value = serde_norway::from_str(text).map_err(|error| format!("neither JSON nor YAML: {error}"))?;
    serde_json::to_value(read).map_err(|error| error.to_string())
}

/// Names of tests with what is wrong.
fn run_file(file: &Path, json: &Json) -> Result<Vec<(String, Option<String>)>, Problem> {
    let folder = file.parent().unwrap_or_else(|| Path::new("."));
    known(json, &["policies", "principal", "resourceAccount", "tests"])?;
    let policies = policies(folder, json.get("policies").unwrap_or(&Json::Null))?;
    let tests = json.get("tests").and_then(Json::as_array).ok_or("`tests` is missing")?;
    tests
        .iter()
        .enumerate()
        .map(|(at, test)| {
            let name = test.get("name").and_then(Json::as_str).map_or_else(|| format!("test {}", at + 1), str::to_owned);
            let problem = run_test(json, test, &policies).map_err(|problem| format!("{name}: {problem}"))?;
            Ok((name, problem))
        })
        .collect()
}

/// A misspelt member must not silently mean nothing.
fn known(json: &Json, names: &[&str]) -> Result<(), Problem> {
    let members = json.as_object().ok_or("an object is expected")?;
    match members.keys().find(|name| !names.contains(&name.as_str())) {
        Some(name) => Err(format!("unknown member `{name}`")),
        None => Ok(()),
    }
}

fn policy(folder: &Path, json: &Json, kind: PolicyKind) -> Result<Attached, Problem> {
    let (id, text) = match json {
        Json::String(path) => {
            let text =
                std::fs::read_to_string(folder.join(path)).map_err(|error| format!("the policy `{path}` cannot be read: {error}"))?;
            (path.clone(), text)
        }
        Json::Object(_) => ("document".to_owned(), json.to_string()),
        _ => return Err("a policy is a file name or a document".to_owned()),
    };
    let policy = Policy::parse_stored(&text, kind);
    match policy.problem() {
        None => Ok(Attached::new(id, PolicySource::None, Arc::new(policy))),
        Some(problem) => Err(format!("the policy `{id}` cannot be read: {problem}")),
    }
}

fn list(json: Option<&Json>) -> Vec<&Json> {
    match json {
        None | Some(Json::Null) => Vec::new(),
        Some(Json::Array(items)) => items.iter().collect(),
        Some(one) => vec![one],
    }
}

fn policies(folder: &Path, json: &Json) -> Result<PolicySet, Problem> {
    if json.is_null() {
        return Ok(PolicySet::default());
    }
    known(json, &["identity", "boundary", "session", "scp", "rcp", "resource", "trust", "key", "endpoint"])?;
    let all = |name: &str, kind: PolicyKind| -> Result<Vec<Attached>, Problem> {
        list(json.get(name)).into_iter().map(|one| policy(folder, one, kind)).collect()
    };
    let levels = |name: &str, kind: PolicyKind| -> Result<Vec<Vec<Attached>>, Problem> {
        list(json.get(name)).into_iter().map(|level| list(Some(level)).into_iter().map(|one| policy(folder, one, kind)).collect()).collect()
    };
    let resource =
        [("resource", PolicyKind::Resource(ResourceKind::Standard)), ("trust", PolicyKind::Trust), ("key", PolicyKind::KeyPolicy)];
    let mut set = PolicySet {
        identity: all("identity", PolicyKind::Identity)?,
        boundary: all("boundary", PolicyKind::Boundary)?.pop(),
        session: json.get("session").map(|_| all("session", PolicyKind::Session)).transpose()?,
        vpc_endpoint: all("endpoint", PolicyKind::VpcEndpoint)?.pop(),
        service_control: json.get("scp").map(|_| levels("scp", PolicyKind::ServiceControl)).transpose()?,
        resource_control: levels("rcp", PolicyKind::ResourceControl)?,
        ..PolicySet::default()
    };
    for (name, kind) in resource {
        if let Some(attached) = all(name, kind)?.pop() {
            set.resource = ResourcePolicy::new(attached);
        }
    }
    Ok(set)
}

/// The caller that an ARN names.
fn principal(arn: &str) -> Result<Principal, Problem> {
    if arn == "*" {
        return Ok(Principal::anonymous());
    }
    if !arn.starts_with("arn:") {
        return Ok(Principal::unaccounted(PrincipalKind::Service { name: arn.to_owned() }));
    }
    let account = ::policy::account_of(arn).ok_or_else(|| format!("`{arn}` names no account"))?;
    let resource = ::policy::resource_of(arn).unwrap_or_default();
    let kind = match resource.split('/').next().unwrap_or_default() {
        "root" => PrincipalKind::Root,
        "user" => PrincipalKind::User,
        "assumed-role" => {
            let name = resource.split('/').nth(1).unwrap_or_default();
            PrincipalKind::RoleSession { role_arn: format!("arn:aws:iam::{account}:role/{name}") }
        }
        "role" => {
            let name = resource.rsplit('/').next().unwrap_or_default();
            let session = format!("arn:aws:sts::{account}:assumed-role/{name}/session");
            return Ok(Principal::new(PrincipalKind::RoleSession { role_arn: arn.to_owned() }, account, session));
        }
        _ => return Err(format!("`{arn}` is no principal")),
    };
    Ok(Principal::new(kind, account, arn))
}

fn policy_type(name: &str) -> Option<PolicyType> {
    Some(match name {
        "identity" => PolicyType::Identity,
        "boundary" => PolicyType::Boundary,
        "session" => PolicyType::Session,
        "scp" => PolicyType::ServiceControl,
        "rcp" => PolicyType::ResourceControl,
        "resource" | "key" => PolicyType::Resource,
        "trust" => PolicyType::Trust,
        "endpoint" => PolicyType::VpcEndpoint,
        _ => return None,
    })
}

fn run_test(file: &Json, test: &Json, policies: &PolicySet) -> Result<Option<String>, Problem> {
    known(
        test,
        &[
            "name",
            "principal",
            "action",
            "resource",
            "resourceAccount",
            "resourceTags",
            "principalTags",
            "requestTags",
            "context",
            "expect",
            "by",
        ],
    )?;
    let field = |name: &str| test.get(name).or_else(|| file.get(name)).and_then(Json::as_str);
    let mut principal = principal(field("principal").ok_or("`principal` is missing")?)?;
    principal.tags = tags(test.get("principalTags"))?;
    let resource_arn = field("resource").unwrap_or("*");
    let owner =
        field("resourceAccount").or_else(|| ::policy::account_of(resource_arn)).map(str::to_owned).or_else(|| principal.account.clone());
    let resource = Resource { arn: resource_arn.to_owned(), account: owner, tags: tags(test.get("resourceTags"))?, aws_managed_key: false };
    let action = field("action").ok_or("`action` is missing")?;
    let mut check = Check::new(action, resource);
    check.request_tags = test.get("requestTags").map(|json| tags(Some(json))).transpose()?;
    let context = context(test.get("context"))?;
    let decision = ::policy::decide(&principal, &check, policies, &context, None);
    let actual = match (decision.allowed, decision.explicit) {
        (true, _) => "allowed",
        (false, Some(true)) => "explicitDeny",
        (false, _) => "implicitDeny",
    };
    let expected = test.get("expect").and_then(Json::as_str).ok_or("`expect` is missing")?;
    let met = match expected {
        "denied" => !decision.allowed,
        "allowed" | "explicitDeny" | "implicitDeny" => actual == expected,
        _ => return Err(format!("`expect` cannot be `{expected}`")),
    };
    let why = || if decision.allowed { String::new() } else { format!(": {}", decision.message(&principal.arn, action, resource_arn)) };
    if !met {
        return Ok(Some(format!("expected {expected}, but it is {actual}{}", why())));
    }
    let Some(by) = test.get("by").and_then(Json::as_str) else { return Ok(None) };
    let wanted = policy_type(by).ok_or_else(|| format!("`by` cannot be `{by}`"))?;
    let named = decision.denied_by.contains(&wanted);
    Ok((!named).then(|| format!("expected the denial to be by {by}{}", why())))
}

fn tags(json: Option<&Json>) -> Result<Vec<(String, String)>, Problem> {
    let Some(json) = json else { return Ok(Vec::new()) };
    let members = json.as_object().ok_or("tags are an object")?;
    members.iter().map(|(key, value)| Ok((key.clone(), scalar(value)?))).collect()
}

fn scalar(json: &Json) -> Result<String, Problem> {
    match json {
        Json::String(text) => Ok(text.clone()),
        Json::Number(number) => Ok(number.to_string()),
        Json::Bool(value) => Ok(value.to_string()),
        _ => Err("a text, number or boolean is expected".to_owned()),
    }
}

fn context(json: Option<&Json>) -> Result<MapContext, Problem> {
    let mut context = MapContext::new();
    let Some(json) = json else { return Ok(context) };
    for (key, value) in json.as_object().ok_or("`context` is an object")? {
        match value {
            Json::Array(values) => context.set_many(key, values.iter().map(scalar).collect::<Result<Vec<_>, _>>()?),
            one => context.set(key, scalar(one)?),
        };
    }
    Ok(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
policies:
  identity:
    - Version: "2012-10-17"
      Statement: { Effect: Allow, Action: "s3:*", Resource: "*" }
  scp:
    - - Version: "2012-10-17"
        Statement:
          - { Effect: Allow, Action: "*", Resource: "*" }
          - Effect: Deny
            Action: "s3:Delete*"
            Resource: "*"
            Condition: { StringNotEquals: { "aws:SourceVpc": vpc-1 } }
principal: arn:aws:iam::111111111111:user/ana
tests:
  - { name: reads, action: "s3:GetObject", resource: "arn:aws:s3:::b/k", expect: allowed }
  - { name: deletes, action: "s3:DeleteObject", resource: "arn:aws:s3:::b/k", expect: explicitDeny, by: scp }
  - { name: deletes inside, action: "s3:DeleteObject", resource: "arn:aws:s3:::b/k", context: { "aws:SourceVpc": vpc-1 }, expect: allowed }
  - { name: wrong, action: "ec2:RunInstances", expect: allowed }
  - { name: other type, action: "ec2:RunInstances", expect: denied, by: scp }
"#;

    fn parsed(text: &str) -> Json {
        yaml(text).unwrap()
    }

    #[test]
    fn expectations() {
        let results = run_file(Path::new("x.yaml"), &parsed(FILE)).unwrap();
        let failed: Vec<&str> = results.iter().filter(|(_, problem)| problem.is_some()).map(|(name, _)| name.as_str()).collect();
        assert_eq!(failed, ["wrong", "other type"]);
    }

    #[test]
    fn mistakes_are_no_silent_success() {
        for (from, to) in
            [("expect: allowed }", "expects: allowed }"), ("by: scp", "by: spc"), ("tests:", "test:"), ("expect: allowed", "expect: maybe")]
        {
            assert!(run_file(Path::new("x.yaml"), &parsed(&FILE.replacen(from, to, 1))).is_err(), "{to}");
        }
    }
}
