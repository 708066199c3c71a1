"""Service-specific credentials, and Bedrock's bearer keys made of them and of signatures."""

import base64
import contextlib
import datetime
import json

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.exceptions
import pytest

from bailiwick_server import Account, Credentials, Session, allow, deny, raises, request_id
from iam_scenario import UNCHECKED, iam, name  # noqa: F401

BEDROCK = "bedrock.amazonaws.com"
INVALID = "^Authentication failed: Please make sure your API Key is valid.$"
MODEL = "bailiwick.embedded-responder-v1"
CALLS = ["bedrock:CallWithBearerToken", "bedrock:ListFoundationModels", "bedrock:InvokeModel"]


def create(iam, user, service=BEDROCK, **more):  # noqa: F811
    return iam.create_service_specific_credential(UserName=user, ServiceName=service, **more)["ServiceSpecificCredential"]


class Bearing:
    """A client without other credentials that bears a key. boto3 looks for the key in the environment at each call."""

    def __init__(self, monkeypatch, token, server, service, region):
        self._monkeypatch, self._token = monkeypatch, token
        with self._bearing():
            self._client = Session(server, Credentials(None, None, None), region).client(service)

    @contextlib.contextmanager
    def _bearing(self):
        with self._monkeypatch.context() as patch:
            patch.setenv("AWS_BEARER_TOKEN_BEDROCK", self._token)
            yield

    def __getattr__(self, operation):
        def call(**parameters):
            with self._bearing():
                return getattr(self._client, operation)(**parameters)

        return call


@pytest.fixture
def bearing(account, monkeypatch):
    """Makes clients of the account's server that bear a key."""

    def client(token, service="bedrock", server=None, region=None):
        return Bearing(monkeypatch, token, server or account.server, service, region)

    return client


def short_term(credentials, server, region="us-east-1", expires=43200, action="CallWithBearerToken", suffix="&Version=1"):
    """A key as AWS's token generators make it."""
    keys = botocore.credentials.Credentials(credentials.access_key_id, credentials.secret_access_key, credentials.session_token)
    url = "https://bedrock.amazonaws.com/"
    request = botocore.awsrequest.AWSRequest("POST", url, headers={"host": "bedrock.amazonaws.com"}, params={"Action": action})
    from bailiwick_server import _signing

    _signing.ahead_ms = server.ahead_ms
    botocore.auth.SigV4QueryAuth(keys, "bedrock", region, expires=expires).add_auth(request)
    return "bedrock-api-key-" + base64.b64encode((request.url.removeprefix("https://") + suffix).encode()).decode()


# Records


def test_the_life_of_a_credential(iam):  # noqa: F811
    user = name("key")
    iam.create_user(UserName=user)
    made = create(iam, user, CredentialAgeDays=30)
    account_id = iam.get_user(UserName=user)["User"]["Arn"].split(":")[4]
    assert made["ServiceSpecificCredentialId"].startswith("ACCA") and made["Status"] == "Active"
    assert made["ServiceCredentialAlias"] == f"{user}-at-{account_id}"
    assert made["ServiceCredentialSecret"].startswith("ABSK") and "ServicePassword" not in made
    assert made["ExpirationDate"] - made["CreateDate"] == datetime.timedelta(days=30)
    second = create(iam, user)
    assert second["ServiceCredentialAlias"] == f"{user}+1-at-{account_id}" and "ExpirationDate" not in second
    with raises("LimitExceeded", 409, "ServiceSpecificCredentialsPerUser: 2"):
        create(iam, user)
    git = create(iam, user, "codecommit.amazonaws.com")
    assert git["ServiceUserName"].endswith(account_id) and git["ServicePassword"] and "ServiceCredentialSecret" not in git

    listed = iam.list_service_specific_credentials(UserName=user)["ServiceSpecificCredentials"]
    assert len(listed) == 3 and not any("ServiceCredentialSecret" in one or "ServicePassword" in one for one in listed)
    assert len(iam.list_service_specific_credentials(UserName=user, ServiceName=BEDROCK)["ServiceSpecificCredentials"]) == 2
    assert len(iam.list_service_specific_credentials(AllUsers=True)["ServiceSpecificCredentials"]) == 3
    first_page = iam.list_service_specific_credentials(AllUsers=True, MaxItems=2)
    assert first_page["IsTruncated"]
    rest = iam.list_service_specific_credentials(AllUsers=True, MaxItems=2, Marker=first_page["Marker"])
    assert len(rest["ServiceSpecificCredentials"]) == 1

    one = {"UserName": user, "ServiceSpecificCredentialId": made["ServiceSpecificCredentialId"]}
    iam.update_service_specific_credential(**one, Status="Inactive")
    statuses = {c["ServiceSpecificCredentialId"]: c["Status"] for c in iam.list_service_specific_credentials(UserName=user)["ServiceSpecificCredentials"]}
    assert statuses[made["ServiceSpecificCredentialId"]] == "Inactive"
    reset = iam.reset_service_specific_credential(**one)["ServiceSpecificCredential"]
    assert reset["ServiceCredentialSecret"] != made["ServiceCredentialSecret"]
    with raises("DeleteConflict", 409):
        iam.delete_user(UserName=user)
    for credential in (made, second, git):
        iam.delete_service_specific_credential(UserName=user, ServiceSpecificCredentialId=credential["ServiceSpecificCredentialId"])
    with raises("NoSuchEntity", 404):
        iam.delete_service_specific_credential(**one)
    iam.delete_user(UserName=user)


