"""Insights: unusual rates of calls and errors start and end, are looked up, counted and delivered."""

import datetime
import json
import uuid

import botocore.exceptions
import pytest

from bailiwick_server import Account, assert_denied, raises
from test_cloudtrail_trails import log_bucket, objects

REGION = "us-east-1"


@pytest.fixture(scope="module")
def clock_server(binary, tmp_path_factory):
    from bailiwick_server import Server

    server = Server.start(binary, tmp_path_factory.mktemp("insights"), "--ephemeral", "--manual-clock", "--region", REGION)
    yield server
    server.stop()
    server.check_log()


def test_selectors_are_put_and_read(account):
    trails = account.client("cloudtrail")
    bucket = log_bucket(account)
    name = f"trail-{uuid.uuid4().hex[:8]}"
    arn = trails.create_trail(Name=name, S3BucketName=bucket)["TrailARN"]
    with raises("InsightNotEnabledException"):
        trails.get_insight_selectors(TrailName=name)
    wanted = [{"InsightType": "ApiCallRateInsight", "EventCategories": ["Management"]}, {"InsightType": "ApiErrorRateInsight", "EventCategories": ["Management", "Data"]}]
    assert trails.put_insight_selectors(TrailName=name, InsightSelectors=wanted) | {"ResponseMetadata": 0} == {
        "TrailARN": arn,
        "InsightSelectors": wanted,
        "ResponseMetadata": 0,
    }
    assert trails.get_insight_selectors(TrailName=name)["InsightSelectors"] == wanted
    assert trails.get_trail(Name=name)["Trail"]["HasInsightSelectors"] is True
    with raises("InvalidInsightSelectorsException"):
        trails.put_insight_selectors(TrailName=name, InsightSelectors=[wanted[0], wanted[0]])
    with raises("TrailNotFoundException"):
        trails.put_insight_selectors(TrailName="nowhere", InsightSelectors=wanted)
    with raises("InvalidParameterCombinationException"):
        trails.put_insight_selectors(InsightSelectors=wanted)
    assert_denied(lambda: account.user().client("cloudtrail").put_insight_selectors(TrailName=name, InsightSelectors=wanted), "cloudtrail:PutInsightSelectors")
    trails.put_insight_selectors(TrailName=name, InsightSelectors=[])
    with raises("InsightNotEnabledException"):
        trails.get_insight_selectors(TrailName=arn)


def test_a_burst_becomes_an_insight(clock_server):
    server = clock_server
    account = Account.home(server)
    bucket = log_bucket(account)
    trails = account.client("cloudtrail")
    arn = trails.create_trail(Name="watched", S3BucketName=bucket, EnableLogFileValidation=True)["TrailARN"]
    both = [{"InsightType": kind, "EventCategories": ["Management"]} for kind in ("ApiCallRateInsight", "ApiErrorRateInsight")]
    trails.put_insight_selectors(TrailName="watched", InsightSelectors=both)
    trails.start_logging(Name="watched")
    server.flush()
    # The first hour is not judged.
    server.advance_clock(hours=2)
    iam = account.client("iam")
    for number in range(30):
        iam.create_user(UserName=f"burst-{number}")
    for number in range(15):
        with pytest.raises(botocore.exceptions.ClientError):
            iam.get_user(UserName=f"nobody-{number}")
    server.flush()
    assert trails.lookup_events(EventCategory="insight")["Events"] == [], "the minute is not over"
    server.advance_clock(minutes=3)
    server.flush()
    found = [json.loads(event["CloudTrailEvent"]) for event in trails.lookup_events(EventCategory="insight")["Events"]]
    details = {(event["insightDetails"]["insightType"], event["insightDetails"]["state"]): event for event in found}
    assert set(details) == {(kind, state) for kind in ("ApiCallRateInsight", "ApiErrorRateInsight") for state in ("Start", "End")}
    start, end = (details["ApiCallRateInsight", state] for state in ("Start", "End"))
    assert start["sharedEventID"] == end["sharedEventID"] and start["eventID"] != end["eventID"]
    assert start["eventType"] == "AwsCloudTrailInsight" and start["eventCategory"] == "Insight"
    assert "userIdentity" not in start and "requestParameters" not in start and "readOnly" not in start
    assert (start["insightDetails"]["eventSource"], start["insightDetails"]["eventName"]) == ("iam.amazonaws.com", "CreateUser")
    context = end["insightDetails"]["insightContext"]
    assert context["statistics"]["insight"]["average"] == 30 and context["statistics"]["insightDuration"] == 1
    arns = next(entry for entry in context["attributions"] if entry["attribute"] == "userIdentityArn")
    assert arns["insight"][0] == {"value": f"arn:aws:iam::{account.id}:root", "average": 30}
    errors = details["ApiErrorRateInsight", "Start"]["insightDetails"]
    assert (errors["eventName"], errors["errorCode"]) == ("GetUser", "NoSuchEntity")
    # They are apart from calls, in lookups as in the bucket.
    assert not [event for event in account.events() if event["eventCategory"] == "Insight"]
    server.flush()
    delivered = [record for content in objects(account, bucket, "CloudTrail-Insight/").values() for record in content["Records"]]
    assert sorted(record["eventID"] for record in delivered) == sorted(event["eventID"] for event in found)
    assert not [record for content in objects(account, bucket).values() for record in content["Records"] if record["eventCategory"] == "Insight"]
    listed = trails.list_insights_data(InsightSource=arn, DataType="InsightsEvents", Dimensions={"EventName": "CreateUser"})["Events"]
    assert {event["EventId"] for event in listed} == {start["eventID"], end["eventID"]}
    now = server.now()
    metric = trails.list_insights_metric_data(
        EventSource="iam.amazonaws.com", EventName="CreateUser", InsightType="ApiCallRateInsight", Period=60,
        StartTime=now - datetime.timedelta(minutes=30), EndTime=now,
    )
    assert metric["Values"] == [30.0] and len(metric["Timestamps"]) == 1
    filled = trails.list_insights_metric_data(
        EventSource="iam.amazonaws.com", EventName="GetUser", InsightType="ApiErrorRateInsight", ErrorCode="NoSuchEntity", Period=60,
        DataType="FillWithZeros", StartTime=now - datetime.timedelta(minutes=10), EndTime=now, TrailName="watched",
    )
    assert sum(filled["Values"]) == 15 and filled["Values"].count(0) == len(filled["Values"]) - 1 and filled["TrailARN"] == arn
    with raises("InvalidParameterException"):
        trails.list_insights_metric_data(EventSource="kms.amazonaws.com", EventName="n", InsightType="ApiErrorRateInsight")
    with raises("InvalidParameterException"):
        trails.list_insights_metric_data(EventSource="kms.amazonaws.com", EventName="n", InsightType="ApiCallRateInsight", Period=61)
    with raises("InvalidEventCategoryException"):
        trails.lookup_events(EventCategory="other")
    with raises("InvalidMaxResultsException"):
        trails.lookup_events(MaxResults=51)
