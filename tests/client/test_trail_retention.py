"""Retention of the server's own log: bodies go, hashes and proofs stay, and nothing goes that is still needed."""

import base64
import datetime
import json
import time
import types

import pytest

from bailiwick_server import Account
from test_cloudtrail_lake import new_store, run, store_id
from test_cloudtrail_trails import bucket_policy, log_bucket, records
from test_trail_evidence import Scene, checkpoint, entries, fetch, leaf_hash, run as bailiwick, tree_root

REGION = "us-east-1"
BUNDLES = 3


@pytest.fixture
def server(start_server):
    return start_server("--ephemeral", "--manual-clock", "--region", REGION, "--background-interval", "1", "--audit-retention", "6-months")


def fill(account):
    """More events than a few bundles hold."""
    client = account.client("sts")
    for _ in range(BUNDLES * 256):
        client.get_caller_identity()


def pruning(account):
    """The newest event of pruning, once there is one. Bounded, by tries."""
    for _ in range(600):
        found = account.events(EventName="PruneAuditLog")
        if found:
            return found[0]
        time.sleep(0.05)
    raise AssertionError("nothing was pruned")


def test_what_is_past_its_retention_goes_and_proofs_stay(server, tmp_path):
    account = Account.home(server)
    [setting] = account.events(EventName="SetAuditRetention")
    assert setting["serviceEventDetails"] == {"days": 184}
    bucket = log_bucket(account)
    trails = account.client("cloudtrail")
    arn = trails.create_trail(Name="kept", S3BucketName=bucket, EnableLogFileValidation=True)["TrailARN"]
    trails.start_logging(Name="kept")
    account.client("iam").create_user(UserName="of-old")
    fill(account)
    # The final digest: nothing is delivered any more while the copies are made.
    trails.stop_logging(Name="kept")
    server.flush()
    _, size, root = checkpoint(server)
    before = entries(server, size)
    server.advance_clock(days=190)
    told = pruning(account)
    assert told["userIdentity"]["invokedBy"] == "bailiwick.internal"
    first = told["serviceEventDetails"]["firstLeafKept"]
    assert 256 <= first <= size
    # The tree and its entries are what they were.
    _, later, later_root = checkpoint(server)
    after = entries(server, later)
    assert after[:size] == before and tree_root([leaf_hash(leaf) for leaf in after]) == later_root
    assert tree_root([leaf_hash(leaf) for leaf in after[:size]]) == root
    # Files that are older than the log's events verify.
    server.flush()
    copied = types.SimpleNamespace(server=server, account=account, bucket=bucket, folder=tmp_path)
    Scene.copy_bucket(copied)
    Scene.mirror(copied, tmp_path / "log")
    known = trails.list_public_keys(StartTime=server.now() - datetime.timedelta(days=400))["PublicKeyList"]
    keys = [{"Fingerprint": key["Fingerprint"], "Value": base64.b64encode(key["Value"]).decode()} for key in known]
    (tmp_path / "keys").write_text(json.dumps({"PublicKeyList": keys}))
    places = ("--files", tmp_path / "bucket", "--metadata", tmp_path / "metadata", "--public-keys", tmp_path / "keys", "--log", tmp_path / "log")
    log_keys = [flag for key in fetch(server, "keys").decode().split() for flag in ("--log-key", key)]
    code, printed = bailiwick(server, "trail", "verify", "--trail-arn", arn, "--bucket", bucket, *places, *log_keys)
    assert code == 0, printed
    assert "of-old" in {(record.get("requestParameters") or {}).get("userName") for record in records(account, bucket)}


def test_an_event_data_store_keeps_what_it_was_made_for(server):
    account = Account.home(server)
    lake = account.client("cloudtrail")
    long = new_store(lake, RetentionPeriod=366)
    account.client("iam").create_user(UserName="of-old")
    fill(account)
    server.advance_clock(days=190)
    statement = f"SELECT eventName FROM {store_id(long)} WHERE eventName = 'CreateUser'"
    assert len(run(lake, statement)) == 1
    server.advance_clock(days=190)
    pruning(account)
    assert run(lake, statement) == []


def test_a_trail_that_could_not_deliver_keeps_its_events(server):
    account = Account.home(server)
    bucket = log_bucket(account)
    trails, s3 = account.client("cloudtrail"), account.client("s3")
    trails.create_trail(Name="refused", S3BucketName=bucket)
    trails.start_logging(Name="refused")
    s3.delete_bucket_policy(Bucket=bucket)
    account.client("iam").create_user(UserName="of-old")
    fill(account)
    server.flush()
    for _ in range(2):
        server.advance_clock(days=190)
        server.flush()
    s3.put_bucket_policy(Bucket=bucket, Policy=bucket_policy(bucket, account.id))
    server.flush()
    users = [(record.get("requestParameters") or {}).get("userName") for record in records(account, bucket) if record["eventName"] == "CreateUser"]
    assert users == ["of-old"]
    # What is delivered may go.
    server.advance_clock(days=2)
    pruning(account)


def test_a_shortened_retention_is_final(bailiwick_account_with_store):
    account, store = bailiwick_account_with_store
    lake = account.client("cloudtrail")
    account.client("iam").create_user(UserName="of-old")
    statement = f"SELECT eventName FROM {store_id(store)} WHERE eventName = 'CreateUser'"
    assert len(run(lake, statement)) == 1
    account.server.advance_clock(days=8)
    assert len(run(lake, statement)) == 1
    lake.update_event_data_store(EventDataStore=store, RetentionPeriod=7)
    assert run(lake, statement) == []
    lake.update_event_data_store(EventDataStore=store, RetentionPeriod=366)
    assert run(lake, statement) == []
    account.client("iam").create_user(UserName="new")
    assert len(run(lake, statement)) == 1


@pytest.fixture
def bailiwick_account_with_store(account):
    return account, new_store(account.client("cloudtrail"), RetentionPeriod=366)


def test_what_is_promised_in_compliance_mode_is_not_shortened(start_server):
    server = start_server("--store", "redb", "--audit-retention", "1-year-compliance")
    [setting] = Account.home(server).events(EventName="SetAuditRetention")
    assert setting["serviceEventDetails"] == {"days": 366, "mode": "COMPLIANCE"}
    server.stop()
    for shorter in ("6-months", "6-months-compliance"):
        server.launch("--store", "redb", "--audit-retention", shorter, expect_ready=False)
        assert server.process.wait(60) != 0
        assert "held in compliance mode for 366 days" in server.log_file.read_text()
    # The same without the word, and longer, is what was promised and more.
    server.launch("--store", "redb", "--audit-retention", "7-years-compliance")
    server.stop()
    server.launch("--store", "redb", "--audit-retention", "1-year", expect_ready=False)
    assert server.process.wait(60) != 0
    assert "for 2557 days" in server.log_file.read_text()
    server.launch("--store", "redb")
