"""S3 Object Lock: retention in both modes, legal holds, defaults of a bucket, who may lift what, and that time alone ends it."""

import concurrent.futures
import datetime

import botocore.exceptions
import pytest

from bailiwick_server import allow, assert_denied, deny, document, raises
from s3_scenario import arn, bucket, complete, MIB, new_name, plain_client, read, s3, send

PROTECTED = "Access Denied because object protected by object lock."
MISSING = "Bucket is missing Object Lock Configuration"


@pytest.fixture
def locked(s3):
    name = new_name()
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return name


def put(s3, bucket, key="k", body=b"x", **more):
    return s3.put_object(Bucket=bucket, Key=key, Body=body, **more)["VersionId"]


def ahead(server, **step):
    return (server.now() + datetime.timedelta(**step)).replace(microsecond=0)


def held(mode, until):
    return {"ObjectLockMode": mode, "ObjectLockRetainUntilDate": until}


def retain(s3, bucket, mode, until, version=None, key="k", **more):
    more |= {} if version is None else {"VersionId": version}
    s3.put_object_retention(Bucket=bucket, Key=key, Retention={"Mode": mode, "RetainUntilDate": until}, **more)


def retention(s3, bucket, version=None, key="k"):
    more = {} if version is None else {"VersionId": version}
    found = s3.get_object_retention(Bucket=bucket, Key=key, **more)["Retention"]
    return found["Mode"], found["RetainUntilDate"]


def hold(s3, bucket, status, version=None):
    more = {} if version is None else {"VersionId": version}
    s3.put_object_legal_hold(Bucket=bucket, Key="k", LegalHold={"Status": status}, **more)


def default(s3, bucket, mode, **period):
    configuration = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": mode, **period}}}
    s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=configuration)


def assert_held(s3, bucket, version, key="k", **more):
    with raises("AccessDenied", 403, PROTECTED):
        s3.delete_object(Bucket=bucket, Key=key, VersionId=version, **more)


def test_compliance_holds_against_everybody_until_its_end(bailiwick, s3, locked):
    until = ahead(bailiwick, days=30)
    version = put(s3, locked, body=b"kept" * MIB, **held("COMPLIANCE", until))
    head = s3.head_object(Bucket=locked, Key="k")
    assert (head["ObjectLockMode"], head["ObjectLockRetainUntilDate"]) == ("COMPLIANCE", until)
    assert retention(s3, locked, version) == ("COMPLIANCE", until)
    # The caller is the account's root user, who may do everything else.
    assert_held(s3, locked, version)
    assert_held(s3, locked, version, BypassGovernanceRetention=True)
    [error] = s3.delete_objects(Bucket=locked, BypassGovernanceRetention=True, Delete={"Objects": [{"Key": "k", "VersionId": version}]})["Errors"]
    assert (error["Code"], error["Message"]) == ("AccessDenied", PROTECTED)
    for mode, end in (("COMPLIANCE", until - datetime.timedelta(seconds=1)), ("GOVERNANCE", ahead(bailiwick, days=60))):
        for more in ({}, {"BypassGovernanceRetention": True}):
            with raises("AccessDenied", 403, PROTECTED):
                retain(s3, locked, mode, end, version, **more)
    with raises("AccessDenied", 403, PROTECTED):
        s3.put_object_retention(Bucket=locked, Key="k", Retention={}, BypassGovernanceRetention=True)
    # It may be hidden, overwritten and copied over; the version stays. Its bucket stays, too.
    s3.delete_object(Bucket=locked, Key="k")
    put(s3, locked, body=b"newer")
    assert read(s3, locked, "k", VersionId=version) == b"kept" * MIB
    with raises("BucketNotEmpty", 409):
        s3.delete_bucket(Bucket=locked)
    with raises("InvalidBucketState", 409, "cannot be changed"):
        s3.put_bucket_versioning(Bucket=locked, VersioningConfiguration={"Status": "Suspended"})
    s3.put_bucket_versioning(Bucket=locked, VersioningConfiguration={"Status": "Enabled"})
    # It grows, and never shrinks.
    longer = ahead(bailiwick, days=40)
    retain(s3, locked, "COMPLIANCE", longer, version)
    assert retention(s3, locked, version) == ("COMPLIANCE", longer)
    with raises("AccessDenied", 403, PROTECTED):
        retain(s3, locked, "COMPLIANCE", until, version)
    bailiwick.advance_clock(days=39, hours=23)
    assert_held(s3, locked, version)
    bailiwick.advance_clock(hours=2)
    s3.delete_object(Bucket=locked, Key="k", VersionId=version)
    with raises("NoSuchVersion", 404):
        s3.get_object(Bucket=locked, Key="k", VersionId=version)


