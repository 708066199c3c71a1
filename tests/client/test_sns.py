"""SNS: topics, subscriptions that endpoints confirm, signed notifications, retries, filters, policies."""

import concurrent.futures
import json
import urllib.error
import uuid

import pytest

from bailiwick_server import Account, Server, allow, assert_denied, deny, document, new_account_id, raises, request_id
from notification_endpoint import Endpoint

REGION = "us-east-1"
OTHER_REGION = "eu-central-1"
DENIED = "AuthorizationError"


@pytest.fixture(scope="module")
def server(binary, tmp_path_factory):
    """A server that may reach this machine."""
    server = Server.start(
        binary, tmp_path_factory.mktemp("sns"), "--ephemeral", "--manual-clock", "--allow-internal", "127.0.0.1",
        "--region", REGION, "--region", OTHER_REGION,
    )
    yield server
    server.stop()
    server.check_log()


@pytest.fixture
def account(server):
    return Account.create(server, new_account_id())


@pytest.fixture
def other_account(server):
    return Account.create(server, new_account_id())


@pytest.fixture
def sns(account):
    return account.client("sns")


@pytest.fixture
def topic(sns):
    return sns.create_topic(Name=f"topic-{uuid.uuid4().hex[:8]}")["TopicArn"]


@pytest.fixture
def endpoint(server):
    made = Endpoint(server.authority)
    yield made
    made.close()


def subscribed(sns, topic, endpoint, **attributes):
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url(), Attributes=attributes)
    return endpoint.confirm()


# Topics


def test_topics_are_made_read_and_deleted(sns, account):
    names = [f"t{number}" for number in range(3)]
    for name in names:
        made = sns.create_topic(Name=name, Tags=[{"Key": "team", "Value": "a"}])
        assert made["TopicArn"] == f"arn:aws:sns:{REGION}:{account.id}:{name}"
    assert sns.create_topic(Name="t0")["TopicArn"].endswith(":t0")
    with raises("InvalidParameter", 400, "Topic already exists with different attributes"):
        sns.create_topic(Name="t0", Attributes={"DisplayName": "other"})
    with raises("InvalidParameter", 400, "Topic already exists with different tags"):
        sns.create_topic(Name="t0", Tags=[{"Key": "team", "Value": "b"}])
    assert [item["TopicArn"].split(":")[-1] for item in sns.list_topics()["Topics"]] == names
    with raises("InvalidParameter", 400, "NextToken"):
        sns.list_topics(NextToken="forged")
    arn = f"arn:aws:sns:{REGION}:{account.id}:t0"
    shown = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    assert (shown["Owner"], shown["SubscriptionsConfirmed"], shown["SignatureVersion"]) == (account.id, "0", "2")
    assert json.loads(shown["Policy"])["Id"] == "__default_policy_ID"
    assert json.loads(shown["EffectiveDeliveryPolicy"])["http"]["defaultHealthyRetryPolicy"]["numRetries"] == 3
    sns.delete_topic(TopicArn=arn)
    sns.delete_topic(TopicArn=arn)
    with raises("NotFound", 404, "Topic does not exist"):
        sns.get_topic_attributes(TopicArn=arn)
    assert account.client("sns", region=OTHER_REGION).list_topics()["Topics"] == []


def test_more_than_a_page_of_topics(sns):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: sns.create_topic(Name=f"n{number:03}"), range(105)))
    pages = list(sns.get_paginator("list_topics").paginate())
    assert [len(page["Topics"]) for page in pages] == [100, 5]


@pytest.mark.parametrize("name", ["a b", "x" * 257, "a.b", "news.fifo", ""])
def test_names_of_topics_have_rules(sns, name):
    with raises("InvalidParameter", 400, "Topic Name"):
        sns.create_topic(Name=name)


