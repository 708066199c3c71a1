//! What a service gives to the plane.

use std::future::Future;
use std::pin::Pin;

use async_trait::async_trait;
use policy::MapContext;
use wire::Value;

use crate::body::Body;
use crate::call::Call;
use crate::error::ApiError;
use crate::transaction::Transaction;

/// Future of a handler.
pub type HandlerFuture<'a> = Pin<Box<dyn Future<Output = Result<Reply, ApiError>> + Send + 'a>>;

/// One line of a service's table: an operation and the function that does it.
#[derive(Clone, Copy)]
pub struct Handler {
    pub operation: &'static str,
    pub run: for<'a> fn(&'a mut Call, Value) -> HandlerFuture<'a>,
}

/// `handler!("CreateAlias", create_alias)` makes the table line for `async fn create_alias(cx: &mut Call, input: CreateAliasInput) ->
/// Result<CreateAliasOutput, ApiError>`; the output may also be `(CreateAliasOutput, Body)` for operations that stream.
#[macro_export]
macro_rules! handler {
    ($name:literal, $function:path) => {
        $crate::Handler {
            operation: $name,
            run: |cx, value| {
                ::std::boxed::Box::pin(async move {
                    let input = $crate::service::typed(value)?;
                    $function(cx, input).await.map($crate::service::IntoReply::into_reply)
                })
            },
        }
    };
}

/// Typed input from the checked value.
pub fn typed<T: wire::FromValue>(value: Value) -> Result<T, ApiError> {
    T::from_value(value).map_err(|error| ApiError::internal(&error))
}

/// What a handler answers.
pub struct Reply {
    pub value: Value,
    /// A streaming blob or an event stream.
    pub body: Option<Body>,
    /// Status other than the operation's own (206 of a range read, 304).
    pub status: Option<u16>,
}

/// Makes a reply of a handler's output.
pub trait IntoReply {
    fn into_reply(self) -> Reply;
}

impl<T: wire::IntoValue> IntoReply for T {
    fn into_reply(self) -> Reply {
        Reply { value: self.into_value(), body: None, status: None }
    }
}

/// An output whose body streams beside it.
pub struct Streaming<T> {
    pub output: T,
    pub body: Body,
    pub status: Option<u16>,
}

impl<T> Streaming<T> {
    pub fn into_reply(self) -> Reply
    where
        T: wire::IntoValue,
    {
        Reply { value: self.output.into_value(), body: Some(self.body), status: self.status }
    }
}

/// `streaming_handler!("GetObject", get_object)`: as [`handler!`], for functions that give a [`Streaming`] output.
#[macro_export]
macro_rules! streaming_handler {
    ($name:literal, $function:path) => {
        $crate::Handler {
            operation: $name,
            run: |cx, value| {
                ::std::boxed::Box::pin(async move {
                    let input = $crate::service::typed(value)?;
                    $function(cx, input).await.map($crate::service::Streaming::into_reply)
                })
            },
        }
    };
}

/// One thing that must be allowed for a call to go on.
#[derive(Clone, Debug)]
pub struct Target {
    /// `kms:Encrypt`.
    pub action: String,
    /// `*` when the action has no resource type.
    pub resource_arn: String,
}

/// What a service knows of a resource that takes part in a decision.
#[derive(Clone, Debug, Default)]
pub struct ResourceAccess {
    /// Owner; empty: the account in the ARN, else the caller's.
    pub account: String,
    pub tags: Vec<(String, String)>,
    pub policy: policy::ResourcePolicy,
    pub grants: Vec<policy::KmsGrant>,
    /// A key that the service manages for the account (RCPs do not bind it).
    pub aws_managed_key: bool,
    pub restrict_public_buckets: bool,
    /// `AWS::KMS::Key`, for the audit event.
    pub resource_type: Option<&'static str>,
    /// Condition keys that follow from the resource itself (`kms:KeySpec`, `kms:ResourceAliases`).
    pub context: Vec<(String, Vec<String>)>,
}

