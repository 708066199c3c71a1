"""S3: buckets and their settings, objects, encryption, listings, copies, multipart uploads, policies."""

import base64
import concurrent.futures
import datetime
import hashlib
import http.client
import json
import os
import urllib.parse
import uuid

import botocore.config
import botocore.exceptions
import pytest

from bailiwick_server import allow, assert_denied, deny, document, raises

REGION = "us-east-1"
OTHER_REGION = "eu-central-1"
MIB = 1024 * 1024
PART = 5 * MIB
GLOBAL_GROUP_ALL = "http://acs.amazonaws.com/groups/global/AllUsers"


@pytest.fixture
def s3(account):
    return account.client("s3")


@pytest.fixture
def bucket(s3):
    name = new_name()
    s3.create_bucket(Bucket=name)
    return name


def new_name():
    return f"bucket-{uuid.uuid4().hex[:20]}"


def arn(bucket, key=None):
    return f"arn:aws:s3:::{bucket}" + ("" if key is None else f"/{key}")


def plain_client(session, **keywords):
    """A client that adds no checksum by itself."""
    config = botocore.config.Config(request_checksum_calculation="when_required", response_checksum_validation="when_required")
    return session.client("s3", config=config, **keywords)


def anonymous(server, method, path, headers=None, body=None):
    """A request without credentials: status and body."""
    connection = http.client.HTTPSConnection(server.host, server.port, context=server.tls_context(), timeout=60)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def open_url(server, url, method="GET", body=None, headers=None):
    parts = urllib.parse.urlsplit(url)
    return anonymous(server, method, f"{parts.path}?{parts.query}", headers, body)


def unblock_public(s3, bucket):
    s3.delete_public_access_block(Bucket=bucket)


def unblock_customer_keys(s3, bucket):
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BlockedEncryptionTypes": {"EncryptionType": ["NONE"]}}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})


def customer_key(byte=b"k"):
    return {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": byte * 32}


def read(s3, bucket, key, **keywords):
    return s3.get_object(Bucket=bucket, Key=key, **keywords)["Body"].read()


# -- buckets ---------------------------------------------------------------------------------------------------------------------------


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
    from signed_http import signed_request

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


def test_settings_that_are_not_kept_are_refused(s3):
    for unsupported in (
        {"ObjectLockEnabledForBucket": True},
        {"ObjectOwnership": "ObjectWriter"},
        {"BucketNamespace": "account-regional"},
    ):
        with raises("NotImplemented", 501):
            s3.create_bucket(Bucket=new_name(), **unsupported)
    with raises("InvalidBucketAclWithObjectOwnership", 400):
        s3.create_bucket(Bucket=new_name(), ACL="public-read")
    name = new_name()
    s3.create_bucket(Bucket=name, ACL="private", ObjectOwnership="BucketOwnerEnforced")
    with raises("NotImplemented", 501):
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})


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
    from signed_http import signed_request

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


# -- objects ---------------------------------------------------------------------------------------------------------------------------


def test_an_object_comes_back_as_it_was_put(s3, bucket):
    put = s3.put_object(
        Bucket=bucket,
        Key="dir/a b+ü",
        Body=b"hello",
        ContentType="text/plain",
        CacheControl="no-cache",
        ContentDisposition='attachment; filename="a"',
        ContentEncoding="identity",
        ContentLanguage="de",
        Expires=datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc),
        Metadata={"Owner": "me", "purpose": "test"},
    )
    assert put["ETag"] == f'"{hashlib.md5(b"hello").hexdigest()}"'
    assert put["ServerSideEncryption"] == "AES256"
    got = s3.get_object(Bucket=bucket, Key="dir/a b+ü")
    assert got["Body"].read() == b"hello"
    for name, value in {
        "ContentType": "text/plain",
        "CacheControl": "no-cache",
        "ContentDisposition": 'attachment; filename="a"',
        "ContentEncoding": "identity",
        "ContentLanguage": "de",
        "ETag": put["ETag"],
        "ContentLength": 5,
        "AcceptRanges": "bytes",
        "Metadata": {"owner": "me", "purpose": "test"},
        "ServerSideEncryption": "AES256",
    }.items():
        assert got[name] == value, name
    assert "2030" in got["ExpiresString"]
    head = s3.head_object(Bucket=bucket, Key="dir/a b+ü")
    assert (head["ContentLength"], head["ETag"], head["Metadata"]) == (5, put["ETag"], got["Metadata"])
    s3.delete_object(Bucket=bucket, Key="dir/a b+ü")
    with raises("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="dir/a b+ü")
    with raises("404"):
        s3.head_object(Bucket=bucket, Key="dir/a b+ü")


@pytest.mark.parametrize("size", [0, 1, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 3 * MIB + 7])
def test_objects_of_any_size(s3, bucket, size):
    content = os.urandom(size)
    s3.put_object(Bucket=bucket, Key="k", Body=content)
    assert read(s3, bucket, "k") == content
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == size


@pytest.mark.parametrize("key", ["..", "a/../b", "//", "/", "a//b", "a/", "ü€😀", "%2e%2e", "a?b#c", "key with  spaces", "+", "k" * 1024])
def test_any_text_is_a_key(s3, bucket, key):
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert read(s3, bucket, key) == key.encode()
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]


def test_keys_have_a_limit(s3, bucket):
    with raises("KeyTooLongError", 400):
        s3.put_object(Bucket=bucket, Key="k" * 1025, Body=b"x")


def test_overwriting_replaces(s3, bucket):
    for content in (b"one", b"two", b""):
        s3.put_object(Bucket=bucket, Key="k", Body=content)
        assert read(s3, bucket, "k") == content
    assert len(s3.list_objects_v2(Bucket=bucket)["Contents"]) == 1


def test_concurrent_writers_leave_one_whole_object(account, s3, bucket):
    contents = [bytes([number]) * 50_000 for number in range(8)]

    def put(content):
        account.client("s3").put_object(Bucket=bucket, Key="k", Body=content)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(put, contents))
    assert read(s3, bucket, "k") in contents


def test_what_is_not_kept_is_refused(s3, bucket):
    with raises("InvalidStorageClass", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", StorageClass="GLACIER")
    for unsupported in (
        {"WebsiteRedirectLocation": "/x"},
        {"ObjectLockMode": "GOVERNANCE"},
        {"ObjectLockLegalHoldStatus": "ON"},
        {"ServerSideEncryption": "aws:kms:dsse"},
    ):
        with raises("NotImplemented", 501):
            s3.put_object(Bucket=bucket, Key="k", Body=b"x", **unsupported)
    with raises("MetadataTooLarge", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"a": "x" * 2048})
    with raises("InvalidArgument", 400):
        s3.get_object(Bucket=bucket, Key="k", VersionId="some-version")
    with raises("404"):
        s3.head_object(Bucket=bucket, Key="k")