def test_what_says_that_deliveries_are_not_logged_is_taken(sns, topic):
    for protocol in ("Application", "Firehose", "HTTP", "Lambda", "SQS"):
        sns.set_topic_attributes(TopicArn=topic, AttributeName=f"{protocol}SuccessFeedbackSampleRate", AttributeValue="0")
        sns.set_topic_attributes(TopicArn=topic, AttributeName=f"{protocol}FailureFeedbackRoleArn", AttributeValue="")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KmsMasterKeyId", "alias/aws/sns"),
        ("SignatureVersion", "1"),
        ("FifoTopic", "true"),
        ("TracingConfig", "Active"),
        ("DisplayName", "x" * 101),
        ("HTTPSuccessFeedbackRoleArn", "arn:aws:iam::1:role/r"),
        ("LambdaSuccessFeedbackSampleRate", "50"),
        ("DeliveryPolicy", '{"http": {"defaultThrottlePolicy": {"maxReceivesPerSecond": 1}}}'),
        ("Policy", "{"),
        ("Policy", '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"}]}'),
        ("Policy", '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sns:*", "Resource": "arn:aws:sns:us-east-1:1:x"}]}'),
        ("Nonsense", "x"),
    ],
)
def test_settings_that_are_not_kept_are_refused(sns, topic, name, value):
    with raises("InvalidParameter", 400):
        sns.set_topic_attributes(TopicArn=topic, AttributeName=name, AttributeValue=value)
    with raises("InvalidParameter", 400):
        sns.create_topic(Name="other", Attributes={name: value})


def test_attributes_are_set(sns, topic):
    policy = {"http": {"defaultHealthyRetryPolicy": {"minDelayTarget": 1, "maxDelayTarget": 60, "numRetries": 50, "backoffFunction": "exponential"}}}
    sns.set_topic_attributes(TopicArn=topic, AttributeName="DeliveryPolicy", AttributeValue=json.dumps(policy))
    sns.set_topic_attributes(TopicArn=topic, AttributeName="DisplayName", AttributeValue="News")
    shown = sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    assert shown["DisplayName"] == "News" and json.loads(shown["DeliveryPolicy"])["http"]["defaultHealthyRetryPolicy"]["numRetries"] == 50
    sns.set_topic_attributes(TopicArn=topic, AttributeName="DeliveryPolicy", AttributeValue="")
    assert "DeliveryPolicy" not in sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    with raises("NotFound", 404):
        sns.set_topic_attributes(TopicArn=topic + "x", AttributeName="DisplayName", AttributeValue="News")


# Subscriptions


def test_links_lead_to_the_server_whatever_name_the_subscriber_called(server, sns, topic, endpoint):
    sns.meta.events.register("before-sign.sns.Subscribe", lambda request, **_: request.headers.add_header("Host", "elsewhere.example"))
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url())
    assert endpoint.letter("SubscriptionConfirmation")["SubscribeURL"].startswith(server.endpoint + "/")


def test_an_endpoint_confirms_and_gets_signed_notifications(sns, topic, endpoint, account):
    answer = sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url("/a?b=c"))
    assert answer["SubscriptionArn"] == "pending confirmation"
    pending = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert [item["SubscriptionArn"] for item in pending] == ["PendingConfirmation"]
    # Nothing is sent before.
    sns.publish(TopicArn=topic, Message="too early")
    letter = endpoint.letter("SubscriptionConfirmation")
    assert letter["TopicArn"] == topic and len(letter["Token"]) == 128
    arn = endpoint.fetch(letter["SubscribeURL"]).decode().split("<SubscriptionArn>")[1].split("<")[0]
    assert arn.startswith(topic + ":")
    shown = sns.list_subscriptions()["Subscriptions"]
    assert shown == [{"SubscriptionArn": arn, "Owner": account.id, "Protocol": "http", "Endpoint": endpoint.url("/a?b=c"), "TopicArn": topic}]
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["SubscriptionsConfirmed"] == "1"
    sent = sns.publish(
        TopicArn=topic, Message="line\nGrüße 🦀", Subject="News", MessageAttributes={"kind": {"DataType": "String", "StringValue": "x"}}
    )
    letter = endpoint.letter()
    assert (letter["Message"], letter["Subject"], letter["MessageId"]) == ("line\nGrüße 🦀", "News", sent["MessageId"])
    assert letter["MessageAttributes"] == {"kind": {"Type": "String", "Value": "x"}}
    assert letter["Timestamp"].endswith("Z") and arn in letter["UnsubscribeURL"].replace("%3A", ":")
    # The same again is the same subscription.
    assert sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url("/a?b=c"))["SubscriptionArn"] == arn
    with raises("InvalidParameter", 400, "already exists with different attributes"):
        sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url("/a?b=c"), Attributes={"RawMessageDelivery": "true"})
    # The link in the notification ends it, and needs no credentials.
    endpoint.fetch(letter["UnsubscribeURL"])
    assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["SubscriptionsDeleted"] == "1"


