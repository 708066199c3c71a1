"""The command line: what it prints, how it ends, and that what it makes works."""

import json
import os
import pathlib
import re
import subprocess
import time
import uuid

import pytest

from bailiwick_server import Account, allow, deny, raises, request_id
from conftest import run_command


@pytest.fixture(scope="module")
def server(binary, tmp_path_factory):
    """A server whose clock nobody moves: the commands sign with this machine's."""
    from bailiwick_server import Server

    server = Server.start(binary, tmp_path_factory.mktemp("cli"), "--ephemeral", "--region", "us-east-1", "--region", "eu-central-1")
    yield server
    server.stop()
    server.check_log()


@pytest.fixture
def run(binary, server):
    def run(*arguments, **keywords):
        keywords.setdefault("server", server)
        return run_command(binary, *arguments, **keywords)

    return run


def succeeded(done):
    assert done.returncode == 0, f"{done.returncode}: {done.stderr}\n{done.stdout}"
    return done.stdout


def failed(done, code, message):
    assert done.returncode == code, f"{done.returncode}: {done.stderr}"
    assert message in done.stderr, done.stderr
    assert "panicked" not in done.stderr
    return done


def profile(tmp_path, credentials):
    """A credentials file of somebody, with a second profile."""
    path = tmp_path / f"credentials-{uuid.uuid4().hex[:8]}"
    lines = [
        "[default]",
        f"aws_access_key_id = {credentials.access_key_id}",
        f"aws_secret_access_key = {credentials.secret_access_key}",
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_version(run):
    assert re.fullmatch(r"bailiwick \d+\.\d+\.\d+\n", succeeded(run("version")))
    assert succeeded(run("--version")) == succeeded(run("version"))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "elvish", "powershell"])
def test_completions(run, shell):
    assert "bailiwick" in succeeded(run("completions", shell))


def test_bash_takes_its_completions(run):
    script = succeeded(run("completions", "bash"))
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


def test_usage_errors(run):
    for arguments in ((), ("no-such-command",), ("up", "--no-such-flag"), ("explain",), ("explain", "a", "b", "c", "d"), ("explain", "a", "b")):
        done = run(*arguments)
        assert done.returncode == 2, (arguments, done.returncode, done.stderr)
        assert done.stdout == ""


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--account-id", "12"], "`12` is not a valid value of `account_id`"),
        (["--region", "US East"], "`US East` is not a valid value of `regions`"),
        (["--region", "a", "--region", "a"], "the region is given twice"),
        (["--listen", "127.0.0.1:1"], "is not a valid value of `listen`"),
        (["--listen", "http://192.0.2.1:80"], "plain HTTP is served on loopback addresses only"),
        (["--store", "paper"], "is not a valid value of `store`"),
        (["--seal", "wax"], "is not a valid value of `seal`"),
        (["--audit-reads", "never"], "is not a valid value of `audit_reads`"),
        (["--audit-retention", "1-year-governance"], "is not a valid value of `audit_retention`"),
        (["--manual-clock"], "`--manual-clock` works with `--ephemeral` only"),
        (["--config", "/does/not/exist"], "cannot be read"),
    ],
)
def test_bad_settings_are_refused(run, tmp_path, flags, message):
    failed(run("up", "--data-dir", tmp_path / "data", *flags, server=None), 2, message)


def test_config_tells_where_settings_come_from(run, tmp_path):
    file = tmp_path / "bailiwick.toml"
    file.write_text('account_id = "111111111111"\nregions = ["eu-west-1"]\naudit_reads = "before-reply"\n')
    done = run(
        "config",
        "--config",
        file,
        "--account-id",
        "222222222222",
        "--output",
        "json",
        server=None,
        environment={"BAILIWICK_REGIONS": "eu-north-1,eu-south-1"},
    )
    settings = {row["setting"]: (row["value"], row["origin"]) for row in json.loads(succeeded(done))}
    assert settings["account_id"] == ('"222222222222"', "flag")
    assert settings["regions"] == ('["eu-north-1", "eu-south-1"]', "environment")
    assert settings["audit_reads"] == ('"before-reply"', "file")
    assert settings["store"] == ('"redb"', "default")
    # A word that is not known is an error, not silence.
    file.write_text('acount_id = "111111111111"\n')
    failed(run("config", "--config", file, server=None), 2, "acount_id")