@pytest.mark.parametrize(
    ("header", "start", "end"), [("bytes=0-9", 0, 10), ("bytes=90-", 90, 100), ("bytes=-5", 95, 100), ("bytes=95-500", 95, 100)]
)
def test_ranges(s3, bucket, header, start, end):
    content = os.urandom(100)
    s3.put_object(Bucket=bucket, Key="k", Body=content)
    got = s3.get_object(Bucket=bucket, Key="k", Range=header)
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert got["Body"].read() == content[start:end]
    assert got["ContentRange"] == f"bytes {start}-{end - 1}/100"


def test_ranges_that_are_none(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    for ignored in ("bytes=5-2", "bytes=0-1,3-4", "items=0-1"):
        assert read(s3, bucket, "k", Range=ignored) == b"0123456789"
    for beyond in ("bytes=10-", "bytes=-0"):
        with raises("InvalidRange", 416):
            s3.get_object(Bucket=bucket, Key="k", Range=beyond)
    with raises("InvalidRequest", 400):
        s3.get_object(Bucket=bucket, Key="k", Range="bytes=0-1", PartNumber=1)
    with raises("InvalidPartNumber", 416):
        s3.get_object(Bucket=bucket, Key="k", PartNumber=2)


def test_ranges_within_a_large_object(s3, bucket):
    content = os.urandom(2 * MIB + 123)
    s3.put_object(Bucket=bucket, Key="k", Body=content)
    for start, end in ((0, 1), (16383, 16385), (600_000, 1_500_001), (len(content) - 1, len(content))):
        assert read(s3, bucket, "k", Range=f"bytes={start}-{end - 1}") == content[start:end]


def test_conditions_of_reads(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    modified = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    earlier, later = modified - datetime.timedelta(hours=1), modified + datetime.timedelta(hours=1)
    assert read(s3, bucket, "k", IfMatch=etag) == b"x"
    assert read(s3, bucket, "k", IfNoneMatch='"other"') == b"x"
    assert read(s3, bucket, "k", IfModifiedSince=earlier) == b"x"
    assert read(s3, bucket, "k", IfUnmodifiedSince=later) == b"x"
    with raises("PreconditionFailed", 412):
        s3.get_object(Bucket=bucket, Key="k", IfMatch='"other"')
    with raises("PreconditionFailed", 412):
        s3.get_object(Bucket=bucket, Key="k", IfUnmodifiedSince=earlier)
    with raises("304", 304):
        s3.get_object(Bucket=bucket, Key="k", IfNoneMatch=etag)
    with raises("304", 304):
        s3.head_object(Bucket=bucket, Key="k", IfModifiedSince=modified)
    with raises("412", 412):
        s3.head_object(Bucket=bucket, Key="k", IfMatch='"other"')


def test_conditions_of_writes(account, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")
    with raises("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*")
    etag = s3.head_object(Bucket=bucket, Key="k")["ETag"]
    with raises("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch='"other"')
    s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch=etag)
    with raises("NoSuchKey", 404):
        s3.put_object(Bucket=bucket, Key="missing", Body=b"2", IfMatch=etag)
    assert read(s3, bucket, "k") == b"2"
    with raises("PreconditionFailed", 412):
        s3.delete_object(Bucket=bucket, Key="k", IfMatch='"other"')
    # The condition tells something of the object, so it needs the right to read.
    writer = account.user(policy=allow("s3:PutObject", arn(bucket, "*"))).client("s3")
    assert_denied(lambda: writer.put_object(Bucket=bucket, Key="k", Body=b"3", IfMatch=etag), "s3:GetObject", by="identity")

    def create(number):
        try:
            account.client("s3").put_object(Bucket=bucket, Key="once", Body=b"%d" % number, IfNoneMatch="*")
        except botocore.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "PreconditionFailed"
            return False
        return True

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(8))) == 1


def test_a_missing_key_is_told_to_those_who_may_list(account, s3, bucket):
    reader = account.user(policy=allow("s3:GetObject", arn(bucket, "*"))).client("s3")
    assert_denied(lambda: reader.get_object(Bucket=bucket, Key="missing"), "s3:ListBucket", by="identity")
    assert_denied(lambda: reader.head_object(Bucket=bucket, Key="missing"))
    lister = account.user(policy=[allow("s3:GetObject", arn(bucket, "*")), allow("s3:ListBucket", arn(bucket))]).client("s3")
    with raises("NoSuchKey", 404):
        lister.get_object(Bucket=bucket, Key="missing")
    with raises("404", 404):
        lister.head_object(Bucket=bucket, Key="missing")


def test_object_operations_need_their_permission(account, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    nobody = account.user(policy=allow("s3:ListBucket", arn(bucket))).client("s3")
    for action, call in {
        "s3:GetObject": lambda: nobody.get_object(Bucket=bucket, Key="k"),
        "s3:PutObject": lambda: nobody.put_object(Bucket=bucket, Key="k", Body=b"y"),
        "s3:DeleteObject": lambda: nobody.delete_object(Bucket=bucket, Key="k"),
        "s3:GetObjectAcl": lambda: nobody.get_object_acl(Bucket=bucket, Key="k"),
        "s3:GetObjectTagging": lambda: nobody.get_object_tagging(Bucket=bucket, Key="k"),
        "s3:PutObjectTagging": lambda: nobody.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": []}),
        "s3:DeleteObjectTagging": lambda: nobody.delete_object_tagging(Bucket=bucket, Key="k"),
        "s3:AbortMultipartUpload": lambda: nobody.abort_multipart_upload(Bucket=bucket, Key="k", UploadId="u"),
        "s3:ListMultipartUploadParts": lambda: nobody.list_parts(Bucket=bucket, Key="k", UploadId="u"),
    }.items():
        assert_denied(call, action, by="identity")
    for call in (
        lambda: nobody.create_multipart_upload(Bucket=bucket, Key="k"),
        lambda: nobody.upload_part(Bucket=bucket, Key="k", UploadId="u", PartNumber=1, Body=b"x"),
        lambda: nobody.complete_multipart_upload(Bucket=bucket, Key="k", UploadId="u", MultipartUpload={"Parts": []}),
    ):
        assert_denied(call, "s3:PutObject", by="identity")
    assert_denied(lambda: nobody.head_object(Bucket=bucket, Key="k"))
    assert_denied(lambda: nobody.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ETag"]), "s3:GetObject")
    assert read(s3, bucket, "k") == b"x"


def test_response_headers_can_be_overridden(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentType="text/plain")
    got = s3.get_object(Bucket=bucket, Key="k", ResponseContentType="image/png", ResponseCacheControl="no-store")
    assert (got["ContentType"], got["CacheControl"]) == ("image/png", "no-store")


def test_presigned_urls_carry_the_rights_of_their_signer(account, s3, bucket, bailiwick):
    s3.put_object(Bucket=bucket, Key="k", Body=b"secret")
    signer = account.user(policy=allow(["s3:GetObject", "s3:PutObject"], arn(bucket, "k*"))).client("s3")

    def url(operation="get_object", key="k", seconds=60, **parameters):
        import bailiwick_server

        bailiwick_server._signing.ahead_ms = bailiwick.ahead_ms
        return signer.generate_presigned_url(operation, {"Bucket": bucket, "Key": key, **parameters}, ExpiresIn=seconds)

    assert open_url(bailiwick, url()) == (200, b"secret")
    status, body = open_url(bailiwick, url(key="other"))
    assert status == 403 and b"AccessDenied" in body
    status, body = open_url(bailiwick, url().replace("X-Amz-Signature=", "X-Amz-Signature=0"))
    assert status == 403 and b"SignatureDoesNotMatch" in body
    status, body = open_url(bailiwick, url() + "&response-content-type=text/html")
    assert status == 403
    status, _ = open_url(bailiwick, url("put_object", key="k2"), "PUT", b"written")
    assert status == 200
    assert read(s3, bucket, "k2") == b"written"
    status, _ = open_url(bailiwick, url("put_object", key="k3"), "GET")
    assert status == 403


# -- checksums -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_checksums_are_verified_stored_and_shown(s3, bucket, algorithm):
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"hello", ChecksumAlgorithm=algorithm)
    member = f"Checksum{algorithm}"
    assert put[member]
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (head[member], head["ChecksumType"]) == (put[member], "FULL_OBJECT")
    assert member not in s3.head_object(Bucket=bucket, Key="k")
    assert member not in s3.get_object(Bucket=bucket, Key="k", Range="bytes=0-1", ChecksumMode="ENABLED")
    if algorithm.startswith("SHA"):
        assert put[member] == base64.b64encode(hashlib.new(algorithm.lower(), b"hello").digest()).decode()


def test_an_object_without_checksum_gets_one(account, bucket):
    plain = plain_client(account.session)
    put = plain.put_object(Bucket=bucket, Key="k", Body=b"123456789")
    assert base64.b64decode(put["ChecksumCRC64NVME"]).hex() == "ae8b14860a799888"
    head = plain.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head["ChecksumCRC64NVME"] == put["ChecksumCRC64NVME"]


def test_wrong_digests_leave_no_object(account, s3, bucket):
    plain = plain_client(account.session)
    zeros = base64.b64encode(b"\0" * 16).decode()
    with raises("BadDigest", 400):
        plain.put_object(Bucket=bucket, Key="k", Body=b"x", ContentMD5=zeros)
    with raises("InvalidDigest", 400):
        plain.put_object(Bucket=bucket, Key="k", Body=b"x", ContentMD5="not-md5")
    with raises("BadDigest", 400):
        plain.put_object(Bucket=bucket, Key="k", Body=b"x", ChecksumCRC32="AAAAAA==")
    with raises("InvalidRequest", 400):
        plain.put_object(Bucket=bucket, Key="k", Body=b"x", ChecksumSHA256="AAAA")
    with raises("404"):
        s3.head_object(Bucket=bucket, Key="k")
    right = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    plain.put_object(Bucket=bucket, Key="k", Body=b"x", ContentMD5=right)


def test_attributes(s3, bucket):
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"hello", ChecksumAlgorithm="SHA256")
    wanted = ["ETag", "Checksum", "StorageClass", "ObjectSize", "ObjectParts"]
    got = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=wanted)
    assert got["ETag"] == put["ETag"].strip('"')
    assert got["Checksum"]["ChecksumSHA256"] == put["ChecksumSHA256"]
    assert (got["ObjectSize"], got["StorageClass"]) == (5, "STANDARD")
    assert "ObjectParts" not in got
    with raises("NoSuchKey", 404):
        s3.get_object_attributes(Bucket=bucket, Key="missing", ObjectAttributes=wanted)


