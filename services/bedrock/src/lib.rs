//! Amazon Bedrock: guardrails, models and model calls, in front of model servers of the owner's choice.
//!
//! What it is: the control plane of guardrails, inference profiles, provisioned throughput, imported and custom models, batch inference and
//! invocation logging; the runtime that turns Bedrock's calls into those of model servers, with the guardrail of the call on both sides of the model; the doors through which
//! OpenAI's and Anthropic's clients come. What it is not: a model. Without an upstream an embedded deterministic responder answers, and says
//! so in its name; models that run in this process are given to it by the binary.
//!
//! Invariants:
//! 1. A guardrail that cannot run fails the call; a definition that the engine cannot decide is refused, never stored.
//! 2. Of a guarded stream nothing leaves before the guard has released it. `async` holds back less and may stop an answer after a part of it
//!    was shown, as on AWS; guardrails that are enforced are always `sync`.
//! 3. Prompts, answers and definitions never reach a log or an event of the audit trail; the invocation log is the customer's own bucket,
//!    and masked.
//! 4. The definition of a guardrail with a KMS key is readable only through that key, for each caller anew.
//! 5. An enforced guardrail runs on every model call that it covers, whatever the caller says; when it cannot, the call is denied.
//! 6. What was screened is recorded by hash, filter and place, never as text.
//! 7. A call is counted when it ends, however it ends; what it may use is taken before it begins. A secret of an upstream leaves the store
//!    only in the header of a call to that upstream.
//! 8. An answer that breaks off is an error of the stream, never an end.
//!
//! ## Recorded only
//! `performanceConfig` and `serviceTier` of value `standard` or `default`; of the invocation log's switches those for video and audio, which
//! nothing here makes; the commitment of a provisioned throughput, beyond that it cannot be deleted before its end.
//!
//! The guardrail profile (`crossRegionConfig`): it unlocks the tier STANDARD, but no text leaves the region for it.
//!
//! ## Not supported yet, refused with a `ValidationException`
//! Image filters; build workflows of automated reasoning policies that need a language model; resource policies of other things than
//! guardrails; in messages images and documents under a guardrail that is not declared to let them pass, or in S3, video, audio, search
//! results, tool changes, citations; prompt variables; other performance and service tiers; custom models without a deployment, routers and
//! prompts as models; trainings, once everything before them is decided; in conversations of two directions everything but text; batch
//! inference and trainings through a VPC. The operations of evaluation and prompt routers answer `NotImplemented`.
//!
//! ## Not as AWS does
//! * Provisioned throughput and imports are done when the call answers; a model unit is the rate that the owner declares for the model.
//! * Limits on rates are counted per process, use and budgets in the store: nodes learn of each other's use with each round of background work.
//! * The role of a batch job needs `bedrock:InvokeModel` (or what its model calls need besides); there is no least number of records; a file has at
//!   most 64 MiB. A file is written whole when its last record is answered.
//! * Custom models and their deployments are `Active` when the call answers. Where a KMS key is named for a training, the role must be allowed to
//!   read the encryption of the output bucket.
//! * A conversation of two directions is answered turn by turn, each a `ConverseStream` by the caller.
//! * `CountTokens` is refused where no tokenizer is known, instead of estimated.
//! * A model that thinks aloud is not shown thinking: the reasoning that some upstreams give beside the answer is left out.

mod batch;
mod customization;
mod data_subject;
mod door;
mod foundation_model;
mod guardrail;
mod imported_model;
mod inference_profile;
mod invocation_log;
mod model;
mod provisioned_throughput;
mod reasoning;
mod refusal;
mod runtime;
mod s3_data;
mod secret;
mod tag;
mod upstream;
mod usage;
mod work;

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use plane::service::ResourceAccess;
use plane::{ApiError, Call, Handler, Service, Target, Transaction, handler, streaming_handler};
use policy::MapContext;
use wire::Value;

pub use data_subject::{SealedBody, erase_data_subject, open_logged_body};
pub use secret::{delete_secret, list_secrets, put_secret};
pub use upstream::local::{LocalEnding, LocalFailure, LocalMessage, LocalModel, LocalRequest};
pub use upstream::settings;
pub use usage::ledger::{UsageCount, UsageKey, UsageLine};
pub use work::{deliver, flush_usage, metrics, usage_of};

/// Id of the runtime in the facts, under which its state is found.
const RUNTIME: &str = "bedrock-runtime";

/// The control plane.
pub struct Bedrock;

