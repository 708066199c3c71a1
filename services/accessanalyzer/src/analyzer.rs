//! Analyzers: what is analysed, and the rules that archive its findings.

use std::collections::BTreeMap;

use api_accessanalyzer::{
    AnalysisRule, AnalysisRuleCriteria, AnalyzerConfiguration, AnalyzerStatus, AnalyzerSummary, CreateAnalyzerInput, CreateAnalyzerOutput,
    CreateServiceLinkedAnalyzerInput, CreateServiceLinkedAnalyzerOutput, DeleteAnalyzerInput, DeleteAnalyzerOutput,
    DeleteServiceLinkedAnalyzerInput, DeleteServiceLinkedAnalyzerOutput, GetAnalyzerInput, GetAnalyzerOutput, ListAnalyzersInput,
    ListAnalyzersOutput, Type, UnusedAccessConfiguration, UpdateAnalyzerInput, UpdateAnalyzerOutput,
};
use plane::{ApiError, Call, Key, OrganizationView, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::Timestamp;

use crate::archive_rule::ArchiveRule;
use crate::error::AnalyzerError;
use crate::finding::FindingRecord;
use crate::{filter, paged, scan, tag};

/// Service principal that delegated administrators are registered for.
const PRINCIPAL: &str = "access-analyzer.amazonaws.com";
/// Analyzers of one kind in an account and region.
const EXTERNAL_MAX: usize = 1;
const UNUSED_MAX: usize = 100;
/// Days without use after which access counts as unused, if the analyzer does not say.
const UNUSED_DAYS: i32 = 90;

/// What an analyzer looks for, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AnalyzerKind {
    Account,
    Organization,
    AccountUnused,
    OrganizationUnused,
}

impl AnalyzerKind {
    fn read(kind: &Type) -> Result<Self, AnalyzerError> {
        Ok(match kind {
            Type::Account => Self::Account,
            Type::Organization => Self::Organization,
            Type::AccountUnusedAccess => Self::AccountUnused,
            Type::OrganizationUnusedAccess => Self::OrganizationUnused,
            Type::AccountInternalAccess | Type::OrganizationInternalAccess => {
                return Err(AnalyzerError::NotSupported("Internal access analyzers are not supported in this Region."));
            }
            Type::Other(_) => return Err(AnalyzerError::invalid("type", "The analyzer type is not valid.")),
        })
    }

    fn output(self) -> Type {
        match self {
            Self::Account => Type::Account,
            Self::Organization => Type::Organization,
            Self::AccountUnused => Type::AccountUnusedAccess,
            Self::OrganizationUnused => Type::OrganizationUnusedAccess,
        }
    }

    pub(crate) fn is_unused(self) -> bool {
        matches!(self, Self::AccountUnused | Self::OrganizationUnused)
    }

    pub(crate) fn is_organization(self) -> bool {
        matches!(self, Self::Organization | Self::OrganizationUnused)
    }
}

/// Whom an unused-access analyzer leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exclusion {
    #[serde(default)]
    pub accounts: Vec<String>,
    #[serde(default)]
    pub tags: Vec<BTreeMap<String, String>>,
}

/// An analyzer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Analyzer {
    pub name: String,
    pub account: String,
    pub region: String,
    pub kind: AnalyzerKind,
    pub created_ms: i64,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
    #[serde(default)]
    pub archive_rules: BTreeMap<String, ArchiveRule>,
    #[serde(default)]
    pub unused_days: Option<i32>,
    #[serde(default)]
    pub exclusions: Vec<Exclusion>,
    #[serde(default)]
    pub last_resource: Option<String>,
    #[serde(default)]
    pub analyzed_ms: Option<i64>,
}

impl Record for Analyzer {
    const TABLE: Table = Table("accessanalyzer-analyzer");
    const SCOPE: Scope = Scope::Region;
}

/// Where analyzers are, over all accounts: for the background work.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AnalyzerPlace {
    pub account: String,
    pub name: String,
}

