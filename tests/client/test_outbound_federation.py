"""Tokens that leave: an account as an OpenID Connect issuer, and what its tokens say. Signatures are checked with `cryptography`."""

import base64
import json
import urllib.error
import urllib.request

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from bailiwick_server import Account, allow, deny, new_account_id, raises
from iam_scenario import UNCHECKED
from test_organizations import invite, management, orgs  # noqa: F401

AUDIENCE = "https://api.example.com"
NAMESPACE = "https://sts.amazonaws.com/"
ALGORITHMS = ["RS256", "ES384"]


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def number(text):
    return int.from_bytes(decode(text), "big")


def page(server, url):
    with urllib.request.urlopen(url, context=server.tls_context(), timeout=30) as answer:
        return json.loads(answer.read())


def verified(server, token):
    """Claims of a token, as a service that trusts its issuer sees them."""
    head, claims, signature = token.split(".")
    header = json.loads(decode(head))
    assert header["typ"] == "JWT" and header["alg"] in ALGORITHMS
    issuer = json.loads(decode(claims))["iss"]
    told = page(server, f"{issuer}/.well-known/openid-configuration")
    assert told["issuer"] == issuer and header["alg"] in told["id_token_signing_alg_values_supported"]
    keys = {key["kid"]: key for key in page(server, told["jwks_uri"])["keys"]}
    verify(keys[header["kid"]], f"{head}.{claims}".encode(), decode(signature))
    return json.loads(decode(claims))


def verify(key, signed, signature):
    assert key["use"] == "sig"
    if key["kty"] == "RSA":
        public = rsa.RSAPublicNumbers(number(key["e"]), number(key["n"])).public_key()
        public.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        return
    assert (key["kty"], key["crv"]) == ("EC", "P-384")
    public = ec.EllipticCurvePublicNumbers(number(key["x"]), number(key["y"]), ec.SECP384R1()).public_key()
    half = len(signature) // 2
    in_der = encode_dss_signature(int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))
    public.verify(in_der, signed, ec.ECDSA(hashes.SHA384()))


@pytest.fixture
def issuer(account):
    return account.client("iam").enable_outbound_web_identity_federation()["IssuerIdentifier"]


def token(session, algorithm="RS256", audience=(AUDIENCE,), **more):
    return session.client("sts").get_web_identity_token(Audience=list(audience), SigningAlgorithm=algorithm, **more)


def test_the_life_of_an_issuer(account, other_account):
    iam = account.client("iam")
    with raises("FeatureDisabled", 404):
        iam.get_outbound_web_identity_federation_info()
    with raises("FeatureDisabled", 404):
        iam.disable_outbound_web_identity_federation()
    issuer = iam.enable_outbound_web_identity_federation()["IssuerIdentifier"]
    assert issuer.startswith(f"{account.server.endpoint}/")
    with raises("FeatureEnabled", 409):
        iam.enable_outbound_web_identity_federation()
    info = iam.get_outbound_web_identity_federation_info()
    assert info["IssuerIdentifier"] == issuer and info["JwtVendingEnabled"] is True
    assert other_account.client("iam").enable_outbound_web_identity_federation()["IssuerIdentifier"] != issuer
    old = token(account.session)["WebIdentityToken"]
    iam.disable_outbound_web_identity_federation()
    with raises("OutboundWebIdentityFederationDisabledException", 403):
        token(account.session)
    assert verified(account.server, old)["iss"] == issuer, "tokens that are out stay good"
    assert iam.enable_outbound_web_identity_federation()["IssuerIdentifier"] == issuer


