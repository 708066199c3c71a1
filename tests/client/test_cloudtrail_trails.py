"""CloudTrail: trails, selectors, delivery into buckets, signed digests that the real aws CLI validates."""

import contextlib
import datetime
import gzip
import json
import os
import re
import subprocess
import sys
import time
import uuid

import pytest

from bailiwick_server import Account, allow, assert_denied, deny, document, raises

REGION = "us-east-1"
OTHER_REGION = "eu-central-1"


def bucket_policy(bucket, account_id, prefix=""):
    """The policy that CloudTrail's user guide gives for a trail's bucket."""
    service = {"Service": "cloudtrail.amazonaws.com"}
    only_ours = {"aws:SourceAccount": account_id}
    acl = {"s3:x-amz-acl": "bucket-owner-full-control"}
    return document(
        allow("s3:GetBucketAcl", f"arn:aws:s3:::{bucket}", Principal=service, Condition={"StringEquals": only_ours}),
        allow(
            "s3:PutObject",
            f"arn:aws:s3:::{bucket}/{prefix}AWSLogs/{account_id}/*",
            Principal=service,
            Condition={"StringEquals": only_ours | acl},
        ),
    )


def log_bucket(account, region=REGION, prefix="", held_days=None):
    """A trail's bucket; with `held_days`, one that holds what is delivered in compliance mode."""
    name = f"logs-{uuid.uuid4().hex[:16]}"
    s3 = account.client("s3", region=region)
    place = {} if region == REGION else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    lock = {} if held_days is None else {"ObjectLockEnabledForBucket": True}
    s3.create_bucket(Bucket=name, **lock, **place)
    if held_days is not None:
        rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": held_days}}
        s3.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule})
    s3.put_bucket_policy(Bucket=name, Policy=bucket_policy(name, account.id, prefix))
    return name


@pytest.fixture
def trails(account):
    return account.client("cloudtrail")


@pytest.fixture
def bucket(account):
    return log_bucket(account)


@pytest.fixture
def name():
    return f"trail-{uuid.uuid4().hex[:8]}"


def objects(account, bucket, folder="CloudTrail/", region=REGION):
    """Key and content of each delivered file, oldest first."""
    s3 = account.client("s3", region=region)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [item["Key"] for page in pages for item in page.get("Contents", []) if f"/{folder}" in item["Key"]]
    return {key: json.loads(gzip.decompress(s3.get_object(Bucket=bucket, Key=key)["Body"].read())) for key in sorted(keys)}


def records(account, bucket, region=REGION):
    return [record for content in objects(account, bucket, region=region).values() for record in content["Records"]]


