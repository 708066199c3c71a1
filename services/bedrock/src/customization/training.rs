//! Customisation jobs: everything that stands before a training is decided, and then the training is refused, because no upstream trains.
//!
//! Source: Bedrock API reference, `CreateModelCustomizationJob`; User Guide, "Create a service role for model customization" and "Encryption of model
//! customization jobs and artifacts". So a denial that a customer would meet on AWS is met here. When a KMS key is named, training data must
//! be encrypted under it, and be what the output bucket encrypts with. No job is recorded, so none can be found.

use api_bedrock::{
    CreateModelCustomizationJobInput, CreateModelCustomizationJobOutput, CustomizationType, GetModelCustomizationJobInput,
    GetModelCustomizationJobOutput, ListModelCustomizationJobsInput, ListModelCustomizationJobsOutput, StopModelCustomizationJobInput,
    StopModelCustomizationJobOutput,
};
use plane::{ApiError, Call};

use crate::model::{self, Named, resource_arn};
use crate::refusal::{Refusal, of_page};
use crate::runtime;
use crate::s3_data::{self, Folder, Role};
use crate::tag;

pub(crate) async fn create_model_customization_job(
    cx: &mut Call,
    input: CreateModelCustomizationJobInput,
) -> Result<CreateModelCustomizationJobOutput, ApiError> {
    let state = runtime::state(cx)?;
    if input.vpc_config.is_some() {
        return Err(Refusal::unsupported("a customization through a VPC").into());
    }
    if input.customization_config.is_some() {
        return Err(Refusal::unsupported("distillation and reinforcement").into());
    }
    match &input.customization_type {
        None | Some(CustomizationType::FineTuning | CustomizationType::ContinuedPreTraining) => {}
        Some(other) => return Err(Refusal::unsupported(format!("a customization of the type `{}`", other.as_str())).into()),
    }
    let is_profile = |id: &str| state.gateway.profile(id).is_some();
    let Named::Foundation(base) = model::parse(&cx.region, &cx.account, &input.base_model_identifier, is_profile)? else {
        return Err(Refusal::invalid("The base model of a customization must be a foundation model.").into());
    };
    model::resolve(cx, &state, &base).await?;
    tag::pairs(input.job_tags)?;
    tag::pairs(input.custom_model_tags)?;
    let output = Folder::parse(&input.output_data_config.s3_uri)?;
    let role = Role::assumable(cx, &input.role_arn, &resource_arn(&cx.region, &cx.account, "model-customization-job", "*")).await?;
    let kms_key_arn = match &input.custom_model_kms_key_id {
        Some(key) => Some(s3_data::key_arn(cx, key).await?),
        None => None,
    };
    if let Some(key) = &kms_key_arn {
        role.make_data_key(key).await?;
    }
    let Some(training) = input.training_data_config.s3_uri else {
        return Err(Refusal::unsupported("training data other than a file in S3").into());
    };
    let validators = input.validation_data_config.map(|config| config.validators).unwrap_or_default();
    for uri in std::iter::once(training).chain(validators.into_iter().map(|validator| validator.s3_uri)) {
        let place = Folder::parse(&uri)?;
        role.probe(&place.bucket, &place.prefix, kms_key_arn.as_deref()).await?;
    }
    role.check_bucket(&output.bucket, kms_key_arn.as_deref()).await?;
    Err(Refusal::invalid(format!("The model `{base}` cannot be customized: no upstream of this server trains models.")).into())
}

pub(crate) async fn get_model_customization_job(
    _cx: &mut Call,
    input: GetModelCustomizationJobInput,
) -> Result<GetModelCustomizationJobOutput, ApiError> {
    Err(Refusal::Resource(input.job_identifier).into())
}

pub(crate) async fn list_model_customization_jobs(
    cx: &mut Call,
    input: ListModelCustomizationJobsInput,
) -> Result<ListModelCustomizationJobsOutput, ApiError> {
    let page = cx.page(Vec::new(), |_| String::new(), "", input.next_token.as_deref(), 1).map_err(of_page)?;
    Ok(ListModelCustomizationJobsOutput { next_token: page.next, model_customization_job_summaries: Some(page.items) })
}

pub(crate) async fn stop_model_customization_job(
    _cx: &mut Call,
    input: StopModelCustomizationJobInput,
) -> Result<StopModelCustomizationJobOutput, ApiError> {
    Err(Refusal::Resource(input.job_identifier).into())
}
