"""Roles Anywhere: sessions for holders of certificates, and the agent that serves them to programs on a host."""

import base64
import datetime
import hashlib
import json
import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import boto3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.x509.oid import ExtendedKeyUsageOID

from bailiwick_server import Account, Credentials, allow, raises
from certificate_authority import Authority, new_key, pem_of, pem_of_key

REGION = "us-east-1"
SERVICE = {"Service": "rolesanywhere.amazonaws.com"}
ACTIONS = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]


def der(certificate):
    return base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()


class Place:
    """An account with a trust anchor, a profile and a role."""

    def __init__(self, account, authority=None, policy=None, condition=None, **profile):
        self.account, self.server = account, account.server
        self.authority = authority or Authority()
        self.client = account.client("rolesanywhere")
        source = {"sourceType": "CERTIFICATE_BUNDLE", "sourceData": {"x509CertificateData": self.authority.pem()}}
        self.anchor = self.client.create_trust_anchor(name="anchor", source=source, enabled=True)["trustAnchor"]
        trust = {"Effect": "Allow", "Principal": SERVICE, "Action": ACTIONS, **({"Condition": condition} if condition else {})}
        self.role = account.role(trust=trust, policy=policy or allow("iam:ListUsers"))
        self.profile = self.client.create_profile(name="profile", roleArns=[self.role], enabled=True, **profile)["profile"]

    def parameters(self, **more):
        arns = {"trustAnchorArn": self.anchor["trustAnchorArn"], "profileArn": self.profile["profileArn"], "roleArn": self.role}
        return {**arns, **more}

    def session(self, certificate, key, chain=(), in_query=False, region=REGION, change=None, **more):
        """The answer to a signed `CreateSession`: status and document."""
        parameters = self.parameters(**more)
        query = {name: parameters.pop(name) for name in ("trustAnchorArn", "profileArn", "roleArn")} if in_query else {}
        body = json.dumps(parameters).encode()
        now = self.server.now()
        time, host = now.strftime("%Y%m%dT%H%M%SZ"), f"{self.server.host}:{self.server.port}"
        headers = {"content-type": "application/json", "host": host, "x-amz-date": time, "x-amz-x509": der(certificate)}
        if chain:
            headers["x-amz-x509-chain"] = ",".join(der(link) for link in chain)
        signed = ";".join(sorted(headers))
        quoted = "&".join(f"{name}={urllib.parse.quote(value, safe='-_.~')}" for name, value in sorted(query.items()))
        lines = [f"{name}:{headers[name]}\n" for name in sorted(headers)]
        canonical = "\n".join(["POST", "/sessions", quoted, "".join(lines), signed, hashlib.sha256(body).hexdigest()])
        rsa = hasattr(key, "decrypt")
        algorithm = "AWS4-X509-RSA-SHA256" if rsa else "AWS4-X509-ECDSA-SHA256"
        scope = f"{time[:8]}/{region}/rolesanywhere/aws4_request"
        to_sign = "\n".join([algorithm, time, scope, hashlib.sha256(canonical.encode()).hexdigest()]).encode()
        made = key.sign(to_sign, padding.PKCS1v15(), hashes.SHA256()) if rsa else key.sign(to_sign, ec.ECDSA(hashes.SHA256()))
        headers["authorization"] = f"{algorithm} Credential={certificate.serial_number}/{scope}, SignedHeaders={signed}, Signature={made.hex()}"
        if change is not None:
            body = change(headers, body) or body
        url = f"{self.server.endpoint}/sessions" + (f"?{quoted}" if quoted else "")
        request = urllib.request.Request(url, data=body, headers=headers, method="POST")
        try:
            with urllib.request.urlopen(request, context=self.server.tls_context(), timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, {**json.loads(error.read()), "type": error.headers.get("x-amzn-errortype", "")}

    def opened(self, *arguments, **more):
        """A session with the credentials that a certificate opens."""
        status, answer = self.session(*arguments, **more)
        assert status == 201, answer
        keys = answer["credentialSet"][0]["credentials"]
        return self.server.session(Credentials(keys["accessKeyId"], keys["secretAccessKey"], keys["sessionToken"]))

    def refused(self, text, *arguments, status=403, **more):
        got, answer = self.session(*arguments, **more)
        assert got == status, answer
        assert text in answer.get("message", answer.get("Message", "")), answer


# Resources


def test_the_life_of_a_trust_anchor(account):
    client = account.client("rolesanywhere")
    source = {"sourceType": "CERTIFICATE_BUNDLE", "sourceData": {"x509CertificateData": Authority().pem()}}
    made = client.create_trust_anchor(name="a", source=source, tags=[{"key": "team", "value": "x"}])["trustAnchor"]
    assert made["enabled"] is False and made["source"] == source
    arn = made["trustAnchorArn"]
    assert arn == f"arn:aws:rolesanywhere:{REGION}:{account.id}:trust-anchor/{made['trustAnchorId']}"
    one = {"trustAnchorId": made["trustAnchorId"]}
    assert client.enable_trust_anchor(**one)["trustAnchor"]["enabled"] is True
    assert client.disable_trust_anchor(**one)["trustAnchor"]["enabled"] is False
    assert client.update_trust_anchor(**one, name="b")["trustAnchor"]["name"] == "b"
    assert client.get_trust_anchor(trustAnchorId=arn)["trustAnchor"]["name"] == "b"
    assert [anchor["trustAnchorId"] for anchor in client.list_trust_anchors()["trustAnchors"]] == [made["trustAnchorId"]]
    client.tag_resource(resourceArn=arn, tags=[{"key": "stage", "value": "prod"}])
    client.untag_resource(resourceArn=arn, tagKeys=["team"])
    assert client.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "stage", "value": "prod"}]
    client.delete_trust_anchor(**one)
    with raises("ResourceNotFoundException", 404):
        client.get_trust_anchor(**one)


