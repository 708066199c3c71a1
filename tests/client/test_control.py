"""Bailiwick's own API and pages."""

import http.client
import json
import uuid

import pytest

from bailiwick_server import Account, allow, new_account_id, raises

ROOT_ONLY = [
    ("POST", "/_bailiwick/accounts/{account}", None),
    ("POST", "/_bailiwick/clock/advance", {"Milliseconds": 1}),
    ("POST", "/_bailiwick/reset", None),
    ("POST", "/_bailiwick/trail/flush", None),
    ("POST", "/_bailiwick/backup", {"Directory": "/nowhere/at/all"}),
]
EPHEMERAL_ONLY = ROOT_ONLY[:3]


def page(server, path, method="GET"):
    connection = http.client.HTTPSConnection(server.host, server.port, context=server.tls_context(), timeout=30)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.headers, body


@pytest.mark.parametrize("path", ["/health", "/_localstack/health", "/_bailiwick/health"])
def test_health(bailiwick, path):
    status, headers, body = page(bailiwick, path)
    health = json.loads(body)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert health["ephemeral"] is True
    assert {"iam", "sts", "kms", "s3", "bedrock"} <= set(health["services"])


def test_liveness_and_readiness(bailiwick):
    assert page(bailiwick, "/_bailiwick/health/live")[0] == 200
    status, _, body = page(bailiwick, "/_bailiwick/health/ready")
    assert (status, json.loads(body)) == (200, {"status": "ready"})


def test_metrics_count(bailiwick, account):
    def metrics():
        text = page(bailiwick, "/_bailiwick/metrics")[2].decode()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))}

    before = metrics()
    nobody = account.user()
    with raises("AccessDenied"):
        nobody.client("iam").list_users()
    after = metrics()
    assert after["bailiwick_denied_total"] == before["bailiwick_denied_total"] + 1
    # Three to make the user, one that is denied.
    assert after["bailiwick_calls_total"] >= before["bailiwick_calls_total"] + 3
    assert after["bailiwick_sealed"] == 0
    assert after['bailiwick_store_revision{region="us-east-1"}'] > before['bailiwick_store_revision{region="us-east-1"}']
    assert account.id not in page(bailiwick, "/_bailiwick/metrics")[2].decode(), "metrics name no customer"


def test_accounts_are_apart(bailiwick):
    one, other = (Account.create(bailiwick, new_account_id()) for _ in range(2))
    one.client("iam").create_user(UserName="same")
    assert other.client("iam").list_users()["Users"] == []
    other.client("iam").create_user(UserName="same")
    assert one.client("sts").get_caller_identity()["Arn"] == f"arn:aws:iam::{one.id}:root"


def test_an_account_is_made_once(bailiwick, account):
    answer = bailiwick.control_answer("POST", f"/_bailiwick/accounts/{account.id}")
    assert answer.status in (400, 409), answer
    assert account.client("sts").get_caller_identity()["Account"] == account.id


@pytest.mark.parametrize("account_id", ["1", "12345678901a", "1234567890123"])
def test_an_account_id_has_twelve_digits(bailiwick, account_id):
    answer = bailiwick.control_answer("POST", f"/_bailiwick/accounts/{account_id}")
    assert (answer.status, answer.code) == (400, "ValidationException"), answer


@pytest.mark.parametrize("method, path, body", ROOT_ONLY, ids=[row[1] for row in ROOT_ONLY])
def test_only_the_home_root_user(bailiwick, account, method, path, body):
    administrator = Account.home(bailiwick).user(name=f"admin-{uuid.uuid4().hex}", policy=allow("*"))
    path = path.format(account=new_account_id())
    for credentials in (account.credentials, administrator.credentials):
        answer = bailiwick.control_answer(method, path, body, credentials)
        assert (answer.status, answer.code) == (403, "AccessDeniedException"), answer
        assert "is for the root user of account" in answer.message


@pytest.mark.parametrize("method, path, body", ROOT_ONLY, ids=[row[1] for row in ROOT_ONLY])
def test_nobody_without_a_signature(bailiwick, method, path, body):
    status, _, _ = page(bailiwick, path.format(account=new_account_id()), method)
    assert status == 403


def test_a_lasting_server_cannot_be_reset(start_server):
    server = start_server("--store", "memory")
    for method, path, body in EPHEMERAL_ONLY:
        answer = server.control_answer(method, path.format(account=new_account_id()), body)
        assert (answer.status, answer.code) == (400, "InvalidStateException"), answer
    assert server.session().client("iam").list_users()["Users"] == []


