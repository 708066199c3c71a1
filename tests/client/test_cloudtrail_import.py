"""Imports of trail logs into event data stores, in a role that CloudTrail assumes; dashboards that are refreshed by real queries."""

import datetime
import gzip
import json
import time
import uuid

import pytest

from bailiwick_server import allow, assert_denied, deny, document, raises
from test_cloudtrail_lake import ended, new_store, rows_of, run, store_id

REGION = "us-east-1"


@pytest.fixture
def lake(account):
    return account.client("cloudtrail")


@pytest.fixture
def store(lake):
    return new_store(lake)


def record(number, days_ago=1, name="GetThing", **more):
    when = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=days_ago)
    return {
        "eventVersion": "1.08",
        "eventID": f"imported-{number}",
        "eventTime": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": "things.amazonaws.com",
        "eventName": name,
        "eventCategory": "Management",
        "managementEvent": True,
        "readOnly": True,
        "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::111111111111:user/ann", "sessionContext": {}},
    } | more


@pytest.fixture
def logs(account):
    """A bucket with two log files of a trail, and the role that may read them."""
    bucket = f"logs-{uuid.uuid4().hex[:16]}"
    s3 = account.client("s3")
    s3.create_bucket(Bucket=bucket)
    folder = f"AWSLogs/{account.id}/CloudTrail/{REGION}/2026/11/27/"
    for number in range(2):
        body = {"Records": [record(10 * number + at) for at in range(3)]}
        s3.put_object(Bucket=bucket, Key=f"{folder}file-{number}.json.gz", Body=gzip.compress(json.dumps(body).encode()))
    s3.put_object(Bucket=bucket, Key=f"AWSLogs/{account.id}/CloudTrail-Digest/{REGION}/2026/11/27/digest.json.gz", Body=b"no log")
    trust = allow("sts:AssumeRole", Principal={"Service": "cloudtrail.amazonaws.com"})
    trust.pop("Resource", None)
    role = account.role(trust=trust, policy=document(allow(["s3:GetObject", "s3:ListBucket"], ["arn:aws:s3:::" + bucket, f"arn:aws:s3:::{bucket}/*"])))
    return bucket, role


def source(bucket, role, prefix="AWSLogs/"):
    return {"S3": {"S3LocationUri": f"s3://{bucket}/{prefix}", "S3BucketRegion": REGION, "S3BucketAccessRoleArn": role}}


def done(lake, import_id):
    for _ in range(600):
        found = lake.get_import(ImportId=import_id)
        if found["ImportStatus"] not in ("INITIALIZING", "IN_PROGRESS"):
            return found
        time.sleep(0.02)
    raise AssertionError(f"the import did not end: {found}")


def test_logs_are_imported_and_found(lake, store, logs):
    made = lake.start_import(Destinations=[store], ImportSource=source(*logs))
    assert made["Destinations"] == [store] and made["ImportStatus"] == "INITIALIZING"
    found = done(lake, made["ImportId"])
    assert found["ImportStatus"] == "COMPLETED", found
    statistics = found["ImportStatistics"]
    assert (statistics["FilesCompleted"], statistics["EventsCompleted"], statistics["FailedEntries"]) == (2, 6, 0)
    rows = run(lake, f"SELECT eventID FROM {store_id(store)} WHERE eventSource = 'things.amazonaws.com' ORDER BY eventID")
    assert [row["eventID"] for row in rows] == [f"imported-{number}" for number in (0, 1, 10, 11, 12, 2)]
    listed = lake.list_imports(Destination=store)["Imports"]
    assert [entry["ImportId"] for entry in listed] == [made["ImportId"]]
    assert lake.list_imports(ImportStatus="FAILED")["Imports"] == []
    assert lake.list_import_failures(ImportId=made["ImportId"])["Failures"] == []
    with raises("InvalidParameterException"):
        lake.stop_import(ImportId=made["ImportId"])
    with raises("InvalidParameterException"):
        lake.start_import(ImportId=made["ImportId"])


def test_an_import_takes_what_it_should(lake, store, logs, account):
    bucket, role = logs
    body = {"Records": [record(1, days_ago=5, name="Old"), record(2, name="New"), record(3, name="Data", eventCategory="Data", managementEvent=False)]}
    account.client("s3").put_object(Bucket=bucket, Key="other/x.json.gz", Body=gzip.compress(json.dumps(body).encode()))
    now = datetime.datetime.now(datetime.timezone.utc)
    made = lake.start_import(
        Destinations=[store],
        ImportSource=source(bucket, role, "other/"),
        StartEventTime=now - datetime.timedelta(days=2),
        EndEventTime=now,
    )
    done(lake, made["ImportId"])
    rows = run(lake, f"SELECT eventName FROM {store_id(store)} WHERE eventSource = 'things.amazonaws.com'")
    assert rows == [{"eventName": "New"}]