#[async_trait]
impl Service for Bedrock {
    fn id(&self) -> &'static str {
        "bedrock"
    }

    // Else whoever names the service compiles all its handlers once more.
    #[inline(never)]
    fn handlers(&self) -> &'static [Handler] {
        &[
            handler!("CancelAutomatedReasoningPolicyBuildWorkflow", reasoning::workflow::cancel_automated_reasoning_policy_build_workflow),
            handler!("CreateAutomatedReasoningPolicy", reasoning::policy::create_automated_reasoning_policy),
            handler!("CreateAutomatedReasoningPolicyTestCase", reasoning::test_case::create_automated_reasoning_policy_test_case),
            handler!("CreateAutomatedReasoningPolicyVersion", reasoning::version::create_automated_reasoning_policy_version),
            handler!("CreateCustomModel", customization::model::create_custom_model),
            handler!("CreateCustomModelDeployment", customization::deployment::create_custom_model_deployment),
            handler!("CreateGuardrail", guardrail::draft::create_guardrail),
            handler!("CreateGuardrailVersion", guardrail::version::create_guardrail_version),
            handler!("CreateInferenceProfile", inference_profile::create_inference_profile),
            handler!("CreateModelCustomizationJob", customization::training::create_model_customization_job),
            handler!("CreateModelImportJob", imported_model::create_model_import_job),
            handler!("CreateModelInvocationJob", batch::job::create_model_invocation_job),
            handler!("CreateProvisionedModelThroughput", provisioned_throughput::create_provisioned_model_throughput),
            handler!("DeleteAutomatedReasoningPolicy", reasoning::policy::delete_automated_reasoning_policy),
            handler!("DeleteAutomatedReasoningPolicyBuildWorkflow", reasoning::workflow::delete_automated_reasoning_policy_build_workflow),
            handler!("DeleteAutomatedReasoningPolicyTestCase", reasoning::test_case::delete_automated_reasoning_policy_test_case),
            handler!("DeleteCustomModel", customization::model::delete_custom_model),
            handler!("DeleteCustomModelDeployment", customization::deployment::delete_custom_model_deployment),
            handler!("DeleteEnforcedGuardrailConfiguration", guardrail::enforcement::delete_enforced_guardrail_configuration),
            handler!("DeleteGuardrail", guardrail::version::delete_guardrail),
            handler!("DeleteImportedModel", imported_model::delete_imported_model),
            handler!("DeleteInferenceProfile", inference_profile::delete_inference_profile),
            handler!(
                "DeleteModelInvocationLoggingConfiguration",
                invocation_log::configuration::delete_model_invocation_logging_configuration
            ),
            handler!("DeleteProvisionedModelThroughput", provisioned_throughput::delete_provisioned_model_throughput),
            handler!("DeleteResourcePolicy", guardrail::resource_policy::delete_resource_policy),
            handler!("ExportAutomatedReasoningPolicyVersion", reasoning::version::export_automated_reasoning_policy_version),
            handler!("GetAutomatedReasoningPolicy", reasoning::policy::get_automated_reasoning_policy),
            handler!("GetAutomatedReasoningPolicyBuildWorkflow", reasoning::workflow::get_automated_reasoning_policy_build_workflow),
            handler!(
                "GetAutomatedReasoningPolicyBuildWorkflowResultAssets",
                reasoning::workflow::get_automated_reasoning_policy_build_workflow_result_assets
            ),
            handler!("GetAutomatedReasoningPolicyTestCase", reasoning::test_case::get_automated_reasoning_policy_test_case),
            handler!("GetAutomatedReasoningPolicyTestResult", reasoning::workflow::get_automated_reasoning_policy_test_result),
            handler!("GetCustomModel", customization::model::get_custom_model),
            handler!("GetCustomModelDeployment", customization::deployment::get_custom_model_deployment),
            handler!("GetFoundationModel", foundation_model::get_foundation_model),
            handler!("GetFoundationModelAvailability", foundation_model::get_foundation_model_availability),
            handler!("GetGuardrail", guardrail::listing::get_guardrail),
            handler!("GetImportedModel", imported_model::get_imported_model),
            handler!("GetInferenceProfile", inference_profile::get_inference_profile),
            handler!("GetModelCustomizationJob", customization::training::get_model_customization_job),
            handler!("GetModelImportJob", imported_model::get_model_import_job),
            handler!("GetModelInvocationJob", batch::job::get_model_invocation_job),
            handler!("GetModelInvocationLoggingConfiguration", invocation_log::configuration::get_model_invocation_logging_configuration),
            handler!("GetProvisionedModelThroughput", provisioned_throughput::get_provisioned_model_throughput),
            handler!("GetResourcePolicy", guardrail::resource_policy::get_resource_policy),
            handler!("ListAutomatedReasoningPolicies", reasoning::policy::list_automated_reasoning_policies),
            handler!("ListAutomatedReasoningPolicyBuildWorkflows", reasoning::workflow::list_automated_reasoning_policy_build_workflows),
            handler!("ListAutomatedReasoningPolicyTestCases", reasoning::test_case::list_automated_reasoning_policy_test_cases),
            handler!("ListAutomatedReasoningPolicyTestResults", reasoning::workflow::list_automated_reasoning_policy_test_results),
            handler!("ListCustomModelDeployments", customization::deployment::list_custom_model_deployments),
            handler!("ListCustomModels", customization::model::list_custom_models),
            handler!("ListEnforcedGuardrailsConfiguration", guardrail::enforcement::list_enforced_guardrails_configuration),
            handler!("ListFoundationModels", foundation_model::list_foundation_models),
            handler!("ListGuardrails", guardrail::listing::list_guardrails),
            handler!("ListImportedModels", imported_model::list_imported_models),
            handler!("ListInferenceProfiles", inference_profile::list_inference_profiles),
            handler!("ListModelCustomizationJobs", customization::training::list_model_customization_jobs),
            handler!("ListModelImportJobs", imported_model::list_model_import_jobs),
            handler!("ListModelInvocationJobs", batch::job::list_model_invocation_jobs),
            handler!("ListProvisionedModelThroughputs", provisioned_throughput::list_provisioned_model_throughputs),
            handler!("ListTagsForResource", tag::list_tags_for_resource),
            handler!("PutEnforcedGuardrailConfiguration", guardrail::enforcement::put_enforced_guardrail_configuration),
            handler!("PutModelInvocationLoggingConfiguration", invocation_log::configuration::put_model_invocation_logging_configuration),
            handler!("PutResourcePolicy", guardrail::resource_policy::put_resource_policy),
            handler!("StartAutomatedReasoningPolicyBuildWorkflow", reasoning::workflow::start_automated_reasoning_policy_build_workflow),
            handler!("StartAutomatedReasoningPolicyTestWorkflow", reasoning::workflow::start_automated_reasoning_policy_test_workflow),
            handler!("StopModelCustomizationJob", customization::training::stop_model_customization_job),
            handler!("StopModelInvocationJob", batch::job::stop_model_invocation_job),
            handler!("TagResource", tag::tag_resource),
            handler!("UntagResource", tag::untag_resource),
            handler!("UpdateAutomatedReasoningPolicy", reasoning::policy::update_automated_reasoning_policy),
            handler!("UpdateAutomatedReasoningPolicyTestCase", reasoning::test_case::update_automated_reasoning_policy_test_case),
            handler!("UpdateCustomModelDeployment", customization::deployment::update_custom_model_deployment),
            handler!("UpdateGuardrail", guardrail::draft::update_guardrail),
            handler!("UpdateProvisionedModelThroughput", provisioned_throughput::update_provisioned_model_throughput),
        ]
    }

    async fn resource(&self, tx: &mut Transaction, region: &str, arn: &str) -> Result<Option<ResourceAccess>, ApiError> {
        if arn.contains(":automated-reasoning-policy/") {
            return reasoning::access(tx, region, arn).await;
        }
        match tag::access(tx, region, arn).await? {
            Some(access) => Ok(Some(access)),
            None => guardrail::access(tx, region, arn).await,
        }
    }

    fn request_parameters(&self, call: &Call, input: &Value) -> Option<serde_json::Value> {
        guardrail::request_parameters(call, input)
    }
}

