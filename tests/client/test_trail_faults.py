"""The audit trail when things break: a full disk, a folder that takes nothing, a clock that steps back. No event is lost, none is there twice."""

import datetime
import os
import resource
import time

import botocore.config
import botocore.exceptions
import pytest

from bailiwick_server import Account
from test_cloudtrail_logs import delivered as in_group
from test_cloudtrail_logs import target
from test_cloudtrail_trails import bucket_policy, log_bucket, objects, records
from test_trail_evidence import checkpoint, entries, leaf_hash, tree_root

TRIES = 300


def until(try_it, what):
    """What `try_it` gives, once it gives something. Bounded, by tries."""
    for _ in range(TRIES):
        found = try_it()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"it never came: {what}")


def attempt(call):
    """Whether the call was done; what refuses it must be a failure of the server, told as one."""
    try:
        call()
    except botocore.exceptions.ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500, error
        return False
    return True


def created_users(account):
    return [event["requestParameters"]["userName"] for event in account.events(EventName="CreateUser") if "errorCode" not in event]


def assert_log_is_whole(server, earlier):
    """The tree continues the earlier checkpoint, and no leaf is there twice."""
    size, root = checkpoint(server)[1:]
    leaves = entries(server, size)
    assert tree_root([leaf_hash(leaf) for leaf in leaves]) == root
    assert tree_root([leaf_hash(leaf) for leaf in leaves[: earlier[1]]]) == earlier[2]
    assert len(set(leaves)) == len(leaves)


def test_a_full_disk_refuses_calls_and_loses_nothing(start_server):
    server = start_server("--region", "us-east-1")
    account = Account.home(server)
    iam = account.client("iam", config=botocore.config.Config(retries={"total_max_attempts": 1}))
    iam.create_user(UserName="before")
    before = checkpoint(server)
    unlimited = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    # No file takes a byte behind its first kilobyte any more.
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (1024, unlimited[1]))
    try:
        refused = [f"refused-{number}" for number in range(5)]
        done = [name for name in refused if attempt(lambda name=name: iam.create_user(UserName=name))]
        assert done == []
        # Reads are refused, too: they could not be recorded.
        until(lambda: not attempt(iam.list_users), "a refused read")
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, unlimited)
    until(lambda: attempt(lambda: iam.create_user(UserName=f"after-{time.monotonic_ns()}")), "a call that is taken again")
    # The recorder tries again by itself; until it has, reads are refused.
    until(lambda: attempt(iam.list_users), "a read that is taken again")
    users = {user["UserName"] for user in iam.list_users()["Users"]}
    assert "before" in users and not users & set(refused)
    created = created_users(account)
    assert len(created) == len(set(created)) and set(created) == users
    assert_log_is_whole(server, before)
    # What is on the disk is what was told: also after the next start.
    server.kill()
    server.launch("--region", "us-east-1")
    account = Account.home(server)
    assert {user["UserName"] for user in account.client("iam").list_users()["Users"]} == users
    assert set(created_users(account)) == users
    assert_log_is_whole(server, before)


def test_objects_that_the_folder_does_not_take_are_refused(start_server):
    server = start_server("--region", "us-east-1")
    account = Account.home(server)
    s3 = account.client("s3", config=botocore.config.Config(retries={"total_max_attempts": 1}))
    s3.create_bucket(Bucket="folder-test")
    large = os.urandom(64 * 1024)
    s3.put_object(Bucket="folder-test", Key="before", Body=large)
    folder = until(lambda: next(iter(server.data_dir.glob("**/objects")), None), "the folder of objects")
    away = folder.with_name("objects-away")
    folder.rename(away)
    folder.write_text("in the way")
    try:
        assert not attempt(lambda: s3.put_object(Bucket="folder-test", Key="refused", Body=large))
        # What needs no file is done.
        s3.put_object(Bucket="folder-test", Key="small", Body=b"small")
    finally:
        folder.unlink()
        away.rename(folder)
    s3.put_object(Bucket="folder-test", Key="after", Body=large)
    assert [item["Key"] for item in s3.list_objects_v2(Bucket="folder-test")["Contents"]] == ["after", "before", "small"]
    for key in ("before", "after"):
        assert s3.get_object(Bucket="folder-test", Key=key)["Body"].read() == large


