"""OpenAI's and Anthropic's doors with their own, unmodified clients: keys, guardrails, policies, streams, tools, errors."""

import json
import ssl

import anthropic
import httpx
import openai
import pytest
from langchain_aws import ChatBedrockConverse
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from bailiwick_server import allow, document, key_of
from signed_http import signed_request

MODEL = "bailiwick.embedded-responder-v1"
QUESTION = "Who is the billing contact?"
EMAIL = "jane.doe@example.com"
REGION = "us-east-1"
CHAT = [{"role": "user", "content": "hello"}]
TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


EVERYTHING = document(allow("bedrock:*"))


def trusting(account):
    return ssl.create_default_context(cafile=str(account.server.authority))


@pytest.fixture
def http(account):
    with httpx.Client(verify=trusting(account), timeout=60) as client:
        yield client


def openai_client(account, http, key, **more):
    return openai.OpenAI(base_url=f"{account.server.endpoint}/v1", api_key=key, http_client=http, max_retries=0, **more)


@pytest.fixture
def client(account, http):
    return openai_client(account, http, key_of(account, EVERYTHING))


def anthropic_client(account, key):
    http = anthropic.DefaultHttpxClient(verify=trusting(account))
    return anthropic.Anthropic(base_url=account.server.endpoint, api_key=key, http_client=http, max_retries=0)


@pytest.fixture
def claude(account):
    with anthropic_client(account, key_of(account, EVERYTHING)) as client:
        yield client


def guardrail(account, **more):
    return account.client("bedrock").create_guardrail(
        name="doors",
        blockedInputMessaging="The prompt is blocked.",
        blockedOutputsMessaging="The answer is blocked.",
        wordPolicyConfig={"wordsConfig": [{"text": "forbidden"}]},
        sensitiveInformationPolicyConfig={"piiEntitiesConfig": [{"type": "EMAIL", "action": "ANONYMIZE"}]},
        **more,
    )


def guarded(made):
    return {"X-Amzn-Bedrock-GuardrailIdentifier": made["guardrailId"], "X-Amzn-Bedrock-GuardrailVersion": "DRAFT"}


# OpenAI


def test_openai_answers_streams_and_lists(account, client):
    answer = client.chat.completions.create(model=MODEL, messages=CHAT)
    assert answer.choices[0].message.content.endswith("You said: hello") and answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert answer.object == "chat.completion" and answer.created > 0 and answer._request_id
    chunks = list(client.chat.completions.create(model=MODEL, messages=CHAT, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == answer.choices[0].message.content and chunks[-1].usage.total_tokens == answer.usage.total_tokens
    assert len(chunks) > 5 and chunks[-2].choices[0].finish_reason == "stop"
    silent = list(client.chat.completions.create(model=MODEL, messages=CHAT, stream=True))
    assert all(chunk.usage is None for chunk in silent)
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).owned_by.startswith("Bailiwick")


def test_openai_completions_and_embeddings(client):
    answer = client.completions.create(model=MODEL, prompt="Once upon", max_tokens=50)
    assert "Once upon" in answer.choices[0].text and answer.object == "text_completion"
    pieces = [chunk.choices[0].text for chunk in client.completions.create(model=MODEL, prompt="Once", stream=True)]
    assert "Once" in "".join(pieces) and len(pieces) > 3
    vectors = client.embeddings.create(model=MODEL, input=["a b", "b a", "c"]).data
    assert vectors[0].embedding == vectors[1].embedding != vectors[2].embedding and len(vectors[0].embedding) == 64
    assert len(client.embeddings.create(model=MODEL, input="x", dimensions=8).data[0].embedding) == 8


def test_openai_tools(client):
    asked = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Bern"}], tools=[TOOL], tool_choice="required")
    [call] = asked.choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Bern"})
    assert asked.choices[0].finish_reason == "tool_calls"
    told = client.chat.completions.create(
        model=MODEL,
        messages=[
            {"role": "user", "content": "Bern"},
            asked.choices[0].message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
        ],
        tools=[TOOL],
    )
    assert told.choices[0].message.content == "The tool answered: sunny"
    stream = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Bern"}], tools=[TOOL], tool_choice="required", stream=True
    )
    calls = [chunk.choices[0].delta.tool_calls[0] for chunk in stream if chunk.choices and chunk.choices[0].delta.tool_calls]
    assert calls[0].function.name == "weather"
    assert json.loads("".join(call.function.arguments or "" for call in calls)) == {"city": "Bern"}


