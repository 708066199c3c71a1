"""Requests made by hand: signed with botocore's signers, then changed at will, and sent as they are."""

import dataclasses
import datetime
import http.client
import json
import re
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials


@dataclasses.dataclass(frozen=True)
class Credentials:
    access_key_id: str
    secret_access_key: str
    session_token: str | None = None

    def for_botocore(self):
        return botocore.credentials.Credentials(self.access_key_id, self.secret_access_key, self.session_token)


@dataclasses.dataclass
class Answer:
    status: int
    headers: dict
    body: bytes

    @property
    def request_id(self):
        return self.headers.get("x-amzn-requestid") or self.headers.get("x-amz-request-id")

    @property
    def code(self):
        """Code of an error, in whatever protocol."""
        found = re.search(rb"<Code>([^<]*)</Code>", self.body)
        if found:
            return found[1].decode()
        kind = self.headers.get("x-amzn-errortype") or self._json().get("__type", "")
        return kind.split(":")[0].rsplit("#", 1)[-1]

    @property
    def message(self):
        found = re.search(rb"<Message>([^<]*)</Message>", self.body)
        if found:
            text = found[1].decode()
            for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"), ("&#39;", "'"), ("&amp;", "&")):
                text = text.replace(entity, character)
            return text
        content = self._json()
        return content.get("message") or content.get("Message") or ""

    def element(self, name):
        """Text of an element of an XML answer."""
        found = re.search(rf"<{name}>([^<]*)</{name}>".encode(), self.body)
        return found and found[1].decode()

    def _json(self):
        try:
            content = json.loads(self.body or b"{}")
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}

    def __repr__(self):
        return f"<{self.status} {self.code} {self.message!r}>"


@dataclasses.dataclass
class Request:
    """A request with all that goes over the wire."""

    method: str
    path: str
    query: str
    headers: dict
    body: bytes

    def send(self, server):
        """Sends it over TLS to the server, byte for byte."""
        connection = http.client.HTTPSConnection(server.host, server.port, context=server.tls_context(), timeout=60)
        try:
            target = f"{self.path}?{self.query}" if self.query else self.path
            connection.putrequest(self.method, target, skip_host=True, skip_accept_encoding=True)
            names = {name.lower() for name in self.headers}
            for name, value in self.headers.items():
                connection.putheader(name, value)
            if "content-length" not in names and "transfer-encoding" not in names:
                connection.putheader("content-length", str(len(self.body)))
            connection.endheaders(self.body or None)
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, headers, answer.read())
        finally:
            connection.close()


class _ShiftedTime:
    """Makes botocore sign as of another time."""

    def __init__(self, ahead_ms):
        self.ahead = datetime.timedelta(milliseconds=ahead_ms)

    def __enter__(self):
        self.before = botocore.auth.get_current_datetime
        botocore.auth.get_current_datetime = self.time

    def time(self, remove_tzinfo=True):
        now = datetime.datetime.now(datetime.timezone.utc) + self.ahead
        return now.replace(tzinfo=None) if remove_tzinfo else now

    def __exit__(self, *_):
        botocore.auth.get_current_datetime = self.before


def signed_request(
    credentials, service, method, path, *, query="", headers=None, body=b"", region, host, ahead_ms=0, presign_seconds=None, signer=None
):
    """A request that is signed as botocore signs it; with `presign_seconds` by its query. Its parts can then be changed."""
    if signer is None:
        if presign_seconds is not None:
            signer = botocore.auth.S3SigV4QueryAuth if service == "s3" else botocore.auth.SigV4QueryAuth
        else:
            signer = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
    more = {} if presign_seconds is None else {"expires": presign_seconds}
    url = f"https://{host}{path}" + (f"?{query}" if query else "")
    request = botocore.awsrequest.AWSRequest(method=method, url=url, data=body, headers={"host": host, **(headers or {})})
    if service == "s3":
        # As botocore's S3 client does: sign the body instead of leaving it out under TLS.
        request.context["payload_signing_enabled"] = True
    with _ShiftedTime(ahead_ms):
        signer(credentials.for_botocore(), service, region, **more).add_auth(request)
    parts = urllib.parse.urlsplit(request.url)
    return Request(method, parts.path or "/", parts.query, {name: _text(value) for name, value in request.headers.items()}, body)


def _text(value):
    return value.decode() if isinstance(value, bytes) else value
