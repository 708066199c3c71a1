"""CloudTrail Lake: event data stores, SQL over them, answers with signatures, what is refused."""

import csv
import datetime
import gzip
import hashlib
import io
import json
import time
import uuid

import pytest

from bailiwick_server import Account, allow, assert_denied, document, raises

REGION = "us-east-1"
ENDED = ("FINISHED", "FAILED", "CANCELLED", "TIMED_OUT")


@pytest.fixture
def lake(account):
    return account.client("cloudtrail")


def new_store(lake, **more):
    return lake.create_event_data_store(Name=f"store-{uuid.uuid4().hex[:8]}", **more)["EventDataStoreArn"]


def store_id(arn):
    return arn.rsplit("/", 1)[1]


@pytest.fixture
def store(lake):
    """ARN of a store of management events."""
    return new_store(lake)


def ended(lake, query_id):
    """Description of the query, once it has ended. Bounded, by tries."""
    for _ in range(600):
        query = lake.describe_query(QueryId=query_id)
        if query["QueryStatus"] in ENDED:
            return query
        time.sleep(0.02)
    raise AssertionError(f"the query did not end: {query}")


def run(lake, statement, **more):
    """Rows of a query, each as a dictionary."""
    query_id = lake.start_query(QueryStatement=statement, **more)["QueryId"]
    query = ended(lake, query_id)
    assert query["QueryStatus"] == "FINISHED", query
    return rows_of(lake, query_id)


def rows_of(lake, query_id, **more):
    rows, token = [], {}
    while True:
        page = lake.get_query_results(QueryId=query_id, **more, **token)
        rows += [{name: value for cell in row for name, value in cell.items()} for row in page.get("QueryResultRows", [])]
        if "NextToken" not in page:
            return rows
        token = {"NextToken": page["NextToken"]}


# -- event data stores ---------------------------------------------------------------------------------------------------


def test_a_store_is_made_read_changed_and_listed(lake, account):
    made = lake.create_event_data_store(Name="compliance", TagsList=[{"Key": "team", "Value": "red"}])
    arn = made["EventDataStoreArn"]
    assert arn.startswith(f"arn:aws:cloudtrail:{REGION}:{account.id}:eventdatastore/")
    assert (made["Status"], made["RetentionPeriod"], made["BillingMode"]) == ("CREATED", 366, "EXTENDABLE_RETENTION_PRICING")
    assert made["TerminationProtectionEnabled"] and made["MultiRegionEnabled"] and not made["OrganizationEnabled"]
    assert made["AdvancedEventSelectors"][0]["FieldSelectors"] == [{"Field": "eventCategory", "Equals": ["Management"]}]
    shown = lake.get_event_data_store(EventDataStore=arn)
    assert (shown["Name"], shown["Status"], shown["FederationStatus"]) == ("compliance", "ENABLED", "DISABLED")
    assert lake.get_event_data_store(EventDataStore=store_id(arn))["EventDataStoreArn"] == arn
    changed = lake.update_event_data_store(EventDataStore=arn, Name="seven-years", RetentionPeriod=2557, TerminationProtectionEnabled=False)
    assert (changed["Name"], changed["RetentionPeriod"], changed["TerminationProtectionEnabled"]) == ("seven-years", 2557, False)
    assert [store["EventDataStoreArn"] for store in lake.list_event_data_stores()["EventDataStores"]] == [arn]
    assert lake.list_tags(ResourceIdList=[arn])["ResourceTagList"][0]["TagsList"] == [{"Key": "team", "Value": "red"}]
    lake.add_tags(ResourceId=arn, TagsList=[{"Key": "stage", "Value": "x"}])
    lake.remove_tags(ResourceId=arn, TagsList=[{"Key": "team"}])
    assert lake.list_tags(ResourceIdList=[arn])["ResourceTagList"][0]["TagsList"] == [{"Key": "stage", "Value": "x"}]