# -- tags ------------------------------------------------------------------------------------------------------------------------------


def test_objects_have_tags(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="team=ml&stage=a%20b")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "team", "Value": "ml"}, {"Key": "stage", "Value": "a b"}]
    assert s3.head_object(Bucket=bucket, Key="k")["TagCount"] == 2
    tags = [{"Key": f"k{number}", "Value": "v"} for number in range(10)]
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": tags})
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == tags
    with raises("BadRequest", 400):
        s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [*tags, {"Key": "more", "Value": ""}]})
    with raises("InvalidTag", 400):
        s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [tags[0], tags[0]]})
    with raises("NoSuchKey", 404):
        s3.put_object_tagging(Bucket=bucket, Key="missing", Tagging={"TagSet": tags})
    with raises("InvalidArgument", 400):
        s3.put_object(Bucket=bucket, Key="k2", Body=b"x", Tagging="a=1&a=2")
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    assert "TagCount" not in s3.head_object(Bucket=bucket, Key="k")


def test_policies_ask_for_tags_of_objects_and_requests(account, s3, bucket):
    open_only = allow("s3:GetObject", arn(bucket, "*"), Condition={"StringEquals": {"s3:ExistingObjectTag/class": "open"}})
    reader = account.user(policy=open_only).client("s3")
    s3.put_object(Bucket=bucket, Key="open", Body=b"x", Tagging="class=open")
    s3.put_object(Bucket=bucket, Key="closed", Body=b"x", Tagging="class=closed")
    assert read(reader, bucket, "open") == b"x"
    assert_denied(lambda: reader.get_object(Bucket=bucket, Key="closed"), "s3:GetObject", by="identity")
    tagging = allow(["s3:PutObject", "s3:PutObjectTagging"], arn(bucket, "*"), Condition={"StringEquals": {"s3:RequestObjectTag/class": "open"}})
    writer = account.user(policy=tagging).client("s3")
    writer.put_object(Bucket=bucket, Key="w", Body=b"x", Tagging="class=open")
    assert_denied(lambda: writer.put_object(Bucket=bucket, Key="w", Body=b"x", Tagging="class=closed"), "s3:PutObject")
    assert_denied(lambda: writer.put_object(Bucket=bucket, Key="w", Body=b"x"), "s3:PutObject")
    # Tagging while writing needs the right to tag.
    plain = account.user(policy=allow("s3:PutObject", arn(bucket, "*"))).client("s3")
    assert_denied(lambda: plain.put_object(Bucket=bucket, Key="w", Body=b"x", Tagging="a=b"), "s3:PutObjectTagging", by="identity")


# -- encryption ------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def key(account):
    return account.client("kms").create_key()["KeyMetadata"]["Arn"]


def test_sse_kms_asks_kms_for_the_caller(account, s3, bucket, key):
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"secret", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    assert (put["ServerSideEncryption"], put["SSEKMSKeyId"]) == ("aws:kms", key)
    assert put["ETag"] != f'"{hashlib.md5(b"secret").hexdigest()}"'
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == b"secret"
    assert got["SSEKMSKeyId"] == key
    reader = account.user(policy=allow("s3:*", [arn(bucket), arn(bucket, "*")])).client("s3")
    assert_denied(lambda: reader.get_object(Bucket=bucket, Key="k"), "kms:Decrypt", by="identity")
    assert_denied(
        lambda: reader.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key), "kms:GenerateDataKey"
    )
    # HEAD opens nothing.
    assert reader.head_object(Bucket=bucket, Key="k")["ContentLength"] == 6
    through_s3 = allow(
        "kms:Decrypt",
        key,
        Condition={"StringEquals": {"kms:ViaService": f"s3.{REGION}.amazonaws.com", "kms:EncryptionContext:aws:s3:arn": arn(bucket, "k")}},
    )
    allowed = account.user(policy=[allow("s3:GetObject", arn(bucket, "*")), through_s3])
    assert read(allowed.client("s3"), bucket, "k") == b"secret"
    blob = account.client("kms").encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"aws:s3:arn": arn(bucket, "k")})["CiphertextBlob"]
    assert_denied(
        lambda: allowed.client("kms").decrypt(CiphertextBlob=blob, EncryptionContext={"aws:s3:arn": arn(bucket, "k")}), "kms:Decrypt"
    )


