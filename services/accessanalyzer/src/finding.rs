//! Findings: stored, listed, archived; in the first and the second form of the API.

use std::collections::BTreeMap;

use api_accessanalyzer::{
    AnalyzedResource, AnalyzedResourceSummary, ExternalAccessDetails, ExternalAccessFindingsStatistics, Finding, FindingDetails,
    FindingSource, FindingSourceType, FindingStatus, FindingStatusUpdate, FindingSummary, FindingSummaryV2, FindingType,
    FindingsStatistics, GetAnalyzedResourceInput, GetAnalyzedResourceOutput, GetFindingInput, GetFindingOutput, GetFindingV2Input,
    GetFindingV2Output, GetFindingsStatisticsInput, GetFindingsStatisticsOutput, ListAnalyzedResourcesInput, ListAnalyzedResourcesOutput,
    ListFindingsInput, ListFindingsOutput, ListFindingsV2Input, ListFindingsV2Output, OrderBy, ResourceControlPolicyRestriction,
    ResourceType, ResourceTypeDetails, SortCriteria, StartResourceScanInput, StartResourceScanOutput, UnusedAccessFindingsStatistics,
    UnusedAccessTypeStatistics, UnusedAction, UnusedIamRoleDetails, UnusedIamUserAccessKeyDetails, UnusedIamUserPasswordDetails,
    UnusedPermissionDetails, UpdateFindingsInput, UpdateFindingsOutput,
};
use plane::clock::iso8601_s;
use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::Timestamp;

use crate::analyzer::{Analyzer, load_by_arn};
use crate::error::AnalyzerError;
use crate::filter::{self, Filter};
use crate::{paged, scan};

/// Whether a finding stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FindingState {
    Active,
    Archived,
    Resolved,
}

impl FindingState {
    pub(crate) fn output(self) -> FindingStatus {
        match self {
            Self::Active => FindingStatus::Active,
            Self::Archived => FindingStatus::Archived,
            Self::Resolved => FindingStatus::Resolved,
        }
    }
}

/// A service that was allowed and not used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UnusedService {
    pub prefix: String,
    pub last_ms: Option<i64>,
    /// Actions that were not used although others of the service were.
    #[serde(default)]
    pub actions: Vec<String>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Detail {
    External {
        principal: BTreeMap<String, String>,
        actions: Vec<String>,
        condition: BTreeMap<String, String>,
        is_public: bool,
        restriction: String,
    },
    UnusedRole {
        last_ms: Option<i64>,
    },
    UnusedKey {
        access_key_id: String,
        last_ms: Option<i64>,
    },
    UnusedPassword {
        last_ms: Option<i64>,
    },
    UnusedPermission {
        services: Vec<UnusedService>,
    },
}

/// A finding before anything is known of its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub resource: String,
    pub resource_type: String,
    pub owner: String,
    pub detail: Detail,
    pub error: Option<String>,
}

impl Found {
    /// What stays the same of a finding while its details change.
    pub(crate) fn identity(&self) -> String {
        let detail = match &self.detail {
            Detail::External { principal, condition, .. } => format!("external {principal:?} {condition:?}"),
            Detail::UnusedRole { .. } => "role".to_owned(),
            Detail::UnusedKey { access_key_id, .. } => format!("key {access_key_id}"),
            Detail::UnusedPassword { .. } => "password".to_owned(),
            Detail::UnusedPermission { .. } => "permission".to_owned(),
        };
        format!("{} {detail}", self.resource)
    }
}

/// A stored finding.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FindingRecord {
    pub id: String,
    pub identity: String,
    pub resource: String,
    pub resource_type: String,
    pub owner: String,
    pub detail: Detail,
    #[serde(default)]
    pub error: Option<String>,
    pub state: FindingState,
    pub created_ms: i64,
    pub analyzed_ms: i64,
    pub updated_ms: i64,
}

impl Record for FindingRecord {
    const TABLE: Table = Table("accessanalyzer-finding");
    const SCOPE: Scope = Scope::Region;
}