@pytest.fixture
def clock_server(start_server):
    return start_server("--ephemeral", "--manual-clock", "--region", "us-east-1")


def test_a_clock_that_steps_back_loses_no_event_and_repeats_no_digest(clock_server):
    server = clock_server
    account = Account.home(server)
    bucket = log_bucket(account)
    trails = account.client("cloudtrail")
    before = checkpoint(server)
    logs = account.client("logs")
    logs.create_log_group(logGroupName="/steady")
    trails.create_trail(Name="steady", S3BucketName=bucket, EnableLogFileValidation=True, **target(account, "/steady"))
    trails.start_logging(Name="steady")
    iam = account.client("iam")
    names = []

    def create(name):
        iam.create_user(UserName=name)
        names.append(name)

    create("first")
    server.advance_clock(hours=2)
    create("later")
    server.flush()
    # Behind the start of logging.
    server.advance_clock(hours=-5)
    create("back")
    server.flush()
    # Stopped and started in the past, for what is later by the log and earlier by the clock.
    trails.stop_logging(Name="steady")
    server.flush()
    trails.start_logging(Name="steady")
    create("again")
    server.advance_clock(hours=8)
    create("ahead")
    server.flush()
    delivered = [record["requestParameters"]["userName"] for record in records(account, bucket) if record["eventName"] == "CreateUser"]
    assert sorted(delivered) == sorted(names)
    told = [record["requestParameters"]["userName"] for record in in_group(logs, "/steady") if record["eventName"] == "CreateUser"]
    assert sorted(told) == sorted(names)
    assert [event["requestParameters"]["userName"] for event in account.events(EventName="CreateUser")] == names[::-1]
    # Every digest continues the one before it, and covers a time of its own.
    digests = sorted(objects(account, bucket, folder="CloudTrail-Digest/").values(), key=lambda digest: digest["digestEndTime"])
    assert len(digests) >= 3 and len({digest["digestS3Object"] for digest in digests}) == len(digests)
    for earlier, digest in zip(digests, digests[1:]):
        assert digest["previousDigestS3Object"] == earlier["digestS3Object"]
        assert earlier["digestStartTime"] < earlier["digestEndTime"] <= digest["digestStartTime"]
    listed = [file["s3Object"] for digest in digests for file in digest["logFiles"]]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(objects(account, bucket))
    assert_log_is_whole(server, before)


def test_what_a_bucket_refused_is_delivered_once_each_when_it_takes_files(clock_server):
    """Over many rounds and hours, with the status telling."""
    server = clock_server
    account = Account.home(server)
    bucket = log_bucket(account)
    trails, s3, iam = account.client("cloudtrail"), account.client("s3"), account.client("iam")
    trails.create_trail(Name="refused", S3BucketName=bucket, EnableLogFileValidation=True)
    trails.start_logging(Name="refused")
    s3.delete_bucket_policy(Bucket=bucket)
    for number in range(4):
        iam.create_user(UserName=f"user-{number}")
        server.advance_clock(hours=1)
        server.flush()
        status = trails.get_trail_status(Name="refused")
        assert status["LatestDeliveryError"] == "AccessDenied" and status["IsLogging"] and "LatestDeliveryTime" not in status
    s3.put_bucket_policy(Bucket=bucket, Policy=bucket_policy(bucket, account.id))
    server.flush()
    status = trails.get_trail_status(Name="refused")
    assert "LatestDeliveryError" not in status
    assert abs(status["LatestDeliveryTime"] - server.now()) < datetime.timedelta(minutes=1)
    delivered = [record["requestParameters"]["userName"] for record in records(account, bucket) if record["eventName"] == "CreateUser"]
    assert sorted(delivered) == [f"user-{number}" for number in range(4)]
    ids = [record["eventID"] for record in records(account, bucket)]
    assert len(ids) == len(set(ids))
