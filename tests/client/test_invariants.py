"""What holds for every operation of every service, and for every byte on disk."""

import base64
import collections
import concurrent.futures
import json
import os
import pathlib
import re
import threading
import uuid

import botocore.config
import botocore.exceptions
import pytest

from bailiwick_server import DENIED, Account, allow, document, raises, request_id
from sample_inputs import Inputs, facts, services

KILLS = int(os.environ.get("BAILIWICK_KILLS", "3"))
# Operations that this walk does not reach, each with the reason. The list may only shrink.
UNREACHED = {
    "bedrock-runtime:InvokeModelWithBidirectionalStream": "boto3 has no HTTP/2 client",
    "s3:CreateSession": "boto3 refuses it for buckets that are not directory buckets",
    "s3:SelectObjectContent": "boto3 needs an expression before it signs",
    "s3:WriteGetObjectResponse": "its host is not the endpoint",
    "s3:ListDirectoryBuckets": "boto3 signs it for the service of directory buckets",
    "s3:PutBucketNotification": "its path is that of its successor, which takes another form",
    "s3control:DeleteAccessPointScope": "boto3 signs it for the service of directory buckets",
    "s3control:GetAccessPointScope": "the same",
    "s3control:ListAccessPointsForDirectoryBuckets": "the same",
    "s3control:PutAccessPointScope": "the same",
    "lambda:InvokeWithResponseStream": "boto3 has no streaming client for it",
    "signin:AuthorizeOAuth2Access": "boto3 does not have it: who signed in on the page asks for a code (see test_signin.py)",
    "signin:ConsoleLogin": "boto3 does not have it: the form of the page (see test_signin.py)",
    "rolesanywhere:CreateSession": "boto3 does not have it: a certificate signs it (see test_rolesanywhere.py)",
}


class Walk:
    """Calls every operation that the facts list for a service, and says how each ended."""

    def __init__(self, account, session, bucket, key_id, ciphertext):
        self.account = account
        self.session = session
        key_arn = f"arn:aws:kms:us-east-1:{account.id}:key/{key_id}"
        self.known = {
            "AccountId": account.id,
            "Bucket": bucket,
            "Key": "key",
            "DestinationKeyId": key_arn,
            "KeyId": key_arn,
            "RoleArn": f"arn:aws:iam::{account.id}:role/none",
            "TargetKeyId": key_id,
        }
        # What an operation needs beyond its required members before it is a call at all.
        self.more = {
            "kms:Decrypt": {"CiphertextBlob": ciphertext},
            "kms:ReEncrypt": {"CiphertextBlob": ciphertext},
            "kms:RetireGrant": {"KeyId": key_arn, "GrantId": "a" * 64},
        }

    def client(self, service):
        config = botocore.config.Config(parameter_validation=False, inject_host_prefix=False)
        client = self.session.client(service, config=config, region_name="us-east-1")
        client.meta.events.register_first("before-sign", self.to_the_server)
        return client

    def to_the_server(self, request, **_):
        """S3 Control puts the account before any host, also before an address, and AWS Sign-In sends its settings to AWS whatever the endpoint."""
        request.url = request.url.replace(f"//{self.account.id}.", "//").replace("https://signin.us-east-1.api.aws", self.session.server.endpoint)

    def service(self, service):
        """`(operation, code, message, request id)` for each."""
        client = self.client(service)
        model = client.meta.service_model
        inputs = Inputs(service, self.account.id, self.known)
        for operation in facts(service)["operations"]:
            if f"{service}:{operation}" in UNREACHED:
                continue
            parameters = inputs.of(model.operation_model(operation)) | self.more.get(f"{service}:{operation}", {})
            yield (operation, *self.call(client, operation, parameters))

    @staticmethod
    def call(client, operation, parameters):
        try:
            answer = client._make_api_call(operation, parameters)
        except botocore.exceptions.ClientError as error:
            response = error.response
            return response["Error"]["Code"], printable(response["Error"].get("Message", "")), response["ResponseMetadata"].get("RequestId")
        # A batch answers for each of its items.
        refused = {item["Code"] for item in answer.get("Errors", [])} if operation == "DeleteObjects" and not answer.get("Deleted") else set()
        code = "403" if refused and refused <= DENIED else ""
        return code, "", answer["ResponseMetadata"].get("RequestId")


def is_open(service, operation):
    """No permission is needed for it, or it is made without credentials."""
    of = facts(service)["operations"][operation]
    return of.get("binding") == "open" or of.get("unsigned", False)