def test_stores_that_are_refused(lake):
    new_store_name = "taken"
    lake.create_event_data_store(Name=new_store_name)
    with raises("EventDataStoreAlreadyExistsException"):
        lake.create_event_data_store(Name=new_store_name)
    with raises("InvalidParameterException"):
        lake.create_event_data_store(Name="too-long", BillingMode="FIXED_RETENTION_PRICING", RetentionPeriod=3653)
    with raises("UnsupportedOperationException"):
        lake.create_event_data_store(Name="organization", OrganizationEnabled=True)
    with raises("UnsupportedOperationException"):
        selector = [{"FieldSelectors": [{"Field": "eventCategory", "Equals": ["ConfigurationItem"]}]}]
        lake.create_event_data_store(Name="config", AdvancedEventSelectors=selector)
    with raises("InvalidEventSelectorsException"):
        selector = [{"FieldSelectors": [{"Field": "colour", "Equals": ["red"]}]}]
        lake.create_event_data_store(Name="colours", AdvancedEventSelectors=selector)
    with raises("KmsKeyNotFoundException"):
        lake.create_event_data_store(Name="keyless", KmsKeyId=str(uuid.uuid4()))
    for call in (lake.get_event_data_store, lake.delete_event_data_store, lake.restore_event_data_store, lake.update_event_data_store):
        with raises("EventDataStoreNotFoundException"):
            call(EventDataStore=str(uuid.uuid4()))
        with raises("EventDataStoreARNInvalidException"):
            call(EventDataStore="arn:aws:s3:::bucket")
    for number in range(9):
        lake.create_event_data_store(Name=f"store-{number}")
    with raises("EventDataStoreMaxLimitExceededException"):
        lake.create_event_data_store(Name="one-more")


def test_a_store_is_deleted_and_restored(lake, store):
    with raises("EventDataStoreTerminationProtectedException"):
        lake.delete_event_data_store(EventDataStore=store)
    lake.update_event_data_store(EventDataStore=store, TerminationProtectionEnabled=False)
    lake.delete_event_data_store(EventDataStore=store)
    assert lake.get_event_data_store(EventDataStore=store)["Status"] == "PENDING_DELETION"
    with raises("InactiveEventDataStoreException"):
        lake.delete_event_data_store(EventDataStore=store)
    with raises("InactiveEventDataStoreException"):
        lake.start_query(QueryStatement=f"SELECT eventID FROM {store_id(store)}")
    assert lake.restore_event_data_store(EventDataStore=store)["Status"] == "ENABLED"
    with raises("InvalidEventDataStoreStatusException"):
        lake.restore_event_data_store(EventDataStore=store)


def test_ingestion_stops_and_starts(lake, account, store):
    iam = account.client("iam")
    marker = uuid.uuid4().hex
    query = f"SELECT eventName FROM {store_id(store)} WHERE element_at(requestParameters, 'userName') LIKE '{marker}%' ORDER BY eventTime"
    iam.create_user(UserName=f"{marker}-1")
    lake.stop_event_data_store_ingestion(EventDataStore=store)
    assert lake.get_event_data_store(EventDataStore=store)["Status"] == "STOPPED_INGESTION"
    with raises("InvalidEventDataStoreStatusException"):
        lake.stop_event_data_store_ingestion(EventDataStore=store)
    account.server.advance_clock(seconds=2)
    iam.delete_user(UserName=f"{marker}-1")
    account.server.advance_clock(seconds=2)
    lake.start_event_data_store_ingestion(EventDataStore=store)
    with raises("InvalidEventDataStoreStatusException"):
        lake.start_event_data_store_ingestion(EventDataStore=store)
    iam.create_user(UserName=f"{marker}-2")
    assert [row["eventName"] for row in run(lake, query)] == ["CreateUser", "CreateUser"]
    channel_store = new_store(lake, AdvancedEventSelectors=[{"FieldSelectors": [{"Field": "eventCategory", "Equals": ["ActivityAuditLog"]}]}])
    with raises("InvalidEventDataStoreCategoryException"):
        lake.stop_event_data_store_ingestion(EventDataStore=channel_store)


def test_federation_is_refused(lake, account, store):
    with raises("UnsupportedOperationException"):
        lake.enable_federation(EventDataStore=store, FederationRoleArn=f"arn:aws:iam::{account.id}:role/federation")
    with raises("InvalidParameterException"):
        lake.disable_federation(EventDataStore=store)