def test_governance_is_lifted_by_who_may_and_says_so(bailiwick, account, s3, locked):
    until = ahead(bailiwick, days=10)
    version = put(s3, locked, **held("GOVERNANCE", until))
    everything = allow("s3:*", [arn(locked), arn(locked, "*")])
    but_bypass = deny("s3:BypassGovernanceRetention", "*")
    clerk = account.user(policy=document(everything, but_bypass)).client("s3")
    officer = account.user(policy=everything).client("s3")
    for client in (clerk, officer):
        assert_held(client, locked, version)
        with raises("AccessDenied", 403, PROTECTED):
            retain(client, locked, "GOVERNANCE", ahead(bailiwick, days=5), version)
        with raises("AccessDenied", 403, PROTECTED):
            retain(client, locked, "COMPLIANCE", ahead(bailiwick, days=15), version)
    bypass = {"BypassGovernanceRetention": True}
    assert_denied(lambda: clerk.delete_object(Bucket=locked, Key="k", VersionId=version, **bypass), "s3:BypassGovernanceRetention", explicit=True)
    assert_denied(lambda: retain(clerk, locked, "GOVERNANCE", ahead(bailiwick, days=5), version, **bypass), "s3:BypassGovernanceRetention")
    [error] = clerk.delete_objects(Bucket=locked, Delete={"Objects": [{"Key": "k", "VersionId": version}]}, **bypass)["Errors"]
    assert "s3:BypassGovernanceRetention" in error["Message"]
    # Longer needs no bypass.
    longer = ahead(bailiwick, days=20)
    retain(clerk, locked, "GOVERNANCE", longer, version)
    assert retention(s3, locked, version) == ("GOVERNANCE", longer)
    shorter = ahead(bailiwick, days=5)
    retain(officer, locked, "GOVERNANCE", shorter, version, **bypass)
    assert retention(s3, locked, version) == ("GOVERNANCE", shorter)
    officer.put_object_retention(Bucket=locked, Key="k", VersionId=version, Retention={}, **bypass)
    with raises("NoSuchObjectLockConfiguration", 404):
        retention(s3, locked, version)
    retain(officer, locked, "GOVERNANCE", until, version)
    # A legal hold is lifted by no bypass.
    hold(officer, locked, "ON", version)
    assert_held(officer, locked, version, **bypass)
    hold(officer, locked, "OFF", version)
    [done] = officer.delete_objects(Bucket=locked, Delete={"Objects": [{"Key": "k", "VersionId": version}]}, **bypass)["Deleted"]
    assert done["VersionId"] == version


