//! IAM Access Analyzer: who outside gets in, what nobody uses, and what a policy would change before it is put.
//!
//! The reasoning over all requests is in the crate `access`; this crate keeps analyzers, looks at the resources of this server and
//! writes findings down. It decides no call.
//!
//! Invariants:
//! 1. A finding is active exactly while its access exists: who asks sees the state of this moment, because what came since the last
//!    look is looked at first; the background work does the same for those who do not ask.
//! 2. A check answers PASS or FAIL only where that is proved; else it is refused with `UnprocessableEntityException`.
//! 3. An analyzer shows its owner's account only, an organization's analyzer the members of the organization that its owner manages.
//!
//! ## Recorded only
//! The trails, the access role and the regions of a policy generation: the policy is made of this server's own trail in all regions.
//!
//! ## Not as AWS does
//! * Internal access analyzers, and analyzers that services of AWS manage, are refused.
//! * Policy generations and access previews are done when the call answers; a generation needs no trail.
//! * Nobody signs in with a password here, so a password counts as unused from the day that it was set; a finding names actions as the policy
//!   writes them.

mod analyzer;
mod archive_rule;
mod check;
mod error;
mod filter;
mod finding;
mod generation;
mod history;
mod paged;
mod preview;
mod recommendation;
mod scan;
mod tag;
mod unused;

use async_trait::async_trait;
use plane::service::ResourceAccess;
use plane::{ApiError, Handler, Service, Transaction, handler};

pub use scan::work;

/// The service.
pub struct AccessAnalyzer;

#[async_trait]
impl Service for AccessAnalyzer {
    fn id(&self) -> &'static str {
        api_accessanalyzer::SERVICE
    }

    // Else whoever names the service compiles all its handlers once more.
    #[inline(never)]
    fn handlers(&self) -> &'static [Handler] {
        HANDLERS
    }

    async fn resource(&self, tx: &mut Transaction, region: &str, arn: &str) -> Result<Option<ResourceAccess>, ApiError> {
        let mut parts = arn.splitn(6, ':').skip(4);
        let (Some(account), Some(resource)) = (parts.next(), parts.next()) else { return Ok(None) };
        let Some(name) = resource.strip_prefix("analyzer/").and_then(|rest| rest.split('/').next()) else { return Ok(None) };
        let found = tx.get::<analyzer::Analyzer>(&analyzer::Analyzer::key(account, region, name)).await?;
        Ok(found.map(|analyzer| ResourceAccess {
            account: analyzer.account,
            tags: analyzer.tags,
            resource_type: Some("AWS::AccessAnalyzer::Analyzer"),
            ..ResourceAccess::default()
        }))
    }
}

const HANDLERS: &[Handler] = &[
    handler!("ApplyArchiveRule", archive_rule::apply_archive_rule),
    handler!("CancelPolicyGeneration", generation::cancel_policy_generation),
    handler!("CheckAccessNotGranted", check::check_access_not_granted),
    handler!("CheckNoNewAccess", check::check_no_new_access),
    handler!("CheckNoPublicAccess", check::check_no_public_access),
    handler!("CreateAccessPreview", preview::create_access_preview),
    handler!("CreateAnalyzer", analyzer::create_analyzer),
    handler!("CreateArchiveRule", archive_rule::create_archive_rule),
    handler!("CreateServiceLinkedAnalyzer", analyzer::create_service_linked_analyzer),
    handler!("DeleteAnalyzer", analyzer::delete_analyzer),
    handler!("DeleteArchiveRule", archive_rule::delete_archive_rule),
    handler!("DeleteServiceLinkedAnalyzer", analyzer::delete_service_linked_analyzer),
    handler!("GenerateFindingRecommendation", recommendation::generate_finding_recommendation),
    handler!("GetAccessPreview", preview::get_access_preview),
    handler!("GetAnalyzedResource", finding::get_analyzed_resource),
    handler!("GetAnalyzer", analyzer::get_analyzer),
    handler!("GetArchiveRule", archive_rule::get_archive_rule),
    handler!("GetFinding", finding::get_finding),
    handler!("GetFindingRecommendation", recommendation::get_finding_recommendation),
    handler!("GetFindingV2", finding::get_finding_v2),
    handler!("GetFindingsStatistics", finding::get_findings_statistics),
    handler!("GetGeneratedPolicy", generation::get_generated_policy),
    handler!("ListAccessPreviewFindings", preview::list_access_preview_findings),
    handler!("ListAccessPreviews", preview::list_access_previews),
    handler!("ListAnalyzedResources", finding::list_analyzed_resources),
    handler!("ListAnalyzers", analyzer::list_analyzers),
    handler!("ListArchiveRules", archive_rule::list_archive_rules),
    handler!("ListFindings", finding::list_findings),
    handler!("ListFindingsV2", finding::list_findings_v2),
    handler!("ListPolicyGenerations", generation::list_policy_generations),
    handler!("ListTagsForResource", tag::list_tags_for_resource),
    handler!("StartPolicyGeneration", generation::start_policy_generation),
    handler!("StartResourceScan", finding::start_resource_scan),
    handler!("TagResource", tag::tag_resource),
    handler!("UntagResource", tag::untag_resource),
    handler!("UpdateAnalyzer", analyzer::update_analyzer),
    handler!("UpdateArchiveRule", archive_rule::update_archive_rule),
    handler!("UpdateFindings", finding::update_findings),
    handler!("ValidatePolicy", check::validate_policy),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_with_types_has_a_handler() {
        let handled: Vec<&str> = HANDLERS.iter().map(|handler| handler.operation).collect();
        assert_eq!(handled, api_accessanalyzer::OPERATIONS);
    }
}
