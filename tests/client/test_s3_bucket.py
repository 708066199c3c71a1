"""S3: buckets and their settings."""

import base64
import concurrent.futures
import hashlib

import botocore.config
import botocore.exceptions
import botocore.handlers
import pytest

from bailiwick_server import allow, assert_denied, raises
from s3_scenario import bucket, GLOBAL_GROUP_ALL, new_name, OTHER_REGION, read, REGION, s3
from signed_http import signed_request


def test_a_bucket_is_made_found_and_removed(s3, bucket):
    head = s3.head_bucket(Bucket=bucket)
    assert head["BucketRegion"] == REGION
    assert bucket in [found["Name"] for found in s3.list_buckets()["Buckets"]]
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    s3.delete_bucket(Bucket=bucket)
    with raises("404"):
        s3.head_bucket(Bucket=bucket)
    with raises("NoSuchBucket", 404):
        s3.delete_bucket(Bucket=bucket)
    assert bucket not in [found["Name"] for found in s3.list_buckets()["Buckets"]]


def test_bucket_names_are_unique_over_all_accounts(s3, bucket, other_account, account):
    assert s3.create_bucket(Bucket=bucket)["Location"] == f"/{bucket}"
    with raises("BucketAlreadyExists", 409):
        other_account.client("s3").create_bucket(Bucket=bucket)
    away = account.client("s3", region=OTHER_REGION)
    with raises("BucketAlreadyOwnedByYou", 409):
        away.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": OTHER_REGION})


def test_one_of_many_wins_a_name(account, other_account):
    name = new_name()

    def create(owner):
        try:
            owner.client("s3").create_bucket(Bucket=name)
        except botocore.exceptions.ClientError as error:
            return error.response["Error"]["Code"]
        return owner.id

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(create, [account, other_account] * 4))
    winners = {result for result in results if result in (account.id, other_account.id)}
    assert len(winners) == 1
    assert "BucketAlreadyExists" in results


@pytest.mark.parametrize("name", ["ab", "Upper-case", "under_score", "192.168.5.4", "a..b", "-ab", "xn--abc", "x" * 64])
def test_names_that_break_the_rules_are_refused(account, name):
    client = account.client("s3", config=botocore.config.Config(s3={"addressing_style": "path"}))
    client.meta.events.unregister("before-parameter-build.s3", botocore.handlers.validate_bucket_name)
    with raises("InvalidBucketName", 400):
        client.create_bucket(Bucket=name)


def test_a_bucket_lives_in_the_region_of_its_endpoint(account, s3):
    away = account.client("s3", region=OTHER_REGION)
    with raises("IllegalLocationConstraintException", 400):
        away.create_bucket(Bucket=new_name())
    with raises("IllegalLocationConstraintException", 400):
        s3.create_bucket(Bucket=new_name(), CreateBucketConfiguration={"LocationConstraint": OTHER_REGION})
    name = new_name()
    away.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": OTHER_REGION})
    away.put_object(Bucket=name, Key="k", Body=b"far")
    assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] == OTHER_REGION
    listed = {found["Name"]: found for found in s3.list_buckets(Prefix=name)["Buckets"]}
    assert listed[name]["BucketRegion"] == OTHER_REGION
    # boto3 follows the redirect, which names the region.
    assert read(s3, name, "k") == b"far"


def test_a_request_to_the_wrong_region_is_told_where_to_go(account, bucket, bailiwick):
    for method in ("GET", "HEAD"):
        request = signed_request(
            account.credentials,
            "s3",
            method,
            f"/{bucket}",
            region=OTHER_REGION,
            host=f"{bailiwick.host}:{bailiwick.port}",
            ahead_ms=bailiwick.ahead_ms,
        )
        answer = request.send(bailiwick)
        assert answer.status == 301
        assert answer.headers["x-amz-bucket-region"] == REGION
        if method == "GET":
            assert answer.code == "PermanentRedirect"


def test_buckets_are_listed_in_pages(account):
    s3 = account.client("s3")
    names = sorted(new_name() for _ in range(5))
    for name in names:
        s3.create_bucket(Bucket=name)
    pages = list(s3.get_paginator("list_buckets").paginate(PaginationConfig={"PageSize": 2}))
    assert [found["Name"] for page in pages for found in page.get("Buckets", [])] == names
    assert len(pages) == 3
    assert [found["Name"] for found in s3.list_buckets(Prefix=names[0])["Buckets"]] == names[:1]
    assert s3.list_buckets(BucketRegion=OTHER_REGION).get("Buckets", []) == []
    with raises("InvalidArgument", 400):
        s3.list_buckets(ContinuationToken="forged")


