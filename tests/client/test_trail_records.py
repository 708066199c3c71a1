"""The form of events, compared with that of records which AWS has written (names and types of fields only)."""

import json
import pathlib
import uuid

import botocore.exceptions
import pytest

from bailiwick_server import Account, allow, assert_denied, document, new_account_id

SHAPES = json.loads((pathlib.Path(__file__).parent / "cloudtrail_record_shapes.json").read_text())
# Documented for version 1.11 and in none of the sample records.
DOCUMENTED = {
    "userIdentity.credentialId": "string",
    "userIdentity.identityProvider": "string",
    "userIdentity.sessionContext.sourceIdentity": "string",
    "vpcEndpointAccountId": "string",
    "eventContext": "object",
    "tlsDetails.keyExchange": "string",
    "insightDetails": "object",
}
# What stands below them is the service's, not CloudTrail's.
FREE = {"requestParameters", "responseElements", "additionalEventData", "serviceEventDetails", "insightDetails", "eventContext"}
KINDS = {dict: "object", list: "array", str: "string", bool: "boolean", int: "number", type(None): "null"}


def fields(value, path=""):
    """Path and type of each field."""
    if path:
        yield path, KINDS[type(value)]
    if isinstance(value, dict) and path not in FREE:
        for name, inner in value.items():
            yield from fields(inner, f"{path}.{name}" if path else name)
    if isinstance(value, list):
        for inner in value:
            yield from fields(inner, f"{path}[]")


def check_form(event):
    assert event["eventVersion"] == "1.11"
    missing = set(SHAPES["always"]) - set(event)
    assert not missing, (missing, event)
    for path, kind in fields(event):
        known = SHAPES["shapes"].get(path) or [DOCUMENTED.get(path)]
        assert kind in known, (path, kind, event["eventName"])


@pytest.fixture
def caller(account):
    return account.user(policy=allow("*"))


def test_every_event_has_the_form_of_aws(account, caller):
    """Reads, changes, refusals, sessions, forwarded calls, anonymous ones: one of each kind, then all that the trail has."""
    name = f"shapes-{uuid.uuid4().hex[:12]}"
    s3, kms, iam = caller.client("s3"), caller.client("kms"), caller.client("iam")
    key = kms.create_key(Tags=[{"TagKey": "a", "TagValue": "b"}])["KeyMetadata"]
    kms.encrypt(KeyId=key["KeyId"], Plaintext=b"canary-plaintext")
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="k", Body=b"canary-body", ServerSideEncryption="aws:kms", SSEKMSKeyId=key["Arn"])
    s3.get_object(Bucket=name, Key="k")["Body"].read()
    iam.create_user(UserName="shapes")
    iam.create_access_key(UserName="shapes")
    role = account.role(policy=allow("iam:ListUsers"))
    session = account.assume(role)
    session.client("iam").list_users()
    assert_denied(lambda: session.client("iam").create_user(UserName="no"))
    caller.client("sts").get_federation_token(Name="fed", Policy=document(allow("*")))
    events = account.events()
    assert len(events) > 15
    for event in events:
        check_form(event)
    text = json.dumps(events)
    assert "canary-plaintext" not in text and "canary-body" not in text
    types = {event["userIdentity"]["type"] for event in events}
    assert {"Root", "IAMUser", "AssumedRole"} <= types
    put = next(event for event in events if event["eventName"] == "PutObject")
    data = put["additionalEventData"]
    assert (data["SignatureVersion"], data["AuthenticationMethod"], data["bytesTransferredIn"]) == ("SigV4", "AuthHeader", len(b"canary-body"))
    assert data["CipherSuite"] == put["tlsDetails"]["cipherSuite"]
    assert put["tlsDetails"]["keyExchange"] in ("X25519MLKEM768", "x25519", "secp256r1", "secp384r1")
    got = next(event for event in events if event["eventName"] == "GetObject")
    assert got["additionalEventData"]["bytesTransferredOut"] == len(b"canary-body")
    secret = next(event for event in events if event["eventName"] == "CreateAccessKey")
    assert "secretAccessKey" not in secret["responseElements"]["accessKey"] or "HIDDEN" in secret["responseElements"]["accessKey"]["secretAccessKey"]


