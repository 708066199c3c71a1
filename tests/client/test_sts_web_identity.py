"""Web identity: OpenID Connect providers, and roles assumed with the tokens of an issuer that the tests run."""

import base64
import http.server
import json
import ssl
import threading

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils


import botocore.config
from botocore import UNSIGNED

from bailiwick_server import Account, Credentials, allow, raises
from certificate_authority import Authority, new_key, pem_of, pem_of_key
from iam_scenario import iam  # noqa: F401

AUDIENCE = "my-app"


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value, length=None):
    return encoded(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))


class Issuer:
    """An OpenID Connect issuer on a loopback port, over TLS."""

    def __init__(self, folder):
        self.authority = Authority("issuers")
        certificate, key = self.authority.issue_for_loopback()
        (folder / "issuer.pem").write_text(pem_of(certificate) + pem_of_key(key))
        self.authority_file = folder / "issuer-authority.pem"
        self.authority_file.write_text(self.authority.pem())
        self.keys, self.published, self.fetches, self.broken = {}, [], 0, False
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.fetches += 1
                document = issuer.document(self.path)
                body = json.dumps(document).encode()
                self.send_response(500 if issuer.broken else 200 if document else 404)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "issuer.pem")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.place = f"127.0.0.1:{self.server.server_port}"
        self.url = f"https://{self.place}"
        self.claims_issuer = self.url
        self.add_key("one", "rsa")
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def document(self, path):
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.claims_issuer, "jwks_uri": f"{self.url}/keys"}
        return {"keys": self.published} if path == "/keys" else None

    def add_key(self, key_id, kind):
        key = new_key(kind)
        self.keys[key_id] = key
        numbers = key.public_key().public_numbers()
        if kind == "rsa":
            public = {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
        else:
            public = {"kty": "EC", "crv": "P-256", "x": number(numbers.x, 32), "y": number(numbers.y, 32)}
        self.published.append({"kid": key_id, "use": "sig", **public})

    def token(self, server, key_id="one", header=None, **claims):
        now = int(server.now().timestamp())
        content = {"iss": self.url, "sub": "repo:acme/app", "aud": AUDIENCE, "iat": now, "exp": now + 600, **claims}
        content = {name: value for name, value in content.items() if value is not None}
        key = self.keys[key_id]
        algorithm = "RS256" if hasattr(key, "decrypt") else "ES256"
        parts = [encoded(json.dumps(part).encode()) for part in (header or {"alg": algorithm, "kid": key_id}, content)]
        signed = ".".join(parts).encode()
        if algorithm == "RS256":
            signature = key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        else:
            r, s = utils.decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
            signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return ".".join([*parts, encoded(signature)])


@pytest.fixture(scope="module")
def world(binary, tmp_path_factory):
    """A server that trusts an issuer's authority and may reach loopback addresses, with the issuer."""
    from bailiwick_server import Server

    folder = tmp_path_factory.mktemp("web-identity")
    issuer = Issuer(folder)
    server = Server.start(
        binary, folder / "server", "--ephemeral", "--manual-clock", "--allow-internal", "127.0.0.1",
        environment={"SSL_CERT_FILE": str(issuer.authority_file)},
    )
    yield server, issuer
    server.stop()
    server.check_log()
    issuer.server.shutdown()


@pytest.fixture
def issuer(world):
    return world[1]


@pytest.fixture
def account(world):
    from bailiwick_server import new_account_id

    return Account.create(world[0], new_account_id())


@pytest.fixture
def sts(account):
    """STS as somebody without credentials sees it."""
    return account.session.client("sts", config=botocore.config.Config(signature_version=UNSIGNED))


@pytest.fixture
def provider(account, issuer):
    made = account.client("iam").create_open_id_connect_provider(Url=issuer.url, ClientIDList=[AUDIENCE, "other-app"])
    return made["OpenIDConnectProviderArn"]


def trusted(provider, *actions, **condition):
    return {
        "Effect": "Allow", "Principal": {"Federated": provider}, "Action": list(actions) or "sts:AssumeRoleWithWebIdentity",
        **({"Condition": condition} if condition else {}),
    }


def assume(sts, role, token, **more):
    return sts.assume_role_with_web_identity(RoleArn=role, RoleSessionName="build", WebIdentityToken=token, **more)


def session_of(account, answer):
    keys = answer["Credentials"]
    return account.server.session(Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"]))


# Providers


def test_the_life_of_a_provider(account, issuer, iam):  # noqa: F811
    url = f"{issuer.url}/tenant/"
    made = iam.create_open_id_connect_provider(Url=url, ClientIDList=["a"], ThumbprintList=["0" * 40], Tags=[{"Key": "t", "Value": "1"}])
    arn = made["OpenIDConnectProviderArn"]
    assert arn == f"arn:aws:iam::{account.id}:oidc-provider/{issuer.place}/tenant"
    with raises("EntityAlreadyExists", 409):
        iam.create_open_id_connect_provider(Url=url)
    iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="b")
    iam.remove_client_id_from_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="a")
    iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=arn, ThumbprintList=["f" * 40])
    got = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert got["Url"] == f"{issuer.place}/tenant" and got["ClientIDList"] == ["b"] and got["ThumbprintList"] == ["f" * 40]
    iam.tag_open_id_connect_provider(OpenIDConnectProviderArn=arn, Tags=[{"Key": "u", "Value": "2"}])
    iam.untag_open_id_connect_provider(OpenIDConnectProviderArn=arn, TagKeys=["t"])
    assert iam.list_open_id_connect_provider_tags(OpenIDConnectProviderArn=arn)["Tags"] == [{"Key": "u", "Value": "2"}]
    assert iam.list_open_id_connect_providers()["OpenIDConnectProviderList"] == [{"Arn": arn}]
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    with raises("NoSuchEntity", 404):
        iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)