def test_tokens_confirm_by_the_api_and_no_other_does(sns, topic, endpoint, account):
    arn = sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url(), ReturnSubscriptionArn=True)["SubscriptionArn"]
    assert sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]["PendingConfirmation"] == "true"
    letter = endpoint.letter("SubscriptionConfirmation")
    with raises("InvalidParameter", 400, "Token"):
        sns.confirm_subscription(TopicArn=topic, Token="0" * 128)
    with raises("NotFound", 404):
        sns.confirm_subscription(TopicArn=topic + "x", Token=letter["Token"])
    bad = letter["SubscribeURL"].replace(letter["Token"], "0" * 128)
    with pytest.raises(urllib.error.HTTPError, match="400"):
        endpoint.fetch(bad)
    # Whoever is nobody cannot end what nobody confirmed.
    with pytest.raises(urllib.error.HTTPError, match="403"):
        endpoint.fetch(letter["SubscribeURL"].split("?")[0] + f"?Action=Unsubscribe&Version=2010-03-31&SubscriptionArn={arn}")
    nobody = account.user().client("sns")
    assert_denied(lambda: nobody.confirm_subscription(TopicArn=topic, Token=letter["Token"]), "sns:ConfirmSubscription", code=DENIED)
    done = sns.confirm_subscription(TopicArn=topic, Token=letter["Token"], AuthenticateOnUnsubscribe="true")
    assert done["SubscriptionArn"] == arn
    assert sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]["ConfirmationWasAuthenticated"] == "true"
    sns.publish(TopicArn=topic, Message="x")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        endpoint.fetch(endpoint.letter()["UnsubscribeURL"])
    sns.unsubscribe(SubscriptionArn=arn)
    sns.unsubscribe(SubscriptionArn=arn)
    with raises("NotFound", 404, "Subscription does not exist"):
        sns.get_subscription_attributes(SubscriptionArn=arn)


def test_a_subscription_that_nobody_confirms_is_gone(start_server, endpoint):
    server = start_server("--ephemeral", "--manual-clock", "--region", REGION, "--allow-internal", "127.0.0.1")
    sns = Account.create(server, new_account_id()).client("sns")
    topic = sns.create_topic(Name="t")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url())
    _, body, _ = endpoint.next()
    server.advance_clock(days=2, seconds=1)
    assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []
    with raises("InvalidParameter", 400, "Token"):
        sns.confirm_subscription(TopicArn=topic, Token=json.loads(body)["Token"])


def test_links_lead_into_the_topics_region(account, endpoint):
    sns = account.client("sns", region=OTHER_REGION)
    topic = sns.create_topic(Name="far")["TopicArn"]
    arn = subscribed(sns, topic, endpoint)
    assert arn.startswith(f"arn:aws:sns:{OTHER_REGION}:")
    sns.publish(TopicArn=topic, Message="x")
    endpoint.fetch(endpoint.letter()["UnsubscribeURL"])
    assert sns.list_subscriptions()["Subscriptions"] == []