def test_a_disabled_key_makes_its_objects_unreadable(account, s3, bucket, key):
    kms = account.client("kms")
    s3.put_object(Bucket=bucket, Key="k", Body=b"secret", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    kms.disable_key(KeyId=key)
    with raises("KMS.DisabledException", 400, "is disabled"):
        s3.get_object(Bucket=bucket, Key="k")
    with raises("KMS.DisabledException", 400):
        s3.put_object(Bucket=bucket, Key="k2", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    with raises("KMS.DisabledException", 400):
        s3.copy_object(Bucket=bucket, Key="k3", CopySource={"Bucket": bucket, "Key": "k"})
    kms.enable_key(KeyId=key)
    assert read(s3, bucket, "k") == b"secret"
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    with raises("KMS.KMSInvalidStateException", 400):
        s3.get_object(Bucket=bucket, Key="k")


def test_a_missing_key_is_named(account, s3, bucket):
    missing = f"arn:aws:kms:{REGION}:{account.id}:key/{uuid.uuid4()}"
    with raises("KMS.NotFoundException", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=missing)


def test_the_default_key_of_the_account(account, s3, bucket):
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms")
    aliases = account.client("kms").list_aliases()["Aliases"]
    managed = next(alias["TargetKeyId"] for alias in aliases if alias["AliasName"] == "alias/aws/s3")
    assert put["SSEKMSKeyId"].endswith(managed)
    assert read(s3, bucket, "k") == b"x"


def test_the_buckets_default_is_applied(account, s3, bucket, key):
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}, "BucketKeyEnabled": True}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    (shown,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert shown == {**rule, "BlockedEncryptionTypes": {"EncryptionType": ["SSE-C"]}}
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert (put["ServerSideEncryption"], put["SSEKMSKeyId"], put["BucketKeyEnabled"]) == ("aws:kms", key, True)
    # With a Bucket Key the context is the bucket's.
    contexts = [
        event["requestParameters"]["encryptionContext"] for event in account.events(EventName="GenerateDataKey") if event["requestParameters"]
    ]
    assert {"aws:s3:arn": arn(bucket)} in contexts
    assert s3.put_object(Bucket=bucket, Key="plain", Body=b"x", ServerSideEncryption="AES256")["ServerSideEncryption"] == "AES256"
    s3.delete_bucket_encryption(Bucket=bucket)
    (shown,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert shown["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert read(s3, bucket, "k") == b"x"


def test_malformed_encryption_is_refused(s3, bucket):
    def put(rule):
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})

    with raises("NotImplemented", 501):
        put({"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms:dsse"}})
    with raises("InvalidArgument", 400):
        put({"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256", "KMSMasterKeyID": "k"}})
    with raises("InvalidArgument", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="AES256", SSEKMSKeyId="k")
    context = base64.b64encode(json.dumps({"aws:s3:arn": "arn:aws:s3:::other/k"}).encode()).decode()
    with raises("InvalidArgument", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSEncryptionContext=context)


def test_policies_can_demand_an_encryption(account, s3, bucket, key):
    demand = deny("s3:PutObject", arn(bucket, "*"), Principal="*", Condition={"StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}})
    s3.put_bucket_policy(Bucket=bucket, Policy=document(demand))
    assert_denied(lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"x"), "s3:PutObject", by="resource", explicit=True)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)


