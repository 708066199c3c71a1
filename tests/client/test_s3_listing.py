"""S3: listings and deletion."""

import pytest

from bailiwick_server import allow, assert_denied, deny, document, raises
from s3_scenario import arn, bucket, key, keys_of, prefixes_of, read, s3


@pytest.fixture
def listed(s3, bucket):
    keys = ["a", "b/1", "b/2", "b/c/3", "c", "d/", "d/4", "e", "é", "z z"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    return sorted(keys, key=str.encode)


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2"])
def test_listings(s3, bucket, listed, operation):
    list_of = getattr(s3, operation)
    assert keys_of(list_of(Bucket=bucket)) == listed
    # What nothing here has is shown of nothing: mountpoint-s3 asks for it in every listing.
    assert keys_of(list_of(Bucket=bucket, OptionalObjectAttributes=["RestoreStatus"])) == listed
    folded = list_of(Bucket=bucket, Delimiter="/")
    assert (keys_of(folded), prefixes_of(folded)) == ([key for key in listed if "/" not in key], ["b/", "d/"])
    below = list_of(Bucket=bucket, Prefix="b/", Delimiter="/")
    assert (keys_of(below), prefixes_of(below)) == (["b/1", "b/2"], ["b/c/"])
    assert keys_of(list_of(Bucket=bucket, Prefix="none")) == []
    empty = list_of(Bucket=bucket, MaxKeys=0)
    assert (keys_of(empty), empty["IsTruncated"]) == ([], False)
    for delimiter in (None, "/"):
        for size in (1, 2, 3, 100):
            more = {"Delimiter": delimiter} if delimiter else {}
            pages = list(s3.get_paginator(operation).paginate(Bucket=bucket, PaginationConfig={"PageSize": size}, **more))
            found = sorted([name for page in pages for name in keys_of(page) + prefixes_of(page)], key=str.encode)
            whole = list_of(Bucket=bucket, **more)
            assert found == sorted(keys_of(whole) + prefixes_of(whole), key=str.encode), (delimiter, size)


def test_listings_begin_behind_a_key(s3, bucket, listed):
    assert keys_of(s3.list_objects_v2(Bucket=bucket, StartAfter="b/2")) == listed[listed.index("b/2") + 1 :]
    assert keys_of(s3.list_objects(Bucket=bucket, Marker="c")) == listed[listed.index("c") + 1 :]
    first = s3.list_objects_v2(Bucket=bucket, MaxKeys=3)
    assert (first["KeyCount"], first["IsTruncated"]) == (3, True)
    with raises("InvalidArgument", 400):
        s3.list_objects_v2(Bucket=bucket, ContinuationToken="forged")
    with raises("InvalidArgument", 400):
        # A token belongs to its list.
        s3.list_objects_v2(Bucket=bucket, Prefix="b", ContinuationToken=first["NextContinuationToken"])
    assert "Owner" in s3.list_objects_v2(Bucket=bucket, FetchOwner=True)["Contents"][0]
    assert "Owner" not in first["Contents"][0]


def test_tokens_are_not_carried_to_other_callers(account, other_account, s3, bucket, listed):
    statement = allow("s3:ListBucket", arn(bucket), Principal={"AWS": f"arn:aws:iam::{other_account.id}:root"})
    s3.put_bucket_policy(Bucket=bucket, Policy=document(statement))
    token = s3.list_objects_v2(Bucket=bucket, MaxKeys=1)["NextContinuationToken"]
    theirs = other_account.client("s3")
    assert keys_of(theirs.list_objects_v2(Bucket=bucket)) == listed
    with raises("InvalidArgument", 400):
        theirs.list_objects_v2(Bucket=bucket, ContinuationToken=token)


def test_policies_ask_for_the_prefix(account, s3, bucket, listed):
    mine = allow("s3:ListBucket", arn(bucket), Condition={"StringLike": {"s3:prefix": "b/*"}, "NumericLessThanEquals": {"s3:max-keys": "10"}})
    user = account.user(policy=mine).client("s3")
    assert keys_of(user.list_objects_v2(Bucket=bucket, Prefix="b/", MaxKeys=10)) == ["b/1", "b/2", "b/c/3"]
    assert_denied(lambda: user.list_objects_v2(Bucket=bucket, Prefix="c", MaxKeys=10), "s3:ListBucket")
    assert_denied(lambda: user.list_objects_v2(Bucket=bucket, Prefix="b/", MaxKeys=11), "s3:ListBucket")
    assert_denied(lambda: user.list_objects_v2(Bucket=bucket), "s3:ListBucket")


def test_deleting_what_is_not_there_succeeds(s3, bucket):
    s3.delete_object(Bucket=bucket, Key="missing")
    with raises("InvalidArgument", 400):
        s3.delete_object(Bucket=bucket, Key="k", BypassGovernanceRetention=True)


def test_batches_decide_each_key(account, s3, bucket):
    for key in ("mine/1", "mine/2", "theirs/3"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    user = account.user(policy=allow("s3:DeleteObject", arn(bucket, "mine/*"))).client("s3")
    objects = [{"Key": key} for key in ("mine/1", "theirs/3", "mine/missing", "mine/2")]
    answer = user.delete_objects(Bucket=bucket, Delete={"Objects": objects})
    assert sorted(found["Key"] for found in answer["Deleted"]) == ["mine/1", "mine/2", "mine/missing"]
    (error,) = answer["Errors"]
    assert (error["Key"], error["Code"]) == ("theirs/3", "AccessDenied")
    assert keys_of(s3.list_objects_v2(Bucket=bucket)) == ["theirs/3"]
    quiet = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "theirs/3"}], "Quiet": True})
    assert "Deleted" not in quiet
    assert keys_of(s3.list_objects_v2(Bucket=bucket)) == []
    with raises("MalformedXML", 400):
        s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": str(number)} for number in range(1001)]})


def test_deny_by_connection_holds_for_each_key_of_a_batch(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    modern_only = deny("s3:DeleteObject", arn(bucket, "*"), Principal="*", Condition={"NumericGreaterThan": {"s3:TlsVersion": "1.1"}})
    s3.put_bucket_policy(Bucket=bucket, Policy=document(modern_only))
    (error,) = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}]})["Errors"]
    assert error["Code"] == "AccessDenied"
    assert read(s3, bucket, "k") == b"x"