def test_a_legal_hold_has_no_end(bailiwick, s3, locked):
    first = put(s3, locked, ObjectLockLegalHoldStatus="ON")
    second = put(s3, locked, body=b"y")
    assert s3.get_object(Bucket=locked, Key="k", VersionId=first)["ObjectLockLegalHoldStatus"] == "ON"
    assert s3.get_object_legal_hold(Bucket=locked, Key="k", VersionId=first)["LegalHold"]["Status"] == "ON"
    with raises("NoSuchObjectLockConfiguration", 404, "does not have a ObjectLock configuration"):
        s3.get_object_legal_hold(Bucket=locked, Key="k", VersionId=second)
    bailiwick.advance_clock(days=1)
    assert_held(s3, locked, first)
    # A lock is one version's; the other goes, and the held one is the object again.
    s3.delete_object(Bucket=locked, Key="k", VersionId=second)
    assert_held(s3, locked, first)
    hold(s3, locked, "OFF")
    assert s3.head_object(Bucket=locked, Key="k")["ObjectLockLegalHoldStatus"] == "OFF"
    s3.delete_object(Bucket=locked, Key="k", VersionId=first)
    marker = s3.delete_object(Bucket=locked, Key="k")["VersionId"]
    for call in (lambda: hold(s3, locked, "ON", marker), lambda: retain(s3, locked, "GOVERNANCE", ahead(bailiwick, days=1), marker)):
        with raises("MethodNotAllowed", 405):
            call()
    # A marker is never held.
    s3.delete_object(Bucket=locked, Key="k", VersionId=marker)
    s3.delete_bucket(Bucket=locked)


def test_a_buckets_default_holds_what_comes(bailiwick, account, s3, bucket):
    with raises("ObjectLockConfigurationNotFoundError", 404, "does not exist for this bucket"):
        s3.get_object_lock_configuration(Bucket=bucket)
    with raises("InvalidBucketState", 409, "Versioning must be 'Enabled'"):
        default(s3, bucket, "COMPLIANCE", Days=184)
    s3.put_object(Bucket=bucket, Key="k", Body=b"before")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    default(s3, bucket, "COMPLIANCE", Days=184)
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 184}}
    assert s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"] == {"ObjectLockEnabled": "Enabled", "Rule": rule}
    # What was there is held only when somebody says so, the null version, too.
    with raises("NoSuchObjectLockConfiguration"):
        retention(s3, bucket)
    retain(s3, bucket, "COMPLIANCE", ahead(bailiwick, days=1), "null")
    assert_held(s3, bucket, "null")

    def days(found):
        return round((found[1] - bailiwick.now()) / datetime.timedelta(days=1), 2)

    versions = {put(s3, bucket): 184}
    copied = s3.copy_object(Bucket=bucket, Key="k", CopySource={"Bucket": bucket, "Key": "k"}, MetadataDirective="REPLACE")
    versions[copied["VersionId"]] = 184
    versions[put(s3, bucket, **held("GOVERNANCE", ahead(bailiwick, days=3)))] = 3
    upload, parts = send(s3, bucket, "k", [b"m" * 5 * MIB, b"end"])
    versions[complete(s3, bucket, "k", upload, parts)["VersionId"]] = 184
    explicit = {**held("GOVERNANCE", ahead(bailiwick, days=7)), "ObjectLockLegalHoldStatus": "ON"}
    upload, parts = send(s3, bucket, "k", [b"m"], **explicit)
    versions[complete(s3, bucket, "k", upload, parts)["VersionId"]] = 7
    for version, expected in versions.items():
        mode, until = retention(s3, bucket, version)
        assert (mode, days((mode, until))) == ("COMPLIANCE" if expected == 184 else "GOVERNANCE", expected)
        assert_held(s3, bucket, version)
    assert s3.head_object(Bucket=bucket, Key="k")["ObjectLockLegalHoldStatus"] == "ON"
    # What holds must arrive as it was sent.
    plain = plain_client(account)
    with raises("InvalidRequest", 400, "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests"):
        plain.put_object(Bucket=bucket, Key="plain", Body=b"x")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="plain")["UploadId"]
    with raises("InvalidRequest", 400, "required for Put Part requests"):
        plain.upload_part(Bucket=bucket, Key="plain", UploadId=upload, PartNumber=1, Body=b"x")
    default(s3, bucket, "GOVERNANCE", Years=1)
    assert days(retention(s3, bucket, put(s3, bucket))) in (365, 366)
    s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})
    assert "Rule" not in s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
    plain.put_object(Bucket=bucket, Key="plain", Body=b"x")
    with raises("NoSuchObjectLockConfiguration"):
        retention(s3, bucket, key="plain")


