"""CloudWatch Logs: groups and streams, events that are put, read and searched, retention, keys, tags, policies."""

import concurrent.futures
import json
import time
import uuid

import pytest

from bailiwick_server import Account, allow, assert_denied, deny, document, new_account_id, raises, request_id

REGION = "us-east-1"
DAY = 24 * 60 * 60 * 1000
MISSING_GROUP = "The specified log group does not exist."
MISSING_STREAM = "The specified log stream does not exist."


@pytest.fixture
def logs(account):
    return account.client("logs")


@pytest.fixture
def group(logs):
    name = f"/test/{uuid.uuid4().hex[:8]}"
    logs.create_log_group(logGroupName=name)
    logs.create_log_stream(logGroupName=name, logStreamName="s")
    return name


@pytest.fixture
def now(bailiwick):
    return lambda: int(bailiwick.now().timestamp() * 1000)


def group_arn(account, name):
    return f"arn:aws:logs:{REGION}:{account.id}:log-group:{name}"


def put(logs, group, messages, time_ms, stream="s", step=1):
    events = [{"timestamp": time_ms + at * step, "message": message} for at, message in enumerate(messages)]
    return logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def messages(answer):
    return [event["message"] for event in answer["events"]]


def everything(logs, group, **wanted):
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, **wanted)
    return [event["message"] for page in pages for event in page["events"]]


# Groups and streams


def test_groups_are_made_described_and_deleted(logs, account):
    names = [f"/walk/{letter}" for letter in "abc"]
    for name in names:
        logs.create_log_group(logGroupName=name, tags={"team": "audit"})
    with raises("ResourceAlreadyExistsException", 400, "The specified log group already exists"):
        logs.create_log_group(logGroupName=names[0])
    shown = logs.describe_log_groups(logGroupNamePrefix="/walk/")["logGroups"]
    assert [item["logGroupName"] for item in shown] == names
    first = shown[0]
    assert first["arn"] == group_arn(account, "/walk/a") + ":*" and first["logGroupArn"] == group_arn(account, "/walk/a")
    assert (first["storedBytes"], first["metricFilterCount"], first["logGroupClass"]) == (0, 0, "STANDARD")
    assert "retentionInDays" not in first and "kmsKeyId" not in first
    assert [item["logGroupName"] for item in logs.describe_log_groups(logGroupNamePattern="lk/b")["logGroups"]] == ["/walk/b"]
    by_arn = logs.describe_log_groups(logGroupIdentifiers=[group_arn(account, "/walk/c")])["logGroups"]
    assert [item["logGroupName"] for item in by_arn] == ["/walk/c"]
    with raises("InvalidParameterException", 400, "mutually exclusive"):
        logs.describe_log_groups(logGroupNamePrefix="/walk/", logGroupNamePattern="b")
    pages = list(logs.get_paginator("describe_log_groups").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["logGroups"]) for page in pages] == [2, 1]
    with raises("InvalidParameterException"):
        logs.describe_log_groups(nextToken="forged")
    listed = logs.list_log_groups(logGroupNamePattern="^/walk/a|lk/c")["logGroups"]
    assert [item["logGroupName"] for item in listed] == ["/walk/a", "/walk/c"]
    assert logs.list_log_groups(logGroupTags=[{"key": "team", "values": ["!audit"]}])["logGroups"] == []
    assert len(logs.list_log_groups(logGroupTags=[{"key": "team", "values": ["aud*"]}])["logGroups"]) == 3
    logs.delete_log_group(logGroupName="/walk/a")
    with raises("ResourceNotFoundException", 400, MISSING_GROUP):
        logs.delete_log_group(logGroupName="/walk/a")


@pytest.mark.parametrize("name", ["a b", "a:b", "x" * 513, "aws/lambda"])
def test_names_of_groups_have_rules(logs, name):
    with raises("InvalidParameterException", 400):
        logs.create_log_group(logGroupName=name)


@pytest.mark.parametrize("wanted", [{"logGroupClass": "INFREQUENT_ACCESS"}, {"logGroupClass": "DELIVERY"}])
def test_classes_that_are_not_kept_are_refused(logs, wanted):
    with raises("InvalidParameterException", 400, "logGroupClass"):
        logs.create_log_group(logGroupName="/class", **wanted)


def test_a_protected_group_stays(logs, account, group):
    logs.put_log_group_deletion_protection(logGroupIdentifier=group, deletionProtectionEnabled=True)
    assert logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]["deletionProtectionEnabled"] is True
    with raises("ValidationException"):
        logs.delete_log_group(logGroupName=group)
    with raises("ValidationException"):
        logs.delete_log_stream(logGroupName=group, logStreamName="s")
    logs.put_log_group_deletion_protection(logGroupIdentifier=group_arn(account, group), deletionProtectionEnabled=False)
    logs.delete_log_group(logGroupName=group)