def test_what_is_refused(account, iam):  # noqa: F811
    user = account.user()
    with raises("NoSuchEntity", 404, "The user with name missing cannot be found."):
        create(iam, "missing")
    with raises("NotSupportedService", 404):
        create(iam, user.user_name, "s3.amazonaws.com")
    unchecked = account.client("iam", config=UNCHECKED)
    with raises("ValidationError", 400):
        create(unchecked, user.user_name, CredentialAgeDays=0)
    made = create(iam, user.user_name)
    with raises("InvalidInput", 400):
        unchecked.update_service_specific_credential(
            UserName=user.user_name, ServiceSpecificCredentialId=made["ServiceSpecificCredentialId"], Status="Expired"
        )
    with raises("ValidationError", 400, "Must specify userName"):
        iam.list_service_specific_credentials()


def test_a_user_manages_its_own_and_ages_can_be_limited(account, assert_denied):
    arn = f"arn:aws:iam::{account.id}:user/${{aws:username}}"
    conditions = {
        "NumericLessThanEquals": {"iam:ServiceSpecificCredentialAgeDays": "90"},
        "StringEquals": {"iam:ServiceSpecificCredentialServiceName": BEDROCK},
    }
    user = account.user(policy=[
        allow("iam:CreateServiceSpecificCredential", arn, Condition=conditions),
        allow("iam:DeleteServiceSpecificCredential", arn, Condition={"StringEquals": {"iam:ServiceSpecificCredentialServiceName": BEDROCK}}),
        allow("iam:ListServiceSpecificCredentials", arn),
    ])
    client = user.client("iam")
    made = create(client, user.user_name, CredentialAgeDays=90)
    refused = [lambda: create(client, user.user_name, CredentialAgeDays=91), lambda: create(client, user.user_name)]
    for call in refused:
        assert_denied(call, "iam:CreateServiceSpecificCredential", by="identity")
    other = account.user()
    assert_denied(lambda: create(client, other.user_name, CredentialAgeDays=1), "iam:CreateServiceSpecificCredential", by="identity")
    assert client.list_service_specific_credentials()["ServiceSpecificCredentials"][0]["UserName"] == user.user_name
    git = create(account.client("iam"), user.user_name, "codecommit.amazonaws.com")
    delete = lambda key: client.delete_service_specific_credential(ServiceSpecificCredentialId=key["ServiceSpecificCredentialId"])  # noqa: E731
    assert_denied(lambda: delete(git), "iam:DeleteServiceSpecificCredential", by="identity")
    delete(made)


# Long-term keys


def test_a_long_term_key_calls_bedrock(account, iam, bearing, assert_denied):  # noqa: F811
    user = account.user(policy=allow(CALLS))
    made = create(iam, user.user_name)
    answer = bearing(made["ServiceCredentialSecret"]).list_foundation_models()
    assert answer["modelSummaries"]
    body = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 5, "messages": [{"role": "user", "content": "Hello"}]})
    assert bearing(made["ServiceCredentialSecret"], "bedrock-runtime").invoke_model(modelId=MODEL, body=body)["body"].read()
    account.server.flush()
    event = account.events_of(request_id(answer))[0]
    assert event["userIdentity"]["arn"] == user.user_arn() and event["userIdentity"]["type"] == "IAMUser"
    assert event["userIdentity"]["credentialId"] == made["ServiceSpecificCredentialId"] and "accessKeyId" not in event["userIdentity"]
    assert event["additionalEventData"] == {"callWithBearerToken": True}
    assert made["ServiceCredentialSecret"] not in json.dumps(account.events())
    denied = account.user(policy=allow(CALLS[:2]))
    key = create(iam, denied.user_name)["ServiceCredentialSecret"]
    assert_denied(lambda: bearing(key, "bedrock-runtime").invoke_model(modelId=MODEL, body=body), "bedrock:InvokeModel", by="identity")


def test_bearing_needs_a_permission_of_its_own(account, iam, bearing, assert_denied):  # noqa: F811
    user = account.user(policy=allow("bedrock:ListFoundationModels"))
    user.client("bedrock").list_foundation_models()
    key = create(iam, user.user_name)["ServiceCredentialSecret"]
    assert_denied(bearing(key).list_foundation_models, "bedrock:CallWithBearerToken", by="identity", explicit=False)


def test_a_kind_of_key_can_be_forbidden(account, iam, bearing, assert_denied):  # noqa: F811
    no_long_term = deny("bedrock:CallWithBearerToken", Condition={"StringEquals": {"bedrock:bearerTokenType": "LONG_TERM"}})
    user = account.user(policy=[allow(CALLS), no_long_term])
    key = create(iam, user.user_name)["ServiceCredentialSecret"]
    assert_denied(bearing(key).list_foundation_models, "bedrock:CallWithBearerToken", by="identity", explicit=True)
    bearing(short_term(user.credentials, account.server)).list_foundation_models()


