//! Access previews: the findings that a policy would bring before it is put.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use api_accessanalyzer::{
    AccessPreview, AccessPreviewFinding, AccessPreviewStatus, AccessPreviewStatusReason, AccessPreviewStatusReasonCode,
    AccessPreviewSummary, Configuration, CreateAccessPreviewInput, CreateAccessPreviewOutput, DynamodbStreamConfiguration,
    DynamodbTableConfiguration, EcrRepositoryConfiguration, EfsFileSystemConfiguration, FindingChangeType, FindingStatus,
    GetAccessPreviewInput, GetAccessPreviewOutput, IamRoleConfiguration, KmsGrantConfiguration, KmsGrantConstraints, KmsGrantOperation,
    KmsKeyConfiguration, ListAccessPreviewFindingsInput, ListAccessPreviewFindingsOutput, ListAccessPreviewsInput,
    ListAccessPreviewsOutput, ResourceControlPolicyRestriction, ResourceType, S3BucketConfiguration, S3ExpressDirectoryBucketConfiguration,
    S3PublicAccessBlockConfiguration, SecretsManagerSecretConfiguration, SnsTopicConfiguration, SqsQueueConfiguration,
};
use plane::{ApiError, Call, Key, Record, Scope};
use policy::{Attached, KmsGrant, Policy, PolicyKind, PolicySource, ResourceKind, ResourcePolicy};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::Timestamp;

use crate::analyzer::{Analyzer, load_by_arn};
use crate::error::AnalyzerError;
use crate::filter;
use crate::finding::{self, Detail, FindingRecord, FindingState, Found};
use crate::scan::{self, Resource};
use crate::{check, paged};

/// A finding of a preview.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct PreviewFinding {
    finding: FindingRecord,
    change: String,
    existing_id: Option<String>,
    existing_state: Option<FindingState>,
}

/// A preview.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Preview {
    id: String,
    created_ms: i64,
    /// The configurations by ARN.
    configurations: BTreeMap<String, StoredConfiguration>,
    failed: bool,
    findings: Vec<PreviewFinding>,
}

impl Record for Preview {
    const TABLE: Table = Table("accessanalyzer-preview");
    const SCOPE: Scope = Scope::Region;
}

fn prefix(analyzer: &Analyzer) -> Key {
    Key::new(&analyzer.account, &analyzer.region).then(&analyzer.name)
}

/// What a configuration proposes for a resource.
struct Proposal {
    resource_type: &'static str,
    policy: Option<(String, PolicyKind)>,
    grants: Vec<KmsGrant>,
    restrict_public_buckets: bool,
}

impl Proposal {
    fn new(resource_type: &'static str, policy: Option<String>, kind: PolicyKind) -> Self {
        Self { resource_type, policy: policy.map(|text| (text, kind)), grants: Vec::new(), restrict_public_buckets: false }
    }
}

const STANDARD: PolicyKind = PolicyKind::Resource(ResourceKind::Standard);