def test_customers_keys_are_blocked_on_new_buckets(s3, bucket):
    (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["BlockedEncryptionTypes"] == {"EncryptionType": ["SSE-C"]}
    with raises("AccessDenied", 403, "SSE-C"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", **customer_key())
    with raises("AccessDenied", 403, "SSE-C"):
        s3.create_multipart_upload(Bucket=bucket, Key="k", **customer_key())


def test_sse_c_needs_the_right_key(s3, bucket):
    unblock_customer_keys(s3, bucket)
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"secret", **customer_key())
    assert put["SSECustomerAlgorithm"] == "AES256"
    assert "ServerSideEncryption" not in put
    assert put["ETag"] != f'"{hashlib.md5(b"secret").hexdigest()}"'
    assert read(s3, bucket, "k", **customer_key()) == b"secret"
    s3.head_object(Bucket=bucket, Key="k", **customer_key())
    with raises("InvalidRequest", 400):
        s3.get_object(Bucket=bucket, Key="k")
    with raises("400", 400):
        s3.head_object(Bucket=bucket, Key="k")
    with raises("AccessDenied", 403, "correct secret key"):
        s3.get_object(Bucket=bucket, Key="k", **customer_key(b"w"))
    with raises("403", 403):
        s3.head_object(Bucket=bucket, Key="k", **customer_key(b"w"))
    with raises("InvalidArgument", 400):
        s3.get_object(Bucket=bucket, Key="k", SSECustomerAlgorithm="AES256", SSECustomerKey=b"short")
    with raises("InvalidArgument", 400):
        wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
        s3.get_object(Bucket=bucket, Key="k", **customer_key(), SSECustomerKeyMD5=wrong)
    s3.put_object(Bucket=bucket, Key="plain", Body=b"x")
    with raises("InvalidRequest", 400):
        s3.get_object(Bucket=bucket, Key="plain", **customer_key())
    s3.copy_object(
        Bucket=bucket,
        Key="copy",
        CopySource={"Bucket": bucket, "Key": "k"},
        CopySourceSSECustomerAlgorithm="AES256",
        CopySourceSSECustomerKey=b"k" * 32,
    )
    assert read(s3, bucket, "copy") == b"secret"


def test_nothing_readable_is_on_disk(start_server):
    server = start_server("--ephemeral", "--region", REGION)
    s3 = server.session().client("s3")
    s3.create_bucket(Bucket=(bucket := new_name()))
    unblock_customer_keys(s3, bucket)
    canary = b"canary-" + uuid.uuid4().hex.encode() * 3
    s3.put_object(Bucket=bucket, Key="managed", Body=canary * 2000, Metadata={"note": canary.decode()})
    s3.put_object(Bucket=bucket, Key="kms", Body=canary, ServerSideEncryption="aws:kms")
    s3.put_object(Bucket=bucket, Key="customer", Body=canary, **customer_key(b"c"))
    for path in server.data_dir.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert canary not in content and b"c" * 32 not in content, path
    assert canary.decode() not in server.log_file.read_text(errors="replace")


def blobs(server):
    """Sealed objects on disk, largest first."""
    found = [path for path in server.data_dir.rglob("*") if path.is_file() and len(path.name) == 32]
    return sorted(found, key=lambda path: -path.stat().st_size)


@pytest.mark.parametrize("place", ["header", "first", "last"])
def test_a_flipped_byte_on_disk_is_never_served(start_server, place):
    server = start_server("--region", REGION)
    s3 = server.session().client("s3")
    s3.create_bucket(Bucket=(bucket := new_name()))
    content = os.urandom(200_000)
    s3.put_object(Bucket=bucket, Key="k", Body=content)
    assert read(s3, bucket, "k") == content
    found = blobs(server)
    assert found, "the bytes are in the data folder"
    damaged = bytearray(found[0].read_bytes())
    damaged[{"header": 5, "first": 100, "last": len(damaged) - 1}[place]] ^= 1
    found[0].write_bytes(damaged)
    got = b""
    with pytest.raises(Exception) as refused:
        for piece in s3.get_object(Bucket=bucket, Key="k")["Body"].iter_chunks(4096):
            got += piece
    assert not isinstance(refused.value, AssertionError)
    assert content.startswith(got) and len(got) < len(content)


# -- listings --------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def listed(s3, bucket):
    keys = ["a", "b/1", "b/2", "b/c/3", "c", "d/", "d/4", "e", "é", "z z"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    return sorted(keys, key=str.encode)


def keys_of(answer):
    return [found["Key"] for found in answer.get("Contents", [])]


def prefixes_of(answer):
    return [found["Prefix"] for found in answer.get("CommonPrefixes", [])]


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2"])
def test_listings(s3, bucket, listed, operation):
    list_of = getattr(s3, operation)
    assert keys_of(list_of(Bucket=bucket)) == listed
    folded = list_of(Bucket=bucket, Delimiter="/")
    assert (keys_of(folded), prefixes_of(folded)) == ([key for key in listed if "/" not in key], ["b/", "d/"])
    below = list_of(Bucket=bucket, Prefix="b/", Delimiter="/")
    assert (keys_of(below), prefixes_of(below)) == (["b/1", "b/2"], ["b/c/"])
    assert keys_of(list_of(Bucket=bucket, Prefix="none")) == []
    empty = list_of(Bucket=bucket, MaxKeys=0)
    assert (keys_of(empty), empty["IsTruncated"]) == ([], False)
    for delimiter in (None, "/"):
        for size in (1, 2, 3, 100):
            more = {"Delimiter": delimiter} if delimiter else {}
            pages = list(s3.get_paginator(operation).paginate(Bucket=bucket, PaginationConfig={"PageSize": size}, **more))
            found = sorted([name for page in pages for name in keys_of(page) + prefixes_of(page)], key=str.encode)
            whole = list_of(Bucket=bucket, **more)
            assert found == sorted(keys_of(whole) + prefixes_of(whole), key=str.encode), (delimiter, size)


def test_listings_begin_behind_a_key(s3, bucket, listed):
    assert keys_of(s3.list_objects_v2(Bucket=bucket, StartAfter="b/2")) == listed[listed.index("b/2") + 1 :]
    assert keys_of(s3.list_objects(Bucket=bucket, Marker="c")) == listed[listed.index("c") + 1 :]
    first = s3.list_objects_v2(Bucket=bucket, MaxKeys=3)
    assert (first["KeyCount"], first["IsTruncated"]) == (3, True)
    with raises("InvalidArgument", 400):
        s3.list_objects_v2(Bucket=bucket, ContinuationToken="forged")
    with raises("InvalidArgument", 400):
        # A token belongs to its list.
        s3.list_objects_v2(Bucket=bucket, Prefix="b", ContinuationToken=first["NextContinuationToken"])
    assert "Owner" in s3.list_objects_v2(Bucket=bucket, FetchOwner=True)["Contents"][0]
    assert "Owner" not in first["Contents"][0]


def test_tokens_are_not_carried_to_other_callers(account, other_account, s3, bucket, listed):
    statement = allow("s3:ListBucket", arn(bucket), Principal={"AWS": f"arn:aws:iam::{other_account.id}:root"})
    s3.put_bucket_policy(Bucket=bucket, Policy=document(statement))
    token = s3.list_objects_v2(Bucket=bucket, MaxKeys=1)["NextContinuationToken"]
    theirs = other_account.client("s3")
    assert keys_of(theirs.list_objects_v2(Bucket=bucket)) == listed
    with raises("InvalidArgument", 400):
        theirs.list_objects_v2(Bucket=bucket, ContinuationToken=token)


def test_policies_ask_for_the_prefix(account, s3, bucket, listed):
    mine = allow("s3:ListBucket", arn(bucket), Condition={"StringLike": {"s3:prefix": "b/*"}, "NumericLessThanEquals": {"s3:max-keys": "10"}})
    user = account.user(policy=mine).client("s3")
    assert keys_of(user.list_objects_v2(Bucket=bucket, Prefix="b/", MaxKeys=10)) == ["b/1", "b/2", "b/c/3"]
    assert_denied(lambda: user.list_objects_v2(Bucket=bucket, Prefix="c", MaxKeys=10), "s3:ListBucket")
    assert_denied(lambda: user.list_objects_v2(Bucket=bucket, Prefix="b/", MaxKeys=11), "s3:ListBucket")
    assert_denied(lambda: user.list_objects_v2(Bucket=bucket), "s3:ListBucket")


# -- deletion --------------------------------------------------------------------------------------------------------------------------


def test_deleting_what_is_not_there_succeeds(s3, bucket):
    s3.delete_object(Bucket=bucket, Key="missing")
    with raises("InvalidArgument", 400):
        s3.delete_object(Bucket=bucket, Key="k", BypassGovernanceRetention=True)


def test_batches_decide_each_key(account, s3, bucket):
    for key in ("mine/1", "mine/2", "theirs/3"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    user = account.user(policy=allow("s3:DeleteObject", arn(bucket, "mine/*"))).client("s3")
    objects = [{"Key": key} for key in ("mine/1", "theirs/3", "mine/missing", "mine/2")]
    answer = user.delete_objects(Bucket=bucket, Delete={"Objects": objects})
    assert sorted(found["Key"] for found in answer["Deleted"]) == ["mine/1", "mine/2", "mine/missing"]
    (error,) = answer["Errors"]
    assert (error["Key"], error["Code"]) == ("theirs/3", "AccessDenied")
    assert keys_of(s3.list_objects_v2(Bucket=bucket)) == ["theirs/3"]
    quiet = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "theirs/3"}], "Quiet": True})
    assert "Deleted" not in quiet
    assert keys_of(s3.list_objects_v2(Bucket=bucket)) == []
    with raises("MalformedXML", 400):
        s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": str(number)} for number in range(1001)]})


def test_deny_by_connection_holds_for_each_key_of_a_batch(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    modern_only = deny("s3:DeleteObject", arn(bucket, "*"), Principal="*", Condition={"NumericGreaterThan": {"s3:TlsVersion": "1.1"}})
    s3.put_bucket_policy(Bucket=bucket, Policy=document(modern_only))
    (error,) = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}]})["Errors"]
    assert error["Code"] == "AccessDenied"
    assert read(s3, bucket, "k") == b"x"