def test_streams_are_made_described_and_deleted(logs, account, group, now):
    for name in ("b", "a", "日本"):
        logs.create_log_stream(logGroupName=group, logStreamName=name)
    with raises("ResourceAlreadyExistsException", 400, "The specified log stream already exists"):
        logs.create_log_stream(logGroupName=group, logStreamName="a")
    with raises("ResourceNotFoundException", 400, MISSING_GROUP):
        logs.create_log_stream(logGroupName="/missing", logStreamName="a")
    with raises("InvalidParameterException"):
        logs.create_log_stream(logGroupName=group, logStreamName="a:b")
    time_ms = now()
    put(logs, group, ["x"], time_ms - 1000, stream="b")
    put(logs, group, ["y", "z"], time_ms - 5000, stream="a")
    shown = logs.describe_log_streams(logGroupName=group)["logStreams"]
    assert [item["logStreamName"] for item in shown] == ["a", "b", "s", "日本"]
    assert (shown[0]["firstEventTimestamp"], shown[0]["lastEventTimestamp"]) == (time_ms - 5000, time_ms - 4999)
    assert shown[0]["arn"] == f"{group_arn(account, group)}:log-stream:a" and shown[0]["lastIngestionTime"] >= time_ms - 60_000
    newest = logs.describe_log_streams(logGroupIdentifier=group_arn(account, group), orderBy="LastEventTime", descending=True)
    assert [item["logStreamName"] for item in newest["logStreams"]][:2] == ["b", "a"]
    pages = logs.get_paginator("describe_log_streams").paginate(logGroupName=group, descending=True, PaginationConfig={"PageSize": 3})
    assert [item["logStreamName"] for page in pages for item in page["logStreams"]] == ["日本", "s", "b", "a"]
    assert [item["logStreamName"] for item in logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="a")["logStreams"]] == ["a"]
    with raises("InvalidParameterException", 400, "Cannot order by LastEventTime"):
        logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="a", orderBy="LastEventTime")
    assert logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]["storedBytes"] == 3 * 27
    logs.delete_log_stream(logGroupName=group, logStreamName="a")
    with raises("ResourceNotFoundException", 400, MISSING_STREAM):
        logs.delete_log_stream(logGroupName=group, logStreamName="a")
    with raises("ResourceNotFoundException", 400, MISSING_STREAM):
        put(logs, group, ["x"], time_ms, stream="a")


def test_a_group_that_is_made_again_sees_nothing_of_the_old(logs, group, now):
    put(logs, group, ["old"], now())
    logs.delete_log_group(logGroupName=group)
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    assert everything(logs, group) == []
    assert messages(logs.get_log_events(logGroupName=group, logStreamName="s")) == []


# Events


def test_events_come_back_in_their_order(logs, group, now):
    time_ms = now() - 60_000
    put(logs, group, ["c", "d"], time_ms + 20_000, step=15_000)
    put(logs, group, ["a", "b"], time_ms)
    put(logs, group, ["b2"], time_ms + 1)
    wanted = ["a", "b", "b2", "c", "d"]
    assert messages(logs.get_log_events(logGroupName=group, logStreamName="s", startFromHead=True)) == wanted
    assert messages(logs.get_log_events(logGroupName=group, logStreamName="s")) == wanted
    assert messages(logs.get_log_events(logGroupName=group, logStreamName="s", limit=2)) == ["c", "d"]
    window = {"startTime": time_ms + 1, "endTime": time_ms + 20_000}
    assert messages(logs.get_log_events(logGroupName=group, logStreamName="s", **window)) == ["b", "b2"]
    event = logs.get_log_events(logGroupName=group, logStreamName="s")["events"][0]
    assert event["timestamp"] == time_ms and event["ingestionTime"] >= time_ms


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_tokens_lead_both_ways_and_stay_at_the_ends(logs, group, now, limit):
    time_ms = now() - 60_000
    for start in range(0, 9, 3):
        put(logs, group, [str(number) for number in range(start, start + 3)], time_ms + start * 4000, step=4000)
    read = {"logGroupName": group, "logStreamName": "s", "limit": limit}
    seen, answer = [], logs.get_log_events(**read, startFromHead=True)
    while answer["events"]:
        seen += messages(answer)
        answer = logs.get_log_events(**read, nextToken=answer["nextForwardToken"])
    assert seen == [str(number) for number in range(9)]
    end = answer["nextForwardToken"]
    assert logs.get_log_events(**read, nextToken=end)["nextForwardToken"] == end
    seen = []
    while True:
        answer = logs.get_log_events(**read, nextToken=answer["nextBackwardToken"])
        if not answer["events"]:
            break
        seen = messages(answer) + seen
    assert seen == [str(number) for number in range(9)]
    assert logs.get_log_events(**read, nextToken=answer["nextBackwardToken"])["nextBackwardToken"] == answer["nextBackwardToken"]
    put(logs, group, ["late"], time_ms + 50_000)
    assert messages(logs.get_log_events(**read, nextToken=end)) == ["late"]


