//! Models of a customer's own: adapters that an upstream loads, deployments of them, and the training that nothing here does.
//!
//! Source: Bedrock User Guide, "Customize your model" and "Set up inference for a custom model". A custom model is a LoRA adapter in the customer's
//! bucket, whose base model is served by an upstream that loads adapters. A deployment is what loads it: calls for the deployment's
//! ARN go to the adapter. All this is done when the call answers; what is taken away is unloaded after its commit.

pub(crate) mod adapter;
pub(crate) mod deployment;
pub(crate) mod model;
pub(crate) mod training;
pub(crate) mod unloading;