def test_a_trail_is_made_changed_and_deleted(trails, bucket, name, account):
    made = trails.create_trail(Name=name, S3BucketName=bucket, EnableLogFileValidation=True, TagsList=[{"Key": "team", "Value": "audit"}])
    arn = f"arn:aws:cloudtrail:{REGION}:{account.id}:trail/{name}"
    assert made["TrailARN"] == arn and made["LogFileValidationEnabled"] is True
    assert (made["IsMultiRegionTrail"], made["IncludeGlobalServiceEvents"], made["IsOrganizationTrail"]) == (False, True, False)
    for reference in (name, arn):
        trail = trails.get_trail(Name=reference)["Trail"]
        assert (trail["Name"], trail["HomeRegion"], trail["S3BucketName"]) == (name, REGION, bucket)
        assert trail["HasCustomEventSelectors"] is False and trail["HasInsightSelectors"] is False
    assert [trail["Name"] for trail in trails.describe_trails()["trailList"]] == [name]
    assert trails.describe_trails(trailNameList=["other"])["trailList"] == []
    assert trails.list_trails()["Trails"] == [{"TrailARN": arn, "Name": name, "HomeRegion": REGION}]
    status = trails.get_trail_status(Name=name)
    assert status["IsLogging"] is False and "LatestDeliveryTime" not in status
    changed = trails.update_trail(Name=name, EnableLogFileValidation=False, IsMultiRegionTrail=True)
    assert (changed["LogFileValidationEnabled"], changed["IsMultiRegionTrail"], changed["S3BucketName"]) == (False, True, bucket)
    elsewhere = account.client("cloudtrail", region=OTHER_REGION)
    assert [trail["TrailARN"] for trail in elsewhere.describe_trails()["trailList"]] == [arn]
    assert elsewhere.describe_trails(includeShadowTrails=False)["trailList"] == []
    with raises("InvalidHomeRegionException"):
        elsewhere.delete_trail(Name=arn)
    assert trails.list_tags(ResourceIdList=[arn])["ResourceTagList"] == [
        {"ResourceId": arn, "TagsList": [{"Key": "team", "Value": "audit"}]}
    ]
    trails.add_tags(ResourceId=arn, TagsList=[{"Key": "stage", "Value": "prod"}])
    trails.remove_tags(ResourceId=arn, TagsList=[{"Key": "team"}])
    assert trails.list_tags(ResourceIdList=[arn])["ResourceTagList"][0]["TagsList"] == [{"Key": "stage", "Value": "prod"}]
    trails.delete_trail(Name=name)
    for gone in (
        lambda: trails.get_trail(Name=name),
        lambda: trails.delete_trail(Name=name),
        lambda: trails.start_logging(Name=name),
        lambda: trails.stop_logging(Name=name),
        lambda: trails.get_trail_status(Name=name),
        lambda: trails.update_trail(Name=name),
        lambda: trails.get_event_selectors(TrailName=name),
    ):
        with raises("TrailNotFoundException", 400, f"Unknown trail: {name} for the user: {account.id}"):
            gone()
    with raises("ResourceNotFoundException"):
        trails.list_tags(ResourceIdList=[arn])


@pytest.mark.parametrize(
    "wrong", ["ab", "a" * 129, "-abc", "abc-", "a b c", "a..b", "192.168.5.4", "größe"], ids=range(8)
)
def test_wrong_names_are_refused(trails, bucket, wrong):
    with raises("InvalidTrailNameException", 400):
        trails.create_trail(Name=wrong, S3BucketName=bucket)


def test_what_cannot_work_is_refused_when_the_trail_is_made(trails, bucket, name, account, other_account):
    with raises("S3BucketDoesNotExistException", 400, "does not exist"):
        trails.create_trail(Name=name, S3BucketName=f"missing-{uuid.uuid4().hex[:8]}")
    bare = f"bare-{uuid.uuid4().hex[:8]}"
    account.client("s3").create_bucket(Bucket=bare)
    with raises("InsufficientS3BucketPolicyException", 400, f"Incorrect S3 bucket policy is detected for bucket: {bare}"):
        trails.create_trail(Name=name, S3BucketName=bare)
    # The policy names the account that the service works for: nobody else's trail reaches this bucket.
    with raises("InsufficientS3BucketPolicyException"):
        other_account.client("cloudtrail").create_trail(Name=name, S3BucketName=bucket)
    with raises("InsufficientS3BucketPolicyException"):
        trails.create_trail(Name=name, S3BucketName=bucket, S3KeyPrefix="elsewhere")
    with raises("KmsKeyNotFoundException"):
        trails.create_trail(Name=name, S3BucketName=bucket, KmsKeyId=str(uuid.uuid4()))
    key = account.client("kms").create_key()["KeyMetadata"]["KeyId"]
    with raises("InsufficientEncryptionPolicyException"):
        trails.create_trail(Name=name, S3BucketName=bucket, KmsKeyId=key)
    with raises("InvalidParameterCombinationException"):
        trails.create_trail(Name=name, S3BucketName=bucket, IsMultiRegionTrail=True, IncludeGlobalServiceEvents=False)
    with raises("OrganizationsNotInUseException"):
        trails.create_trail(Name=name, S3BucketName=bucket, IsOrganizationTrail=True)
    with raises("InvalidTagParameterException"):
        trails.create_trail(Name=name, S3BucketName=bucket, TagsList=[{"Key": "a"}, {"Key": "a"}])
    assert trails.describe_trails()["trailList"] == []
    trails.create_trail(Name=name, S3BucketName=bucket)
    with raises("TrailAlreadyExistsException", 400):
        trails.create_trail(Name=name, S3BucketName=bucket)
    for number in range(4):
        trails.create_trail(Name=f"{name}-{number}", S3BucketName=bucket)
    with raises("MaximumNumberOfTrailsExceededException"):
        trails.create_trail(Name=f"{name}-5", S3BucketName=bucket)
    with raises("CloudTrailARNInvalidException"):
        trails.get_trail(Name="arn:aws:s3:::bucket")
    with raises("ResourceNotFoundException"):
        trails.add_tags(ResourceId=f"arn:aws:cloudtrail:{REGION}:{account.id}:dashboard/x", TagsList=[{"Key": "a"}])