def test_following_an_empty_stream_finds_what_comes(logs, group, now):
    for start in (True, False):
        stream = f"follow-{start}"
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        read = {"logGroupName": group, "logStreamName": stream}
        token = logs.get_log_events(**read, startFromHead=start)["nextForwardToken"]
        assert logs.get_log_events(**read, nextToken=token)["nextForwardToken"] == token
        put(logs, group, ["first"], now(), stream=stream)
        assert messages(logs.get_log_events(**read, nextToken=token)) == ["first"]


def test_tokens_of_others_are_refused(logs, group, now):
    put(logs, group, ["x"], now())
    logs.create_log_stream(logGroupName=group, logStreamName="other")
    token = logs.get_log_events(logGroupName=group, logStreamName="s")["nextForwardToken"]
    for bad in (token, "f/0", "nonsense", token.replace("f/", "x/")):
        with raises("InvalidParameterException", 400, "nextToken"):
            logs.get_log_events(logGroupName=group, logStreamName="other", nextToken=bad)


def test_batches_have_limits(logs, group, now):
    time_ms = now()
    with raises("InvalidParameterException", 400, "Log event too large: 1048577 bytes exceeds limit of 1048576"):
        put(logs, group, ["x" * (1048576 - 25)], time_ms)
    with raises("InvalidParameterException", 400, "Upload too large: 1048578 bytes exceeds limit of 1048576"):
        put(logs, group, ["x" * (524289 - 26)] * 2, time_ms)
    with raises("InvalidParameterException", 400, "chronological order"):
        put(logs, group, ["x", "y"], time_ms, step=-1)
    with raises("InvalidParameterException", 400, "cannot span more than 24 hours"):
        put(logs, group, ["x", "y"], time_ms - DAY - 2, step=DAY + 1)
    with raises("InvalidParameterException"):
        put(logs, group, ["x"] * 10_001, time_ms)
    large = "y" * (1048576 - 26)
    put(logs, group, [large], time_ms)
    many = [str(number) for number in range(10_000)]
    put(logs, group, many, time_ms - 20_000)
    answer = logs.get_log_events(logGroupName=group, logStreamName="s", startFromHead=True)
    assert messages(answer) == many
    assert messages(logs.get_log_events(logGroupName=group, logStreamName="s", nextToken=answer["nextForwardToken"])) == [large]


def test_events_outside_the_window_are_rejected_and_the_others_taken(logs, group, now):
    time_ms = now()
    logs.put_retention_policy(logGroupName=group, retentionInDays=3)
    times = [time_ms - 15 * DAY, time_ms - 4 * DAY, time_ms, time_ms + 2 * 60 * 60 * 1000 + 60_000]
    events = [{"timestamp": at, "message": str(number)} for number, at in enumerate(times)]
    answer = logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=events, sequenceToken="ignored")
    assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1, "expiredLogEventEndIndex": 2, "tooNewLogEventStartIndex": 3}
    assert answer["nextSequenceToken"]
    assert everything(logs, group) == ["2"]
    assert "rejectedLogEventsInfo" not in put(logs, group, ["fine"], time_ms)
    entity = {"keyAttributes": {"Type": "Service", "Name": "x"}}
    event = {"timestamp": time_ms, "message": "with an entity"}
    answer = logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=[event], entity=entity)
    assert answer["rejectedEntityInfo"]["errorType"] == "UnsupportedLogGroupType"


def test_many_writers_of_one_stream_lose_nothing(logs, group, now):
    time_ms = now() - 30_000

    def write(worker):
        for count in range(5):
            put(logs, group, [f"{worker}-{count}"], time_ms + count)

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))
    assert sorted(everything(logs, group)) == sorted(f"{worker}-{count}" for worker in range(6) for count in range(5))


# Searches