def test_who_may_do_what_with_stores(lake, account, store):
    nobody = account.user().client("cloudtrail")
    assert_denied(lambda: nobody.get_event_data_store(EventDataStore=store), "cloudtrail:GetEventDataStore")
    assert_denied(lambda: nobody.create_event_data_store(Name="mine"), "cloudtrail:CreateEventDataStore")
    assert_denied(lambda: nobody.list_event_data_stores(), "cloudtrail:ListEventDataStores")
    assert_denied(lambda: nobody.start_query(QueryStatement=f"SELECT eventID FROM {store_id(store)}"), "cloudtrail:StartQuery")
    other = new_store(lake)
    reader = account.user(policy=document(allow(["cloudtrail:StartQuery", "cloudtrail:GetQueryResults", "cloudtrail:DescribeQuery"], store))).client("cloudtrail")
    query_id = reader.start_query(QueryStatement=f"SELECT eventID FROM {store_id(store)} LIMIT 1")["QueryId"]
    assert ended(reader, query_id)["QueryStatus"] == "FINISHED"
    assert_denied(lambda: reader.start_query(QueryStatement=f"SELECT eventID FROM {store_id(other)}"), "cloudtrail:StartQuery")
    joined = f"SELECT a.eventID FROM {store_id(store)} a JOIN {store_id(other)} b ON a.eventID = b.eventID"
    assert_denied(lambda: reader.start_query(QueryStatement=joined), "cloudtrail:StartQuery")
    foreign = lake.start_query(QueryStatement=f"SELECT eventID FROM {store_id(other)} LIMIT 1")["QueryId"]
    ended(lake, foreign)
    assert_denied(lambda: reader.get_query_results(QueryId=foreign), "cloudtrail:GetQueryResults")


def test_stores_are_of_one_account(lake, store, other_account):
    other = other_account.client("cloudtrail")
    with raises("EventDataStoreNotFoundException"):
        other.start_query(QueryStatement=f"SELECT eventID FROM {store_id(store)}")


# -- queries -------------------------------------------------------------------------------------------------------------


def test_a_query_finds_what_was_called(lake, account, store):
    iam = account.client("iam")
    marker = uuid.uuid4().hex
    iam.create_user(UserName=marker)
    for _ in range(2):
        with raises("EntityAlreadyExists"):
            iam.create_user(UserName=marker)
    found = run(
        lake,
        f"""
        SELECT eventName, errorCode, COUNT(*) AS calls, element_at(requestParameters, 'userName') AS name
        FROM {store_id(store)}
        WHERE eventSource = 'iam.amazonaws.com' AND requestParameters['userName'] = '{marker}'
        GROUP BY eventName, errorCode, element_at(requestParameters, 'userName')
        ORDER BY calls DESC
        """,
    )
    assert [(row["eventName"], row["errorCode"][:19], row["calls"], row["name"]) for row in found] == [
        ("CreateUser", "EntityAlreadyExists", "2", marker),
        ("CreateUser", "", "1", marker),
    ]


def test_what_a_query_tells_of_itself(lake, store):
    statement = f"SELECT eventID FROM {store_id(store)} WHERE eventName = 'CreateEventDataStore'"
    query_id = lake.start_query(QueryStatement=statement)["QueryId"]
    query = ended(lake, query_id)
    assert query["QueryString"] == statement
    statistics = query["QueryStatistics"]
    assert statistics["EventsMatched"] == 1 and statistics["EventsScanned"] >= 1 and statistics["BytesScanned"] > 0
    results = lake.get_query_results(QueryId=query_id)
    assert results["QueryStatistics"]["TotalResultsCount"] == results["QueryStatistics"]["ResultsCount"] == 1
    listed = lake.list_queries(EventDataStore=store)["Queries"]
    assert [entry["QueryId"] for entry in listed] == [query_id]
    assert lake.list_queries(EventDataStore=store, QueryStatus="FAILED")["Queries"] == []
    now = datetime.datetime.now(datetime.timezone.utc)
    with raises("InvalidDateRangeException"):
        lake.list_queries(EventDataStore=store, StartTime=now, EndTime=now - datetime.timedelta(days=1))
    with raises("QueryIdNotFoundException"):
        lake.describe_query(QueryId=str(uuid.uuid4()))
    with raises("InactiveQueryException"):
        lake.cancel_query(QueryId=query_id)
    with raises("InvalidNextTokenException"):
        lake.get_query_results(QueryId=query_id, NextToken="forged")