fn proposal(configuration: Configuration) -> Result<Proposal, AnalyzerError> {
    Ok(match configuration {
        Configuration::IamRole(role) => Proposal::new("AWS::IAM::Role", role.trust_policy, PolicyKind::Trust),
        Configuration::KmsKey(key) => {
            let policy = key.key_policies.and_then(|policies| policies.get("default").cloned());
            let grants = key.grants.unwrap_or_default().into_iter().map(grant).collect();
            Proposal { grants, ..Proposal::new("AWS::KMS::Key", policy, PolicyKind::KeyPolicy) }
        }
        Configuration::S3Bucket(bucket) => {
            if bucket.bucket_acl_grants.is_some_and(|grants| !grants.is_empty())
                || bucket.access_points.is_some_and(|points| !points.is_empty())
            {
                return Err(AnalyzerError::NotSupported(
                    "Access control lists and access points cannot be previewed: this server has none.",
                ));
            }
            let restrict_public_buckets = bucket.bucket_public_access_block.is_some_and(|block| block.restrict_public_buckets);
            let kind = PolicyKind::Resource(ResourceKind::S3Bucket);
            Proposal { restrict_public_buckets, ..Proposal::new("AWS::S3::Bucket", bucket.bucket_policy, kind) }
        }
        Configuration::SecretsManagerSecret(secret) => Proposal::new("AWS::SecretsManager::Secret", secret.secret_policy, STANDARD),
        Configuration::SnsTopic(topic) => Proposal::new("AWS::SNS::Topic", topic.topic_policy, STANDARD),
        Configuration::SqsQueue(queue) => Proposal::new("AWS::SQS::Queue", queue.queue_policy, STANDARD),
        Configuration::EcrRepository(repository) => Proposal::new("AWS::ECR::Repository", repository.repository_policy, STANDARD),
        Configuration::EfsFileSystem(system) => Proposal::new("AWS::EFS::FileSystem", system.file_system_policy, STANDARD),
        Configuration::DynamodbTable(table) => Proposal::new("AWS::DynamoDB::Table", table.table_policy, STANDARD),
        Configuration::DynamodbStream(stream) => Proposal::new("AWS::DynamoDB::Stream", stream.stream_policy, STANDARD),
        Configuration::S3ExpressDirectoryBucket(bucket) => Proposal::new("AWS::S3Express::DirectoryBucket", bucket.bucket_policy, STANDARD),
        Configuration::EbsSnapshot(_) | Configuration::RdsDbSnapshot(_) | Configuration::RdsDbClusterSnapshot(_) => {
            return Err(AnalyzerError::NotSupported("Snapshots cannot be previewed: this server has none."));
        }
        Configuration::Unknown => return Err(AnalyzerError::invalid("configurations", "The configuration is not valid.")),
    })
}

fn grant(grant: KmsGrantConfiguration) -> KmsGrant {
    let pairs = |context: Option<BTreeMap<String, String>>| context.map(|context| context.into_iter().collect());
    let constraints = grant.constraints.unwrap_or_default();
    KmsGrant {
        id: String::new(),
        grantee: grant.grantee_principal,
        operations: grant.operations.iter().map(|operation| operation.as_str().to_owned()).collect(),
        encryption_context_equals: pairs(constraints.encryption_context_equals),
        encryption_context_subset: pairs(constraints.encryption_context_subset),
        source_arn: None,
        retiring_principal: grant.retiring_principal,
        ..KmsGrant::default()
    }
}

/// The findings that a proposal would bring; `None` if its policy cannot be read.
fn proposed(cx: &Call, arn: &str, proposal: Proposal, zone: &access::Zone) -> Option<Vec<Found>> {
    let policy = match proposal.policy {
        None => ResourcePolicy::Absent,
        Some((text, kind)) => {
            let policy = Policy::parse_stored(&text, kind);
            if policy.problem().is_some() || text.len() > check::DOCUMENT_CHARACTERS_MAX {
                return None;
            }
            ResourcePolicy::new(Attached::new(arn, PolicySource::Resource, Arc::new(policy)))
        }
    };
    let resource = Resource {
        arn: arn.to_owned(),
        owner: policy::account_of(arn).map_or_else(|| cx.account.clone(), str::to_owned),
        kind: proposal.resource_type,
        policy,
        grants: proposal.grants,
        restrict_public_buckets: proposal.restrict_public_buckets,
        is_restricted: false,
        identities: HashMap::new(),
    };
    Some(scan::external(&resource, zone))
}

