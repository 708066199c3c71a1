//! From declarations and an input to the ARNs that a call is checked against.

use std::borrow::Cow;

use crate::authorization::{Authorization, ResourceBinding, VariableBinding};

/// Where a call is made; fills `${Partition}`, `${Region}` and `${Account}`.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub partition: &'a str,
    pub region: &'a str,
    pub account: &'a str,
}

/// A resource that an authorization is checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub resource_type: &'static str,
    /// Condition keys that the resource type supports.
    pub condition_keys: &'static [&'static str],
    /// A part that the input does not tell is `*`.
    pub arn: String,
}

/// One batch may name this many resources; more are refused by [`Authorization::targets`] giving `None`.
pub const TARGETS_MAX: usize = 10_000;

impl Authorization {
    /// The resources of this call; empty means `*`, `None` that the input names more than [`TARGETS_MAX`].
    ///
    /// `input` gives the texts at a path of input members: none when absent, several when a list is on the way.
    /// Bindings that read the same members are alternatives: a whole ARN picks the one whose template it matches, another
    /// identifier the first. An ARN that matches none stands for itself, so that no policy can be passed by odd spelling.
    pub fn targets(&'static self, place: Place<'_>, input: &dyn Fn(&str) -> Vec<String>) -> Option<Vec<Target>> {
        let mut groups: Vec<Vec<&'static ResourceBinding>> = Vec::new();
        for binding in &self.resources {
            let same = |group: &&mut Vec<&'static ResourceBinding>| group.first().is_some_and(|first| reads_same(first, binding));
            match groups.iter_mut().find(same) {
                Some(group) => group.push(binding),
                None => groups.push(vec![binding]),
            }
        }
        let mut targets = Vec::new();
        for group in groups {
            resolve(&group, place, input, &mut targets)?;
        }
        Some(targets)
    }
}

/// Alternatives read the same, known members.
fn reads_same(one: &ResourceBinding, other: &ResourceBinding) -> bool {
    let members = |binding: &ResourceBinding| {
        let mut members: Vec<_> = binding.variables.iter().map(|variable| variable.member).collect();
        members.sort_unstable();
        members.dedup();
        members
    };
    let members_of_one = members(one);
    !members_of_one.is_empty() && !members_of_one.contains(&"") && members_of_one == members(other)
}

