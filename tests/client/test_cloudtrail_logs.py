"""Delivery of trails to CloudWatch Logs, in a role that CloudTrail takes."""

import json
import uuid

import pytest

from bailiwick_server import Account, allow, deny, raises, request_id
from test_cloudtrail_trails import REGION, log_bucket

TRUST = {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}, "Action": "sts:AssumeRole"}


@pytest.fixture
def trails(account):
    return account.client("cloudtrail")


@pytest.fixture
def logs(account):
    return account.client("logs")


@pytest.fixture
def name():
    return f"trail-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def group(logs):
    name = f"/trail/{uuid.uuid4().hex[:8]}"
    logs.create_log_group(logGroupName=name)
    return name


def group_arn(account, group):
    return f"arn:aws:logs:{REGION}:{account.id}:log-group:{group}:*"


def writer(account, group, actions=("logs:CreateLogStream", "logs:PutLogEvents"), trust=TRUST):
    streams = f"arn:aws:logs:{REGION}:{account.id}:log-group:{group}:log-stream:*"
    return account.role(trust=trust, policy=allow(list(actions), streams))


def target(account, group, role=None):
    return {"CloudWatchLogsLogGroupArn": group_arn(account, group), "CloudWatchLogsRoleArn": role or writer(account, group)}


def delivered(logs, group, stream=None):
    wanted = {"logStreamNames": [stream]} if stream else {}
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, **wanted)
    return [json.loads(event["message"]) for page in pages for event in page["events"]]


def test_events_arrive_in_the_group_once_and_in_order(bailiwick, account, trails, logs, group, name):
    bucket = log_bucket(account)
    before = account.client("iam").create_user(UserName="before")
    made = trails.create_trail(Name=name, S3BucketName=bucket, **target(account, group))
    assert made["CloudWatchLogsLogGroupArn"] == group_arn(account, group) and ":role/" in made["CloudWatchLogsRoleArn"]
    stream = f"{account.id}_CloudTrail_{REGION}"
    assert [item["logStreamName"] for item in logs.describe_log_streams(logGroupName=group)["logStreams"]] == [stream]
    trails.start_logging(Name=name)
    calls = [account.client("kms").create_key(Description=str(number)) for number in range(5)]
    bailiwick.flush()
    bailiwick.flush()
    found = delivered(logs, group, stream)
    ids = [record["requestID"] for record in found]
    assert [ids.count(request_id(call)) for call in calls] == [1] * 5 and request_id(before) not in ids
    places = [ids.index(request_id(call)) for call in calls]
    assert places == sorted(places)
    record = found[places[0]]
    assert (record["eventName"], record["eventVersion"], record["recipientAccountId"]) == ("CreateKey", "1.11", account.id)
    status = trails.get_trail_status(Name=name)
    assert status["LatestCloudWatchLogsDeliveryTime"] and "LatestCloudWatchLogsDeliveryError" not in status
    shown = trails.describe_trails(trailNameList=[name])["trailList"][0]
    assert shown["CloudWatchLogsLogGroupArn"] == group_arn(account, group)
    # The role writes: its calls are events of the account, and content is in none.
    [event] = [event for event in account.events(EventName="PutLogEvents")][:1]
    assert event["userIdentity"]["type"] == "AssumedRole" and event["userIdentity"]["invokedBy"] == "cloudtrail.amazonaws.com"
    assert event["requestParameters"] == {"logGroupName": group, "logStreamName": stream}


