//! Which IAM actions, resources and condition keys an operation is authorized by.

/// How the authorization of an operation is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// [`crate::Operation::authorizations`] says it all.
    Mapped,
    /// The action is known from the facts, but the service's own resolver names the resources
    /// (copy sources, batch members, key identifiers behind aliases). Without a resolver the mechanical targets are used.
    Service,
    /// No permission is needed or possible (`sts:GetCallerIdentity`); authentication still is.
    Open,
    /// No action is known: the call is refused.
    Unmapped,
}

/// One authorization that a call needs.
#[derive(Debug)]
pub struct Authorization {
    /// For example `kms:CreateAlias`.
    pub action: &'static str,
    pub access_level: AccessLevel,
    /// Each binding that is `required`, or whose variables are all present in the input, is checked. Empty means resource `*`.
    pub resources: Vec<ResourceBinding>,
    /// Condition keys that the action supports besides the global ones.
    pub condition_keys: Vec<&'static str>,
    /// Checked only when this input member is present (`s3:PutObjectTagging` with `Tagging`).
    pub when_present: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLevel {
    List,
    Read,
    Tagging,
    Write,
    PermissionsManagement,
}

/// A resource that an authorization is checked against.
#[derive(Debug)]
pub struct ResourceBinding {
    /// Resource type in the service authorization reference, for example `key`.
    pub resource_type: &'static str,
    pub arn: ArnTemplate,
    pub required: bool,
    /// Condition keys that the resource type supports.
    pub condition_keys: Vec<&'static str>,
    /// Per template variable (besides Partition, Region, Account) where its value comes from.
    pub variables: Vec<VariableBinding>,
}

/// `arn:${Partition}:kms:${Region}:${Account}:key/${KeyId}`.
#[derive(Debug)]
pub struct ArnTemplate {
    pub text: &'static str,
}

/// Where a template variable gets its value.
#[derive(Debug)]
pub struct VariableBinding {
    pub variable: &'static str,
    /// Path of input members joined by dots, e.g. `BucketName` or `Tags.Key`. Empty: unknown, the variable becomes `*`.
    pub member: &'static str,
    /// The member holds a whole ARN of this type (then it *is* the resource), or an identifier.
    pub may_be_arn: bool,
}