impl Record for AnalyzerPlace {
    const TABLE: Table = Table("accessanalyzer-place");
    const SCOPE: Scope = Scope::Region;
}

impl AnalyzerPlace {
    pub(crate) fn prefix(region: &str) -> Key {
        Key::new("", region)
    }

    fn key(analyzer: &Analyzer) -> Key {
        Self::prefix(&analyzer.region).then(&analyzer.account).last(&analyzer.name)
    }
}

impl Analyzer {
    pub(crate) fn key(account: &str, region: &str, name: &str) -> Key {
        Key::new(account, region).last(name)
    }

    pub(crate) fn arn(&self) -> String {
        format!("arn:{}:access-analyzer:{}:{}:analyzer/{}", plane::PARTITION, self.region, self.account, self.name)
    }

    pub(crate) fn put(&self, tx: &mut Transaction) -> Result<(), ApiError> {
        tx.put(&Self::key(&self.account, &self.region, &self.name), self)
    }

    pub(crate) fn unused_days(&self) -> i32 {
        self.unused_days.unwrap_or(UNUSED_DAYS)
    }

    fn configuration(&self) -> Option<AnalyzerConfiguration> {
        self.kind.is_unused().then(|| {
            let exclusions: Vec<AnalysisRuleCriteria> = self
                .exclusions
                .iter()
                .map(|exclusion| AnalysisRuleCriteria {
                    account_ids: (!exclusion.accounts.is_empty()).then(|| exclusion.accounts.clone()),
                    resource_tags: (!exclusion.tags.is_empty()).then(|| exclusion.tags.clone()),
                })
                .collect();
            AnalyzerConfiguration::UnusedAccess(UnusedAccessConfiguration {
                unused_access_age: Some(self.unused_days()),
                analysis_rule: (!exclusions.is_empty()).then_some(AnalysisRule { exclusions: Some(exclusions) }),
            })
        })
    }

    fn summary(&self) -> AnalyzerSummary {
        AnalyzerSummary {
            arn: self.arn(),
            name: self.name.clone(),
            type_: self.kind.output(),
            created_at: Timestamp(self.created_ms),
            last_resource_analyzed: self.last_resource.clone(),
            last_resource_analyzed_at: self.analyzed_ms.map(Timestamp),
            tags: Some(self.tags.iter().cloned().collect()),
            status: AnalyzerStatus::Active,
            status_reason: None,
            configuration: self.configuration(),
            managed_by: None,
        }
    }
}

/// The analyzer of this name in the caller's account and region.
pub(crate) async fn load(cx: &mut Call, name: &str) -> Result<Analyzer, ApiError> {
    let key = Analyzer::key(&cx.account, &cx.region, name);
    cx.tx.get::<Analyzer>(&key).await?.ok_or_else(|| AnalyzerError::analyzer(name).into())
}

/// The name in an analyzer's ARN, if it is one of the caller's account and region.
pub(crate) fn name_of<'a>(cx: &Call, arn: &'a str) -> Result<&'a str, ApiError> {
    let start = format!("arn:{}:access-analyzer:{}:{}:analyzer/", plane::PARTITION, cx.region, cx.account);
    let name = arn.strip_prefix(&start).filter(|name| !name.is_empty() && !name.contains('/'));
    name.ok_or_else(|| AnalyzerError::analyzer(arn).into())
}

pub(crate) async fn load_by_arn(cx: &mut Call, arn: &str) -> Result<Analyzer, ApiError> {
    let name = name_of(cx, arn)?.to_owned();
    load(cx, &name).await
}

async fn all(cx: &mut Call) -> Result<Vec<Analyzer>, ApiError> {
    let prefix = Key::new(&cx.account, &cx.region);
    Ok(cx.tx.scan::<Analyzer>(&prefix, None, plane::transaction::SCAN_LIMIT).await?.into_iter().map(|(_, analyzer)| analyzer).collect())
}

