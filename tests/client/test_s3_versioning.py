"""S3: versions of objects, delete markers, suspended buckets, lists of versions, permissions on versions."""

import concurrent.futures

import botocore.exceptions
import pytest

from bailiwick_server import Account, allow, assert_denied, deny, document, raises
from s3_scenario import arn, bucket, complete, MIB, new_name, read, s3, send

NO_VERSION = "A" * 32


@pytest.fixture
def versioned(s3, bucket):
    turn(s3, bucket, "Enabled")
    return bucket


def turn(s3, bucket, status):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})


def put(s3, bucket, key, body, **more):
    return s3.put_object(Bucket=bucket, Key=key, Body=body, **more).get("VersionId")


def listed(s3, bucket, **more):
    """Key, id, whether it is the latest and what it is, of each version and delete marker, in the order of each list."""
    answer = s3.list_object_versions(Bucket=bucket, **more)
    versions = [(entry["Key"], entry["VersionId"], entry["IsLatest"], entry["Size"]) for entry in answer.get("Versions", [])]
    markers = [(entry["Key"], entry["VersionId"], entry["IsLatest"], "marker") for entry in answer.get("DeleteMarkers", [])]
    return versions + markers


def headers_of(call):
    """Status and headers of a call that fails."""
    try:
        call()
    except botocore.exceptions.ClientError as error:
        answer = error.response["ResponseMetadata"]
        return answer["HTTPStatusCode"], answer["HTTPHeaders"]
    raise AssertionError("the call succeeded")


def empty(s3, bucket):
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, MaxKeys=2):
        found = page.get("Versions", []) + page.get("DeleteMarkers", [])
        objects = [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in found]
        if objects:
            assert "Errors" not in s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})


def test_what_is_overwritten_or_deleted_stays_as_a_version(s3, bucket):
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    assert put(s3, bucket, "k", b"before") is None
    turn(s3, bucket, "Enabled")
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    # What was there before versioning is the null version.
    assert s3.head_object(Bucket=bucket, Key="k")["VersionId"] == "null"
    # Small ones are kept in the store, large ones in files: both stay.
    first, second = put(s3, bucket, "k", b"1"), put(s3, bucket, "k", b"2" * MIB)
    assert len({first, second, "null"}) == 3
    assert read(s3, bucket, "k") == b"2" * MIB
    for version, content in {"null": b"before", first: b"1", second: b"2" * MIB}.items():
        got = s3.get_object(Bucket=bucket, Key="k", VersionId=version)
        assert (got["Body"].read(), got["VersionId"]) == (content, version)
        assert s3.head_object(Bucket=bucket, Key="k", VersionId=version)["ContentLength"] == len(content)
        size = s3.get_object_attributes(Bucket=bucket, Key="k", VersionId=version, ObjectAttributes=["ObjectSize"])
        assert (size["ObjectSize"], size["VersionId"]) == (len(content), version)
        s3.get_object_acl(Bucket=bucket, Key="k", VersionId=version)
    assert s3.get_object(Bucket=bucket, Key="k", VersionId=first, Range="bytes=0-0")["Body"].read() == b"1"

    gone = s3.delete_object(Bucket=bucket, Key="k")
    marker = gone["VersionId"]
    assert gone["DeleteMarker"] is True and marker not in (first, second)
    status, headers = headers_of(lambda: s3.get_object(Bucket=bucket, Key="k"))
    assert (status, headers["x-amz-delete-marker"], headers["x-amz-version-id"]) == (404, "true", marker)
    assert headers_of(lambda: s3.head_object(Bucket=bucket, Key="k"))[1]["x-amz-delete-marker"] == "true"
    for call in (s3.get_object, s3.head_object, s3.get_object_tagging, s3.get_object_acl):
        status, headers = headers_of(lambda: call(Bucket=bucket, Key="k", VersionId=marker))
        assert (status, headers["x-amz-delete-marker"], headers["allow"]) == (405, "true", "DELETE")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    assert listed(s3, bucket) == [
        ("k", second, False, MIB),
        ("k", first, False, 1),
        ("k", "null", False, 6),
        ("k", marker, True, "marker"),
    ]
    with raises("BucketNotEmpty", 409, "all versions"):
        s3.delete_bucket(Bucket=bucket)

    # Without the marker the object is back; without its newest version, the one before is the object.
    back = s3.delete_object(Bucket=bucket, Key="k", VersionId=marker)
    assert (back["DeleteMarker"], back["VersionId"]) == (True, marker)
    assert s3.head_object(Bucket=bucket, Key="k")["VersionId"] == second
    done = s3.delete_object(Bucket=bucket, Key="k", VersionId=second)
    assert ("DeleteMarker" not in done, done["VersionId"]) == (True, second)
    assert read(s3, bucket, "k") == b"1"
    with raises("NoSuchVersion", 404, "specified version does not exist"):
        s3.get_object(Bucket=bucket, Key="k", VersionId=second)
    s3.delete_object(Bucket=bucket, Key="k", VersionId=second)
    s3.delete_object(Bucket=bucket, Key="k", VersionId="null")
    s3.delete_object(Bucket=bucket, Key="k", VersionId=first)
    assert listed(s3, bucket) == []
    # A marker hides what is not there, too, and keeps its bucket.
    s3.delete_object(Bucket=bucket, Key="nothing")
    with raises("BucketNotEmpty"):
        s3.delete_bucket(Bucket=bucket)
    empty(s3, bucket)
    s3.delete_bucket(Bucket=bucket)