def test_notification_settings(account, assert_denied):
    client = account.client("rolesanywhere")
    source = {"sourceType": "CERTIFICATE_BUNDLE", "sourceData": {"x509CertificateData": Authority().pem()}}
    made = client.create_trust_anchor(name="a", source=source)["trustAnchor"]
    one = {"trustAnchorId": made["trustAnchorId"]}
    usual = {"enabled": True, "threshold": 45, "channel": "ALL", "configuredBy": "rolesanywhere.amazonaws.com"}
    events = ["CA_CERTIFICATE_EXPIRY", "END_ENTITY_CERTIFICATE_EXPIRY"]
    assert made["notificationSettings"] == [{"event": event, **usual} for event in events]
    settings = [{"event": events[0], "enabled": True, "threshold": 10}, {"event": events[1], "enabled": False}]
    changed = client.put_notification_settings(**one, notificationSettings=settings)["trustAnchor"]
    own = {"channel": "ALL", "configuredBy": account.id}
    assert changed["notificationSettings"] == [{**setting, **own} for setting in settings]
    assert client.get_trust_anchor(**one)["trustAnchor"]["notificationSettings"] == changed["notificationSettings"]
    reset = client.reset_notification_settings(**one, notificationSettingKeys=[{"event": events[0], "channel": "ALL"}])["trustAnchor"]
    assert reset["notificationSettings"] == [{"event": events[0], **usual}, {**settings[1], **own}]
    second = client.create_trust_anchor(name="b", source=source, notificationSettings=settings[:1])["trustAnchor"]
    assert second["notificationSettings"] == [{**settings[0], **own}, {"event": events[1], **usual}]
    for wrong in ([{"event": events[0], "enabled": True}], [settings[0], settings[0]], [{**settings[0], "threshold": 361}]):
        with raises("ValidationException", 400):
            client.put_notification_settings(**one, notificationSettings=wrong)
        with raises("ValidationException", 400):
            client.create_trust_anchor(name="c", source=source, notificationSettings=wrong)
    with raises("ResourceNotFoundException", 404):
        client.put_notification_settings(trustAnchorId="0" * 8 + "-0000-0000-0000-" + "0" * 12, notificationSettings=settings)
    nobody = account.user().client("rolesanywhere")
    assert_denied(lambda: nobody.put_notification_settings(**one, notificationSettings=[]), "rolesanywhere:PutNotificationSettings")
    assert_denied(lambda: nobody.reset_notification_settings(**one, notificationSettingKeys=[]), "rolesanywhere:ResetNotificationSettings")


def test_what_is_no_anchor(account):
    client = account.client("rolesanywhere")
    authority = Authority()
    leaf, _ = authority.issue()
    for data in ("nonsense", pem_of(leaf)):
        with raises("ValidationException", 400):
            client.create_trust_anchor(name="a", source={"sourceType": "CERTIFICATE_BUNDLE", "sourceData": {"x509CertificateData": data}})
    with raises("ValidationException", 400):
        client.create_trust_anchor(name="a", source={"sourceType": "AWS_ACM_PCA", "sourceData": {"acmPcaArn": "arn:aws:acm-pca:::x"}})


