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
pub const POLICIES: [AwsManagedPolicy; 8] = [
    AwsManagedPolicy {
        name: "AdministratorAccess",
        id: "ANPAIWMBCKSKIEE64ZLYK",
        path: "/",
        description: "Everything is allowed.",
        document: r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#,
        created_ms: 1_423_247_986_000,
    },
    AwsManagedPolicy {
        name: "IAMAuditRootUserCredentials",
        id: "ANPAZKAPJZG4ROOTTASKA",
        path: "/root-task/",
        description: "The credentials of the root user can be looked at.",
        document: r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:GetAccessKeyLastUsed","iam:GetAccountSummary","iam:GetLoginProfile","iam:GetUser","iam:ListAccessKeys","iam:ListMFADevices","iam:ListSigningCertificates"],"Resource":"*"}]}"#,
        created_ms: 1_731_609_600_000,
    },
    AwsManagedPolicy {
        name: "IAMCreateRootUserPassword",
        id: "ANPAZKAPJZG4ROOTTASKB",
        path: "/root-task/",
        description: "A password of the root user can be made.",
        document: r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:CreateLoginProfile","iam:GetLoginProfile"],"Resource":"*"}]}"#,
        created_ms: 1_731_609_600_000,
    },
    AwsManagedPolicy {
        name: "IAMDeleteRootUserCredentials",
        id: "ANPAZKAPJZG4ROOTTASKC",
        path: "/root-task/",
        description: "The credentials of the root user can be looked at and removed.",
        document: r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:DeactivateMFADevice","iam:DeleteAccessKey","iam:DeleteLoginProfile","iam:DeleteSigningCertificate","iam:GetAccessKeyLastUsed","iam:GetAccountSummary","iam:GetLoginProfile","iam:GetUser","iam:ListAccessKeys","iam:ListMFADevices","iam:ListSigningCertificates","iam:UpdateAccessKey","iam:UpdateSigningCertificate"],"Resource":"*"}]}"#,
        created_ms: 1_731_609_600_000,
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
    AwsManagedPolicy {
        name: "S3UnlockBucketPolicy",
        id: "ANPAZKAPJZG4ROOTTASKD",
        path: "/root-task/",
        description: "A bucket policy that locks everybody out can be removed.",
        document: r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:DeleteBucketPolicy","s3:GetBucketPolicy","s3:ListAllMyBuckets","s3:PutBucketPolicy"],"Resource":"*"}]}"#,
        created_ms: 1_731_609_600_000,
    },
    AwsManagedPolicy {
        name: "SQSUnlockQueuePolicy",
        id: "ANPAZKAPJZG4ROOTTASKE",
        path: "/root-task/",
        description: "A queue policy that locks everybody out can be removed.",
        document: r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["sqs:GetQueueAttributes","sqs:GetQueueUrl","sqs:ListQueues","sqs:SetQueueAttributes"],"Resource":"*"}]}"#,
        created_ms: 1_731_609_600_000,
    },
];

/// Whether the ARN is of a policy for sessions of `AssumeRoot`.
pub fn is_root_task(arn: &str) -> bool {
    find(arn).is_some_and(|policy| policy.path == "/root-task/")
}

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
