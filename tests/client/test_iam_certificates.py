"""SSH public keys, signing certificates and server certificates."""

import datetime
import json

from cryptography.hazmat.primitives import serialization

from bailiwick_server import allow, raises
from certificate_authority import Authority, new_key, pem_of, pem_of_key
from iam_scenario import iam, name  # noqa: F401


def ssh_forms(key):
    public = key.public_key()
    ssh = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    return ssh, pem


# SSH public keys


def test_the_life_of_an_ssh_public_key(account, iam):  # noqa: F811
    user = account.user()
    ssh, pem = ssh_forms(new_key("rsa"))
    made = iam.upload_ssh_public_key(UserName=user.user_name, SSHPublicKeyBody=f"{ssh} comment")["SSHPublicKey"]
    assert made["SSHPublicKeyId"].startswith("APKA") and made["Status"] == "Active" and made["SSHPublicKeyBody"] == ssh
    one = {"UserName": user.user_name, "SSHPublicKeyId": made["SSHPublicKeyId"]}
    assert iam.get_ssh_public_key(**one, Encoding="SSH")["SSHPublicKey"]["SSHPublicKeyBody"] == ssh
    shown = iam.get_ssh_public_key(**one, Encoding="PEM")["SSHPublicKey"]
    assert shown["SSHPublicKeyBody"] == pem and shown["Fingerprint"] == made["Fingerprint"]
    with raises("DuplicateSSHPublicKey", 400):
        iam.upload_ssh_public_key(UserName=user.user_name, SSHPublicKeyBody=pem)
    iam.update_ssh_public_key(**one, Status="Inactive")
    assert [key["Status"] for key in iam.list_ssh_public_keys(UserName=user.user_name)["SSHPublicKeys"]] == ["Inactive"]
    iam.delete_access_key(UserName=user.user_name, AccessKeyId=user.credentials.access_key_id)
    with raises("DeleteConflict", 409, "SSH public keys"):
        iam.delete_user(UserName=user.user_name)
    iam.delete_ssh_public_key(**one)
    with raises("NoSuchEntity", 404):
        iam.get_ssh_public_key(**one, Encoding="SSH")
    iam.delete_user(UserName=user.user_name)


def test_bad_ssh_public_keys_are_refused(account, iam, assert_denied):  # noqa: F811
    user = account.user()
    ed25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
    upload = lambda body: iam.upload_ssh_public_key(UserName=user.user_name, SSHPublicKeyBody=body)  # noqa: E731
    with raises("UnrecognizedPublicKeyEncoding", 400):
        upload(ed25519)
    for body in ("ssh-rsa AAAA", "ssh-rsa !", ssh_forms(new_key("ec"))[1]):
        with raises("InvalidPublicKey", 400):
            upload(body)
    other = account.user().client("iam")
    assert_denied(lambda: other.list_ssh_public_keys(UserName=user.user_name), "iam:ListSSHPublicKeys", by="identity")


# Signing certificates


def test_the_life_of_a_signing_certificate(account, iam):  # noqa: F811
    user = account.user(policy=allow("iam:*SigningCertificate*"))
    authority = Authority()
    bodies = [pem_of(authority.issue(f"user-{number}")[0]) for number in range(3)]
    made = user.client("iam").upload_signing_certificate(CertificateBody=bodies[0])["Certificate"]
    assert made["UserName"] == user.user_name and made["Status"] == "Active"
    with raises("DuplicateCertificate", 409):
        iam.upload_signing_certificate(UserName=user.user_name, CertificateBody=bodies[0])
    iam.upload_signing_certificate(UserName=user.user_name, CertificateBody=bodies[1])
    with raises("LimitExceeded", 409):
        iam.upload_signing_certificate(UserName=user.user_name, CertificateBody=bodies[2])
    with raises("MalformedCertificate", 400):
        iam.upload_signing_certificate(UserName=user.user_name, CertificateBody="nonsense")
    one = {"UserName": user.user_name, "CertificateId": made["CertificateId"]}
    iam.update_signing_certificate(**one, Status="Inactive")
    iam.generate_credential_report()
    lines = iam.get_credential_report()["Content"].decode().splitlines()
    row = next(dict(zip(lines[0].split(","), line.split(","))) for line in lines if line.startswith(user.user_name))
    assert sorted([row["cert_1_active"], row["cert_2_active"]]) == ["false", "true"]
    assert len(iam.list_signing_certificates(UserName=user.user_name)["Certificates"]) == 2
    iam.delete_signing_certificate(**one)
    with raises("NoSuchEntity", 404):
        iam.delete_signing_certificate(**one)


