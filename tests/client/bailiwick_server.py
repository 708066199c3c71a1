"""A server under test, its accounts, and sessions that talk to it."""

import contextlib
import datetime
import itertools
import json
import os
import pathlib
import re
import signal
import ssl
import subprocess
import threading
import urllib.parse
import uuid

import boto3
import botocore.auth
import botocore.compat
import botocore.config
import botocore.exceptions
import botocore.signers

from signed_http import Credentials, signed_request

HOME_ACCOUNT = "123456789012"
START_TIMEOUT_SECONDS = 60

# How far ahead of this machine's clock the server is that the current thread signs for.
_signing = threading.local()


def _server_time(remove_tzinfo=True):
    ahead = datetime.timedelta(milliseconds=getattr(_signing, "ahead_ms", 0))
    return botocore.compat.get_current_datetime(remove_tzinfo) + ahead


# Tests move a server's clock forward; what they sign must follow it.
botocore.auth.get_current_datetime = _server_time
botocore.signers.get_current_datetime = _server_time


class Session(boto3.Session):
    """A boto3 session whose clients talk to one server: over TLS, trusting its certificate authority only, and without retries."""

    def __init__(self, server, credentials, region=None):
        super().__init__(
            aws_access_key_id=credentials.access_key_id,
            aws_secret_access_key=credentials.secret_access_key,
            aws_session_token=credentials.session_token,
            region_name=region or server.region,
        )
        self.server = server
        self.credentials = credentials

    def client(self, service_name, **keywords):
        config = botocore.config.Config(
            retries={"total_max_attempts": 1}, max_pool_connections=32, connect_timeout=10, read_timeout=60
        )
        if keywords.get("config"):
            config = config.merge(keywords["config"])
        keywords["config"] = config
        keywords.setdefault("endpoint_url", self.server.endpoint)
        keywords.setdefault("verify", str(self.server.authority))
        client = super().client(service_name, **keywords)
        client.meta.events.register_first("before-sign", self._follow_clock)
        return client

    def _follow_clock(self, **_):
        _signing.ahead_ms = self.server.ahead_ms

    def user_arn(self):
        return self.client("sts").get_caller_identity()["Arn"]