def test_both_accounts_of_a_call_have_its_event(bailiwick, account):
    """The owner of the resource learns which account called, and not by whose name."""
    other = Account.create(bailiwick, new_account_id())
    user = other.user(policy=allow("s3:*"))
    name = f"shared-{uuid.uuid4().hex[:12]}"
    account.client("s3").create_bucket(Bucket=name)
    account.client("s3").put_bucket_policy(
        Bucket=name, Policy=document(allow("s3:ListBucket", f"arn:aws:s3:::{name}", Principal={"AWS": f"arn:aws:iam::{other.id}:root"}))
    )
    user.client("s3").list_objects_v2(Bucket=name)

    def listing(of):
        return [event for event in of.events() if event["eventName"].startswith("ListObjects") and event["userIdentity"]["accountId"] == other.id]

    (theirs,), (ours,) = listing(other), listing(account)
    assert theirs["sharedEventID"] == ours["sharedEventID"] and theirs["eventID"] != ours["eventID"]
    assert (theirs["recipientAccountId"], ours["recipientAccountId"]) == (other.id, account.id)
    assert theirs["userIdentity"]["type"] == "IAMUser" and theirs["userIdentity"]["userName"] == user.user_name
    assert ours["userIdentity"]["type"] == "AWSAccount" and set(ours["userIdentity"]) <= {"type", "principalId", "accountId"}
    check_form(ours)


def test_parameters_that_are_too_large_are_left_out(account):
    iam = account.client("iam")
    iam.create_user(UserName="large")
    tags = [{"Key": f"key-{number:03}" + "k" * 100, "Value": "v" * 256} for number in range(50)]
    iam.tag_user(UserName="large", Tags=tags)
    (event,) = account.events(EventName="TagUser")
    assert event["requestParameters"]["userName"] == "large", "18 KB are no reason to leave anything out"
    kms = account.client("kms")
    body = {"Version": "2012-10-17", "Statement": [{"Sid": f"s{n}", "Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"} for n in range(5)]}
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(body))
    check_form(account.events(EventName="PutKeyPolicy")[0])


def test_going_on_without_the_audit_store_is_recorded(start_server):
    server = start_server("--ephemeral", "--audit-failure", "continue")
    (event,) = Account.home(server).events(EventName="SetAuditFailure")
    assert event["serviceEventDetails"] == {"auditFailure": "continue"} and event["eventType"] == "AwsServiceEvent"
    check_form(event)


def test_a_server_that_refuses_by_default_says_nothing_of_it(account):
    assert account.events(EventName="SetAuditFailure") == []


def test_each_attribute_finds_its_events_and_two_are_refused(account, caller):
    kms = caller.client("kms")
    key = kms.create_key()["KeyMetadata"]
    for _ in range(3):
        kms.describe_key(KeyId=key["KeyId"])
        account.client("iam").list_users()
    event = next(event for event in account.events(ResourceName=key["Arn"]) if event["eventName"] == "DescribeKey")
    identity = event["userIdentity"]
    for attribute, value, tells in (
        ("EventId", event["eventID"], lambda found: found["eventID"]),
        ("EventName", "DescribeKey", lambda found: found["eventName"]),
        ("ReadOnly", "true", lambda found: str(found["readOnly"]).lower()),
        ("Username", identity["userName"], lambda found: found["userIdentity"].get("userName")),
        ("ResourceType", "AWS::KMS::Key", lambda found: "AWS::KMS::Key" if any(r["type"] == "AWS::KMS::Key" for r in found["resources"]) else ""),
        ("ResourceName", key["KeyId"], lambda found: found["resources"][0]["ARN"].rpartition("/")[2]),
        ("EventSource", "kms.amazonaws.com", lambda found: found["eventSource"]),
        ("AccessKeyId", identity["accessKeyId"], lambda found: found["userIdentity"].get("accessKeyId")),
    ):
        found = account.events(**{attribute: value})
        assert event["eventID"] in [one["eventID"] for one in found], attribute
        assert all(tells(one) == value for one in found), attribute
    assert len(account.events(EventId=event["eventID"])) == 1 and account.events(EventId=str(uuid.uuid4())) == []
    two = [{"AttributeKey": "EventName", "AttributeValue": "DescribeKey"}, {"AttributeKey": "ReadOnly", "AttributeValue": "true"}]
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        account.client("cloudtrail").lookup_events(LookupAttributes=two)
    assert refused.value.response["Error"]["Code"] == "InvalidLookupAttributesException"


def test_who_made_it_is_found_by_its_name(account):
    iam = account.client("iam")
    trust = document({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": f"arn:aws:iam::{account.id}:root"}})
    iam.create_user(UserName="made-user")
    iam.create_group(GroupName="made-group")
    iam.create_role(RoleName="made-role", AssumeRolePolicyDocument=trust)
    iam.create_policy(PolicyName="made-policy", PolicyDocument=document(allow("s3:GetObject", "*")))
    iam.create_instance_profile(InstanceProfileName="made-profile")
    account.server.flush()
    for name, event in (
        ("made-user", "CreateUser"),
        ("made-group", "CreateGroup"),
        ("made-role", "CreateRole"),
        ("made-policy", "CreatePolicy"),
        ("made-profile", "CreateInstanceProfile"),
    ):
        found = account.client("cloudtrail").lookup_events(LookupAttributes=[{"AttributeKey": "ResourceName", "AttributeValue": name}])["Events"]
        assert [one["EventName"] for one in found] == [event], name
