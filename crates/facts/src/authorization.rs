//! Which IAM actions, resources and condition keys an operation is authorized by.

/// How the authorization of an operation is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// [`crate::Operation::authorizations`] says it all.
    Mapped,
    /// The action is known from the facts, but the service's own resolver names the resources
    /// (copy sources, batch members, key identifiers behind aliases). Without a resolver the mechanical targets are used.
    Service,
    /// No permission is needed or possible (`sts:GetCallerIdentity`); authentication still is.
    Open,
    /// No action is known: the call is refused.
    Unmapped,
}

/// One authorization that a call needs.
#[derive(Debug)]
pub struct Authorization {
    /// For example `kms:CreateAlias`.
    pub action: &'static str,
    pub access_level: AccessLevel,
    /// Each binding that is `required`, or whose variables are all present in the input, is checked; bindings that read the same
    /// members are alternatives. Empty means resource `*`. [`Authorization::targets`] applies these rules.
    pub resources: Vec<ResourceBinding>,
    /// Condition keys that the action supports besides the global ones.
    pub condition_keys: Vec<&'static str>,
    /// Checked only when this input member is present (`s3:PutObjectTagging` with `Tagging`).
    pub when_present: Option<&'static str>,
    /// Checked only when this input member is absent (`s3:GetObject` without `VersionId`).
    pub when_absent: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLevel {
    List,
    Read,
    Tagging,
    Write,
    PermissionsManagement,
}

/// A resource that an authorization is checked against.
#[derive(Debug)]
pub struct ResourceBinding {
    /// Resource type in the service authorization reference, for example `key`.
    pub resource_type: &'static str,
    pub arn: ArnTemplate,
    pub required: bool,
    /// Condition keys that the resource type supports.
    pub condition_keys: Vec<&'static str>,
    /// Per template variable (besides Partition, Region, Account) where its value comes from.
    pub variables: Vec<VariableBinding>,
}

/// `arn:${Partition}:kms:${Region}:${Account}:key/${KeyId}`.
#[derive(Debug)]
pub struct ArnTemplate {
    pub text: &'static str,
}

/// Variables of ARN templates that the caller's place fills, not the input.
const PLACES: [&str; 5] = ["Partition", "Region", "Account", "AccountId", "PrimaryRegion"];

/// A part of an ARN template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArnPart {
    Literal(&'static str),
    Variable(&'static str),
}

impl ArnTemplate {
    /// Literals and variables in order.
    pub fn parts(&self) -> impl Iterator<Item = ArnPart> + use<> {
        let mut rest = self.text;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            if let Some((name, after)) = rest.strip_prefix("${").and_then(|tail| tail.split_once('}')) {
                rest = after;
                return Some(ArnPart::Variable(name));
            }
            // A literal runs to the next variable; a lone `$` is a literal character.
            let end = rest.char_indices().skip(1).find(|(at, _)| rest.get(*at..).is_some_and(|tail| tail.starts_with("${")));
            let (literal, after) = rest.split_at_checked(end.map_or(rest.len(), |(at, _)| at)).unwrap_or((rest, ""));
            rest = after;
            Some(ArnPart::Literal(literal))
        })
    }

    /// Variables that the input fills: all but the partition, the region and the account.
    pub fn variables(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.parts().filter_map(|part| match part {
            ArnPart::Variable(name) if !PLACES.contains(&name) => Some(name),
            _ => None,
        })
    }