class Server:
    """One `bailiwick up`."""

    @classmethod
    def start(cls, binary, folder, *arguments, environment=None, listen=("https://127.0.0.1:0",), expect_ready=True):
        server = cls(binary, pathlib.Path(folder))
        server.launch(*arguments, environment=environment, listen=listen, expect_ready=expect_ready)
        return server

    def __init__(self, binary, folder):
        self.binary = binary
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.data_dir = folder / "data"
        self.credentials_file = folder / "credentials"
        self.log_file = folder / "log"
        self.ahead_ms = 0
        self.process = None
        self.root = None

    def launch(self, *arguments, environment=None, listen=("https://127.0.0.1:0",), expect_ready=True):
        self.arguments = arguments
        names = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "BAILIWICK_"))}
        names.update(environment or {})
        # A server that was killed leaves the file behind, with a port that nobody listens on.
        (self.data_dir / "server.json").unlink(missing_ok=True)
        listening = itertools.chain.from_iterable(("--listen", url) for url in listen)
        fixed = ["up", "--data-dir", self.data_dir, "--credentials-out", self.credentials_file, *listening]
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [self.binary, *map(str, fixed), *map(str, arguments)],
                env=names,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                # A write over a limit of the file's size is an error, as on a full disk, and no signal.
                restore_signals=False,
            )
        if expect_ready:
            self.wait()

    def wait(self):
        waited = subprocess.run(
            [self.binary, "wait", "--data-dir", self.data_dir, "--timeout", str(START_TIMEOUT_SECONDS)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert waited.returncode == 0, f"the server is not ready: {waited.stderr}\n{self.log_file.read_text()}"
        self.read_place()

    def read_place(self):
        running = json.loads((self.data_dir / "server.json").read_text())
        self.endpoints = running["endpoints"]
        self.endpoint = next((url for url in self.endpoints if url.startswith("https:")), self.endpoints[0])
        self.region = running["region"]
        self.account_id = running["account_id"]
        self.authority = pathlib.Path(running["authority"])
        self.host, port = urllib.parse.urlsplit(self.endpoint).netloc.rsplit(":", 1)
        self.port = int(port)
        if self.credentials_file.exists():
            lines = dict(re.findall(r"^(\w+) = (.*)$", self.credentials_file.read_text(), re.MULTILINE))
            self.root = Credentials(lines["aws_access_key_id"], lines["aws_secret_access_key"])

    def stop(self):
        """Asks the server to end, and says how it did."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def kill(self):
        """Ends the server as a power failure would."""
        self.process.kill()
        self.process.wait()

    def check_log(self):
        """The server logged no panic and no failure of its own."""
        log = self.log_file.read_text(errors="replace")
        for mark in ("panicked at", "internal failure"):
            assert mark not in log, log[-4000:]

    def tls_context(self):
        return ssl.create_default_context(cafile=str(self.authority))

    def session(self, credentials=None, region=None):
        return Session(self, credentials or self.root, region)

    def control(self, method, path, body=None, credentials=None):
        """A signed call of Bailiwick's own API; the JSON that it answers."""
        answer = self.control_answer(method, path, body, credentials)
        assert answer.status == 200, f"{method} {path}: {answer.status} {answer.body!r}"
        return json.loads(answer.body or b"{}")

    def control_answer(self, method, path, body=None, credentials=None):
        content = b"" if body is None else json.dumps(body).encode()
        request = signed_request(
            credentials or self.root,
            "bailiwick",
            method,
            path,
            body=content,
            headers={"content-type": "application/json"},
            region="us-east-1",
            host=f"{self.host}:{self.port}",
            ahead_ms=self.ahead_ms,
        )
        return request.send(self)

    def advance_clock(self, **step):
        """Moves the clock forward by `datetime.timedelta(**step)`; what is signed from now on follows it."""
        milliseconds = int(datetime.timedelta(**step) / datetime.timedelta(milliseconds=1))
        answer = self.control("POST", "/_bailiwick/clock/advance", {"Milliseconds": milliseconds})
        self.ahead_ms += milliseconds
        return answer["Now"]

    def now(self):
        return _server_time_of(self)

    def flush(self):
        self.control("POST", "/_bailiwick/trail/flush")


def _server_time_of(server):
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(milliseconds=server.ahead_ms)


def new_account_id():
    """Twelve digits that no other test has."""
    return f"{uuid.uuid4().int % 10**11:012d}"


def document(*statements):
    """A policy document."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def key_of(account, policy, name="keyed"):
    """A long-term Bedrock API key of a new user."""
    made = account.client("iam").create_user(UserName=name)["User"]["UserName"]
    account.client("iam").put_user_policy(UserName=made, PolicyName="p", PolicyDocument=policy)
    credential = account.client("iam").create_service_specific_credential(UserName=made, ServiceName="bedrock.amazonaws.com")
    return credential["ServiceSpecificCredential"]["ServiceCredentialSecret"]


def allow(actions, resources="*", **more):
    return {"Effect": "Allow", "Action": actions, "Resource": resources, **more}


def deny(actions, resources="*", **more):
    return {"Effect": "Deny", "Action": actions, "Resource": resources, **more}


def _document(policy):
    """A policy as text: given as text, as a document, as one statement, or as a list of statements."""
    if isinstance(policy, str):
        return policy
    if isinstance(policy, dict) and "Statement" in policy:
        return json.dumps(policy)
    return document(*(policy if isinstance(policy, list) else [policy]))


class Account:
    """An account of a server, seen from its root user."""

    def __init__(self, server, account_id, credentials):
        self.server = server
        self.id = account_id
        self.credentials = credentials
        self.session = server.session(credentials)

    @classmethod
    def create(cls, server, account_id):
        keys = server.control("POST", f"/_bailiwick/accounts/{account_id}")
        return cls(server, account_id, Credentials(keys["AccessKeyId"], keys["SecretAccessKey"]))

    @classmethod
    def home(cls, server):
        return cls(server, server.account_id, server.root)

    def client(self, service, region=None, **keywords):
        """A client of the root user."""
        return self.session.client(service, **({"region_name": region} if region else {}), **keywords)

    def user(self, name=None, policy=None):
        """A session of a new user, who has this inline policy."""
        name = name or f"user-{uuid.uuid4().hex[:8]}"
        iam = self.client("iam")
        iam.create_user(UserName=name)
        if policy is not None:
            iam.put_user_policy(UserName=name, PolicyName="test", PolicyDocument=_document(policy))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        session = self.server.session(Credentials(key["AccessKeyId"], key["SecretAccessKey"]))
        session.user_name = name
        return session

    def role(self, trust=None, policy=None, name=None):
        """The ARN of a new role; without a trust policy the account's root may let anyone of the account assume it."""
        name = name or f"role-{uuid.uuid4().hex[:8]}"
        iam = self.client("iam")
        trust = trust or {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{self.id}:root"}, "Action": "sts:AssumeRole"}
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=_document(trust))["Role"]["Arn"]
        if policy is not None:
            iam.put_role_policy(RoleName=name, PolicyName="test", PolicyDocument=_document(policy))
        return arn

    def assume(self, role, by=None, session_name="test", **parameters):
        """A session of the role, assumed by the given session, else by a new user who may."""
        arn = role if isinstance(role, str) else role["Arn"]
        by = by or self.user(policy=allow("sts:AssumeRole", arn))
        keys = by.client("sts").assume_role(RoleArn=arn, RoleSessionName=session_name, **parameters)["Credentials"]
        return self.server.session(Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"]))

    def events(self, region=None, **attribute):
        """Records of the account's calls, newest first; `events(EventName="CreateKey")`."""
        lookup = self.client("cloudtrail", region=region).get_paginator("lookup_events")
        attributes = [{"AttributeKey": key, "AttributeValue": value} for key, value in attribute.items()]
        found = lookup.paginate(**({"LookupAttributes": attributes} if attributes else {}))
        return [json.loads(event["CloudTrailEvent"]) for page in found for event in page["Events"]]

    def events_of(self, request_id, region=None):
        """Records of one call."""
        return [event for event in self.events(region) if event["requestID"] == request_id]


POLICY_TYPES = {
    "identity": "identity-based policy",
    "resource": "resource-based policy",
    "boundary": "permissions boundary",
    "session": "session policy",
    "scp": "service control policy",
    "rcp": "resource control policy",
    "endpoint": "VPC endpoint policy",
}
# HEAD requests have no body, so their error has the status for a code.
DENIED = {"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation", "403"}


def assert_denied(call, action=None, *, code=None, by=None, explicit=None):
    """The call is refused by a policy; gives the message.

    `action` must be named in the message; `by` is the policy type that decided (`identity`, `resource`, `boundary`, `session`, or the
    words of the message); `explicit` tells a deny statement from a missing allow.
    """
    try:
        call()
    except botocore.exceptions.ClientError as error:
        refusal = error.response
    else:
        raise AssertionError("the call was allowed")
    got, message = refusal["Error"]["Code"], refusal["Error"].get("Message", "")
    assert got in (DENIED if code is None else {code}), f"{got}: {message}"
    if action is not None:
        assert f": {action} " in f"{message} ", message
    if by is not None:
        assert POLICY_TYPES.get(by, by) in message, message
    if explicit is not None:
        assert ("with an explicit deny" in message) == explicit, message
        assert ("because no" in message) != explicit, message
    return message


@contextlib.contextmanager
def raises(code, status=None, message=None):
    """The block fails with this error of the service."""
    try:
        yield
    except botocore.exceptions.ClientError as error:
        got = error.response["Error"]
        assert got["Code"] == code, f"{got['Code']}: {got.get('Message')}"
        if status is not None:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == status
        if message is not None:
            assert re.search(message, got["Message"]), got["Message"]
        return
    raise AssertionError(f"the call succeeded; `{code}` was due")


def request_id(answer):
    """Request id of a boto3 answer or error."""
    response = answer.response if isinstance(answer, botocore.exceptions.ClientError) else answer
    return response["ResponseMetadata"]["RequestId"]