def test_files_that_cannot_be_read_are_listed(lake, store, logs, account):
    bucket, role = logs
    s3 = account.client("s3")
    s3.put_object(Bucket=bucket, Key="bad/a.json.gz", Body=b"no gzip")
    s3.put_object(Bucket=bucket, Key="bad/b.json.gz", Body=gzip.compress(b"{}"))
    s3.put_object(Bucket=bucket, Key="bad/c.json.gz", Body=gzip.compress(json.dumps({"Records": [{"eventTime": "never"}]}).encode()))
    made = lake.start_import(Destinations=[store], ImportSource=source(bucket, role, "bad/"))
    found = done(lake, made["ImportId"])
    assert (found["ImportStatus"], found["ImportStatistics"]["FailedEntries"]) == ("COMPLETED", 3)
    failures = lake.list_import_failures(ImportId=made["ImportId"])["Failures"]
    assert [failure["Location"].rsplit("/", 1)[1] for failure in failures] == ["a.json.gz", "b.json.gz", "c.json.gz"]
    assert {failure["Status"] for failure in failures} == {"FAILED"}


def test_a_role_that_cloudtrail_cannot_assume_fails_the_import(lake, store, logs, account):
    bucket, _ = logs
    for role in (account.role(), f"arn:aws:iam::{account.id}:role/nobody"):
        found = done(lake, lake.start_import(Destinations=[store], ImportSource=source(bucket, role))["ImportId"])
        assert found["ImportStatus"] == "FAILED" and found["ImportStatistics"]["FailedEntries"] == 1
    trust = allow("sts:AssumeRole", Principal={"Service": "cloudtrail.amazonaws.com"})
    trust.pop("Resource", None)
    powerless = account.role(trust=trust)
    import_id = lake.start_import(Destinations=[store], ImportSource=source(bucket, powerless))["ImportId"]
    assert done(lake, import_id)["ImportStatus"] == "FAILED"
    assert lake.list_import_failures(ImportId=import_id)["Failures"][0]["ErrorType"] == "AccessDenied"


def test_imports_that_are_refused(lake, store, logs, account):
    bucket, role = logs
    with raises("EventDataStoreNotFoundException"):
        lake.start_import(Destinations=[str(uuid.uuid4())], ImportSource=source(bucket, role))
    with raises("InvalidImportSourceException"):
        lake.start_import(Destinations=[store], ImportSource=source(bucket, "arn:aws:iam::999999999999:role/theirs"))
    with raises("InvalidParameterException"):
        lake.start_import()
    now = datetime.datetime.now(datetime.timezone.utc)
    with raises("InvalidParameterException"):
        lake.start_import(Destinations=[store], ImportSource=source(bucket, role), StartEventTime=now, EndEventTime=now - datetime.timedelta(days=1))
    for call in (lake.get_import, lake.stop_import):
        with raises("ImportNotFoundException"):
            call(ImportId=str(uuid.uuid4()))
    nobody = account.user(policy=document(allow("cloudtrail:StartImport"))).client("cloudtrail")
    assert_denied(lambda: nobody.start_import(Destinations=[store], ImportSource=source(bucket, role)), "iam:PassRole")


# -- dashboards ----------------------------------------------------------------------------------------------------------


def widget(statement, *parameters):
    more = {"QueryParameters": list(parameters)} if parameters else {}
    return {"QueryStatement": statement, "ViewProperties": {"Height": "2", "Title": "calls"}, **more}


def test_a_dashboard_is_refreshed_by_queries(lake, store, account):
    statement = f"SELECT eventName, COUNT(*) AS calls FROM {store_id(store)} WHERE eventTime > ? AND eventTime <= ? GROUP BY eventName"
    made = lake.create_dashboard(Name="overview", Widgets=[widget(statement, "$StartTime$", "$EndTime$")])
    arn = made["DashboardArn"]
    alias = made["Widgets"][0]["QueryAlias"]
    account.client("iam").list_users()
    account.server.advance_clock(seconds=2)
    refresh = lake.start_dashboard_refresh(DashboardId="overview")["RefreshId"]
    query = lake.describe_query(QueryAlias=alias, RefreshId=refresh)
    assert ended(lake, query["QueryId"])["QueryStatus"] == "FINISHED"
    assert {"eventName": "ListUsers", "calls": "1"} in rows_of(lake, query["QueryId"])
    assert lake.get_dashboard(DashboardId=arn)["LastRefreshId"] == refresh
    values = {"$StartTime$": "2000-01-01T00:00:00Z", "$EndTime$": "2000-01-02T00:00:00Z"}
    refresh = lake.start_dashboard_refresh(DashboardId=arn, QueryParameterValues=values)["RefreshId"]
    query = lake.describe_query(QueryAlias=alias, RefreshId=refresh)
    ended(lake, query["QueryId"])
    assert rows_of(lake, query["QueryId"]) == []
    query_id = lake.start_query(QueryAlias=alias, QueryParameters=["2000-01-01T00:00:00Z", "2001-01-01T00:00:00Z"])["QueryId"]
    assert ended(lake, query_id)["QueryStatus"] == "FINISHED"