def test_policies_decide_over_trails(account, trails, bucket, name):
    arn = trails.create_trail(Name=name, S3BucketName=bucket)["TrailARN"]
    reader = account.user(policy=allow(["cloudtrail:GetTrail", "cloudtrail:GetTrailStatus"], arn)).client("cloudtrail")
    assert reader.get_trail(Name=name)["Trail"]["TrailARN"] == arn
    for action, call in {
        "StopLogging": lambda: reader.stop_logging(Name=name),
        "StartLogging": lambda: reader.start_logging(Name=name),
        "DeleteTrail": lambda: reader.delete_trail(Name=name),
        "UpdateTrail": lambda: reader.update_trail(Name=name),
        "PutEventSelectors": lambda: reader.put_event_selectors(TrailName=name, EventSelectors=[{}]),
        "GetEventSelectors": lambda: reader.get_event_selectors(TrailName=name),
        "ListTrails": lambda: reader.list_trails(),
        "DescribeTrails": lambda: reader.describe_trails(),
        "ListPublicKeys": lambda: reader.list_public_keys(),
        "CreateTrail": lambda: reader.create_trail(Name="other", S3BucketName=bucket),
        "AddTags": lambda: reader.add_tags(ResourceId=arn, TagsList=[{"Key": "a"}]),
        "RemoveTags": lambda: reader.remove_tags(ResourceId=arn, TagsList=[{"Key": "a"}]),
        "ListTags": lambda: reader.list_tags(ResourceIdList=[arn]),
        "GetInsightSelectors": lambda: reader.get_insight_selectors(TrailName=name),
    }.items():
        assert_denied(call, f"cloudtrail:{action}", by="identity", explicit=False)