@pytest.mark.parametrize(
    ("protocol", "target"),
    [
        ("email", "a@example.com"), ("sqs", "arn:aws:sqs:us-east-1:1:q"), ("lambda", "arn:aws:lambda:us-east-1:1:function:f"), ("sms", "+1"),
        ("gopher", "gopher://x"), ("http", "https://example.com"), ("https", "https://"), ("http", None), ("http", "http://a b/"),
    ],
)
def test_endpoints_that_cannot_be_reached_are_refused(sns, topic, protocol, target):
    with raises("InvalidParameter", 400):
        sns.subscribe(TopicArn=topic, Protocol=protocol, **({"Endpoint": target} if target else {}))
    assert sns.list_subscriptions()["Subscriptions"] == []


def test_internal_endpoints_are_not_reached_unless_configured(start_server, endpoint):
    server = start_server("--ephemeral", "--region", REGION)
    sns = Account.create(server, new_account_id()).client("sns")
    topic = sns.create_topic(Name="t")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url())
    server.flush()
    assert endpoint.received.empty()


# Messages


def test_raw_messages_and_structures(sns, topic, endpoint):
    arn = subscribed(sns, topic, endpoint, RawMessageDelivery="true")
    sent = sns.publish(TopicArn=topic, Message="as it is")
    headers, body, _ = endpoint.next()
    assert (body, headers["x-amz-sns-rawdelivery"], headers["x-amz-sns-message-id"]) == ("as it is", "true", sent["MessageId"])
    assert headers["x-amz-sns-subscription-arn"] == arn
    sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName="RawMessageDelivery", AttributeValue="false")
    structure = json.dumps({"default": "for all", "http": "for http"})
    sns.publish(TargetArn=topic, Message=structure, MessageStructure="json")
    assert endpoint.letter()["Message"] == "for http"
    sns.publish(TopicArn=topic, Message=json.dumps({"default": "for all", "https": "no"}), MessageStructure="json")
    assert endpoint.letter()["Message"] == "for all"


@pytest.mark.parametrize(
    ("code", "parameters"),
    [
        ("InvalidParameter", {"Message": ""}),
        ("InvalidParameter", {"Message": "x" * (256 * 1024 + 1)}),
        ("InvalidParameter", {"Message": "x", "Subject": "two\nlines"}),
        ("InvalidParameter", {"Message": "x", "Subject": "x" * 101}),
        ("InvalidParameter", {"Message": "x", "MessageStructure": "json"}),
        ("InvalidParameter", {"Message": '{"http": "x"}', "MessageStructure": "json"}),
        ("InvalidParameter", {"Message": "x", "MessageStructure": "xml"}),
        ("InvalidParameter", {"Message": "x", "MessageGroupId": "g"}),
        ("ParameterValueInvalid", {"Message": "x", "MessageAttributes": {"a": {"DataType": "Number", "StringValue": "x"}}}),
        ("ParameterValueInvalid", {"Message": "x", "MessageAttributes": {"a": {"DataType": "Nonsense", "StringValue": "x"}}}),
        ("ParameterValueInvalid", {"Message": "x", "MessageAttributes": {"a": {"DataType": "String"}}}),
    ],
)
def test_messages_have_rules(sns, topic, code, parameters):
    with raises(code, 400):
        sns.publish(TopicArn=topic, **parameters)


def test_what_is_published_elsewhere_is_refused(sns, topic):
    with raises("InvalidParameter", 400):
        sns.publish(Message="x")
    with raises("InvalidParameter", 400):
        sns.publish(PhoneNumber="+491701234567", Message="x")
    with raises("NotFound", 404):
        sns.publish(TopicArn=topic + "x", Message="x")
    with raises("InvalidParameter", 400):
        sns.publish(TargetArn="arn:aws:sns:us-east-1:1:endpoint/APNS/a/b", Message="x")


