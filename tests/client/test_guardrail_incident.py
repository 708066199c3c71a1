"""What was screened can be told later, without the text."""

import hashlib
import json

import pytest

from bailiwick_server import Account, document, request_id
from test_bedrock import MODEL, QUESTION, config, definition, user

CANARY = "canary-51c2 a forbidden word"


@pytest.fixture
def guardrail(account):
    return account.client("bedrock").create_guardrail(**definition())


def screenings(account, answer):
    events = account.events_of(request_id(answer))
    return [item for event in events for item in (event.get("additionalEventData") or {}).get("guardrailScreenings", [])]


def test_events_hold_hashes_and_places_of_what_was_screened(account, guardrail):
    runtime = account.client("bedrock-runtime")
    answer = runtime.converse(modelId=MODEL, messages=user(CANARY), guardrailConfig=config(guardrail))
    [screening] = screenings(account, answer)
    assert (screening["decision"], screening["direction"], screening["guardrailVersion"]) == ("BLOCKED", "INPUT", "DRAFT")
    assert screening["guardrailArn"] == guardrail["guardrailArn"] and screening["origins"] == ["REQUEST"]
    assert screening["contentSha256"] == [hashlib.sha256(CANARY.encode()).hexdigest()]
    begin = CANARY.index("forbidden")
    assert [finding for finding in screening["findings"] if finding["policy"] == "word"] == [
        {"policy": "word", "type": "CUSTOM", "action": "BLOCKED", "span": {"segment": 0, "begin": begin, "end": begin + len("forbidden")}}
    ]
    masked = runtime.converse(modelId=MODEL, messages=user(QUESTION), guardrailConfig=config(guardrail))
    decisions = [(item["direction"], item["decision"]) for item in screenings(account, masked)]
    assert decisions == [("INPUT", "NONE"), ("OUTPUT", "MASKED")]
    assert "canary" not in json.dumps(account.events()) and "jane.doe" not in json.dumps(account.events())


def test_the_end_of_a_stream_has_an_event_of_its_own(account, guardrail):
    runtime = account.client("bedrock-runtime")
    answer = runtime.converse_stream(modelId=MODEL, messages=user(QUESTION), guardrailConfig=config(guardrail))
    list(answer["stream"])
    events = account.events_of(request_id(answer))
    assert sorted((event["eventName"], event["eventType"]) for event in events) == [
        ("ConverseStream", "AwsApiCall"),
        ("GuardrailStreamScreening", "AwsServiceEvent"),
    ]
    [late] = [event for event in events if event["eventType"] == "AwsServiceEvent"]
    assert [item["decision"] for item in late["additionalEventData"]["guardrailScreenings"]] == ["MASKED"]


def test_the_command_tells_the_story(bailiwick, command):
    home = Account.home(bailiwick)
    made = home.client("bedrock").create_guardrail(**definition(name="incident"))
    answer = home.client("bedrock-runtime").converse(modelId=MODEL, messages=user(CANARY), guardrailConfig=config(made))
    told = command("incident", request_id(answer))
    assert told.returncode == 0, told.stderr
    for part in ("BLOCKED", MODEL, made["guardrailArn"], "word CUSTOM BLOCKED at text 0 bytes", "sha256 ", ":root"):
        assert part in told.stdout, told.stdout
    assert "forbidden" not in told.stdout
    shown = json.loads(command("incident", request_id(answer), "--output", "json").stdout)
    assert shown["decision"] == "BLOCKED" and shown["operation"] == "Converse"
    assert command("incident", "00000000-0000-4000-8000-000000000000").returncode == 1


def test_replay_shows_which_verdicts_change(bailiwick, command):
    home = Account.home(bailiwick)
    s3, bedrock, runtime = home.client("s3"), home.client("bedrock"), home.client("bedrock-runtime")
    bucket = f"replay-{home.id}"
    s3.create_bucket(Bucket=bucket)
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "bedrock.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=document(statement))
    bedrock.put_model_invocation_logging_configuration(
        loggingConfig={"s3Config": {"bucketName": bucket, "keyPrefix": "log"}, "textDataDeliveryEnabled": True}
    )
    made = bedrock.create_guardrail(**definition(name="replayed"))
    bedrock.create_guardrail_version(guardrailIdentifier=made["guardrailId"])
    changes = runtime.converse(modelId=MODEL, messages=user("tell me about the merger"))
    stays = runtime.converse(modelId=MODEL, messages=user("a forbidden word"))
    bailiwick.control("POST", "/_bailiwick/trail/flush")
    words = {"wordsConfig": [{"text": "forbidden"}, {"text": "merger"}]}
    bedrock.update_guardrail(guardrailIdentifier=made["guardrailId"], **definition(name="replayed", wordPolicyConfig=words))
    told = command("guardrail", "replay", "--draft", made["guardrailId"], "--since", "7d", "--output", "json")
    assert told.returncode == 0, told.stderr
    rows = {row["REQUEST"]: row for row in json.loads(told.stdout)}
    assert set(rows) == {request_id(changes)}
    row = rows[request_id(changes)]
    assert (row["BEFORE"], row["DRAFT"], row["FOUND BY DRAFT"]) == ("NONE", "BLOCKED", "CUSTOM_WORD")
    whole = command("guardrail", "replay", "--draft", made["guardrailId"], "--all", "--output", "json")
    assert {row["REQUEST"] for row in json.loads(whole.stdout)} >= {request_id(changes), request_id(stays)}
    assert command("guardrail", "replay", "--draft", made["guardrailId"], "--since", "soon").returncode == 2
    bedrock.delete_model_invocation_logging_configuration()