def test_what_is_wrong_is_refused(bailiwick, s3, bucket, locked):
    future, past = ahead(bailiwick, days=1), ahead(bailiwick, days=-1)
    put_plain = s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert "VersionId" not in put_plain
    for call in (
        lambda: retain(s3, bucket, "GOVERNANCE", future),
        lambda: retention(s3, bucket),
        lambda: hold(s3, bucket, "ON"),
        lambda: s3.get_object_legal_hold(Bucket=bucket, Key="k"),
        lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"x", ObjectLockLegalHoldStatus="OFF"),
        lambda: s3.create_multipart_upload(Bucket=bucket, Key="k", **held("GOVERNANCE", future)),
        lambda: s3.copy_object(Bucket=bucket, Key="c", CopySource={"Bucket": bucket, "Key": "k"}, **held("GOVERNANCE", future)),
    ):
        with raises("InvalidRequest", 400, MISSING):
            call()
    put(s3, locked)
    for headers, message in (
        ({"ObjectLockMode": "GOVERNANCE"}, "must both be supplied"),
        ({"ObjectLockRetainUntilDate": future}, "must both be supplied"),
        (held("compliance", future), "ObjectLockMode"),
        (held("COMPLIANCE", past), "The retain until date must be in the future!"),
        ({"ObjectLockLegalHoldStatus": "on"}, "ObjectLockLegalHoldStatus"),
    ):
        with raises("InvalidArgument", 400, message):
            s3.put_object(Bucket=locked, Key="k", Body=b"x", **headers)
    with raises("InvalidArgument", 400, "must be in the future"):
        retain(s3, locked, "GOVERNANCE", past)
    for call in (
        lambda: retain(s3, locked, "governance", future),
        lambda: s3.put_object_retention(Bucket=locked, Key="k", Retention={"Mode": "GOVERNANCE"}),
        lambda: s3.put_object_retention(Bucket=locked, Key="k", Retention={"RetainUntilDate": future}),
        lambda: hold(s3, locked, "on"),
        lambda: default(s3, locked, "GOVERNANCE"),
        lambda: default(s3, locked, "GOVERNANCE", Days=1, Years=1),
        lambda: default(s3, locked, "governance", Days=1),
        lambda: s3.put_object_lock_configuration(Bucket=locked, ObjectLockConfiguration={"ObjectLockEnabled": "Disabled"}),
    ):
        with raises("MalformedXML", 400):
            call()
    for period in ({"Days": 0}, {"Days": -1}, {"Days": 36501}, {"Years": 101}):
        with raises("InvalidArgument", 400):
            default(s3, locked, "GOVERNANCE", **period)
    for call in (lambda: hold(s3, locked, "ON", "x"), lambda: retention(s3, locked, "x")):
        with raises("InvalidArgument", 400, "Invalid version id"):
            call()
    with raises("NoSuchKey", 404):
        retention(s3, locked, key="missing")
    assert [entry["Key"] for entry in s3.list_object_versions(Bucket=locked)["Versions"]] == ["k"]