# -- copies ----------------------------------------------------------------------------------------------------------------------------


def test_copies(s3, bucket, key):
    s3.put_object(Bucket=bucket, Key="a b/ü", Body=b"content", ContentType="text/plain", Metadata={"m": "1"}, Tagging="t=1")
    target = new_name()
    s3.create_bucket(Bucket=target)
    answer = s3.copy_object(Bucket=target, Key="copy", CopySource={"Bucket": bucket, "Key": "a b/ü"})
    assert answer["CopyObjectResult"]["ETag"] == f'"{hashlib.md5(b"content").hexdigest()}"'
    got = s3.get_object(Bucket=target, Key="copy")
    assert (got["Body"].read(), got["ContentType"], got["Metadata"], got["TagCount"]) == (b"content", "text/plain", {"m": "1"}, 1)
    s3.copy_object(
        Bucket=target,
        Key="copy",
        CopySource={"Bucket": target, "Key": "copy"},
        MetadataDirective="REPLACE",
        Metadata={"n": "2"},
        TaggingDirective="REPLACE",
        Tagging="u=2",
        ServerSideEncryption="aws:kms",
        SSEKMSKeyId=key,
    )
    got = s3.get_object(Bucket=target, Key="copy")
    assert (got["Body"].read(), got["Metadata"], got["ServerSideEncryption"]) == (b"content", {"n": "2"}, "aws:kms")
    assert s3.get_object_tagging(Bucket=target, Key="copy")["TagSet"] == [{"Key": "u", "Value": "2"}]
    with raises("InvalidRequest", 400):
        s3.copy_object(Bucket=target, Key="copy", CopySource={"Bucket": target, "Key": "copy"})
    with raises("NoSuchKey", 404):
        s3.copy_object(Bucket=target, Key="x", CopySource={"Bucket": bucket, "Key": "missing"})
    with raises("NoSuchBucket", 404):
        s3.copy_object(Bucket=target, Key="x", CopySource={"Bucket": new_name(), "Key": "k"})
    with raises("PreconditionFailed", 412):
        s3.copy_object(Bucket=target, Key="x", CopySource={"Bucket": bucket, "Key": "a b/ü"}, CopySourceIfMatch='"other"')


def test_copies_need_rights_on_both_sides(account, other_account, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="t=1")
    s3.put_object(Bucket=bucket, Key="plain", Body=b"x")

    def copy(user, key="k", **more):
        return lambda: user.client("s3").copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key}, **more)

    writer = account.user(policy=allow("s3:PutObject", arn(bucket, "*")))
    assert_denied(copy(writer), "s3:GetObject", by="identity")
    reader = account.user(policy=allow("s3:GetObject", arn(bucket, "*")))
    assert_denied(copy(reader), "s3:PutObject", by="identity")
    both = account.user(policy=allow(["s3:GetObject", "s3:PutObject"], arn(bucket, "*")))
    copy(both, "plain")()
    assert_denied(copy(both), "s3:GetObjectTagging", by="identity")
    copy(both, MetadataDirective="COPY", TaggingDirective="REPLACE")()
    theirs = new_name()
    stranger = other_account.client("s3")
    stranger.create_bucket(Bucket=theirs)
    assert_denied(lambda: stranger.copy_object(Bucket=theirs, Key="k", CopySource={"Bucket": bucket, "Key": "plain"}))
    own = allow("s3:GetObject", arn(bucket, "plain"), Principal={"AWS": f"arn:aws:iam::{other_account.id}:root"})
    s3.put_bucket_policy(Bucket=bucket, Policy=document(own))
    stranger.copy_object(Bucket=theirs, Key="k", CopySource={"Bucket": bucket, "Key": "plain"})
    assert read(stranger, theirs, "k") == b"x"


# -- multipart uploads -----------------------------------------------------------------------------------------------------------------


def send(s3, bucket, key, contents, upload=None, **more):
    """Uploads parts; gives the upload id and the list for completion."""
    upload = upload or s3.create_multipart_upload(Bucket=bucket, Key=key, **more)["UploadId"]
    parts = []
    for number, content in enumerate(contents, 1):
        answer = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=content)
        checksums = {name: value for name, value in answer.items() if name.startswith("Checksum") and name != "ChecksumType"}
        parts.append({"PartNumber": number, "ETag": answer["ETag"], **checksums})
    return upload, parts


def complete(s3, bucket, key, upload, parts, **more):
    return s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}, **more)


def test_a_multipart_upload_becomes_one_object(s3, bucket):
    contents = [os.urandom(PART), os.urandom(PART + 5), b"end"]
    upload, parts = send(s3, bucket, "k", contents, Metadata={"m": "1"}, Tagging="t=1", ContentType="text/plain")
    with raises("404"):
        s3.head_object(Bucket=bucket, Key="k")
    listed = s3.list_parts(Bucket=bucket, Key="k", UploadId=upload)
    assert [(part["PartNumber"], part["Size"]) for part in listed["Parts"]] == [(1, PART), (2, PART + 5), (3, 3)]
    pages = s3.get_paginator("list_parts").paginate(Bucket=bucket, Key="k", UploadId=upload, PaginationConfig={"PageSize": 1})
    assert [part["PartNumber"] for page in pages for part in page["Parts"]] == [1, 2, 3]
    done = complete(s3, bucket, "k", upload, parts)
    digests = b"".join(hashlib.md5(content).digest() for content in contents)
    assert done["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-3"'
    whole = b"".join(contents)
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == whole
    assert (got["ContentType"], got["Metadata"], got["TagCount"]) == ("text/plain", {"m": "1"}, 1)
    second = s3.get_object(Bucket=bucket, Key="k", PartNumber=2)
    assert (second["Body"].read(), second["PartsCount"]) == (contents[1], 3)
    assert read(s3, bucket, "k", Range=f"bytes={PART - 3}-{PART + 2}") == whole[PART - 3 : PART + 3]
    parts_shown = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ObjectParts"])["ObjectParts"]
    assert parts_shown["TotalPartsCount"] == 3
    with raises("NoSuchUpload", 404):
        s3.list_parts(Bucket=bucket, Key="k", UploadId=upload)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_wrong_completions_are_refused(s3, bucket):
    upload, parts = send(s3, bucket, "k", [b"x" * PART, b"y" * 100, b"z"])
    with raises("InvalidPartOrder", 400):
        complete(s3, bucket, "k", upload, [parts[1], parts[0]])
    with raises("EntityTooSmall", 400):
        complete(s3, bucket, "k", upload, parts)
    with raises("InvalidPart", 400):
        complete(s3, bucket, "k", upload, [{**parts[0], "ETag": '"00000000000000000000000000000000"'}])
    with raises("InvalidPart", 400):
        complete(s3, bucket, "k", upload, [{**parts[0], "PartNumber": 9}])
    with raises("MalformedXML", 400):
        complete(s3, bucket, "k", upload, [])
    with raises("NoSuchUpload", 404):
        complete(s3, bucket, "other", upload, parts[:1])
    with raises("InvalidRequest", 400):
        complete(s3, bucket, "k", upload, parts[:1], MpuObjectSize=7)
    with raises("InvalidArgument", 400):
        s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=10_001, Body=b"x")
    complete(s3, bucket, "k", upload, parts[:2])
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == PART + 100
    upload, parts = send(s3, bucket, "k", [b"again"])
    with raises("PreconditionFailed", 412):
        complete(s3, bucket, "k", upload, parts, IfNoneMatch="*")


