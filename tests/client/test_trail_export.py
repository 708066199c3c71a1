"""`bailiwick trail`: events listed, followed, exported; the export as OpenTelemetry logs."""

import csv
import http.server
import io
import json
import pathlib
import threading
import time
import uuid

import duckdb
import pytest

from bailiwick_server import Account, Server, allow, document


@pytest.fixture(scope="module")
def bailiwick(binary, tmp_path_factory):
    """A server whose clock nobody moves: the commands sign with this machine's."""
    server = Server.start(binary, tmp_path_factory.mktemp("export"), "--ephemeral", "--region", "us-east-1", "--region", "eu-central-1")
    yield server
    server.stop()
    server.check_log()


@pytest.fixture
def home(bailiwick):
    return Account.home(bailiwick)


@pytest.fixture
def marker(home):
    """A service-wide unique user who has called once and was refused once."""
    name = f"marked-{uuid.uuid4().hex[:12]}"
    user = home.user(name=name, policy=document(allow("iam:GetUser")))
    user.client("iam").get_user()
    with pytest.raises(Exception, match="AccessDenied"):
        user.client("kms").list_keys()
    return name


def output(result):
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_events_are_listed_in_every_form(command, marker):
    listed = json.loads(output(command("trail", "--user", marker, "-o", "json")))
    assert [event["eventName"] for event in listed] == ["ListKeys", "GetUser"]
    denied = list(csv.DictReader(io.StringIO(output(command("trail", "--user", marker, "--denied", "--since", "90d", "-o", "csv")))))
    assert [(row["eventName"], row["errorCode"], row["readOnly"]) for row in denied] == [("ListKeys", "AccessDenied", "true")] or denied[0][
        "errorCode"
    ].startswith("AccessDenied")
    events = [json.loads(line) for line in output(command("trail", "list", "--user", marker, "--service", "iam", "-o", "ocsf")).splitlines()]
    assert [(event["class_uid"], event["metadata"]["version"], event["api"]["operation"]) for event in events] == [(6003, "1.5.0", "GetUser")]
    old = output(command("trail", "--user", marker, "--name", "GetUser", "-o", "ocsf", "--ocsf-version", "1.0.0-rc.2"))
    assert json.loads(old)["class_uid"] == 3005
    assert marker in output(command("trail", "--user", marker))
    assert "GetUser" in output(command("trail", "--user", marker, "-o", "yaml"))


def test_wrong_arguments_and_refusals(command, home, tmp_path):
    assert command("trail", "--since", "soon").returncode == 2
    assert command("trail", "-o", "ocsf", "--ocsf-version", "9").returncode == 2
    assert command("trail", "export", "--to", tmp_path, "--ocsf-version", "1.0.0-rc.2").returncode == 2
    assert command("trail", "export", "--to", tmp_path, "--source", "../x").returncode == 2
    user = home.user()
    keys = {"AWS_ACCESS_KEY_ID": user.credentials.access_key_id, "AWS_SECRET_ACCESS_KEY": user.credentials.secret_access_key}
    refused = command("trail", environment=keys | {"BAILIWICK_CREDENTIALS": ""})
    assert refused.returncode in (1, 2, 5)


def test_following_shows_what_comes(command, marker):
    lines = output(command("trail", "-f", "--since", "1h", "--user", marker, "--limit", "2", "-o", "json")).splitlines()
    assert [json.loads(line)["eventName"] for line in lines] == ["GetUser", "ListKeys"]


def test_parquet_is_read_by_duckdb(command, home, bailiwick, marker, tmp_path):
    output(command("trail", "export", "--user", marker, "--to", tmp_path))
    rows = duckdb.sql(
        f"""
        SELECT api.operation, status, actor.user.name, metadata.product.name, eventDay, accountId, region, unmapped['readOnly'], resources
        FROM read_parquet('{tmp_path}/ext/bailiwick_api_activity/*/*/*/*.parquet', hive_partitioning = true, hive_types_autocast = false)
        ORDER BY api.operation
        """
    ).fetchall()
    day = bailiwick.now().strftime("%Y%m%d")
    assert [(row[0], row[1], row[2], row[3]) for row in rows] == [("GetUser", "Success", marker, "CloudTrail"), ("ListKeys", "Failure", marker, "CloudTrail")]
    assert {(row[4], row[5], row[6], row[7]) for row in rows} == {(day, home.id, "us-east-1", "true")}


