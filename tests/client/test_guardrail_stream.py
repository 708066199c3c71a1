"""The bytes of guarded streams: a recorded one is read by botocore, and what a server sends has the same form."""

import json
import pathlib

from botocore.eventstream import EventStreamBuffer

SNAPSHOT = pathlib.Path(__file__).parents[2] / "services/bedrock/src/runtime/snapshots/bedrock__runtime__converse_stream__tests__golden_frames.snap"


def frames():
    text = SNAPSHOT.read_text().split("---\n", 2)[2]
    return [bytes.fromhex(line) for line in text.split()]


def test_recorded_frames_are_read_by_botocore():
    buffer = EventStreamBuffer()
    # Byte by byte, as a slow network gives them.
    for byte in b"".join(frames()):
        buffer.add_data(bytes([byte]))
    messages = list(buffer)
    kinds = [message.headers.get(":event-type") or message.headers[":exception-type"] for message in messages]
    assert kinds == [
        "messageStart",
        "contentBlockDelta",
        "contentBlockStop",
        "contentBlockStart",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "validationException",
    ]
    assert json.loads(messages[1].payload) == {"contentBlockIndex": 0, "delta": {"text": "Write to {EMAIL}, é 😀."}}
    assert messages[6].payload.decode() == '{"stopReason":"guardrail_intervened"}'
    assert messages[7].headers[":message-type"] == "exception"
    assert all(message.headers[":content-type"] == "application/json" for message in messages)


def test_a_changed_byte_is_noticed():
    first = bytearray(frames()[0])
    first[-6] ^= 1
    buffer = EventStreamBuffer()
    buffer.add_data(bytes(first))
    try:
        next(buffer)
    except Exception as error:  # botocore's checksum error has no public base
        assert "hecksum" in str(error)
    else:
        raise AssertionError("a changed frame was read")