def printable(text):
    """Patterns name halves of surrogate pairs, which no report can carry."""
    return text.encode("ascii", "backslashreplace").decode()


@pytest.fixture
def furnished(account):
    """The account with a bucket that holds an object, and a key."""
    bucket = f"walk-{account.id}"
    account.client("s3").create_bucket(Bucket=bucket)
    account.client("s3").put_object(Bucket=bucket, Key="key", Body=b"x")
    kms = account.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    return bucket, key, kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]


@pytest.mark.parametrize("service", services())
def test_who_has_no_policy_is_denied_everything_and_every_call_is_recorded(bailiwick, account, furnished, service):
    nobody = account.user()
    before = collections.Counter(event["requestID"] for event in account.events())
    allowed, unnamed, unseen = [], [], []
    calls = list(Walk(account, nobody, *furnished).service(service))
    for operation, code, message, request_id in calls:
        if code not in DENIED and not is_open(service, operation):
            allowed.append(f"{operation}: {code or 'answered'}: {message}")
        elif code in DENIED and code != "403" and not is_open(service, operation) and not re.search("because no (identity-based policy|role trust policy) allows", message):
            unnamed.append(f"{operation}: {message}")
    recorded = collections.Counter(event["requestID"] for event in account.events())
    recorded.subtract(before)
    for operation, _, _, request_id in calls:
        if facts(service)["operations"][operation].get("unsigned"):
            # Nobody's call is told to the home account, or to that of the role that it is about.
            recorded[request_id] += len(Account.home(bailiwick).events_of(request_id))
        if recorded[request_id] != 1:
            unseen.append(f"{operation}: {recorded[request_id]} events")
    assert calls or service in {name.split(":")[0] for name in UNREACHED}
    assert not allowed, f"{len(allowed)} of {len(calls)} not denied:\n" + "\n".join(allowed)
    assert not unnamed, "the denial does not name the policy type:\n" + "\n".join(unnamed)
    assert not unseen, "\n".join(unseen)


def test_the_walk_reaches_what_it_must(bailiwick, account, furnished):
    """The same calls by one who may do everything are not denied: the walk above can fail."""
    administrator = account.user(policy=allow("*"))
    for service in ("kms", "sagemaker", "bedrock"):
        denied = [operation for operation, code, *_ in Walk(account, administrator, *furnished).service(service) if code in DENIED]
        assert denied == []


# Every call leaves one event


def test_refused_requests_are_recorded_too(bailiwick, account):
    from signed_http import Credentials, signed_request

    def send(**changes):
        parameters = {"region": "us-east-1", "host": f"{bailiwick.host}:{bailiwick.port}", "ahead_ms": bailiwick.ahead_ms}
        credentials = changes.pop("credentials", account.credentials)
        headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": "TrentService.DescribeKey"}
        return signed_request(credentials, "kms", "POST", "/", headers=headers, body=changes.pop("body", b"{}"), **{**parameters, **changes})

    wrong = Credentials(account.credentials.access_key_id, "x" * 40)
    answers = {
        "InvalidSignatureException": send(credentials=wrong).send(bailiwick),
        "ValidationException": send().send(bailiwick),
        "SerializationException": send(body=b"{").send(bailiwick),
        "NotFoundException": send(body=json.dumps({"KeyId": str(uuid.uuid4())}).encode()).send(bailiwick),
    }
    for code, answer in answers.items():
        assert answer.code == code, answer
        [event] = account.events_of(answer.request_id)
        assert (event["errorCode"], event["eventName"]) == (code, "DescribeKey")
    [event] = account.events_of(answers["InvalidSignatureException"].request_id)
    assert event["userIdentity"]["accountId"] == "anonymous", "nobody proved to be the key's owner"


def test_calls_that_a_service_makes_for_a_caller_are_recorded(bailiwick, account):
    s3, bucket = account.client("s3"), f"forwarded-{account.id}"
    key = account.client("kms").create_key()["KeyMetadata"]
    s3.create_bucket(Bucket=bucket)
    answer = s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key["Arn"])
    events = account.events_of(answer["ResponseMetadata"]["RequestId"])
    assert sorted(event["eventName"] for event in events) == ["GenerateDataKey", "PutObject"]
    [data_key] = [event for event in events if event["eventName"] == "GenerateDataKey"]
    assert data_key["userIdentity"]["invokedBy"] == "s3.amazonaws.com"
    nobody = account.user(policy=allow("s3:*"))
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        nobody.client("s3").get_object(Bucket=bucket, Key="k")
    assert "kms:Decrypt" in caught.value.response["Error"]["Message"]
    events = account.events_of(caught.value.response["ResponseMetadata"]["RequestId"])
    assert {(event["eventName"], event.get("errorCode") is not None) for event in events} == {("Decrypt", True), ("GetObject", True)}


