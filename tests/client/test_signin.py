"""Sign-in with a password: the page of a browser, codes, tokens, and the events that they leave."""

import base64
import concurrent.futures
import contextlib
import hashlib
import html.parser
import http.client
import json
import re
import urllib.parse
import uuid

import botocore.exceptions
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from bailiwick_server import Account, Credentials, allow, deny
from signed_http import signed_request
from test_iam_mfa import Device
from test_invariants import places

SAME_DEVICE = "arn:aws:signin:::devtools/same-device"
CROSS_DEVICE = "arn:aws:signin:::devtools/cross-device"
REDIRECT = "http://127.0.0.1:8400/oauth/callback"
PASSWORD = "Correct-Horse-1"
LOCAL_DEVELOPMENT = "arn:aws:iam::aws:policy/SignInLocalDevelopmentAccess"
INCORRECT = "Your authentication information is incorrect. Please try again."


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Form(html.parser.HTMLParser):
    """The inputs of a page's form."""

    def __init__(self, text):
        super().__init__()
        self.fields, self.action = {}, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        assert tag not in ("script", "style", "link", "img", "iframe"), tag
        if tag == "form":
            self.action = attributes["action"]
        if tag == "input":
            self.fields[attributes["name"]] = attributes.get("value", "")


class Page:
    """What a browser gets."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body.decode()

    @property
    def sent(self):
        """Parameters of the redirect."""
        assert self.status == 303, f"{self.status} {self.body}"
        location = urllib.parse.urlsplit(self.headers["location"])
        return dict(urllib.parse.parse_qsl(location.query))

    @property
    def request_id(self):
        return self.headers["x-amzn-requestid"]


class Program:
    """What asks for a code and exchanges it: a key, a verifier, and requests made by hand."""

    def __init__(self, server, client_id=SAME_DEVICE, redirect_uri=REDIRECT):
        self.server, self.client_id, self.redirect_uri = server, client_id, redirect_uri
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.verifier = b64url(uuid.uuid4().bytes * 3)
        self.state = uuid.uuid4().hex

    def parameters(self, **changed):
        challenge = b64url(hashlib.sha256(self.verifier.encode()).digest())
        given = {
            "response_type": "code", "client_id": self.client_id, "redirect_uri": self.redirect_uri, "state": self.state,
            "code_challenge": challenge, "code_challenge_method": "SHA-256", "scope": "openid", **changed,
        }
        return {name: value for name, value in given.items() if value is not None}

    def request(self, method, path, body=None, headers=None):
        connection = http.client.HTTPSConnection(self.server.host, self.server.port, context=self.server.tls_context(), timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return Page(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())

    def open(self, **changed):
        return self.request("GET", f"/v1/authorize?{urllib.parse.urlencode(self.parameters(**changed))}")

    def sign_in(self, account, username, password, headers=None, parameters=None, **more):
        fields = {**self.parameters(), "account": account, "username": username, "password": password, **(parameters or {}), **more}
        return self.submit(fields, headers)

    def submit(self, fields, headers=None):
        sent = {"content-type": "application/x-www-form-urlencoded", **(headers or {})}
        return self.request("POST", "/v1/authorize", urllib.parse.urlencode(fields), sent)

    def proof(self, key=None, **changed):
        key = key or self.key
        numbers = key.public_key().public_numbers()
        jwk = {"kty": "EC", "crv": "P-256", "x": b64url(numbers.x.to_bytes(32, "big")), "y": b64url(numbers.y.to_bytes(32, "big"))}
        signer = changed.pop("signer", key)
        claims = {
            "htm": "POST", "htu": f"{self.server.endpoint}/v1/token", "iat": int(self.server.now().timestamp()), "jti": str(uuid.uuid4()),
            **changed,
        }
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}
        signed = ".".join(b64url(json.dumps(part).encode()) for part in (header, claims))
        r, s = decode_dss_signature(signer.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{b64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def token(self, body, proof=None):
        headers = {"content-type": "application/json", "dpop": proof or self.proof()}
        if proof == "":
            del headers["dpop"]
        answer = self.request("POST", "/v1/token", json.dumps({"clientId": self.client_id, **body}), headers)
        answer.content = json.loads(answer.body)
        return answer

    def redeem(self, code, proof=None, **changed):
        body = {"grantType": "authorization_code", "code": code, "redirectUri": self.redirect_uri, "codeVerifier": self.verifier, **changed}
        return self.token(body, proof)

    def refresh(self, token, proof=None, **changed):
        return self.token({"grantType": "refresh_token", "refreshToken": token, **changed}, proof)

    def tokens(self, account_id, username, password=PASSWORD, **more):
        """The tokens of a whole sign-in."""
        answer = self.redeem(self.sign_in(account_id, username, password, **more).sent["code"])
        assert answer.status == 200, answer.body
        return answer.content


def session_of(server, tokens):
    keys = tokens["accessToken"]
    return server.session(Credentials(keys["accessKeyId"], keys["secretAccessKey"], keys["sessionToken"]))


def refused(answer, code, error):
    got = (answer.headers.get("x-amzn-errortype", "").split(":")[0], answer.content.get("error"))
    assert got == (code, error), (answer.status, answer.body)


@pytest.fixture
def person(account):
    """A user with a password who may sign in for local development."""
    return make_person(account)


def make_person(account, password=PASSWORD, **more):
    iam = account.client("iam")
    name = f"person-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    iam.create_login_profile(UserName=name, Password=password, **more)
    iam.attach_user_policy(UserName=name, PolicyArn=LOCAL_DEVELOPMENT)
    return name


@pytest.fixture
def program(bailiwick):
    return Program(bailiwick)


def test_a_password_opens_the_way_to_credentials(bailiwick, account, person, program):
    page = program.open()
    assert page.status == 200 and page.headers["cache-control"] == "no-store"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'") and "frame-ancestors 'none'" in policy
    form = Form(page.body)
    assert form.action == "/v1/authorize" and form.fields["state"] == program.state
    answer = program.submit({**form.fields, "account": account.id, "username": person, "password": PASSWORD})
    assert answer.headers["location"].startswith(f"{REDIRECT}?code=")
    assert answer.sent["state"] == program.state and set(answer.sent) == {"code", "state"}
    redeemed = program.redeem(answer.sent["code"])
    assert redeemed.status == 200
    tokens = redeemed.content
    assert tokens["tokenType"] == "aws_sigv4" and tokens["expiresIn"] == 900 and tokens["refreshToken"].startswith("ASOR")
    claims = json.loads(base64.urlsafe_b64decode(tokens["idToken"].split(".")[1] + "=="))
    arn = f"arn:aws:iam::{account.id}:user/{person}"
    assert claims["sub"] == arn and claims["aud"] == SAME_DEVICE
    identity = session_of(bailiwick, tokens).client("sts").get_caller_identity()
    assert identity["Arn"] == arn and identity["Account"] == account.id

    refreshed = program.refresh(tokens["refreshToken"]).content
    assert "idToken" not in refreshed and refreshed["accessToken"]["accessKeyId"] != tokens["accessToken"]["accessKeyId"]
    assert session_of(bailiwick, refreshed).user_arn() == arn


def test_the_events_of_a_sign_in(account, person, program):
    answer = program.sign_in(account.id, person, PASSWORD)
    redeemed = program.redeem(answer.sent["code"])
    login, authorize = sorted(account.events_of(answer.request_id), key=lambda event: event["eventName"], reverse=True)
    assert (login["eventName"], login["eventType"], login["eventSource"]) == ("ConsoleLogin", "AwsConsoleSignIn", "signin.amazonaws.com")
    assert login["responseElements"] == {"ConsoleLogin": "Success"} and login["requestParameters"] is None
    assert login["additionalEventData"] == {"LoginTo": REDIRECT, "MobileVersion": "No", "MFAUsed": "No"}
    assert login["userIdentity"]["type"] == "IAMUser" and login["userIdentity"]["userName"] == person
    assert "errorMessage" not in login and login["readOnly"] is False and login["sourceIPAddress"] == "127.0.0.1"
    assert (authorize["eventName"], authorize["eventType"]) == ("AuthorizeOAuth2Access", "AwsApiCall")
    assert authorize["userIdentity"]["userName"] == person and authorize["sourceIPAddress"] == "127.0.0.1"
    assert authorize["userIdentity"]["sessionContext"]["attributes"]["mfaAuthenticated"] == "false"
    assert authorize["requestParameters"]["clientId"] == SAME_DEVICE
    (token,) = account.events_of(redeemed.request_id)
    assert token["eventName"] == "CreateOAuth2Token" and token["userIdentity"]["userName"] == person
    assert [event["requestID"] for event in account.events(EventName="ConsoleLogin")] == [answer.request_id]
    text = json.dumps([login, authorize, token])
    for secret in (PASSWORD, answer.sent["code"], program.verifier, redeemed.content["refreshToken"]):
        assert secret not in text


def test_who_may_not_sign_in_learns_nothing(bailiwick, account, person, program):
    iam = account.client("iam")
    without = account.user().user_name
    attempts = {
        "wrong": (account.id, person, "Wrong-Horse-1"),
        "unknown": (account.id, "nobody", PASSWORD),
        "no password": (account.id, without, PASSWORD),
        "account": ("999999999999", person, PASSWORD),
        "root": (account.id, "", PASSWORD),
        "empty": (account.id, person, ""),
        "long": (account.id, person, "x" * 5000),
    }
    answers = {kind: program.sign_in(*attempt) for kind, attempt in attempts.items()}
    bodies = {page.body for page in answers.values()}
    assert {page.status for page in answers.values()} == {403} and len(bodies) == 1
    assert INCORRECT in bodies.pop()

    (wrong,) = account.events_of(answers["wrong"].request_id)
    assert wrong["errorMessage"] == "Failed authentication" and wrong["responseElements"] == {"ConsoleLogin": "Failure"}
    assert wrong["userIdentity"]["userName"] == person and wrong["userIdentity"]["accessKeyId"] == ""
    assert "errorCode" not in wrong and wrong["eventType"] == "AwsConsoleSignIn"
    (unknown,) = account.events_of(answers["unknown"].request_id)
    assert unknown["errorMessage"] == "No username found in supplied account"
    assert unknown["userIdentity"]["userName"] == "HIDDEN_DUE_TO_SECURITY_REASONS" and "nobody" not in json.dumps(unknown)
    assert len(Account.home(bailiwick).events_of(answers["account"].request_id)) == 1
    assert "PasswordLastUsed" not in iam.get_user(UserName=person)["User"]


def test_an_alias_names_the_account(account, person, program):
    alias = f"alias-{uuid.uuid4().hex[:12]}"
    account.client("iam").create_account_alias(AccountAlias=alias)
    assert "code" in program.sign_in(alias, person, PASSWORD).sent


def test_a_second_factor_is_required_and_good_once(bailiwick, account, person, program):
    device = Device(account, person).enable()
    missing = program.sign_in(account.id, person, PASSWORD)
    assert missing.status == 403 and INCORRECT in missing.body
    given = device.next_code()
    wrong = program.sign_in(account.id, person, "Wrong-Horse-1", mfa_code=given)
    assert wrong.status == 403
    # A code that came with a wrong password was not used up.
    answer = program.sign_in(account.id, person, PASSWORD, mfa_code=given)
    login = next(event for event in account.events_of(answer.request_id) if event["eventName"] == "ConsoleLogin")
    assert login["additionalEventData"]["MFAUsed"] == "Yes" and login["additionalEventData"]["MFAIdentifier"] == device.serial
    replayed = program.sign_in(account.id, person, PASSWORD, mfa_code=given)
    assert replayed.status == 403 and replayed.body == missing.body
    # The factor counts for what the credentials may do.
    account.client("iam").put_user_policy(
        UserName=person, PolicyName="mfa",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": allow("s3:ListAllMyBuckets", Condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}, "NumericLessThan": {"aws:MultiFactorAuthAge": "300"}})}),
    )
    tokens = program.redeem(answer.sent["code"]).content
    session_of(bailiwick, tokens).client("s3").list_buckets()
    bailiwick.advance_clock(minutes=6)
    refreshed = program.refresh(tokens["refreshToken"]).content
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        session_of(bailiwick, refreshed).client("s3").list_buckets()


def test_a_code_is_good_once_for_its_program(bailiwick, account, person, program):
    code_of = lambda: program.sign_in(account.id, person, PASSWORD).sent["code"]  # noqa: E731
    used = code_of()
    assert program.redeem(used).status == 200
    refused(program.redeem(used), "AccessDeniedException", "AUTHCODE_EXPIRED")
    fresh = code_of()
    refused(program.redeem(fresh, codeVerifier="x" * 43), "ValidationException", "INVALID_REQUEST")
    refused(program.redeem(fresh, redirectUri="http://127.0.0.1:8401/oauth/callback"), "ValidationException", "INVALID_REQUEST")
    refused(program.redeem(fresh, clientId=CROSS_DEVICE), "ValidationException", "INVALID_REQUEST")
    refused(program.redeem("1-" + "a" * 43), "AccessDeniedException", "AUTHCODE_EXPIRED")
    refused(program.token({"grantType": "authorization_code", "code": fresh}), "ValidationException", "INVALID_REQUEST")
    refused(program.token({"grantType": "password"}), "ValidationException", "INVALID_REQUEST")
    assert program.redeem(fresh).status == 200, "what was refused has not used it up"
    old = code_of()
    bailiwick.advance_clock(minutes=10)
    expired = program.redeem(old)
    refused(expired, "AccessDeniedException", "AUTHCODE_EXPIRED")
    (event,) = account.events_of(expired.request_id)
    assert event["errorCode"] == "AccessDeniedException"


def test_one_code_is_redeemed_by_one_of_many(account, person, program):
    code = program.sign_in(account.id, person, PASSWORD).sent["code"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: program.redeem(code), range(8)))
    assert sorted(answer.status for answer in answers) == [200] + [400] * 7, [answer.body for answer in answers]


def test_a_proof_is_for_one_request_of_one_key(bailiwick, account, person, program):
    tokens = program.tokens(account.id, person)
    refresh = tokens["refreshToken"]
    other = ec.generate_private_key(ec.SECP256R1())
    now = int(bailiwick.now().timestamp())
    for proof in (
        "", "x", "a.b.c",
        program.proof(signer=other),
        program.proof(key=other),
        program.proof(htm="GET"),
        program.proof(htu=f"{bailiwick.endpoint}/v1/authorize"),
        program.proof(htu="https://signin.example/v1/token"),
        program.proof(iat=now - 400), program.proof(iat=now + 400),
        program.proof(jti=""),
    ):
        refused(program.refresh(refresh, proof), "ValidationException", "INVALID_REQUEST")
    once = program.proof()
    assert program.refresh(refresh, once).status == 200
    refused(program.refresh(refresh, once), "ValidationException", "INVALID_REQUEST")
    refused(program.refresh(refresh[:-4] + "AAAA"), "ValidationException", "INVALID_REQUEST")
    refused(program.refresh(refresh, clientId=CROSS_DEVICE), "ValidationException", "INVALID_REQUEST")
    assert program.refresh(refresh).status == 200


def test_a_session_ends_after_twelve_hours(bailiwick, account, person, program):
    tokens = program.tokens(account.id, person)
    bailiwick.advance_clock(hours=11, minutes=55)
    late = program.refresh(tokens["refreshToken"]).content
    assert 0 < late["expiresIn"] <= 300
    bailiwick.advance_clock(minutes=5)
    refused(program.refresh(late["refreshToken"]), "AccessDeniedException", "TOKEN_EXPIRED")
    with pytest.raises(botocore.exceptions.ClientError, match="ExpiredToken"):
        session_of(bailiwick, late).user_arn()


@pytest.mark.parametrize("change", ["password", "profile", "user"])
def test_what_was_opened_ends_with_its_password(account, person, program, change):
    iam = account.client("iam")
    tokens = program.tokens(account.id, person)
    code = program.sign_in(account.id, person, PASSWORD).sent["code"]
    account.server.advance_clock(seconds=1)
    if change == "password":
        iam.update_login_profile(UserName=person, Password="Another-Horse-2")
    else:
        iam.delete_login_profile(UserName=person)
    if change == "user":
        iam.detach_user_policy(UserName=person, PolicyArn=LOCAL_DEVELOPMENT)
        iam.delete_user(UserName=person)
        iam.create_user(UserName=person)
        iam.create_login_profile(UserName=person, Password=PASSWORD)
    refused(program.refresh(tokens["refreshToken"]), "AccessDeniedException", "USER_CREDENTIALS_CHANGED")
    refused(program.redeem(code), "AccessDeniedException", "USER_CREDENTIALS_CHANGED")


def test_policies_decide_what_a_password_opens(account, program):
    iam = account.client("iam")
    person = make_person(account)
    tokens = program.tokens(account.id, person)
    resource = f"arn:aws:signin:us-east-1:{account.id}:oauth2/public-client/localhost"
    iam.put_user_policy(UserName=person, PolicyName="no", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": deny("signin:CreateOAuth2Token", resource)}))
    denied = program.refresh(tokens["refreshToken"])
    refused(denied, "AccessDeniedException", "INSUFFICIENT_PERMISSIONS")
    assert "signin:CreateOAuth2Token" in denied.content["message"] and "explicit deny" in denied.content["message"]
    (event,) = account.events_of(denied.request_id)
    assert event["errorCode"] == "AccessDeniedException" and event["userIdentity"]["userName"] == person
    iam.delete_user_policy(UserName=person, PolicyName="no")
    condition = {"StringEquals": {"signin:OAuthClientId": CROSS_DEVICE}}
    iam.detach_user_policy(UserName=person, PolicyArn=LOCAL_DEVELOPMENT)
    iam.put_user_policy(UserName=person, PolicyName="other", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": allow("signin:*", Condition=condition)}))
    answer = program.sign_in(account.id, person, PASSWORD)
    assert answer.sent["error"] == "access_denied" and "code" not in answer.sent
    login, authorize = sorted(account.events_of(answer.request_id), key=lambda event: event["eventName"], reverse=True)
    assert login["responseElements"] == {"ConsoleLogin": "Success"} and authorize["errorCode"] == "AccessDeniedException"


def test_a_control_policy_binds_who_signs_in(account):
    account.client("organizations").create_organization(FeatureSet="ALL")
    orgs = account.client("organizations")
    root_id = orgs.list_roots()["Roots"][0]["Id"]
    orgs.enable_policy_type(RootId=root_id, PolicyType="SERVICE_CONTROL_POLICY")
    made = orgs.create_account(Email=f"{uuid.uuid4().hex}@example.com", AccountName="member")["CreateAccountStatus"]
    member = made["AccountId"]
    admin = account.assume(f"arn:aws:iam::{member}:role/OrganizationAccountAccessRole", by=account.user(policy=allow("*")))
    iam = admin.client("iam")
    iam.create_user(UserName="ana")
    iam.create_login_profile(UserName="ana", Password=PASSWORD)
    iam.attach_user_policy(UserName="ana", PolicyArn=LOCAL_DEVELOPMENT)
    program = Program(account.server)
    tokens = program.tokens(member, "ana")
    policy = orgs.create_policy(
        Name="no-sign-in", Description="x", Type="SERVICE_CONTROL_POLICY",
        Content=json.dumps({"Version": "2012-10-17", "Statement": [deny("signin:*")]}),
    )["Policy"]["PolicySummary"]["Id"]
    orgs.attach_policy(PolicyId=policy, TargetId=member)
    refused(program.refresh(tokens["refreshToken"]), "AccessDeniedException", "INSUFFICIENT_PERMISSIONS")
    assert program.sign_in(member, "ana", PASSWORD).sent["error"] == "access_denied"
    orgs.detach_policy(PolicyId=policy, TargetId=member)
    assert program.refresh(tokens["refreshToken"]).status == 200
    orgs.close_account(AccountId=member)
    refused(program.refresh(tokens["refreshToken"]), "AccessDeniedException", "INSUFFICIENT_PERMISSIONS")
    assert program.sign_in(member, "ana", PASSWORD).status == 403


def test_codes_go_to_loopback_addresses_only(account, person, program):
    for uri in ("https://example.com/", "http://127.0.0.1.example.com:80/", "http://localhost:8400/", "http://127.0.0.1:80@example.com/", "//example.com:80/"):
        page = program.open(redirect_uri=uri)
        assert page.status == 400 and "location" not in page.headers, uri
        answer = program.sign_in(account.id, person, PASSWORD, parameters={"redirect_uri": uri})
        assert answer.status == 400 and "location" not in answer.headers, uri
    for change in ({"client_id": "x"}, {"code_challenge": "short"}, {"code_challenge_method": "plain"}, {"response_type": "token"}):
        answer = program.sign_in(account.id, person, PASSWORD, parameters=change)
        assert answer.status == 400 and "location" not in answer.headers, change
    echoed = program.open(state="\"><script>alert(1)</script>")
    assert "<script" not in echoed.body and Form(echoed.body).fields["state"] == "\"><script>alert(1)</script>"


def test_forms_of_other_sites_are_refused(account, person, program):
    origin = f"https://{program.server.host}:{program.server.port}"
    for headers in ({"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "https://example.com"}, {"origin": "null"}):
        assert program.sign_in(account.id, person, PASSWORD, headers=headers).status == 400, headers
    for headers in ({"sec-fetch-site": "same-origin", "origin": origin}, {"origin": origin}):
        assert program.sign_in(account.id, person, PASSWORD, headers=headers).status == 303, headers


def test_a_code_for_another_device_is_shown(bailiwick, account, person):
    program = Program(bailiwick, CROSS_DEVICE, f"{bailiwick.endpoint}/v1/sessions/confirmation")
    page = program.sign_in(account.id, person, PASSWORD)
    assert page.status == 200
    shown = dict(urllib.parse.parse_qsl(base64.b64decode(re.search(r"<pre>([^<]+)</pre>", page.body)[1]).decode()))
    assert shown["state"] == program.state
    assert program.redeem(shown["code"]).status == 200


def test_authorization_needs_a_sign_in(account, program):
    """Keys, however much they may do, get no code."""
    administrator = account.user(policy=allow("*"))
    path = f"/v1/authorize?{urllib.parse.urlencode(program.parameters())}"
    request = signed_request(administrator.credentials, "signin", "GET", path, region="us-east-1", host=f"{program.server.host}:{program.server.port}", ahead_ms=program.server.ahead_ms)
    answer = request.send(program.server)
    assert answer.code == "AccessDeniedException" and json.loads(answer.body)["error"] == "INSUFFICIENT_PERMISSIONS", answer.body


def test_too_many_failures_are_waited_out(bailiwick, account, person, program):
    other = make_person(account)
    for _ in range(10):
        assert program.sign_in(account.id, person, "Wrong-Horse-1").status == 403
    locked = program.sign_in(account.id, person, PASSWORD)
    assert locked.status == 429 and "location" not in locked.headers
    (event,) = account.events_of(locked.request_id)
    assert event["responseElements"] == {"ConsoleLogin": "Failure"} and event["userIdentity"]["userName"] == "HIDDEN_DUE_TO_SECURITY_REASONS"
    assert program.sign_in(account.id, other, PASSWORD).status == 303, "others are not locked out"
    # A name that nobody has is locked in the same way.
    for _ in range(10):
        program.sign_in(account.id, "nobody", "Wrong-Horse-1")
    assert program.sign_in(account.id, "nobody", PASSWORD).body == locked.body
    bailiwick.advance_clock(minutes=15)
    assert program.sign_in(account.id, person, PASSWORD).status == 303


def test_guesses_side_by_side_are_counted(bailiwick, account, person, program):
    bailiwick.advance_clock(minutes=15)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda at: program.sign_in(account.id, person, f"Wrong-Horse-{at}"), range(16)))
    statuses = sorted(answer.status for answer in answers)
    assert statuses == [403] * 10 + [429] * 6
    bailiwick.advance_clock(minutes=15)


def test_the_last_use_of_a_password_is_told(bailiwick, account, person, program):
    iam = account.client("iam")
    before = bailiwick.now().replace(microsecond=0)
    program.sign_in(account.id, person, PASSWORD)
    used = iam.get_user(UserName=person)["User"]["PasswordLastUsed"]
    assert used >= before
    listed = {user["UserName"]: user.get("PasswordLastUsed") for user in iam.list_users()["Users"]}
    assert listed[person] == used
    iam.generate_credential_report()
    lines = iam.get_credential_report()["Content"].decode().splitlines()
    columns = dict(zip(lines[0].split(","), next(line for line in lines if line.startswith(f"{person},")).split(",")))
    assert columns["password_enabled"] == "true" and columns["password_last_used"] == used.strftime("%Y-%m-%dT%H:%M:%S+00:00")


def test_a_password_that_must_be_changed_is_changed_first(account, program):
    person = make_person(account, PasswordResetRequired=True)
    page = program.sign_in(account.id, person, PASSWORD)
    assert page.status == 403 and "new_password" in Form(page.body).fields
    denied = program.sign_in(account.id, person, PASSWORD, new_password="Another-Horse-2")
    assert denied.status == 403 and "iam:ChangePassword" in denied.body
    account.client("iam").attach_user_policy(UserName=person, PolicyArn="arn:aws:iam::aws:policy/IAMUserChangePassword")
    weak = program.sign_in(account.id, person, PASSWORD, new_password="weak")
    assert weak.status == 403 and "new_password" in Form(weak.body).fields
    changed = program.sign_in(account.id, person, PASSWORD, new_password="Another-Horse-2")
    names = sorted(event["eventName"] for event in account.events_of(changed.request_id))
    assert names == ["AuthorizeOAuth2Access", "ChangePassword", "ConsoleLogin"]
    assert program.redeem(changed.sent["code"]).status == 200
    assert program.sign_in(account.id, person, PASSWORD).status == 403
    assert program.sign_in(account.id, person, "Another-Horse-2").status == 303


@pytest.mark.parametrize("hard", [True, False])
def test_an_old_password_ends(bailiwick, account, program, hard):
    iam = account.client("iam")
    iam.update_account_password_policy(MaxPasswordAge=1, HardExpiry=hard, AllowUsersToChangePassword=True, MinimumPasswordLength=8)
    person = make_person(account)
    assert program.sign_in(account.id, person, PASSWORD).status == 303
    bailiwick.advance_clock(days=1)
    page = program.sign_in(account.id, person, PASSWORD, new_password="Another-Horse-2")
    assert page.status == (403 if hard else 303), page.body
    if hard:
        assert "administrator" in page.body
        wrong = program.sign_in(account.id, person, "Wrong-Horse-1")
        assert INCORRECT in wrong.body, "only the right password tells that it has ended"


def test_a_sign_in_happens_in_the_region_of_its_host(bailiwick, account, person):
    host = f"signin.eu-central-1.localhost:{bailiwick.port}"
    program = Program(bailiwick)
    answer = program.sign_in(account.id, person, PASSWORD, headers={"host": host})
    proof = program.proof(htu=f"https://{host}/v1/token")
    body = {"clientId": SAME_DEVICE, "grantType": "authorization_code", "code": answer.sent["code"], "redirectUri": REDIRECT, "codeVerifier": program.verifier}
    headers = {"host": host, "content-type": "application/json", "dpop": proof}
    redeemed = program.request("POST", "/v1/token", json.dumps(body), headers)
    assert redeemed.status == 200, redeemed.body
    names = [event["eventName"] for event in account.events("eu-central-1") if event["eventSource"] == "signin.amazonaws.com"]
    assert sorted(names) == ["AuthorizeOAuth2Access", "ConsoleLogin", "CreateOAuth2Token"]
    assert account.events(EventName="ConsoleLogin") == []


def test_objects_may_be_called_like_the_page(bailiwick, account, program):
    bucket = f"pages-{account.id}"
    account.client("s3").create_bucket(Bucket=bucket)
    for path in ("/v1/authorize", "/v1/token"):
        page = program.request("GET", path, headers={"host": f"{bucket}.s3.us-east-1.localhost:{bailiwick.port}"})
        assert page.status == 403 and "<Code>AccessDenied</Code>" in page.body, page.body


def test_what_is_malformed_is_refused_and_recorded(bailiwick, account, person, program):
    too_large = program.submit({"password": "x" * 20_000})
    assert too_large.status >= 400
    not_a_form = program.request("POST", "/v1/authorize", "{}", {"content-type": "application/json"})
    empty = program.submit({})
    for answer in (not_a_form, empty):
        assert answer.status == 400
        (event,) = Account.home(bailiwick).events_of(answer.request_id)
        assert event["eventName"] == "ConsoleLogin" and event["errorCode"] == "ValidationException"
        assert event["eventType"] == "AwsConsoleSignIn" and event["requestParameters"] is None
    for method in ("PUT", "DELETE", "HEAD"):
        assert program.request(method, "/v1/authorize").status == 404
    for body in ("", "[]", "{", json.dumps({"clientId": "x", "grantType": "refresh_token"}), json.dumps({"clientId": SAME_DEVICE, "grantType": "refresh_token"})):
        answer = program.request("POST", "/v1/token", body, {"content-type": "application/json", "dpop": program.proof()})
        kind = answer.headers["x-amzn-errortype"].split(":")[0]
        assert answer.status == 400 and kind in ("ValidationException", "SerializationException"), answer.body
        assert kind != "ValidationException" or json.loads(answer.body)["error"] == "INVALID_REQUEST", answer.body
        assert len(Account.home(bailiwick).events_of(answer.request_id)) == 1


def test_no_secret_is_on_disk_or_in_the_log(start_server):
    server = start_server("--region", "us-east-1")
    account = Account.home(server)
    password, wrong = f"Canary-{uuid.uuid4().hex}-1", f"Canary-{uuid.uuid4().hex}-2"
    person = make_person(account, password)
    program = Program(server)
    program.sign_in(account.id, person, wrong)
    program.sign_in(account.id, wrong, password)
    answer = program.sign_in(account.id, person, password)
    tokens = program.redeem(answer.sent["code"]).content
    program.refresh(tokens["refreshToken"])
    server.flush()
    events = json.dumps(account.events())
    server.stop()
    secrets = [password, wrong, answer.sent["code"], program.verifier, tokens["refreshToken"], tokens["accessToken"]["secretAccessKey"]]
    for secret in secrets:
        assert places(server.data_dir, secret) == [] and secret not in events
        assert secret not in server.log_file.read_text()
