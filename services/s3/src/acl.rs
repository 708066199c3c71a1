//! Access control lists are off in every bucket (`BucketOwnerEnforced`): they can be read, and say that the owner has full control.

use api_s3::{
    GetBucketAclInput, GetBucketAclOutput, GetObjectAclInput, GetObjectAclOutput, Grant, Grantee, ObjectCannedACL, Owner, Permission, Type,
};
use aws_lc_rs::digest;
use plane::{ApiError, Call};

use crate::error::invalid_argument;
use crate::version::VersionId;
use crate::{bucket, version};

/// Canonical user id of an account: 64 hex digits that follow from the account.
pub(crate) fn canonical_id(account: &str) -> String {
    hex::encode(digest::digest(&digest::SHA256, format!("bailiwick canonical user id v1 {account}").as_bytes()))
}

pub(crate) fn owner(account: &str) -> Owner {
    Owner { display_name: None, id: Some(canonical_id(account)) }
}

fn full_control(account: &str) -> Vec<Grant> {
    let grantee =
        Grantee { display_name: None, email_address: None, id: Some(canonical_id(account)), type_: Type::CanonicalUser, uri: None };
    vec![Grant { grantee: Some(grantee), permission: Some(Permission::FullControl) }]
}

pub(crate) async fn get_bucket_acl(cx: &mut Call, input: GetBucketAclInput) -> Result<GetBucketAclOutput, ApiError> {
    let bucket = bucket::load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Ok(GetBucketAclOutput { owner: Some(owner(&bucket.account)), grants: Some(full_control(&bucket.account)) })
}

pub(crate) async fn get_object_acl(cx: &mut Call, input: GetObjectAclInput) -> Result<GetObjectAclOutput, ApiError> {
    let bucket = bucket::load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let id = VersionId::of(input.version_id.as_deref())?;
    version::find(cx, &bucket, &input.key, id.as_ref()).await?;
    Ok(GetObjectAclOutput { owner: Some(owner(&bucket.account)), grants: Some(full_control(&bucket.account)), request_charged: None })
}

/// The ACL headers of a write: only what says that the bucket's owner has full control is accepted.
pub(crate) fn check_object_acl(acl: Option<&ObjectCannedACL>, grants: &[&Option<String>]) -> Result<(), ApiError> {
    match acl {
        Some(ObjectCannedACL::Other(other)) => return Err(invalid_argument("", "x-amz-acl", other)),
        None | Some(ObjectCannedACL::Private | ObjectCannedACL::BucketOwnerFullControl) if grants.iter().all(|grant| grant.is_none()) => {}
        _ => return Err(ApiError::new("AccessControlListNotSupported", "The bucket does not allow ACLs")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_acls_are_accepted() {
        assert!(check_object_acl(None, &[&None]).is_ok());
        assert!(check_object_acl(Some(&ObjectCannedACL::Private), &[]).is_ok());
        assert!(check_object_acl(Some(&ObjectCannedACL::BucketOwnerFullControl), &[]).is_ok());
        assert_eq!(check_object_acl(Some(&ObjectCannedACL::PublicRead), &[]).unwrap_err().code, "AccessControlListNotSupported");
        assert_eq!(check_object_acl(None, &[&Some("id=x".to_owned())]).unwrap_err().code, "AccessControlListNotSupported");
        assert_eq!(check_object_acl(Some(&ObjectCannedACL::Other("x".to_owned())), &[]).unwrap_err().code, "InvalidArgument");
    }

    #[test]
    fn canonical_ids_are_stable_and_differ() {
        assert_eq!(canonical_id("111111111111").len(), 64);
        assert_ne!(canonical_id("111111111111"), canonical_id("222222222222"));
    }
}