pub(crate) async fn create_access_preview(cx: &mut Call, input: CreateAccessPreviewInput) -> Result<CreateAccessPreviewOutput, ApiError> {
    let analyzer = load_by_arn(cx, &input.analyzer_arn).await?;
    if analyzer.kind.is_unused() {
        return Err(AnalyzerError::invalid("analyzerArn", "Access previews need an external access analyzer.").into());
    }
    if input.configurations.len() != 1 {
        return Err(AnalyzerError::invalid("configurations", "Specify exactly one configuration.").into());
    }
    let (_, zone) = scan::zone(&cx.plane, &analyzer).await?;
    scan::bring_up_to_date(&cx.plane, &analyzer).await?;
    let existing = finding::stored(&mut cx.tx.renew(), &analyzer).await?;
    let mut preview =
        Preview { id: cx.random_uuid()?, created_ms: cx.now.0, configurations: BTreeMap::new(), failed: false, findings: Vec::new() };
    for (arn, configuration) in input.configurations {
        preview.configurations.insert(arn.clone(), StoredConfiguration::read(&configuration));
        let Some(found) = proposed(cx, &arn, proposal(configuration)?, &zone) else {
            preview.failed = true;
            continue;
        };
        let mut before: HashMap<&str, &FindingRecord> = existing
            .iter()
            .filter(|finding| finding.resource == arn && finding.state != FindingState::Resolved)
            .map(|finding| (finding.identity.as_str(), finding))
            .collect();
        for found in found {
            let known = before.remove(found.identity().as_str());
            let change = match known {
                None => FindingChangeType::New,
                Some(known) if known.detail == found.detail => FindingChangeType::Unchanged,
                Some(_) => FindingChangeType::Changed,
            };
            preview.findings.push(PreviewFinding {
                change: change.as_str().to_owned(),
                existing_id: known.map(|known| known.id.clone()),
                existing_state: known.map(|known| known.state),
                finding: FindingRecord::new(cx.random_uuid()?, found, cx.now.0),
            });
        }
        // What would be gone is shown as resolved.
        for gone in before.into_values() {
            let finding = FindingRecord { state: FindingState::Resolved, id: cx.random_uuid()?, ..gone.clone() };
            preview.findings.push(PreviewFinding {
                change: FindingChangeType::Changed.as_str().to_owned(),
                existing_id: Some(gone.id.clone()),
                existing_state: Some(gone.state),
                finding,
            });
        }
    }
    let id = preview.id.clone();
    cx.tx.put(&prefix(&analyzer).last(&id), &preview)?;
    Ok(CreateAccessPreviewOutput { id })
}

/// A configuration as it was given, so that it can be shown again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct StoredConfiguration {
    /// Name of the member of the union.
    kind: String,
    policy: Option<String>,
    /// Name of the key policy.
    #[serde(default)]
    policy_name: Option<String>,
    #[serde(default)]
    grants: Vec<StoredGrant>,
    /// `ignorePublicAcls` and `restrictPublicBuckets`.
    #[serde(default)]
    block: Option<(bool, bool)>,
    #[serde(default)]
    kms_key_id: Option<String>,
}

/// A grant as it was given.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct StoredGrant {
    operations: Vec<String>,
    grantee: String,
    retiring: Option<String>,
    equals: Option<BTreeMap<String, String>>,
    subset: Option<BTreeMap<String, String>>,
    issuing_account: String,
}

impl StoredConfiguration {
    fn read(configuration: &Configuration) -> Self {
        let kind = configuration.member().to_owned();
        let plain = |policy: &Option<String>| Self { kind: kind.clone(), policy: policy.clone(), ..Self::default() };
        match configuration {
            Configuration::IamRole(role) => plain(&role.trust_policy),
            Configuration::SnsTopic(topic) => plain(&topic.topic_policy),
            Configuration::SqsQueue(queue) => plain(&queue.queue_policy),
            Configuration::EcrRepository(repository) => plain(&repository.repository_policy),
            Configuration::EfsFileSystem(system) => plain(&system.file_system_policy),
            Configuration::DynamodbTable(table) => plain(&table.table_policy),
            Configuration::DynamodbStream(stream) => plain(&stream.stream_policy),
            Configuration::S3ExpressDirectoryBucket(bucket) => plain(&bucket.bucket_policy),
            Configuration::SecretsManagerSecret(secret) => Self { kms_key_id: secret.kms_key_id.clone(), ..plain(&secret.secret_policy) },
            Configuration::S3Bucket(bucket) => {
                let block = bucket.bucket_public_access_block.as_ref();
                Self { block: block.map(|block| (block.ignore_public_acls, block.restrict_public_buckets)), ..plain(&bucket.bucket_policy) }
            }
            Configuration::KmsKey(key) => {
                let policy = key.key_policies.as_ref().and_then(|policies| policies.iter().next());
                let grants = key.grants.iter().flatten().map(StoredGrant::read);
                Self {
                    policy_name: policy.map(|(name, _)| name.clone()),
                    grants: grants.collect(),
                    ..plain(&policy.map(|(_, text)| text.clone()))
                }
            }
            _ => plain(&None),
        }
    }