def test_the_life_of_a_profile(account, assert_denied):
    client = account.client("rolesanywhere")
    role = account.role()
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow("s3:*")]})
    made = client.create_profile(name="p", roleArns=[role], sessionPolicy=policy, durationSeconds=1800)["profile"]
    one = {"profileId": made["profileId"]}
    assert made["enabled"] is False and made["durationSeconds"] == 1800 and len(made["attributeMappings"]) == 3
    assert client.enable_profile(**one)["profile"]["enabled"] is True
    assert client.disable_profile(**one)["profile"]["enabled"] is False
    assert client.update_profile(**one, name="q", durationSeconds=900)["profile"]["name"] == "q"
    mapped = client.put_attribute_mapping(**one, certificateField="x509Subject", mappingRules=[{"specifier": "CN"}])["profile"]
    assert {"certificateField": "x509Subject", "mappingRules": [{"specifier": "CN"}]} in mapped["attributeMappings"]
    assert len(client.delete_attribute_mapping(**one, certificateField="x509SAN")["profile"]["attributeMappings"]) == 2
    assert client.get_profile(**one)["profile"]["profileArn"] == made["profileArn"]
    assert len(client.list_profiles()["profiles"]) == 1
    with raises("ValidationException", 400):
        client.create_profile(name="p", roleArns=[role], sessionPolicy="{}")
    # A role is passed to the profile.
    without = account.user(policy=allow("rolesanywhere:*")).client("rolesanywhere")
    assert_denied(lambda: without.create_profile(name="p", roleArns=[role]), "iam:PassRole", by="identity")
    client.delete_profile(**one)
    with raises("ResourceNotFoundException", 404):
        client.get_profile(**one)


def test_resources_need_permissions(account, assert_denied):
    nobody = account.user().client("rolesanywhere")
    assert_denied(nobody.list_trust_anchors, "rolesanywhere:ListTrustAnchors", by="identity")
    assert_denied(nobody.list_subjects, "rolesanywhere:ListSubjects", by="identity")
    assert_denied(lambda: nobody.get_profile(profileId="0" * 8 + "-0000-0000-0000-" + "0" * 12), "rolesanywhere:GetProfile", by="identity")


# Sessions


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_a_certificate_opens_its_role(account, kind):
    place = Place(account, Authority(kind=kind))
    certificate, key = place.authority.issue("workload-a", new_key(kind), organization_name="Acme")
    status, answer = place.session(certificate, key)
    assert status == 201
    opened = answer["credentialSet"][0]
    assert opened["roleArn"] == place.role and opened["sourceIdentity"] == "CN=workload-a"
    serial = f"{certificate.serial_number:x}"
    assert opened["assumedRoleUser"]["arn"].rsplit("/", 1)[1].lstrip("0") == serial
    keys = opened["credentials"]
    session = account.server.session(Credentials(keys["accessKeyId"], keys["secretAccessKey"], keys["sessionToken"]))
    session.client("iam").list_users()
    subject = place.client.list_subjects()["subjects"][0]
    assert subject["subjectArn"] == answer["subjectArn"] and "CN=workload-a" in subject["x509Subject"]
    detail = place.client.get_subject(subjectId=subject["subjectId"])["subject"]
    assert detail["credentials"][0]["x509CertificateData"] == pem_of(certificate)
    account.server.flush()
    event = account.events(EventName="CreateSession")[0]
    assert keys["secretAccessKey"] not in json.dumps(event) and keys["sessionToken"] not in json.dumps(event)


def test_parameters_may_stand_in_the_query(account):
    place = Place(account)
    place.opened(*place.authority.issue(), in_query=True).client("iam").list_users()


def test_the_role_asks_for_names_in_the_certificate(account, assert_denied):
    condition = {
        "StringEquals": {"aws:PrincipalTag/x509Subject/CN": "workload-a", "aws:PrincipalTag/x509SAN/DNS": "a.example"},
        "ArnLike": {"aws:SourceArn": f"arn:aws:rolesanywhere:{REGION}:{account.id}:trust-anchor/*"},
    }
    tagged = {"StringEquals": {"aws:PrincipalTag/x509Subject/CN": "workload-a", "aws:SourceIdentity": "CN=workload-a"}}
    place = Place(account, condition=condition, policy=allow("iam:ListUsers", Condition=tagged))
    names = [x509.DNSName("a.example")]
    place.opened(*place.authority.issue("workload-a", names=names)).client("iam").list_users()
    text = f"Unable to assume role for {place.role}"
    place.refused(text, *place.authority.issue("workload-b", names=names))
    place.refused(text, *place.authority.issue("workload-a"))
    # Without the mapping the name does not arrive.
    place.client.delete_attribute_mapping(profileId=place.profile["profileId"], certificateField="x509SAN")
    place.refused(text, *place.authority.issue("workload-a", names=names))