def test_openai_with_a_guardrail(account, client):
    made = guardrail(account)
    question = [{"role": "user", "content": QUESTION}]
    assert EMAIL in client.chat.completions.create(model=MODEL, messages=question).choices[0].message.content
    masked = client.chat.completions.create(model=MODEL, messages=question, extra_headers=guarded(made))
    assert "{EMAIL}" in masked.choices[0].message.content and masked.choices[0].finish_reason == "content_filter"
    chunks = list(client.chat.completions.create(model=MODEL, messages=question, stream=True, extra_headers=guarded(made)))
    assert EMAIL not in json.dumps([chunk.model_dump() for chunk in chunks])
    blocked = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "forbidden"}], extra_headers=guarded(made)
    )
    assert blocked.choices[0].message.content == "The prompt is blocked."
    with pytest.raises(openai.BadRequestError, match="guardrail"):
        client.chat.completions.create(model=MODEL, messages=CHAT, extra_headers={"X-Amzn-Bedrock-GuardrailIdentifier": made["guardrailId"]})


RESPONSE_TOOL = {"type": "function", **TOOL["function"], "strict": False}


def test_openai_responses(account, client):
    answer = client.responses.create(model=MODEL, input="hello", instructions="Be brief.", metadata={"a": "b"}, temperature=0.5)
    assert answer.output_text.endswith("You said: hello") and answer.status == "completed" and answer.id.startswith("resp_")
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens > 0
    assert (answer.instructions, answer.metadata, answer.temperature, answer.model) == ("Be brief.", {"a": "b"}, 0.5, MODEL)
    with client.responses.stream(model=MODEL, input=[{"role": "user", "content": "hello"}]) as stream:
        events = list(stream)
        final = stream.get_final_response()
    kinds = [event.type for event in events]
    assert final.output_text == answer.output_text and final.usage.total_tokens > 0 and final.status == "completed"
    assert kinds[:4] == ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"]
    assert kinds[-4:] == ["response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed"]
    assert kinds.count("response.output_text.delta") > 3
    raw = list(client.responses.create(model=MODEL, input="hello", stream=True))
    assert [event.sequence_number for event in raw] == list(range(len(raw)))
    # Tools, and the conversation that goes on with their results.
    asked = client.responses.create(model=MODEL, input="Bern", tools=[RESPONSE_TOOL], tool_choice="required")
    [call] = asked.output
    assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "weather", {"city": "Bern"})
    told = client.responses.create(
        model=MODEL,
        input=[{"role": "user", "content": "Bern"}, call.to_dict(), {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}],
        tools=[RESPONSE_TOOL],
    )
    assert told.output_text == "The tool answered: sunny"
    events = list(client.responses.create(model=MODEL, input="Bern", tools=[RESPONSE_TOOL], tool_choice="required", stream=True))
    [done] = [event for event in events if event.type == "response.function_call_arguments.done"]
    assert json.loads(done.arguments) == {"city": "Bern"} and events[-1].response.output[0].name == "weather"
    # The guardrail stands here, too, and what would have to be kept is refused.
    made = guardrail(account)
    masked = client.responses.create(model=MODEL, input=QUESTION, extra_headers=guarded(made))
    assert "{EMAIL}" in masked.output_text and masked.status == "incomplete" and masked.incomplete_details.reason == "content_filter"
    events = list(client.responses.create(model=MODEL, input=QUESTION, stream=True, extra_headers=guarded(made)))
    assert EMAIL not in json.dumps([event.to_dict() for event in events]) and events[-1].type == "response.incomplete"
    blocked = client.responses.create(model=MODEL, input="forbidden", extra_headers=guarded(made))
    assert blocked.output_text == "The prompt is blocked."
    for more in ({"store": True}, {"previous_response_id": "resp_1"}, {"background": True}, {"tools": [{"type": "web_search"}]}, {"model": "nothing"}, {"input": 1}):
        with pytest.raises(openai.BadRequestError) as raised:
            client.responses.create(**{"model": MODEL, "input": "x", **more})
        assert raised.value.body["message"] and raised.value.body["type"] == "invalid_request_error"
    limited = key_of(account, document(allow("bedrock:CallWithBearerToken")), name="limited")
    with pytest.raises(openai.PermissionDeniedError):
        openai_client(account, client._client, limited).responses.create(model=MODEL, input="x")