def test_everything_of_an_account_goes_through_parquet(command, home, marker, tmp_path):
    """All classes, with lists, maps and nulls: DuckDB finds as many rows as there are events, and the same ids."""
    output(command("trail", "export", "--to", tmp_path, "--limit", "400"))
    output(command("trail", "export", "--to", tmp_path / "json", "--format", "ocsf", "--limit", "400"))
    written = [json.loads(line) for path in pathlib.Path(tmp_path / "json").rglob("*.json") for line in path.read_text().splitlines()]
    for folder in (tmp_path / "ext").iterdir():
        files = f"{folder}/*/*/*/*.parquet"
        found = duckdb.sql(f"SELECT metadata.uid, class_uid, time, unmapped, http_request.user_agent FROM read_parquet('{files}')").fetchall()
        events = {event["metadata"]["uid"]: event for event in written}
        for uid, class_uid, when, unmapped, agent in found:
            if uid in events:
                event = events[uid]
                expected = (event["class_uid"], event["time"], event.get("unmapped", {}), event.get("http_request", {}).get("user_agent"))
                assert (class_uid, when, unmapped or {}, agent) == expected


def test_events_go_into_a_bucket(command, home, marker):
    bucket = f"lake-{uuid.uuid4().hex[:16]}"
    s3 = home.client("s3")
    s3.create_bucket(Bucket=bucket)
    output(command("trail", "export", "--user", marker, "--to", f"s3://{bucket}/lake", "--format", "csv"))
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert len(keys) == 1 and keys[0].startswith(f"lake/ext/bailiwick/region=us-east-1/accountId={home.id}/eventDay=")
    rows = list(csv.DictReader(io.StringIO(s3.get_object(Bucket=bucket, Key=keys[0])["Body"].read().decode())))
    assert [row["eventName"] for row in rows] == ["GetUser", "ListKeys"]
    assert command("trail", "export", "--user", marker, "--to", "s3://nobody-has-this-bucket-0").returncode == 1


def test_a_query_from_the_command_line(command, home):
    lake = home.client("cloudtrail")
    store = lake.create_event_data_store(Name=f"cli-{uuid.uuid4().hex[:8]}", TerminationProtectionEnabled=False)["EventDataStoreArn"]
    statement = f"SELECT eventName, COUNT(*) AS calls FROM {store.rsplit('/', 1)[1]} WHERE eventName = 'CreateEventDataStore' GROUP BY eventName"
    rows = json.loads(output(command("trail", "query", statement, "-o", "json")))
    assert rows == [{"eventName": "CreateEventDataStore", "calls": "1"}]
    assert command("trail", "query", "DELETE FROM x").returncode == 1
    lake.delete_event_data_store(EventDataStore=store)


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes OTLP logs; refuses the first request."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.requests += 1
        accept = self.server.requests > 1
        if accept:
            self.server.bodies.append(json.loads(body))
        self.send_response(200 if accept else 503)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


def test_the_trail_goes_to_a_collector_and_nothing_is_lost(start_server):
    collector = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    collector.requests, collector.bodies = 0, []
    thread = threading.Thread(target=collector.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{collector.server_port}/v1/logs"
    try:
        server = start_server("--ephemeral", "--background-interval", "1", "--otlp-logs-url", url, "--allow-internal", "127.0.0.1")
        account = Account.home(server)
        account.client("iam").create_user(UserName="exported")
        for _ in range(400):
            records = [
                record
                for body in collector.bodies
                for resource in body["resourceLogs"]
                for scope in resource["scopeLogs"]
                for record in scope["logRecords"]
            ]
            events = [json.loads(record["body"]["stringValue"]) for record in records]
            if any(event["eventName"] == "CreateUser" for event in events):
                break
            time.sleep(0.05)
        created = next(event for event in events if event["eventName"] == "CreateUser")
        assert created["requestParameters"]["userName"] == "exported" and collector.requests > 1
        names = {attribute["key"]: attribute["value"] for attribute in records[0]["attributes"]}
        assert "event.name" in names and records[0]["timeUnixNano"].isdigit()
    finally:
        collector.shutdown()
        collector.server_close()
