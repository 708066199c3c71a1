"""`bailiwick login`, and an SDK that nobody changed: it finds the profile, uses the credentials and refreshes them by itself."""

import json
import os
import stat
import subprocess
import sys
import uuid

import pytest

from bailiwick_server import Account, allow, deny, document, new_account_id
from test_iam_mfa import Device
from test_signin import LOCAL_DEVELOPMENT, PASSWORD, make_person


# Calls once for each line that it reads, which says how far ahead the server's clock is; one client all the time. It is boto3 as it is installed,
# but for what it takes for the time.
SDK = """
import json, sys, time, types
import boto3, botocore.compat, botocore.credentials, botocore.crt.auth, botocore.exceptions
ahead = 0.0
class Shifted:
    @staticmethod
    def time():
        return time.time() + ahead
import datetime
def now(remove_tzinfo=True):
    shifted = datetime.datetime.fromtimestamp(Shifted.time(), datetime.timezone.utc)
    return shifted.replace(tzinfo=None) if remove_tzinfo else shifted
botocore.credentials.time = Shifted
botocore.credentials._local_now = lambda: now(False)
botocore.crt.auth.get_current_datetime = now
sts = None
for line in sys.stdin:
    ahead = float(line) / 1000
    try:
        sts = sts or boto3.Session(profile_name=sys.argv[1]).client("sts")
        print(json.dumps(sts.get_caller_identity()["Arn"]), flush=True)
    except botocore.exceptions.BotoCoreError as error:
        print(json.dumps(type(error).__name__), flush=True)
"""


class Sdk:
    """Plain boto3 in a process of its own: all that it knows is the profile's name."""

    def __init__(self, server, home, profile):
        self.server = server
        names = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "BOTO_"))} | {"HOME": str(home)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", SDK, profile], env=names, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def caller(self):
        """The caller's ARN, or the name of the error."""
        self.process.stdin.write(f"{self.server.ahead_ms}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=20)
        self.process.stdout.close()


class Terminal:
    """A person's home folder, and what they type."""

    def __init__(self, binary, server, home):
        self.binary, self.server, self.home, self.sdks = binary, server, home, []
        home.mkdir()

    def login(self, *arguments, typed=(PASSWORD, "")):
        names = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "BAILIWICK_"))}
        names |= {"BAILIWICK_DATA_DIR": str(self.server.data_dir), "HOME": str(self.home)}
        return subprocess.run(
            [self.binary, "login", *arguments], env=names, input="".join(f"{line}\n" for line in typed),
            capture_output=True, text=True, timeout=60, check=False,
        )

    @property
    def cache(self):
        (path,) = (self.home / ".aws/login/cache").iterdir()
        return path

    def sdk(self, profile="bailiwick"):
        sdk = Sdk(self.server, self.home, profile)
        self.sdks.append(sdk)
        return sdk


@pytest.fixture
def server(start_server):
    return start_server("--ephemeral", "--manual-clock", "--region", "us-east-1")


@pytest.fixture
def terminal(binary, server, tmp_path):
    terminal = Terminal(binary, server, tmp_path / "home")
    yield terminal
    for sdk in terminal.sdks:
        sdk.stop()


def test_an_sdk_uses_and_refreshes_what_login_wrote(server, terminal):
    account = Account.create(server, new_account_id())
    person = make_person(account)
    arn = f"arn:aws:iam::{account.id}:user/{person}"
    (terminal.home / ".aws").mkdir()
    (terminal.home / ".aws/config").write_text("[profile mine]\nregion = eu-west-1\n")
    done = terminal.login("--user", person, "--account", account.id)
    assert done.returncode == 0, done.stderr
    assert arn in done.stdout and PASSWORD not in done.stdout + done.stderr
    assert "[profile mine]\nregion = eu-west-1\n" in (terminal.home / ".aws/config").read_text()
    assert stat.S_IMODE(terminal.cache.stat().st_mode) == 0o600 and stat.S_IMODE(terminal.cache.parent.stat().st_mode) == 0o700
    assert all(PASSWORD not in path.read_text() for path in terminal.home.rglob("*") if path.is_file())

    sdk = terminal.sdk()
    assert sdk.caller() == arn
    first = json.loads(terminal.cache.read_text())
    server.advance_clock(minutes=12)
    assert sdk.caller() == arn, "the client that is in use refreshes"
    second = json.loads(terminal.cache.read_text())
    assert second["accessToken"]["accessKeyId"] != first["accessToken"]["accessKeyId"]
    assert terminal.sdk().caller() == arn
    assert json.loads(terminal.cache.read_text()) == second, "what is good is not refreshed"
    events = account.events(EventName="CreateOAuth2Token")
    assert len(events) == 2 and all(event["userIdentity"]["userName"] == person for event in events)
    server.advance_clock(hours=12)
    assert terminal.sdk().caller() == "LoginRefreshRequired"