def test_openai_errors_have_the_sdks_shape(account, http, client):
    for arguments, error in (
        ({"model": "nothing"}, openai.BadRequestError),
        ({"messages": []}, openai.BadRequestError),
        ({"extra_body": {"n": 2}}, openai.BadRequestError),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}}]}]}, openai.BadRequestError),
    ):
        with pytest.raises(error) as raised:
            client.chat.completions.create(**{"model": MODEL, "messages": CHAT, **arguments})
        assert raised.value.body["message"] and raised.value.body["type"] == "invalid_request_error"
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve("resp_1")
    for key in ("sk-nothing", "ABSK-nothing"):
        with pytest.raises((openai.AuthenticationError, openai.PermissionDeniedError)):
            openai_client(account, http, key).chat.completions.create(model=MODEL, messages=CHAT)
    answer = http.post(f"{account.server.endpoint}/v1/chat/completions", content=b"{", headers={"content-type": "application/json"})
    assert answer.status_code == 401 and answer.json()["error"]["type"] == "authentication_error"
    key = client.api_key
    for content in (b"", b"{", b"[]", b"\xff\xfe"):
        answer = http.post(f"{account.server.endpoint}/v1/chat/completions", content=content, headers={"authorization": f"Bearer {key}"})
        assert answer.status_code == 400 and answer.json()["error"]["message"]


def test_iam_decides_at_the_doors(account, http):
    made = guardrail(account)
    arn = made["guardrailArn"]
    only = document(
        allow("bedrock:CallWithBearerToken"),
        allow("bedrock:InvokeModel*", Condition={"StringEquals": {"bedrock:GuardrailIdentifier": arn}}),
        allow("bedrock:ApplyGuardrail", arn),
    )
    client = openai_client(account, http, key_of(account, only))
    assert client.chat.completions.create(model=MODEL, messages=CHAT, extra_headers=guarded(made)).choices
    with pytest.raises(openai.PermissionDeniedError, match="bedrock:InvokeModel"):
        client.chat.completions.create(model=MODEL, messages=CHAT)
    with pytest.raises(openai.PermissionDeniedError, match="bedrock:InvokeModelWithResponseStream"):
        client.chat.completions.create(model=MODEL, messages=CHAT, stream=True)
    with pytest.raises(openai.PermissionDeniedError, match="bedrock:ListFoundationModels"):
        client.models.list()
    events = account.events(EventName="InvokeModel")
    assert any(event.get("errorCode", "").startswith("AccessDenied") for event in events)
    assert "hello" not in json.dumps(events) and any(not event.get("errorCode") for event in events)


def test_signatures_open_the_doors_too(account):
    body = json.dumps({"model": MODEL, "messages": CHAT}).encode()
    host = f"{account.server.host}:{account.server.port}"
    request = signed_request(account.credentials, "bedrock", "POST", "/v1/chat/completions", region=REGION, host=host, body=body, ahead_ms=account.server.ahead_ms)
    answer = request.send(account.server)
    assert answer.status == 200 and json.loads(answer.body)["choices"][0]["message"]["content"].endswith("hello")
    request = signed_request(account.credentials, "bedrock", "POST", "/v1/chat/completions", region=REGION, host=host, body=body, ahead_ms=account.server.ahead_ms)
    request.body = body.replace(b"hello", b"other")
    assert request.send(account.server).status in (401, 403)