def test_bad_providers_are_refused(iam, account, assert_denied):  # noqa: F811
    for url in ("http://id.example", "https://id.example/?x=1"):
        with raises("ValidationError", 400):
            iam.create_open_id_connect_provider(Url=url)
    with raises("InvalidInput", 400):
        iam.create_open_id_connect_provider(Url="https://id.example", ThumbprintList=["0" * 40] * 6)
    nobody = account.user().client("iam")
    arn = f"arn:aws:iam::{account.id}:oidc-provider/id.example"
    message = assert_denied(
        lambda: nobody.create_open_id_connect_provider(Url="https://id.example"), "iam:CreateOpenIDConnectProvider", by="identity"
    )
    assert arn in message


# Tokens


def test_a_role_is_assumed_with_a_token(account, issuer, provider, sts):
    role = account.role(
        trust=trusted(provider, StringEquals={f"{issuer.place}:aud": AUDIENCE}, StringLike={f"{issuer.place}:sub": "repo:acme/*"}),
        policy=allow("iam:ListUsers", Condition={"StringEquals": {"aws:FederatedProvider": provider}}),
    )
    answer = assume(sts, role, issuer.token(account.server))
    assert answer["SubjectFromWebIdentityToken"] == "repo:acme/app" and answer["Audience"] == AUDIENCE
    assert answer["Provider"] == provider and answer["AssumedRoleUser"]["Arn"].endswith("/build")
    session_of(account, answer).client("iam").list_users()
    account.server.flush()
    event = account.events(EventName="AssumeRoleWithWebIdentity")[0]
    assert event["userIdentity"]["type"] == "WebIdentityUser" and event["userIdentity"]["identityProvider"] == provider
    assert event["userIdentity"]["userName"] == "repo:acme/app"
    assert answer["Credentials"]["SessionToken"] not in json.dumps(event)


def test_the_trust_policy_decides_on_the_claims(account, issuer, provider, sts):
    role = account.role(trust=trusted(provider, StringEquals={f"{issuer.place}:sub": "repo:acme/app", f"{issuer.place}:aud": AUDIENCE}))
    token = issuer.token
    assume(sts, role, token(account.server))
    for claims in ({"sub": "repo:evil/app"}, {"aud": "other-app"}):
        with raises("AccessDenied", 403, "^Not authorized to perform sts:AssumeRoleWithWebIdentity$"):
            assume(sts, role, token(account.server, **claims))
    closed = account.role()
    with raises("AccessDenied", 403):
        assume(sts, closed, token(account.server))
    with raises("AccessDenied", 403):
        assume(sts, f"arn:aws:iam::{account.id}:role/missing", token(account.server))
    refused = account.role(trust=[trusted(provider), {**trusted(provider), "Effect": "Deny"}])
    with raises("AccessDenied", 403):
        assume(sts, refused, token(account.server))


def test_bad_tokens_prove_nothing(account, issuer, provider, sts):
    role = account.role(trust=trusted(provider))
    server = account.server
    now = int(server.now().timestamp())
    good = issuer.token(server)
    header, claims, signature = good.split(".")
    forged = json.loads(base64.urlsafe_b64decode(claims + "=="))
    forged = ".".join([header, encoded(json.dumps({**forged, "sub": "root"}).encode()), signature])
    unsigned = ".".join([encoded(b'{"alg":"none"}'), claims, ""])
    cases = [
        ("InvalidIdentityToken", "not a valid JWT", "not.a.token"),
        ("InvalidIdentityToken", "not a valid JWT", unsigned),
        ("InvalidIdentityToken", "not signed by", forged),
        ("InvalidIdentityToken", "Incorrect token audience", issuer.token(server, aud="somebody-else")),
        ("InvalidIdentityToken", "No OpenIDConnect provider found", issuer.token(server, iss="https://elsewhere.example")),
        ("InvalidIdentityToken", "Missing a required claim: exp", issuer.token(server, exp=None)),
        ("InvalidIdentityToken", "Missing a required claim: sub", issuer.token(server, sub=None)),
        ("InvalidIdentityToken", "not valid yet", issuer.token(server, nbf=now + 900)),
        ("ExpiredTokenException", "Token expired", issuer.token(server, exp=now - 1)),
    ]
    for code, text, token in cases:
        with raises(code, 400, text):
            assume(sts, role, token)
    with raises("ValidationError", 400):
        assume(sts, role, good, ProviderId="www.amazon.com")
    assume(sts, role, good)