def test_batches(sns, topic, endpoint):
    subscribed(sns, topic, endpoint)
    entries = [{"Id": "a", "Message": "one"}, {"Id": "b", "Message": "two", "Subject": "bad\nsubject"}, {"Id": "c", "Message": "three"}]
    answer = sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
    assert [item["Id"] for item in answer["Successful"]] == ["a", "c"]
    assert [(item["Id"], item["Code"], item["SenderFault"]) for item in answer["Failed"]] == [("b", "InvalidParameter", True)]
    assert {endpoint.letter()["Message"] for _ in range(2)} == {"one", "three"}
    for code, bad in {
        "TooManyEntriesInBatchRequest": [{"Id": str(number), "Message": "x"} for number in range(11)],
        "BatchEntryIdsNotDistinct": [{"Id": "a", "Message": "x"}, {"Id": "a", "Message": "y"}],
        "InvalidBatchEntryId": [{"Id": "a b", "Message": "x"}],
        "BatchRequestTooLong": [{"Id": str(number), "Message": "x" * 200_000} for number in range(2)],
        "EmptyBatchRequest": [],
    }.items():
        with raises(code, 400):
            sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=bad)


def test_filters(sns, topic, endpoint):
    arn = subscribed(sns, topic, endpoint, FilterPolicy=json.dumps({"kind": ["wanted"], "size": [{"numeric": [">", 5]}]}))
    attributes = lambda kind, size: {
        "kind": {"DataType": "String", "StringValue": kind}, "size": {"DataType": "Number", "StringValue": size},
    }
    sns.publish(TopicArn=topic, Message="no", MessageAttributes=attributes("other", "9"))
    sns.publish(TopicArn=topic, Message="no", MessageAttributes=attributes("wanted", "5"))
    sns.publish(TopicArn=topic, Message="no")
    sns.publish(TopicArn=topic, Message="yes", MessageAttributes=attributes("wanted", "6"))
    assert endpoint.letter()["Message"] == "yes"
    sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName="FilterPolicyScope", AttributeValue="MessageBody")
    sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName="FilterPolicy", AttributeValue='{"a": {"b": ["c"]}}')
    shown = sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
    assert (shown["FilterPolicy"], shown["FilterPolicyScope"]) == ('{"a": {"b": ["c"]}}', "MessageBody")
    sns.publish(TopicArn=topic, Message='{"a": {"b": "d"}}')
    sns.publish(TopicArn=topic, Message='{"a": {"b": "c"}}')
    assert endpoint.letter()["Message"] == '{"a": {"b": "c"}}'
    for bad in ("{", '{"a": "b"}', '{"a": [{"cidr": "10.0.0.0/8"}]}'):
        with raises("InvalidParameter", 400, "FilterPolicy"):
            sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName="FilterPolicy", AttributeValue=bad)
    with raises("InvalidParameter", 400):
        sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName="RedrivePolicy", AttributeValue="{}")
    sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName="FilterPolicy", AttributeValue="")
    assert "FilterPolicy" not in sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]


# Delivery


def test_what_an_endpoint_refuses_is_tried_again(start_server, binary):
    server = start_server("--ephemeral", "--manual-clock", "--region", REGION, "--allow-internal", "127.0.0.1")
    endpoint = Endpoint(server.authority)
    sns = Account.create(server, new_account_id()).client("sns")
    topic = sns.create_topic(Name="t")["TopicArn"]
    subscribed(sns, topic, endpoint)
    endpoint.answers = [500, 429, 503]
    sent = sns.publish(TopicArn=topic, Message="again")
    for status in (500, 429, 503, 200):
        headers, _, answered = endpoint.next()
        assert (headers["x-amz-sns-message-id"], answered) == (sent["MessageId"], status)
        # The next try is due after twenty seconds of the server's time.
        server.advance_clock(seconds=21)
    # A refusal for good is not tried again, and neither is what failed after the last try.
    endpoint.answers = [404]
    sns.publish(TopicArn=topic, Message="gone")
    assert endpoint.next()[2] == 404
    endpoint.answers = [500] * 4
    failed = sns.publish(TopicArn=topic, Message="given up")
    for _ in range(4):
        assert endpoint.next()[0]["x-amz-sns-message-id"] == failed["MessageId"]
        server.advance_clock(seconds=21)
    server.advance_clock(hours=1)
    sns.publish(TopicArn=topic, Message="last")
    assert json.loads(endpoint.next()[1])["Message"] == "last"
    endpoint.close()


