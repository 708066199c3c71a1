"""A model server whose behaviour stands in the last message: it answers, or fails in every way that a real one does.

`FakeUpstream.start(kind)` speaks OpenAI's protocol (`openai`), Anthropic's (`anthropic`) or Bedrock's (`bedrock`). What it was asked is in
`requests`. The last message of the user is a script: `say TEXT`, `status N`, `slow`, `malformed`, `die`, `half emoji`, `short`, `long`,
`redirect URL`, `tool NAME`, or anything else, which is repeated. `fail N` fails N times and then answers.
"""

import http.server
import json
import struct
import threading
import zlib

# Longest wait for a test to open the gate: longer than a slow machine needs, shorter than an upstream's time limit.
GATE_S = 100


class FakeUpstream:
    @classmethod
    def start(cls, kind="openai", models=("fake-1",), key=None):
        made = cls()
        made.kind, made.models, made.key, made.requests, made.failures = kind, models, key, [], {}
        made.gate, made.is_broken = threading.Event(), False
        handler = type("Handler", (Handler,), {"upstream": made})
        made.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        made.server.daemon_threads = True
        threading.Thread(target=made.server.serve_forever, daemon=True).start()
        made.url = f"http://127.0.0.1:{made.server.server_port}" + ("/v1" if kind == "openai" else "")
        return made

    def stop(self):
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()