def test_a_suspended_bucket_writes_null_versions(s3, versioned):
    kept = put(s3, versioned, "k", b"kept")
    turn(s3, versioned, "Suspended")
    assert s3.get_bucket_versioning(Bucket=versioned)["Status"] == "Suspended"
    assert put(s3, versioned, "k", b"null 1") is None
    assert s3.head_object(Bucket=versioned, Key="k")["VersionId"] == "null"
    put(s3, versioned, "k", b"null version 2")
    assert listed(s3, versioned) == [("k", "null", True, 14), ("k", kept, False, 4)]
    # A deletion takes the null version's place, and leaves the others.
    gone = s3.delete_object(Bucket=versioned, Key="k")
    assert (gone["DeleteMarker"], gone["VersionId"]) == (True, "null")
    assert listed(s3, versioned) == [("k", kept, False, 4), ("k", "null", True, "marker")]
    with raises("MethodNotAllowed", 405):
        s3.get_object(Bucket=versioned, Key="k", VersionId="null")
    put(s3, versioned, "k", b"null 3")
    assert listed(s3, versioned) == [("k", "null", True, 6), ("k", kept, False, 4)]
    # Once more on: the null version moves behind, and can be found, tagged and deleted there.
    turn(s3, versioned, "Enabled")
    newest = put(s3, versioned, "k", b"new")
    assert listed(s3, versioned) == [("k", newest, True, 3), ("k", "null", False, 6), ("k", kept, False, 4)]
    assert read(s3, versioned, "k", VersionId="null") == b"null 3"
    turn(s3, versioned, "Suspended")
    put(s3, versioned, "k", b"4")
    assert listed(s3, versioned) == [("k", "null", True, 1), ("k", newest, False, 3), ("k", kept, False, 4)]
    s3.delete_object(Bucket=versioned, Key="k", VersionId="null")
    assert read(s3, versioned, "k") == b"new"


@pytest.mark.parametrize("bad", ["x", "NULL", "3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrH", "A" * 33])
def test_malformed_and_unknown_ids_are_refused(s3, versioned, bad):
    put(s3, versioned, "k", b"1")
    with raises("InvalidArgument", 400, "Invalid version id specified"):
        s3.get_object(Bucket=versioned, Key="k", VersionId=bad)
    with raises("InvalidArgument", 400):
        s3.delete_object(Bucket=versioned, Key="k", VersionId=bad)
    with raises("InvalidArgument", 400):
        s3.put_object_tagging(Bucket=versioned, Key="k", VersionId=bad, Tagging={"TagSet": []})
    with raises("InvalidArgument", 400):
        s3.copy_object(Bucket=versioned, Key="c", CopySource={"Bucket": versioned, "Key": "k", "VersionId": bad})
    with raises("InvalidArgument", 400):
        s3.list_object_versions(Bucket=versioned, KeyMarker="k", VersionIdMarker=bad)
    answer = s3.delete_objects(Bucket=versioned, Delete={"Objects": [{"Key": "k", "VersionId": bad}, {"Key": "k", "VersionId": NO_VERSION}]})
    assert [(error["Code"], error["VersionId"]) for error in answer["Errors"]] == [("NoSuchVersion", bad)]
    assert [done["VersionId"] for done in answer["Deleted"]] == [NO_VERSION]
    with raises("NoSuchVersion", 404):
        s3.get_object_tagging(Bucket=versioned, Key="k", VersionId=NO_VERSION)
    assert read(s3, versioned, "k") == b"1"