def test_who_may_switch_it(account, assert_denied):
    nobody = account.user().client("iam")
    assert_denied(nobody.enable_outbound_web_identity_federation, "iam:EnableOutboundWebIdentityFederation", by="identity")
    assert_denied(nobody.disable_outbound_web_identity_federation, "iam:DisableOutboundWebIdentityFederation", by="identity")
    assert_denied(nobody.get_outbound_web_identity_federation_info, "iam:GetOutboundWebIdentityFederationInfo", by="identity")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_proves_who_asked(account, issuer, algorithm):
    role = account.role(policy=allow("sts:GetWebIdentityToken"))
    account.client("iam").tag_role(RoleName=role.rsplit("/", 1)[1], Tags=[{"Key": "team", "Value": "data"}])
    session = account.assume(role)
    answer = token(session, algorithm)
    claims = verified(account.server, answer["WebIdentityToken"])
    assert (claims["iss"], claims["aud"], claims["sub"]) == (issuer, AUDIENCE, role)
    assert claims["exp"] - claims["iat"] == 300
    assert answer["Expiration"].timestamp() == claims["exp"]
    own = claims[NAMESPACE]
    assert own["aws_account"] == account.id and own["source_region"] == account.server.region
    assert own["principal_tags"] == {"team": "data"} and "original_session_exp" in own
    assert "org_id" not in own and "request_tags" not in own
    again = verified(account.server, token(session, algorithm)["WebIdentityToken"])
    assert again["jti"] != claims["jti"]


def test_a_changed_token_does_not_verify(account, issuer):
    made = token(account.session)["WebIdentityToken"]
    head, claims, signature = made.split(".")
    changed = {**json.loads(decode(claims)), "sub": "arn:aws:iam::999999999999:root"}
    forged = base64.urlsafe_b64encode(json.dumps(changed).encode()).decode().rstrip("=")
    with pytest.raises(InvalidSignature):
        verified(account.server, f"{head}.{forged}.{signature}")


def test_tags_audiences_and_time(account, issuer, assert_denied):
    both = account.user(policy=allow(["sts:GetWebIdentityToken", "sts:TagGetWebIdentityToken"]))
    tags = [{"Key": "job", "Value": "42"}]
    claims = verified(account.server, token(both, audience=["a", "b"], DurationSeconds=3600, Tags=tags)["WebIdentityToken"])
    assert claims["aud"] == ["a", "b"] and claims["exp"] - claims["iat"] == 3600
    assert claims[NAMESPACE]["request_tags"] == {"job": "42"}
    assert claims["sub"] == both.user_arn()
    without = account.user(policy=allow("sts:GetWebIdentityToken"))
    token(without)
    assert_denied(lambda: token(without, Tags=tags), "sts:TagGetWebIdentityToken", by="identity")


def test_conditions_of_a_token(account, issuer, assert_denied):
    condition = {
        "ForAllValues:StringEquals": {"sts:IdentityTokenAudience": [AUDIENCE]},
        "NumericLessThanEquals": {"sts:DurationSeconds": "300"},
        "StringEquals": {"sts:SigningAlgorithm": "ES384"},
    }
    user = account.user(policy=allow("sts:GetWebIdentityToken", Condition=condition))
    token(user, "ES384")
    token(user, "ES384", DurationSeconds=60)
    for wrong in (
        lambda: token(user, "RS256"),
        lambda: token(user, "ES384", audience=[AUDIENCE, "https://other.example"]),
        lambda: token(user, "ES384", DurationSeconds=301),
    ):
        assert_denied(wrong, "sts:GetWebIdentityToken", by="identity")


def test_what_is_refused(account, issuer):
    with raises("ValidationError", 400):
        token(account.session, "HS256")
    unchecked = account.client("sts", config=UNCHECKED)
    for wrong in ({"DurationSeconds": 59}, {"DurationSeconds": 3601}, {"Audience": []}, {"Audience": ["a"] * 11}, {"SigningAlgorithm": ""}):
        with raises("ValidationError", 400):
            unchecked.get_web_identity_token(**{"Audience": [AUDIENCE], "SigningAlgorithm": "RS256", **wrong})
    with raises("JWTPayloadSizeExceededException", 400):
        token(account.session, audience=["x" * 1000 for _ in range(10)])


