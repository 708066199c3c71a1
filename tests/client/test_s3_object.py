"""S3: objects, ranges, conditions, presigned URLs, checksums, tags."""

import base64
import concurrent.futures
import datetime
import hashlib
import os

import botocore.config
import botocore.exceptions
import pytest

import bailiwick_server
from bailiwick_server import allow, assert_denied, raises
from s3_scenario import arn, bucket, key, MIB, open_url, plain_client, read, s3


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
    signer = account.user(policy=allow(["s3:GetObject", "s3:PutObject"], arn(bucket, "k*"))).client("s3", config=botocore.config.Config(signature_version="s3v4"))

    def url(operation="get_object", key="k", seconds=60, **parameters):
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