def test_settings_of_versioning_are_checked(account, s3, bucket):
    with raises("NotImplemented", 501):
        s3.put_bucket_versioning(Bucket=bucket, MFA="a b", VersioningConfiguration={"Status": "Enabled", "MFADelete": "Enabled"})
    for malformed in ({"Status": "Off"}, {"Status": "Enabled", "MFADelete": "Perhaps"}):
        with raises("MalformedXML", 400):
            s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=malformed)
    with raises("IllegalVersioningConfigurationException", 400):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={})
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    with raises("NoSuchBucket", 404):
        turn(s3, new_name(), "Enabled")
    nobody = account.user(policy=allow("iam:GetUser")).client("s3")
    assert_denied(lambda: turn(nobody, bucket, "Enabled"), "s3:PutBucketVersioning", by="identity")
    assert_denied(lambda: nobody.list_object_versions(Bucket=bucket), "s3:ListBucketVersions", by="identity")


def test_tags_copies_and_uploads_are_of_versions(s3, versioned):
    old = put(s3, versioned, "k", b"old", Tagging="stage=old", Metadata={"age": "old"})
    new = put(s3, versioned, "k", b"new", Tagging="stage=new")
    assert s3.put_object_tagging(Bucket=versioned, Key="k", VersionId=old, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})["VersionId"] == old
    assert s3.get_object_tagging(Bucket=versioned, Key="k", VersionId=old)["TagSet"] == [{"Key": "a", "Value": "b"}]
    assert s3.get_object_tagging(Bucket=versioned, Key="k")["TagSet"] == [{"Key": "stage", "Value": "new"}]
    assert s3.head_object(Bucket=versioned, Key="k", VersionId=old)["TagCount"] == 1
    assert s3.delete_object_tagging(Bucket=versioned, Key="k", VersionId=old)["VersionId"] == old
    assert "TagCount" not in s3.get_object(Bucket=versioned, Key="k", VersionId=old)

    # An earlier version becomes the current one by a copy onto itself; of the current one that would change nothing.
    with raises("InvalidRequest", 400, "without changing"):
        s3.copy_object(Bucket=versioned, Key="k", CopySource={"Bucket": versioned, "Key": "k"})
    restored = s3.copy_object(Bucket=versioned, Key="k", CopySource={"Bucket": versioned, "Key": "k", "VersionId": old})
    assert restored["CopySourceVersionId"] == old and restored["VersionId"] not in (old, new)
    got = s3.get_object(Bucket=versioned, Key="k")
    assert (got["Body"].read(), got["Metadata"], got["VersionId"]) == (b"old", {"age": "old"}, restored["VersionId"])

    upload, parts = send(s3, versioned, "big", [b"m" * 5 * MIB, b"end"])
    part = s3.upload_part_copy(
        Bucket=versioned, Key="big", UploadId=upload, PartNumber=2, CopySource={"Bucket": versioned, "Key": "k", "VersionId": new}
    )
    assert part["CopySourceVersionId"] == new
    parts[1] = {"PartNumber": 2, "ETag": part["CopyPartResult"]["ETag"]}
    first = complete(s3, versioned, "big", upload, parts)["VersionId"]
    second = put(s3, versioned, "big", b"small")
    assert read(s3, versioned, "big", VersionId=first)[-4:] == b"mnew"
    s3.delete_object(Bucket=versioned, Key="big", VersionId=second)
    assert s3.head_object(Bucket=versioned, Key="big")["ContentLength"] == 5 * MIB + 3

    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    source = {"Bucket": versioned, "Key": "k"}
    assert headers_of(lambda: s3.copy_object(Bucket=versioned, Key="c", CopySource=source))[1]["x-amz-version-id"] == marker
    with raises("InvalidRequest", 400, "delete marker by version id"):
        s3.copy_object(Bucket=versioned, Key="c", CopySource={**source, "VersionId": marker})
    # What is hidden is not there for a write that wants nothing there.
    put(s3, versioned, "k", b"again", IfNoneMatch="*")
    with raises("PreconditionFailed", 412):
        s3.delete_object(Bucket=versioned, Key="k", VersionId=new, IfMatch='"x"')


