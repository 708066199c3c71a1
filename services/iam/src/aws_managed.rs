//! The managed policies that every account has (`arn:aws:iam::aws:policy/...`).
//!
//! Few and our own: a policy of AWS's name that allowed more or less than AWS's would be worse than none. Names that are not here do not
//! exist.

/// A managed policy that cannot be changed.
#[derive(Debug)]
pub struct AwsManagedPolicy {
    pub name: &'static str,
    pub id: &'static str,
    pub path: &'static str,
    pub description: &'static str,
    pub document: &'static str,
    /// Milliseconds since 1970.
    pub created_ms: i64,
}

impl AwsManagedPolicy {
    pub fn arn(&self) -> String {
        crate::identifier::arn("aws", "policy", self.path, self.name)
    }
}

/// All of them, in order of their names.
pub const POLICIES: [AwsManagedPolicy; 3] = [
    AwsManagedPolicy {
        name: "AdministratorAccess",
        id: "ANPAIWMBCKSKIEE64ZLYK",
        path: "/",
        description: "Everything is allowed.",
        document: r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#,
        created_ms: 1_423_247_986_000,
    },
    AwsManagedPolicy {
        name: "IAMReadOnlyAccess",
        id: "ANPAJKSO7NDY4T57MWDSQ",
        path: "/",
        description: "Everything in IAM can be read, nothing changed.",
        document: r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:GenerateCredentialReport","iam:GenerateServiceLastAccessedDetails","iam:Get*","iam:List*","iam:SimulateCustomPolicy","iam:SimulatePrincipalPolicy"],"Resource":"*"}]}"#,
        created_ms: 1_423_248_038_000,
    },
    AwsManagedPolicy {
        name: "PowerUserAccess",
        id: "ANPAJYRXTHIB4FOVS3ZXS",
        path: "/",
        description: "Everything is allowed but the management of identities, the organization and the account.",
        document: r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","NotAction":["iam:*","organizations:*","account:*"],"Resource":"*"},{"Effect":"Allow","Action":["account:GetAccountInformation","account:GetPrimaryEmail","account:ListRegions","iam:CreateServiceLinkedRole","iam:DeleteServiceLinkedRole","iam:ListRoles","organizations:DescribeEffectivePolicy","organizations:DescribeOrganization"],"Resource":"*"}]}"#,
        created_ms: 1_423_247_987_000,
    },
];

/// The policy with this ARN.
pub fn find(arn: &str) -> Option<&'static AwsManagedPolicy> {
    POLICIES.iter().find(|policy| policy.arn() == arn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::{Policy, PolicyKind};

    #[test]
    fn each_is_a_valid_policy_and_they_are_in_order() {
        for policy in &POLICIES {
            Policy::parse(policy.document, PolicyKind::Identity).unwrap();
            crate::document::check_managed(policy.document).unwrap();
            assert_eq!(policy.id.len(), 21);
        }
        assert!(POLICIES.is_sorted_by_key(|policy| policy.name));
        assert!(find("arn:aws:iam::aws:policy/AdministratorAccess").is_some());
        assert!(find("arn:aws:iam::111111111111:policy/AdministratorAccess").is_none());
    }
}
