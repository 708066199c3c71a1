"""Organization trails and CloudTrail's delegated administrators."""

import uuid

import pytest

from bailiwick_server import allow, assert_denied, document, raises
from test_cloudtrail_trails import objects
from test_organizations import administrator, new_member

REGION = "us-east-1"
SERVICE = "cloudtrail.amazonaws.com"


@pytest.fixture
def management(account):
    account.client("organizations").create_organization(FeatureSet="ALL")
    return account


def bucket_of(account, organization=None):
    """With the policy that CloudTrail's user guide gives for the bucket of an organization trail."""
    name = f"logs-{uuid.uuid4().hex[:16]}"
    s3 = account.client("s3")
    s3.create_bucket(Bucket=name)
    service = {"Service": SERVICE}
    acl = {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}}
    places = [account.id] + ([organization] if organization else [])
    s3.put_bucket_policy(
        Bucket=name,
        Policy=document(
            allow("s3:GetBucketAcl", f"arn:aws:s3:::{name}", Principal=service),
            *(allow("s3:PutObject", f"arn:aws:s3:::{name}/AWSLogs/{place}/*", Principal=service, Condition=acl) for place in places),
        ),
    )
    return name


def test_a_trail_of_the_organization_has_every_members_events(bailiwick, management):
    orgs, trails = management.client("organizations"), management.client("cloudtrail")
    organization = orgs.describe_organization()["Organization"]["Id"]
    member_id = new_member(orgs)
    member = administrator(management, member_id)
    bucket = bucket_of(management, organization)
    with raises("CloudTrailAccessNotEnabledException"):
        trails.create_trail(Name="all", S3BucketName=bucket, IsOrganizationTrail=True)
    orgs.enable_aws_service_access(ServicePrincipal=SERVICE)
    with raises("InsufficientS3BucketPolicyException"):
        trails.create_trail(Name="all", S3BucketName=bucket_of(management), IsOrganizationTrail=True)
    made = trails.create_trail(Name="all", S3BucketName=bucket, IsOrganizationTrail=True, EnableLogFileValidation=True)
    assert made["IsOrganizationTrail"] is True
    arn = made["TrailARN"]
    trails.start_logging(Name="all")
    member.client("iam").create_user(UserName="of-the-member")
    management.client("iam").create_user(UserName="of-the-management")
    bailiwick.flush()
    files = objects(management, bucket)
    users = {
        (record["recipientAccountId"], record["requestParameters"]["userName"]): path
        for path, content in files.items()
        for record in content["Records"]
        if record["eventName"] == "CreateUser"
    }
    assert set(users) == {(member_id, "of-the-member"), (management.id, "of-the-management")}
    for (account, _), path in users.items():
        assert path.startswith(f"AWSLogs/{organization}/{account}/CloudTrail/{REGION}/")
        assert all(record["recipientAccountId"] == account for record in files[path]["Records"])
    # Members see the trail and cannot change it.
    theirs = member.client("cloudtrail")
    assert [trail["TrailARN"] for trail in theirs.describe_trails()["trailList"]] == [arn]
    assert theirs.get_trail(Name=arn)["Trail"]["IsOrganizationTrail"] is True
    for change in (theirs.stop_logging, theirs.delete_trail):
        with raises("NotOrganizationMasterAccountException"):
            change(Name=arn)
    with raises("NotOrganizationMasterAccountException"):
        theirs.create_trail(Name="other", S3BucketName=bucket, IsOrganizationTrail=True)
    assert trails.update_trail(Name="all", IsOrganizationTrail=False)["IsOrganizationTrail"] is False
    assert theirs.describe_trails()["trailList"] == []


def test_an_account_without_an_organization_has_no_such_trail(account):
    with raises("OrganizationsNotInUseException"):
        account.client("cloudtrail").create_trail(Name="all", S3BucketName=bucket_of(account), IsOrganizationTrail=True)


def test_delegated_administrators(management):
    orgs, trails = management.client("organizations"), management.client("cloudtrail")
    member_id = new_member(orgs)
    with raises("CloudTrailAccessNotEnabledException"):
        trails.register_organization_delegated_admin(MemberAccountId=member_id)
    orgs.enable_aws_service_access(ServicePrincipal=SERVICE)
    trails.register_organization_delegated_admin(MemberAccountId=member_id)
    listed = orgs.list_delegated_administrators(ServicePrincipal=SERVICE)["DelegatedAdministrators"]
    assert [delegate["Id"] for delegate in listed] == [member_id]
    with raises("AccountRegisteredException"):
        trails.register_organization_delegated_admin(MemberAccountId=member_id)
    with raises("CannotDelegateManagementAccountException"):
        trails.register_organization_delegated_admin(MemberAccountId=management.id)
    with raises("AccountNotFoundException"):
        trails.register_organization_delegated_admin(MemberAccountId="999999999999")
    user = management.user()
    assert_denied(
        lambda: user.client("cloudtrail").register_organization_delegated_admin(MemberAccountId=member_id),
        "cloudtrail:RegisterOrganizationDelegatedAdmin",
    )
    trails.deregister_organization_delegated_admin(DelegatedAdminAccountId=member_id)
    assert orgs.list_delegated_administrators(ServicePrincipal=SERVICE)["DelegatedAdministrators"] == []
    with raises("AccountNotRegisteredException"):
        trails.deregister_organization_delegated_admin(DelegatedAdminAccountId=member_id)