impl FindingRecord {
    pub(crate) fn prefix(analyzer: &Analyzer) -> Key {
        Key::new(&analyzer.account, &analyzer.region).then(&analyzer.name)
    }

    pub(crate) fn put(&self, tx: &mut Transaction, analyzer: &Analyzer) -> Result<(), ApiError> {
        tx.put(&Self::prefix(analyzer).last(&self.id), self)
    }

    pub(crate) fn new(id: String, found: Found, now_ms: i64) -> Self {
        Self {
            id,
            identity: found.identity(),
            resource: found.resource,
            resource_type: found.resource_type,
            owner: found.owner,
            detail: found.detail,
            error: found.error,
            state: FindingState::Active,
            created_ms: now_ms,
            analyzed_ms: now_ms,
            updated_ms: now_ms,
        }
    }

    fn finding_type(&self) -> FindingType {
        match self.detail {
            Detail::External { .. } => FindingType::ExternalAccess,
            Detail::UnusedRole { .. } => FindingType::UnusedIAMRole,
            Detail::UnusedKey { .. } => FindingType::UnusedIAMUserAccessKey,
            Detail::UnusedPassword { .. } => FindingType::UnusedIAMUserPassword,
            Detail::UnusedPermission { .. } => FindingType::UnusedPermission,
        }
    }

