"""Trails tell a topic of their log files."""

import json
import uuid

import pytest

from bailiwick_server import Account, Server, allow, document, new_account_id, raises
from notification_endpoint import Endpoint
from test_cloudtrail_trails import OTHER_REGION, REGION, log_bucket, objects


@pytest.fixture(scope="module")
def server(binary, tmp_path_factory):
    """A server that may reach this machine."""
    server = Server.start(
        binary, tmp_path_factory.mktemp("notifications"), "--ephemeral", "--manual-clock", "--allow-internal", "127.0.0.1",
        "--region", REGION, "--region", OTHER_REGION,
    )
    yield server
    server.stop()
    server.check_log()


@pytest.fixture
def account(server):
    return Account.create(server, new_account_id())


@pytest.fixture
def trails(account):
    return account.client("cloudtrail")


@pytest.fixture
def endpoint(server):
    made = Endpoint(server.authority)
    yield made
    made.close()


@pytest.fixture
def name():
    return f"trail-{uuid.uuid4().hex[:8]}"


def topic_policy(topic, account, **condition):
    """The policy that CloudTrail's user guide gives for a trail's topic."""
    only_ours = {"StringEquals": {"aws:SourceAccount": account.id, **condition}}
    return document(allow("SNS:Publish", topic, Principal={"Service": "cloudtrail.amazonaws.com"}, Condition=only_ours))


@pytest.fixture
def topic(account):
    sns = account.client("sns")
    arn = sns.create_topic(Name="trails")["TopicArn"]
    sns.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=topic_policy(arn, account))
    return arn


def test_each_file_is_told(server, account, trails, topic, endpoint, name):
    bucket = log_bucket(account)
    made = trails.create_trail(Name=name, S3BucketName=bucket, SnsTopicName="trails")
    assert (made["SnsTopicName"], made["SnsTopicARN"]) == ("trails", topic)
    account.client("sns").subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url())
    endpoint.confirm()
    trails.start_logging(Name=name)
    account.client("kms").create_key()
    server.flush()
    letter = endpoint.letter()
    message = json.loads(letter["Message"])
    assert message["s3Bucket"] == bucket and letter["TopicArn"] == topic
    assert set(message["s3ObjectKey"]) <= set(objects(account, bucket)) and message["s3ObjectKey"]
    status = trails.get_trail_status(Name=name)
    assert status["LatestNotificationTime"] and status["LatestNotificationAttemptSucceeded"]
    assert "LatestNotificationError" not in status
    assert trails.get_trail(Name=name)["Trail"]["SnsTopicARN"] == topic
    [event] = account.events(EventName="Publish")[:1]
    assert event["userIdentity"] == {"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"}


def test_what_the_topic_refuses_is_told_later(server, account, trails, topic, endpoint, name):
    bucket, sns = log_bucket(account), account.client("sns")
    trails.create_trail(Name=name, S3BucketName=bucket, SnsTopicName=topic)
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url())
    endpoint.confirm()
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue="")
    trails.start_logging(Name=name)
    account.client("kms").create_key()
    server.flush()
    status = trails.get_trail_status(Name=name)
    assert status["LatestNotificationError"] == "AuthorizationError" and status["LatestDeliveryTime"]
    files = set(objects(account, bucket))
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=topic_policy(topic, account))
    server.flush()
    told = set()
    while not files <= told:
        told |= set(json.loads(endpoint.letter()["Message"])["s3ObjectKey"])
    assert "LatestNotificationError" not in trails.get_trail_status(Name=name)
    # Taken away again, nobody is told.
    assert "SnsTopicName" not in trails.update_trail(Name=name, SnsTopicName="")
    assert "SnsTopicARN" not in trails.get_trail(Name=name)["Trail"]


def test_topics_that_cannot_be_told_are_refused(account, trails, topic, name):
    bucket, sns = log_bucket(account), account.client("sns")
    bare = sns.create_topic(Name="bare")["TopicArn"]
    for target in ("bare", bare, "missing", topic.replace(REGION, OTHER_REGION)):
        with raises("InsufficientSnsTopicPolicyException", 400, "SNS Topic does not exist or the topic policy is incorrect!"):
            trails.create_trail(Name=name, S3BucketName=bucket, SnsTopicName=target)
    sns.set_topic_attributes(
        TopicArn=bare, AttributeName="Policy", AttributeValue=topic_policy(bare, account, **{"aws:SourceArn": "arn:aws:cloudtrail:other"})
    )
    with raises("InsufficientSnsTopicPolicyException"):
        trails.create_trail(Name=name, S3BucketName=bucket, SnsTopicName="bare")
    for target in ("a b", "arn:aws:sqs:us-east-1:1:x", "x" * 257, topic.replace(REGION, "mars-1")):
        with raises("InvalidSnsTopicNameException", 400):
            trails.create_trail(Name=name, S3BucketName=bucket, SnsTopicName=target)
    assert trails.describe_trails()["trailList"] == []
    trails.create_trail(Name=name, S3BucketName=bucket)
    with raises("InsufficientSnsTopicPolicyException"):
        trails.update_trail(Name=name, SnsTopicName="missing")
