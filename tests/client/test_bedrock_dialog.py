"""Events in both directions over HTTP/2: signed one by one, decided and guarded like every model call."""

import contextlib
import json
import time

from bailiwick_server import allow, deny
from event_channel import EventChannel

MODEL = "bailiwick.embedded-responder-v1"
START = [
    {"sessionStart": {"inferenceConfiguration": {"maxTokens": 200, "temperature": 0.5}}},
    {"promptStart": {"promptName": "p", "textOutputConfiguration": {"mediaType": "text/plain"}}},
]
END = [{"promptEnd": {"promptName": "p"}}, {"sessionEnd": {}}]


def said(text, role="USER", name=None, **more):
    place = {"promptName": "p", "contentName": name or f"{role}-{text}"}
    return [
        {"contentStart": {**place, "type": "TEXT", "role": role, "interactive": True, "textInputConfiguration": {"mediaType": "text/plain"}, **more}},
        {"textInput": {**place, "content": text}},
        {"contentEnd": place},
    ]


@contextlib.contextmanager
def channel(account, credentials=None, model=MODEL, **more):
    opened = EventChannel(account.server, credentials or account.credentials, model, **more)
    try:
        yield opened
    finally:
        opened.close()


def text_of(events):
    return "".join(event["textOutput"]["content"] for event in events if "textOutput" in event)


def test_a_conversation_goes_both_ways(account):
    with channel(account) as talk:
        talk.speak(*START, *said("Be brief.", "SYSTEM"), *said("one"))
        first = talk.hear("completionEnd")
        kinds = [next(iter(event)) for event in first]
        assert kinds[:2] == ["completionStart", "contentStart"] and kinds[-3:] == ["contentEnd", "usageEvent", "completionEnd"]
        assert text_of(first).endswith("You said: one") and kinds.count("textOutput") > 3
        assert first[1]["contentStart"]["role"] == "ASSISTANT" and first[-3]["contentEnd"]["stopReason"] == "END_TURN"
        assert first[-2]["usageEvent"]["totalTokens"] > 0 and {event[kind]["promptName"] for event, kind in zip(first, kinds)} == {"p"}
        # The answer came before the stream of the questions ended.
        assert talk.status == 200 and not talk.is_over
        talk.speak(*said("two"))
        assert text_of(talk.hear("completionEnd")).endswith("You said: two")
        talk.speak(*END)
        talk.end()
        assert talk.hear() == []
    events = account.events(EventName="ConverseStream")
    assert len(events) == 2 and all(event["userIdentity"].get("invokedBy") == "bedrock.amazonaws.com" for event in events)
    [opened] = account.events(EventName="InvokeModelWithBidirectionalStream")
    assert opened["requestParameters"]["modelId"] == MODEL and "You said" not in json.dumps(events)


def test_each_event_is_signed(account):
    """What is forged, repeated, left out, unsigned or of another time ends the stream, and nothing of it is asked."""
    start = [EventChannel.chunk({"event": event}) for event in START]
    turn = [EventChannel.chunk({"event": event}) for event in said("forged")]

    def forged(talk):
        frames = [talk.sign(part) for part in turn]
        return [*frames[:1], talk.sign(turn[1]), *frames[2:]]

    def swapped(talk):
        frames = [talk.sign(part) for part in turn]
        return [frames[1], frames[0], frames[2]]

    def left_out(talk):
        return [talk.sign(part) for part in turn][1:]

    def repeated(talk):
        frame = talk.sign(turn[0])
        return [frame, frame, *(talk.sign(part) for part in turn[1:])]

    def bare(talk):
        return turn

    def late(talk):
        return [talk.sign(part, date_ms=1) for part in turn]

    def stale(talk):
        return [talk.sign(part, date_ms=int(time.time() * 1000) + talk.ahead_ms - 3600_000) for part in turn]

    def altered(talk):
        frames = b"".join(talk.sign(part) for part in turn)
        return [frames[:-40] + bytes([frames[-40] ^ 1]) + frames[-39:]]

    for make in (forged, swapped, left_out, repeated, bare, late, stale, altered):
        with channel(account) as talk:
            for part in start:
                talk.send(talk.sign(part))
            for part in make(talk):
                talk.send(part)
            heard = talk.hear()
            assert len(heard) == 1 and heard[0]["exception"][0] == "validationException", (make.__name__, heard)
    assert account.events(EventName="ConverseStream") == []
    # The request's own signature.
    wrong = account.credentials.__class__(account.credentials.access_key_id, "x" * 40)
    with channel(account, wrong) as talk:
        assert talk.answer()[0] == 403
    with channel(account, **{"x-amz-content-sha256": "0" * 64}) as talk:
        talk.end()
        assert talk.answer()[0] in (400, 403)