def test_batches_delete_versions_and_make_markers(s3, versioned):
    old, new = put(s3, versioned, "a", b"1"), put(s3, versioned, "a", b"2")
    put(s3, versioned, "b", b"3")
    objects = [{"Key": "a", "VersionId": old}, {"Key": "b"}, {"Key": "missing"}]
    first, second, third = s3.delete_objects(Bucket=versioned, Delete={"Objects": objects})["Deleted"]
    assert (first["VersionId"], "DeleteMarker" in first) == (old, False)
    assert second["DeleteMarker"] is True and third["DeleteMarker"] is True
    marker = second["DeleteMarkerVersionId"]
    [done] = s3.delete_objects(Bucket=versioned, Delete={"Objects": [{"Key": "b", "VersionId": marker}]})["Deleted"]
    assert (done["VersionId"], done["DeleteMarkerVersionId"], done["DeleteMarker"]) == (marker, marker, True)
    assert read(s3, versioned, "b") == b"3" and read(s3, versioned, "a", VersionId=new) == b"2"
    with raises("InvalidArgument", 400, "only applicable to Object Lock"):
        s3.delete_object(Bucket=versioned, Key="b", BypassGovernanceRetention=True)


def test_versions_are_listed_in_pages(s3, versioned):
    wanted = []
    for key in ("a", "a/1", "a/2", "b", "ü +"):
        ids = [put(s3, versioned, key, key.encode()) for _ in range(3)]
        if key == "b":
            ids.append(s3.delete_object(Bucket=versioned, Key=key)["VersionId"])
        wanted += [(key, version) for version in reversed(ids)]

    def paged(size, **more):
        seen, position = [], {}
        while True:
            page = s3.list_object_versions(Bucket=versioned, MaxKeys=size, **position, **more)
            found = page.get("Versions", []) + page.get("DeleteMarkers", [])
            assert len(found) + len(page.get("CommonPrefixes", [])) <= size
            # Within a key the order of the two lists is that of time only together.
            seen += sorted(((entry["Key"], entry["VersionId"]) for entry in found), key=wanted.index)
            seen += [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
            if not page["IsTruncated"]:
                return seen
            position = {"KeyMarker": page["NextKeyMarker"]}
            if "NextVersionIdMarker" in page:
                position["VersionIdMarker"] = page["NextVersionIdMarker"]

    for size in (1, 2, 5, 1000):
        assert paged(size) == wanted
        folded = paged(size, Delimiter="/")
        assert [entry for entry in folded if entry != "a/"] == [entry for entry in wanted if not entry[0].startswith("a/")]
        assert folded.count("a/") == 1
    assert paged(2, Prefix="a/") == [entry for entry in wanted if entry[0].startswith("a/")]
    latest = [(entry["Key"], entry["IsLatest"]) for entry in s3.list_object_versions(Bucket=versioned, KeyMarker="a/2")["DeleteMarkers"]]
    assert latest == [("b", True)]
    assert s3.list_object_versions(Bucket=versioned, MaxKeys=0)["IsTruncated"] is False
    encoded = s3.list_object_versions(Bucket=versioned, Prefix="ü", EncodingType="url", MaxKeys=1)
    assert (encoded["Versions"][0]["Key"], encoded["NextKeyMarker"]) == ("%C3%BC%20%2B", "%C3%BC%20%2B")
    with raises("InvalidArgument", 400, "without a key marker"):
        s3.list_object_versions(Bucket=versioned, VersionIdMarker="null")
    # What is listed goes while it is listed: nothing is left out.
    empty(s3, versioned)
    s3.delete_bucket(Bucket=versioned)


def test_versions_have_permissions_of_their_own(account, s3, versioned):
    secret, public = put(s3, versioned, "k", b"secret", Tagging="class=secret"), put(s3, versioned, "k", b"public", Tagging="class=public")
    reader = account.user(policy=allow(["s3:GetObject", "s3:DeleteObject", "s3:PutObject"], arn(versioned, "*"))).client("s3")
    assert read(reader, versioned, "k") == b"public"
    calls = {
        "s3:GetObjectVersion": lambda: read(reader, versioned, "k", VersionId=secret),
        "s3:GetObjectVersionTagging": lambda: reader.get_object_tagging(Bucket=versioned, Key="k", VersionId=secret),
        "s3:PutObjectVersionTagging": lambda: reader.put_object_tagging(
            Bucket=versioned, Key="k", VersionId=secret, Tagging={"TagSet": []}
        ),
        "s3:DeleteObjectVersionTagging": lambda: reader.delete_object_tagging(Bucket=versioned, Key="k", VersionId=secret),
        "s3:GetObjectVersionAcl": lambda: reader.get_object_acl(Bucket=versioned, Key="k", VersionId=secret),
        "s3:DeleteObjectVersion": lambda: reader.delete_object(Bucket=versioned, Key="k", VersionId=secret),
    }
    for action, call in calls.items():
        assert_denied(call, action, by="identity")
    source = {"Bucket": versioned, "Key": "k", "VersionId": secret}
    assert_denied(lambda: reader.copy_object(Bucket=versioned, Key="c", CopySource=source), "s3:GetObjectVersion")
    [error] = reader.delete_objects(Bucket=versioned, Delete={"Objects": [{"Key": "k", "VersionId": secret}]})["Errors"]
    assert error["Code"] == "AccessDenied" and "s3:DeleteObjectVersion" in error["Message"]
    # Who may not list the bucket does not learn which versions there are.
    blind = account.user(policy=allow("s3:GetObjectVersion", arn(versioned, "*"))).client("s3")
    assert read(blind, versioned, "k", VersionId=public) == b"public"
    assert_denied(lambda: read(blind, versioned, "k", VersionId=NO_VERSION), "s3:ListBucket")

    # Conditions look at the version that is asked for: its id and its tags.
    only_public = allow(
        "s3:GetObjectVersion", arn(versioned, "*"), Condition={"StringEquals": {"s3:ExistingObjectTag/class": "public"}}
    )
    tagged = account.user(policy=document(only_public, allow("s3:PutObject", arn(versioned, "*")))).client("s3")
    assert read(tagged, versioned, "k", VersionId=public) == b"public"
    assert_denied(lambda: read(tagged, versioned, "k", VersionId=secret), "s3:GetObjectVersion")
    assert_denied(lambda: tagged.copy_object(Bucket=versioned, Key="c", CopySource=source), "s3:GetObjectVersion")
    everything = allow("s3:*", [arn(versioned), arn(versioned, "*")])
    not_that = deny("s3:*", arn(versioned, "*"), Condition={"StringEquals": {"s3:VersionId": secret}})
    other = account.user(policy=document(everything, not_that)).client("s3")
    assert read(other, versioned, "k", VersionId=public) == b"public"
    assert_denied(lambda: read(other, versioned, "k", VersionId=secret), "s3:GetObjectVersion", explicit=True)
    assert_denied(lambda: other.copy_object(Bucket=versioned, Key="c", CopySource=source), "s3:GetObjectVersion", explicit=True)
    answer = other.delete_objects(Bucket=versioned, Delete={"Objects": [{"Key": "k", "VersionId": secret}, {"Key": "k", "VersionId": public}]})
    assert [entry["VersionId"] for entry in answer["Errors"]] == [secret]
    assert [entry["VersionId"] for entry in answer["Deleted"]] == [public]
    assert read(s3, versioned, "k") == b"secret"


def test_writers_at_once_all_leave_their_version(account, s3, versioned):
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        clients = [account.client("s3") for _ in range(6)]
        ids = list(pool.map(lambda at: put(clients[at], versioned, "k", b"%d" % at), range(6)))
        assert len(set(ids)) == 6
        found = listed(s3, versioned)
        assert {entry[1] for entry in found} == set(ids) and [entry[2] for entry in found] == [True] + [False] * 5
        assert {read(s3, versioned, "k", VersionId=version) for version in ids} == {b"%d" % at for at in range(6)}
        assert s3.head_object(Bucket=versioned, Key="k")["VersionId"] == found[0][1]
        # Each is deleted once, whatever the order.
        list(pool.map(lambda at: clients[at].delete_object(Bucket=versioned, Key="k", VersionId=ids[at]), range(6)))
    assert listed(s3, versioned) == []


def test_events_name_the_version(account, s3, versioned):
    version = put(s3, versioned, "k", b"x")
    s3.get_object(Bucket=versioned, Key="k", VersionId=version)
    [event] = [event for event in account.events(EventName="GetObject") if event["requestParameters"].get("bucketName") == versioned]
    assert event["requestParameters"]["versionId"] == version


def test_a_version_survives_a_kill(start_server):
    server = start_server("--store", "redb")
    s3 = Account.home(server).client("s3")
    bucket = new_name()
    s3.create_bucket(Bucket=bucket)
    put(s3, bucket, "k", b"null")
    turn(s3, bucket, "Enabled")
    first, second = put(s3, bucket, "k", b"1" * 20_000), put(s3, bucket, "k", b"2")
    marker = s3.delete_object(Bucket=bucket, Key="k")["VersionId"]
    server.kill()
    server.launch(*server.arguments)
    s3 = Account.home(server).client("s3")
    found = [(version, latest) for _, version, latest, _ in listed(s3, bucket)]
    assert found == [(second, False), (first, False), ("null", False), (marker, True)]
    assert read(s3, bucket, "k", VersionId=first) == b"1" * 20_000
    assert read(s3, bucket, "k", VersionId="null") == b"null"