    fn output(&self) -> Configuration {
        let policy = self.policy.clone();
        match self.kind.as_str() {
            "iamRole" => Configuration::IamRole(IamRoleConfiguration { trust_policy: policy }),
            "snsTopic" => Configuration::SnsTopic(SnsTopicConfiguration { topic_policy: policy }),
            "sqsQueue" => Configuration::SqsQueue(SqsQueueConfiguration { queue_policy: policy }),
            "ecrRepository" => Configuration::EcrRepository(EcrRepositoryConfiguration { repository_policy: policy }),
            "efsFileSystem" => Configuration::EfsFileSystem(EfsFileSystemConfiguration { file_system_policy: policy }),
            "dynamodbTable" => Configuration::DynamodbTable(DynamodbTableConfiguration { table_policy: policy }),
            "dynamodbStream" => Configuration::DynamodbStream(DynamodbStreamConfiguration { stream_policy: policy }),
            "s3ExpressDirectoryBucket" => Configuration::S3ExpressDirectoryBucket(S3ExpressDirectoryBucketConfiguration {
                bucket_policy: policy,
                ..S3ExpressDirectoryBucketConfiguration::default()
            }),
            "secretsManagerSecret" => Configuration::SecretsManagerSecret(SecretsManagerSecretConfiguration {
                kms_key_id: self.kms_key_id.clone(),
                secret_policy: policy,
            }),
            "s3Bucket" => Configuration::S3Bucket(S3BucketConfiguration {
                bucket_policy: policy,
                bucket_public_access_block: self.block.map(|(ignore_public_acls, restrict_public_buckets)| {
                    S3PublicAccessBlockConfiguration { ignore_public_acls, restrict_public_buckets }
                }),
                ..S3BucketConfiguration::default()
            }),
            "kmsKey" => Configuration::KmsKey(KmsKeyConfiguration {
                key_policies: policy.map(|text| BTreeMap::from([(self.policy_name.clone().unwrap_or_default(), text)])),
                grants: (!self.grants.is_empty()).then(|| self.grants.iter().map(StoredGrant::output).collect()),
            }),
            _ => Configuration::Unknown,
        }
    }
}

impl StoredGrant {
    fn read(grant: &KmsGrantConfiguration) -> Self {
        let constraints = grant.constraints.clone().unwrap_or_default();
        Self {
            operations: grant.operations.iter().map(|operation| operation.as_str().to_owned()).collect(),
            grantee: grant.grantee_principal.clone(),
            retiring: grant.retiring_principal.clone(),
            equals: constraints.encryption_context_equals,
            subset: constraints.encryption_context_subset,
            issuing_account: grant.issuing_account.clone(),
        }
    }

    fn output(&self) -> KmsGrantConfiguration {
        let constrained = self.equals.is_some() || self.subset.is_some();
        KmsGrantConfiguration {
            operations: self.operations.iter().map(|operation| KmsGrantOperation::from(operation.as_str())).collect(),
            grantee_principal: self.grantee.clone(),
            retiring_principal: self.retiring.clone(),
            constraints: constrained.then(|| KmsGrantConstraints {
                encryption_context_equals: self.equals.clone(),
                encryption_context_subset: self.subset.clone(),
            }),
            issuing_account: self.issuing_account.clone(),
        }
    }
}

async fn load(cx: &mut Call, analyzer: &Analyzer, id: &str) -> Result<Preview, ApiError> {
    let found = cx.tx.get::<Preview>(&prefix(analyzer).last(id)).await?;
    found.ok_or_else(|| AnalyzerError::NotFound { resource_type: "access-preview", id: id.to_owned() }.into())
}

fn status(preview: &Preview) -> (AccessPreviewStatus, Option<AccessPreviewStatusReason>) {
    if preview.failed {
        let code = AccessPreviewStatusReasonCode::InvalidConfiguration;
        return (AccessPreviewStatus::Failed, Some(AccessPreviewStatusReason { code }));
    }
    (AccessPreviewStatus::Completed, None)
}