def test_locks_have_permissions_and_conditions(bailiwick, account, s3, locked):
    version = put(s3, locked, **held("GOVERNANCE", ahead(bailiwick, days=1)), ObjectLockLegalHoldStatus="ON")
    writer = account.user(policy=allow(["s3:PutObject", "s3:GetObject"], arn(locked, "*"))).client("s3")
    calls = {
        "s3:PutObjectRetention": lambda: retain(writer, locked, "GOVERNANCE", ahead(bailiwick, days=2)),
        "s3:GetObjectRetention": lambda: retention(writer, locked),
        "s3:PutObjectLegalHold": lambda: hold(writer, locked, "OFF"),
        "s3:GetObjectLegalHold": lambda: writer.get_object_legal_hold(Bucket=locked, Key="k"),
        "s3:PutBucketObjectLockConfiguration": lambda: default(writer, locked, "GOVERNANCE", Days=1),
        "s3:GetBucketObjectLockConfiguration": lambda: writer.get_object_lock_configuration(Bucket=locked),
    }
    for action, call in calls.items():
        assert_denied(call, action, by="identity")
    assert_denied(lambda: put(writer, locked, **held("GOVERNANCE", ahead(bailiwick, days=2))), "s3:PutObjectRetention")
    assert_denied(lambda: put(writer, locked, ObjectLockLegalHoldStatus="OFF"), "s3:PutObjectLegalHold")
    # What holds an object is told to those who may ask.
    head = writer.head_object(Bucket=locked, Key="k")
    assert not {"ObjectLockMode", "ObjectLockRetainUntilDate", "ObjectLockLegalHoldStatus"} & set(head)
    creator = account.user(policy=allow("s3:CreateBucket")).client("s3")
    assert_denied(lambda: creator.create_bucket(Bucket=new_name(), ObjectLockEnabledForBucket=True), "s3:PutBucketObjectLockConfiguration")

    everything = allow("s3:*", [arn(locked), arn(locked, "*")])
    limits = [
        deny("s3:PutObjectRetention", "*", Condition={"NumericGreaterThan": {"s3:object-lock-remaining-retention-days": "10"}}),
        deny("s3:PutObjectRetention", "*", Condition={"StringEquals": {"s3:object-lock-mode": "COMPLIANCE"}}),
        deny("s3:PutObjectRetention", "*", Condition={"DateGreaterThan": {"s3:object-lock-retain-until-date": "2200-01-01T00:00:00Z"}}),
        deny("s3:PutObjectLegalHold", "*", Condition={"StringEquals": {"s3:object-lock-legal-hold": "OFF"}}),
    ]
    limited = account.user(policy=document(everything, *limits)).client("s3")
    retain(limited, locked, "GOVERNANCE", ahead(bailiwick, days=9), version)
    put(limited, locked, key="other", **held("GOVERNANCE", ahead(bailiwick, days=9)))
    for mode, end in (
        ("GOVERNANCE", ahead(bailiwick, days=11)),
        ("COMPLIANCE", ahead(bailiwick, days=9)),
        ("GOVERNANCE", datetime.datetime(2200, 2, 1, tzinfo=datetime.timezone.utc)),
    ):
        assert_denied(lambda: retain(limited, locked, mode, end, version), "s3:PutObjectRetention", explicit=True)
        assert_denied(lambda: put(limited, locked, **held(mode, end)), "s3:PutObjectRetention", explicit=True)
    assert_denied(lambda: hold(limited, locked, "OFF"), "s3:PutObjectLegalHold", explicit=True)
    hold(limited, locked, "ON")


def test_of_a_deletion_and_a_retention_at_once_one_wins(bailiwick, account, s3, locked):
    until = ahead(bailiwick, days=1)
    clients = [account.client("s3") for _ in range(2)]

    def attempt(call):
        try:
            call()
            return None
        except botocore.exceptions.ClientError as error:
            return error.response["Error"]["Code"]

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for number in range(8):
            key = f"k{number}"
            version = put(s3, locked, key)
            retained = pool.submit(attempt, lambda: retain(clients[0], locked, "COMPLIANCE", until, version, key))
            deleted = pool.submit(attempt, lambda: clients[1].delete_object(Bucket=locked, Key=key, VersionId=version))
            outcome = (retained.result(), deleted.result())
            assert outcome in ((None, "AccessDenied"), ("NoSuchVersion", None)), outcome
            if outcome[1] is not None:
                assert read(s3, locked, key, VersionId=version) == b"x"