def test_what_was_published_arrives_after_a_kill(start_server):
    arguments = ("--store", "redb", "--region", REGION, "--allow-internal", "127.0.0.1")
    server = start_server(*arguments)
    endpoint = Endpoint(server.authority)
    home = Account.home(server)
    sns = home.client("sns")
    topic = sns.create_topic(Name="t")["TopicArn"]
    policy = {"http": {"defaultHealthyRetryPolicy": {"minDelayTarget": 1, "maxDelayTarget": 2, "numRetries": 100}}}
    sns.set_topic_attributes(TopicArn=topic, AttributeName="DeliveryPolicy", AttributeValue=json.dumps(policy))
    subscribed(sns, topic, endpoint, RawMessageDelivery="true")
    secret = f"canary-{uuid.uuid4().hex}"
    endpoint.answers = [503] * 1000
    sns.publish(TopicArn=topic, Message=secret)
    assert endpoint.next()[1] == secret
    root = server.root
    server.kill()
    for file in server.data_dir.rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes(), file
    endpoint.answers = []
    server.launch(*arguments)
    server.root = root
    while True:
        _, body, status = endpoint.next()
        assert body == secret
        if status == 200:
            break
    endpoint.close()


# Policies


def test_policies_decide(account, sns, topic, endpoint):
    reader = account.user(policy=allow(["sns:GetTopicAttributes", "sns:Publish"], topic)).client("sns")
    reader.get_topic_attributes(TopicArn=topic)
    reader.publish(TopicArn=topic, Message="x")
    message = assert_denied(lambda: reader.delete_topic(TopicArn=topic), "sns:DeleteTopic", code=DENIED, by="identity")
    assert topic in message
    only_https = account.user(policy=allow("sns:Subscribe", topic, Condition={"StringEquals": {"sns:Protocol": "https"}})).client("sns")
    assert_denied(lambda: only_https.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url()), "sns:Subscribe", code=DENIED)
    arn = subscribed(sns, topic, endpoint)
    for call in (
        lambda: reader.unsubscribe(SubscriptionArn=arn),
        lambda: reader.get_subscription_attributes(SubscriptionArn=arn),
        lambda: reader.set_subscription_attributes(SubscriptionArn=arn, AttributeName="RawMessageDelivery", AttributeValue="true"),
    ):
        assert_denied(call, code=DENIED)
    tagged = account.user(policy=allow("sns:DeleteTopic", Condition={"StringEquals": {"aws:ResourceTag/team": "a"}})).client("sns")
    assert_denied(lambda: tagged.delete_topic(TopicArn=topic), "sns:DeleteTopic", code=DENIED)
    sns.tag_resource(ResourceArn=topic, Tags=[{"Key": "team", "Value": "a"}])
    tagged.delete_topic(TopicArn=topic)
    assert sns.list_subscriptions()["Subscriptions"] == []


