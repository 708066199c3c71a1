"""The server, principals with policies, and assertions about what they may do."""

import itertools
import json
import os
import pathlib
import re
import signal
import subprocess
import threading

import boto3
import botocore.exceptions

START_TIMEOUT_SECONDS = 60
STOP_TIMEOUT_SECONDS = 20

# How denials name the type of policy that stands in the way.
POLICY_TYPES = {
    "identity": "identity-based policy",
    "boundary": "permissions boundary",
    "session": "session policy",
    "scp": "service control policy",
    "rcp": "resource control policy",
    "resource": "resource-based policy",
    "trust": "role trust policy",
    "endpoint": "VPC endpoint policy",
}
DENIED_CODES = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "Client.UnauthorizedOperation"}


def document(policy):
    """A policy document as JSON text, from a document, a list of statements, one statement, or text."""
    if isinstance(policy, str):
        return policy
    if isinstance(policy, list):
        return json.dumps({"Version": "2012-10-17", "Statement": policy})
    if "Statement" not in policy:
        return json.dumps({"Version": "2012-10-17", "Statement": [policy]})
    return json.dumps(policy)


class Principal(boto3.Session):
    """A boto3 session of a user of the server."""

    def __init__(self, server, access_key_id, secret_access_key, session_token=None, arn=None, account_id=None):
        super().__init__(
            aws_access_key_id=access_key_id,
            aws_secret_access_key=secret_access_key,
            aws_session_token=session_token,
            region_name=server.region,
        )
        self.server = server
        self.arn = arn
        self.account_id = account_id

    def client(self, service_name, **keywords):
        keywords.setdefault("endpoint_url", self.server.endpoint)
        keywords.setdefault("verify", str(self.server.authority))
        return super().client(service_name, **keywords)

    def resource(self, service_name, **keywords):
        keywords.setdefault("endpoint_url", self.server.endpoint)
        keywords.setdefault("verify", str(self.server.authority))
        return super().resource(service_name, **keywords)


class Server:
    """A `bailiwick up --ephemeral` of its own, on a free port of the loopback address."""

    def __init__(self, binary, folder, *arguments):
        self.binary = str(binary)
        self.folder = pathlib.Path(folder)
        self.data_dir = self.folder / "data"
        self.arguments = arguments
        self.process = None
        self.root = None
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def start(self):
        credentials = self.folder / "credentials"
        names = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "BAILIWICK_"))}
        command = [self.binary, "up", "--ephemeral", "--data-dir", self.data_dir, "--credentials-out", credentials, "--listen", "https://127.0.0.1:0"]
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen([*map(str, command), *self.arguments], env=names, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        waited = subprocess.run(
            [self.binary, "wait", "--data-dir", str(self.data_dir), "--timeout", str(START_TIMEOUT_SECONDS)],
            capture_output=True,
            text=True,
            check=False,
        )
        if waited.returncode != 0:
            raise RuntimeError(f"bailiwick is not ready: {waited.stderr}\n{(self.folder / 'log').read_text(errors='replace')}")
        running = json.loads((self.data_dir / "server.json").read_text())
        self.endpoint = next(url for url in running["endpoints"] if url.startswith("https:"))
        self.region = running["region"]
        self.account_id = running["account_id"]
        self.authority = pathlib.Path(running["authority"])
        values = dict(re.findall(r"^(\w+) = (.*)$", credentials.read_text(), re.MULTILINE))
        self.root = Principal(
            self,
            values["aws_access_key_id"],
            values["aws_secret_access_key"],
            arn=f"arn:aws:iam::{self.account_id}:root",
            account_id=self.account_id,
        )
        return self

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=STOP_TIMEOUT_SECONDS)

    def _number(self):
        with self._lock:
            return next(self._numbers)

    def account(self):
        """The root user of a fresh account."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.httpsession import URLLib3Session

        account_id = f"{900_000_000_000 + self._number()}"
        request = AWSRequest(method="POST", url=f"{self.endpoint}/_bailiwick/accounts/{account_id}", data=b"")
        SigV4Auth(self.root.get_credentials(), "bailiwick", self.region).add_auth(request)
        answer = URLLib3Session(verify=str(self.authority)).send(request.prepare())
        if answer.status_code != 200:
            raise RuntimeError(f"no account was made: {answer.status_code} {answer.text}")
        keys = json.loads(answer.text)
        return Principal(
            self, keys["AccessKeyId"], keys["SecretAccessKey"], arn=f"arn:aws:iam::{account_id}:root", account_id=account_id
        )

    def as_principal(self, policy=None, boundary=None, account=None):
        """A new user with the policy and nothing else, as a boto3 session. `account` is a root user that [`account`] gave."""
        root = account or self.root
        iam = root.client("iam")
        name = f"principal-{self._number()}"
        user = iam.create_user(UserName=name)["User"]
        if policy is not None:
            iam.put_user_policy(UserName=name, PolicyName="policy", PolicyDocument=document(policy))
        if boundary is not None:
            made = iam.create_policy(PolicyName=f"{name}-boundary", PolicyDocument=document(boundary))
            iam.put_user_permissions_boundary(UserName=name, PermissionsBoundary=made["Policy"]["Arn"])
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return Principal(self, key["AccessKeyId"], key["SecretAccessKey"], arn=user["Arn"], account_id=root.account_id)

    @staticmethod
    def assert_denied(call, by=None):
        """See [`assert_denied`]."""
        return assert_denied(call, by)

    @staticmethod
    def assert_allowed(call):
        """See [`assert_allowed`]."""
        return assert_allowed(call)


def assert_denied(call, by=None):
    """Calls `call` and expects a denial, by a policy of the type `by` if that is given. Gives the error."""
    if by is not None and by not in POLICY_TYPES:
        raise ValueError(f"`by` must be one of {', '.join(POLICY_TYPES)}")
    try:
        answer = call()
    except botocore.exceptions.ClientError as error:
        found = error.response["Error"]
        # Answers to HEAD have no body: their code is the status.
        if found["Code"] not in DENIED_CODES and found["Code"] != "403":
            raise AssertionError(f"the call failed otherwise: {found['Code']}: {found.get('Message')}") from error
        if by is not None and POLICY_TYPES[by] not in found.get("Message", ""):
            raise AssertionError(f"the denial names no {POLICY_TYPES[by]}: {found.get('Message')}") from error
        return error
    raise AssertionError(f"the call was allowed and answered {answer!r:.300}")


def assert_allowed(call):
    """Calls `call` and expects that it is not denied. Gives its answer; other errors pass through."""
    try:
        return call()
    except botocore.exceptions.ClientError as error:
        found = error.response["Error"]
        if found["Code"] in DENIED_CODES or found["Code"] == "403":
            raise AssertionError(f"the call was denied: {found.get('Message')}") from error
        raise