def test_selectors(trails, bucket, name):
    arn = trails.create_trail(Name=name, S3BucketName=bucket)["TrailARN"]
    default = trails.get_event_selectors(TrailName=name)
    assert default["TrailARN"] == arn
    assert default["EventSelectors"] == [
        {"ReadWriteType": "All", "IncludeManagementEvents": True, "DataResources": [], "ExcludeManagementEventSources": []}
    ]
    basic = [
        {
            "ReadWriteType": "WriteOnly",
            "IncludeManagementEvents": False,
            "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::b/"]}],
            "ExcludeManagementEventSources": ["kms.amazonaws.com"],
        }
    ]
    assert trails.put_event_selectors(TrailName=name, EventSelectors=basic)["EventSelectors"] == basic
    assert trails.get_event_selectors(TrailName=name)["EventSelectors"] == basic
    assert trails.get_trail(Name=name)["Trail"]["HasCustomEventSelectors"] is True
    advanced = [
        {
            "Name": "objects",
            "FieldSelectors": [
                {"Field": "eventCategory", "Equals": ["Data"]},
                {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
                {"Field": "resources.ARN", "StartsWith": ["arn:aws:s3:::b/"]},
            ],
        }
    ]
    trails.put_event_selectors(TrailName=name, AdvancedEventSelectors=advanced)
    found = trails.get_event_selectors(TrailName=name)
    assert found["AdvancedEventSelectors"] == advanced and "EventSelectors" not in found
    for wrong in (
        {"EventSelectors": []},
        {"EventSelectors": [{}] * 6},
        {"EventSelectors": [{"DataResources": [{"Type": "AWS::EC2::Instance", "Values": ["arn:aws:ec2"]}]}]},
        {"EventSelectors": basic, "AdvancedEventSelectors": advanced},
        {"AdvancedEventSelectors": [{"FieldSelectors": [{"Field": "eventName", "Equals": ["PutObject"]}]}]},
        {},
    ):
        with raises("InvalidEventSelectorsException", 400):
            trails.put_event_selectors(TrailName=name, **wrong)
    assert trails.get_event_selectors(TrailName=name)["AdvancedEventSelectors"] == advanced
    with raises("InsightNotEnabledException"):
        trails.get_insight_selectors(TrailName=name)
    insights = [{"InsightType": "ApiCallRateInsight"}]
    trails.put_insight_selectors(TrailName=name, InsightSelectors=insights)
    assert [found["InsightType"] for found in trails.get_insight_selectors(TrailName=name)["InsightSelectors"]] == ["ApiCallRateInsight"]


def test_events_are_delivered(bailiwick, account, trails, name):
    bucket = log_bucket(account, prefix="audit/")
    trails.create_trail(Name=name, S3BucketName=bucket, S3KeyPrefix="audit")
    account.client("iam").create_user(UserName="before")
    trails.start_logging(Name=name)
    key = account.client("kms").create_key(Description="in the log")["KeyMetadata"]["KeyId"]
    assert_denied(lambda: account.user().client("kms").list_keys())
    account.client("s3").put_object(Bucket=bucket, Key="data", Body=b"x")
    bailiwick.flush()
    found = objects(account, bucket)
    now = bailiwick.now()
    for path in found:
        assert re.fullmatch(
            rf"audit/AWSLogs/{account.id}/CloudTrail/{REGION}/{now:%Y/%m/}\d\d/{account.id}_CloudTrail_{REGION}_\d{{8}}T\d{{4}}Z_[A-Za-z0-9]{{16}}\.json\.gz",
            path,
        ), path
    delivered = records(account, bucket)
    names = [record["eventName"] for record in delivered]
    assert names[0] == "StartLogging" and "CreateKey" in names and "PutObject" not in names
    assert not any((record["requestParameters"] or {}).get("userName") == "before" for record in delivered)
    assert any(record.get("errorCode") == "AccessDeniedException" for record in delivered)
    assert next(record for record in delivered if record["eventName"] == "CreateKey")["responseElements"]["keyMetadata"]["keyId"] == key
    assert {record["recipientAccountId"] for record in delivered} == {account.id}
    looked_up = {event["eventID"]: event for event in account.events()}
    assert all(record == looked_up[record["eventID"]] for record in delivered)
    status = trails.get_trail_status(Name=name)
    assert status["IsLogging"] is True and "LatestDeliveryError" not in status
    assert abs(status["LatestDeliveryTime"] - now) < datetime.timedelta(minutes=1)
    # Nothing twice, nothing lost, and after a stop nothing more.
    account.client("iam").create_user(UserName="second")
    trails.stop_logging(Name=name)
    bailiwick.advance_clock(seconds=2)
    account.client("iam").create_user(UserName="after")
    bailiwick.flush()
    delivered = records(account, bucket)
    ids = [record["eventID"] for record in delivered]
    assert len(ids) == len(set(ids))
    users = [(record["requestParameters"] or {}).get("userName") for record in delivered if record["eventName"] == "CreateUser"]
    assert "second" in users and "after" not in users
    status = trails.get_trail_status(Name=name)
    assert status["IsLogging"] is False and status["StopLoggingTime"] >= status["StartLoggingTime"]


def test_selected_data_events_are_delivered(bailiwick, account, trails, bucket, name):
    data = f"data-{uuid.uuid4().hex[:8]}"
    s3 = account.client("s3")
    s3.create_bucket(Bucket=data)
    trails.create_trail(Name=name, S3BucketName=bucket)
    selector = {
        "FieldSelectors": [
            {"Field": "eventCategory", "Equals": ["Data"]},
            {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
            {"Field": "resources.ARN", "StartsWith": [f"arn:aws:s3:::{data}/"]},
            {"Field": "readOnly", "Equals": ["false"]},
        ]
    }
    trails.put_event_selectors(TrailName=name, AdvancedEventSelectors=[selector])
    trails.start_logging(Name=name)
    s3.put_object(Bucket=data, Key="k", Body=b"x")
    s3.get_object(Bucket=data, Key="k")
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    bailiwick.flush()
    delivered = records(account, bucket)
    assert [(record["eventName"], record["requestParameters"]["bucketName"]) for record in delivered] == [("PutObject", data)]


def test_a_multi_region_trail_delivers_from_every_region_into_a_bucket_of_another(bailiwick, account, trails, name):
    bucket = log_bucket(account, region=OTHER_REGION)
    trails.create_trail(Name=name, S3BucketName=bucket, IsMultiRegionTrail=True)
    trails.start_logging(Name=name)
    for region in (REGION, OTHER_REGION):
        account.client("kms", region=region).create_key(Description=region)
    bailiwick.flush()
    found = objects(account, bucket, region=OTHER_REGION)
    assert {path.split("/CloudTrail/")[1].split("/")[0] for path in found} == {REGION, OTHER_REGION}
    made = {record["requestParameters"]["description"] for record in records(account, bucket, OTHER_REGION) if record["eventName"] == "CreateKey"}
    assert made == {REGION, OTHER_REGION}


def key_policy(account_id, trail_arn):
    return document(
        allow("kms:*", Principal={"AWS": f"arn:aws:iam::{account_id}:root"}),
        allow(
            "kms:GenerateDataKey*",
            Principal={"Service": "cloudtrail.amazonaws.com"},
            Condition={
                "StringEquals": {"aws:SourceArn": trail_arn},
                "StringLike": {"kms:EncryptionContext:aws:cloudtrail:arn": f"arn:aws:cloudtrail:*:{account_id}:trail/*"},
            },
        ),
    )


def test_files_are_encrypted_under_the_customers_key(bailiwick, account, trails, bucket, name):
    kms = account.client("kms")
    trail_arn = f"arn:aws:cloudtrail:{REGION}:{account.id}:trail/{name}"
    key = kms.create_key(Policy=key_policy(account.id, trail_arn))["KeyMetadata"]
    made = trails.create_trail(Name=name, S3BucketName=bucket, KmsKeyId=key["KeyId"])
    assert made["KmsKeyId"] == key["Arn"]
    trails.start_logging(Name=name)
    bailiwick.flush()
    path = next(iter(objects(account, bucket)))
    head = account.client("s3").head_object(Bucket=bucket, Key=path)
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key["Arn"])
    generated = [event for event in account.events(EventName="GenerateDataKey") if event["userIdentity"]["type"] == "AWSService"]
    assert generated and generated[0]["userIdentity"]["invokedBy"] == "cloudtrail.amazonaws.com"
    assert generated[0]["requestParameters"]["encryptionContext"]["aws:cloudtrail:arn"] == trail_arn


def test_what_a_bucket_refuses_is_delivered_later(bailiwick, account, trails, bucket, name):
    trails.create_trail(Name=name, S3BucketName=bucket)
    trails.start_logging(Name=name)
    s3 = account.client("s3")
    s3.put_bucket_policy(Bucket=bucket, Policy=document(deny("s3:PutObject", f"arn:aws:s3:::{bucket}/AWSLogs/*", Principal="*")))
    account.client("iam").create_user(UserName="kept")
    bailiwick.flush()
    status = trails.get_trail_status(Name=name)
    assert status["LatestDeliveryError"] == "AccessDenied" and "LatestDeliveryTime" not in status
    assert objects(account, bucket) == {}
    refused = [event for event in account.events(EventName="PutObject") if event.get("errorCode") == "AccessDenied"]
    assert refused and refused[0]["userIdentity"] == {"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"}
    s3.put_bucket_policy(Bucket=bucket, Policy=bucket_policy(bucket, account.id))
    bailiwick.flush()
    created = [record for record in records(account, bucket) if record["eventName"] == "CreateUser"]
    assert [record["requestParameters"]["userName"] for record in created] == ["kept"]
    assert "LatestDeliveryError" not in trails.get_trail_status(Name=name)


def validate(server, account, trail_arn, start):
    """`aws cloudtrail validate-logs`, unmodified: status and what it printed."""
    environment = os.environ | {
        "AWS_ACCESS_KEY_ID": account.credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": account.credentials.secret_access_key,
        "AWS_ENDPOINT_URL": server.endpoint,
        "AWS_CA_BUNDLE": str(server.authority),
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    arguments = ["cloudtrail", "validate-logs", "--trail-arn", trail_arn, "--start-time", start, "--verbose"]
    done = subprocess.run([sys.executable, "-m", "awscli", *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def real_time_server(binary, tmp_path_factory):
    """A server whose clock nobody moves: the aws CLI signs with this machine's. Digests are asked for, not waited for."""
    from bailiwick_server import Server

    server = Server.start(binary, tmp_path_factory.mktemp("trails"), "--ephemeral", "--region", REGION)
    yield server
    server.stop()
    server.check_log()


def next_second():
    """Digests are named by the second: two of one trail need two seconds."""
    begin = time.time()
    while int(time.time()) == int(begin):
        time.sleep(0.05)


@pytest.fixture
def validated(real_time_server):
    """A trail with three digests and a log file in each, all of them held for seven years."""
    from bailiwick_server import new_account_id

    server = real_time_server
    account = Account.create(server, new_account_id())
    bucket = log_bucket(account, held_days=2557)
    trails = account.client("cloudtrail")
    arn = trails.create_trail(Name="validated", S3BucketName=bucket, EnableLogFileValidation=True)["TrailARN"]
    start = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    trails.start_logging(Name="validated")
    for number in range(3):
        account.client("iam").create_user(UserName=f"user-{number}")
        next_second()
        server.flush()
    return server, account, bucket, arn, start


def test_the_aws_cli_validates_what_was_delivered(validated):
    server, account, bucket, arn, start = validated
    code, text = validate(server, account, arn, start)
    assert code == 0, text
    assert "3/3 digest files valid" in text and "3/3 log files valid" in text, text
    digests = list(objects(account, bucket, "CloudTrail-Digest/").values())
    assert digests[0]["previousDigestS3Object"] is None and digests[0]["previousDigestSignature"] is None
    for earlier, later in zip(digests, digests[1:]):
        assert later["previousDigestS3Object"] == earlier["digestS3Object"]
        assert later["digestStartTime"] == earlier["digestEndTime"]
    keys = account.client("cloudtrail").list_public_keys()["PublicKeyList"]
    assert {key["Fingerprint"] for key in keys} == {digest["digestPublicKeyFingerprint"] for digest in digests}
    # Nobody takes away what was delivered, the root user neither.
    s3 = account.client("s3")
    delivered = s3.list_object_versions(Bucket=bucket)["Versions"]
    assert len(delivered) >= 6
    for version in delivered:
        assert s3.head_object(Bucket=bucket, Key=version["Key"])["ObjectLockMode"] == "COMPLIANCE"
        with raises("AccessDenied", 403, "protected by object lock"):
            s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"], BypassGovernanceRetention=True)
    # After a stop there is a final digest, and after a start the chain goes on.
    trails = account.client("cloudtrail")
    trails.stop_logging(Name=arn)
    next_second()
    server.flush()
    server.flush()
    assert len(objects(account, bucket, "CloudTrail-Digest/")) == 4
    trails.start_logging(Name=arn)
    next_second()
    server.flush()
    code, text = validate(server, account, arn, start)
    assert code == 0 and "5/5 digest files valid" in text, text
    with raises("InvalidTimeRangeException"):
        trails.list_public_keys(StartTime=datetime.datetime(2026, 2, 1), EndTime=datetime.datetime(2026, 1, 1))


@pytest.mark.parametrize("tampering", ["log edited", "log deleted", "digest edited", "digest deleted"])
def test_the_aws_cli_notices_tampering(validated, tampering):
    server, account, bucket, arn, start = validated
    s3 = account.client("s3")
    what, how = tampering.split()
    folder = {"log": "CloudTrail/", "digest": "CloudTrail-Digest/"}[what]
    path = list(objects(account, bucket, folder))[1]
    if how == "deleted":
        s3.delete_object(Bucket=bucket, Key=path)
    else:
        found = s3.get_object(Bucket=bucket, Key=path)
        original = gzip.decompress(found["Body"].read())
        text = original.replace(b'"eventName"', b'"eventname"').replace(b'"awsAccountId"', b'"awsaccountid"')
        assert text != original
        s3.put_object(Bucket=bucket, Key=path, Body=gzip.compress(text), Metadata=found["Metadata"])
    code, text = validate(server, account, arn, start)
    assert code == 1 and "INVALID" in text, text
    # The version that was delivered is still there: without what lies over it, all is well.
    newest = s3.list_object_versions(Bucket=bucket, Prefix=path)
    over = (newest.get("DeleteMarkers") or newest["Versions"])[0]
    assert over["IsLatest"] is True
    with raises("AccessDenied", 403, "protected by object lock") if how == "edited" else contextlib.nullcontext():
        s3.delete_object(Bucket=bucket, Key=path, VersionId=over["VersionId"])
    delivered = s3.list_object_versions(Bucket=bucket, Prefix=path)["Versions"][-1]
    assert s3.get_object(Bucket=bucket, Key=path, VersionId=delivered["VersionId"])["ObjectLockMode"] == "COMPLIANCE"
    if how == "deleted":
        code, text = validate(server, account, arn, start)
        assert code == 0, text


def test_keys_rotate_and_hours_without_events_have_digests(start_server):
    server = start_server("--ephemeral", "--manual-clock", "--region", REGION)
    account = Account.home(server)
    bucket = log_bucket(account)
    trails = account.client("cloudtrail")
    trails.create_trail(Name="hours", S3BucketName=bucket, EnableLogFileValidation=True)
    trails.start_logging(Name="hours")
    server.flush()
    server.advance_clock(hours=3, minutes=5)
    server.flush()
    digests = list(objects(account, bucket, "CloudTrail-Digest/").values())
    hours = [digest for digest in digests if digest["logFiles"] == []]
    assert len(digests) >= 4 and hours and hours[0]["newestEventTime"] is None
    first = trails.list_public_keys()["PublicKeyList"]
    server.advance_clock(days=95)
    server.flush()
    second = trails.list_public_keys()["PublicKeyList"]
    assert len(first) == len(second) == 1 and first[0]["Fingerprint"] != second[0]["Fingerprint"]
    everything = trails.list_public_keys(StartTime=first[0]["ValidityStartTime"], EndTime=server.now())["PublicKeyList"]
    assert {key["Fingerprint"] for key in everything} == {first[0]["Fingerprint"], second[0]["Fingerprint"]}


def test_delivery_goes_on_after_a_kill(start_server):
    server = start_server("--background-interval", "1", "--region", REGION)
    account = Account.home(server)
    bucket = log_bucket(account)
    trails = account.client("cloudtrail")
    trails.create_trail(Name="steady", S3BucketName=bucket, EnableLogFileValidation=True)
    trails.start_logging(Name="steady")
    account.client("iam").create_user(UserName="first")
    server.kill()
    server.launch("--background-interval", "1", "--region", REGION)
    account = Account.home(server)
    account.client("iam").create_user(UserName="second")

    def delivered_users():
        return [
            record["requestParameters"]["userName"] for record in records(account, bucket) if record["eventName"] == "CreateUser"
        ]

    deadline = time.monotonic() + 60
    while set(delivered_users()) != {"first", "second"} and time.monotonic() < deadline:
        time.sleep(0.5)
    assert sorted(delivered_users()) == ["first", "second"]