def test_only_good_certificates_open_anything(account):
    place = Place(account)
    past = datetime.datetime(2021, 1, 1, tzinfo=datetime.timezone.utc)
    issue = place.authority.issue
    place.refused("Untrusted signing certificate", *Authority().issue())
    place.refused("expired", *issue(ends=past))
    place.refused("Insufficient certificate", *issue(signs=False))
    place.refused("Insufficient certificate", *issue(usage=ExtendedKeyUsageOID.SERVER_AUTH))
    place.refused("Insufficient certificate", *issue(authority=True))
    certificate, _ = issue()
    place.refused("does not match", certificate, new_key())


def test_a_chain_is_followed(account):
    place = Place(account)
    middle = Authority("middle", below=place.authority)
    certificate, key = middle.issue()
    place.refused("Untrusted signing certificate", certificate, key)
    place.opened(certificate, key, chain=[middle.certificate]).client("iam").list_users()


def test_altered_requests_are_refused(account):
    place = Place(account)
    certificate, key = place.authority.issue()
    other, _ = place.authority.issue("other")

    def another_certificate(headers, _):
        headers["x-amz-x509"] = der(other)

    def another_time(headers, _):
        headers["x-amz-date"] = "20200101T000000Z"

    def unsigned(headers, _):
        headers["authorization"] = headers["authorization"].replace("x-amz-date;", "")

    place.refused("does not match", certificate, key, change=lambda _, body: body.replace(b"}", b" }"))
    place.refused("", certificate, key, change=another_certificate)
    place.refused("", certificate, key, change=another_time)
    place.refused("not signed", certificate, key, change=unsigned)
    place.refused("", certificate, key, region="eu-central-1", status=400)


def test_what_is_switched_off_opens_nothing(account):
    place = Place(account)
    certificate, key = place.authority.issue()
    place.client.disable_profile(profileId=place.profile["profileId"])
    place.refused("Profile is disabled", certificate, key)
    place.client.enable_profile(profileId=place.profile["profileId"])
    place.client.disable_trust_anchor(trustAnchorId=place.anchor["trustAnchorId"])
    place.refused("Trust anchor is disabled", certificate, key)
    place.client.enable_trust_anchor(trustAnchorId=place.anchor["trustAnchorId"])
    place.refused("does not name it", certificate, key, roleArn=account.role())
    closed = account.role()
    place.client.update_profile(profileId=place.profile["profileId"], roleArns=[closed])
    place.refused("Unable to assume role", certificate, key, roleArn=closed)


def test_revoked_certificates_open_nothing(account):
    place = Place(account)
    certificate, key = place.authority.issue()
    place.opened(certificate, key)
    data = place.authority.revocation_list(certificate)
    crl = place.client.import_crl(name="list", crlData=data, trustAnchorArn=place.anchor["trustAnchorArn"], enabled=True)["crl"]
    place.refused("revoked", certificate, key)
    place.opened(*place.authority.issue())
    place.client.disable_crl(crlId=crl["crlId"])
    place.opened(certificate, key)
    place.client.enable_crl(crlId=crl["crlId"])
    assert place.client.get_crl(crlId=crl["crlId"])["crl"]["crlData"] == data
    # A list of somebody else's making revokes nothing.
    place.client.update_crl(crlId=crl["crlId"], crlData=Authority().revocation_list(certificate))
    place.opened(certificate, key)
    assert len(place.client.list_crls()["crls"]) == 1
    place.client.delete_crl(crlId=crl["crlId"])
    with raises("ResourceNotFoundException", 404):
        place.client.get_crl(crlId=crl["crlId"])
    with raises("ValidationException", 400):
        place.client.import_crl(name="x", crlData=b"nonsense", trustAnchorArn=place.anchor["trustAnchorArn"])


