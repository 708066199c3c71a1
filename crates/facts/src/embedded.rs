//! The facts files, compiled in.

pub(crate) const INDEX: &str = include_str!("../../../facts/index.json");
/// The index of our own services: those that no AWS model describes. Kept by hand, in the form of the others.
pub(crate) const OWN_INDEX: &str = include_str!("../own/index.json");
const OWN_FILES: &[(&str, &str)] = &[("bailiwick", include_str!("../own/bailiwick.json"))];

/// The facts of one service.
pub(crate) fn file(id: &str) -> Option<&'static str> {
    FILES.iter().chain(OWN_FILES).find(|(name, _)| *name == id).map(|(_, text)| *text)
}

/// Sorted by id; a test compares it with the index.
pub(crate) const FILES: &[(&str, &str)] = &[
    ("accessanalyzer", include_str!("../../../facts/accessanalyzer.json")),
    ("artifact", include_str!("../../../facts/artifact.json")),
    ("auditmanager", include_str!("../../../facts/auditmanager.json")),
    ("bedrock", include_str!("../../../facts/bedrock.json")),
    ("bedrock-runtime", include_str!("../../../facts/bedrock-runtime.json")),
    ("cleanrooms", include_str!("../../../facts/cleanrooms.json")),
    ("cloudtrail", include_str!("../../../facts/cloudtrail.json")),
    ("cloudtrail-data", include_str!("../../../facts/cloudtrail-data.json")),
    ("comprehend", include_str!("../../../facts/comprehend.json")),
    ("config", include_str!("../../../facts/config.json")),
    ("ec2", include_str!("../../../facts/ec2.json")),
    ("ecr", include_str!("../../../facts/ecr.json")),
    ("events", include_str!("../../../facts/events.json")),
    ("glue", include_str!("../../../facts/glue.json")),
    ("iam", include_str!("../../../facts/iam.json")),
    ("inspector-scan", include_str!("../../../facts/inspector-scan.json")),
    ("inspector2", include_str!("../../../facts/inspector2.json")),
    ("kms", include_str!("../../../facts/kms.json")),
    ("lakeformation", include_str!("../../../facts/lakeformation.json")),
    ("lambda", include_str!("../../../facts/lambda.json")),
    ("logs", include_str!("../../../facts/logs.json")),
    ("macie2", include_str!("../../../facts/macie2.json")),
    ("organizations", include_str!("../../../facts/organizations.json")),
    ("ram", include_str!("../../../facts/ram.json")),
    ("resourcegroupstaggingapi", include_str!("../../../facts/resourcegroupstaggingapi.json")),
    ("rolesanywhere", include_str!("../../../facts/rolesanywhere.json")),
    ("s3", include_str!("../../../facts/s3.json")),
    ("s3control", include_str!("../../../facts/s3control.json")),
    ("sagemaker", include_str!("../../../facts/sagemaker.json")),
    ("sagemaker-runtime", include_str!("../../../facts/sagemaker-runtime.json")),
    ("securityhub", include_str!("../../../facts/securityhub.json")),
    ("sns", include_str!("../../../facts/sns.json")),
    ("ssm", include_str!("../../../facts/ssm.json")),
    ("sts", include_str!("../../../facts/sts.json")),
    ("support", include_str!("../../../facts/support.json")),
    ("trustedadvisor", include_str!("../../../facts/trustedadvisor.json")),
];