def test_answers_come_in_pages(lake, account, store):
    iam = account.client("iam")
    for _ in range(7):
        iam.list_users()
    statement = f"SELECT eventID FROM {store_id(store)} WHERE eventName = 'ListUsers' ORDER BY eventID"
    query_id = lake.start_query(QueryStatement=statement)["QueryId"]
    ended(lake, query_id)
    whole = rows_of(lake, query_id)
    assert len(whole) == 7 and rows_of(lake, query_id, MaxQueryResults=3) == whole
    assert [page["Queries"][0]["QueryStatus"] for page in [lake.list_queries(EventDataStore=store, MaxResults=1)]] == ["FINISHED"]


def test_answers_survive_seven_days_and_no_longer(start_server):
    server = start_server("--ephemeral", "--manual-clock")
    lake = Account.home(server).client("cloudtrail")
    store = new_store(lake)
    query_id = lake.start_query(QueryStatement=f"SELECT eventID FROM {store_id(store)} LIMIT 1")["QueryId"]
    ended(lake, query_id)
    server.advance_clock(days=6)
    assert lake.get_query_results(QueryId=query_id)["QueryStatus"] == "FINISHED"
    server.advance_clock(days=2)
    with raises("QueryIdNotFoundException"):
        lake.get_query_results(QueryId=query_id)


def test_retention_ends_what_a_query_sees(start_server):
    server = start_server("--ephemeral", "--manual-clock")
    account = Account.home(server)
    lake = account.client("cloudtrail")
    store = new_store(lake, RetentionPeriod=7)
    account.client("iam").list_users()
    statement = f"SELECT eventName FROM {store_id(store)} WHERE eventName = 'ListUsers'"
    assert len(run(lake, statement)) == 1
    server.advance_clock(days=8)
    assert run(lake, statement) == []


def test_a_store_sees_other_regions_when_it_should(lake, account):
    everywhere, here = new_store(lake), new_store(lake, MultiRegionEnabled=False)
    account.client("kms", region="eu-central-1").list_keys()
    statement = "SELECT awsRegion, COUNT(*) FROM {} WHERE eventName = 'ListKeys' GROUP BY awsRegion"
    assert run(lake, statement.format(store_id(everywhere))) == [{"awsRegion": "eu-central-1", "_col1": "1"}]
    assert run(lake, statement.format(store_id(here))) == []


def test_a_store_chooses_by_its_selectors(lake, account):
    selectors = [{"FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}, {"Field": "readOnly", "Equals": ["false"]}]}]
    writes = new_store(lake, AdvancedEventSelectors=selectors)
    iam = account.client("iam")
    iam.list_users()
    iam.create_group(GroupName="writers")
    found = run(lake, f"SELECT eventName, readOnly FROM {store_id(writes)} WHERE eventSource = 'iam.amazonaws.com'")
    assert found == [{"eventName": "CreateGroup", "readOnly": "false"}]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM $S",
        "SELECT eventID FROM $S; SELECT eventID FROM $S",
        "SELECT load_extension('x') FROM $S",
        "SELECT eventID FROM sqlite_master",
        "SELECT a.eventID FROM $S a, $S b",
        "SELECT a.eventID FROM $S a CROSS JOIN $S b",
        "SELECT colour FROM $S",
        "SELECT eventID, COUNT(*) FROM $S",
        "SELECT eventID FROM $S WHERE eventTime > 'soon'",
        "SELECT (((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((1",
        "no SQL at all",
    ],
)
def test_statements_that_are_refused(lake, store, statement):
    with raises("InvalidQueryStatementException"):
        lake.start_query(QueryStatement=statement.replace("$S", store_id(store)))


def test_queries_that_are_refused(lake, store):
    with raises("EventDataStoreNotFoundException"):
        lake.start_query(QueryStatement=f"SELECT eventID FROM {uuid.uuid4()}")
    with raises("InvalidParameterException"):
        lake.start_query()
    with raises("InvalidParameterException"):
        lake.start_query(QueryAlias="nothing")
    foreign = {"QueryStatement": f"SELECT eventID FROM {store_id(store)}", "EventDataStoreOwnerAccountId": "999999999999"}
    assert_denied(lambda: lake.start_query(**foreign), "cloudtrail:StartQuery")


