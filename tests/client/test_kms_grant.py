"""KMS: grants, what they allow and to whom."""

import re

import pytest

from bailiwick_server import allow, deny, raises
from kms_scenario import key, kms, root_arn  # noqa: F401 (fixtures)


def test_a_grant_allows_its_operations(account, kms, key, assert_denied):
    user = account.user()
    client = user.client("kms")
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    assert_denied(lambda: client.decrypt(CiphertextBlob=blob), "kms:Decrypt")
    made = kms.create_grant(KeyId=key["KeyId"], GranteePrincipal=user.user_arn(), Operations=["Decrypt", "DescribeKey"], Name="n")
    assert re.fullmatch(r"[0-9a-f]{64}", made["GrantId"])
    assert client.decrypt(CiphertextBlob=blob, GrantTokens=[made["GrantToken"]])["Plaintext"] == b"x"
    client.describe_key(KeyId=key["KeyId"])
    assert_denied(lambda: client.encrypt(KeyId=key["KeyId"], Plaintext=b"x"), "kms:Encrypt")
    (entry,) = kms.list_grants(KeyId=key["KeyId"])["Grants"]
    assert entry["KeyId"] == key["Arn"] and entry["GrantId"] == made["GrantId"] and entry["Name"] == "n"
    assert entry["GranteePrincipal"] == user.user_arn() and entry["IssuingAccount"] == root_arn(account)
    again = kms.create_grant(KeyId=key["KeyId"], GranteePrincipal=user.user_arn(), Operations=["DescribeKey", "Decrypt"], Name="n")
    assert again["GrantId"] == made["GrantId"] and again["GrantToken"] != made["GrantToken"]
    kms.revoke_grant(KeyId=key["KeyId"], GrantId=made["GrantId"])
    assert_denied(lambda: client.decrypt(CiphertextBlob=blob), "kms:Decrypt")
    with raises("InvalidGrantIdException"):
        kms.revoke_grant(KeyId=key["KeyId"], GrantId=made["GrantId"])


@pytest.mark.parametrize(
    ("constraint", "allowed", "refused"),
    [
        ("EncryptionContextEquals", [{"a": "1"}], [{}, {"a": "2"}, {"a": "1", "b": "2"}]),
        ("EncryptionContextSubset", [{"a": "1"}, {"a": "1", "b": "2"}], [{}, {"a": "2"}, {"b": "2"}]),
    ],
)
def test_constraints_of_grants(account, kms, key, assert_denied, constraint, allowed, refused):
    user = account.user()
    kms.create_grant(KeyId=key["KeyId"], GranteePrincipal=user.user_arn(), Operations=["Encrypt"], Constraints={constraint: {"a": "1"}})
    client = user.client("kms")
    for context in allowed:
        client.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext=context)
    for context in refused:
        assert_denied(lambda: client.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext=context), "kms:Encrypt")


def test_a_grant_ends_with_its_grantee(account, kms, key, assert_denied):
    iam = account.client("iam")
    first = account.user("ana")
    arn, user_id = (iam.get_user(UserName="ana")["User"][name] for name in ("Arn", "UserId"))
    role = account.role(name="app")
    role_id = iam.get_role(RoleName="app")["Role"]["RoleId"]
    kms.create_grant(KeyId=key["KeyId"], GranteePrincipal=arn, RetiringPrincipal=role, Operations=["Encrypt"], Name="n")
    encrypt = lambda session: session.client("kms").encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    encrypt(first)
    iam.update_user(UserName="ana", NewUserName="eva")
    encrypt(first)
    (entry,) = kms.list_grants(KeyId=key["KeyId"])["Grants"]
    assert (entry["GranteePrincipal"], entry["RetiringPrincipal"]) == (f"arn:aws:iam::{account.id}:user/eva", role)

    (access_key,) = iam.list_access_keys(UserName="eva")["AccessKeyMetadata"]
    iam.delete_access_key(UserName="eva", AccessKeyId=access_key["AccessKeyId"])
    iam.delete_user(UserName="eva")
    iam.delete_role(RoleName="app")
    second, role = account.user("ana"), account.role(name="app")
    assert_denied(lambda: encrypt(second), "kms:Encrypt")
    (entry,) = kms.list_grants(KeyId=key["KeyId"])["Grants"]
    assert (entry["GranteePrincipal"], entry["RetiringPrincipal"]) == (user_id, role_id)
    assert kms.list_grants(KeyId=key["KeyId"], GranteePrincipal=arn)["Grants"] == []
    session = account.assume(role).client("kms")
    assert_denied(lambda: session.retire_grant(KeyId=key["Arn"], GrantId=entry["GrantId"]), "kms:RetireGrant")

    # Not the same grant again, though the request is the same.
    kms.create_grant(KeyId=key["KeyId"], GranteePrincipal=arn, RetiringPrincipal=role, Operations=["Encrypt"], Name="n")
    assert len(kms.list_grants(KeyId=key["KeyId"])["Grants"]) == 2
    encrypt(second)