def frame(event, payload, kind="event"):
    def header(name, value):
        return bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()

    headers = header(f":{kind}-type", event) + header(":message-type", kind) + header(":content-type", "application/json")
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", len(headers) + len(body) + 16, len(headers))
    whole = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + body
    return whole + struct.pack(">I", zlib.crc32(whole))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream = None

    def log_message(self, *_):
        pass

    def reply(self, status, body, content_type="application/json", length=None, headers=()):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body) if length is None else length))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = length is not None

    def do_GET(self):
        data = [{"id": model, "object": "model", "owned_by": "fake"} for model in self.upstream.models]
        self.reply(200, {"object": "list", "data": data})

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}")
        seen = {"path": self.path, "headers": dict(self.headers), "body": request, "is_broken": self.upstream.is_broken}
        self.upstream.requests.append(seen)
        offered = self.headers.get("x-api-key") or (self.headers.get("authorization") or "").removeprefix("Bearer ")
        if self.upstream.key and offered != self.upstream.key:
            return self.reply(401, {"error": {"message": "who are you"}})
        if "lora_adapter" in self.path:
            return self.reply(500 if self.upstream.is_broken else 200, {})
        if self.path.endswith("/embeddings"):
            # Last first: the index says which is whose.
            data = [{"index": index, "embedding": [float(len(text)), 1.0]} for index, text in enumerate(request["input"])][::-1]
            return self.reply(200, {"data": data, "usage": {"prompt_tokens": 7, "total_tokens": 7}})
        if self.path.endswith(("count_tokens", "count-tokens", "/tokenize")):
            return self.reply(200, {"input_tokens": 42, "inputTokens": 42, "count": 42})
        self.script(request, self.script_of(request))

    @staticmethod
    def script_of(request):
        if "messages" not in request:
            return request.get("prompt", "")
        content = request["messages"][-1]["content"]
        texts = [content] if isinstance(content, str) else [part["text"] for part in content if "text" in part]
        return texts[-1] if texts else ""

    def script(self, request, script):
        verb, _, rest = script.partition(" ")
        if self.upstream.is_broken:
            return self.reply(500, {"error": {"message": "broken"}})
        if verb == "status":
            return self.reply(int(rest), {"error": {"message": "told so"}})
        if verb == "fail":
            self.upstream.failures[script] = self.upstream.failures.get(script, 0) + 1
            if self.upstream.failures[script] <= int(rest):
                return self.reply(500, {"error": {"message": "not yet"}})
        if verb == "redirect":
            return self.reply(302, b"", headers=[("location", rest)])
        if verb == "slow":
            self.upstream.gate.wait(GATE_S)
        if verb == "hang" and not request.get("stream"):
            return self.upstream.gate.wait(GATE_S)
        streams = request.get("stream") or "stream" in self.path
        text = rest if verb == "say" else script
        getattr(self, self.upstream.kind)(request, verb, rest, text, streams)

    def stream(self, parts, content_type="text/event-stream"):
        self.send_response(200)
        self.send_header("content-type", content_type)
        self.send_header("connection", "close")
        self.end_headers()
        for part in parts:
            self.wfile.write(part)
            self.wfile.flush()
        self.close_connection = True

    def openai(self, request, verb, rest, text, streams):
        usage = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
        if not streams:
            if self.path.endswith("/v1/completions"):
                return self.reply(200, {"choices": [{"text": text, "finish_reason": "stop"}], "usage": usage})
            message = {"role": "assistant", "content": text}
            if verb == "tool":
                call = {"id": "c1", "type": "function", "function": {"name": rest, "arguments": '{"a":1}'}}
                message = {"role": "assistant", "content": None, "tool_calls": [call]}
            body = {"choices": [{"message": message, "finish_reason": "tool_calls" if verb == "tool" else "stop"}], "usage": usage}
            if verb == "malformed":
                return self.reply(200, b"{")
            if verb in ("short", "long"):
                encoded = json.dumps(body).encode()
                return self.reply(200, encoded, length=len(encoded) + (50 if verb == "short" else -20))
            return self.reply(200, body)

        def event(delta, finish=None, **more):
            return f"data: {json.dumps({'choices': [{'index': 0, 'delta': delta, 'finish_reason': finish}], **more})}\n\n".encode()

        if verb == "malformed":
            return self.stream([event({"content": "a"}), b"data: {nonsense\n\n"])
        if verb == "die":
            return self.stream([event({"content": "a"})])
        if verb == "half":
            whole = event({"content": "😀 done"}, "stop").decode("unicode_escape").encode("utf-16", "surrogatepass").decode("utf-16").encode()
            return self.stream([whole[:40], whole[40:], b"data: [DONE]\n\n"])
        if verb == "lone":
            return self.stream([b'data: {"choices":[{"delta":{"content":"\\ud83d"}}]}\n\n', b"data: [DONE]\n\n"])
        if verb == "hang":
            self.stream([event({"content": "first"})])
            return self.upstream.gate.wait(GATE_S)
        if verb == "tool":
            call = {"index": 0, "id": "c1", "type": "function", "function": {"name": rest, "arguments": ""}}
            more = {"index": 0, "function": {"arguments": '{"a":1}'}}
            parts = [event({"tool_calls": [call]}), event({"tool_calls": [more]}), event({}, "tool_calls")]
        else:
            parts = [event({"content": piece}) for piece in [text[i : i + 4] for i in range(0, len(text), 4)]] + [event({}, "stop")]
        return self.stream(parts + [f"data: {json.dumps({'choices': [], 'usage': usage})}\n\n".encode(), b"data: [DONE]\n\n"])

    def anthropic(self, request, verb, rest, text, streams):
        if not streams:
            block = {"type": "tool_use", "id": "c1", "name": rest, "input": {"a": 1}} if verb == "tool" else {"type": "text", "text": text}
            stop = "tool_use" if verb == "tool" else "end_turn"
            return self.reply(200, {"content": [block], "stop_reason": stop, "usage": {"input_tokens": 11, "output_tokens": 5}})
        events = [
            {"type": "message_start", "message": {"usage": {"input_tokens": 11}}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
            {"type": "message_stop"},
        ]
        return self.stream([f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events])

    def bedrock(self, request, verb, rest, text, streams):
        usage = {"inputTokens": 11, "outputTokens": 5, "totalTokens": 16}
        if not streams:
            message = {"role": "assistant", "content": [{"text": text}]}
            return self.reply(200, {"output": {"message": message}, "stopReason": "end_turn", "usage": usage})
        frames = [
            frame("messageStart", {"role": "assistant"}),
            frame("contentBlockDelta", {"delta": {"text": text}, "contentBlockIndex": 0}),
            frame("messageStop", {"stopReason": "end_turn"}),
            frame("metadata", {"usage": usage, "metrics": {"latencyMs": 1}}),
        ]
        return self.stream(frames, "application/vnd.amazon.eventstream")
