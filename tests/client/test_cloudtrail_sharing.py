"""What goes between accounts in CloudTrail: policies of stores, channels and dashboards, ARNs in the place of names; and event configurations."""

import json
import time
import uuid

import pytest

from bailiwick_server import Account, allow, assert_denied, deny, document, raises
from test_cloudtrail_channel import ACTIVITY, audit_event, new_channel, recent
from test_cloudtrail_lake import ended, new_store, rows_of, run, store_id

QUERY_ACTIONS = [f"cloudtrail:{name}" for name in ("StartQuery", "DescribeQuery", "GetQueryResults", "CancelQuery", "ListQueries", "GetEventDataStore")]


@pytest.fixture
def lake(account):
    return account.client("cloudtrail")


def policy(arn, actions, principal, effect="Allow", **more):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": effect, "Principal": principal, "Action": actions, "Resource": arn, **more}]})


def shared_store(lake, stranger):
    store = new_store(lake)
    lake.put_resource_policy(ResourceArn=store, ResourcePolicy=policy(store, QUERY_ACTIONS, {"AWS": stranger.id}))
    return store


# -- policies ------------------------------------------------------------------------------------------------------------


def test_a_policy_is_put_read_and_deleted(lake, account):
    store = new_store(lake)
    channel = new_channel(lake, new_store(lake, AdvancedEventSelectors=ACTIVITY))
    dashboard = lake.create_dashboard(Name="shared")["DashboardArn"]
    for arn, action in [
        (store, "cloudtrail:StartQuery"),
        (channel, "cloudtrail-data:PutAuditEvents"),
        (dashboard, "cloudtrail:StartDashboardRefresh"),
    ]:
        with raises("ResourcePolicyNotFoundException"):
            lake.get_resource_policy(ResourceArn=arn)
        text = policy(arn, action, {"AWS": f"arn:aws:iam::{account.id}:root"})
        assert lake.put_resource_policy(ResourceArn=arn, ResourcePolicy=text)["ResourcePolicy"] == text
        assert lake.get_resource_policy(ResourceArn=arn)["ResourcePolicy"] == text
        lake.delete_resource_policy(ResourceArn=arn)
        with raises("ResourcePolicyNotFoundException"):
            lake.delete_resource_policy(ResourceArn=arn)


def test_policies_that_are_refused(lake, account, other_account):
    store = new_store(lake)
    for text in [
        "{",
        policy(store, "cloudtrail:*", {"AWS": other_account.id}),
        policy(store, "cloudtrail:DeleteEventDataStore", {"AWS": other_account.id}),
        policy("*", "cloudtrail:StartQuery", {"AWS": other_account.id}),
        policy(store, "cloudtrail:StartQuery", {"AWS": f"arn:aws:iam::{account.id}:user/nobody"}),
        json.dumps({"Version": "2012-10-17", "Statement": []}),
    ]:
        with raises("ResourcePolicyNotValidException"):
            lake.put_resource_policy(ResourceArn=store, ResourcePolicy=text)
    allowed = policy(store, "cloudtrail:StartQuery", {"AWS": other_account.id})
    for arn, error in [
        (store.rsplit("/", 1)[0] + f"/{uuid.uuid4()}", "ResourceNotFoundException"),
        ("arn:aws:s3:::bucket", "ResourceARNNotValidException"),
        (f"arn:aws:cloudtrail:us-east-1:{account.id}:trail/all", "ResourceTypeNotSupportedException"),
    ]:
        with raises(error):
            lake.put_resource_policy(ResourceArn=arn, ResourcePolicy=allowed)
    nobody = account.user().client("cloudtrail")
    assert_denied(lambda: nobody.put_resource_policy(ResourceArn=store, ResourcePolicy=allowed), "cloudtrail:PutResourcePolicy")
    assert_denied(lambda: other_account.client("cloudtrail").get_resource_policy(ResourceArn=store), "cloudtrail:GetResourcePolicy")