def test_a_search_goes_through_all_streams(logs, group, now):
    time_ms = now() - 60_000
    logs.create_log_stream(logGroupName=group, logStreamName="t")
    for number in range(6):
        put(logs, group, [f"ERROR {number}", f"fine {number}"], time_ms + number * 7000, stream="st"[number % 2])
    found = logs.filter_log_events(logGroupName=group, filterPattern="ERROR")["events"]
    assert [event["message"] for event in found] == [f"ERROR {number}" for number in range(6)]
    assert [event["logStreamName"] for event in found] == ["s", "t"] * 3
    assert len({event["eventId"] for event in found}) == 6
    assert everything(logs, group, filterPattern="ERROR", PaginationConfig={"PageSize": 1}) == [f"ERROR {number}" for number in range(6)]
    assert everything(logs, group, PaginationConfig={"PageSize": 5})[1] == "fine 0" and len(everything(logs, group)) == 12
    assert everything(logs, group, logStreamNames=["t"], filterPattern="-fine") == ["ERROR 1", "ERROR 3", "ERROR 5"]
    assert everything(logs, group, logStreamNamePrefix="t", filterPattern="fine")[0] == "fine 1"
    assert everything(logs, group, startTime=time_ms + 7000, endTime=time_ms + 7001) == ["ERROR 1"]
    with raises("ResourceNotFoundException", 400, MISSING_STREAM):
        logs.filter_log_events(logGroupName=group, logStreamNames=["missing"])
    with raises("InvalidParameterException", 400, "mutually exclusive"):
        logs.filter_log_events(logGroupName=group, logStreamNames=["s"], logStreamNamePrefix="t")
    token = logs.filter_log_events(logGroupName=group, limit=1)["nextToken"]
    with raises("InvalidParameterException", 400, "nextToken"):
        logs.filter_log_events(logGroupName=group, limit=1, nextToken=token, filterPattern="other")


def test_patterns_of_json(logs, group, now):
    lines = [
        {"eventName": "ConsoleLogin", "errorCode": "AccessDenied", "latency": 500, "user": {"type": "Root"}},
        {"eventName": "GetObject", "latency": 20, "user": {"type": "IAMUser"}, "note": None},
    ]
    put(logs, group, [json.dumps(line) for line in lines] + ["plain AccessDenied"], now() - 10)

    def found(pattern):
        return [json.loads(message)["eventName"] for message in everything(logs, group, filterPattern=pattern)]

    assert found('{ ($.errorCode = "*Denied") || ($.errorCode = "AccessDenied*") }') == ["ConsoleLogin"]
    assert found('{ $.user.type = "Root" && $.user.invokedBy NOT EXISTS }') == ["ConsoleLogin"]
    assert found("{ $.latency >= 20 && $.latency < 1e2 }") == ["GetObject"]
    assert found("{ $.note IS NULL }") == ["GetObject"]
    for bad in ("{ $.a }", "[a, b]", "%x%", '"open'):
        with raises("InvalidParameterException", 400, "Invalid filter pattern"):
            logs.filter_log_events(logGroupName=group, filterPattern=bad)


def test_a_pattern_can_be_tried(logs):
    answer = logs.test_metric_filter(filterPattern='{ $.a = "x*" }', logEventMessages=['{"a": "y"}', '{"a": "xy"}'])
    assert answer["matches"] == [{"eventNumber": 2, "eventMessage": '{"a": "xy"}', "extractedValues": {"$.a": "xy"}}]


# Retention


def test_events_whose_retention_is_over_are_gone(start_server):
    server = start_server("--ephemeral", "--manual-clock", "--region", REGION, environment={"BAILIWICK_BACKGROUND_INTERVAL_S": "1"})
    account = Account.create(server, new_account_id())
    logs = account.client("logs")
    logs.create_log_group(logGroupName="kept")
    logs.create_log_stream(logGroupName="kept", logStreamName="s")
    for days in (0, 2, -1, 3654):
        with raises("InvalidParameterException", 400, "retentionInDays"):
            logs.put_retention_policy(logGroupName="kept", retentionInDays=days)
    logs.put_retention_policy(logGroupName="kept", retentionInDays=1)
    assert logs.describe_log_groups()["logGroups"][0]["retentionInDays"] == 1
    put(logs, "kept", ["old"], int(server.now().timestamp() * 1000))
    server.advance_clock(hours=23)
    put(logs, "kept", ["new"], int(server.now().timestamp() * 1000))
    assert everything(logs, "kept") == ["old", "new"]
    server.advance_clock(hours=2)
    assert everything(logs, "kept") == ["new"]
    assert messages(logs.get_log_events(logGroupName="kept", logStreamName="s", startFromHead=True)) == ["new"]
    assert messages(logs.get_log_events(logGroupName="kept", logStreamName="s")) == ["new"]
    # The background work takes the bytes away, too.
    deadline = time.monotonic() + 60
    while logs.describe_log_groups()["logGroups"][0]["storedBytes"] != 29:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    logs.delete_retention_policy(logGroupName="kept")
    assert "retentionInDays" not in logs.describe_log_groups()["logGroups"][0]
    assert everything(logs, "kept") == ["new"]
    with raises("ResourceNotFoundException", 400, MISSING_GROUP):
        logs.put_retention_policy(logGroupName="missing", retentionInDays=1)