def test_keys_rotate(account, issuer, provider, sts):
    role = account.role(trust=trusted(provider))
    assume(sts, role, issuer.token(account.server))
    issuer.add_key("two", "ec")
    account.server.advance_clock(seconds=3)
    assume(sts, role, issuer.token(account.server, key_id="two"))
    # A key that was never published is not asked for again and again.
    issuer.keys["three"] = new_key("rsa")
    account.server.advance_clock(seconds=3)
    before = issuer.fetches
    for _ in range(3):
        with raises("InvalidIdentityToken", 400, "Couldn't retrieve verification key"):
            assume(sts, role, issuer.token(account.server, key_id="three"))
    assert issuer.fetches - before == 2
    issuer.published = [key for key in issuer.published if key["kid"] != "two"]
    account.server.advance_clock(hours=2)
    with raises("InvalidIdentityToken", 400):
        assume(sts, role, issuer.token(account.server, key_id="two"))
    assume(sts, role, issuer.token(account.server))


def test_a_broken_issuer_is_told(account, issuer, provider, sts):
    role = account.role(trust=trusted(provider))
    account.server.advance_clock(hours=2)
    issuer.broken = True
    with raises("IDPCommunicationError", 400):
        assume(sts, role, issuer.token(account.server))
    issuer.broken = False
    issuer.claims_issuer = "https://somebody-else.example"
    with raises("InvalidIdentityToken", 400, "Couldn't retrieve verification key"):
        assume(sts, role, issuer.token(account.server))
    issuer.claims_issuer = issuer.url
    assume(sts, role, issuer.token(account.server))


def test_internal_issuers_are_not_reached_without_leave(start_server, tmp_path):
    issuer = Issuer(tmp_path)
    server = start_server("--ephemeral", "--manual-clock", environment={"SSL_CERT_FILE": str(issuer.authority_file)})
    account = Account.home(server)
    arn = account.client("iam").create_open_id_connect_provider(Url=issuer.url, ClientIDList=[AUDIENCE])["OpenIDConnectProviderArn"]
    role = account.role(trust=trusted(arn))
    sts = account.session.client("sts", config=botocore.config.Config(signature_version=UNSIGNED))
    with raises("IDPCommunicationError", 400):
        assume(sts, role, issuer.token(server))
    assert issuer.fetches == 0
    issuer.server.shutdown()


def test_a_token_may_carry_tags_and_a_source_identity(account, issuer, provider, sts, assert_denied):
    tags = {"https://aws.amazon.com/tags": {"principal_tags": {"project": ["red"]}, "transitive_tag_keys": ["project"]}}
    claims = {**tags, "https://aws.amazon.com/source_identity": "ana"}
    closed = account.role(trust=trusted(provider))
    with raises("AccessDenied", 403, "sts:TagSession"):
        assume(sts, closed, issuer.token(account.server, **claims))
    actions = ("sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity")
    condition = {"StringEquals": {"aws:PrincipalTag/project": "red", "aws:SourceIdentity": "ana"}}
    role = account.role(trust=trusted(provider, *actions), policy=allow("iam:ListUsers", Condition=condition))
    answer = assume(sts, role, issuer.token(account.server, **claims))
    assert answer["SourceIdentity"] == "ana" and answer["PackedPolicySize"] > 0
    session_of(account, answer).client("iam").list_users()
    plain = assume(sts, role, issuer.token(account.server))
    assert_denied(session_of(account, plain).client("iam").list_users, "iam:ListUsers")


def test_session_policies_and_durations(account, issuer, provider, sts, assert_denied):
    role = account.role(trust=trusted(provider), policy=allow("iam:*"))
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow("iam:ListUsers")]})
    session = session_of(account, assume(sts, role, issuer.token(account.server), Policy=policy))
    session.client("iam").list_users()
    assert_denied(session.client("iam").list_roles, "iam:ListRoles", by="session")
    with raises("ValidationError", 400, "MaxSessionDuration"):
        assume(sts, role, issuer.token(account.server), DurationSeconds=7200)


def test_the_party_of_the_token_is_its_audience(account, issuer, provider, sts):
    role = account.role(trust=trusted(provider, StringEquals={f"{issuer.place}:aud": "other-app"}))
    assert assume(sts, role, issuer.token(account.server, azp="other-app"))["Audience"] == "other-app"
    with raises("InvalidIdentityToken", 400, "Incorrect token audience"):
        assume(sts, role, issuer.token(account.server, azp="unknown", aud="unknown"))