# Anthropic


def test_anthropic_answers_streams_and_counts(claude):
    answer = claude.messages.create(model=MODEL, max_tokens=200, system="Be brief.", messages=CHAT)
    assert answer.content[0].text.endswith("You said: hello") and answer.stop_reason == "end_turn" and answer.usage.output_tokens > 0
    with claude.messages.stream(model=MODEL, max_tokens=200, messages=CHAT) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == answer.content[0].text == final.content[0].text and final.usage.output_tokens == answer.usage.output_tokens
    assert claude.messages.count_tokens(model=MODEL, messages=CHAT).input_tokens == 2
    # What the protocol documents is taken, too.
    more = {"thinking": {"type": "disabled"}, "extra_body": {"top_k": 5}}
    assert claude.messages.create(model=MODEL, max_tokens=200, messages=CHAT, **more).stop_reason == "end_turn"


def test_anthropic_tools_and_errors(account, claude):
    tools = [{"name": "weather", "input_schema": TOOL["function"]["parameters"]}]
    asked = claude.messages.create(model=MODEL, max_tokens=200, messages=[{"role": "user", "content": "Bern"}], tools=tools, tool_choice={"type": "any"})
    assert asked.stop_reason == "tool_use" and asked.content[0].input == {"city": "Bern"}
    with claude.messages.stream(
        model=MODEL, max_tokens=200, messages=[{"role": "user", "content": "Bern"}], tools=tools, tool_choice={"type": "any"}
    ) as stream:
        assert stream.get_final_message().content[0].input == {"city": "Bern"}
    with pytest.raises(anthropic.BadRequestError) as raised:
        claude.messages.create(model="nothing", max_tokens=1, messages=CHAT)
    assert raised.value.body["error"]["type"] == "invalid_request_error"
    with anthropic_client(account, "nothing") as stranger, pytest.raises((anthropic.AuthenticationError, anthropic.PermissionDeniedError)):
        stranger.messages.create(model=MODEL, max_tokens=1, messages=CHAT)


def test_anthropic_with_a_guardrail(account, claude):
    made = guardrail(account)
    masked = claude.messages.create(
        model=MODEL, max_tokens=200, messages=[{"role": "user", "content": QUESTION}], extra_headers=guarded(made)
    )
    assert "{EMAIL}" in masked.content[0].text and EMAIL not in masked.content[0].text


# LangChain


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return city


def test_langchain_openai(account, http):
    key = key_of(account, EVERYTHING)
    model = ChatOpenAI(model=MODEL, base_url=f"{account.server.endpoint}/v1", api_key=key, http_client=http, max_retries=0, stream_usage=True)
    answer = model.invoke([HumanMessage("hello")])
    assert answer.content.endswith("hello") and answer.usage_metadata["total_tokens"] > 0
    pieces = list(model.stream([HumanMessage("hello")]))
    assert "".join(piece.content for piece in pieces) == answer.content and len(pieces) > 3
    called = model.bind_tools([weather], tool_choice="any").invoke([HumanMessage("Bern")])
    assert called.tool_calls[0]["args"] == {"city": "Bern"}
    embeddings = OpenAIEmbeddings(
        model=MODEL, base_url=f"{account.server.endpoint}/v1", api_key=key, http_client=http, check_embedding_ctx_length=False
    )
    assert len(embeddings.embed_query("hello")) == 64


def test_langchain_aws(account):
    model = ChatBedrockConverse(
        model=MODEL,
        provider="bailiwick",
        client=account.client("bedrock-runtime"),
        bedrock_client=account.client("bedrock"),
        disable_streaming=False,
    )
    answer = model.invoke([HumanMessage("hello")])
    text = answer.content if isinstance(answer.content, str) else answer.content[0]["text"]
    assert text.endswith("hello") and answer.usage_metadata["total_tokens"] > 0
    pieces = list(model.stream([HumanMessage("hello")]))
    assert len(pieces) > 3
    called = model.bind_tools([weather]).invoke([HumanMessage("weather in Bern")])
    assert called.tool_calls[0]["name"] == "weather"