def test_it_is_decided_and_guarded(account):
    model = f"arn:aws:bedrock:us-east-1::foundation-model/{MODEL}"
    denied = account.user(policy=allow("bedrock:InvokeModel", model))
    with channel(account, denied.credentials) as talk:
        talk.end()
        status, body = talk.answer()
        assert status == 403 and "bedrock:InvokeModelWithResponseStream" in body["message"]
    with channel(account, model="no.such-model") as talk:
        talk.end()
        assert talk.answer()[0] == 400
    # Who loses the permission in the middle is refused with the next turn.
    user = account.user(policy=allow("bedrock:InvokeModelWithResponseStream", model))
    with channel(account, user.credentials) as talk:
        talk.speak(*START, *said("one"))
        assert text_of(talk.hear("completionEnd")).endswith("one")
        policy = json.dumps({"Version": "2012-10-17", "Statement": [deny("bedrock:*")]})
        account.client("iam").put_user_policy(UserName=user.user_name, PolicyName="no", PolicyDocument=policy)
        talk.speak(*said("two"))
        [refused] = talk.hear()
        assert refused["exception"][0] == "validationException" and "not authorized" in refused["exception"][1]
    bedrock = account.client("bedrock")
    made = bedrock.create_guardrail(
        name="dialog", blockedInputMessaging="Blocked in.", blockedOutputsMessaging="Blocked out.", wordPolicyConfig={"wordsConfig": [{"text": "forbidden"}]}
    )
    version = bedrock.create_guardrail_version(guardrailIdentifier=made["guardrailId"])["version"]
    bedrock.put_enforced_guardrail_configuration(
        guardrailInferenceConfig={"guardrailIdentifier": made["guardrailId"], "guardrailVersion": version}
    )
    with channel(account) as talk:
        talk.speak(*START, *said("a forbidden word"))
        heard = talk.hear("completionEnd")
        assert text_of(heard) == "Blocked in." and heard[-1]["completionEnd"]["stopReason"] == "GUARDRAIL_INTERVENED"


def test_what_carries_no_text_is_refused(account):
    place = {"promptName": "p", "contentName": "a"}
    for events, words in (
        ([START[0], {"promptStart": {"promptName": "p", "audioOutputConfiguration": {"mediaType": "audio/lpcm"}}}], "audio"),
        ([*START, {"contentStart": {**place, "type": "AUDIO", "role": "USER"}}], "audio"),
        ([*START, {"audioInput": {**place, "content": "AAAA"}}], "audio"),
        ([*START, {"contentStart": {**place, "type": "TOOL", "role": "TOOL"}}], "TOOL"),
        ([{"promptStart": {"promptName": "p"}}], "sessionStart"),
        ([*START, {"robotInput": {**place}}], "robotInput"),
    ):
        with channel(account) as talk:
            talk.speak(*events)
            [refused] = talk.hear()
            assert refused["exception"][0] == "validationException" and words in refused["exception"][1], refused
    # Cut off without the last event: nothing was left out unseen.
    with channel(account) as talk:
        talk.speak(*START)
        talk.send(b"", end=True)
        [refused] = talk.hear()
        assert refused["exception"][0] == "validationException"
    for body in (b"garbage" * 10, b"\x00" * 40):
        with channel(account) as talk:
            talk.send(body)
            assert talk.hear()[0]["exception"][0] == "validationException"