def test_a_token_does_not_outlive_its_session(account, issuer):
    role = account.role(policy=allow("sts:GetWebIdentityToken"))
    session = account.assume(role, DurationSeconds=900)
    token(session, DurationSeconds=600)
    with raises("SessionDurationEscalationException", 403):
        token(session, DurationSeconds=901)


def test_the_organization_stands_in_the_token(management, orgs):  # noqa: F811
    member = invite(management, Account.create(management.server, new_account_id()))
    organization = orgs.describe_organization()["Organization"]["Id"]
    root = orgs.list_roots()["Roots"][0]["Id"]
    member.client("iam").enable_outbound_web_identity_federation()
    own = verified(member.server, token(member.session)["WebIdentityToken"])[NAMESPACE]
    assert own["org_id"] == organization and own["ou_path"] == f"{organization}/{root}/"


def test_an_own_token_opens_no_role(account, issuer):
    web = account.server.session(account.credentials).client("sts")
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRoleWithWebIdentity"}
    role = account.role(trust=trust)
    made = token(account.session)["WebIdentityToken"]
    with raises("InvalidIdentityToken", 400):
        web.assume_role_with_web_identity(RoleArn=role, RoleSessionName="xx", WebIdentityToken=made)


def test_keys_change_and_old_tokens_stay_good(start_server):
    server = start_server("--ephemeral", "--manual-clock")
    account = Account.home(server)
    issuer = account.client("iam").enable_outbound_web_identity_federation()["IssuerIdentifier"]
    keys = lambda: {key["kid"] for key in page(server, f"{issuer}/.well-known/jwks.json")["keys"]}  # noqa: E731
    first = keys()
    assert len(first) == 2
    server.advance_clock(days=90, minutes=-1)
    old = token(account.session)["WebIdentityToken"]
    server.advance_clock(minutes=2)
    verified(server, token(account.session)["WebIdentityToken"])
    assert len(keys()) == 3 and keys() > first
    verified(server, old)
    server.advance_clock(**{"days": 1})
    assert not keys() & first


def test_a_configured_url(start_server):
    server = start_server("--ephemeral", "--public-url", "https://bailiwick.example/aws/")
    issuer = Account.home(server).client("iam").enable_outbound_web_identity_federation()["IssuerIdentifier"]
    assert issuer.startswith("https://bailiwick.example/aws/_bailiwick/issuer/")
    path = issuer.removeprefix("https://bailiwick.example/aws")
    assert page(server, f"{server.endpoint}{path}/.well-known/openid-configuration")["issuer"] == issuer


@pytest.mark.parametrize("path", ["nobody/.well-known/jwks.json", "x", "", "a/.well-known/other"])
def test_pages_that_are_not_there(bailiwick, path):
    with pytest.raises(urllib.error.HTTPError) as error:
        page(bailiwick, f"{bailiwick.endpoint}/_bailiwick/issuer/{path}")
    assert error.value.code == 404


def test_a_token_is_not_in_the_trail(account, issuer):
    made = token(account.session)["WebIdentityToken"]
    account.server.flush()
    event = account.events(EventName="GetWebIdentityToken")[0]
    assert made.split(".")[2] not in json.dumps(event)
    assert event["requestParameters"]["audience"] == [AUDIENCE]


def test_a_service_control_policy_binds_tokens(management, orgs, assert_denied):  # noqa: F811
    member = invite(management, Account.create(management.server, new_account_id()))
    member.client("iam").enable_outbound_web_identity_federation()
    token(member.session)
    made = orgs.create_policy(
        Name="no-tokens", Description="", Type="SERVICE_CONTROL_POLICY", Content=json.dumps({"Version": "2012-10-17", "Statement": [deny("sts:GetWebIdentityToken")]})
    )["Policy"]["PolicySummary"]["Id"]
    orgs.attach_policy(PolicyId=made, TargetId=member.id)
    assert_denied(lambda: token(member.session), "sts:GetWebIdentityToken", by="scp")