def test_a_deleted_user_is_signed_out(server, terminal):
    account = Account.create(server, new_account_id())
    iam = account.client("iam")
    person = make_person(account)
    assert terminal.login("--user", person, "--account", account.id).returncode == 0
    iam.delete_login_profile(UserName=person)
    iam.detach_user_policy(UserName=person, PolicyArn=LOCAL_DEVELOPMENT)
    iam.delete_user(UserName=person)
    server.advance_clock(minutes=12)
    assert terminal.sdk().caller() == "LoginRefreshRequired"


def test_a_control_policy_ends_the_refreshing(server, terminal):
    management = Account.create(server, new_account_id())
    orgs = management.client("organizations")
    orgs.create_organization(FeatureSet="ALL")
    orgs.enable_policy_type(RootId=orgs.list_roots()["Roots"][0]["Id"], PolicyType="SERVICE_CONTROL_POLICY")
    member = orgs.create_account(Email=f"{uuid.uuid4().hex}@example.com", AccountName="member")["CreateAccountStatus"]["AccountId"]
    by = management.user(policy=allow("sts:AssumeRole"))
    iam = management.assume(f"arn:aws:iam::{member}:role/OrganizationAccountAccessRole", by=by).client("iam")
    iam.create_user(UserName="ana")
    iam.create_login_profile(UserName="ana", Password=PASSWORD)
    iam.attach_user_policy(UserName="ana", PolicyArn=LOCAL_DEVELOPMENT)
    assert terminal.login("--user", "ana", "--account", member).returncode == 0
    made = orgs.create_policy(Name="no-sign-in", Description="", Type="SERVICE_CONTROL_POLICY", Content=document(deny("signin:CreateOAuth2Token")))
    orgs.attach_policy(PolicyId=made["Policy"]["PolicySummary"]["Id"], TargetId=member)
    denied = terminal.login("--user", "ana", "--account", member)
    assert denied.returncode == 5 and "INSUFFICIENT_PERMISSIONS" in denied.stderr
    server.advance_clock(minutes=12)
    assert terminal.sdk().caller() == "LoginInsufficientPermissions"


def test_what_login_says_when_it_fails(server, terminal):
    account = Account.create(server, new_account_id())
    person = make_person(account)
    for arguments, typed in (
        (("--user", person, "--account", account.id), ("Wrong-Horse-1", "")),
        (("--user", "nobody", "--account", account.id), (PASSWORD, "")),
        (("--user", person), (PASSWORD, "")),
        (("--user", person, "--account", "none"), (PASSWORD, "")),
    ):
        failed = terminal.login(*arguments, typed=typed)
        assert failed.returncode == 5 and "information is incorrect" in failed.stderr, failed.stderr
    account.client("iam").detach_user_policy(UserName=person, PolicyArn=LOCAL_DEVELOPMENT)
    unable = terminal.login("--user", person, "--account", account.id)
    assert unable.returncode == 5 and "SignInLocalDevelopmentAccess" in unable.stderr
    assert terminal.login("--user", person, "--account", account.id, "--profile", "a]").returncode == 2
    assert not (terminal.home / ".aws").exists()


def test_a_second_factor_and_a_due_password_are_asked_for(server, terminal):
    account = Account.create(server, new_account_id())
    person = make_person(account, PasswordResetRequired=True)
    account.client("iam").attach_user_policy(UserName=person, PolicyArn="arn:aws:iam::aws:policy/IAMUserChangePassword")
    new = "Another-Horse-2"
    differ = terminal.login("--user", person, "--account", account.id, typed=(PASSWORD, "", new, "Other-Horse-3"))
    assert differ.returncode == 1 and "differ" in differ.stderr
    done = terminal.login("--user", person, "--account", account.id, "--profile", "work", typed=(PASSWORD, "", new, new))
    assert done.returncode == 0, done.stderr
    device = Device(account, person).enable()
    missing = terminal.login("--user", person, "--account", account.id, typed=(new, ""))
    assert missing.returncode == 5
    # The program's proof is as of this machine's clock, so the server's is moved no further than the two may differ.
    done = terminal.login("--user", person, "--account", account.id, "--profile", "work", typed=(new, device.next_code()))
    assert done.returncode == 0, done.stderr
    assert terminal.sdk("work").caller() == f"arn:aws:iam::{account.id}:user/{person}"
    assert [e for e in account.events(EventName="ConsoleLogin")][0]["additionalEventData"]["MFAUsed"] == "Yes"