def test_config_hides_the_password_of_a_store(run):
    done = run("config", "--store", "postgres://user:hunter2@db/bailiwick", server=None)
    assert "hunter2" not in succeeded(done)
    assert "postgres://" in done.stdout


@pytest.mark.parametrize("form, start", [("yaml", '-\n  "setting": '), ("csv", "setting,value,origin\n"), ("table", "")])
def test_output_forms(run, form, start):
    text = succeeded(run("config", "--output", form, server=None))
    assert text.startswith(start)
    assert "account_id" in text


def test_env_points_clients_at_the_server(run, server):
    script = succeeded(run("env"))
    command = 'eval "$1"; env'
    shell = subprocess.run(["bash", "-c", command, "-", script], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True)
    variables = dict(line.split("=", 1) for line in shell.stdout.splitlines() if line.startswith("AWS_"))
    assert variables == {
        "AWS_ENDPOINT_URL": server.endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_CA_BUNDLE": str(server.authority),
        "AWS_ACCESS_KEY_ID": server.root.access_key_id,
        "AWS_SECRET_ACCESS_KEY": server.root.secret_access_key,
    }


def test_the_aws_cli_works_with_that_environment(run, server):
    script = succeeded(run("env"))
    python = os.path.dirname(os.sys.executable)
    path = f"{python}:{os.environ['PATH']}"

    def aws(*arguments):
        return subprocess.run(
            ["bash", "-c", 'eval "$1"; shift; exec aws --output json "$@"', "-", script, *arguments],
            env={"PATH": path, "HOME": "/nonexistent"},
            capture_output=True,
            text=True,
            check=False,
        )

    identity = aws("sts", "get-caller-identity")
    assert identity.returncode == 0, identity.stderr
    assert json.loads(identity.stdout)["Arn"] == f"arn:aws:iam::{server.account_id}:root"
    bucket = f"aws-cli-{uuid.uuid4().hex[:8]}"
    assert aws("s3", "mb", f"s3://{bucket}").returncode == 0
    copied = subprocess.run(
        ["bash", "-c", 'eval "$1"; printf "hello" | aws s3 cp - "s3://$2/a/b" && aws s3 cp "s3://$2/a/b" -', "-", script, bucket],
        env={"PATH": path, "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert copied.stdout == "hello", copied.stderr
    denied = aws("sagemaker", "list-endpoints")
    assert denied.returncode != 0 and "NotImplemented" in denied.stderr


def test_credentials(run, server):
    keys = server.root
    assert json.loads(succeeded(run("credentials", "json"))) == {"AccessKeyId": keys.access_key_id, "SecretAccessKey": keys.secret_access_key}
    process = json.loads(succeeded(run("credentials", "process")))
    assert (process["Version"], process["AccessKeyId"]) == (1, keys.access_key_id)
    assert f"export AWS_ACCESS_KEY_ID={keys.access_key_id}\n" in succeeded(run("credentials", "env"))
    session = run("credentials", "json", environment={"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "S", "AWS_SESSION_TOKEN": "T"}, server=None)
    assert json.loads(succeeded(session)) == {"AccessKeyId": "A", "SecretAccessKey": "S", "SessionToken": "T"}
    failed(run("credentials", "json", server=None), 1, "there are no credentials")
    failed(run("credentials", "json", "--profile", "nobody"), 1, "the profile `nobody` is not in")


def test_credentials_are_private(server):
    assert server.credentials_file.stat().st_mode & 0o777 == 0o600
    assert server.data_dir.stat().st_mode & 0o777 == 0o700


@pytest.fixture
def account(server):
    from bailiwick_server import new_account_id

    return Account.create(server, new_account_id())


def test_explain_the_last_denial(run, account, tmp_path):
    user = account.user(policy=[allow("kms:*"), deny("kms:CreateKey", Sid="NoNewKeys")])
    with raises("AccessDeniedException") as _:
        user.client("kms").create_key()
    file = profile(tmp_path, account.credentials)
    text = succeeded(run("explain", "last", "--credentials", file))
    assert "DENIED by an explicit deny" in text
    assert "kms:CreateKey" in text and "NoNewKeys" in text and user.user_arn() in text
    document = json.loads(succeeded(run("explain", "last", "--credentials", file, "--output", "json")))
    assert document["record"]["eventName"] == "CreateKey"
    assert document["decision"]["deciding"]["sid"] == "NoNewKeys"


def test_explain_a_request(run, account, tmp_path):
    answer = account.client("iam").list_users()
    file = profile(tmp_path, account.credentials)
    text = succeeded(run("explain", request_id(answer), "--credentials", file))
    assert "ALLOWED" in text and "ListUsers" in text
    failed(run("explain", "no-such-request", "--credentials", file), 1, "no call with the request id `no-such-request` is recorded")


def test_explain_a_question(run, account, tmp_path):
    user = account.user(policy=allow("s3:GetObject", "arn:aws:s3:::b/*"))
    file = profile(tmp_path, account.credentials)
    assert "ALLOWED" in succeeded(run("explain", user.user_arn(), "s3:GetObject", "arn:aws:s3:::b/k", "--credentials", file))
    denied = succeeded(run("explain", user.user_arn(), "s3:PutObject", "arn:aws:s3:::b/k", "--credentials", file))
    assert "DENIED: nothing allows it" in denied
    assert "smallest change that would allow it" in denied and '"s3:PutObject"' in denied
    failed(run("explain", user.user_arn() + "x", "s3:PutObject", "arn:aws:s3:::b/k", "--credentials", file), 1, "does not exist")


def test_commands_that_are_denied_say_so(run, account, tmp_path):
    file = profile(tmp_path, account.user().credentials)
    done = failed(run("explain", "last", "--credentials", file), 5, "bailiwick:ExplainRequest")
    assert "because no identity-based policy allows" in done.stderr


def test_commands_without_a_server(run, tmp_path):
    for arguments in (("env",), ("explain", "last"), ("backup", tmp_path / "b"), ("unseal",)):
        done = run(*arguments, "--data-dir", tmp_path / "nothing", server=None, environment={"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"})
        failed(done, 4, "no server runs on")
        assert "hint: " in done.stderr


def test_wait_gives_up(run, tmp_path):
    begun = time.monotonic()
    failed(run("wait", "--data-dir", tmp_path / "nothing", "--timeout", "1", server=None), 4, "is not ready after 1 s")
    assert time.monotonic() - begun >= 1
    succeeded(run("wait"))


def test_doctor(run, server):
    rows = json.loads(succeeded(run("doctor", "--output", "json")))
    results = {row["check"]: row["result"] for row in rows}
    assert results["data folder"] == "ok" and results["server"] == "ok"


def test_doctor_finds_what_is_wrong(run, start_server):
    server = start_server()
    assert json.loads(succeeded(run("doctor", "--output", "json", server=server)))
    os.chmod(server.data_dir / "root.key", 0o644)
    os.chmod(server.data_dir, 0o755)
    done = failed(run("doctor", "--output", "json", server=server), 3, "a check failed")
    results = {row["check"]: row["result"] for row in json.loads(done.stdout)}
    assert (results["root key"], results["data folder"]) == ("failed", "failed")


def test_two_servers_cannot_share_a_folder(run, start_server):
    server = start_server()
    done = run("up", "--data-dir", server.data_dir, "--listen", "http://127.0.0.1:0", server=None)
    failed(done, 1, "another server uses")


def test_backup_and_restore(run, start_server, tmp_path):
    server = start_server("--region", "us-east-1", "--region", "eu-central-1")
    home = Account.home(server)
    user = home.user(name="kept", policy=allow("s3:*"))
    key = home.client("kms").create_key()["KeyMetadata"]["KeyId"]
    secret = home.client("kms").encrypt(KeyId=key, Plaintext=b"kept")["CiphertextBlob"]
    for region in ("us-east-1", "eu-central-1"):
        s3 = home.client("s3", region=region)
        where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=f"kept-{region}", **where)
        s3.put_object(Bucket=f"kept-{region}", Key="k", Body=b"x" * 200_000)
    backup = tmp_path / "backup"
    assert re.match(r"backup of revision \d+ is in ", succeeded(run("backup", backup, server=server)))
    home.client("iam").create_user(UserName="after-the-backup")
    # A backup that exists is not overwritten.
    failed(run("backup", backup, server=server), 1, "must be an absolute path that does not exist yet")
    assert not (backup / "root.key").exists(), "the key that opens a backup is not in it"
    assert server.stop() == 0

    restored = tmp_path / "restored" / "data"
    (tmp_path / "restored").mkdir()
    succeeded(run("restore", backup, "--to", restored, server=None))
    failed(run("restore", backup, "--to", restored, server=None), 1, "already holds a server's state")
    (restored / "root.key").write_bytes((server.data_dir / "root.key").read_bytes())
    os.chmod(restored / "root.key", 0o600)
    again = start_server("--region", "us-east-1", "--region", "eu-central-1", data_dir=tmp_path / "restored")
    assert again.root is None, "the root user's keys are those of before"
    again.root = server.root
    home = Account.home(again)
    names = [user["UserName"] for user in home.client("iam").list_users()["Users"]]
    assert names == ["kept"]
    assert home.client("kms").decrypt(CiphertextBlob=secret)["Plaintext"] == b"kept"
    user.server = again
    for region in ("us-east-1", "eu-central-1"):
        got = user.client("s3", region_name=region).get_object(Bucket=f"kept-{region}", Key="k")
        assert got["Body"].read() == b"x" * 200_000
    assert any(event["eventName"] == "CreateUser" for event in home.events()), "the trail came along"


def test_restore_needs_a_backup(run, tmp_path):
    failed(run("restore", tmp_path, "--to", tmp_path / "new", server=None), 1, "is not a backup")
    assert not (tmp_path / "new").exists()


def test_another_root_key_opens_nothing(run, start_server, tmp_path):
    server = start_server()
    server.stop()
    (server.data_dir / "root.key").unlink()
    other = start_server()
    other.stop()
    (server.data_dir / "root.key").write_bytes((other.data_dir / "root.key").read_bytes())
    os.chmod(server.data_dir / "root.key", 0o600)
    failed(run("up", "--data-dir", server.data_dir, "--listen", "http://127.0.0.1:0", server=None), 1, "keyring")


def test_a_passphrase_seals(run, start_server):
    passphrase = "a passphrase of some length"
    server = start_server("--seal", "passphrase", environment={"BAILIWICK_PASSPHRASE": passphrase})
    home = Account.home(server)
    home.client("iam").create_user(UserName="sealed")
    server.stop()
    server.launch("--seal", "passphrase", listen=("http://127.0.0.1:0",), expect_ready=False)
    while not (server.data_dir / "server.json").exists():
        assert server.process.poll() is None, server.log_file.read_text()
        time.sleep(0.02)
    server.read_place()
    failed(run("wait", "--timeout", "0", server=server), 4, "is not ready")
    failed(run("unseal", server=server, stdin="wrong\n"), 5, "")
    failed(run("wait", "--timeout", "0", server=server), 4, "is not ready")
    assert "the server is unsealed" in succeeded(run("unseal", server=server, stdin=passphrase + "\n"))
    succeeded(run("wait", server=server))
    assert [user["UserName"] for user in Account.home(server).client("iam").list_users()["Users"]] == ["sealed"]


def test_policy_decide(run):
    cases = pathlib.Path(__file__).parents[2] / "crates/policy/tests/it/data/authorization-cases.jsonl"
    with open(cases, encoding="utf-8") as file:
        lines = [line for line, _ in zip(file, range(50))]
    done = run("policy", "decide", server=None, stdin="\n".join(lines) + "\n\nnot json\n")
    *verdicts, refused = [json.loads(line) for line in succeeded(done).splitlines()]
    assert [verdict["id"] for verdict in verdicts] == [json.loads(line)["id"] for line in lines], "an empty line is no case"
    assert "the case is not JSON" in refused["error"]


def test_stop_is_clean(start_server):
    server = start_server()
    assert server.stop() == 0
    assert not (server.data_dir / "server.json").exists()