def test_reset_goes_back_to_the_start(start_server):
    server = start_server("--ephemeral")
    account = Account.create(server, "210987654321")
    root = server.session()
    root.client("iam").create_user(UserName="gone")
    root.client("s3").create_bucket(Bucket="gone")
    root.client("s3").put_object(Bucket="gone", Key="k", Body=b"x")
    server.control("POST", "/_bailiwick/reset")
    assert root.client("iam").list_users()["Users"] == []
    assert root.client("s3").list_buckets()["Buckets"] == []
    with raises("InvalidClientTokenId", 403):
        account.client("sts").get_caller_identity()
    # What was there before is gone, not hidden: the names are free.
    root.client("iam").create_user(UserName="gone")
    root.client("s3").create_bucket(Bucket="gone")
    assert "Contents" not in root.client("s3").list_objects_v2(Bucket="gone")


def test_reset_forgets_policies(start_server):
    server = start_server("--ephemeral")
    home = Account.home(server)
    user = home.user(policy=allow("*"))
    user.client("iam").list_users()
    server.control("POST", "/_bailiwick/reset")
    with raises("InvalidClientTokenId"):
        user.client("iam").list_users()


def test_the_clock_moves_forward(start_server):
    server = start_server("--ephemeral", "--manual-clock")
    home = Account.home(server)
    first = home.client("iam").create_user(UserName="a")["User"]["CreateDate"]
    server.advance_clock(days=1)
    second = home.client("iam").create_user(UserName="b")["User"]["CreateDate"]
    assert 86_399 <= (second - first).total_seconds() < 86_400 + 60
    for step in ({"Milliseconds": -86_400_001}, {"Milliseconds": 2**40}, {}):
        assert server.control_answer("POST", "/_bailiwick/clock/advance", step).status == 400


def test_a_real_clock_does_not_move(start_server):
    server = start_server("--ephemeral")
    answer = server.control_answer("POST", "/_bailiwick/clock/advance", {"Milliseconds": 1})
    assert (answer.status, answer.code) == (400, "InvalidStateException"), answer


def test_control_calls_are_recorded(bailiwick):
    answer = bailiwick.control_answer("POST", "/_bailiwick/trail/flush")
    events = Account.home(bailiwick).events_of(answer.request_id)
    assert [(event["eventName"], event["eventSource"]) for event in events] == [("FlushTrail", "bailiwick.internal")]


def test_new_keys_are_not_in_the_record(bailiwick):
    account_id = new_account_id()
    answer = bailiwick.control_answer("POST", f"/_bailiwick/accounts/{account_id}")
    secret = json.loads(answer.body)["SecretAccessKey"]
    [event] = Account.home(bailiwick).events_of(answer.request_id)
    assert event["requestParameters"] == {"accountId": account_id}
    assert secret not in json.dumps(event)


def test_explain_by_principals_of_the_account_only(bailiwick, account, other_account):
    with raises("AccessDenied"):
        account.user().client("iam").list_users()
    last = bailiwick.control("GET", "/_bailiwick/explain/last", credentials=account.credentials)
    assert last["Record"]["eventName"] == "ListUsers"
    assert (last["Decision"]["allowed"], last["Decision"]["explicit"]) == (False, False)
    request = last["Record"]["requestID"]
    answer = bailiwick.control_answer("GET", f"/_bailiwick/explain/{request}", credentials=other_account.credentials)
    assert (answer.status, answer.code) == (404, "ResourceNotFoundException"), answer
    answer = bailiwick.control_answer("GET", f"/_bailiwick/explain/{request}", credentials=account.user().credentials)
    assert (answer.status, answer.code) == (403, "AccessDeniedException"), answer
    helper = account.user(policy=allow("bailiwick:ExplainRequest"))
    assert bailiwick.control("GET", f"/_bailiwick/explain/{request}", credentials=helper.credentials)["Decision"]["allowed"] is False


def test_explain_a_call_that_was_not_made(bailiwick, account):
    user = account.user(policy=allow("s3:GetObject", "arn:aws:s3:::models/public/*"))

    def explain(action, resource):
        body = {"PrincipalArn": user.user_arn(), "Action": action, "ResourceArn": resource}
        return bailiwick.control("POST", "/_bailiwick/explain-access", body, account.credentials)["Decision"]

    assert explain("s3:GetObject", "arn:aws:s3:::models/public/a")["allowed"] is True
    denied = explain("s3:GetObject", "arn:aws:s3:::models/secret")
    assert (denied["allowed"], denied["explicit"]) == (False, False)
    change = denied["smallestChange"]
    assert change["also_opens"] == []
    [edit] = change["edits"]
    assert (edit["policy_type"], edit["after"]["Action"]) == ("identity-based policy", "s3:GetObject"), edit
    # The change that it names does what it says.
    more = json.dumps({"Version": "2012-10-17", "Statement": [edit["after"]]})
    account.client("iam").put_user_policy(UserName=user.user_name, PolicyName="more", PolicyDocument=more)
    assert explain("s3:GetObject", "arn:aws:s3:::models/secret")["allowed"] is True