def test_a_bucket_that_holds_objects_stays(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    with raises("BucketNotEmpty", 409):
        s3.delete_bucket(Bucket=bucket)
    s3.delete_object(Bucket=bucket, Key="k")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="m", UploadId=upload, PartNumber=1, Body=b"x")
    s3.delete_bucket(Bucket=bucket)
    # A new bucket of the name knows nothing of the old one.
    s3.create_bucket(Bucket=bucket)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_the_expected_owner_is_compared(account, other_account, s3, bucket):
    s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=account.id)
    with raises("403"):
        s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=other_account.id)
    with raises("AccessDenied", 403):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", ExpectedBucketOwner=other_account.id)


@pytest.mark.parametrize(
    ("read", "code"),
    [
        ("get_bucket_cors", "NoSuchCORSConfiguration"),
        ("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration"),
        ("get_bucket_replication", "ReplicationConfigurationNotFoundError"),
        ("get_bucket_website", "NoSuchWebsiteConfiguration"),
    ],
)
def test_a_setting_that_no_bucket_has_is_not_found(account, other_account, s3, bucket, read, code):
    with raises(code, 404):
        getattr(s3, read)(Bucket=bucket)
    with raises("AccessDenied", 403):
        getattr(s3, read)(Bucket=bucket, ExpectedBucketOwner=other_account.id)
    with raises("NoSuchBucket", 404):
        getattr(s3, read)(Bucket=new_name())
    with raises("AccessDenied", 403):
        getattr(account.user().client("s3"), read)(Bucket=bucket)
    delete = read.replace("get", "delete").replace("_configuration", "")
    assert getattr(s3, delete)(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204


def test_settings_that_no_bucket_has_are_empty(account, s3, bucket):
    def answer(read):
        with raises("NoSuchBucket", 404):
            getattr(s3, read)(Bucket=new_name())
        with raises("AccessDenied", 403):
            getattr(account.user().client("s3"), read)(Bucket=bucket)
        return {name: value for name, value in getattr(s3, read)(Bucket=bucket).items() if name != "ResponseMetadata"}

    assert answer("get_bucket_accelerate_configuration") == answer("get_bucket_logging") == {}
    assert answer("get_bucket_notification_configuration") == {}
    assert answer("get_bucket_request_payment") == {"Payer": "BucketOwner"}
    for kind in ("analytics", "intelligent_tiering", "inventory", "metrics"):
        assert answer(f"list_bucket_{kind}_configurations") == {"IsTruncated": False}
    # What would set one is refused, so the answers stay true.
    with raises("NotImplemented", 501):
        s3.put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration={"Payer": "Requester"})
    for put, name, value in (
        ("put_bucket_accelerate_configuration", "AccelerateConfiguration", {"Status": "Enabled"}),
        ("put_bucket_cors", "CORSConfiguration", {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]}),
        ("put_bucket_notification_configuration", "NotificationConfiguration", {"EventBridgeConfiguration": {}}),
        ("put_bucket_website", "WebsiteConfiguration", {"IndexDocument": {"Suffix": "index.html"}}),
    ):
        with raises("NotImplemented", 501):
            getattr(s3, put)(Bucket=bucket, **{name: value})
    with raises("NotImplemented", 501):
        s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={"LoggingEnabled": {"TargetBucket": bucket, "TargetPrefix": "l/"}})


def test_settings_that_are_not_kept_are_refused(s3):
    for unsupported in (
        {"ObjectOwnership": "ObjectWriter"},
        {"BucketNamespace": "account-regional"},
    ):
        with raises("NotImplemented", 501):
            s3.create_bucket(Bucket=new_name(), **unsupported)
    with raises("InvalidBucketAclWithObjectOwnership", 400):
        s3.create_bucket(Bucket=new_name(), ACL="public-read")
    s3.create_bucket(Bucket=new_name(), ACL="private", ObjectOwnership="BucketOwnerEnforced")


