"""A client of one operation with events in both directions: HTTP/2, each event signed in a chain from the request's signature.

Written against the documentation of event streams, and sharing nothing with the server.
"""

import base64
import datetime
import hashlib
import hmac
import json
import socket
import struct
import time
import zlib

import botocore.eventstream
import h2.config
import h2.connection
import h2.events

from signed_http import signed_request

SIGNED_EVENTS = "STREAMING-AWS4-HMAC-SHA256-EVENTS"


def _string(name, value):
    return bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()


def frame(headers, payload):
    prelude = struct.pack(">II", len(headers) + len(payload) + 16, len(headers))
    whole = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return whole + struct.pack(">I", zlib.crc32(whole))


class EventChannel:
    """One stream of a connection of its own; `speak` sends an event, `hear` gives the events that came so far."""

    def __init__(self, server, credentials, model, region="us-east-1", **more):
        host = f"{server.host}:{server.port}"
        path = f"/model/{model}/invoke-with-bidirectional-stream"
        headers = {"content-type": "application/vnd.amazon.eventstream", "x-amz-content-sha256": SIGNED_EVENTS, **more}
        request = signed_request(credentials, "bedrock", "POST", path, headers=headers, region=region, host=host, ahead_ms=server.ahead_ms)
        names = {name.lower(): value for name, value in request.headers.items()}
        self.server, self.ahead_ms = server, server.ahead_ms
        authorization = names["authorization"]
        self.signature = authorization.rsplit("Signature=", 1)[1]
        self.scope = authorization.split("Credential=", 1)[1].split(",")[0].split("/", 1)[1]
        key = ("AWS4" + credentials.secret_access_key).encode()
        for part in self.scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        self.key = key
        context = server.tls_context()
        context.set_alpn_protocols(["h2"])
        self.socket = context.wrap_socket(socket.create_connection((server.host, server.port), timeout=20), server_hostname=server.host)
        assert self.socket.selected_alpn_protocol() == "h2"
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.http.initiate_connection()
        self.stream = self.http.get_next_available_stream_id()
        pseudo = [(":method", "POST"), (":scheme", "https"), (":authority", host), (":path", path)]
        self.http.send_headers(self.stream, pseudo + [(name, value) for name, value in names.items() if name != "host"])
        self.flush()
        self.status, self.body, self.is_over = None, b"", False
        self.frames = botocore.eventstream.EventStreamBuffer()

    def flush(self):
        self.socket.sendall(self.http.data_to_send())

    def send(self, data, end=False):
        self.http.send_data(self.stream, data, end_stream=end)
        self.flush()

    def sign(self, payload, date_ms=None):
        """The signed frame around an event's frame."""
        if date_ms is None:
            date_ms = int(time.time() * 1000) + self.ahead_ms
        date_header = b"\x05:date\x08" + struct.pack(">q", date_ms)
        stamp = datetime.datetime.fromtimestamp(date_ms // 1000, datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        hashes = [hashlib.sha256(part).hexdigest() for part in (date_header, payload)]
        to_sign = "\n".join(["AWS4-HMAC-SHA256-PAYLOAD", stamp, self.scope, self.signature, *hashes])
        signature = hmac.digest(self.key, to_sign.encode(), "sha256")
        self.signature = signature.hex()
        return frame(date_header + b"\x10:chunk-signature\x06" + struct.pack(">H", 32) + signature, payload)

    @staticmethod
    def chunk(event):
        """The frame of an event that bears these bytes of JSON."""
        headers = _string(":message-type", "event") + _string(":event-type", "chunk") + _string(":content-type", "application/json")
        return frame(headers, json.dumps({"bytes": base64.b64encode(json.dumps(event).encode()).decode()}).encode())

    def speak(self, *events):
        for event in events:
            self.send(self.sign(self.chunk({"event": event})))

    def end(self):
        self.send(self.sign(b""), end=True)

    def receive(self):
        """Reads once what the server sends."""
        for event in self.http.receive_data(self.socket.recv(65536)):
            if isinstance(event, h2.events.ResponseReceived):
                self.status = int(dict(event.headers)[":status"])
            elif isinstance(event, h2.events.DataReceived):
                self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                self.body += event.data
                if self.status == 200:
                    self.frames.add_data(event.data)
            elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset, h2.events.ConnectionTerminated)):
                self.is_over = True
        self.flush()

    def hear(self, until=None):
        """Events up to the first of the kind `until`, or up to the end; an exception is `{"exception": (kind, message)}`."""
        heard = []
        while True:
            for message in self.frames:
                told = message.to_response_dict()
                payload = json.loads(told["body"])
                if told["headers"][":message-type"] == "exception":
                    heard.append({"exception": (told["headers"][":exception-type"], payload["message"])})
                    continue
                heard.append(json.loads(base64.b64decode(payload["bytes"]))["event"])
                if until is not None and until in heard[-1]:
                    return heard
            if self.is_over:
                assert until is None, heard
                return heard
            self.receive()

    def answer(self):
        """The answer of a request that was refused."""
        while not self.is_over:
            self.receive()
        return self.status, json.loads(self.body or b"{}")

    def close(self):
        self.socket.close()