# Keys


def key_for_logs(account, *more, actions=("kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey*", "kms:DescribeKey")):
    own = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account.id}:root"}, "Action": "kms:*", "Resource": "*"}
    service = {
        "Effect": "Allow",
        "Principal": {"Service": f"logs.{REGION}.amazonaws.com"},
        "Action": list(actions),
        "Resource": "*",
        "Condition": {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": f"arn:aws:logs:{REGION}:{account.id}:log-group:/sealed*"}},
    }
    return account.client("kms").create_key(Policy=document(own, service, *more))["KeyMetadata"]["Arn"]


def test_a_group_is_under_its_key(logs, account, now):
    kms = account.client("kms")
    key = key_for_logs(account)
    logs.create_log_group(logGroupName="/sealed/a", kmsKeyId=key)
    logs.create_log_stream(logGroupName="/sealed/a", logStreamName="s")
    assert logs.describe_log_groups(logGroupNamePrefix="/sealed/a")["logGroups"][0]["kmsKeyId"] == key
    put(logs, "/sealed/a", ["under the key"], now() - 60_000)
    assert everything(logs, "/sealed/a") == ["under the key"]
    used = [event for event in account.events(EventName="Decrypt") if event["userIdentity"].get("invokedBy") == f"logs.{REGION}.amazonaws.com"]
    assert used and used[0]["requestParameters"]["encryptionContext"] == {"aws:logs:arn": group_arn(account, "/sealed/a")}
    kms.disable_key(KeyId=key)
    refused = "The specified KMS key does not exist or is not allowed to be used with LogGroup"
    for call in (
        lambda: put(logs, "/sealed/a", ["x"], now()),
        lambda: logs.get_log_events(logGroupName="/sealed/a", logStreamName="s"),
        lambda: logs.filter_log_events(logGroupName="/sealed/a"),
    ):
        with raises("InvalidParameterException", 400, refused):
            call()
    kms.enable_key(KeyId=key)
    assert messages(logs.get_log_events(logGroupName="/sealed/a", logStreamName="s")) == ["under the key"]
    # What comes after the key is taken away is not under it; what came before is.
    logs.disassociate_kms_key(logGroupName="/sealed/a")
    assert "kmsKeyId" not in logs.describe_log_groups(logGroupNamePrefix="/sealed/a")["logGroups"][0]
    kms.disable_key(KeyId=key)
    later = now()
    put(logs, "/sealed/a", ["without"], later)
    assert messages(logs.get_log_events(logGroupName="/sealed/a", logStreamName="s", startTime=later)) == ["without"]
    with raises("InvalidParameterException", 400, refused):
        logs.filter_log_events(logGroupName="/sealed/a")
    kms.enable_key(KeyId=key)
    logs.associate_kms_key(resourceIdentifier=group_arn(account, "/sealed/a"), kmsKeyId=key)
    put(logs, "/sealed/a", ["again"], now())
    assert everything(logs, "/sealed/a")[0] == "under the key" and len(everything(logs, "/sealed/a")) == 3


def test_keys_that_cannot_be_used_are_refused(logs, account, group):
    kms = account.client("kms")
    plain = kms.create_key()["KeyMetadata"]
    elsewhere = account.client("kms", region="eu-central-1").create_key()["KeyMetadata"]["Arn"]
    no_decrypt = key_for_logs(account, actions=["kms:DescribeKey"])
    missing = f"arn:aws:kms:{REGION}:{account.id}:key/{uuid.uuid4()}"
    for key in (plain["Arn"], plain["KeyId"], elsewhere, no_decrypt, missing, key_for_logs(account)):
        # The last key's policy is for groups below /sealed only.
        with raises("InvalidParameterException", 400, "The specified KMS key does not exist or is not allowed to be used"):
            logs.associate_kms_key(logGroupName=group, kmsKeyId=key)
    with raises("InvalidParameterException", 400):
        logs.create_log_group(logGroupName="/other", kmsKeyId=plain["Arn"])
    with raises("ResourceNotFoundException", 400, MISSING_GROUP):
        logs.create_log_stream(logGroupName="/other", logStreamName="s")
    with raises("InvalidParameterException"):
        logs.associate_kms_key(resourceIdentifier=f"arn:aws:logs:{REGION}:{account.id}:query-result:*", kmsKeyId=plain["Arn"])
    with raises("InvalidParameterException"):
        logs.associate_kms_key(kmsKeyId=plain["Arn"])


def test_what_is_taken_away_needs_a_group_and_a_permission(logs, account, group):
    nobody = account.user().client("logs")
    for operation, arguments in (
        ("delete_retention_policy", {}),
        ("disassociate_kms_key", {}),
        ("list_tags_log_group", {}),
        ("untag_log_group", {"tags": ["a"]}),
    ):
        with raises("ResourceNotFoundException", 400, MISSING_GROUP):
            getattr(logs, operation)(logGroupName="/missing", **arguments)
        action = "logs:" + "".join(word.capitalize() for word in operation.split("_"))
        assert_denied(lambda: getattr(nobody, operation)(logGroupName=group, **arguments), action, by="identity")


# Tags and policies


def test_tags_by_both_families_of_operations(logs, account, group):
    logs.tag_log_group(logGroupName=group, tags={"a": "1", "b": "2"})
    logs.tag_resource(resourceArn=group_arn(account, group), tags={"b": "3", "c": "4"})
    assert logs.list_tags_log_group(logGroupName=group)["tags"] == {"a": "1", "b": "3", "c": "4"}
    logs.untag_log_group(logGroupName=group, tags=["a"])
    logs.untag_resource(resourceArn=group_arn(account, group), tagKeys=["c", "missing"])
    assert logs.list_tags_for_resource(resourceArn=group_arn(account, group))["tags"] == {"b": "3"}
    with raises("InvalidParameterException"):
        logs.tag_log_group(logGroupName=group, tags={"aws:x": "1"})
    logs.tag_resource(resourceArn=group_arn(account, group), tags={f"k{number}": "" for number in range(49)})
    with raises("TooManyTagsException"):
        logs.tag_resource(resourceArn=group_arn(account, group), tags={"one": "more"})
    with raises("ResourceNotFoundException"):
        logs.list_tags_for_resource(resourceArn=group_arn(account, "/missing"))
    with raises("ResourceNotFoundException"):
        logs.tag_resource(resourceArn=f"arn:aws:logs:{REGION}:{account.id}:destination:x", tags={"a": "b"})


def test_arns_in_policies_end_as_on_aws(account, logs, group, now):
    arn = group_arn(account, group)
    reader = account.user(policy=[allow(["logs:FilterLogEvents", "logs:GetLogEvents", "logs:DescribeLogStreams"], f"{arn}:*")]).client("logs")
    put(logs, group, ["x"], now())
    assert messages(reader.filter_log_events(logGroupName=group)) == ["x"]
    assert messages(reader.get_log_events(logGroupIdentifier=arn, logStreamName="s")) == ["x"]
    reader.describe_log_streams(logGroupName=group)
    assert_denied(lambda: reader.put_retention_policy(logGroupName=group, retentionInDays=1), "logs:PutRetentionPolicy", by="identity")
    bare = account.user(policy=[allow("logs:*", arn)]).client("logs")
    message = assert_denied(lambda: bare.filter_log_events(logGroupName=group), "logs:FilterLogEvents")
    assert f"on resource: {arn}:log-stream: " in message
    assert bare.list_tags_for_resource(resourceArn=arn)["tags"] == {}
    writer = account.user(policy=[allow("logs:PutLogEvents", f"{arn}:log-stream:s")]).client("logs")
    put(writer, group, ["y"], now())
    logs.create_log_stream(logGroupName=group, logStreamName="t")
    assert_denied(lambda: put(writer, group, ["z"], now(), stream="t"), "logs:PutLogEvents")
    tagged = account.user(policy=[allow("logs:DeleteLogGroup", Condition={"StringEquals": {"aws:ResourceTag/team": "a"}})]).client("logs")
    assert_denied(lambda: tagged.delete_log_group(logGroupName=group), "logs:DeleteLogGroup")
    logs.tag_log_group(logGroupName=group, tags={"team": "a"})
    tagged.delete_log_group(logGroupName=group)


def test_policies_of_account_and_group_join_the_decision(account, logs, group, now):
    user = account.user()
    arn = group_arn(account, group)
    statement = allow(["logs:PutLogEvents"], f"{arn}:*", Principal={"AWS": user.user_arn()})
    client = user.client("logs")
    assert_denied(lambda: put(client, group, ["x"], now()), "logs:PutLogEvents")
    made = logs.put_resource_policy(policyName="writers", policyDocument=document(statement))
    assert made["resourcePolicy"]["policyName"] == "writers" and made["revisionId"]
    put(client, group, ["x"], now())
    of_group = logs.put_resource_policy(
        resourceArn=arn, policyDocument=document(deny("logs:PutLogEvents", f"{arn}:*", Principal={"AWS": user.user_arn()}))
    )
    assert_denied(lambda: put(client, group, ["x"], now()), "logs:PutLogEvents", by="resource", explicit=True)
    assert [item["policyName"] for item in logs.describe_resource_policies()["resourcePolicies"]] == ["writers"]
    shown = logs.describe_resource_policies(policyScope="RESOURCE", resourceArn=arn)["resourcePolicies"]
    assert [(item["resourceArn"], item["policyScope"]) for item in shown] == [(arn, "RESOURCE")]
    with raises("OperationAbortedException"):
        logs.delete_resource_policy(resourceArn=arn, expectedRevisionId="other")
    logs.delete_resource_policy(resourceArn=arn, expectedRevisionId=of_group["revisionId"])
    put(client, group, ["x"], now())
    logs.delete_resource_policy(policyName="writers")
    assert_denied(lambda: put(client, group, ["x"], now()), "logs:PutLogEvents")
    with raises("ResourceNotFoundException", 400, r"Policy with name \[writers\] does not exist"):
        logs.delete_resource_policy(policyName="writers")
    for bad in ("{", document(allow("s3:*", "*", Principal="*")), document(allow("logs:*", "*")), "x" * 6000):
        with raises("InvalidParameterException"):
            logs.put_resource_policy(policyName="bad", policyDocument=bad)
    with raises("InvalidParameterException"):
        logs.put_resource_policy(policyDocument=document(statement))
    for number in range(10):
        logs.put_resource_policy(policyName=f"p{number}", policyDocument=document(statement))
    with raises("LimitExceededException"):
        logs.put_resource_policy(policyName="p10", policyDocument=document(statement))


def test_other_accounts_need_a_policy_of_the_group(account, other_account, logs, group, now):
    arn = group_arn(account, group)
    put(logs, group, ["x"], now())
    foreign = other_account.client("logs")
    assert_denied(lambda: foreign.get_log_events(logGroupIdentifier=arn, logStreamName="s"), "logs:GetLogEvents")
    with raises("ResourceNotFoundException", 400, MISSING_GROUP):
        foreign.get_log_events(logGroupName=group, logStreamName="s")


# Evidence and durability


def test_messages_are_in_no_event(account, logs, group, now):
    secret = f"canary-{uuid.uuid4().hex}"
    answer = put(logs, group, [secret], now())
    logs.test_metric_filter(filterPattern="x", logEventMessages=[secret])
    everything(logs, group)
    [event] = account.events_of(request_id(answer))
    assert event["requestParameters"] == {"logGroupName": group, "logStreamName": "s"}
    assert (event["eventCategory"], event["managementEvent"], event["eventSource"]) == ("Data", False, "logs.amazonaws.com")
    assert event["resources"][0]["ARN"].startswith(group_arn(account, group))
    assert secret not in json.dumps(account.events())


def test_what_was_put_is_there_after_a_kill_and_nowhere_in_the_clear(start_server):
    server = start_server("--store", "redb")
    home = Account.home(server)
    logs = home.client("logs")
    name, secret = "/durable", f"canary-{uuid.uuid4().hex}"
    logs.create_log_group(logGroupName=name)
    logs.create_log_stream(logGroupName=name, logStreamName="s")
    time_ms = int(time.time() * 1000)
    put(logs, name, [f"{secret} {number}" for number in range(5)], time_ms)
    token = logs.get_log_events(logGroupName=name, logStreamName="s")["nextForwardToken"]
    server.kill()
    for file in server.data_dir.rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes(), file
    root = server.root
    server.launch("--store", "redb")
    server.root = root
    logs = Account.home(server).client("logs")
    assert everything(logs, name) == [f"{secret} {number}" for number in range(5)]
    assert logs.get_log_events(logGroupName=name, logStreamName="s", nextToken=token)["nextForwardToken"] == token


# What nobody can have here, with the list's name in the answer.
ABSENT = [
    ("describe_metric_filters", {}, "metricFilters"),
    ("describe_metric_filters", {"logGroupName": "g", "metricName": "m", "metricNamespace": "n"}, "metricFilters"),
    ("describe_subscription_filters", {"logGroupName": "g"}, "subscriptionFilters"),
    ("describe_destinations", {}, "destinations"),
    ("describe_export_tasks", {"statusCode": "RUNNING"}, "exportTasks"),
    ("describe_query_definitions", {}, "queryDefinitions"),
    ("describe_queries", {"logGroupName": "g"}, "queries"),
    ("describe_account_policies", {"policyType": "DATA_PROTECTION_POLICY"}, "accountPolicies"),
    ("describe_deliveries", {}, "deliveries"),
    ("describe_delivery_sources", {}, "deliverySources"),
    ("describe_delivery_destinations", {}, "deliveryDestinations"),
    ("describe_index_policies", {"logGroupIdentifiers": ["g"]}, "indexPolicies"),
    ("list_log_anomaly_detectors", {}, "anomalyDetectors"),
]


@pytest.mark.parametrize(("operation", "parameters", "member"), ABSENT)
def test_what_nobody_has_is_an_empty_list(account, logs, assert_denied, operation, parameters, member):
    logs.create_log_group(logGroupName="g")
    answer = getattr(logs, operation)(**parameters)
    assert answer[member] == [] and "nextToken" not in answer
    with raises("InvalidParameterException", 400, "The specified nextToken is invalid."):
        getattr(logs, operation)(**parameters, nextToken="never-issued")
    assert_denied(lambda: getattr(account.user().client("logs"), operation)(**parameters), by="identity")


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("describe_metric_filters", {"logGroupName": "none"}),
        ("describe_subscription_filters", {"logGroupName": "none"}),
        ("describe_queries", {"logGroupName": "none"}),
        ("describe_index_policies", {"logGroupIdentifiers": ["none"]}),
        ("get_data_protection_policy", {"logGroupIdentifier": "none"}),
        ("delete_metric_filter", {"logGroupName": "none", "filterName": "f"}),
        ("delete_metric_filter", {"logGroupName": "g", "filterName": "f"}),
        ("delete_subscription_filter", {"logGroupName": "g", "filterName": "f"}),
        ("delete_destination", {"destinationName": "d"}),
        ("delete_query_definition", {"queryDefinitionId": "0f0f0f0f-0000-4000-8000-000000000000"}),
    ],
)
def test_settings_of_nothing_are_not_found(logs, operation, parameters):
    logs.create_log_group(logGroupName="g")
    with raises("ResourceNotFoundException", 400, "^The specified [a-z ]+ does not exist.$"):
        getattr(logs, operation)(**parameters)