/// What an unused-access analyzer is configured to.
fn configured(kind: AnalyzerKind, configuration: Option<AnalyzerConfiguration>) -> Result<(Option<i32>, Vec<Exclusion>), AnalyzerError> {
    let settings = match (kind.is_unused(), configuration) {
        (_, None) => return Ok((None, Vec::new())),
        (true, Some(AnalyzerConfiguration::UnusedAccess(settings))) => settings,
        _ => return Err(AnalyzerError::invalid("configuration", "The configuration does not fit the type of the analyzer.")),
    };
    if settings.unused_access_age.is_some_and(|days| !(1..=365).contains(&days)) {
        return Err(AnalyzerError::invalid("unusedAccessAge", "The unused access age must be between 1 and 365 days."));
    }
    let exclusions = settings.analysis_rule.and_then(|rule| rule.exclusions).unwrap_or_default();
    let exclusions = exclusions.into_iter().map(|exclusion| Exclusion {
        accounts: exclusion.account_ids.unwrap_or_default(),
        tags: exclusion.resource_tags.unwrap_or_default(),
    });
    Ok((settings.unused_access_age, exclusions.collect()))
}

/// Whether an account may look at all accounts of its organization. Source: IAM User Guide, "Delegated administrator for IAM Access Analyzer".
pub(crate) fn may_look_at(view: &OrganizationView, account: &str) -> bool {
    let delegated = || view.delegated_administrators.get(PRINCIPAL).is_some_and(|accounts| accounts.contains(account));
    view.organization.management_account == account || delegated()
}

pub(crate) async fn create_analyzer(cx: &mut Call, input: CreateAnalyzerInput) -> Result<CreateAnalyzerOutput, ApiError> {
    let kind = AnalyzerKind::read(&input.type_)?;
    let (unused_days, exclusions) = configured(kind, input.configuration)?;
    let name = input.analyzer_name;
    let existing = all(cx).await?;
    if existing.iter().any(|analyzer| analyzer.name == name) {
        return Err(AnalyzerError::Exists { resource_type: "analyzer", id: name }.into());
    }
    let limit = if kind.is_unused() { UNUSED_MAX } else { EXTERNAL_MAX };
    if existing.iter().filter(|analyzer| analyzer.kind == kind).count() >= limit {
        return Err(AnalyzerError::QuotaExceeded { resource_type: "analyzer", id: name }.into());
    }
    if kind.is_organization() {
        let view = cx.plane.organization(&cx.account).await?;
        if !view.is_some_and(|view| may_look_at(&view, &cx.account)) {
            let message = "You must use the management account of an organization, or its delegated administrator for IAM Access Analyzer, to create an analyzer with the organization as the zone of trust.";
            return Err(AnalyzerError::invalid("type", message).into());
        }
    }
    let mut archive_rules = BTreeMap::new();
    for rule in input.archive_rules.unwrap_or_default() {
        let stored = ArchiveRule::new(rule.filter, cx.now.0)?;
        if archive_rules.insert(rule.rule_name.clone(), stored).is_some() {
            return Err(AnalyzerError::Exists { resource_type: "archive-rule", id: rule.rule_name }.into());
        }
    }
    let analyzer = Analyzer {
        name,
        account: cx.account.clone(),
        region: cx.region.clone(),
        kind,
        created_ms: cx.now.0,
        tags: tag::checked(input.tags.unwrap_or_default())?,
        archive_rules,
        unused_days,
        exclusions,
        last_resource: None,
        analyzed_ms: None,
    };
    let place = AnalyzerPlace { account: analyzer.account.clone(), name: analyzer.name.clone() };
    cx.tx.put(&AnalyzerPlace::key(&analyzer), &place)?;
    analyzer.put(&mut cx.tx)?;
    let arn = analyzer.arn();
    cx.touch("AWS::AccessAnalyzer::Analyzer", &arn, &analyzer.account);
    Ok(CreateAnalyzerOutput { arn: Some(arn) })
}