    /// Fills the template; `value` is asked for every variable, also `Partition`, `Region` and `Account`.
    pub fn fill<'a>(&self, mut value: impl FnMut(&'static str) -> std::borrow::Cow<'a, str>) -> String {
        self.parts().fold(String::with_capacity(self.text.len() + 32), |mut arn, part| {
            match part {
                ArnPart::Literal(literal) => arn.push_str(literal),
                ArnPart::Variable(name) => arn.push_str(&value(name)),
            }
            arn
        })
    }

    /// Whether `arn` names a resource of this type: every literal is found in order, from start to end, and no variable is empty
    /// except region and account. Before the resource part a variable never reaches over a colon.
    pub fn matches(&self, arn: &str) -> bool {
        let template: Vec<&str> = self.text.splitn(6, ':').collect();
        let given: Vec<&str> = arn.splitn(6, ':').collect();
        let ([_, _, service, region, account, resource], [arn, partition, of_service, of_region, of_account, of_resource]) =
            (template.as_slice(), given.as_slice())
        else {
            return false;
        };
        let place = |template: &str, given: &str| template.starts_with("${") || template == given;
        *arn == "arn"
            && !partition.is_empty()
            && service == of_service
            && place(region, of_region)
            && place(account, of_account)
            && resource_matches(resource, of_resource)
    }
}

/// Matches the last part of an ARN: each variable takes at least one character, the shortest that lets the next literal follow;
/// the last variable takes the rest.
fn resource_matches(template: &'static str, given: &str) -> bool {
    let mut rest = given;
    let mut open = false;
    for part in (ArnTemplate { text: template }).parts() {
        match part {
            ArnPart::Variable(_) => open = true,
            ArnPart::Literal(literal) if !open => match rest.strip_prefix(literal) {
                Some(after) => rest = after,
                None => return false,
            },
            ArnPart::Literal(literal) => match rest.char_indices().skip(1).find_map(|(at, _)| rest.get(at..)?.strip_prefix(literal)) {
                Some(after) => {
                    rest = after;
                    open = false;
                }
                None => return false,
            },
        }
    }
    if open { !rest.is_empty() } else { rest.is_empty() }
}

/// Where a template variable gets its value.
#[derive(Debug)]
pub struct VariableBinding {
    pub variable: &'static str,
    /// Path of input members joined by dots, e.g. `BucketName` or `Tags.Key`; a list on the way gives one resource per item.
    /// Two paths joined by `+` are concatenated, an absent first one is left out and a leading slash is dropped
    /// (`Path+UserName` of an IAM user). Empty: unknown, the variable becomes `*`.
    pub member: &'static str,
    /// The member holds a whole ARN of this type (then it *is* the resource), or an identifier.
    pub may_be_arn: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: ArnTemplate = ArnTemplate { text: "arn:${Partition}:kms:${Region}:${Account}:key/${KeyId}" };
    const GRANT: ArnTemplate = ArnTemplate { text: "arn:${Partition}:s3:${Region}:${Account}:access-grants/default/grant/${Token}" };
    const OBJECT: ArnTemplate = ArnTemplate { text: "arn:${Partition}:s3:::${BucketName}/${ObjectName}" };

    #[test]
    fn a_template_is_filled() {
        let arn = KEY.fill(|name| name.to_lowercase().into());
        assert_eq!(arn, "arn:partition:kms:region:account:key/keyid");
        assert_eq!(OBJECT.variables().collect::<Vec<_>>(), ["BucketName", "ObjectName"]);
    }

    #[test]
    fn only_arns_of_the_type_match() {
        assert!(KEY.matches("arn:aws:kms:eu-west-1:111122223333:key/abc"));
        assert!(!KEY.matches("arn:aws:kms:eu-west-1:111122223333:key/"));
        assert!(!KEY.matches("arn:aws:kms:eu-west-1:111122223333:alias/abc"));
        assert!(!KEY.matches("arn:aws:s3:::key/abc"));
        assert!(!KEY.matches("key/abc"));
        assert!(GRANT.matches("arn:aws:s3:eu-west-1:111122223333:access-grants/default/grant/x"));
        assert!(OBJECT.matches("arn:aws:s3:::bucket/a/b:c"));
        assert!(!OBJECT.matches("arn:aws:s3:::bucket"));
        assert!(!OBJECT.matches("arn:aws:s3:eu-west-1::bucket/key"));
    }
}