def test_the_profile_bounds_its_sessions(account, assert_denied):
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow("iam:ListUsers")]})
    place = Place(account, policy=allow("iam:*"), sessionPolicy=policy, durationSeconds=900)
    certificate, key = place.authority.issue()
    session = place.opened(certificate, key)
    session.client("iam").list_users()
    assert_denied(session.client("iam").list_roles, "iam:ListRoles", by="session")
    _, answer = place.session(certificate, key, durationSeconds=3600)
    expires = datetime.datetime.fromisoformat(answer["credentialSet"][0]["credentials"]["expiration"].replace("Z", "+00:00"))
    assert expires - account.server.now() <= datetime.timedelta(seconds=900)
    place.refused("does not accept", certificate, key, status=400, roleSessionName="mine")
    place.client.update_profile(profileId=place.profile["profileId"], acceptRoleSessionName=True)
    assert place.opened(certificate, key, roleSessionName="mine").user_arn().endswith("/mine")


# The agent


@pytest.fixture
def agent(binary, tmp_path):
    """Starts agents; gives the environment that they print."""
    running = []

    def start(server, *arguments, environment=None):
        names = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "BAILIWICK_"))}
        fixed = [
            "credentials", "agent", "--endpoint", server.endpoint, "--ca-bundle", server.authority, "--region", REGION,
            "--token-file", tmp_path / "token",
        ]
        process = subprocess.Popen(
            [binary, *map(str, fixed), *map(str, arguments)], env={**names, **(environment or {})}, stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        lines = [process.stdout.readline().strip().removeprefix("export ") for _ in range(2)]
        return dict(line.split("=", 1) for line in lines)

    yield start
    for process in running:
        process.terminate()
        process.wait(timeout=20)


def calls_iam(server, environment, monkeypatch):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    session = boto3.Session(region_name=REGION)
    client = session.client("sts", endpoint_url=server.endpoint, verify=str(server.authority))
    return client.get_caller_identity()["Arn"]


def test_the_agent_serves_a_certificates_role(start_server, agent, tmp_path, monkeypatch):
    # The agent goes by the clock of the host.
    account = Account.home(start_server("--ephemeral"))
    place = Place(account)
    certificate, key = place.authority.issue("host-7")
    (tmp_path / "certificate.pem").write_text(pem_of(certificate))
    (tmp_path / "key.pem").write_text(pem_of_key(key))
    environment = agent(
        account.server, "--role-arn", place.role, "--trust-anchor-arn", place.anchor["trustAnchorArn"],
        "--profile-arn", place.profile["profileArn"], "--certificate", tmp_path / "certificate.pem", "--private-key", tmp_path / "key.pem",
    )
    assert os.stat(environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]).st_mode & 0o777 == 0o600
    role_name = place.role.rsplit("/", 1)[1]
    assert f":assumed-role/{role_name}/" in calls_iam(account.server, environment, monkeypatch)
    uri = environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    for headers in ({}, {"authorization": "wrong"}):
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(urllib.request.Request(uri, headers=headers), timeout=10)
        assert refusal.value.code == 401
    token = (tmp_path / "token").read_text()
    answers = [
        json.loads(urllib.request.urlopen(urllib.request.Request(uri, headers={"authorization": token}), timeout=10).read())
        for _ in range(2)
    ]
    # Credentials that are still good are served again.
    assert answers[0] == answers[1] and answers[0]["RoleArn"] == place.role


def test_the_agent_assumes_a_role(start_server, agent, monkeypatch):
    account = Account.home(start_server("--ephemeral"))
    role = account.role(policy=allow("iam:ListUsers"))
    user = account.user(policy=allow("sts:AssumeRole", role))
    keys = {"AWS_ACCESS_KEY_ID": user.credentials.access_key_id, "AWS_SECRET_ACCESS_KEY": user.credentials.secret_access_key}
    environment = agent(account.server, "--role-arn", role, "--session-name", "host", environment=keys)
    assert calls_iam(account.server, environment, monkeypatch).endswith("/host")


def test_an_agent_that_gets_nothing_does_not_start(account, command, tmp_path):
    role = account.role()
    stranger = account.user()
    keys = {"AWS_ACCESS_KEY_ID": stranger.credentials.access_key_id, "AWS_SECRET_ACCESS_KEY": stranger.credentials.secret_access_key}
    server = account.server
    result = command(
        "credentials", "agent", "--endpoint", server.endpoint, "--ca-bundle", server.authority, "--role-arn", role,
        "--token-file", tmp_path / "token", server=None, environment=keys,
    )
    assert result.returncode == 5 and "sts:AssumeRole" in result.stderr, result.stderr
    outside = command(
        "credentials", "agent", "--endpoint", server.endpoint, "--role-arn", role, "--token-file", tmp_path / "token",
        "--listen", "0.0.0.0:0", server=None,
    )
    assert outside.returncode == 2