pub(crate) async fn get_analyzer(cx: &mut Call, input: GetAnalyzerInput) -> Result<GetAnalyzerOutput, ApiError> {
    let analyzer = load(cx, &input.analyzer_name).await?;
    scan::bring_up_to_date(&cx.plane, &analyzer).await?;
    let key = Analyzer::key(&cx.account, &cx.region, &analyzer.name);
    let fresh = cx.tx.renew().get::<Analyzer>(&key).await?.unwrap_or(analyzer);
    Ok(GetAnalyzerOutput { analyzer: fresh.summary() })
}

pub(crate) async fn list_analyzers(cx: &mut Call, input: ListAnalyzersInput) -> Result<ListAnalyzersOutput, ApiError> {
    let wanted = input.type_.as_ref();
    let mut analyzers = all(cx).await?;
    analyzers.retain(|analyzer| wanted.is_none_or(|wanted| analyzer.kind.output() == *wanted));
    let filter = wanted.map_or("", Type::as_str);
    let page = paged::cut(cx, analyzers, |analyzer| analyzer.name.clone(), filter, input.next_token.as_deref(), input.max_results)?;
    Ok(ListAnalyzersOutput { analyzers: page.items.iter().map(Analyzer::summary).collect(), next_token: page.next })
}

pub(crate) async fn update_analyzer(cx: &mut Call, input: UpdateAnalyzerInput) -> Result<UpdateAnalyzerOutput, ApiError> {
    let mut analyzer = load(cx, &input.analyzer_name).await?;
    let (unused_days, exclusions) = configured(analyzer.kind, input.configuration)?;
    analyzer.unused_days = unused_days.or(analyzer.unused_days);
    analyzer.exclusions = exclusions;
    analyzer.put(&mut cx.tx)?;
    Ok(UpdateAnalyzerOutput { configuration: analyzer.configuration() })
}

pub(crate) async fn delete_analyzer(cx: &mut Call, input: DeleteAnalyzerInput) -> Result<DeleteAnalyzerOutput, ApiError> {
    let analyzer = load(cx, &input.analyzer_name).await?;
    let prefix = FindingRecord::prefix(&analyzer);
    for (rest, _) in cx.tx.scan::<FindingRecord>(&prefix, None, plane::transaction::SCAN_LIMIT).await? {
        cx.tx.delete::<FindingRecord>(&prefix.clone().last(rest));
    }
    cx.tx.delete::<AnalyzerPlace>(&AnalyzerPlace::key(&analyzer));
    cx.tx.delete::<Analyzer>(&Analyzer::key(&analyzer.account, &analyzer.region, &analyzer.name));
    Ok(DeleteAnalyzerOutput {})
}

/// Only services of AWS may make analyzers that they manage.
pub(crate) async fn create_service_linked_analyzer(
    _cx: &mut Call,
    _input: CreateServiceLinkedAnalyzerInput,
) -> Result<CreateServiceLinkedAnalyzerOutput, ApiError> {
    Err(service_only("CreateServiceLinkedAnalyzer"))
}

pub(crate) async fn delete_service_linked_analyzer(
    _cx: &mut Call,
    _input: DeleteServiceLinkedAnalyzerInput,
) -> Result<DeleteServiceLinkedAnalyzerOutput, ApiError> {
    Err(service_only("DeleteServiceLinkedAnalyzer"))
}

fn service_only(operation: &str) -> ApiError {
    ApiError::new("AccessDeniedException", format!("{operation} can be called by AWS services only.")).with_status(403)
}

/// Whether an archive rule of the analyzer takes the finding.
pub(crate) fn archives(analyzer: &Analyzer, finding: &FindingRecord) -> bool {
    analyzer.archive_rules.values().any(|rule| filter::matches(&rule.filter, finding))
}