def test_a_dashboard_is_changed_listed_and_deleted(lake, store):
    schedule = {"Frequency": {"Unit": "HOURS", "Value": 6}, "Status": "ENABLED"}
    made = lake.create_dashboard(Name="protected", TerminationProtectionEnabled=True, RefreshSchedule=schedule, TagsList=[{"Key": "a", "Value": "b"}])
    arn = made["DashboardArn"]
    assert made["Type"] == "CUSTOM" and made["RefreshSchedule"] == schedule
    assert lake.get_dashboard(DashboardId=arn)["Status"] == "CREATED"
    assert lake.list_dashboards()["Dashboards"] == [{"DashboardArn": arn, "Type": "CUSTOM"}]
    assert lake.list_dashboards(Type="MANAGED")["Dashboards"] == lake.list_dashboards(NamePrefix="other")["Dashboards"] == []
    assert lake.list_tags(ResourceIdList=[arn])["ResourceTagList"][0]["TagsList"] == [{"Key": "a", "Value": "b"}]
    with raises("ConflictException"):
        lake.delete_dashboard(DashboardId=arn)
    changed = lake.update_dashboard(DashboardId=arn, TerminationProtectionEnabled=False, Widgets=[widget(f"SELECT eventID FROM {store_id(store)}")])
    assert len(changed["Widgets"]) == 1 and not changed["TerminationProtectionEnabled"]
    lake.delete_dashboard(DashboardId=arn)
    with raises("ResourceNotFoundException"):
        lake.get_dashboard(DashboardId=arn)


def test_dashboards_that_are_refused(lake, store, account):
    lake.create_dashboard(Name="taken")
    with raises("ConflictException"):
        lake.create_dashboard(Name="taken")
    with raises("InvalidQueryStatementException"):
        lake.create_dashboard(Name="wrong", Widgets=[widget("DELETE FROM x")])
    with raises("EventDataStoreNotFoundException"):
        lake.create_dashboard(Name="missing", Widgets=[widget(f"SELECT eventID FROM {uuid.uuid4()}")])
    with raises("ServiceQuotaExceededException"):
        lake.create_dashboard(Name="many", Widgets=[widget(f"SELECT eventID FROM {store_id(store)}")] * 11)
    for call in (lake.get_dashboard, lake.delete_dashboard, lake.update_dashboard, lake.start_dashboard_refresh):
        with raises("ResourceNotFoundException"):
            call(DashboardId="nothing")
    nobody = account.user().client("cloudtrail")
    assert_denied(lambda: nobody.create_dashboard(Name="mine"), "cloudtrail:CreateDashboard")
    assert_denied(lambda: nobody.start_dashboard_refresh(DashboardId="taken"), "cloudtrail:StartDashboardRefresh")


def test_a_refresh_needs_the_stores_of_its_widgets(lake, store, account):
    """What a dashboard's queries would read is not read for someone who may not query the store."""
    lake.create_dashboard(Name="guarded", Widgets=[widget(f"SELECT eventID FROM {store_id(store)}")])
    refreshes = allow("cloudtrail:StartDashboardRefresh")
    nosy = account.user(policy=document(refreshes)).client("cloudtrail")
    assert_denied(lambda: nosy.start_dashboard_refresh(DashboardId="guarded"), "cloudtrail:StartQuery")
    assert "LastRefreshId" not in lake.get_dashboard(DashboardId="guarded")
    other = account.user(policy=document(refreshes, allow("cloudtrail:StartQuery", resources=store[:-1] + "x"))).client("cloudtrail")
    assert_denied(lambda: other.start_dashboard_refresh(DashboardId="guarded"), "cloudtrail:StartQuery")
    reader = account.user(policy=document(refreshes, allow("cloudtrail:StartQuery", resources=store))).client("cloudtrail")
    assert reader.start_dashboard_refresh(DashboardId="guarded")["RefreshId"]


def test_an_alias_asks_for_the_stores_of_its_widget(lake, store, account):
    """A store that is denied is denied by its widget's alias, too: else its rows could be delivered past the statement that denies it."""
    alias = lake.create_dashboard(Name="aliased", Widgets=[widget(f"SELECT eventID FROM {store_id(store)}")])["Widgets"][0]["QueryAlias"]
    queries = allow(["cloudtrail:StartQuery", "cloudtrail:DescribeQuery"])
    kept_out = account.user(policy=document(queries, deny(["cloudtrail:StartQuery", "cloudtrail:DescribeQuery"], store))).client("cloudtrail")
    assert_denied(lambda: kept_out.start_query(QueryAlias=alias), "cloudtrail:StartQuery", explicit=True)
    only = account.user(policy=document(allow(["cloudtrail:StartQuery", "cloudtrail:DescribeQuery"], store))).client("cloudtrail")
    query_id = only.start_query(QueryAlias=alias)["QueryId"]
    assert_denied(lambda: kept_out.describe_query(QueryAlias=alias), "cloudtrail:DescribeQuery", explicit=True)
    assert only.describe_query(QueryAlias=alias)["QueryId"] == query_id
