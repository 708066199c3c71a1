//! Archive rules: findings that match one are archived when they arise.

use std::collections::BTreeMap;

use api_accessanalyzer::{
    ApplyArchiveRuleInput, ApplyArchiveRuleOutput, ArchiveRuleSummary, CreateArchiveRuleInput, CreateArchiveRuleOutput, Criterion,
    DeleteArchiveRuleInput, DeleteArchiveRuleOutput, GetArchiveRuleInput, GetArchiveRuleOutput, ListArchiveRulesInput,
    ListArchiveRulesOutput, UpdateArchiveRuleInput, UpdateArchiveRuleOutput,
};
use plane::{ApiError, Call};
use serde::{Deserialize, Serialize};
use wire::Timestamp;

use crate::analyzer::{load, load_by_arn};
use crate::error::AnalyzerError;
use crate::filter::{self, Filter};
use crate::finding::{self, FindingState};
use crate::paged;

/// Rules of one analyzer.
const RULES_MAX: usize = 100;

/// An archive rule.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ArchiveRule {
    pub filter: Filter,
    pub created_ms: i64,
    pub updated_ms: i64,
}

impl ArchiveRule {
    pub(crate) fn new(filter: BTreeMap<String, Criterion>, now_ms: i64) -> Result<Self, AnalyzerError> {
        if filter.is_empty() {
            return Err(AnalyzerError::invalid("filter", "The filter must have at least one criterion."));
        }
        Ok(Self { filter: filter::read(filter)?, created_ms: now_ms, updated_ms: now_ms })
    }

    fn summary(&self, name: &str) -> ArchiveRuleSummary {
        ArchiveRuleSummary {
            rule_name: name.to_owned(),
            filter: filter::output(&self.filter),
            created_at: Timestamp(self.created_ms),
            updated_at: Timestamp(self.updated_ms),
        }
    }
}

fn missing(name: &str) -> ApiError {
    AnalyzerError::NotFound { resource_type: "archive-rule", id: name.to_owned() }.into()
}

pub(crate) async fn create_archive_rule(cx: &mut Call, input: CreateArchiveRuleInput) -> Result<CreateArchiveRuleOutput, ApiError> {
    let mut analyzer = load(cx, &input.analyzer_name).await?;
    if analyzer.archive_rules.contains_key(&input.rule_name) {
        return Err(AnalyzerError::Exists { resource_type: "archive-rule", id: input.rule_name }.into());
    }
    if analyzer.archive_rules.len() >= RULES_MAX {
        return Err(AnalyzerError::QuotaExceeded { resource_type: "archive-rule", id: input.rule_name }.into());
    }
    analyzer.archive_rules.insert(input.rule_name, ArchiveRule::new(input.filter, cx.now.0)?);
    analyzer.put(&mut cx.tx)?;
    Ok(CreateArchiveRuleOutput {})
}

pub(crate) async fn get_archive_rule(cx: &mut Call, input: GetArchiveRuleInput) -> Result<GetArchiveRuleOutput, ApiError> {
    let analyzer = load(cx, &input.analyzer_name).await?;
    let rule = analyzer.archive_rules.get(&input.rule_name).ok_or_else(|| missing(&input.rule_name))?;
    Ok(GetArchiveRuleOutput { archive_rule: rule.summary(&input.rule_name) })
}

pub(crate) async fn list_archive_rules(cx: &mut Call, input: ListArchiveRulesInput) -> Result<ListArchiveRulesOutput, ApiError> {
    let analyzer = load(cx, &input.analyzer_name).await?;
    let rules: Vec<ArchiveRuleSummary> = analyzer.archive_rules.iter().map(|(name, rule)| rule.summary(name)).collect();
    let page = paged::cut(cx, rules, |rule| rule.rule_name.clone(), &analyzer.name, input.next_token.as_deref(), input.max_results)?;
    Ok(ListArchiveRulesOutput { archive_rules: page.items, next_token: page.next })
}

pub(crate) async fn update_archive_rule(cx: &mut Call, input: UpdateArchiveRuleInput) -> Result<UpdateArchiveRuleOutput, ApiError> {
    let mut analyzer = load(cx, &input.analyzer_name).await?;
    let new = ArchiveRule::new(input.filter, cx.now.0)?;
    let rule = analyzer.archive_rules.get_mut(&input.rule_name).ok_or_else(|| missing(&input.rule_name))?;
    rule.filter = new.filter;
    rule.updated_ms = cx.now.0;
    analyzer.put(&mut cx.tx)?;
    Ok(UpdateArchiveRuleOutput {})
}

pub(crate) async fn delete_archive_rule(cx: &mut Call, input: DeleteArchiveRuleInput) -> Result<DeleteArchiveRuleOutput, ApiError> {
    let mut analyzer = load(cx, &input.analyzer_name).await?;
    analyzer.archive_rules.remove(&input.rule_name).ok_or_else(|| missing(&input.rule_name))?;
    analyzer.put(&mut cx.tx)?;
    Ok(DeleteArchiveRuleOutput {})
}

/// Archives the findings that there are already.
pub(crate) async fn apply_archive_rule(cx: &mut Call, input: ApplyArchiveRuleInput) -> Result<ApplyArchiveRuleOutput, ApiError> {
    let analyzer = load_by_arn(cx, &input.analyzer_arn).await?;
    let rule = analyzer.archive_rules.get(&input.rule_name).ok_or_else(|| missing(&input.rule_name))?.clone();
    for mut found in finding::stored(&mut cx.tx, &analyzer).await? {
        if found.state == FindingState::Active && filter::matches(&rule.filter, &found) {
            found.state = FindingState::Archived;
            found.updated_ms = cx.now.0;
            found.put(&mut cx.tx, &analyzer)?;
        }
    }
    Ok(ApplyArchiveRuleOutput {})
}