/// A service with handlers. One implementation per API (`bedrock` and `bedrock-runtime` are two).
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// The service's id in the facts.
    fn id(&self) -> &'static str;
    /// Its operations that have a handler.
    fn handlers(&self) -> &'static [Handler];

    /// The targets of a call where the mechanical rule of the facts is not enough (`Binding::Service`). `None`: use the mechanical ones.
    /// It runs before authorization: it must read only what names the resource, and reveal nothing by its errors that an unauthorized
    /// caller must not know, except as AWS does.
    async fn targets(&self, _call: &mut Call, _input: &Value) -> Result<Option<Vec<Target>>, ApiError> {
        Ok(None)
    }

    /// As [`Service::resource`], where the action matters: the bucket that `s3:CreateBucket` names does not exist yet.
    async fn resource_for(&self, tx: &mut Transaction, region: &str, _action: &str, arn: &str) -> Result<Option<ResourceAccess>, ApiError> {
        self.resource(tx, region, arn).await
    }

    /// What is known of a resource of this service. `None`: nothing, so the identity side alone decides.
    async fn resource(&self, _tx: &mut Transaction, _region: &str, _arn: &str) -> Result<Option<ResourceAccess>, ApiError> {
        Ok(None)
    }

    /// Corrects what was found of a target by what the input says: the tags of the version that it names, not those of the current object.
    async fn narrow(&self, _call: &mut Call, _input: &Value, _target: &Target, _found: &mut ResourceAccess) -> Result<(), ApiError> {
        Ok(())
    }

    /// ARNs of the account's resources of this service in the region that have, or could have, a policy of their own: for those who look
    /// through all of them.
    async fn policy_holders(&self, _tx: &mut Transaction, _region: &str, _account: &str) -> Result<Vec<String>, ApiError> {
        Ok(Vec::new())
    }

    /// Condition keys of this request that follow from its input (`s3:prefix`, `kms:EncryptionContext:...`).
    fn condition_keys(&self, _call: &Call, _input: &Value, _keys: &mut MapContext) {}

    /// Condition keys that differ from target to target of one call (`kms:GrantIsForAWSResource` of one of two keys).
    fn target_keys(&self, _call: &Call, _input: &Value, _target: &Target, _keys: &mut MapContext) {}

    /// The encryption context that the call binds to this target's key; grants and `kms:EncryptionContext:...` look at it.
    fn encryption_context(&self, _call: &Call, _input: &Value, _target: &Target) -> Vec<(String, String)> {
        Vec::new()
    }

    /// What a refused caller is told, where the general words would tell more than AWS does (whether a key of another account exists).
    fn denied_message(&self, _call: &Call, _target: &Target, _owner: &str) -> Option<String> {
        None
    }

    /// The code of a refusal, where it is not the one that the protocol's services have.
    fn denied_code(&self) -> Option<&'static str> {
        None
    }

    /// `eventType` of the call's event.
    fn event_type(&self, _call: &Call) -> &'static str {
        "AwsApiCall"
    }

    /// The error with what this service's errors always have (a member that says which of many causes it is).
    fn error(&self, error: ApiError) -> ApiError {
        error
    }

    /// Protocols of other APIs whose requests mean operations of this service.
    fn doors(&self) -> Vec<std::sync::Arc<dyn crate::door::Door>> {
        Vec::new()
    }

    /// State that the service's handlers find through [`crate::Plane::extension`].
    fn extension(&self) -> Option<std::sync::Arc<dyn std::any::Any + Send + Sync>> {
        None
    }

    /// The input as the audit event shows it, where the general rule (all members, sensitive ones hidden, blobs dropped) is not AWS's.
    fn request_parameters(&self, _call: &Call, _input: &Value) -> Option<serde_json::Value> {
        None
    }
}