def test_a_value_that_a_function_cannot_take_fails_the_query(lake, store):
    query_id = lake.start_query(QueryStatement=f"SELECT date_trunc('aeon', eventTime) FROM {store_id(store)}")["QueryId"]
    query = ended(lake, query_id)
    assert query["QueryStatus"] == "FAILED" and "date_trunc" in query["ErrorMessage"]
    assert lake.get_query_results(QueryId=query_id).get("QueryResultRows", []) == []


def test_parameters_are_values_and_not_sql(lake, store):
    statement = f"SELECT eventName FROM {store_id(store)} WHERE eventName = ?"
    query_id = lake.start_query(QueryStatement=statement, QueryParameters=["CreateEventDataStore"])["QueryId"]
    ended(lake, query_id)
    assert rows_of(lake, query_id) == [{"eventName": "CreateEventDataStore"}]
    with raises("InvalidQueryStatementException"):
        lake.start_query(QueryStatement=statement)


def test_samples_are_found_and_run(lake, account, store):
    found = lake.search_sample_queries(SearchPhrase="access denied")["SearchResults"]
    assert found and found[0]["Relevance"] == max(sample["Relevance"] for sample in found)
    assert run(lake, found[0]["SQL"].replace("$EDS_ID", store_id(store))) == []
    assert lake.search_sample_queries(SearchPhrase="zebra")["SearchResults"] == []
    made = lake.generate_query(EventDataStores=[store], Prompt="Which errors are the most frequent?")
    run(lake, made["QueryStatement"])
    with raises("GenerateResponseException"):
        lake.generate_query(EventDataStores=[store], Prompt="zebra")
    with raises("EventDataStoreNotFoundException"):
        lake.generate_query(EventDataStores=[str(uuid.uuid4())], Prompt="errors")


# -- answers in a bucket -------------------------------------------------------------------------------------------------


def answer_bucket(account, allowed=True):
    name = f"answers-{uuid.uuid4().hex[:16]}"
    s3 = account.client("s3")
    s3.create_bucket(Bucket=name)
    if allowed:
        s3.put_bucket_policy(
            Bucket=name,
            Policy=document(
                allow(
                    "s3:PutObject*",
                    f"arn:aws:s3:::{name}/*",
                    Principal={"Service": "cloudtrail.amazonaws.com"},
                    Condition={
                        "StringLike": {"aws:SourceArn": f"arn:aws:cloudtrail:{REGION}:{account.id}:eventdatastore/*"},
                        "StringEquals": {"aws:SourceAccount": account.id},
                    },
                )
            ),
        )
    return name


def test_an_answer_is_delivered_and_its_signature_verifies(lake, account, store):
    bucket = answer_bucket(account)
    statement = f"SELECT eventName, errorCode FROM {store_id(store)} WHERE eventName = 'CreateEventDataStore'"
    query_id = lake.start_query(QueryStatement=statement, DeliveryS3Uri=f"s3://{bucket}/answers")["QueryId"]
    query = ended(lake, query_id)
    assert (query["DeliveryStatus"], query["DeliveryS3Uri"]) == ("SUCCESS", f"s3://{bucket}/answers")
    s3 = account.client("s3")
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    folder = keys[0].rsplit("/", 1)[0]
    assert folder.startswith(f"answers/AWSLogs/{account.id}/CloudTrail-Lake/Query/") and folder.endswith(f"/{query_id}")
    assert [key.rsplit("/", 1)[1] for key in keys] == ["result_1.csv.gz", "result_sign.json"]
    body = s3.get_object(Bucket=bucket, Key=keys[0])["Body"].read()
    assert list(csv.reader(io.StringIO(gzip.decompress(body).decode()))) == [["eventName", "errorCode"], ["CreateEventDataStore", ""]]
    # As the user guide verifies: each file's hash, joined by spaces, under the published key.
    sign = json.loads(s3.get_object(Bucket=bucket, Key=keys[1])["Body"].read())
    assert (sign["version"], sign["region"], sign["hashAlgorithm"], sign["signatureAlgorithm"]) == ("1.0", REGION, "SHA-256", "SHA256withRSA")
    assert sign["files"] == [{"fileHashValue": hashlib.sha256(body).hexdigest(), "fileName": "result_1.csv.gz"}]
    complete = datetime.datetime.fromisoformat(sign["queryCompleteTime"].replace("Z", "+00:00"))
    around = {"StartTime": complete - datetime.timedelta(hours=1), "EndTime": complete + datetime.timedelta(hours=1)}
    keys_listed = lake.list_public_keys(**around)["PublicKeyList"]
    public = next(key["Value"] for key in keys_listed if key["Fingerprint"] == sign["publicKeyFingerprint"])
    text = " ".join(file["fileHashValue"] for file in sign["files"])
    modulus, exponent = rsa_public_key(public)
    opened = pow(int.from_bytes(bytes.fromhex(sign["hashSignature"]), "big"), exponent, modulus)
    digest_info = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(text.encode()).digest()
    size = (modulus.bit_length() + 7) // 8
    assert opened.to_bytes(size, "big") == b"\x00\x01" + b"\xff" * (size - len(digest_info) - 3) + b"\x00" + digest_info


