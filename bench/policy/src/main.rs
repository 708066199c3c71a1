//! Decisions beside those of Cedar, on policies that say the same, in one run.
//!
//! `cargo xtask bench --policy` builds and runs this. Each figure is the median of rounds, each round the mean of many calls.

use std::hint::black_box;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cedar_policy::{Authorizer, Context, Entities, EntityUid, Request};
use policy::{
    Attached, Check, MapContext, Policy, PolicyKind, PolicySet, PolicySource, Principal, PrincipalKind, Resource, ResourceKind,
    ResourcePolicy,
};
use serde_json::{Value, json};

const ROUNDS: usize = 31;
const ACCOUNT: &str = "111122223333";

fn main() {
    // First, while the memory of the process is all its own.
    load();
    println!("| decision | median µs | p99 of rounds µs | Cedar median µs | times |");
    println!("|---|---:|---:|---:|---:|");
    for (name, shape) in [
        ("10 statements, the last one allows", Shape { matching: 10, other: 0 }),
        ("100 statements of the same action, other resources", Shape { matching: 100, other: 0 }),
        ("1,000 statements of the same action, other resources", Shape { matching: 1_000, other: 0 }),
        ("10 of the action and 990 of others", Shape { matching: 10, other: 990 }),
        ("10 of the action and 4,990 of others", Shape { matching: 10, other: 4_990 }),
    ] {
        let (ours, worst) = shape.bailiwick();
        let cedar = shape.cedar();
        println!("| {name} | {} | {} | {} | {:.0} |", micros(ours), micros(worst), micros(cedar), cedar.as_secs_f64() / ours.as_secs_f64());
    }
    let (whole, worst) = whole();
    println!(
        "| all policy types: 10 identity statements, 3 levels of SCPs, boundary, session and bucket policy | {} | {} | | |",
        micros(whole),
        micros(worst)
    );
}

fn micros(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1e6)
}

/// Median and 99th percentile of the rounds.
fn measure(calls: u32, mut call: impl FnMut()) -> (Duration, Duration) {
    let mut rounds: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            (0..calls).for_each(|_| call());
            begun.elapsed() / calls
        })
        .collect();
    rounds.sort_unstable();
    (rounds[ROUNDS / 2], rounds[ROUNDS - 1])
}

/// So many statements about the action that is asked for, each for another bucket, the last for the right one; and so many about
/// other actions.
struct Shape {
    matching: usize,
    other: usize,
}

impl Shape {
    fn bailiwick(&self) -> (Duration, Duration) {
        let matching = (1..=self.matching).map(|at| {
            json!({ "Effect": "Allow", "Action": "s3:GetObject", "Resource": format!("arn:aws:s3:::bucket-{at}/*"),
                "Condition": { "IpAddress": { "aws:SourceIp": "10.0.0.0/8" }, "Bool": { "aws:SecureTransport": "true" } } })
        });
        let others = (0..self.other).map(|at| {
            json!({ "Effect": "Allow", "Action": format!("service{}:Action{at}", at % 40), "Resource": "*",
                "Condition": { "IpAddress": { "aws:SourceIp": "10.0.0.0/8" }, "Bool": { "aws:SecureTransport": "true" } } })
        });
        let statements: Vec<Value> = others.chain(matching).collect();
        let identity = vec![attached(&json!({ "Version": "2012-10-17", "Statement": statements }), PolicyKind::Identity)];
        let policies = PolicySet { identity, ..PolicySet::default() };
        let (principal, context) = (principal(), context());
        let check = check(&format!("arn:aws:s3:::bucket-{}/weights/part-0001", self.matching));
        assert!(policy::decide(&principal, &check, &policies, &context, None).allowed);
        measure(20_000, || {
            black_box(policy::decide(black_box(&principal), black_box(&check), black_box(&policies), &context, None));
        })
    }