/// The runtime: model calls.
pub struct BedrockRuntime {
    state: Arc<runtime::State>,
}

impl BedrockRuntime {
    /// A runtime in front of the declared upstreams and of models in this process. Nothing is contacted before the first call.
    pub fn new(settings: settings::ModelSettings, local: Vec<Arc<dyn LocalModel>>) -> Self {
        Self { state: Arc::new(runtime::State::new(settings, local)) }
    }
}

#[async_trait]
impl Service for BedrockRuntime {
    fn id(&self) -> &'static str {
        RUNTIME
    }

    // Else whoever names the service compiles all its handlers once more.
    #[inline(never)]
    fn handlers(&self) -> &'static [Handler] {
        &[
            handler!("ApplyGuardrail", runtime::apply_guardrail::apply_guardrail),
            handler!("Converse", runtime::converse::converse),
            streaming_handler!("ConverseStream", runtime::converse_stream::converse_stream),
            handler!("CountTokens", runtime::count_tokens::count_tokens),
            handler!("GetAsyncInvoke", runtime::async_invoke::get_async_invoke),
            handler!("InvokeGuardrailChecks", runtime::guardrail_checks::invoke_guardrail_checks),
            handler!("InvokeModel", runtime::invoke::invoke_model),
            streaming_handler!("InvokeModelWithBidirectionalStream", runtime::dialog::invoke_model_with_bidirectional_stream),
            streaming_handler!("InvokeModelWithResponseStream", runtime::invoke::invoke_model_with_response_stream),
            handler!("ListAsyncInvokes", runtime::async_invoke::list_async_invokes),
            handler!("StartAsyncInvoke", runtime::async_invoke::start_async_invoke),
        ]
    }

    async fn targets(&self, call: &mut Call, input: &Value) -> Result<Option<Vec<Target>>, ApiError> {
        let targets = model::targets(call, input).await?;
        guardrail::enforcement::add_targets(call, targets).await
    }

    fn condition_keys(&self, call: &Call, input: &Value, keys: &mut MapContext) {
        model::condition_keys(call, input, keys);
    }

    fn doors(&self) -> Vec<Arc<dyn plane::door::Door>> {
        vec![Arc::new(door::anthropic::Anthropic), Arc::new(door::openai::OpenAi)]
    }

    fn extension(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        Some(Arc::clone(&self.state) as Arc<dyn Any + Send + Sync>)
    }

    /// AWS shows of a model call which model and guardrail it named; never what was said.
    fn request_parameters(&self, call: &Call, input: &Value) -> Option<serde_json::Value> {
        Some(model::request_parameters(call, input))
    }
}