def rsa_public_key(der):
    """Modulus and exponent of a key in PKCS#1 form: a DER sequence of two integers."""

    def value(data):
        size, start = data[1], 2
        if size >= 128:
            start = 2 + size - 128
            size = int.from_bytes(data[2:start], "big")
        return data[start : start + size], data[start + size :]

    content, rest = value(der)
    assert der[0] == 0x30 and rest == b""
    modulus, content = value(content)
    exponent, content = value(content)
    assert content == b""
    return int.from_bytes(modulus, "big"), int.from_bytes(exponent, "big")


def test_deliveries_that_are_refused(lake, account, store):
    statement = f"SELECT eventID FROM {store_id(store)} LIMIT 1"
    with raises("S3BucketDoesNotExistException"):
        lake.start_query(QueryStatement=statement, DeliveryS3Uri=f"s3://missing-{uuid.uuid4().hex[:12]}")
    closed = answer_bucket(account, allowed=False)
    with raises("InsufficientS3BucketPolicyException"):
        lake.start_query(QueryStatement=statement, DeliveryS3Uri=f"s3://{closed}")


# -- a customer's key ----------------------------------------------------------------------------------------------------


def test_a_store_is_closed_with_its_key(lake, account):
    kms = account.client("kms")
    root = allow("kms:*", "*", Principal={"AWS": f"arn:aws:iam::{account.id}:root"})
    service = allow(["kms:GenerateDataKey", "kms:Decrypt"], "*", Principal={"Service": "cloudtrail.amazonaws.com"})
    key = kms.create_key(Policy=document(root))["KeyMetadata"]["Arn"]
    with raises("InsufficientEncryptionPolicyException"):
        lake.create_event_data_store(Name="closed", KmsKeyId=key)
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=document(root, service))
    store = new_store(lake, KmsKeyId=key)
    assert lake.get_event_data_store(EventDataStore=store)["KmsKeyId"] == key
    statement = f"SELECT eventID FROM {store_id(store)} LIMIT 1"
    assert len(run(lake, statement)) == 1
    kms.disable_key(KeyId=key)
    query = ended(lake, lake.start_query(QueryStatement=statement)["QueryId"])
    assert query["QueryStatus"] == "FAILED" and key in query["ErrorMessage"]


# -- nothing in the open -------------------------------------------------------------------------------------------------


def test_queries_leave_nothing_readable_and_end_after_a_kill(start_server, tmp_path):
    folder = tmp_path / "data"
    server = start_server(data_dir=folder)
    account = Account.home(server)
    lake = account.client("cloudtrail")
    store = new_store(lake)
    canary = f"canary{uuid.uuid4().hex}"
    account.client("iam").create_user(UserName="bird", Tags=[{"Key": "song", "Value": canary}])
    tag = "json_extract_scalar(eventJson, '$.requestParameters.tags[0].value')"
    assert run(lake, f"SELECT {tag} AS song FROM {store_id(store)} WHERE eventName = 'CreateUser'") == [{"song": canary}]
    query_id = lake.start_query(QueryStatement=f"SELECT eventID FROM {store_id(store)}")["QueryId"]
    server.kill()
    raw = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert canary.encode() not in raw
    server = start_server(data_dir=folder, environment={"BAILIWICK_BACKGROUND_INTERVAL_S": "1"})
    lake = Account.home(server).client("cloudtrail")
    assert ended(lake, query_id)["QueryStatus"] == "FINISHED"