# Server certificates


def test_the_life_of_a_server_certificate(account, iam):  # noqa: F811
    authority = Authority()
    certificate, key = authority.issue("site.example", new_key("rsa"))
    site = name("site")
    made = iam.upload_server_certificate(
        ServerCertificateName=site, Path="/cloudfront/", CertificateBody=pem_of(certificate), PrivateKey=pem_of_key(key),
        CertificateChain=authority.pem(), Tags=[{"Key": "team", "Value": "a"}],
    )
    metadata = made["ServerCertificateMetadata"]
    assert metadata["Arn"] == f"arn:aws:iam::{account.id}:server-certificate/cloudfront/{site}"
    assert metadata["ServerCertificateId"].startswith("ASCA") and made["Tags"] == [{"Key": "team", "Value": "a"}]
    assert metadata["Expiration"] == datetime.datetime(2045, 1, 1, tzinfo=datetime.timezone.utc)
    got = iam.get_server_certificate(ServerCertificateName=site)["ServerCertificate"]
    assert got["ServerCertificateMetadata"] == metadata and "PrivateKey" not in got
    with raises("EntityAlreadyExists", 409):
        iam.upload_server_certificate(ServerCertificateName=site, CertificateBody=pem_of(certificate), PrivateKey=pem_of_key(key))
    iam.tag_server_certificate(ServerCertificateName=site, Tags=[{"Key": "stage", "Value": "prod"}])
    iam.untag_server_certificate(ServerCertificateName=site, TagKeys=["team"])
    assert iam.list_server_certificate_tags(ServerCertificateName=site)["Tags"] == [{"Key": "stage", "Value": "prod"}]
    iam.update_server_certificate(ServerCertificateName=site, NewServerCertificateName=site + "-2", NewPath="/")
    listed = iam.list_server_certificates()["ServerCertificateMetadataList"]
    assert [one["Arn"] for one in listed] == [f"arn:aws:iam::{account.id}:server-certificate/{site}-2"]
    assert iam.get_account_summary()["SummaryMap"]["ServerCertificates"] == 1
    account.server.flush()
    assert "PRIVATE KEY" not in json.dumps(account.events())
    iam.delete_server_certificate(ServerCertificateName=site + "-2")
    with raises("NoSuchEntity", 404):
        iam.get_server_certificate(ServerCertificateName=site + "-2")


def test_bad_server_certificates_are_refused(account, iam, assert_denied):  # noqa: F811
    authority = Authority()
    certificate, key = authority.issue("site.example")
    body, private = pem_of(certificate), pem_of_key(key)
    past = datetime.datetime(2021, 1, 1, tzinfo=datetime.timezone.utc)
    expired, expired_key = authority.issue(ends=past)
    cases = [
        ("KeyPairMismatch", body, pem_of_key(new_key()), None),
        ("MalformedCertificate", "nonsense", private, None),
        ("MalformedCertificate", body, "nonsense", None),
        ("MalformedCertificate", pem_of(expired), pem_of_key(expired_key), None),
        ("MalformedCertificate", body, private, Authority("other").pem()),
    ]
    for code, given, given_key, chain in cases:
        more = {"CertificateChain": chain} if chain else {}
        with raises(code, 400):
            iam.upload_server_certificate(ServerCertificateName="x", CertificateBody=given, PrivateKey=given_key, **more)
    nobody = account.user().client("iam")
    assert_denied(lambda: nobody.get_server_certificate(ServerCertificateName="x"), "iam:GetServerCertificate", by="identity")
    assert_denied(nobody.list_server_certificates, "iam:ListServerCertificates", by="identity")