def test_checksums_of_multipart_uploads(s3, bucket):
    contents = [os.urandom(PART), b"end"]
    upload, parts = send(s3, bucket, "c", contents, ChecksumAlgorithm="SHA256")
    with raises("InvalidRequest", 400):
        complete(s3, bucket, "c", upload, [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in parts])
    done = complete(s3, bucket, "c", upload, parts)
    digests = b"".join(hashlib.sha256(content).digest() for content in contents)
    assert done["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(digests).digest()).decode() + "-2"
    upload, parts = send(s3, bucket, "f", contents, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    done = complete(s3, bucket, "f", upload, parts, ChecksumType="FULL_OBJECT")
    single = s3.put_object(Bucket=bucket, Key="s", Body=b"".join(contents), ChecksumAlgorithm="CRC32")
    assert (done["ChecksumCRC32"], done["ChecksumType"]) == (single["ChecksumCRC32"], "FULL_OBJECT")
    with raises("InvalidRequest", 400):
        s3.create_multipart_upload(Bucket=bucket, Key="x", ChecksumAlgorithm="SHA1", ChecksumType="FULL_OBJECT")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="x", ChecksumAlgorithm="SHA256")["UploadId"]
    with raises("InvalidRequest", 400):
        s3.upload_part(Bucket=bucket, Key="x", UploadId=upload, PartNumber=1, Body=b"x", ChecksumAlgorithm="CRC32")


def test_uploads_are_listed_and_aborted(s3, bucket):
    uploads = {key: s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"] for key in ("a", "b/1", "b/2")}
    listed = s3.list_multipart_uploads(Bucket=bucket)
    assert {found["Key"]: found["UploadId"] for found in listed["Uploads"]} == uploads
    assert prefixes_of(s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")) == ["b/"]
    pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, PaginationConfig={"PageSize": 1})
    assert [found["Key"] for page in pages for found in page["Uploads"]] == ["a", "b/1", "b/2"]
    s3.abort_multipart_upload(Bucket=bucket, Key="a", UploadId=uploads["a"])
    with raises("NoSuchUpload", 404):
        s3.abort_multipart_upload(Bucket=bucket, Key="a", UploadId=uploads["a"])
    with raises("NoSuchUpload", 404):
        s3.upload_part(Bucket=bucket, Key="a", UploadId=uploads["a"], PartNumber=1, Body=b"x")


def test_parts_can_be_copied(account, s3, bucket):
    content = os.urandom(PART + 10)
    s3.put_object(Bucket=bucket, Key="source", Body=content)
    source = {"Bucket": bucket, "Key": "source"}
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]

    def copy(number, client=s3, **more):
        return client.upload_part_copy(Bucket=bucket, Key="k", UploadId=upload, PartNumber=number, CopySource=source, **more)["CopyPartResult"]

    parts = []
    for number, more in ((1, {}), (2, {"CopySourceRange": "bytes=5-14"})):
        result = copy(number, **more)
        checksums = {name: value for name, value in result.items() if name.startswith("Checksum")}
        parts.append({"PartNumber": number, "ETag": result["ETag"], **checksums})
    complete(s3, bucket, "k", upload, parts)
    assert read(s3, bucket, "k") == content + content[5:15]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    with raises("InvalidArgument", 400):
        copy(1, CopySourceRange=f"bytes=0-{len(content)}")
    with raises("InvalidArgument", 400):
        copy(1, CopySourceRange="bytes=5-")
    writer = account.user(policy=allow("s3:PutObject", arn(bucket, "*"))).client("s3")
    assert_denied(lambda: copy(1, writer), "s3:GetObject", by="identity")


def test_multipart_uploads_are_encrypted_as_they_were_begun(account, s3, bucket, key):
    upload, parts = send(s3, bucket, "kms", [b"x" * PART, b"y"], ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    account.client("kms").disable_key(KeyId=key)
    with raises("KMS.DisabledException", 400):
        s3.upload_part(Bucket=bucket, Key="kms", UploadId=upload, PartNumber=3, Body=b"z")
    with raises("KMS.DisabledException", 400):
        complete(s3, bucket, "kms", upload, parts)
    account.client("kms").enable_key(KeyId=key)
    done = complete(s3, bucket, "kms", upload, parts)
    assert done["SSEKMSKeyId"] == key
    assert read(s3, bucket, "kms") == b"x" * PART + b"y"
    unblock_customer_keys(s3, bucket)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="c", **customer_key())["UploadId"]
    with raises("InvalidRequest", 400):
        s3.upload_part(Bucket=bucket, Key="c", UploadId=upload, PartNumber=1, Body=b"x")
    with raises("AccessDenied", 403):
        s3.upload_part(Bucket=bucket, Key="c", UploadId=upload, PartNumber=1, Body=b"x", **customer_key(b"w"))
    part = s3.upload_part(Bucket=bucket, Key="c", UploadId=upload, PartNumber=1, Body=b"x", **customer_key())
    checksums = {name: value for name, value in part.items() if name.startswith("Checksum") and name != "ChecksumType"}
    complete(s3, bucket, "c", upload, [{"PartNumber": 1, "ETag": part["ETag"], **checksums}])
    assert read(s3, bucket, "c", **customer_key()) == b"x"


# -- policies --------------------------------------------------------------------------------------------------------------------------


def test_bucket_policies_are_validated(s3, bucket, account):
    with raises("NoSuchBucketPolicy", 404):
        s3.get_bucket_policy(Bucket=bucket)
    statement = allow("s3:GetObject", arn(bucket, "*"), Principal={"AWS": f"arn:aws:iam::{account.id}:root"})
    s3.put_bucket_policy(Bucket=bucket, Policy=document(statement))
    assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"]) == json.loads(document(statement))
    for malformed in (
        "{}",
        "not json",
        document({**statement, "Effect": "Perhaps"}),
        document({**statement, "Resource": arn("another-bucket", "*")}),
        document({**statement, "Action": "sqs:SendMessage"}),
        document({name: value for name, value in statement.items() if name != "Principal"}),
        document({**statement, "Sid": "x" * 21_000}),
    ):
        with raises("MalformedPolicy", 400):
            s3.put_bucket_policy(Bucket=bucket, Policy=malformed)
    s3.delete_bucket_policy(Bucket=bucket)
    with raises("NoSuchBucketPolicy"):
        s3.get_bucket_policy(Bucket=bucket)


def test_crossing_accounts_needs_both_sides(account, other_account, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    user = other_account.user(policy=allow("s3:GetObject", arn(bucket, "*")))
    stranger = user.client("s3")
    assert assert_denied(lambda: stranger.get_object(Bucket=bucket, Key="k")) == "Access Denied"
    assert_denied(lambda: other_account.client("s3").get_object(Bucket=bucket, Key="k"))
    statement = allow("s3:GetObject", arn(bucket, "*"), Principal={"AWS": user.user_arn()})
    s3.put_bucket_policy(Bucket=bucket, Policy=document(statement))
    assert read(stranger, bucket, "k") == b"x"
    other = other_account.user(policy=allow("s3:*")).client("s3")
    assert_denied(lambda: other.get_object(Bucket=bucket, Key="k"))
    with raises("AccessDenied", 403):
        stranger.put_object(Bucket=bucket, Key="k", Body=b"y")
    everything = allow("s3:*", [arn(bucket), arn(bucket, "*")], Principal={"AWS": f"arn:aws:iam::{other_account.id}:root"})
    s3.put_bucket_policy(Bucket=bucket, Policy=document(everything))
    with raises("MethodNotAllowed", 405):
        other_account.client("s3").get_bucket_policy(Bucket=bucket)
    # What others put belongs to the bucket's owner.
    other_account.client("s3").put_object(Bucket=bucket, Key="theirs", Body=b"y")
    assert read(s3, bucket, "theirs") == b"y"


def test_an_explicit_deny_wins(account, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.put_bucket_policy(Bucket=bucket, Policy=document(deny("s3:GetObject", arn(bucket, "*"), Principal="*")))
    assert_denied(lambda: s3.get_object(Bucket=bucket, Key="k"), "s3:GetObject", by="resource", explicit=True)
    s3.delete_bucket_policy(Bucket=bucket)
    assert read(s3, bucket, "k") == b"x"


def test_public_policies_are_blocked_until_unblocked(s3, bucket, bailiwick):
    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert all(block.values()) and len(block) == 4
    s3.put_object(Bucket=bucket, Key="k", Body=b"for all")
    public = document(allow("s3:GetObject", arn(bucket, "*"), Principal="*"))
    assert_denied(lambda: s3.put_bucket_policy(Bucket=bucket, Policy=public), "s3:PutBucketPolicy", by="BlockPublicPolicy")
    unblock_public(s3, bucket)
    with raises("NoSuchPublicAccessBlockConfiguration", 404):
        s3.get_public_access_block(Bucket=bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=public)
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is True
    assert anonymous(bailiwick, "GET", f"/{bucket}/k") == (200, b"for all")
    status, body = anonymous(bailiwick, "GET", f"/{bucket}/k?response-content-type=text/html")
    assert (status, b"InvalidRequest" in body) == (400, True)
    assert anonymous(bailiwick, "GET", f"/{bucket}/missing")[0] == 403
    assert anonymous(bailiwick, "GET", f"/{bucket}?list-type=2")[0] == 403
    assert anonymous(bailiwick, "PUT", f"/{bucket}/k", body=b"mine")[0] == 403
    assert anonymous(bailiwick, "DELETE", f"/{bucket}/k")[0] == 403
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={"RestrictPublicBuckets": True})
    assert anonymous(bailiwick, "GET", f"/{bucket}/k")[0] == 403
    assert read(s3, bucket, "k") == b"for all"


def test_restricted_public_buckets_are_closed_to_other_accounts(other_account, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    unblock_public(s3, bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=document(allow("s3:GetObject", arn(bucket, "*"), Principal="*")))
    stranger = other_account.user(policy=allow("s3:GetObject")).client("s3")
    assert read(stranger, bucket, "k") == b"x"
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={"RestrictPublicBuckets": True})
    assert_denied(lambda: stranger.get_object(Bucket=bucket, Key="k"))


def test_a_policy_that_is_not_public(s3, bucket, account):
    own = allow("s3:GetObject", arn(bucket, "*"), Principal="*", Condition={"StringEquals": {"aws:PrincipalAccount": account.id}})
    s3.put_bucket_policy(Bucket=bucket, Policy=document(own))
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is False


def test_nobody_gets_in_without_a_policy(s3, bucket, bailiwick):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for method, path in (("GET", f"/{bucket}/k"), ("HEAD", f"/{bucket}/k"), ("GET", f"/{bucket}"), ("PUT", f"/{bucket}/k"), ("GET", "/")):
        assert anonymous(bailiwick, method, path, body=b"" if method == "PUT" else None)[0] == 403, (method, path)
    batch = b"<Delete><Object><Key>k</Key></Object></Delete>"
    digest = base64.b64encode(hashlib.md5(batch).digest()).decode()
    assert anonymous(bailiwick, "POST", f"/{bucket}?delete", {"content-md5": digest}, batch)[0] == 403
    assert read(s3, bucket, "k") == b"x"


def test_conditions_of_the_connection(account, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")

    def reader(**condition):
        return account.user(policy=allow("s3:GetObject", arn(bucket, "*"), Condition=condition)).client("s3")

    assert read(reader(Bool={"aws:SecureTransport": "true"}), bucket, "k") == b"x"
    assert read(reader(NumericGreaterThanEquals={"s3:TlsVersion": "1.2"}), bucket, "k") == b"x"
    assert read(reader(StringEquals={"s3:authType": "REST-HEADER", "s3:signatureversion": "AWS4-HMAC-SHA256"}), bucket, "k") == b"x"
    assert read(reader(StringEquals={"s3:ResourceAccount": account.id}), bucket, "k") == b"x"
    assert read(reader(NumericLessThan={"s3:signatureAge": "600000"}), bucket, "k") == b"x"
    for condition in (
        {"StringEquals": {"s3:authType": "REST-QUERY-STRING"}},
        {"NumericGreaterThan": {"s3:TlsVersion": "1.3"}},
        {"StringEquals": {"s3:ResourceAccount": "000000000000"}},
    ):
        client = reader(**condition)
        assert_denied(lambda client=client: client.get_object(Bucket=bucket, Key="k"), "s3:GetObject")


# -- records ---------------------------------------------------------------------------------------------------------------------------


def test_calls_are_recorded_with_bucket_and_key(account, s3, bucket):
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    (event,) = [event for event in account.events(EventName="PutBucketTagging") if event["requestParameters"]["bucketName"] == bucket]
    assert event["eventSource"] == "s3.amazonaws.com"
    assert event["requestParameters"]["tagging"] == ""
    assert event["requestParameters"]["Host"].startswith("127.0.0.1")
    assert {"type": "AWS::S3::Bucket", "ARN": arn(bucket), "accountId": account.id} in event["resources"]
    assert event["additionalEventData"]["SignatureVersion"] == "SigV4"
    assert event["additionalEventData"]["AuthenticationMethod"] == "AuthHeader"
    s3.put_bucket_policy(Bucket=bucket, Policy=document(deny("s3:DeleteBucket", arn(bucket), Principal="*")))
    (event,) = [event for event in account.events(EventName="PutBucketPolicy") if event["requestParameters"]["bucketName"] == bucket]
    assert event["requestParameters"]["bucketPolicy"]["Statement"][0]["Effect"] == "Deny"
