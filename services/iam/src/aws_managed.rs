//! The managed policies that every account has (`arn:aws:iam::aws:policy/...`), with the documents that AWS gives them.
//!
//! A policy of AWS's name that allowed more or less than AWS's would be worse than none, so they are carried as they are (NOTICE names the source),
//! each in its newest version. They are unpacked when the first one is asked for.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::LazyLock;

use flate2::read::GzDecoder;
use serde::Deserialize;

/// One policy a line, in order of their names: what is known of it, a tab, and its document.
const PACKED: &[u8] = include_bytes!("../data/aws_managed_policies.gz");

/// A managed policy that cannot be changed.
#[derive(Debug, Deserialize)]
pub struct AwsManagedPolicy {
    pub name: &'static str,
    /// AWS's where it is known, else made of the name.
    pub id: &'static str,
    pub path: &'static str,
    /// Number of the version in force, the only one that is known.
    pub version: u32,
    /// Milliseconds since 1970.
    pub created_ms: i64,
    pub updated_ms: i64,
    #[serde(skip)]
    document: &'static str,
}

impl AwsManagedPolicy {
    pub fn arn(&self) -> String {
        crate::identifier::arn("aws", "policy", self.path, self.name)
    }

    pub fn document(&self) -> &'static str {
        self.document
    }
}

struct Library {
    policies: Vec<AwsManagedPolicy>,
    /// Places by ARN.
    places: HashMap<String, usize>,
}

static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
    let mut text = String::new();
    // The tests unpack and read every one.
    let _ = GzDecoder::new(PACKED).read_to_string(&mut text);
    let text: &'static str = text.leak();
    let policies: Vec<AwsManagedPolicy> = text.lines().filter_map(parse).collect();
    let places = policies.iter().enumerate().map(|(place, policy)| (policy.arn(), place)).collect();
    Library { policies, places }
});

fn parse(line: &'static str) -> Option<AwsManagedPolicy> {
    let (head, document) = line.split_once('\t')?;
    Some(AwsManagedPolicy { document, ..serde_json::from_str(head).ok()? })
}

/// All of them, in order of their names.
pub fn all() -> &'static [AwsManagedPolicy] {
    &LIBRARY.policies
}

/// Whether the ARN is of a policy for sessions of `AssumeRoot`.
pub fn is_root_task(arn: &str) -> bool {
    find(arn).is_some_and(|policy| policy.path == "/root-task/")
}

/// The policy with this ARN.
pub fn find(arn: &str) -> Option<&'static AwsManagedPolicy> {
    // Nobody else's policies are worth the unpacking.
    if !arn.contains("::aws:policy/") {
        return None;
    }
    LIBRARY.places.get(arn).and_then(|place| LIBRARY.policies.get(*place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::{Policy, PolicyKind};

    #[test]
    fn each_is_a_policy_and_they_are_in_order() {
        assert_eq!(all().len(), 1582);
        for managed in all() {
            let policy = Policy::parse_stored(managed.document(), PolicyKind::Identity);
            assert_eq!(policy.problem(), None, "{}", managed.name);
            assert_eq!(managed.id.len(), 21);
            assert!(managed.version > 0 && managed.created_ms > 0 && managed.updated_ms >= managed.created_ms, "{}", managed.name);
        }
        assert!(all().is_sorted_by(|one, next| one.name < next.name));
        assert!(find("arn:aws:iam::aws:policy/AdministratorAccess").is_some());
        assert!(find("arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole").is_some());
        assert!(find("arn:aws:iam::aws:policy/AWSLambdaBasicExecutionRole").is_none());
        assert!(find("arn:aws:iam::111111111111:policy/AdministratorAccess").is_none());
        assert!(is_root_task("arn:aws:iam::aws:policy/root-task/S3UnlockBucketPolicy"));
    }
}
