"""Channels and `PutAuditEvents`: events from outside, held against their schema, found by queries."""

import base64
import concurrent.futures
import hashlib
import json
import uuid

import pytest

from bailiwick_server import allow, assert_denied, document, raises
from test_cloudtrail_lake import new_store, run, store_id

ACTIVITY = [{"FieldSelectors": [{"Field": "eventCategory", "Equals": ["ActivityAuditLog"]}]}]


@pytest.fixture
def lake(account):
    return account.client("cloudtrail")


@pytest.fixture
def store(lake):
    return new_store(lake, AdvancedEventSelectors=ACTIVITY)


def new_channel(lake, *stores, name=None):
    destinations = [{"Type": "EVENT_DATA_STORE", "Location": store} for store in stores]
    return lake.create_channel(Name=name or f"channel-{uuid.uuid4().hex[:8]}", Source="Custom", Destinations=destinations)["ChannelArn"]


@pytest.fixture
def channel(lake, store):
    return new_channel(lake, store)


@pytest.fixture
def data(account):
    return account.client("cloudtrail-data")


def event_data(account, **more):
    return {
        "version": "1.0",
        "userIdentity": {"type": "ModelUser", "principalId": "ann", "details": {"team": "red"}},
        "eventSource": "models.example.com",
        "eventName": "Generate",
        "eventTime": "2026-11-28T10:00:00Z",
        "UID": uuid.uuid4().hex,
        "recipientAccountId": account.id,
        "additionalEventData": {"model": "llama", "tokens": 12},
    } | more


def audit_event(content, identifier=None, **more):
    text = content if isinstance(content, str) else json.dumps(content)
    return {"id": identifier or uuid.uuid4().hex, "eventData": text, **more}


def recent(account, **more):
    """Data of an event of now, by the server's clock: retention goes by it."""
    return event_data(account, eventTime=account.server.now().strftime("%Y-%m-%dT%H:%M:%SZ"), **more)


def test_a_channel_is_made_read_changed_and_deleted(lake, store, account):
    made = lake.create_channel(
        Name="models", Source="Custom", Destinations=[{"Type": "EVENT_DATA_STORE", "Location": store}], Tags=[{"Key": "a", "Value": "b"}]
    )
    arn = made["ChannelArn"]
    assert made["Destinations"] == [{"Type": "EVENT_DATA_STORE", "Location": store}] and made["Source"] == "Custom"
    assert lake.get_channel(Channel=arn)["Name"] == "models"
    assert lake.get_channel(Channel=arn.rsplit("/", 1)[1])["ChannelArn"] == arn
    assert lake.list_channels()["Channels"] == [{"ChannelArn": arn, "Name": "models"}]
    assert lake.update_channel(Channel=arn, Name="renamed")["Name"] == "renamed"
    assert lake.list_tags(ResourceIdList=[arn])["ResourceTagList"][0]["TagsList"] == [{"Key": "a", "Value": "b"}]
    lake.update_event_data_store(EventDataStore=store, TerminationProtectionEnabled=False)
    with raises("ChannelExistsForEDSException"):
        lake.delete_event_data_store(EventDataStore=store)
    lake.delete_channel(Channel=arn)
    with raises("ChannelNotFoundException"):
        lake.get_channel(Channel=arn)
    lake.delete_event_data_store(EventDataStore=store)


def test_channels_that_are_refused(lake, store, account):
    calls = new_store(lake)
    for destination, error in [
        (calls, "InvalidEventDataStoreCategoryException"),
        (str(uuid.uuid4()), "EventDataStoreNotFoundException"),
        ("arn:aws:s3:::bucket", "EventDataStoreARNInvalidException"),
    ]:
        with raises(error):
            new_channel(lake, destination)
    with raises("InvalidSourceException"):
        lake.create_channel(Name="partner", Source="Nobody", Destinations=[{"Type": "EVENT_DATA_STORE", "Location": store}])
    new_channel(lake, store, name="taken")
    with raises("ChannelAlreadyExistsException"):
        new_channel(lake, store, name="taken")
    for call in (lake.get_channel, lake.delete_channel, lake.update_channel):
        with raises("ChannelNotFoundException"):
            call(Channel=str(uuid.uuid4()))
        with raises("ChannelARNInvalidException"):
            call(Channel="arn:aws:s3:::bucket")
    nobody = account.user().client("cloudtrail")
    assert_denied(lambda: new_channel(nobody, store), "cloudtrail:CreateChannel")
    assert_denied(lambda: nobody.list_channels(), "cloudtrail:ListChannels")


