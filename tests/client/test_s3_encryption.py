"""S3: encryption under managed, KMS and customers' keys, and what is on disk."""

import base64
import hashlib
import json
import os
import uuid

import pytest

from bailiwick_server import allow, assert_denied, deny, document, raises
from s3_scenario import arn, bucket, customer_key, key, new_name, read, REGION, s3, unblock_customer_keys


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
        s3.get_object(Bucket=bucket, Key="k", SSECustomerAlgorithm="AES256", SSECustomerKey="short")
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
        CopySourceSSECustomerKey="k" * 32,
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
