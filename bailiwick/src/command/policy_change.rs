//! `bailiwick policy put`, `attach`, `detach` and `delete`: changes of policies by the ordinary API, and with `--dry-run` what each would do to the
//! calls of the past.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};
use wire::{Struct, Value};

use super::diff_access::read_text;
use super::output::{self, Format};
use super::replay::{self, duration_ms};
use super::running::{CredentialsSource, Running};
use super::{Failure, Settings};

/// What every change has.
#[derive(clap::Args)]
pub struct How {
    /// Change nothing; show which recorded calls would be decided otherwise. Exit code 3 if there is one.
    #[arg(long)]
    dry_run: bool,
    /// How far back the dry run looks: `30d`, `12h`, `45m`.
    #[arg(long, default_value = "30d", value_parser = duration_ms, requires = "dry_run")]
    since: i64,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    credentials: CredentialsSource,
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// A user, a group or a role.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
pub struct Holder {
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
}

/// A user or a role.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
pub struct Bounded {
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
}

/// Whom or what a policy is attached to.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
pub struct Holding {
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
    /// Root, unit or account of the organization, for its policies.
    #[arg(long, value_name = "ID")]
    target: Option<String>,
}

/// Write a policy.
#[derive(clap::Subcommand)]
pub enum Put {
    /// An inline policy of a user, group or role.
    Inline {
        #[command(flatten)]
        holder: Holder,
        /// Name of the policy.
        #[arg(long)]
        name: String,
        /// File of the policy; `-` is standard input.
        #[arg(long, value_name = "FILE")]
        policy: PathBuf,
        #[command(flatten)]
        how: How,
    },
    /// A managed policy: a new version, which becomes the default.
    Managed {
        /// ARN of the policy.
        arn: String,
        #[arg(long, value_name = "FILE")]
        policy: PathBuf,
        #[command(flatten)]
        how: How,
    },
    /// A permissions boundary: a managed policy, by its ARN.
    Boundary {
        #[command(flatten)]
        holder: Bounded,
        #[arg(long)]
        arn: String,
        #[command(flatten)]
        how: How,
    },
    /// A role's trust policy.
    Trust {
        #[arg(long, value_name = "NAME")]
        role: String,
        #[arg(long, value_name = "FILE")]
        policy: PathBuf,
        #[command(flatten)]
        how: How,
    },
    /// The text of a service control policy of the organization.
    Scp {
        /// Such as `p-examplepolicyid111`.
        id: String,
        #[arg(long, value_name = "FILE")]
        policy: PathBuf,
        #[command(flatten)]
        how: How,
    },
    /// The text of a resource control policy of the organization.
    Rcp {
        id: String,
        #[arg(long, value_name = "FILE")]
        policy: PathBuf,
        #[command(flatten)]
        how: How,
    },
    /// The policy of a KMS key, in the home region unless told otherwise.
    Key {
        /// ARN or id of the key.
        id: String,
        #[arg(long, value_name = "FILE")]
        policy: PathBuf,
        #[command(flatten)]
        how: How,
    },
    /// The policy of a bucket.
    Bucket {
        name: String,
        #[arg(long, value_name = "FILE")]
        policy: PathBuf,
        #[command(flatten)]
        how: How,
    },
}

/// Attach a managed policy, or a policy of the organization (`p-...`).
#[derive(clap::Args)]
pub struct Attach {
    /// ARN of a managed policy, id of a policy of the organization.
    policy: String,
    #[command(flatten)]
    target: Holding,
    #[command(flatten)]
    how: How,
}

/// Detach a managed policy, or a policy of the organization (`p-...`).
#[derive(clap::Args)]
pub struct Detach {
    policy: String,
    #[command(flatten)]
    target: Holding,
    #[command(flatten)]
    how: How,
}

/// Take a policy away.
#[derive(clap::Subcommand)]
pub enum Delete {
    /// An inline policy of a user, group or role.
    Inline {
        #[command(flatten)]
        holder: Holder,
        #[arg(long)]
        name: String,
        #[command(flatten)]
        how: How,
    },
    /// A permissions boundary.
    Boundary {
        #[command(flatten)]
        holder: Bounded,
        #[command(flatten)]
        how: How,
    },
    /// The policy of a bucket.
    Bucket {
        name: String,
        #[command(flatten)]
        how: How,
    },
}

/// The operation that makes a change.
struct Operation {
    service: &'static str,
    name: String,
    input: Vec<(&'static str, Json)>,
}

/// `User` and the like, the member that names it, and the name.
type Named = (&'static str, &'static str, String);

fn named(user: Option<String>, group: Option<String>, role: Option<String>) -> Option<Named> {
    let user = user.map(|name| ("User", "UserName", name));
    let group = group.map(|name| ("Group", "GroupName", name));
    user.or(group).or(role.map(|name| ("Role", "RoleName", name)))
}

fn nobody() -> Failure {
    Failure::general("name a user, a group or a role").with_code(2)
}

fn policy_text(path: &Path) -> Result<Json, Failure> {
    read_text(path).map(Json::String)
}

impl Holder {
    fn name(self) -> Result<Named, Failure> {
        named(self.user, self.group, self.role).ok_or_else(nobody)
    }
}

impl Bounded {
    fn name(self) -> Result<Named, Failure> {
        named(self.user, None, self.role).ok_or_else(nobody)
    }
}

impl Holding {
    /// `AttachUserPolicy` and the like.
    fn operation(self, verb: &str, policy: String) -> Result<Operation, Failure> {
        if let Some(target) = self.target {
            let input = vec![("PolicyId", json!(policy)), ("TargetId", json!(target))];
            return Ok(Operation { service: "organizations", name: format!("{verb}Policy"), input });
        }
        let (kind, member, name) = named(self.user, self.group, self.role).ok_or_else(nobody)?;
        let input = vec![(member, json!(name)), ("PolicyArn", json!(policy))];
        Ok(Operation { service: "iam", name: format!("{verb}{kind}Policy"), input })
    }
}

fn iam(name: String, input: Vec<(&'static str, Json)>) -> Operation {
    Operation { service: "iam", name, input }
}

fn organization_policy(id: String, policy: &Path) -> Result<Operation, Failure> {
    let input = vec![("PolicyId", json!(id)), ("Content", policy_text(policy)?)];
    Ok(Operation { service: "organizations", name: "UpdatePolicy".to_owned(), input })
}

impl Put {
    fn operation(self) -> Result<(Operation, How), Failure> {
        Ok(match self {
            Self::Inline { holder, name, policy, how } => {
                let (kind, member, holder) = holder.name()?;
                let input = vec![(member, json!(holder)), ("PolicyName", json!(name)), ("PolicyDocument", policy_text(&policy)?)];
                (iam(format!("Put{kind}Policy"), input), how)
            }
            Self::Managed { arn, policy, how } => {
                let input = vec![("PolicyArn", json!(arn)), ("PolicyDocument", policy_text(&policy)?), ("SetAsDefault", json!(true))];
                (iam("CreatePolicyVersion".to_owned(), input), how)
            }
            Self::Boundary { holder, arn, how } => {
                let (kind, member, holder) = holder.name()?;
                let input = vec![(member, json!(holder)), ("PermissionsBoundary", json!(arn))];
                (iam(format!("Put{kind}PermissionsBoundary"), input), how)
            }
            Self::Trust { role, policy, how } => {
                let input = vec![("RoleName", json!(role)), ("PolicyDocument", policy_text(&policy)?)];
                (iam("UpdateAssumeRolePolicy".to_owned(), input), how)
            }
            Self::Scp { id, policy, how } | Self::Rcp { id, policy, how } => (organization_policy(id, &policy)?, how),
            Self::Key { id, policy, how } => {
                let input = vec![("KeyId", json!(id)), ("PolicyName", json!("default")), ("Policy", policy_text(&policy)?)];
                (Operation { service: "kms", name: "PutKeyPolicy".to_owned(), input }, how)
            }
            Self::Bucket { name, policy, how } => {
                let input = vec![("Bucket", json!(name)), ("Policy", policy_text(&policy)?)];
                (Operation { service: "s3", name: "PutBucketPolicy".to_owned(), input }, how)
            }
        })
    }

    pub async fn run(self) -> Result<(), Failure> {
        let (operation, how) = self.operation()?;
        how.run(operation).await
    }
}

impl Delete {
    fn operation(self) -> Result<(Operation, How), Failure> {
        Ok(match self {
            Self::Inline { holder, name, how } => {
                let (kind, member, holder) = holder.name()?;
                (iam(format!("Delete{kind}Policy"), vec![(member, json!(holder)), ("PolicyName", json!(name))]), how)
            }
            Self::Boundary { holder, how } => {
                let (kind, member, holder) = holder.name()?;
                (iam(format!("Delete{kind}PermissionsBoundary"), vec![(member, json!(holder))]), how)
            }
            Self::Bucket { name, how } => {
                (Operation { service: "s3", name: "DeleteBucketPolicy".to_owned(), input: vec![("Bucket", json!(name))] }, how)
            }
        })
    }

    pub async fn run(self) -> Result<(), Failure> {
        let (operation, how) = self.operation()?;
        how.run(operation).await
    }
}

impl Attach {
    pub async fn run(self) -> Result<(), Failure> {
        self.how.run(self.target.operation("Attach", self.policy)?).await
    }
}

impl Detach {
    pub async fn run(self) -> Result<(), Failure> {
        self.how.run(self.target.operation("Detach", self.policy)?).await
    }
}

fn typed(json: &Json) -> Value {
    match json {
        Json::Bool(value) => Value::Bool(*value),
        other => Value::Str(other.as_str().unwrap_or_default().to_owned()),
    }
}

impl How {
    async fn run(self, operation: Operation) -> Result<(), Failure> {
        let config = self.settings.resolve()?;
        let client = Running::read(&config.data_dir)?.client()?;
        let credentials = self.credentials.read()?;
        if self.dry_run {
            let input: Map<String, Json> = operation.input.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let change = json!({ "service": operation.service, "operation": operation.name, "input": input });
            let mut input = Struct::new();
            input.set("Change", Value::Document(change));
            input.set("Since", Value::Int(replay::since(self.since)));
            return replay::show(&client, &credentials, input, self.output).await;
        }
        let mut input = Struct::new();
        for (name, value) in &operation.input {
            input.set(name, typed(value));
        }
        client.call_named(&credentials, operation.service, &operation.name, &Value::Struct(input)).await?;
        output::line(&format!("{}:{} is done", operation.service, operation.name))
    }
}