def test_another_account_queries_a_shared_store(lake, account, other_account):
    store = shared_store(lake, other_account)
    account.client("iam").list_users()
    theirs = other_account.client("cloudtrail")
    assert theirs.get_event_data_store(EventDataStore=store)["EventDataStoreArn"] == store
    started = theirs.start_query(
        QueryStatement=f"SELECT eventName FROM {store_id(store)} WHERE eventName = 'ListUsers'", EventDataStoreOwnerAccountId=account.id
    )
    assert started["EventDataStoreOwnerAccountId"] == account.id
    owned = {"QueryId": started["QueryId"], "EventDataStoreOwnerAccountId": account.id}
    # The one who asks and the owner see the same query.
    assert ended(lake, started["QueryId"])["QueryStatus"] == "FINISHED"
    assert theirs.describe_query(**owned)["QueryStatus"] == "FINISHED"
    assert rows_of(theirs, started["QueryId"], EventDataStoreOwnerAccountId=account.id) == [{"eventName": "ListUsers"}]
    assert [query["QueryId"] for query in theirs.list_queries(EventDataStore=store)["Queries"]] == [started["QueryId"]]
    # Without the owner's id it is a question about one's own stores.
    with raises("QueryIdNotFoundException"):
        theirs.describe_query(QueryId=started["QueryId"])
    # What the policy does not name stays closed.
    assert_denied(lambda: theirs.update_event_data_store(EventDataStore=store, Name="mine"), "cloudtrail:UpdateEventDataStore")
    assert_denied(lambda: theirs.delete_event_data_store(EventDataStore=store), "cloudtrail:DeleteEventDataStore")
    # Both sides must allow.
    nobody = other_account.user().client("cloudtrail")
    assert_denied(lambda: nobody.describe_query(**owned), "cloudtrail:DescribeQuery")
    lake.delete_resource_policy(ResourceArn=store)
    assert_denied(lambda: theirs.describe_query(**owned), "cloudtrail:DescribeQuery")
    assert_denied(lambda: theirs.get_event_data_store(EventDataStore=store), "cloudtrail:GetEventDataStore")


def test_a_store_that_is_not_shared_stays_closed(lake, account, other_account):
    shared, closed = shared_store(lake, other_account), new_store(lake)
    theirs = other_account.client("cloudtrail")
    statement = f"SELECT a.eventID FROM {store_id(shared)} a JOIN {store_id(closed)} b ON a.eventID = b.eventID"
    for text in (f"SELECT eventID FROM {store_id(closed)}", statement):
        assert_denied(lambda: theirs.start_query(QueryStatement=text, EventDataStoreOwnerAccountId=account.id), "cloudtrail:StartQuery")
    query = lake.start_query(QueryStatement=f"SELECT eventID FROM {store_id(closed)}")["QueryId"]
    assert_denied(lambda: theirs.get_query_results(QueryId=query, EventDataStoreOwnerAccountId=account.id), "cloudtrail:GetQueryResults")


def test_another_account_puts_events_through_a_channel(lake, account, other_account):
    store = new_store(lake, AdvancedEventSelectors=ACTIVITY)
    channel = new_channel(lake, store)
    with_id = {"Condition": {"StringEquals": {"cloudtrail:ExternalId": "secret"}}}
    lake.put_resource_policy(ResourceArn=channel, ResourcePolicy=policy(channel, "cloudtrail-data:PutAuditEvents", {"AWS": other_account.id}, **with_id))
    theirs = other_account.client("cloudtrail-data")
    event = audit_event(recent(account))
    assert_denied(lambda: theirs.put_audit_events(channelArn=channel, auditEvents=[event]), "cloudtrail-data:PutAuditEvents")
    assert theirs.put_audit_events(channelArn=channel, externalId="secret", auditEvents=[event])["failed"] == []
    assert len(run(lake, f"SELECT eventID FROM {store_id(store)}")) == 1
    # A policy may shut the owner out, too.
    closed = policy(channel, "cloudtrail-data:PutAuditEvents", "*", effect="Deny")
    lake.put_resource_policy(ResourceArn=channel, ResourcePolicy=closed)
    mine = account.client("cloudtrail-data")
    assert_denied(lambda: mine.put_audit_events(channelArn=channel, auditEvents=[event]), "cloudtrail-data:PutAuditEvents")