@pytest.mark.parametrize("name", ["user/nobody", "role/nobody"])
def test_a_grantee_must_exist(account, kms, key, name):
    arn = f"arn:aws:iam::{account.id}:{name}"
    for parameters in ({"GranteePrincipal": arn}, {"GranteePrincipal": root_arn(account), "RetiringPrincipal": arn}):
        with raises("InvalidArnException", 400, f"^ARN does not refer to a valid principal: {arn}$"):
            kms.create_grant(KeyId=key["KeyId"], Operations=["Decrypt"], **parameters)
    assert kms.list_grants(KeyId=key["KeyId"])["Grants"] == []


def test_an_explicit_deny_beats_a_grant(account, kms, key, assert_denied):
    user = account.user(policy=deny("kms:Encrypt"))
    kms.create_grant(KeyId=key["KeyId"], GranteePrincipal=user.user_arn(), Operations=["Encrypt"])
    assert_denied(lambda: user.client("kms").encrypt(KeyId=key["KeyId"], Plaintext=b"x"), "kms:Encrypt", by="identity", explicit=True)


def test_grants_that_are_refused(account, kms, key):
    grantee = root_arn(account)
    with raises("InvalidArnException"):
        kms.create_grant(KeyId=key["KeyId"], GranteePrincipal="nobody", Operations=["Decrypt"])
    with raises("ValidationException"):
        kms.create_grant(KeyId=key["KeyId"], GranteePrincipal=grantee, Operations=["Sign"])
    with raises("ValidationException"):
        kms.create_grant(
            KeyId=key["KeyId"], GranteePrincipal=grantee, Operations=["Decrypt"],
            Constraints={"EncryptionContextEquals": {str(number): "v" for number in range(9)}},
        )
    with raises("InvalidGrantTokenException"):
        kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x", GrantTokens=["forged"])


def test_who_may_retire_a_grant(account, kms, key):
    grantee, retirer, admin = account.user(), account.user(), account.user(policy=allow("kms:*"))
    call = {"KeyId": key["KeyId"], "GranteePrincipal": grantee.user_arn(), "RetiringPrincipal": retirer.user_arn(), "Operations": ["Decrypt"]}
    made = kms.create_grant(**call)
    retirable = kms.list_retirable_grants(RetiringPrincipal=retirer.user_arn())["Grants"]
    assert [grant["GrantId"] for grant in retirable] == [made["GrantId"]]
    # Neither the grantee without RetireGrant nor a policy alone.
    for session in (grantee, admin):
        with raises("AccessDeniedException", message="kms:RetireGrant"):
            session.client("kms").retire_grant(KeyId=key["Arn"], GrantId=made["GrantId"])
    with raises("DryRunOperationException"):
        retirer.client("kms").retire_grant(GrantToken=made["GrantToken"], DryRun=True)
    retirer.client("kms").retire_grant(GrantToken=made["GrantToken"])
    assert kms.list_grants(KeyId=key["KeyId"])["Grants"] == []
    assert kms.list_retirable_grants(RetiringPrincipal=retirer.user_arn())["Grants"] == []
    other = kms.create_grant(**{**call, "Operations": ["Decrypt", "RetireGrant"]})
    grantee.client("kms").retire_grant(KeyId=key["Arn"], GrantId=other["GrantId"])
    with raises("ValidationException"):
        kms.retire_grant(KeyId=key["Arn"])
    with raises("InvalidGrantTokenException"):
        kms.retire_grant(GrantToken="forged")