# Nothing in the clear on disk


def forms(secret):
    """The ways in which a text may lie on a disk."""
    raw = secret.encode() if isinstance(secret, str) else secret
    yield raw
    yield raw.hex().encode()
    yield raw[::-1]
    # Base64 of a text inside a longer one depends on where it begins.
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + raw)
        yield coded[4 if shift else 0 : len(coded) - 4]
    yield "".join(map(chr, raw)).encode("utf-16-le")


def places(folder, secret):
    """Files below the folder that hold the secret in any form."""
    found = []
    for path in pathlib.Path(folder).rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            found.extend(path for form in forms(secret) if form in content)
    return found


def test_the_search_finds_what_is_there(tmp_path):
    (tmp_path / "below").mkdir()
    for at, form in enumerate(forms("canary-of-the-search")):
        (tmp_path / "below" / str(at)).write_bytes(b"\0\1" + form + b"\xff")
    assert len({*places(tmp_path, "canary-of-the-search")}) == 7
    (tmp_path / "json").write_text(json.dumps({"a": base64.b64encode(b"xx canary-of-the-search yy").decode()}))
    assert tmp_path / "json" in places(tmp_path, "canary-of-the-search")
    assert places(tmp_path, "canary-of-another") == []


def test_nothing_secret_is_on_disk_in_the_clear(start_server):
    server = start_server("--store", "redb")
    home = Account.home(server)
    canaries = {}

    def canary(name):
        canaries[name] = f"canary-{name}-{uuid.uuid4().hex}"
        return canaries[name]

    s3, kms = home.client("s3"), home.client("kms")
    s3.create_bucket(Bucket="canaries")
    key = kms.create_key(Description=canary("description"))["KeyMetadata"]["Arn"]
    s3.put_object(Bucket="canaries", Key="small", Body=canary("object"), Metadata={"note": canary("metadata")}, Tagging=f"t={canary('tag')}")
    s3.put_object(Bucket="canaries", Key="large", Body=(canary("large-object") * 20_000).encode())
    s3.put_object(Bucket="canaries", Key="kms", Body=canary("kms-object"), ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    upload = s3.create_multipart_upload(Bucket="canaries", Key="parts")["UploadId"]
    s3.upload_part(Bucket="canaries", Key="parts", UploadId=upload, PartNumber=1, Body=(canary("part") * 150_000).encode())
    kms.encrypt(KeyId=key, Plaintext=canary("plaintext"), EncryptionContext={"case": canary("encryption-context")})
    canaries["data key"] = kms.generate_data_key(KeyId=key, KeySpec="AES_256")["Plaintext"]
    user = home.user(name="canary", policy=allow("s3:GetObject", f"arn:aws:s3:::{canary('policy')}"))
    canaries["access key"] = user.credentials.secret_access_key
    canaries["root access key"] = server.root.secret_access_key
    role = home.role(policy=allow("*"))
    session = home.assume(role)
    canaries["session key"] = session.credentials.secret_access_key
    canaries["session token"] = session.credentials.session_token
    session.client("s3").get_object(Bucket="canaries", Key="small")["Body"].read()
    runtime = home.client("bedrock-runtime")
    models = home.client("bedrock").list_foundation_models()["modelSummaries"]
    answer = runtime.converse(
        modelId=models[0]["modelId"], messages=[{"role": "user", "content": [{"text": f"Repeat: {canary('prompt')}"}]}]
    )
    canaries["answer"] = answer["output"]["message"]["content"][0]["text"]
    server.flush()
    events = json.dumps(home.events())
    # AWS's events show these as well.
    shown = {"description", "policy", "encryption-context", "tag"}
    leaked = [name for name, secret in canaries.items() if isinstance(secret, str) and secret in events and name not in shown]
    assert leaked == [], "in the events"
    # What runs and what has stopped: nothing is written late.
    for _ in range(2):
        found = {name: places(server.data_dir, secret) for name, secret in canaries.items()}
        assert {name: files for name, files in found.items() if files} == {}
        logged = [name for name, secret in canaries.items() for form in forms(secret) if form in server.log_file.read_bytes()]
        assert logged == []
        server.stop()
    assert (server.data_dir / "root.key").stat().st_mode & 0o777 == 0o600


# After a power failure


def test_what_was_acknowledged_is_there_after_a_kill(start_server):
    server = start_server("--store", "redb")
    acknowledged = {}
    root = server.root
    for round_number in range(KILLS):
        home = Account.home(server)
        stop = threading.Event()

        def work(worker, home=home, stop=stop, round_number=round_number):
            iam, s3 = home.client("iam"), home.client("s3")
            for count in range(100_000):
                name = f"r{round_number}-w{worker}-{count}"
                try:
                    answer = iam.create_user(UserName=name)
                    acknowledged[name] = answer["ResponseMetadata"]["RequestId"]
                except (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError):
                    return
                except botocore.exceptions.ClientError as error:
                    # Too many conflicts with the other workers: nothing was done, and nothing is owed.
                    assert error.response["Error"]["Code"] == "ThrottlingException", error
                if stop.is_set():
                    return

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            workers = [pool.submit(work, worker) for worker in range(4)]
            while len(acknowledged) < 40 * (round_number + 1):
                assert server.process.poll() is None
                if all(worker.done() for worker in workers):
                    break
                threading.Event().wait(0.01)
            server.kill()
            stop.set()
            for worker in workers:
                worker.result()
        server.launch("--store", "redb")
        server.root = root
        home = Account.home(server)
        there = {user["UserName"] for page in home.client("iam").get_paginator("list_users").paginate() for user in page["Users"]}
        made = [event for event in home.events(EventName="CreateUser") if "errorCode" not in event]
        recorded = collections.Counter(event["requestParameters"]["userName"] for event in made)
        assert set(acknowledged) - there == set(), "acknowledged and lost"
        assert there - set(recorded) == set(), "an effect without its record"
        assert set(recorded) - there == set(), "a record without its effect"
        assert set(recorded.values()) == {1}
        requests = {event["requestID"] for event in made}
        assert set(acknowledged.values()) <= requests
    assert len(acknowledged) >= 40 * KILLS


def test_objects_survive_a_kill(start_server):
    server = start_server("--store", "redb")
    root = server.root
    s3 = Account.home(server).client("s3")
    s3.create_bucket(Bucket="kept")
    bodies = {f"k{count}": os.urandom(1000 * (count + 1)) for count in range(20)}
    for key, body in bodies.items():
        s3.put_object(Bucket="kept", Key=key, Body=body)
    server.kill()
    server.launch("--store", "redb")
    server.root = root
    s3 = Account.home(server).client("s3")
    for key, body in bodies.items():
        assert s3.get_object(Bucket="kept", Key=key)["Body"].read() == body


def test_events_of_reads_and_refusals_can_be_durable_before_the_reply(start_server):
    arguments = ("--store", "redb", "--audit-reads", "before-reply")
    server = start_server(*arguments)
    root = server.root
    home = Account.home(server)
    reader = home.user()
    read = request_id(home.client("iam").list_users())
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        reader.client("iam").list_users()
    server.kill()
    server.launch(*arguments)
    server.root = root
    home = Account.home(server)
    assert [event["eventName"] for event in home.events_of(read)] == ["ListUsers"]
    denied = home.events_of(refused.value.response["ResponseMetadata"]["RequestId"])
    assert [event["errorCode"] for event in denied] == ["AccessDenied"]


# Crossing accounts


def test_crossing_accounts_needs_both_sides(bailiwick, account, other_account):
    s3, bucket = account.client("s3"), f"shared-{account.id}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    arn = f"arn:aws:s3:::{bucket}/*"
    without, with_policy = other_account.user(), other_account.user(policy=allow("s3:GetObject", arn))

    def get(session):
        return session.client("s3").get_object(Bucket=bucket, Key="k")["Body"].read()

    for session in (without, with_policy):
        with raises("AccessDenied"):
            get(session)
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={"BlockPublicPolicy": True})
    s3.put_bucket_policy(
        Bucket=bucket,
        Policy=document({"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{other_account.id}:root"}, "Action": "s3:GetObject", "Resource": arn}),
    )
    with raises("AccessDenied"):
        get(without)
    assert get(with_policy) == b"x"
