"""Guarded calls with what nobody should send: a typed error or an answer, never an unguarded one."""

import json

import botocore.exceptions
import pytest

from bailiwick_server import raises
from test_bedrock import MODEL, config, definition, streamed, user


@pytest.fixture
def bedrock(account):
    return account.client("bedrock")


@pytest.fixture
def runtime(account):
    return account.client("bedrock-runtime")


@pytest.fixture
def guardrail(bedrock):
    made = bedrock.create_guardrail(**definition(tags=[{"key": "bailiwick:screen-tools", "value": "on"}]))
    return config(made)


def test_more_text_than_a_guardrail_takes_fails_the_call(runtime, guardrail):
    long = "lorem ipsum " * 100_000
    with raises("ValidationException", 400, "cannot assess"):
        runtime.converse(modelId=MODEL, messages=user(long), guardrailConfig=guardrail)
    with raises("ValidationException", 400, "cannot assess"):
        runtime.converse_stream(modelId=MODEL, messages=user(long), guardrailConfig=guardrail)
    with raises("ValidationException", 400, "cannot assess"):
        runtime.apply_guardrail(**guardrail, source="INPUT", content=[{"text": {"text": long}}])


def test_many_messages_are_all_looked_at(runtime, guardrail):
    turns = [{"role": "user" if number % 2 == 0 else "assistant", "content": [{"text": "ok"}]} for number in range(2_001)]
    assert runtime.converse(modelId=MODEL, messages=turns, guardrailConfig=guardrail)["stopReason"] == "end_turn"
    turns[1_000]["content"][0]["text"] = "a forbidden word"
    assert runtime.converse(modelId=MODEL, messages=turns, guardrailConfig=guardrail)["stopReason"] == "guardrail_intervened"


def test_a_deeply_nested_tool_is_looked_at(runtime, guardrail):
    schema = {"description": "a forbidden word"}
    for _ in range(40):
        schema = {"type": "object", "properties": {"inner": schema}}
    tools = {"tools": [{"toolSpec": {"name": "deep", "inputSchema": {"json": schema}}}]}
    answer = runtime.converse(modelId=MODEL, messages=user("hi"), toolConfig=tools, guardrailConfig=guardrail)
    assert answer["stopReason"] == "guardrail_intervened"


@pytest.mark.parametrize("text", ["\u200b\u202e\ufeff", "\U0001f600" * 500, "\x00\x01", "e\u0301" * 300, "a" * 5_000])
def test_odd_characters_go_through_whole(runtime, guardrail, text):
    whole = runtime.converse(modelId=MODEL, messages=user(text), guardrailConfig=guardrail)
    _, shown, _, _ = streamed(runtime.converse_stream(modelId=MODEL, messages=user(text), guardrailConfig=guardrail))
    assert shown == "".join(block["text"] for block in whole["output"]["message"]["content"])


def test_a_guardrail_that_is_gone_fails_the_call(bedrock, runtime, guardrail):
    answer = runtime.converse_stream(modelId=MODEL, messages=user("hello " * 200), guardrailConfig=guardrail)
    bedrock.delete_guardrail(guardrailIdentifier=guardrail["guardrailIdentifier"])
    # A stream that has begun keeps the guardrail that it began with.
    assert streamed(answer)[2] == "end_turn"
    with raises("ValidationException", 400, "does not exist"):
        runtime.converse(modelId=MODEL, messages=user("x"), guardrailConfig=guardrail)
    with raises("ValidationException", 400, "does not exist"):
        runtime.converse_stream(modelId=MODEL, messages=user("x"), guardrailConfig=guardrail)


@pytest.mark.parametrize("suffix", ["a b", "", "x" * 21, 7])
def test_tags_have_a_sound_suffix(runtime, guardrail, suffix):
    body = {"messages": [{"role": "user", "content": "hi"}], "amazon-bedrock-guardrailConfig": {"tagSuffix": suffix}}
    call = {"guardrailIdentifier": guardrail["guardrailIdentifier"], "guardrailVersion": "DRAFT"}
    if suffix == 7:
        # A suffix that is no text marks nothing: everything is looked at.
        body["messages"][0]["content"] = "a forbidden word"
        answer = json.loads(runtime.invoke_model(modelId=MODEL, body=json.dumps(body), **call)["body"].read())
        assert answer["amazon-bedrock-guardrailAction"] == "INTERVENED"
        return
    with raises("ValidationException", 400, "tagSuffix"):
        runtime.invoke_model(modelId=MODEL, body=json.dumps(body), **call)


def test_a_stream_mode_that_is_not_known_is_refused(runtime, guardrail):
    with pytest.raises((botocore.exceptions.ParamValidationError, botocore.exceptions.ClientError)):
        runtime.converse_stream(modelId=MODEL, messages=user("x"), guardrailConfig={**guardrail, "streamProcessingMode": "later"})
    body = {"messages": [{"role": "user", "content": "hi"}], "amazon-bedrock-guardrailConfig": {"streamProcessingMode": "LATER"}}
    call = {"guardrailIdentifier": guardrail["guardrailIdentifier"], "guardrailVersion": "DRAFT"}
    with raises("ValidationException", 400, "streamProcessingMode"):
        runtime.invoke_model(modelId=MODEL, body=json.dumps(body), **call)