    /// The values of a filter key.
    pub(crate) fn attribute(&self, key: &str) -> Vec<String> {
        let one = |value: &str| vec![value.to_owned()];
        let external = match &self.detail {
            Detail::External { principal, actions, condition, is_public, restriction } => {
                Some((principal, actions, condition, *is_public, restriction))
            }
            _ => None,
        };
        if let Some(name) = key.strip_prefix("condition.") {
            return external.and_then(|(_, _, condition, ..)| condition.get(name)).map(|value| one(value)).unwrap_or_default();
        }
        if let Some(name) = key.strip_prefix("principal.") {
            return external.and_then(|(principal, ..)| principal.get(name)).map(|value| one(value)).unwrap_or_default();
        }
        match key {
            "id" => one(&self.id),
            "resource" => one(&self.resource),
            "resourceType" => one(&self.resource_type),
            "resourceOwnerAccount" => one(&self.owner),
            "status" => one(self.state.output().as_str()),
            "findingType" => one(self.finding_type().as_str()),
            "createdAt" => one(&iso8601_s(self.created_ms)),
            "analyzedAt" => one(&iso8601_s(self.analyzed_ms)),
            "updatedAt" => one(&iso8601_s(self.updated_ms)),
            "error" => self.error.clone().into_iter().collect(),
            "action" => external.map(|(_, actions, ..)| actions.clone()).unwrap_or_default(),
            "isPublic" => external.map(|(_, _, _, is_public, _)| vec![is_public.to_string()]).unwrap_or_default(),
            "resourceControlPolicyRestriction" => external.map(|(.., restriction)| one(restriction)).unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    fn first_form(&self) -> Option<Finding> {
        let Detail::External { principal, actions, condition, is_public, restriction } = &self.detail else { return None };
        Some(Finding {
            id: self.id.clone(),
            principal: Some(principal.clone()),
            action: Some(actions.clone()),
            resource: Some(self.resource.clone()),
            is_public: Some(*is_public),
            resource_type: ResourceType::from(self.resource_type.as_str()),
            condition: condition.clone(),
            created_at: Timestamp(self.created_ms),
            analyzed_at: Timestamp(self.analyzed_ms),
            updated_at: Timestamp(self.updated_ms),
            status: self.state.output(),
            resource_owner_account: self.owner.clone(),
            error: self.error.clone(),
            sources: Some(sources()),
            resource_control_policy_restriction: Some(ResourceControlPolicyRestriction::from(restriction.as_str())),
        })
    }

    fn summary(&self) -> Option<FindingSummary> {
        let finding = self.first_form()?;
        Some(FindingSummary {
            id: finding.id,
            principal: finding.principal,
            action: finding.action,
            resource: finding.resource,
            is_public: finding.is_public,
            resource_type: finding.resource_type,
            condition: finding.condition,
            created_at: finding.created_at,
            analyzed_at: finding.analyzed_at,
            updated_at: finding.updated_at,
            status: finding.status,
            resource_owner_account: finding.resource_owner_account,
            error: finding.error,
            sources: finding.sources,
            resource_control_policy_restriction: finding.resource_control_policy_restriction,
        })
    }

    fn second_form(&self) -> FindingSummaryV2 {
        FindingSummaryV2 {
            analyzed_at: Timestamp(self.analyzed_ms),
            created_at: Timestamp(self.created_ms),
            error: self.error.clone(),
            id: self.id.clone(),
            resource: Some(self.resource.clone()),
            resource_type: ResourceType::from(self.resource_type.as_str()),
            resource_owner_account: self.owner.clone(),
            status: self.state.output(),
            updated_at: Timestamp(self.updated_ms),
            finding_type: Some(self.finding_type()),
        }
    }

    fn details(&self) -> Vec<FindingDetails> {
        let time = |ms: &Option<i64>| ms.map(Timestamp);
        match &self.detail {
            Detail::External { principal, actions, condition, is_public, restriction } => {
                vec![FindingDetails::ExternalAccessDetails(ExternalAccessDetails {
                    action: Some(actions.clone()),
                    condition: condition.clone(),
                    is_public: Some(*is_public),
                    principal: Some(principal.clone()),
                    sources: Some(sources()),
                    resource_control_policy_restriction: Some(ResourceControlPolicyRestriction::from(restriction.as_str())),
                })]
            }
            Detail::UnusedRole { last_ms } => {
                vec![FindingDetails::UnusedIamRoleDetails(UnusedIamRoleDetails { last_accessed: time(last_ms) })]
            }
            Detail::UnusedKey { access_key_id, last_ms } => {
                vec![FindingDetails::UnusedIamUserAccessKeyDetails(UnusedIamUserAccessKeyDetails {
                    access_key_id: access_key_id.clone(),
                    last_accessed: time(last_ms),
                })]
            }
            Detail::UnusedPassword { last_ms } => {
                vec![FindingDetails::UnusedIamUserPasswordDetails(UnusedIamUserPasswordDetails { last_accessed: time(last_ms) })]
            }
            Detail::UnusedPermission { services } => services
                .iter()
                .map(|service| {
                    let actions: Vec<UnusedAction> =
                        service.actions.iter().map(|action| UnusedAction { action: action.clone(), last_accessed: None }).collect();
                    FindingDetails::UnusedPermissionDetails(UnusedPermissionDetails {
                        actions: (!actions.is_empty()).then_some(actions),
                        service_namespace: service.prefix.clone(),
                        last_accessed: time(&service.last_ms),
                    })
                })
                .collect(),
        }
    }
}

fn sources() -> Vec<FindingSource> {
    vec![FindingSource { type_: FindingSourceType::Policy, detail: None }]
}

/// The findings that are written down.
pub(crate) async fn stored(tx: &mut Transaction, analyzer: &Analyzer) -> Result<Vec<FindingRecord>, ApiError> {
    let rows = tx.scan::<FindingRecord>(&FindingRecord::prefix(analyzer), None, plane::transaction::SCAN_LIMIT).await?;
    Ok(rows.into_iter().map(|(_, finding)| finding).collect())
}

/// The findings as they are now: what has changed since the last look is looked at first.
async fn current(cx: &mut Call, analyzer: &Analyzer) -> Result<Vec<FindingRecord>, ApiError> {
    scan::bring_up_to_date(&cx.plane, analyzer).await?;
    stored(&mut cx.tx.renew(), analyzer).await
}

async fn one(cx: &mut Call, analyzer: &Analyzer, id: &str) -> Result<FindingRecord, ApiError> {
    let found = current(cx, analyzer).await?.into_iter().find(|finding| finding.id == id);
    found.ok_or_else(|| AnalyzerError::finding(id).into())
}

fn only_external(analyzer: &Analyzer) -> Result<(), ApiError> {
    if analyzer.kind.is_unused() {
        let message = "Use GetFindingV2 and ListFindingsV2 for the findings of an unused access analyzer.";
        return Err(AnalyzerError::invalid("analyzerArn", message).into());
    }
    Ok(())
}

pub(crate) async fn get_finding(cx: &mut Call, input: GetFindingInput) -> Result<GetFindingOutput, ApiError> {
    let analyzer = load_by_arn(cx, &input.analyzer_arn).await?;
    only_external(&analyzer)?;
    Ok(GetFindingOutput { finding: one(cx, &analyzer, &input.id).await?.first_form() })
}

pub(crate) async fn get_finding_v2(cx: &mut Call, input: GetFindingV2Input) -> Result<GetFindingV2Output, ApiError> {
    let analyzer = load_by_arn(cx, &input.analyzer_arn).await?;
    let finding = one(cx, &analyzer, &input.id).await?;
    let details: Vec<(usize, FindingDetails)> = finding.details().into_iter().enumerate().collect();
    let page = paged::cut(cx, details, |(at, _)| format!("{at:08}"), &finding.id, input.next_token.as_deref(), input.max_results)?;
    let summary = finding.second_form();
    Ok(GetFindingV2Output {
        analyzed_at: summary.analyzed_at,
        created_at: summary.created_at,
        error: summary.error,
        id: summary.id,
        next_token: page.next,
        resource: summary.resource,
        resource_type: summary.resource_type,
        resource_owner_account: summary.resource_owner_account,
        status: summary.status,
        updated_at: summary.updated_at,
        finding_details: page.items.into_iter().map(|(_, detail)| detail).collect(),
        finding_type: summary.finding_type,
    })
}

/// The findings that a list asks for, each with its place in the order asked for.
async fn listed(
    cx: &mut Call,
    analyzer: &Analyzer,
    filter: Option<BTreeMap<String, api_accessanalyzer::Criterion>>,
    sort: Option<SortCriteria>,
) -> Result<(Vec<(String, FindingRecord)>, String), ApiError> {
    let filter: Filter = filter::read(filter.unwrap_or_default())?;
    let attribute = sort.as_ref().and_then(|sort| sort.attribute_name.clone()).unwrap_or_else(|| "id".to_owned());
    let descending = sort.is_some_and(|sort| sort.order_by == Some(OrderBy::Desc));
    let mut findings = current(cx, analyzer).await?;
    findings.retain(|finding| filter::matches(&filter, finding));
    let key = |finding: &FindingRecord| format!("{}\u{1}{}", finding.attribute(&attribute).concat(), finding.id);
    findings.sort_by_key(key);
    if descending {
        findings.reverse();
    }
    let name = format!("{} {filter:?} {attribute} {descending}", analyzer.name);
    // The page's token names a place in this order; a finding that arises meanwhile shifts it by one at most.
    Ok((findings.into_iter().enumerate().map(|(at, finding)| (format!("{at:08}"), finding)).collect(), name))
}

pub(crate) async fn list_findings(cx: &mut Call, input: ListFindingsInput) -> Result<ListFindingsOutput, ApiError> {
    let analyzer = load_by_arn(cx, &input.analyzer_arn).await?;
    only_external(&analyzer)?;
    let (findings, name) = listed(cx, &analyzer, input.filter, input.sort).await?;
    let page = paged::cut(cx, findings, |(at, _)| at.clone(), &name, input.next_token.as_deref(), input.max_results)?;
    Ok(ListFindingsOutput { findings: page.items.iter().filter_map(|(_, finding)| finding.summary()).collect(), next_token: page.next })
}

pub(crate) async fn list_findings_v2(cx: &mut Call, input: ListFindingsV2Input) -> Result<ListFindingsV2Output, ApiError> {
    let analyzer = load_by_arn(cx, &input.analyzer_arn).await?;
    let (findings, name) = listed(cx, &analyzer, input.filter, input.sort).await?;
    let page = paged::cut(cx, findings, |(at, _)| at.clone(), &name, input.next_token.as_deref(), input.max_results)?;
    Ok(ListFindingsV2Output { findings: page.items.iter().map(|(_, finding)| finding.second_form()).collect(), next_token: page.next })
}

/// Archives findings, or makes them active again.
pub(crate) async fn update_findings(cx: &mut Call, input: UpdateFindingsInput) -> Result<UpdateFindingsOutput, ApiError> {
    let analyzer = load_by_arn(cx, &input.analyzer_arn).await?;
    let state = match input.status {
        FindingStatusUpdate::Active => FindingState::Active,
        FindingStatusUpdate::Archived => FindingState::Archived,
        FindingStatusUpdate::Other(_) => return Err(AnalyzerError::invalid("status", "The status is not valid.").into()),
    };
    if input.ids.is_some() == input.resource_arn.is_some() {
        return Err(AnalyzerError::invalid("ids", "Specify either ids or resourceArn.").into());
    }
    let mut findings = stored(&mut cx.tx, &analyzer).await?;
    let ids = input.ids.unwrap_or_default();
    if let Some(missing) = ids.iter().find(|id| findings.iter().all(|finding| finding.id != **id)) {
        return Err(AnalyzerError::finding(missing).into());
    }
    for finding in &mut findings {
        let named = ids.contains(&finding.id) || input.resource_arn.as_ref() == Some(&finding.resource);
        if named && finding.state != FindingState::Resolved && finding.state != state {
            finding.state = state;
            finding.updated_ms = cx.now.0;
            finding.put(&mut cx.tx, &analyzer)?;
        }
    }
    Ok(UpdateFindingsOutput {})
}

fn count(number: usize) -> Option<i32> {
    i32::try_from(number).ok()
}

pub(crate) async fn get_findings_statistics(
    cx: &mut Call,
    input: GetFindingsStatisticsInput,
) -> Result<GetFindingsStatisticsOutput, ApiError> {
    let analyzer = load_by_arn(cx, &input.analyzer_arn).await?;
    let findings = current(cx, &analyzer).await?;
    let in_state = |state: FindingState| count(findings.iter().filter(|finding| finding.state == state).count());
    let active = || findings.iter().filter(|finding| finding.state == FindingState::Active);
    let statistics = if analyzer.kind.is_unused() {
        let mut by_type: BTreeMap<String, i32> = BTreeMap::new();
        for finding in active() {
            *by_type.entry(finding.finding_type().as_str().to_owned()).or_default() += 1;
        }
        let types =
            by_type.into_iter().map(|(name, total)| UnusedAccessTypeStatistics { unused_access_type: Some(name), total: Some(total) });
        FindingsStatistics::UnusedAccessFindingsStatistics(UnusedAccessFindingsStatistics {
            unused_access_type_statistics: Some(types.collect()),
            top_accounts: None,
            total_active_findings: in_state(FindingState::Active),
            total_archived_findings: in_state(FindingState::Archived),
            total_resolved_findings: in_state(FindingState::Resolved),
        })
    } else {
        let mut by_type: BTreeMap<String, ResourceTypeDetails> = BTreeMap::new();
        for finding in active() {
            let details = by_type.entry(finding.resource_type.clone()).or_insert_with(|| ResourceTypeDetails {
                total_active_public: Some(0),
                total_active_cross_account: Some(0),
                total_active_errors: Some(0),
            });
            let is_public = matches!(finding.detail, Detail::External { is_public: true, .. });
            let slot = match (&finding.error, is_public) {
                (Some(_), _) => &mut details.total_active_errors,
                (None, true) => &mut details.total_active_public,
                (None, false) => &mut details.total_active_cross_account,
            };
            *slot = slot.map(|number| number.saturating_add(1));
        }
        FindingsStatistics::ExternalAccessFindingsStatistics(ExternalAccessFindingsStatistics {
            resource_type_statistics: Some(by_type),
            total_active_findings: in_state(FindingState::Active),
            total_archived_findings: in_state(FindingState::Archived),
            total_resolved_findings: in_state(FindingState::Resolved),
        })
    };
    Ok(GetFindingsStatisticsOutput { findings_statistics: Some(vec![statistics]), last_updated_at: Some(cx.now) })
}

pub(crate) async fn list_analyzed_resources(
    cx: &mut Call,
    input: ListAnalyzedResourcesInput,
) -> Result<ListAnalyzedResourcesOutput, ApiError> {
    let analyzer = load_by_arn(cx, &input.analyzer_arn).await?;
    only_external(&analyzer)?;
    let mut resources = scan::resources(&cx.plane, &analyzer).await?;
    resources.retain(|resource| input.resource_type.as_ref().is_none_or(|wanted| wanted.as_str() == resource.kind));
    resources.sort_by(|left, right| left.arn.cmp(&right.arn));
    let filter = format!("{} {:?}", analyzer.name, input.resource_type);
    let page = paged::cut(cx, resources, |resource| resource.arn.clone(), &filter, input.next_token.as_deref(), input.max_results)?;
    let summary = |resource: &scan::Resource| AnalyzedResourceSummary {
        resource_arn: resource.arn.clone(),
        resource_owner_account: resource.owner.clone(),
        resource_type: ResourceType::from(resource.kind),
    };
    Ok(ListAnalyzedResourcesOutput { analyzed_resources: page.items.iter().map(summary).collect(), next_token: page.next })
}

pub(crate) async fn get_analyzed_resource(cx: &mut Call, input: GetAnalyzedResourceInput) -> Result<GetAnalyzedResourceOutput, ApiError> {
    let analyzer = load_by_arn(cx, &input.analyzer_arn).await?;
    only_external(&analyzer)?;
    let resources = scan::resources(&cx.plane, &analyzer).await?;
    let missing = || AnalyzerError::NotFound { resource_type: "resource", id: input.resource_arn.clone() };
    let resource = resources.into_iter().find(|resource| resource.arn == input.resource_arn).ok_or_else(missing)?;
    let findings = current(cx, &analyzer).await?;
    let mut of_resource = findings.iter().filter(|finding| finding.resource == resource.arn && finding.state != FindingState::Resolved);
    let first = of_resource.clone().next();
    let actions: Vec<String> = of_resource.clone().flat_map(|finding| finding.attribute("action")).collect();
    let is_public = of_resource.any(|finding| matches!(finding.detail, Detail::External { is_public: true, .. }));
    let at = |ms: fn(&FindingRecord) -> i64| Timestamp(first.map_or(cx.now.0, ms));
    Ok(GetAnalyzedResourceOutput {
        resource: Some(AnalyzedResource {
            resource_arn: resource.arn.clone(),
            resource_type: ResourceType::from(resource.kind),
            created_at: at(|finding| finding.created_ms),
            analyzed_at: at(|finding| finding.analyzed_ms),
            updated_at: at(|finding| finding.updated_ms),
            is_public,
            actions: (!actions.is_empty()).then_some(actions),
            shared_via: first.map(|_| vec!["POLICY".to_owned()]),
            status: first.map(|finding| finding.state.output()),
            resource_owner_account: resource.owner,
            error: None,
        }),
    })
}

/// Looks at a resource now.
pub(crate) async fn start_resource_scan(cx: &mut Call, input: StartResourceScanInput) -> Result<StartResourceScanOutput, ApiError> {
    let analyzer = load_by_arn(cx, &input.analyzer_arn).await?;
    let known = scan::resources(&cx.plane, &analyzer).await?;
    if !analyzer.kind.is_unused() && known.iter().all(|resource| resource.arn != input.resource_arn) {
        return Err(AnalyzerError::NotFound { resource_type: "resource", id: input.resource_arn }.into());
    }
    scan::run(&cx.plane, &analyzer).await?;
    Ok(StartResourceScanOutput {})
}
