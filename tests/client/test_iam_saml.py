"""SAML: providers, and roles assumed with responses that an identity provider of the tests signs (with a library that is not ours)."""

import base64
import datetime
import json
import re
import uuid

import botocore.config
import pytest
import signxml
from botocore import UNSIGNED
from lxml import etree

from bailiwick_server import Credentials, allow, raises
from certificate_authority import Authority, new_key, pem_of, pem_of_key
from iam_scenario import iam, name  # noqa: F401

AWS = "https://signin.aws.amazon.com/saml"
ATTRIBUTES = "https://aws.amazon.com/SAML/Attributes/"
ISSUER = "https://id.example/saml"
P, A = "urn:oasis:names:tc:SAML:2.0:protocol", "urn:oasis:names:tc:SAML:2.0:assertion"


class IdentityProvider:
    def __init__(self, kind="rsa"):
        self.certificate, self.key = Authority().issue("id.example", new_key(kind))
        self.kind = kind

    def metadata(self, more=""):
        body = "".join(line for line in pem_of(self.certificate).splitlines() if not line.startswith("-----"))
        return (
            f'<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{ISSUER}"{more}>'
            '<IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"><KeyDescriptor use="signing">'
            f'<KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>{body}</X509Certificate></X509Data></KeyInfo>'
            '</KeyDescriptor><SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://id.example"/>'
            f"</IDPSSODescriptor><!--{'x' * 200}--></EntityDescriptor>"
        )

    def response(self, server, role, provider, sign="assertion", key=None, change=None, status="Success", **more):
        """A response in base64: signed at its assertion, at itself, or at neither."""
        now = more.pop("now", server.now())
        time = lambda seconds: (now + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")  # noqa: E731
        values = {
            "issuer": ISSUER, "subject": "ana", "audience": AWS, "recipient": AWS, "begins": time(-30), "ends": time(240), **more
        }
        attributes = {f"{ATTRIBUTES}Role": f"{role},{provider}", f"{ATTRIBUTES}RoleSessionName": "ana@example.com"}
        attributes.update(more.get("attributes", {}))
        statement = "".join(
            f'<saml:Attribute Name="{name}">'
            + "".join(f"<saml:AttributeValue>{v}</saml:AttributeValue>" for v in ([value] if isinstance(value, str) else value))
            + "</saml:Attribute>"
            for name, value in attributes.items() if value is not None
        )
        text = f"""<samlp:Response xmlns:samlp="{P}" xmlns:saml="{A}" ID="_{uuid.uuid4().hex}" Version="2.0" IssueInstant="{time(0)}">
  <saml:Issuer>{values['issuer']}</saml:Issuer>
  <samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:{status}"/></samlp:Status>
  <saml:Assertion ID="_{uuid.uuid4().hex}" Version="2.0" IssueInstant="{time(0)}">
    <saml:Issuer>{values['issuer']}</saml:Issuer>
    <saml:Subject>
      <saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">{values['subject']}</saml:NameID>
      <saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">
        <saml:SubjectConfirmationData Recipient="{values['recipient']}" NotOnOrAfter="{values['ends']}"/>
      </saml:SubjectConfirmation>
    </saml:Subject>
    <saml:Conditions NotBefore="{values['begins']}" NotOnOrAfter="{values['ends']}">
      <saml:AudienceRestriction><saml:Audience>{values['audience']}</saml:Audience></saml:AudienceRestriction>
    </saml:Conditions>
    <saml:AttributeStatement>{statement}</saml:AttributeStatement>
  </saml:Assertion>
</samlp:Response>"""
        root = etree.fromstring(text)
        algorithm = "rsa-sha256" if self.kind == "rsa" else "ecdsa-sha256"
        signer = signxml.XMLSigner(
            signature_algorithm=algorithm, digest_algorithm="sha256", c14n_algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"
        )
        element = {"assertion": root.find(f"{{{A}}}Assertion"), "response": root, None: None}[sign]
        if element is not None:
            signed = signer.sign(
                element, key=pem_of_key(key or self.key), cert=pem_of(self.certificate), reference_uri="#" + element.get("ID"),
                id_attribute="ID",
            )
            if sign == "response":
                root = signed
            else:
                root.replace(element, signed)
        document = etree.tostring(root)
        if change is not None:
            document = change(document)
        return base64.b64encode(document).decode()


@pytest.fixture(scope="module")
def idp():
    return IdentityProvider()


@pytest.fixture
def provider(iam, idp):  # noqa: F811
    return iam.create_saml_provider(SAMLMetadataDocument=idp.metadata(), Name=name("idp"))["SAMLProviderArn"]


@pytest.fixture
def sts(account):
    """STS as somebody without credentials sees it."""
    return account.session.client("sts", config=botocore.config.Config(signature_version=UNSIGNED))


def trusted(provider, *actions, **condition):
    return {
        "Effect": "Allow", "Principal": {"Federated": provider}, "Action": list(actions) or "sts:AssumeRoleWithSAML",
        **({"Condition": condition} if condition else {}),
    }


def assume(sts, role, provider, response, **more):
    return sts.assume_role_with_saml(RoleArn=role, PrincipalArn=provider, SAMLAssertion=response, **more)


def session_of(account, answer):
    keys = answer["Credentials"]
    return account.server.session(Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"]))


# Providers


def test_the_life_of_a_provider(account, iam, idp):  # noqa: F811
    title = name("idp")
    made = iam.create_saml_provider(SAMLMetadataDocument=idp.metadata(), Name=title, Tags=[{"Key": "t", "Value": "1"}])
    arn = made["SAMLProviderArn"]
    assert arn == f"arn:aws:iam::{account.id}:saml-provider/{title}"
    with raises("EntityAlreadyExists", 409):
        iam.create_saml_provider(SAMLMetadataDocument=idp.metadata(), Name=title)
    got = iam.get_saml_provider(SAMLProviderArn=arn)
    assert got["SAMLMetadataDocument"] == idp.metadata() and got["ValidUntil"].year > 2100
    bounded = idp.metadata(' validUntil="2030-01-01T00:00:00Z"')
    assert iam.update_saml_provider(SAMLProviderArn=arn, SAMLMetadataDocument=bounded)["SAMLProviderArn"] == arn
    assert iam.get_saml_provider(SAMLProviderArn=arn)["ValidUntil"].year == 2030
    iam.tag_saml_provider(SAMLProviderArn=arn, Tags=[{"Key": "u", "Value": "2"}])
    iam.untag_saml_provider(SAMLProviderArn=arn, TagKeys=["t"])
    assert iam.list_saml_provider_tags(SAMLProviderArn=arn)["Tags"] == [{"Key": "u", "Value": "2"}]
    assert [one["Arn"] for one in iam.list_saml_providers()["SAMLProviderList"]] == [arn]
    iam.delete_saml_provider(SAMLProviderArn=arn)
    with raises("NoSuchEntity", 404):
        iam.get_saml_provider(SAMLProviderArn=arn)


def test_bad_metadata_is_refused(account, iam, idp, assert_denied):  # noqa: F811
    padding = "<!--" + "x" * 1000 + "-->"
    for metadata in ("nonsense" + padding, f"<x>{padding}</x>", "<!DOCTYPE x [<!ENTITY e 'e'>]>" + idp.metadata() + padding):
        with raises("InvalidInput", 400, "Could not parse metadata"):
            iam.create_saml_provider(SAMLMetadataDocument=metadata, Name="x")
    with raises("InvalidInput", 400):
        iam.create_saml_provider(SAMLMetadataDocument=idp.metadata(), Name="x", AssertionEncryptionMode="Allowed")
    nobody = account.user().client("iam")
    call = lambda: nobody.create_saml_provider(SAMLMetadataDocument=idp.metadata(), Name="x")  # noqa: E731
    assert_denied(call, "iam:CreateSAMLProvider", by="identity")


# Responses


@pytest.mark.parametrize("sign", ["assertion", "response"])
@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_a_role_is_assumed_with_a_response(account, iam, sts, kind, sign):  # noqa: F811
    idp = IdentityProvider(kind)
    provider = iam.create_saml_provider(SAMLMetadataDocument=idp.metadata(), Name=name("idp"))["SAMLProviderArn"]
    role = account.role(
        trust=trusted(provider, StringEquals={"SAML:aud": AWS, "SAML:sub_type": "persistent", "SAML:iss": ISSUER}),
        policy=allow("iam:ListUsers", Condition={"StringEquals": {"aws:FederatedProvider": provider}}),
    )
    answer = assume(sts, role, provider, idp.response(account.server, role, provider, sign=sign))
    assert answer["Subject"] == "ana" and answer["SubjectType"] == "persistent"
    assert answer["Issuer"] == ISSUER and answer["Audience"] == AWS and answer["NameQualifier"]
    assert answer["AssumedRoleUser"]["Arn"].endswith("/ana@example.com")
    session_of(account, answer).client("iam").list_users()
    account.server.flush()
    event = account.events(EventName="AssumeRoleWithSAML")[0]
    assert event["userIdentity"]["type"] == "SAMLUser" and event["userIdentity"]["identityProvider"] == provider
    assert answer["Credentials"]["SessionToken"] not in json.dumps(event)


def test_a_response_is_good_once(account, idp, provider, sts):
    role = account.role(trust=trusted(provider))
    response = idp.response(account.server, role, provider)
    assume(sts, role, provider, response)
    with raises("InvalidIdentityToken", 400, "used already"):
        assume(sts, role, provider, response)
    assume(sts, role, provider, idp.response(account.server, role, provider))


def test_the_trust_policy_decides(account, idp, provider, sts):
    role = account.role(trust=trusted(provider, StringEquals={"saml:sub": "ana"}))
    assume(sts, role, provider, idp.response(account.server, role, provider))
    refused = "^Not authorized to perform sts:AssumeRoleWithSAML$"
    with raises("AccessDenied", 403, refused):
        assume(sts, role, provider, idp.response(account.server, role, provider, subject="eva"))
    closed = account.role()
    with raises("AccessDenied", 403, refused):
        assume(sts, closed, provider, idp.response(account.server, closed, provider))
    # The provider must name the role.
    other = account.role(trust=trusted(provider))
    with raises("AccessDenied", 403, refused):
        assume(sts, other, provider, idp.response(account.server, role, provider))


def swap(pattern, by):
    def change(document):
        changed = re.sub(pattern, by, document, count=1)
        assert changed != document
        return changed

    return change


def wrap(document):
    """Signature wrapping: the signed assertion is hidden, and a forged one stands in its place."""
    root = etree.fromstring(document)
    signed = root.find(f"{{{A}}}Assertion")
    forged = etree.fromstring(etree.tostring(signed))
    forged.set("ID", "_forged")
    forged.find(f"{{{A}}}Subject/{{{A}}}NameID").text = "root"
    hidden = etree.SubElement(root, f"{{{P}}}Extensions")
    root.replace(signed, forged)
    hidden.append(signed)
    return etree.tostring(root)


def same_id(document):
    root = etree.fromstring(document)
    signed = root.find(f"{{{A}}}Assertion")
    extra = etree.SubElement(root, f"{{{P}}}Extensions")
    extra.set("ID", signed.get("ID"))
    return etree.tostring(root)


def test_bad_responses_prove_nothing(account, idp, provider, sts):
    role = account.role(trust=trusted(provider))
    server = account.server
    make = lambda **more: idp.response(server, role, provider, **more)  # noqa: E731
    late = server.now() - datetime.timedelta(minutes=6)
    cases = [
        ("InvalidIdentityToken", "signature invalid", make(sign=None)),
        ("InvalidIdentityToken", "signature invalid", make(key=new_key("rsa"))),
        ("InvalidIdentityToken", "signature invalid", make(change=swap(b">ana<", b">eva<"))),
        ("InvalidIdentityToken", "signature invalid", make(change=swap(b"rsa-sha256", b"rsa-sha1"))),
        ("InvalidIdentityToken", "signature invalid", make(change=wrap)),
        ("InvalidIdentityToken", "signature invalid", make(change=same_id)),
        ("InvalidIdentityToken", "Issuer not present", make(issuer="https://other.example")),
        ("InvalidIdentityToken", "audience", make(audience="https://other.example")),
        ("InvalidIdentityToken", "confirmation", make(recipient="https://other.example")),
        ("InvalidIdentityToken", "failure", make(status="Requester")),
        ("InvalidIdentityToken", "not valid yet", make(now=server.now() + datetime.timedelta(minutes=3))),
        ("ExpiredTokenException", "within 5 minutes", make(now=late, ends="2045-01-01T00:00:00Z")),
        ("InvalidIdentityToken", "RoleSessionName is required", make(attributes={f"{ATTRIBUTES}RoleSessionName": None})),
        ("InvalidIdentityToken", "must match", make(attributes={f"{ATTRIBUTES}RoleSessionName": "a b"})),
        ("InvalidIdentityToken", "base64", "!" * 10),
        ("InvalidIdentityToken", "", base64.b64encode(b"<x/>").decode()),
        ("InvalidIdentityToken", "", base64.b64encode(b"<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><x>&e;</x>").decode()),
    ]
    for code, text, response in cases:
        with raises(code, 400, text):
            assume(sts, role, provider, response)
    with raises("InvalidIdentityToken", 400, "provider doesn't exist"):
        assume(sts, role, provider + "-x", make())
    # A comment splits no name.
    answer = assume(sts, role, provider, make(change=swap(b">ana<", b">an<!-- -->a<")))
    assert answer["Subject"] == "ana"


def test_tags_source_identity_and_duration(account, idp, provider, sts, assert_denied):
    attributes = {
        f"{ATTRIBUTES}PrincipalTag:project": "red", f"{ATTRIBUTES}TransitiveTagKeys": ["project"],
        f"{ATTRIBUTES}SourceIdentity": "ana", f"{ATTRIBUTES}SessionDuration": "1800",
    }
    closed = account.role(trust=trusted(provider))
    with raises("AccessDenied", 403, "sts:TagSession"):
        assume(sts, closed, provider, idp.response(account.server, closed, provider, attributes=attributes))
    condition = {"StringEquals": {"aws:PrincipalTag/project": "red", "aws:SourceIdentity": "ana"}}
    trust = trusted(provider, "sts:AssumeRoleWithSAML", "sts:TagSession", "sts:SetSourceIdentity")
    role = account.role(trust=trust, policy=allow("iam:ListUsers", Condition=condition))
    answer = assume(sts, role, provider, idp.response(account.server, role, provider, attributes=attributes))
    assert answer["SourceIdentity"] == "ana"
    assert answer["Credentials"]["Expiration"] - account.server.now() <= datetime.timedelta(minutes=30)
    session_of(account, answer).client("iam").list_users()
    plain = assume(sts, role, provider, idp.response(account.server, role, provider))
    assert_denied(session_of(account, plain).client("iam").list_users, "iam:ListUsers")