fn resolve(
    group: &[&'static ResourceBinding],
    place: Place<'_>,
    input: &dyn Fn(&str) -> Vec<String>,
    targets: &mut Vec<Target>,
) -> Option<()> {
    let Some(first) = group.first() else {
        return Some(());
    };
    let columns: Vec<(&VariableBinding, Vec<String>)> =
        first.variables.iter().map(|variable| (variable, texts(variable.member, input))).collect();
    let complete = columns.iter().all(|(_, texts)| !texts.is_empty());
    if !complete && !group.iter().any(|binding| binding.required) {
        return Some(());
    }
    let rows = columns.iter().map(|(_, texts)| texts.len()).max().unwrap_or_default().max(1);
    if targets.len() + rows > TARGETS_MAX {
        return None;
    }
    for row in 0..rows {
        let whole = columns
            .iter()
            .filter(|(variable, _)| variable.may_be_arn)
            .find_map(|(_, texts)| cell(texts, row).filter(|text| text.starts_with("arn:")));
        if let Some(arn) = whole {
            let binding = group.iter().find(|binding| binding.arn.matches(arn)).unwrap_or(first);
            targets.push(target(binding, arn.to_owned()));
            continue;
        }
        let arn = first.arn.fill(|name| match name {
            "Partition" => Cow::Borrowed(place.partition),
            "Region" | "PrimaryRegion" => Cow::Borrowed(place.region),
            "Account" | "AccountId" => Cow::Borrowed(place.account),
            _ => {
                let known = columns.iter().find(|(variable, _)| variable.variable == name).and_then(|(_, texts)| cell(texts, row));
                // The variable says that the slash which precedes it in the template is not repeated.
                let known =
                    known.map(|text| if name.contains("WithoutLeadingSlash") { text.strip_prefix('/').unwrap_or(text) } else { text });
                Cow::Borrowed(known.unwrap_or("*"))
            }
        });
        targets.push(target(first, arn));
    }
    Some(())
}

fn target(binding: &'static ResourceBinding, arn: String) -> Target {
    Target { resource_type: binding.resource_type, condition_keys: &binding.condition_keys, arn }
}

/// One text for all rows, or one for each.
fn cell(texts: &[String], row: usize) -> Option<&str> {
    match texts {
        [only] => Some(only),
        many => many.get(row).map(String::as_str),
    }
}

fn texts(member: &str, input: &dyn Fn(&str) -> Vec<String>) -> Vec<String> {
    let Some((before, name)) = member.rsplit_once('+') else {
        return if member.is_empty() { Vec::new() } else { input(member) };
    };
    let before = input(before).into_iter().next().unwrap_or_default();
    input(name).into_iter().map(|name| format!("{}{name}", before.strip_prefix('/').unwrap_or(&before))).collect()
}

#[cfg(test)]
mod tests {
    use crate::catalog;

    use super::*;

    const PLACE: Place<'static> = Place { partition: "aws", region: "eu-west-1", account: "111122223333" };

    fn arns(service: &str, operation: &str, input: &[(&str, &[&str])]) -> Vec<String> {
        let operation = catalog().service(service).and_then(|service| service.operation(operation)).expect(operation);
        let given = |path: &str| {
            input
                .iter()
                .find(|(name, _)| *name == path)
                .map(|(_, texts)| texts.iter().map(ToString::to_string).collect())
                .unwrap_or_default()
        };
        let targets = operation.authorizations.first().expect("authorized").targets(PLACE, &given).expect("few");
        targets.into_iter().map(|target| format!("{} {}", target.resource_type, target.arn)).collect()
    }

    #[test]
    fn names_become_arns() {
        let path = "arn:aws:sagemaker:eu-west-1:111122223333:endpoint";
        assert_eq!(arns("sagemaker", "DeleteEndpoint", &[("EndpointName", &["live"])]), [format!("endpoint {path}/live")]);
        assert_eq!(arns("s3", "GetObject", &[("Bucket", &["b"]), ("Key", &["/a/b"])]), ["object arn:aws:s3:::b//a/b"]);
    }

    #[test]
    fn a_path_joins_the_name() {
        let user = |path: &[&str]| arns("iam", "CreateUser", &[("Path", path), ("UserName", &["ann"])]);
        assert_eq!(user(&["/team/"]), ["user arn:aws:iam::111122223333:user/team/ann"]);
        assert_eq!(user(&["/"]), ["user arn:aws:iam::111122223333:user/ann"]);
        assert_eq!(user(&[]), ["user arn:aws:iam::111122223333:user/ann"]);
    }

    #[test]
    fn a_required_resource_without_a_name_is_a_pattern() {
        assert_eq!(arns("iam", "GetUser", &[]), ["user arn:aws:iam::111122223333:user/*"]);
    }

    #[test]
    fn an_arn_picks_its_type() {
        let model = |id: &str| arns("bedrock-runtime", "Converse", &[("modelId", &[id])]);
        assert_eq!(model("mistral.large"), ["foundation-model arn:aws:bedrock:eu-west-1::foundation-model/mistral.large"]);
        let profile = "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.mistral";
        assert_eq!(model(profile), [format!("inference-profile {profile}")]);
        let foreign = "arn:aws:s3:::bucket";
        assert_eq!(model(foreign), [format!("foundation-model {foreign}")]);
    }

    #[test]
    fn an_arn_in_the_place_of_a_name_is_the_resource() {
        let foreign = "arn:aws:cloudtrail:us-east-1:444455556666";
        for (operation, member, kind) in [
            ("GetTrail", "Name", "trail"),
            ("GetEventSelectors", "TrailName", "trail"),
            ("GetEventDataStore", "EventDataStore", "eventdatastore"),
            ("DeleteChannel", "Channel", "channel"),
            ("GetDashboard", "DashboardId", "dashboard"),
        ] {
            let arn = format!("{foreign}:{kind}/x");
            assert_eq!(arns("cloudtrail", operation, &[(member, &[&arn])]), [format!("{kind} {arn}")], "{operation}");
            let own = format!("{kind} arn:aws:cloudtrail:eu-west-1:111122223333:{kind}/x");
            assert_eq!(arns("cloudtrail", operation, &[(member, &["x"])]), [own], "{operation}");
        }
        let both = arns(
            "cloudtrail",
            "GetInsightSelectors",
            &[("EventDataStore", &["arn:aws:cloudtrail:us-east-1:444455556666:eventdatastore/x"])],
        );
        assert_eq!(both, ["eventdatastore arn:aws:cloudtrail:us-east-1:444455556666:eventdatastore/x"]);
    }

    #[test]
    fn a_list_gives_a_resource_per_item() {
        let input: &[(&str, &[&str])] = &[("Bucket", &["b"]), ("Delete.Objects.Key", &["x", "y"])];
        assert_eq!(arns("s3", "DeleteObjects", input), ["object arn:aws:s3:::b/x", "object arn:aws:s3:::b/y"]);
    }
}