    fn cedar(&self) -> Duration {
        let condition = r#"context.ip.isInRange(ip("10.0.0.0/8")) && context.tls"#;
        let matching = (1..=self.matching).map(|at| {
            format!(
                r#"permit(principal == User::"ana", action == Action::"s3:GetObject", resource) when {{ context.arn like "arn:aws:s3:::bucket-{at}/*" && {condition} }};"#
            )
        });
        let others = (0..self.other).map(|at| {
            format!(
                r#"permit(principal == User::"ana", action == Action::"service{}:Action{at}", resource) when {{ {condition} }};"#,
                at % 40
            )
        });
        let text: String = others.chain(matching).collect();
        let policies = cedar_policy::PolicySet::from_str(&text).unwrap();
        let uid = |text: &str| EntityUid::from_str(text).unwrap();
        let context = Context::from_json_value(
            json!({ "arn": format!("arn:aws:s3:::bucket-{}/weights/part-0001", self.matching), "tls": true,
                "ip": { "__extn": { "fn": "ip", "arg": "10.1.2.3" } } }),
            None,
        )
        .unwrap();
        let request = Request::new(uid(r#"User::"ana""#), uid(r#"Action::"s3:GetObject""#), uid(r#"Object::"o""#), context, None).unwrap();
        let (authorizer, entities) = (Authorizer::new(), Entities::empty());
        assert_eq!(authorizer.is_authorized(&request, &policies, &entities).decision(), cedar_policy::Decision::Allow);
        let calls = u32::try_from(20_000 / (self.matching + self.other)).unwrap().max(3);
        measure(calls, || {
            black_box(authorizer.is_authorized(black_box(&request), black_box(&policies), &entities));
        })
        .0
    }
}

fn attached(document: &Value, kind: PolicyKind) -> Attached {
    let policy = Policy::parse_stored(&document.to_string(), kind);
    assert_eq!(policy.problem(), None);
    Attached::new("policy", PolicySource::User, Arc::new(policy))
}

fn principal() -> Principal {
    Principal::new(PrincipalKind::User, ACCOUNT, format!("arn:aws:iam::{ACCOUNT}:user/ana"))
}

fn context() -> MapContext {
    let mut context = MapContext::new();
    for at in 0..13 {
        context.set(&format!("s3:key-{at}"), "value");
    }
    context.set("aws:SourceIp", "10.1.2.3").set("aws:SecureTransport", "true").set("aws:RequestedRegion", "eu-central-1");
    context
}

fn check(arn: &str) -> Check {
    Check::new("s3:GetObject", Resource { arn: arn.to_owned(), account: Some(ACCOUNT.to_owned()), ..Resource::default() })
}

/// Everything that a call may meet, from the handing over of the parts to the decision: what the server does for each call.
fn whole() -> (Duration, Duration) {
    let allow = |action: &str| json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": action, "Resource": "*" }] });
    let statements: Vec<Value> = (0..10)
        .map(|at| {
            json!({ "Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": format!("arn:aws:s3:::bucket-{at}/*"),
            "Condition": { "StringEquals": { "aws:RequestedRegion": "eu-central-1" }, "IpAddress": { "aws:SourceIp": "10.0.0.0/8" } } })
        })
        .collect();
    let lockdown = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Deny", "NotAction": ["iam:*", "sts:*"], "Resource": "*",
        "Condition": { "StringNotEquals": { "aws:RequestedRegion": ["eu-central-1", "eu-west-1"] } } }] });
    let bucket = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::bucket-9/*", "Condition": { "Bool": { "aws:SecureTransport": "false" } } },
        { "Effect": "Allow", "Principal": { "AWS": format!("arn:aws:iam::{ACCOUNT}:root") }, "Action": "s3:Get*", "Resource": "arn:aws:s3:::bucket-9/*" }] });
    let full = attached(&allow("*"), PolicyKind::ServiceControl);
    let level = vec![full.clone(), attached(&lockdown, PolicyKind::ServiceControl)];
    let policies = PolicySet {
        identity: vec![attached(&json!({ "Version": "2012-10-17", "Statement": statements }), PolicyKind::Identity)],
        boundary: Some(attached(&allow("s3:*"), PolicyKind::Boundary)),
        session: Some(vec![attached(&allow("s3:Get*"), PolicyKind::Session)]),
        service_control: Some(vec![level, vec![full.clone()], vec![full]]),
        resource: ResourcePolicy::Standard(attached(&bucket, PolicyKind::Resource(ResourceKind::S3Bucket))),
        ..PolicySet::default()
    };
    let context = context();
    let decide = || {
        // The server hands over what it has cached: copies of references, and a question of its own.
        let (principal, check, policies) = (principal(), check("arn:aws:s3:::bucket-9/weights/part-0001"), policies.clone());
        policy::decide(&principal, &check, &policies, &context, None)
    };
    assert!(decide().allowed);
    measure(5_000, || {
        black_box(decide());
    })
}

/// 10,000 policies of three statements, and 100,000 principals to each of which five are attached.
fn load() {
    let texts: Vec<String> = (0..10_000)
        .map(|at| {
            json!({ "Version": "2012-10-17", "Statement": [
                { "Sid": "Read", "Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": [format!("arn:aws:s3:::team-{at}"), format!("arn:aws:s3:::team-{at}/*")] },
                { "Sid": "Keys", "Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*", "Condition": { "StringEquals": { "aws:ResourceTag/team": format!("team-{at}") } } },
                { "Sid": "NoDelete", "Effect": "Deny", "Action": "s3:Delete*", "Resource": "*", "Condition": { "Bool": { "aws:MultiFactorAuthPresent": "false" } } },
            ] })
            .to_string()
        })
        .collect();
    let before = resident_kib();
    let begun = Instant::now();
    let policies: Vec<Attached> = texts
        .iter()
        .enumerate()
        .map(|(at, text)| {
            let policy = Arc::new(Policy::parse_stored(text, PolicyKind::Identity));
            Attached::new(format!("arn:aws:iam::{ACCOUNT}:policy/team-{at}"), PolicySource::UserManaged, policy)
        })
        .collect();
    let compiled = begun.elapsed();
    let principals: Vec<(Principal, PolicySet)> = (0..100_000)
        .map(|at| {
            let identity = (0..5).filter_map(|more| policies.get((at * 7 + more * 1_999) % policies.len()).cloned()).collect();
            let principal = Principal::new(PrincipalKind::User, ACCOUNT, format!("arn:aws:iam::{ACCOUNT}:user/person-{at}"));
            (principal, PolicySet { identity, ..PolicySet::default() })
        })
        .collect();
    let (loaded, after) = (begun.elapsed(), resident_kib());
    black_box(&principals);
    let again: Vec<Policy> = texts.iter().cycle().take(100_000).map(|text| Policy::parse_stored(text, PolicyKind::Identity)).collect();
    let each = (resident_kib() - after) as f64 / again.len() as f64;
    println!("| load | |");
    println!("|---|---:|");
    println!("| 10,000 policies compiled | {:.2} s |", compiled.as_secs_f64());
    println!("| and 100,000 principals with five of them each | {:.2} s |", loaded.as_secs_f64());
    println!("| memory of both | {} MiB |", (after - before) / 1024);
    println!("| memory of a compiled policy (three statements, {} bytes of text) | {each:.1} KiB |\n", texts[0].len());
}

/// Resident memory of this process.
fn resident_kib() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}
