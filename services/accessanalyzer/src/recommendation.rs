//! What to do about unused permissions.

use api_accessanalyzer::{
    GenerateFindingRecommendationInput, GenerateFindingRecommendationOutput, GetFindingRecommendationInput, GetFindingRecommendationOutput,
    RecommendationType, RecommendedRemediationAction, RecommendedStep, Status, UnusedPermissionsRecommendedStep,
};
use plane::{ApiError, Call, Key, Record, Scope};
use policy::{Effect, PolicyDocument, PolicySource};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::Timestamp;

use crate::analyzer::load_by_arn;
use crate::error::AnalyzerError;
use crate::finding::{self, Detail, FindingRecord, UnusedService};
use crate::paged;

/// A step of a recommendation.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct StoredStep {
    /// The policy as it should be; `None`: detach it.
    replacement: Option<String>,
    policy_id: String,
}

/// A recommendation for one finding.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Recommendation {
    finding_id: String,
    resource: String,
    made_ms: i64,
    steps: Vec<StoredStep>,
}

impl Record for Recommendation {
    const TABLE: Table = Table("accessanalyzer-recommendation");
    const SCOPE: Scope = Scope::Region;
}

fn key(cx: &Call, analyzer: &str, id: &str) -> Key {
    Key::new(&cx.account, &cx.region).then(analyzer).last(id)
}

fn unused(finding: &FindingRecord) -> Result<&[UnusedService], AnalyzerError> {
    match &finding.detail {
        Detail::UnusedPermission { services } => Ok(services),
        _ => Err(AnalyzerError::invalid("id", "Recommendations are generated for findings of unused permissions.")),
    }
}

pub(crate) async fn generate_finding_recommendation(
    cx: &mut Call,
    input: GenerateFindingRecommendationInput,
) -> Result<GenerateFindingRecommendationOutput, ApiError> {
    let analyzer = load_by_arn(cx, &input.analyzer_arn).await?;
    let findings = finding::stored(&mut cx.tx, &analyzer).await?;
    let finding = findings.into_iter().find(|finding| finding.id == input.id).ok_or_else(|| AnalyzerError::finding(&input.id))?;
    let services = unused(&finding)?.to_vec();
    let directory = cx.plane.directory().clone();
    let principal = directory.principal(&mut cx.tx, &finding.resource).await?.ok_or_else(|| AnalyzerError::finding(&input.id))?;
    let access = directory.access(&mut cx.tx, &principal).await?;
    let mut steps = Vec::new();
    for attached in &access.identity {
        let Some(document) = without_unused(&PolicyDocument::from(&*attached.policy), &services) else { continue };
        // What AWS manages cannot be changed: it is replaced by a policy of the account, or detached.
        let replacement = (!document.statements.is_empty()).then(|| document.text());
        let policy_id = attached.id.to_string();
        if replacement.is_none() || attached.source != PolicySource::None {
            steps.push(StoredStep { replacement, policy_id });
        }
    }
    let recommendation = Recommendation { finding_id: finding.id.clone(), resource: finding.resource, made_ms: cx.now.0, steps };
    cx.tx.put(&key(cx, &analyzer.name, &finding.id), &recommendation)?;
    Ok(GenerateFindingRecommendationOutput {})
}

/// The document without the unused actions that it names; `None` if it names none.
fn without_unused(document: &PolicyDocument, services: &[UnusedService]) -> Option<PolicyDocument> {
    let is_unused = |action: &str| {
        let lower = action.to_lowercase();
        let prefix = lower.split(':').next().unwrap_or_default();
        services.iter().any(|service| {
            service.prefix == prefix
                && (service.last_ms.is_none() || service.actions.iter().any(|unused| unused.eq_ignore_ascii_case(action)))
        })
    };
    let mut changed = document.clone();
    for statement in &mut changed.statements {
        if statement.effect == Effect::Allow && !statement.actions.negated {
            statement.actions.list.retain(|action| !is_unused(action));
        }
    }
    changed.statements.retain(|statement| statement.actions.negated || !statement.actions.list.is_empty());
    (changed != *document).then_some(changed)
}

pub(crate) async fn get_finding_recommendation(
    cx: &mut Call,
    input: GetFindingRecommendationInput,
) -> Result<GetFindingRecommendationOutput, ApiError> {
    let analyzer = load_by_arn(cx, &input.analyzer_arn).await?;
    let found = cx.tx.get::<Recommendation>(&key(cx, &analyzer.name, &input.id)).await?;
    let missing = || AnalyzerError::NotFound { resource_type: "finding-recommendation", id: input.id.clone() };
    let recommendation = found.ok_or_else(missing)?;
    let steps: Vec<(usize, RecommendedStep)> = recommendation
        .steps
        .iter()
        .map(|step| {
            RecommendedStep::UnusedPermissionsRecommendedStep(UnusedPermissionsRecommendedStep {
                policy_updated_at: None,
                recommended_action: match step.replacement {
                    Some(_) => RecommendedRemediationAction::CreatePolicy,
                    None => RecommendedRemediationAction::DetachPolicy,
                },
                recommended_policy: step.replacement.clone(),
                existing_policy_id: Some(step.policy_id.clone()),
            })
        })
        .enumerate()
        .collect();
    let page = paged::cut(cx, steps, |(at, _)| format!("{at:08}"), &input.id, input.next_token.as_deref(), input.max_results)?;
    Ok(GetFindingRecommendationOutput {
        started_at: Timestamp(recommendation.made_ms),
        completed_at: Some(Timestamp(recommendation.made_ms)),
        next_token: page.next,
        error: None,
        resource_arn: recommendation.resource,
        recommended_steps: Some(page.items.into_iter().map(|(_, step)| step).collect()),
        recommendation_type: RecommendationType::UnusedPermissionRecommendation,
        status: Status::Succeeded,
    })
}
