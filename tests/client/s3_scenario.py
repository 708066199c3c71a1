"""What scenarios of S3 share: a bucket, a key, and short words for common steps."""

import http.client
import urllib.parse
import uuid

import botocore.config
import pytest

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
    return {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": (byte * 32).decode()}


def read(s3, bucket, key, **keywords):
    return s3.get_object(Bucket=bucket, Key=key, **keywords)["Body"].read()


@pytest.fixture
def key(account):
    return account.client("kms").create_key()["KeyMetadata"]["Arn"]


def keys_of(answer):
    return [found["Key"] for found in answer.get("Contents", [])]


def prefixes_of(answer):
    return [found["Prefix"] for found in answer.get("CommonPrefixes", [])]


def send(s3, bucket, key, contents, upload=None, **more):
    """Uploads parts; gives the upload id and the list for completion."""
    upload = upload or s3.create_multipart_upload(Bucket=bucket, Key=key, **more)["UploadId"]
    parts = []
    same = {"ChecksumAlgorithm": more["ChecksumAlgorithm"]} if "ChecksumAlgorithm" in more else {}
    for number, content in enumerate(contents, 1):
        answer = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=content, **same)
        checksums = {name: value for name, value in answer.items() if name.startswith("Checksum") and name != "ChecksumType"}
        parts.append({"PartNumber": number, "ETag": answer["ETag"], **checksums})
    return upload, parts


def complete(s3, bucket, key, upload, parts, **more):
    return s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}, **more)