def test_events_are_put_and_found(lake, store, channel, data, account):
    content = recent(account)
    text = json.dumps(content)
    checksum = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    answer = data.put_audit_events(channelArn=channel, auditEvents=[audit_event(text, "one", eventDataChecksum=checksum)])
    assert answer["failed"] == [] and [entry["id"] for entry in answer["successful"]] == ["one"]
    event_id = answer["successful"][0]["eventID"]
    found = run(
        lake,
        f"""
        SELECT eventID, eventCategory, eventType, eventData.eventName, eventData.userIdentity.principalId,
               element_at(eventData.additionalEventData, 'tokens') AS tokens, metadata.channelARN, recipientAccountId
        FROM {store_id(store)}
        """,
    )
    assert found == [
        {
            "eventID": event_id,
            "eventCategory": "ActivityAuditLog",
            "eventType": "ActivityLog",
            "eventName": "Generate",
            "principalId": "ann",
            "tokens": "12",
            "channelARN": channel,
            "recipientAccountId": account.id,
        }
    ]
    status = lake.get_channel(Channel=channel)["IngestionStatus"]
    assert status["LatestIngestionSuccessEventID"] == status["LatestIngestionAttemptEventID"] == event_id


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("not json", "InvalidData"),
        ("[]", "InvalidData"),
        ({"eventName": None}, "FieldNotFound"),
        ({"userIdentity": None}, "FieldNotFound"),
        ({"userIdentity": {"type": "User"}}, "FieldNotFound"),
        ({"eventName": "x" * 1025}, "FieldTooLong"),
        ({"additionalEventData": {"x": "x" * 30_000}}, "FieldTooLong"),
        ({"requestParameters": "text"}, "InvalidData"),
        ({"eventTime": "yesterday"}, "InvalidData"),
        ({"colour": "red"}, "InvalidData"),
        ({"eventSource": "s3.amazonaws.com"}, "InvalidEventSource"),
        ({"recipientAccountId": "999999999999"}, "InvalidRecipient"),
    ],
)
def test_events_that_are_refused_one_by_one(lake, store, channel, data, account, change, code):
    content = change if isinstance(change, str) else recent(account) | change
    answer = data.put_audit_events(channelArn=channel, auditEvents=[audit_event(content, "bad"), audit_event(recent(account), "good")])
    assert [(entry["id"], entry["errorCode"]) for entry in answer["failed"]] == [("bad", code)]
    assert [entry["id"] for entry in answer["successful"]] == ["good"]
    assert len(run(lake, f"SELECT eventID FROM {store_id(store)}")) == 1


def test_requests_that_are_refused(channel, data, account):
    with raises("ChannelNotFound"):
        data.put_audit_events(channelArn=channel.rsplit("/", 1)[0] + f"/{uuid.uuid4()}", auditEvents=[audit_event(event_data(account))])
    with raises("InvalidChannelARN"):
        data.put_audit_events(channelArn="arn:aws:s3:::bucket", auditEvents=[audit_event(event_data(account))])
    with raises("DuplicatedAuditEventId"):
        data.put_audit_events(channelArn=channel, auditEvents=[audit_event(event_data(account), "same")] * 2)
    answer = data.put_audit_events(channelArn=channel, auditEvents=[audit_event(event_data(account), eventDataChecksum="AAAA")])
    assert answer["failed"][0]["errorCode"] == "InvalidChecksum"
    with raises("ValidationException"):
        data.put_audit_events(channelArn=channel, auditEvents=[audit_event("x" * 600_000), audit_event("y" * 600_000)])
    with raises("ValidationException"):
        data.put_audit_events(channelArn=channel, auditEvents=[audit_event(event_data(account)) for _ in range(101)])


def test_who_may_put_events(channel, data, account, other_account):
    nobody = account.user().client("cloudtrail-data")
    assert_denied(lambda: nobody.put_audit_events(channelArn=channel, auditEvents=[audit_event(event_data(account))]), "cloudtrail-data:PutAuditEvents")
    model = account.user(policy=document(allow("cloudtrail-data:PutAuditEvents", channel))).client("cloudtrail-data")
    assert model.put_audit_events(channelArn=channel, auditEvents=[audit_event(event_data(account))])["failed"] == []
    foreign = other_account.client("cloudtrail-data")
    assert_denied(lambda: foreign.put_audit_events(channelArn=channel, auditEvents=[audit_event(event_data(account))]), "cloudtrail-data:PutAuditEvents")


def test_events_that_come_at_once_all_stay(lake, store, channel, data, account):
    def put(number):
        return data.put_audit_events(channelArn=channel, auditEvents=[audit_event(recent(account, UID=f"u{number}"))])["failed"]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(put, range(24))) == [[]] * 24
    found = {row["uid"] for row in run(lake, f"SELECT eventData.uid FROM {store_id(store)}")}
    assert found == {f"u{number}" for number in range(24)}