def test_what_the_group_refuses_comes_later(bailiwick, account, trails, logs, group, name):
    role = writer(account, group)
    trails.create_trail(Name=name, S3BucketName=log_bucket(account), **target(account, group, role))
    trails.start_logging(Name=name)
    iam = account.client("iam")
    role_name = role.split("/")[-1]
    iam.put_role_policy(RoleName=role_name, PolicyName="no", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": deny("logs:*")}))
    lost = account.client("kms").create_key()
    bailiwick.flush()
    status = trails.get_trail_status(Name=name)
    assert status["LatestCloudWatchLogsDeliveryError"] == "AccessDeniedException" and status["LatestDeliveryTime"]
    assert delivered(logs, group) == []
    iam.delete_role_policy(RoleName=role_name, PolicyName="no")
    bailiwick.flush()
    assert [record["requestID"] for record in delivered(logs, group)].count(request_id(lost)) == 1
    assert "LatestCloudWatchLogsDeliveryError" not in trails.get_trail_status(Name=name)
    # A stream that is gone is made again.
    logs.delete_log_stream(logGroupName=group, logStreamName=f"{account.id}_CloudTrail_{REGION}")
    again = account.client("kms").create_key()
    bailiwick.flush()
    assert request_id(again) in [record["requestID"] for record in delivered(logs, group)]
    logs.delete_log_group(logGroupName=group)
    bailiwick.flush()
    assert trails.get_trail_status(Name=name)["LatestCloudWatchLogsDeliveryError"] == "ResourceNotFoundException"


def test_the_setting_is_changed_and_taken_away(bailiwick, account, trails, logs, group, name):
    trails.create_trail(Name=name, S3BucketName=log_bucket(account))
    trails.start_logging(Name=name)
    early = account.client("kms").create_key()
    with raises("InvalidCloudWatchLogsRoleArnException"):
        trails.update_trail(Name=name, CloudWatchLogsLogGroupArn=group_arn(account, group))
    trails.update_trail(Name=name, **target(account, group))
    late = account.client("kms").create_key()
    bailiwick.flush()
    ids = [record["requestID"] for record in delivered(logs, group)]
    assert request_id(late) in ids and request_id(early) not in ids
    # A change of something else leaves it.
    assert trails.update_trail(Name=name, S3KeyPrefix="")["CloudWatchLogsLogGroupArn"] == group_arn(account, group)
    shown = trails.update_trail(Name=name, CloudWatchLogsLogGroupArn="", CloudWatchLogsRoleArn="")
    assert "CloudWatchLogsLogGroupArn" not in shown
    after = account.client("kms").create_key()
    bailiwick.flush()
    assert request_id(after) not in [record["requestID"] for record in delivered(logs, group)]
    assert "LatestCloudWatchLogsDeliveryTime" not in trails.get_trail_status(Name=name)


def test_events_of_every_region_come_to_the_one_group(bailiwick, account, trails, logs, group, name):
    trails.create_trail(Name=name, S3BucketName=log_bucket(account), IsMultiRegionTrail=True, **target(account, group))
    trails.start_logging(Name=name)
    call = account.client("kms", region="eu-central-1").create_key()
    bailiwick.flush()
    found = delivered(logs, group, f"{account.id}_CloudTrail_eu-central-1")
    assert [record["requestID"] for record in found].count(request_id(call)) == 1


def test_what_cannot_be_written_to_is_refused(account, other_account, trails, logs, group, name):
    bucket = log_bucket(account)
    good = target(account, group)

    def create(**more):
        trails.create_trail(Name=name, S3BucketName=bucket, **(good | more))

    other_logs = other_account.client("logs")
    other_logs.create_log_group(logGroupName=group)
    for arn in (
        group_arn(account, group).removesuffix(":*"),
        group_arn(account, "/missing"),
        group_arn(other_account, group),
        group_arn(account, group).replace(REGION, "eu-central-1"),
        "nonsense",
    ):
        with raises("InvalidCloudWatchLogsLogGroupArnException", 400):
            create(CloudWatchLogsLogGroupArn=arn)
    with raises("InvalidCloudWatchLogsLogGroupArnException", 400, "Check the permissions for your role"):
        create(CloudWatchLogsRoleArn=writer(account, group, actions=["logs:PutLogEvents"]))
    for role in (
        account.role(policy=allow("logs:*")),
        f"arn:aws:iam::{account.id}:role/missing",
        writer(other_account, group),
        "nonsense",
    ):
        with raises("InvalidCloudWatchLogsRoleArnException", 400):
            create(CloudWatchLogsRoleArn=role)
    with raises("InvalidCloudWatchLogsLogGroupArnException"):
        trails.create_trail(Name=name, S3BucketName=bucket, CloudWatchLogsRoleArn=good["CloudWatchLogsRoleArn"])
    # Who makes the trail must be allowed to pass the role.
    clerk = account.user(policy=[allow(["cloudtrail:*", "s3:*", "logs:*"])]).client("cloudtrail")
    with raises("AccessDeniedException", message="iam:PassRole"):
        clerk.create_trail(Name=name, S3BucketName=bucket, **good)
    assert trails.describe_trails()["trailList"] == []


def test_delivery_goes_on_after_a_kill(start_server):
    server = start_server("--store", "redb", "--region", REGION)
    home = Account.home(server)
    logs, trails = home.client("logs"), home.client("cloudtrail")
    logs.create_log_group(logGroupName="/trail")
    trails.create_trail(Name="all", S3BucketName=log_bucket(home), **target(home, "/trail"))
    trails.start_logging(Name="all")
    calls = [home.client("kms").create_key()]
    server.flush()
    calls.append(home.client("kms").create_key())
    root = server.root
    server.kill()
    server.launch("--store", "redb", "--region", REGION)
    server.root = root
    home = Account.home(server)
    calls.append(home.client("kms").create_key())
    server.flush()
    ids = [record["requestID"] for record in delivered(home.client("logs"), "/trail")]
    assert [ids.count(request_id(call)) for call in calls] == [1, 1, 1]