pub(crate) async fn get_access_preview(cx: &mut Call, input: GetAccessPreviewInput) -> Result<GetAccessPreviewOutput, ApiError> {
    let analyzer = load_by_arn(cx, &input.analyzer_arn).await?;
    let preview = load(cx, &analyzer, &input.access_preview_id).await?;
    let (status, status_reason) = status(&preview);
    Ok(GetAccessPreviewOutput {
        access_preview: AccessPreview {
            id: preview.id.clone(),
            analyzer_arn: input.analyzer_arn,
            configurations: preview.configurations.iter().map(|(arn, stored)| (arn.clone(), stored.output())).collect(),
            created_at: Timestamp(preview.created_ms),
            status,
            status_reason,
        },
    })
}

pub(crate) async fn list_access_previews(cx: &mut Call, input: ListAccessPreviewsInput) -> Result<ListAccessPreviewsOutput, ApiError> {
    let analyzer = load_by_arn(cx, &input.analyzer_arn).await?;
    let rows = cx.tx.scan::<Preview>(&prefix(&analyzer), None, plane::transaction::SCAN_LIMIT).await?;
    let previews: Vec<Preview> = rows.into_iter().map(|(_, preview)| preview).collect();
    let page = paged::cut(cx, previews, |preview| preview.id.clone(), &analyzer.name, input.next_token.as_deref(), input.max_results)?;
    let summary = |preview: &Preview| {
        let (status, status_reason) = status(preview);
        AccessPreviewSummary {
            id: preview.id.clone(),
            analyzer_arn: input.analyzer_arn.clone(),
            created_at: Timestamp(preview.created_ms),
            status,
            status_reason,
        }
    };
    Ok(ListAccessPreviewsOutput { access_previews: page.items.iter().map(summary).collect(), next_token: page.next })
}

pub(crate) async fn list_access_preview_findings(
    cx: &mut Call,
    input: ListAccessPreviewFindingsInput,
) -> Result<ListAccessPreviewFindingsOutput, ApiError> {
    let analyzer = load_by_arn(cx, &input.analyzer_arn).await?;
    let preview = load(cx, &analyzer, &input.access_preview_id).await?;
    let filter = filter::read(input.filter.unwrap_or_default())?;
    let findings: Vec<PreviewFinding> = preview.findings.into_iter().filter(|found| filter::matches(&filter, &found.finding)).collect();
    let name = format!("{} {filter:?}", preview.id);
    let page = paged::cut(cx, findings, |found| found.finding.id.clone(), &name, input.next_token.as_deref(), input.max_results)?;
    Ok(ListAccessPreviewFindingsOutput { findings: page.items.into_iter().map(output).collect(), next_token: page.next })
}

fn output(found: PreviewFinding) -> AccessPreviewFinding {
    let FindingRecord { id, resource, resource_type, owner, detail, error, state, created_ms, .. } = found.finding;
    let (principal, actions, condition, is_public, restriction) = match detail {
        Detail::External { principal, actions, condition, is_public, restriction } => {
            (principal, actions, condition, is_public, restriction)
        }
        _ => (BTreeMap::new(), Vec::new(), BTreeMap::new(), false, "NOT_APPLICABLE".to_owned()),
    };
    let status = |state: FindingState| -> FindingStatus { state.output() };
    AccessPreviewFinding {
        id,
        existing_finding_id: found.existing_id,
        existing_finding_status: found.existing_state.map(status),
        principal: Some(principal),
        action: Some(actions),
        condition: Some(condition),
        resource: Some(resource),
        is_public: Some(is_public),
        resource_type: ResourceType::from(resource_type.as_str()),
        created_at: Timestamp(created_ms),
        change_type: FindingChangeType::from(found.change.as_str()),
        status: status(state),
        resource_owner_account: owner,
        error,
        sources: None,
        resource_control_policy_restriction: Some(ResourceControlPolicyRestriction::from(restriction.as_str())),
    }
}
