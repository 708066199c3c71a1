"""S3: copies and multipart uploads."""

import base64
import hashlib
import os

from bailiwick_server import allow, assert_denied, document, raises
from s3_scenario import MIB, arn, bucket, complete, customer_key, key, new_name, PART, prefixes_of, read, s3, send, unblock_customer_keys


def test_copies(s3, bucket, key):
    s3.put_object(Bucket=bucket, Key="a b/ü", Body=b"content", ContentType="text/plain", Metadata={"m": "1"}, Tagging="t=1")
    target = new_name()
    s3.create_bucket(Bucket=target)
    # Tags of the request count with the directive REPLACE only.
    answer = s3.copy_object(Bucket=target, Key="copy", CopySource={"Bucket": bucket, "Key": "a b/ü"}, Tagging="q=r")
    assert s3.get_object_tagging(Bucket=target, Key="copy")["TagSet"] == [{"Key": "t", "Value": "1"}]
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


def test_a_part_has_its_checksum(s3, bucket):
    upload, parts = send(s3, bucket, "parts", [b"a" * 5 * MIB, b"b" * 100], ChecksumAlgorithm="SHA256")
    complete(s3, bucket, "parts", upload, parts)
    whole = s3.head_object(Bucket=bucket, Key="parts", ChecksumMode="ENABLED")
    assert whole["ChecksumSHA256"].endswith("-2")
    for part in parts:
        shown = s3.head_object(Bucket=bucket, Key="parts", PartNumber=part["PartNumber"], ChecksumMode="ENABLED")
        assert (shown["ChecksumSHA256"], shown["ChecksumType"]) == (part["ChecksumSHA256"], "COMPOSITE")
    span = f"bytes={5 * MIB}-{5 * MIB + 99}"
    assert s3.get_object(Bucket=bucket, Key="parts", Range=span, ChecksumMode="ENABLED")["ChecksumSHA256"] == parts[1]["ChecksumSHA256"]
    assert "ChecksumSHA256" not in s3.get_object(Bucket=bucket, Key="parts", Range="bytes=0-9", ChecksumMode="ENABLED")