def test_bad_long_term_keys_open_nothing(account, iam, bearing):  # noqa: F811
    user = account.user(policy=allow(CALLS))
    made = create(iam, user.user_name)
    one = {"UserName": user.user_name, "ServiceSpecificCredentialId": made["ServiceSpecificCredentialId"]}
    key = made["ServiceCredentialSecret"]
    client = bearing(key)
    client.list_foundation_models()
    for wrong in ("nonsense", "ABSK", key[:-6] + "AAAAAA", "ABSK" + base64.b64encode(f"x-at-{account.id}:y".encode()).decode()):
        with raises("AccessDeniedException", 403, INVALID):
            bearing(wrong).list_foundation_models()
    iam.update_service_specific_credential(**one, Status="Inactive")
    with raises("AccessDeniedException", 403, INVALID):
        client.list_foundation_models()
    iam.update_service_specific_credential(**one, Status="Active")
    client.list_foundation_models()
    new = iam.reset_service_specific_credential(**one)["ServiceSpecificCredential"]["ServiceCredentialSecret"]
    with raises("AccessDeniedException", 403, INVALID):
        client.list_foundation_models()
    bearing(new).list_foundation_models()
    iam.delete_service_specific_credential(**one)
    with raises("AccessDeniedException", 403, INVALID):
        bearing(new).list_foundation_models()


def test_keys_end(start_server, bearing):
    server = start_server("--ephemeral", "--manual-clock")
    account = Account.home(server)
    user = account.user(policy=allow(CALLS))
    long = create(account.client("iam"), user.user_name, CredentialAgeDays=1)["ServiceCredentialSecret"]
    long, short = bearing(long, server=server), bearing(short_term(user.credentials, server, region=server.region), server=server)
    server.advance_clock(hours=11)
    long.list_foundation_models()
    short.list_foundation_models()
    server.advance_clock(hours=2)
    with raises("AccessDeniedException", 403, "^Bearer Token has expired$"):
        short.list_foundation_models()
    long.list_foundation_models()
    server.advance_clock(hours=12)
    with raises("AccessDeniedException", 403, "^Bearer Token has expired$"):
        long.list_foundation_models()
    listed = account.client("iam").list_service_specific_credentials(UserName=user.user_name)["ServiceSpecificCredentials"]
    assert listed[0]["Status"] == "Expired"


# Short-term keys


def test_a_short_term_key_is_its_signer(account, bearing, assert_denied):
    session = account.assume(account.role(policy=allow(CALLS)))
    answer = bearing(short_term(session.credentials, account.server)).list_foundation_models()
    account.server.flush()
    event = account.events_of(request_id(answer))[0]
    assert event["userIdentity"]["arn"] == session.user_arn()
    assert event["userIdentity"]["accessKeyId"] == session.credentials.access_key_id
    assert event["additionalEventData"]["callWithBearerToken"] is True
    powerless = account.user()
    call = bearing(short_term(powerless.credentials, account.server)).list_foundation_models
    assert_denied(call, "bedrock:CallWithBearerToken", by="identity")


def test_a_short_term_key_is_good_in_its_region_only(account, bearing):
    user = account.user(policy=allow(CALLS))
    bearing(short_term(user.credentials, account.server, region="eu-central-1"), region="eu-central-1").list_foundation_models()
    with raises("AccessDeniedException", 403, INVALID):
        bearing(short_term(user.credentials, account.server, region="ap-south-1")).list_foundation_models()


def test_bad_short_term_keys_open_nothing(account, bearing):
    user = account.user(policy=allow(CALLS))
    good = short_term(user.credentials, account.server)
    forged = base64.b64decode(good.removeprefix("bedrock-api-key-")).decode().replace("X-Amz-Expires=43200", "X-Amz-Expires=43199")
    wrong = [
        short_term(user.credentials, account.server, action="ListFoundationModels"),
        short_term(user.credentials, account.server, expires=43201),
        short_term(user.credentials, account.server, suffix=""),
        "bedrock-api-key-" + base64.b64encode(forged.encode()).decode(),
        "bedrock-api-key-!!",
        "bedrock-api-key-" + "A" * 3000,
    ]
    for key in wrong:
        with raises("AccessDeniedException", 403, INVALID):
            bearing(key).list_foundation_models()


def test_a_bearer_key_opens_no_other_service(account, iam, monkeypatch):  # noqa: F811
    user = account.user(policy=allow("*"))
    key = create(iam, user.user_name)["ServiceCredentialSecret"]
    s3 = account.client("s3", config=botocore.config.Config(signature_version=botocore.UNSIGNED))
    s3.meta.events.register("before-sign", lambda request, **_: request.headers.add_header("Authorization", f"Bearer {key}"))
    with pytest.raises(botocore.exceptions.ClientError) as refusal:
        s3.list_buckets()
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 403, 404)