def test_other_accounts_by_the_topics_policy(account, other_account, sns, topic, endpoint):
    foreign = other_account.client("sns")
    assert_denied(lambda: foreign.publish(TopicArn=topic, Message="x"), "sns:Publish", code=DENIED)
    sns.add_permission(TopicArn=topic, Label="friends", AWSAccountId=[other_account.id], ActionName=["Publish", "Subscribe"])
    foreign.publish(TopicArn=topic, Message="x")
    with raises("InvalidParameter", 400, "Statement already exists"):
        sns.add_permission(TopicArn=topic, Label="friends", AWSAccountId=[other_account.id], ActionName=["Publish"])
    for bad in ({"ActionName": ["Nonsense"]}, {"AWSAccountId": ["12"]}, {"Label": "a b"}):
        parameters = {"TopicArn": topic, "Label": "more", "AWSAccountId": [other_account.id], "ActionName": ["Publish"]} | bad
        with raises("InvalidParameter", 400):
            sns.add_permission(**parameters)
    arn = subscribed(foreign, topic, endpoint)
    # Whoever subscribed sees and ends it; so does the topic's owner; nobody else.
    assert foreign.list_subscriptions()["Subscriptions"][0]["Owner"] == other_account.id
    foreign.set_subscription_attributes(SubscriptionArn=arn, AttributeName="RawMessageDelivery", AttributeValue="true")
    assert sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]["Owner"] == other_account.id
    third = Account.create(account.server, new_account_id()).client("sns")
    assert_denied(lambda: third.unsubscribe(SubscriptionArn=arn), code=DENIED)
    assert_denied(lambda: third.get_subscription_attributes(SubscriptionArn=arn), code=DENIED)
    sns.remove_permission(TopicArn=topic, Label="friends")
    assert_denied(lambda: foreign.publish(TopicArn=topic, Message="x"), "sns:Publish", code=DENIED)
    with raises("InvalidParameter", 400):
        sns.remove_permission(TopicArn=topic, Label="friends")
    foreign.unsubscribe(SubscriptionArn=arn)
    assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []
    policy = document(deny("sns:Publish", topic, Principal="*"))
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)
    assert_denied(lambda: sns.publish(TopicArn=topic, Message="x"), "sns:Publish", code=DENIED, by="resource", explicit=True)


def test_tags(sns, topic):
    sns.tag_resource(ResourceArn=topic, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    sns.untag_resource(ResourceArn=topic, TagKeys=["a", "missing"])
    assert sns.list_tags_for_resource(ResourceArn=topic)["Tags"] == [{"Key": "b", "Value": "2"}]
    with raises("InvalidParameter", 400):
        sns.tag_resource(ResourceArn=topic, Tags=[{"Key": "aws:x", "Value": "1"}])
    with raises("TagLimitExceeded", 400):
        sns.tag_resource(ResourceArn=topic, Tags=[{"Key": f"k{number}", "Value": ""} for number in range(50)])
    with raises("ResourceNotFound", 404, "Resource does not exist"):
        sns.list_tags_for_resource(ResourceArn=topic + "x")


def test_messages_and_tokens_are_in_no_event(account, sns, topic, endpoint):
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url())
    token = endpoint.letter("SubscriptionConfirmation")["Token"]
    sns.confirm_subscription(TopicArn=topic, Token=token)
    secret = f"canary-{uuid.uuid4().hex}"
    answer = sns.publish(TopicArn=topic, Message=secret, Subject=f"about {secret}")
    sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=[{"Id": "a", "Message": secret}])
    [event] = account.events_of(request_id(answer))
    assert event["requestParameters"] == {"topicArn": topic, "message": "HIDDEN_DUE_TO_SECURITY_REASONS", "subject": "HIDDEN_DUE_TO_SECURITY_REASONS"}
    assert (event["eventCategory"], event["eventSource"], event["resources"][0]["type"]) == ("Data", "sns.amazonaws.com", "AWS::SNS::Topic")
    events = json.dumps(account.events())
    assert secret not in events and token not in events


def test_many_publishers_lose_nothing(sns, topic, endpoint):
    subscribed(sns, topic, endpoint, RawMessageDelivery="true")
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda number: sns.publish(TopicArn=topic, Message=str(number)), range(30)))
    assert sorted(int(endpoint.next()[1]) for _ in range(30)) == list(range(30))


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [("set_sms_attributes", {"attributes": {"DefaultSMSType": "Promotional"}}), ("list_platform_applications", {})],
)
def test_what_is_not_done_says_so(sns, operation, parameters):
    with raises("NotImplemented", 501):
        getattr(sns, operation)(**parameters)