def test_a_schedule_refreshes_with_policies_only(start_server):
    server = start_server("--ephemeral", "--manual-clock", "--region", "us-east-1", "--background-interval", "1")
    account = Account.home(server)
    lake = account.client("cloudtrail")
    store = new_store(lake)
    schedule = {"Frequency": {"Unit": "HOURS", "Value": 1}, "Status": "ENABLED"}
    widget = {"QueryStatement": f"SELECT eventID FROM {store_id(store)}", "ViewProperties": {"View": "Table"}}
    dashboard = lake.create_dashboard(Name="hourly", Widgets=[widget], RefreshSchedule=schedule)["DashboardArn"]

    def after_an_hour():
        """What the dashboard says of its next refresh."""
        last = lake.get_dashboard(DashboardId=dashboard).get("LastRefreshId")
        server.advance_clock(seconds=3601)
        for _ in range(600):
            shown = lake.get_dashboard(DashboardId=dashboard)
            if shown.get("LastRefreshId") != last:
                return shown
            time.sleep(0.05)
        raise AssertionError("no refresh came")

    service = {"Service": "cloudtrail.amazonaws.com"}
    for_dashboard = {"Condition": {"StringEquals": {"aws:SourceArn": dashboard, "aws:SourceAccount": account.id}}}
    assert "StartDashboardRefresh" in after_an_hour()["LastRefreshFailureReason"]
    lake.put_resource_policy(ResourceArn=dashboard, ResourcePolicy=policy(dashboard, "cloudtrail:StartDashboardRefresh", service, **for_dashboard))
    assert "StartQuery" in after_an_hour()["LastRefreshFailureReason"]
    assert lake.list_queries(EventDataStore=store)["Queries"] == []
    lake.put_resource_policy(ResourceArn=store, ResourcePolicy=policy(store, "cloudtrail:StartQuery", service, **for_dashboard))
    assert "LastRefreshFailureReason" not in after_an_hour()
    assert len(lake.list_queries(EventDataStore=store)["Queries"]) == 1


# -- ARNs in the place of names ------------------------------------------------------------------------------------------


def test_an_arn_is_decided_on_as_it_stands(lake, account, other_account):
    mine, other = new_store(lake), new_store(lake)
    user = account.user(policy=document(allow("cloudtrail:GetEventDataStore", mine))).client("cloudtrail")
    for name in (mine, store_id(mine)):
        assert user.get_event_data_store(EventDataStore=name)["EventDataStoreArn"] == mine
    for name in (other, store_id(other)):
        assert_denied(lambda: user.get_event_data_store(EventDataStore=name), "cloudtrail:GetEventDataStore")
    guarded = account.user(policy=document(allow("cloudtrail:*"), deny("cloudtrail:*", mine))).client("cloudtrail")
    for name in (mine, store_id(mine)):
        assert_denied(lambda: guarded.get_event_data_store(EventDataStore=name), "cloudtrail:GetEventDataStore")
    foreign = other_account.client("cloudtrail")
    assert_denied(lambda: foreign.get_event_data_store(EventDataStore=mine), "cloudtrail:GetEventDataStore")
    assert_denied(lambda: foreign.get_trail(Name=f"arn:aws:cloudtrail:us-east-1:{account.id}:trail/all"), "cloudtrail:GetTrail")


# -- event configurations ------------------------------------------------------------------------------------------------


def test_a_configuration_is_put_and_read(lake, account):
    store = new_store(lake)
    assert lake.get_event_configuration(EventDataStore=store)["MaxEventSize"] == "Standard"
    selectors = [{"Type": "TagContext", "Equals": ["team"]}, {"Type": "RequestContext", "Equals": ["aws:SourceIp"]}]
    made = lake.put_event_configuration(EventDataStore=store, MaxEventSize="Large", ContextKeySelectors=selectors)
    shown = lake.get_event_configuration(EventDataStore=store_id(store))
    for answer in (made, shown):
        assert (answer["EventDataStoreArn"], answer["MaxEventSize"], answer["ContextKeySelectors"]) == (store, "Large", selectors)
    with raises("InvalidParameterCombinationException"):
        lake.put_event_configuration(EventDataStore=store, MaxEventSize="Standard")
    cleared = lake.put_event_configuration(EventDataStore=store, MaxEventSize="Standard", ContextKeySelectors=[])
    assert (cleared["MaxEventSize"], cleared["ContextKeySelectors"]) == ("Standard", [])