def test_a_retiring_principal_retires_only_its_own_grants(account, kms, key):
    first, second = account.user(), account.user()
    for session in (first, second):
        kms.create_grant(KeyId=key["KeyId"], GranteePrincipal=root_arn(account), RetiringPrincipal=session.user_arn(), Operations=["Decrypt"])
    (of_second,) = kms.list_retirable_grants(RetiringPrincipal=second.user_arn())["Grants"]
    with raises("AccessDeniedException"):
        first.client("kms").retire_grant(KeyId=key["Arn"], GrantId=of_second["GrantId"])


def test_a_grant_made_under_a_grant_gives_no_more(account, kms, key):
    middle, last = account.user(), account.user()
    kms.create_grant(
        KeyId=key["KeyId"], GranteePrincipal=middle.user_arn(), Operations=["CreateGrant", "Decrypt"],
        Constraints={"EncryptionContextSubset": {"a": "1"}},
    )
    client = middle.client("kms")
    call = {"KeyId": key["KeyId"], "GranteePrincipal": last.user_arn()}
    client.create_grant(**call, Operations=["Decrypt"], Constraints={"EncryptionContextSubset": {"a": "1", "b": "2"}})
    for more in ({"Operations": ["Decrypt"]}, {"Operations": ["Encrypt"], "Constraints": {"EncryptionContextSubset": {"a": "1"}}}):
        with raises("AccessDeniedException", message="kms:CreateGrant"):
            client.create_grant(**call, **more)


def test_grants_in_pages_and_by_grantee(account, kms, key):
    users = [account.user().user_arn() for _ in range(3)]
    made = {kms.create_grant(KeyId=key["KeyId"], GranteePrincipal=arn, Operations=["Decrypt"])["GrantId"] for arn in users}
    pages = kms.get_paginator("list_grants").paginate(KeyId=key["KeyId"], PaginationConfig={"PageSize": 1})
    assert {grant["GrantId"] for page in pages for grant in page["Grants"]} == made
    (one,) = kms.list_grants(KeyId=key["KeyId"], GranteePrincipal=users[0])["Grants"]
    assert one["GranteePrincipal"] == users[0]
    with raises("InvalidGrantIdException"):
        kms.list_grants(KeyId=key["KeyId"], GrantId="0" * 64)


def test_conditions_on_grants_that_are_made(account, kms, key, assert_denied):
    condition = {"ForAllValues:StringEquals": {"kms:GrantOperations": ["Decrypt"]}, "StringEquals": {"kms:GranteePrincipal": root_arn(account)}}
    client = account.user(policy=allow("kms:CreateGrant", Condition=condition)).client("kms")
    client.create_grant(KeyId=key["KeyId"], GranteePrincipal=root_arn(account), Operations=["Decrypt"])
    for parameters in (
        {"GranteePrincipal": root_arn(account), "Operations": ["Decrypt", "Encrypt"]},
        {"GranteePrincipal": account.user().user_arn(), "Operations": ["Decrypt"]},
    ):
        assert_denied(lambda: client.create_grant(KeyId=key["KeyId"], **parameters), "kms:CreateGrant")
    for_services = allow("kms:CreateGrant", Condition={"Bool": {"kms:GrantIsForAWSResource": "true"}})
    other = account.user(policy=for_services).client("kms")
    assert_denied(lambda: other.create_grant(KeyId=key["KeyId"], GranteePrincipal=root_arn(account), Operations=["Decrypt"]), "kms:CreateGrant")


def test_a_grant_across_accounts(account, other_account, kms, key):
    guest = other_account.user(policy=allow("kms:Decrypt"))
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    with raises("AccessDeniedException"):
        guest.client("kms").decrypt(CiphertextBlob=blob)
    kms.create_grant(KeyId=key["KeyId"], GranteePrincipal=guest.user_arn(), RetiringPrincipal=guest.user_arn(), Operations=["Decrypt"])
    assert guest.client("kms").decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    (grant,) = other_account.client("kms").list_retirable_grants(RetiringPrincipal=guest.user_arn())["Grants"]
    assert grant["KeyId"] == key["Arn"]
