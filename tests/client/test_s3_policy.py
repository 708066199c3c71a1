"""S3: bucket policies, public access, other accounts, conditions, records."""

import base64
import hashlib
import json

import botocore
import botocore.config

from bailiwick_server import allow, assert_denied, deny, document, raises
from s3_scenario import anonymous, arn, bucket, read, s3, unblock_public


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


def test_what_anyone_uploads_is_taken_out_of_its_chunks(account, s3, bucket, bailiwick):
    unblock_public(s3, bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=document(allow("s3:PutObject", arn(bucket, "*"), Principal="*")))
    anyone = account.client("s3", config=botocore.config.Config(signature_version=botocore.UNSIGNED))
    anyone.put_object(Bucket=bucket, Key="k", Body=b"from nobody", ChecksumAlgorithm="SHA256")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"from nobody"
    chunks = b"4\r\nbody\r\n0\r\n\r\n"
    headers = {"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "x-amz-decoded-content-length": "4"}
    assert anonymous(bailiwick, "PUT", f"/{bucket}/raw", headers, chunks)[0] == 200
    assert s3.get_object(Bucket=bucket, Key="raw")["Body"].read() == b"body"
    assert anonymous(bailiwick, "PUT", f"/{bucket}/raw", headers, chunks[:-4])[0] == 400
    assert anonymous(bailiwick, "PUT", f"/{bucket}/raw", headers | {"x-amz-decoded-content-length": "5"}, chunks)[0] == 400
    headers["x-amz-content-sha256"] = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    status, body = anonymous(bailiwick, "PUT", f"/{bucket}/raw", headers, chunks)
    assert (status, b"InvalidRequest" in body) == (400, True)
    assert s3.get_object(Bucket=bucket, Key="raw")["Body"].read() == b"body"


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


def test_a_version_2_signature_is_not_no_signature(s3, bucket, bailiwick):
    s3.put_object(Bucket=bucket, Key="k", Body=b"for all")
    unblock_public(s3, bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=document(allow("s3:GetObject", arn(bucket, "*"), Principal="*")))
    assert anonymous(bailiwick, "GET", f"/{bucket}/k")[0] == 200
    signed = f"/{bucket}/k?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=c2lnbmF0dXJl&Expires=4102444800"
    status, body = anonymous(bailiwick, "GET", signed)
    assert (status, b"Please use AWS4-HMAC-SHA256" in body) == (400, True), body


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