def test_configurations_that_are_refused(lake, account):
    store, activity = new_store(lake), new_store(lake, AdvancedEventSelectors=ACTIVITY)
    selector = {"Type": "TagContext", "Equals": ["team"]}
    for error, call in [
        ("InvalidParameterCombinationException", {"MaxEventSize": "Large"}),
        ("InvalidParameterCombinationException", {"MaxEventSize": "Large", "EventDataStore": store, "TrailName": "all"}),
        ("InvalidParameterCombinationException", {"EventDataStore": store, "ContextKeySelectors": [selector]}),
        ("InvalidParameterCombinationException", {"TrailName": "all", "MaxEventSize": "Large"}),
        ("InvalidParameterException", {"EventDataStore": store, "MaxEventSize": "Large", "ContextKeySelectors": [selector, selector]}),
        (
            "InvalidParameterException",
            {"EventDataStore": store, "MaxEventSize": "Large", "ContextKeySelectors": [{"Type": "RequestContext", "Equals": ["s3:prefix"]}]},
        ),
        ("InvalidEventDataStoreCategoryException", {"EventDataStore": activity, "MaxEventSize": "Large"}),
        ("EventDataStoreNotFoundException", {"EventDataStore": str(uuid.uuid4()), "MaxEventSize": "Large"}),
        ("EventDataStoreARNInvalidException", {"EventDataStore": "arn:aws:s3:::bucket", "MaxEventSize": "Large"}),
    ]:
        with raises(error):
            lake.put_event_configuration(**call)
    with raises("TrailNotFoundException"):
        lake.get_event_configuration(TrailName="nothing")
    nobody = account.user().client("cloudtrail")
    assert_denied(lambda: nobody.put_event_configuration(EventDataStore=store, MaxEventSize="Large"), "cloudtrail:PutEventConfiguration")
    assert_denied(lambda: nobody.get_event_configuration(EventDataStore=store), "cloudtrail:GetEventConfiguration")


def test_events_of_a_store_show_their_context(lake, account):
    plain, rich = new_store(lake), new_store(lake)
    lake.put_event_configuration(
        EventDataStore=rich,
        MaxEventSize="Large",
        ContextKeySelectors=[
            {"Type": "TagContext", "Equals": ["team"]},
            {"Type": "RequestContext", "Equals": ["aws:SourceIp", "aws:PrincipalArn", "aws:SourceVpce"]},
        ],
    )
    iam = account.client("iam")
    ann = account.user("ann", policy=allow("kms:*"))
    iam.tag_user(UserName="ann", Tags=[{"Key": "team", "Value": "red"}, {"Key": "home", "Value": "x"}])
    key = account.client("kms").create_key(Tags=[{"TagKey": "team", "TagValue": "blue"}, {"TagKey": "price", "TagValue": "1"}])["KeyMetadata"]["Arn"]
    ann.client("kms").describe_key(KeyId=key)
    where = "eventName = 'DescribeKey'"
    statement = "SELECT eventContext.requestContext, eventContext.tagContext.principalTags, eventContext.tagContext.resourceTags FROM {} WHERE " + where
    (row,) = run(lake, statement.format(store_id(rich)))
    assert json.loads(row["requestContext"]) == {"aws:SourceIp": "127.0.0.1", "aws:PrincipalArn": f"arn:aws:iam::{account.id}:user/ann"}
    assert json.loads(row["principalTags"]) == {"team": "red"}
    assert json.loads(row["resourceTags"]) == [{"arn": key, "tags": {"team": "blue"}}]
    (row,) = run(lake, statement.format(store_id(plain)))
    assert set(row.values()) == {""}
    # Trails, lookups and the log itself have records without it.
    (event,) = account.events(EventName="DescribeKey")
    assert "eventContext" not in event


def test_large_events_are_whole_in_a_large_store(lake, account):
    plain, rich = new_store(lake), new_store(lake)
    lake.put_event_configuration(EventDataStore=rich, MaxEventSize="Large")
    long = json.dumps({"Version": "2012-10-17", "Statement": []}) + " " * 110_000
    account.client("accessanalyzer").validate_policy(policyDocument=long, policyType="IDENTITY_POLICY")
    statement = "SELECT requestParameters FROM {} WHERE eventName = 'ValidatePolicy'"
    (row,) = run(lake, statement.format(store_id(rich)))
    assert json.loads(row["requestParameters"])["policyDocument"] == long
    (row,) = run(lake, statement.format(store_id(plain)))
    omitted = json.loads(row["requestParameters"])
    assert omitted["omitted"] and omitted["reason"] == "requestParameters too large" and omitted["originalSize"] > 110_000