def test_a_group_without_a_data_protection_policy_is_answered_with_its_name(logs):
    logs.create_log_group(logGroupName="g")
    answer = logs.get_data_protection_policy(logGroupIdentifier="g")
    assert answer["logGroupIdentifier"] == "g" and "policyDocument" not in answer
    with raises("InvalidParameterException", 400):
        logs.describe_metric_filters(metricName="m")


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("start_query", {"logGroupName": "g", "startTime": 1, "endTime": 2, "queryString": "fields @message"}),
        (
            "put_metric_filter",
            {"logGroupName": "g", "filterName": "f", "filterPattern": "", "metricTransformations": [{"metricName": "m", "metricNamespace": "n", "metricValue": "1"}]},
        ),
        ("put_destination", {"destinationName": "d", "targetArn": "arn:aws:kinesis:us-east-1:111111111111:stream/s", "roleArn": "arn:aws:iam::111111111111:role/r"}),
        ("create_export_task", {"logGroupName": "g", "fromTime": 1, "to": 2, "destination": "bucket"}),
        ("put_query_definition", {"name": "q", "queryString": "fields @message"}),
        ("put_account_policy", {"policyName": "p", "policyDocument": "{}", "policyType": "DATA_PROTECTION_POLICY"}),
        ("put_data_protection_policy", {"logGroupIdentifier": "g", "policyDocument": "{}"}),
        ("put_index_policy", {"logGroupIdentifier": "g", "policyDocument": "{}"}),
        ("create_log_anomaly_detector", {"logGroupArnList": ["arn:aws:logs:us-east-1:111111111111:log-group:g"]}),
        ("put_subscription_filter", {"logGroupName": "g", "filterName": "f", "filterPattern": "", "destinationArn": "arn:aws:lambda:us-east-1:111111111111:function:f"}),
    ],
)
def test_what_is_not_done_says_so(logs, operation, parameters):
    with raises("NotImplemented", 501):
        getattr(logs, operation)(**parameters)
