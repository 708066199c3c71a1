//! Batch inference: the prompts of files in S3 through a model, and the answers into files in S3.
//!
//! Source: Bedrock User Guide, "Process multiple prompts with batch inference" and the pages below it. A record goes through `InvokeModel` or
//! `Converse` as the job's role: with its guardrails, limits, budgets, invocation log and event like a call of anybody else. On AWS the role
//! needs `bedrock:InvokeModel` for inference profiles only; here for every model, because nothing goes around the decision.
//!
//! What was answered is kept (sealed, like all records) until its file is written, in the commit that counts it. So a job goes on after a restart
//! where it was: at most one chunk of records is asked again. Who works on a job holds it for a short time and renews that; every
//! commit of its checks that it still does.

mod input;
pub(crate) mod job;
mod output;
pub(crate) mod run;