def test_bucket_operations_need_their_permission(account, bucket):
    nobody = account.user(policy=allow("iam:GetUser")).client("s3")
    tags = {"TagSet": [{"Key": "a", "Value": "b"}]}
    ownership = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    encryption = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    calls = {
        "s3:CreateBucket": lambda: nobody.create_bucket(Bucket=new_name()),
        "s3:DeleteBucket": lambda: nobody.delete_bucket(Bucket=bucket),
        "s3:ListAllMyBuckets": nobody.list_buckets,
        "s3:GetBucketLocation": lambda: nobody.get_bucket_location(Bucket=bucket),
        "s3:GetBucketVersioning": lambda: nobody.get_bucket_versioning(Bucket=bucket),
        "s3:GetBucketAcl": lambda: nobody.get_bucket_acl(Bucket=bucket),
        "s3:ListBucket": lambda: nobody.list_objects_v2(Bucket=bucket),
        "s3:ListBucketMultipartUploads": lambda: nobody.list_multipart_uploads(Bucket=bucket),
        "s3:GetEncryptionConfiguration": lambda: nobody.get_bucket_encryption(Bucket=bucket),
        "s3:PutEncryptionConfiguration": lambda: nobody.put_bucket_encryption(
            Bucket=bucket, ServerSideEncryptionConfiguration=encryption
        ),
        "s3:GetBucketPolicy": lambda: nobody.get_bucket_policy(Bucket=bucket),
        "s3:PutBucketPolicy": lambda: nobody.put_bucket_policy(Bucket=bucket, Policy="{}"),
        "s3:DeleteBucketPolicy": lambda: nobody.delete_bucket_policy(Bucket=bucket),
        "s3:GetBucketPolicyStatus": lambda: nobody.get_bucket_policy_status(Bucket=bucket),
        "s3:GetBucketPublicAccessBlock": lambda: nobody.get_public_access_block(Bucket=bucket),
        "s3:PutBucketPublicAccessBlock": lambda: nobody.delete_public_access_block(Bucket=bucket),
        "s3:GetBucketTagging": lambda: nobody.get_bucket_tagging(Bucket=bucket),
        "s3:PutBucketTagging": lambda: nobody.put_bucket_tagging(Bucket=bucket, Tagging=tags),
        "s3:GetBucketOwnershipControls": lambda: nobody.get_bucket_ownership_controls(Bucket=bucket),
        "s3:PutBucketOwnershipControls": lambda: nobody.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=ownership),
    }
    for action, call in calls.items():
        assert_denied(call, action, by="identity")
    assert_denied(lambda: nobody.head_bucket(Bucket=bucket))


def test_buckets_have_tags(s3, bucket):
    with raises("NoSuchTagSet", 404):
        s3.get_bucket_tagging(Bucket=bucket)
    tags = [{"Key": "team", "Value": "ml"}, {"Key": "stage", "Value": "test"}]
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags
    with raises("InvalidTag", 400):
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [tags[0], tags[0]]})
    with raises("InvalidTag", 400):
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "aws:x", "Value": ""}]})
    s3.delete_bucket_tagging(Bucket=bucket)
    with raises("NoSuchTagSet"):
        s3.get_bucket_tagging(Bucket=bucket)


def test_ownership_is_the_bucket_owners(s3, bucket):
    assert s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    for refused in ("ObjectWriter", "BucketOwnerPreferred"):
        with raises("NotImplemented", 501):
            s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": refused}]})
    s3.delete_bucket_ownership_controls(Bucket=bucket)
    with raises("OwnershipControlsNotFoundError", 404):
        s3.get_bucket_ownership_controls(Bucket=bucket)
    with raises("AccessControlListNotSupported", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="public-read")
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]})


def test_acls_say_that_the_owner_has_full_control(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="bucket-owner-full-control")
    for acl in (s3.get_bucket_acl(Bucket=bucket), s3.get_object_acl(Bucket=bucket, Key="k")):
        (grant,) = acl["Grants"]
        assert grant["Permission"] == "FULL_CONTROL"
        assert grant["Grantee"]["ID"] == acl["Owner"]["ID"]
        assert grant["Grantee"].get("URI") != GLOBAL_GROUP_ALL
    with raises("AccessControlListNotSupported"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", GrantRead=f'uri="{GLOBAL_GROUP_ALL}"')


def test_a_document_must_match_its_digest(account, bucket, bailiwick):
    body = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"

    def put(**headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = signed_request(
            account.credentials,
            "s3",
            "PUT",
            f"/{bucket}",
            query="tagging=",
            headers=named,
            body=body,
            region=REGION,
            host=f"{bailiwick.host}:{bailiwick.port}",
            ahead_ms=bailiwick.ahead_ms,
        )
        return request.send(bailiwick)

    right = base64.b64encode(hashlib.md5(body).digest()).decode()
    assert put(content_md5=right).status == 204
    assert put(content_md5=base64.b64encode(b"0" * 16).decode()).code == "BadDigest"
    assert put(content_md5="short").code == "InvalidDigest"
    assert put(x_amz_checksum_crc32="AAAAAA==").code == "BadDigest"
