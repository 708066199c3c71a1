"""KMS: keys, their states, policies, rotation and deletion."""

import concurrent.futures
import hashlib
import hmac
import json
import re
import uuid

import pytest
from botocore.config import Config

from bailiwick_server import Account, allow, document, new_account_id, raises
from kms_scenario import key, kms, root_arn  # noqa: F401 (fixtures)

UUID = re.compile(r"^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$")
REGION = "us-east-1"


@pytest.fixture
def clock(start_server):
    """A server whose clock a test may move without moving that of others."""
    return start_server("--ephemeral", "--manual-clock", "--region", REGION)


def key_policy(account, *statements):
    """A key policy that delegates to the account, and says more."""
    own = {"Sid": "Own", "Effect": "Allow", "Principal": {"AWS": root_arn(account)}, "Action": "kms:*", "Resource": "*"}
    return document(own, *statements)


def everything(kms, key_id, blob):
    """Every call on a key, by operation name."""
    return {
        "Encrypt": lambda: kms.encrypt(KeyId=key_id, Plaintext=b"x"),
        "Decrypt": lambda: kms.decrypt(CiphertextBlob=blob),
        "ReEncrypt": lambda: kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=key_id),
        "GenerateDataKey": lambda: kms.generate_data_key(KeyId=key_id, KeySpec="AES_256"),
        "GenerateDataKeyWithoutPlaintext": lambda: kms.generate_data_key_without_plaintext(KeyId=key_id, KeySpec="AES_256"),
        "CreateGrant": lambda: kms.create_grant(KeyId=key_id, GranteePrincipal="arn:aws:iam::123456789012:root", Operations=["Decrypt"]),
        "EnableKeyRotation": lambda: kms.enable_key_rotation(KeyId=key_id),
        "DisableKeyRotation": lambda: kms.disable_key_rotation(KeyId=key_id),
        "RotateKeyOnDemand": lambda: kms.rotate_key_on_demand(KeyId=key_id),
        "CreateAlias": lambda: kms.create_alias(AliasName=f"alias/{uuid.uuid4()}", TargetKeyId=key_id),
        "UpdateKeyDescription": lambda: kms.update_key_description(KeyId=key_id, Description="d"),
        "TagResource": lambda: kms.tag_resource(KeyId=key_id, Tags=[{"TagKey": "k", "TagValue": "v"}]),
        "UntagResource": lambda: kms.untag_resource(KeyId=key_id, TagKeys=["k"]),
        "EnableKey": lambda: kms.enable_key(KeyId=key_id),
        "DisableKey": lambda: kms.disable_key(KeyId=key_id),
        "ScheduleKeyDeletion": lambda: kms.schedule_key_deletion(KeyId=key_id),
        "DescribeKey": lambda: kms.describe_key(KeyId=key_id),
        "GetKeyPolicy": lambda: kms.get_key_policy(KeyId=key_id),
        "GetKeyRotationStatus": lambda: kms.get_key_rotation_status(KeyId=key_id),
        "ListAliases": lambda: kms.list_aliases(KeyId=key_id),
        "ListGrants": lambda: kms.list_grants(KeyId=key_id),
        "ListKeyPolicies": lambda: kms.list_key_policies(KeyId=key_id),
        "ListKeyRotations": lambda: kms.list_key_rotations(KeyId=key_id),
        "ListResourceTags": lambda: kms.list_resource_tags(KeyId=key_id),
        "CancelKeyDeletion": lambda: kms.cancel_key_deletion(KeyId=key_id),
    }


# Keys


def test_create_key_shows_everything_that_aws_shows(account, kms):
    made = kms.create_key(Description="d", Tags=[{"TagKey": "team", "TagValue": "nlp"}])["KeyMetadata"]
    assert UUID.match(made["KeyId"])
    assert made["Arn"] == f"arn:aws:kms:{REGION}:{account.id}:key/{made['KeyId']}"
    assert re.fullmatch(r"[0-9a-f]{64}", made["CurrentKeyMaterialId"])
    shown = {name: made[name] for name in made if name not in {"KeyId", "Arn", "CreationDate", "CurrentKeyMaterialId"}}
    assert shown == {
        "AWSAccountId": account.id,
        "Enabled": True,
        "Description": "d",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": "Enabled",
        "Origin": "AWS_KMS",
        "KeyManager": "CUSTOMER",
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "MultiRegion": False,
    }
    assert kms.describe_key(KeyId=made["KeyId"])["KeyMetadata"] == made
    assert kms.list_resource_tags(KeyId=made["Arn"])["Tags"] == [{"TagKey": "team", "TagValue": "nlp"}]


@pytest.mark.parametrize(
    "parameters",
    [
        {"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"},
        {"KeySpec": "ECC_NIST_P256", "KeyUsage": "KEY_AGREEMENT"},
        {"Origin": "EXTERNAL"},
        {"Origin": "AWS_CLOUDHSM", "CustomKeyStoreId": "cks-1"},
        {"MultiRegion": True},
    ],
)
def test_key_kinds_that_are_not_made_are_refused_and_not_kept(kms, parameters):
    with raises("UnsupportedOperationException", status=400):
        kms.create_key(**parameters)
    assert kms.list_keys()["Keys"] == []


def test_create_key_refuses_what_does_not_fit(kms):
    with raises("ValidationException", message="You must specify a KeyUsage value"):
        kms.create_key(KeySpec="HMAC_256")
    with raises("ValidationException", message="not compatible"):
        kms.create_key(KeyUsage="SIGN_VERIFY")
    with raises("TagException", message="Duplicate tag keys"):
        kms.create_key(Tags=[{"TagKey": "a", "TagValue": ""}] * 2)
    with raises("TagException", message="Tags beginning with aws: are reserved"):
        kms.create_key(Tags=[{"TagKey": "aws:x", "TagValue": ""}])
    with raises("TagException", message="Too many tags"):
        kms.create_key(Tags=[{"TagKey": str(number), "TagValue": ""} for number in range(51)])
    with raises("MalformedPolicyDocumentException"):
        kms.create_key(Policy="{}")


def test_create_key_needs_its_permission_and_that_to_tag(account, assert_denied):
    assert_denied(account.user(policy=allow("kms:List*")).client("kms").create_key, "kms:CreateKey", by="identity")
    maker = account.user(policy=allow("kms:CreateKey")).client("kms")
    maker.create_key()
    assert_denied(lambda: maker.create_key(Tags=[{"TagKey": "a", "TagValue": "b"}]), "kms:TagResource", by="identity")
    only_symmetric = allow("kms:CreateKey", Condition={"StringEquals": {"kms:KeySpec": "SYMMETRIC_DEFAULT"}})
    limited = account.user(policy=only_symmetric).client("kms")
    limited.create_key()
    assert_denied(lambda: limited.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC"), "kms:CreateKey")


def test_missing_keys_are_named_as_aws_names_them(account, kms):
    missing = str(uuid.uuid4())
    arn = f"arn:aws:kms:{REGION}:{account.id}:key/{missing}"
    with raises("NotFoundException", status=400, message=f"^Key '{arn}' does not exist$"):
        kms.describe_key(KeyId=missing)
    with raises("NotFoundException", message=f"^Key '{arn}' does not exist$"):
        kms.encrypt(KeyId=arn, Plaintext=b"x")
    with raises("NotFoundException", message="^Invalid keyId 'fake-key-id'$"):
        kms.describe_key(KeyId="fake-key-id")
    with raises("NotFoundException", message="^Invalid arn eu-central-1$"):
        kms.describe_key(KeyId=arn.replace(REGION, "eu-central-1"))
    with raises("NotFoundException", message=f"^Alias arn:aws:kms:{REGION}:{account.id}:alias/none is not found.$"):
        kms.describe_key(KeyId="alias/none")
    with raises("NotFoundException", message="^Invalid keyId 'alias/none'$"):
        kms.enable_key_rotation(KeyId="alias/none")


def test_a_key_lives_in_its_region(account, key):
    with raises("NotFoundException"):
        account.client("kms", region="eu-central-1").describe_key(KeyId=key["KeyId"])


def test_update_key_description(kms, key):
    kms.update_key_description(KeyId=key["KeyId"], Description="another")
    assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["Description"] == "another"


def test_list_keys_in_pages(kms):
    made = sorted(kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(5))
    first = kms.list_keys(Limit=2)
    assert first["Truncated"] is True
    assert [key["KeyId"] for page in kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 2}) for key in page["Keys"]] == made
    whole = kms.list_keys()
    assert whole["Truncated"] is False and "NextMarker" not in whole
    with raises("InvalidMarkerException"):
        kms.list_keys(Marker="forged")
    with raises("InvalidMarkerException"):
        kms.list_aliases(Marker=first["NextMarker"])


# Encryption


def test_encrypt_and_decrypt(kms, key):
    context = {"app": "chat", "tenant": "7"}
    made = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"attack at dawn", EncryptionContext=context)
    assert made["KeyId"] == key["Arn"] and made["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
    blob = made["CiphertextBlob"]
    assert b"attack" not in blob and len(blob) == 14 + 78
    opened = kms.decrypt(CiphertextBlob=blob, EncryptionContext=dict(reversed(context.items())))
    assert opened["Plaintext"] == b"attack at dawn"
    assert opened["KeyId"] == key["Arn"] and opened["KeyMaterialId"] == key["CurrentKeyMaterialId"]
    assert kms.encrypt(KeyId=key["KeyId"], Plaintext=b"attack at dawn", EncryptionContext=context)["CiphertextBlob"] != blob
    for wrong in ({}, {"app": "chat"}, {**context, "tenant": "8"}, {**context, "more": "x"}):
        with raises("InvalidCiphertextException", status=400, message="^$"):
            kms.decrypt(CiphertextBlob=blob, EncryptionContext=wrong)


def test_sizes_of_plaintexts(kms, key):
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x" * 4096)["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x" * 4096
    with raises("ValidationException", message="Member must have length less than or equal to 4096"):
        kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x" * 4097)


def test_damaged_ciphertexts(kms, key):
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    for damaged in (b"noise", blob[:-1], blob + b"x", blob[:-1] + bytes([blob[-1] ^ 1]), blob[:40] + b"\0" + blob[41:]):
        with raises("InvalidCiphertextException"):
            kms.decrypt(CiphertextBlob=damaged, KeyId=key["KeyId"])


def test_decrypt_with_another_key_named(kms, key):
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    with raises("IncorrectKeyException", message="does not identify a CMK that can perform this operation"):
        kms.decrypt(CiphertextBlob=blob, KeyId=other)


def test_algorithms_must_fit(kms, key):
    with raises("InvalidKeyUsageException", message="^Algorithm RSAES_OAEP_SHA_256 is incompatible with key spec SYMMETRIC_DEFAULT.$"):
        kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionAlgorithm="RSAES_OAEP_SHA_256")


def test_re_encrypt(kms, key):
    other = kms.create_key()["KeyMetadata"]
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext={"a": "1"})["CiphertextBlob"]
    moved = kms.re_encrypt(
        CiphertextBlob=blob, SourceEncryptionContext={"a": "1"}, DestinationKeyId=other["KeyId"], DestinationEncryptionContext={"b": "2"}
    )
    assert moved["SourceKeyId"] == key["Arn"] and moved["KeyId"] == other["Arn"]
    assert moved["SourceKeyMaterialId"] == key["CurrentKeyMaterialId"]
    assert moved["DestinationKeyMaterialId"] == other["CurrentKeyMaterialId"]
    assert kms.decrypt(CiphertextBlob=moved["CiphertextBlob"], EncryptionContext={"b": "2"})["Plaintext"] == b"x"
    with raises("InvalidCiphertextException"):
        kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=other["KeyId"])


def test_re_encrypt_needs_both_keys(account, kms, key, assert_denied):
    other = kms.create_key()["KeyMetadata"]
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    call = {"CiphertextBlob": blob, "DestinationKeyId": other["KeyId"]}
    from_only = account.user(policy=[allow("kms:ReEncryptFrom", key["Arn"])]).client("kms")
    assert_denied(lambda: from_only.re_encrypt(**call), "kms:ReEncryptTo")
    to_only = account.user(policy=[allow("kms:ReEncryptTo", other["Arn"])]).client("kms")
    assert_denied(lambda: to_only.re_encrypt(**call), "kms:ReEncryptFrom")
    both = account.user(policy=[allow("kms:ReEncryptFrom", key["Arn"]), allow("kms:ReEncryptTo", other["Arn"])]).client("kms")
    both.re_encrypt(**call)
    same = allow("kms:ReEncrypt*", Condition={"Bool": {"kms:ReEncryptOnSameKey": "true"}})
    assert_denied(lambda: account.user(policy=same).client("kms").re_encrypt(**call), "kms:ReEncryptFrom")
    account.user(policy=same).client("kms").re_encrypt(CiphertextBlob=blob, DestinationKeyId=key["KeyId"])


@pytest.mark.parametrize(("parameters", "length"), [({"KeySpec": "AES_256"}, 32), ({"KeySpec": "AES_128"}, 16), ({"NumberOfBytes": 1024}, 1024)])
def test_data_keys(kms, key, parameters, length):
    made = kms.generate_data_key(KeyId=key["KeyId"], EncryptionContext={"a": "b"}, **parameters)
    assert len(made["Plaintext"]) == length and made["KeyMaterialId"] == key["CurrentKeyMaterialId"]
    assert kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext={"a": "b"})["Plaintext"] == made["Plaintext"]
    without = kms.generate_data_key_without_plaintext(KeyId=key["KeyId"], **parameters)
    assert "Plaintext" not in without
    assert len(kms.decrypt(CiphertextBlob=without["CiphertextBlob"])["Plaintext"]) == length


def test_data_keys_need_one_length(kms, key):
    for parameters in ({}, {"KeySpec": "AES_256", "NumberOfBytes": 32}):
        with raises("ValidationException", message="^Please specify either number of bytes or key spec.$"):
            kms.generate_data_key(KeyId=key["KeyId"], **parameters)
        with raises("ValidationException"):
            kms.generate_data_key_without_plaintext(KeyId=key["KeyId"], **parameters)


def test_generate_random(account, kms, assert_denied):
    assert len(kms.generate_random(NumberOfBytes=1024)["Plaintext"]) == 1024
    assert kms.generate_random(NumberOfBytes=32)["Plaintext"] != kms.generate_random(NumberOfBytes=32)["Plaintext"]
    with raises("ValidationException", message="^NumberOfBytes is required.$"):
        kms.generate_random()
    with raises("UnsupportedOperationException"):
        kms.generate_random(NumberOfBytes=1, CustomKeyStoreId="cks-1")
    assert_denied(lambda: account.user().client("kms").generate_random(NumberOfBytes=1), "kms:GenerateRandom")


def test_recipients_are_refused(kms, key):
    recipient = {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": b"x"}
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    for call in (
        lambda: kms.decrypt(CiphertextBlob=blob, Recipient=recipient),
        lambda: kms.generate_data_key(KeyId=key["KeyId"], KeySpec="AES_256", Recipient=recipient),
        lambda: kms.generate_random(NumberOfBytes=1, Recipient=recipient),
    ):
        with raises("UnsupportedOperationException"):
            call()


def test_macs(kms, key):
    made = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]
    assert made["MacAlgorithms"] == ["HMAC_SHA_256"] and "EncryptionAlgorithms" not in made
    call = {"KeyId": made["KeyId"], "MacAlgorithm": "HMAC_SHA_256"}
    mac = kms.generate_mac(Message=b"m", **call)["Mac"]
    assert len(mac) == 32 and mac == kms.generate_mac(Message=b"m", **call)["Mac"]
    assert mac != hmac.new(b"", b"m", hashlib.sha256).digest()
    assert kms.verify_mac(Message=b"m", Mac=mac, **call)["MacValid"] is True
    with raises("KMSInvalidMacException", message="^$"):
        kms.verify_mac(Message=b"n", Mac=mac, **call)
    with raises("InvalidKeyUsageException", message="^Algorithm HMAC_SHA_512 is incompatible with key spec HMAC_256.$"):
        kms.generate_mac(Message=b"m", KeyId=made["KeyId"], MacAlgorithm="HMAC_SHA_512")
    with raises("InvalidKeyUsageException", message="key usage is ENCRYPT_DECRYPT which is not valid for GenerateMac.$"):
        kms.generate_mac(Message=b"m", KeyId=key["KeyId"], MacAlgorithm="HMAC_SHA_256")
    with raises("InvalidKeyUsageException", message="key usage is GENERATE_VERIFY_MAC which is not valid for Encrypt.$"):
        kms.encrypt(KeyId=made["KeyId"], Plaintext=b"x")
    with raises("UnsupportedOperationException"):
        kms.enable_key_rotation(KeyId=made["KeyId"])


def test_dry_runs_change_nothing(account, kms, key, assert_denied):
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    grantee = root_arn(account)
    for call in (
        lambda: kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x", DryRun=True),
        lambda: kms.decrypt(CiphertextBlob=blob, DryRun=True),
        lambda: kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=key["KeyId"], DryRun=True),
        lambda: kms.generate_data_key(KeyId=key["KeyId"], KeySpec="AES_256", DryRun=True),
        lambda: kms.generate_data_key_without_plaintext(KeyId=key["KeyId"], KeySpec="AES_256", DryRun=True),
        lambda: kms.create_grant(KeyId=key["KeyId"], GranteePrincipal=grantee, Operations=["Decrypt"], DryRun=True),
    ):
        with raises("DryRunOperationException", message="The request would have succeeded, but the DryRun option is set."):
            call()
    assert kms.list_grants(KeyId=key["KeyId"])["Grants"] == []
    assert_denied(lambda: account.user().client("kms").encrypt(KeyId=key["KeyId"], Plaintext=b"x", DryRun=True), "kms:Encrypt")
    with raises("InvalidCiphertextException"):
        kms.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "b"}, DryRun=True)


# States


@pytest.mark.parametrize("operation", sorted(everything(None, None, None)))
def test_operations_on_a_disabled_key(kms, key, operation):
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    kms.disable_key(KeyId=key["KeyId"])
    assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["Enabled"] is False
    needs_enabled = {
        "Encrypt", "Decrypt", "ReEncrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "CreateGrant", "EnableKeyRotation",
        "DisableKeyRotation", "RotateKeyOnDemand",
    }
    call = everything(kms, key["KeyId"], blob)[operation]
    if operation in needs_enabled:
        with raises("DisabledException", status=400, message=f"^{key['Arn']} is disabled.$"):
            call()
    elif operation == "CancelKeyDeletion":
        with raises("KMSInvalidStateException", message=f"^{key['Arn']} is not pending deletion.$"):
            call()
    else:
        call()


@pytest.mark.parametrize("operation", sorted(everything(None, None, None)))
def test_operations_on_a_key_that_waits_for_its_deletion(kms, key, operation):
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    answer = kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    assert answer["KeyId"] == key["Arn"] and answer["KeyState"] == "PendingDeletion" and answer["PendingWindowInDays"] == 7
    works = {
        "DescribeKey", "GetKeyPolicy", "GetKeyRotationStatus", "ListAliases", "ListGrants", "ListKeyPolicies", "ListKeyRotations",
        "ListResourceTags", "CancelKeyDeletion",
    }
    call = everything(kms, key["KeyId"], blob)[operation]
    if operation in works:
        call()
    else:
        with raises("KMSInvalidStateException", status=400, message=f"^{key['Arn']} is pending deletion.$"):
            call()


def test_enable_key_brings_a_key_back(account, kms, key, assert_denied):
    kms.disable_key(KeyId=key["KeyId"])
    kms.enable_key(KeyId=key["KeyId"])
    kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    nobody = account.user().client("kms")
    assert_denied(lambda: nobody.enable_key(KeyId=key["KeyId"]), "kms:EnableKey", by="identity")
    assert_denied(lambda: nobody.disable_key(KeyId=key["KeyId"]), "kms:DisableKey", by="identity")


# Policies


def test_default_key_policy(account, kms, key):
    answer = kms.get_key_policy(KeyId=key["KeyId"], PolicyName="default")
    policy = json.loads(answer["Policy"])
    assert policy["Id"] == "key-default-1"
    assert policy["Statement"][0]["Principal"] == {"AWS": root_arn(account)}
    assert kms.list_key_policies(KeyId=key["KeyId"])["PolicyNames"] == ["default"]
    with raises("NotFoundException", message="^No such policy exists$"):
        kms.get_key_policy(KeyId=key["KeyId"], PolicyName="other")


def test_put_key_policy_names_who_may(account, kms, key, assert_denied):
    user = account.user()
    client = user.client("kms")
    assert_denied(lambda: client.encrypt(KeyId=key["KeyId"], Plaintext=b"x"), "kms:Encrypt")
    statement = {"Effect": "Allow", "Principal": {"AWS": user.user_arn()}, "Action": "kms:Encrypt", "Resource": "*"}
    kms.put_key_policy(KeyId=key["KeyId"], Policy=key_policy(account, statement))
    client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    kms.put_key_policy(KeyId=key["KeyId"], Policy=key_policy(account, {**statement, "Effect": "Deny"}))
    assert_denied(lambda: client.encrypt(KeyId=key["KeyId"], Plaintext=b"x"), "kms:Encrypt", by="resource", explicit=True)


def test_iam_policies_count_only_when_the_key_policy_delegates(account, kms, assert_denied):
    admin = account.user(policy=allow("kms:*"))
    only_admin = document({"Effect": "Allow", "Principal": {"AWS": admin.user_arn()}, "Action": "kms:*", "Resource": "*"})
    key_id = admin.client("kms").create_key(Policy=only_admin)["KeyMetadata"]["KeyId"]
    admin.client("kms").encrypt(KeyId=key_id, Plaintext=b"x")
    assert_denied(lambda: account.user(policy=allow("kms:*")).client("kms").encrypt(KeyId=key_id, Plaintext=b"x"), "kms:Encrypt", by="resource")
    assert_denied(lambda: kms.encrypt(KeyId=key_id, Plaintext=b"x"), "kms:Encrypt", by="resource")


def test_a_policy_that_locks_its_author_out_is_refused(account, kms, key):
    other = document({"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "kms:*", "Resource": "*"})
    message = "^The new key policy will not allow you to update the key policy in the future.$"
    with raises("MalformedPolicyDocumentException", status=400, message=message):
        kms.put_key_policy(KeyId=key["KeyId"], Policy=other)
    with raises("MalformedPolicyDocumentException", message=message):
        kms.create_key(Policy=other)
    kms.put_key_policy(KeyId=key["KeyId"], Policy=other, BypassPolicyLockoutSafetyCheck=True)
    with raises("AccessDeniedException"):
        kms.describe_key(KeyId=key["KeyId"])


def test_malformed_key_policies(kms, key):
    for policy in ("{", "[]", '{"Version":"2012-10-17","Statement":[]}'):
        with raises("MalformedPolicyDocumentException"):
            kms.put_key_policy(KeyId=key["KeyId"], Policy=policy)
    with raises("NotFoundException"):
        kms.put_key_policy(KeyId=key["KeyId"], PolicyName="other", Policy=kms.get_key_policy(KeyId=key["KeyId"])["Policy"])


def test_conditions_on_the_encryption_context(account, kms, key, assert_denied):
    condition = {"StringEquals": {"kms:EncryptionContext:tenant": "7"}, "ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["tenant"]}}
    client = account.user(policy=allow("kms:Encrypt", Condition=condition)).client("kms")
    client.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext={"tenant": "7"})
    for context in ({}, {"tenant": "8"}, {"tenant": "7", "more": "x"}):
        assert_denied(lambda: client.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext=context), "kms:Encrypt")


def test_conditions_on_key_and_request(account, kms, key, assert_denied):
    kms.create_alias(AliasName="alias/prod", TargetKeyId=key["KeyId"])
    kms.tag_resource(KeyId=key["KeyId"], Tags=[{"TagKey": "stage", "TagValue": "prod"}])
    for condition, works in [
        ({"StringEquals": {"aws:ResourceTag/stage": "prod"}}, True),
        ({"StringEquals": {"aws:ResourceTag/stage": "test"}}, False),
        ({"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/prod"}}, True),
        ({"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/test"}}, False),
        ({"StringEquals": {"kms:KeySpec": "SYMMETRIC_DEFAULT", "kms:KeyOrigin": "AWS_KMS", "kms:KeyUsage": "ENCRYPT_DECRYPT"}}, True),
        ({"StringEquals": {"kms:CallerAccount": account.id}}, True),
        ({"StringEquals": {"kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}}, True),
        ({"StringEquals": {"kms:RequestAlias": "alias/prod"}}, False),
        ({"StringLike": {"kms:ViaService": "*"}}, False),
    ]:
        client = account.user(policy=allow("kms:Encrypt", Condition=condition)).client("kms")
        call = lambda client=client: client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
        if works:
            call()
        else:
            assert_denied(call, "kms:Encrypt")
    by_alias = account.user(policy=allow("kms:Encrypt", Condition={"StringEquals": {"kms:RequestAlias": "alias/prod"}})).client("kms")
    by_alias.encrypt(KeyId="alias/prod", Plaintext=b"x")


# Aliases


def test_aliases(account, kms, key):
    kms.create_alias(AliasName="alias/a", TargetKeyId=key["KeyId"])
    arn = f"arn:aws:kms:{REGION}:{account.id}:alias/a"
    for name in ("alias/a", arn):
        assert kms.describe_key(KeyId=name)["KeyMetadata"]["KeyId"] == key["KeyId"]
        assert kms.encrypt(KeyId=name, Plaintext=b"x")["KeyId"] == key["Arn"]
    (entry,) = kms.list_aliases()["Aliases"]
    assert (entry["AliasName"], entry["AliasArn"], entry["TargetKeyId"]) == ("alias/a", arn, key["KeyId"])
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.update_alias(AliasName="alias/a", TargetKeyId=other)
    assert kms.describe_key(KeyId="alias/a")["KeyMetadata"]["KeyId"] == other
    assert kms.list_aliases(KeyId=key["KeyId"])["Aliases"] == []
    kms.delete_alias(AliasName="alias/a")
    with raises("NotFoundException"):
        kms.describe_key(KeyId="alias/a")


def test_alias_names_that_are_refused(account, kms, key):
    kms.create_alias(AliasName="alias/a", TargetKeyId=key["KeyId"])
    with raises("AlreadyExistsException", status=400, message=f"^An alias with the name arn:aws:kms:{REGION}:{account.id}:alias/a already exists$"):
        kms.create_alias(AliasName="alias/a", TargetKeyId=key["KeyId"])
    with raises("NotAuthorizedException"):
        kms.create_alias(AliasName="alias/aws/mine", TargetKeyId=key["KeyId"])
    with raises("ValidationException", message='Alias must start with the prefix "alias/"'):
        kms.create_alias(AliasName="a", TargetKeyId=key["KeyId"])
    with raises("InvalidAliasNameException"):
        kms.create_alias(AliasName="alias/a:b", TargetKeyId=key["KeyId"])
    with raises("ValidationException", message="Aliases must refer to keys"):
        kms.create_alias(AliasName="alias/b", TargetKeyId="alias/a")
    with raises("NotFoundException"):
        kms.create_alias(AliasName="alias/b", TargetKeyId=str(uuid.uuid4()))
    for call in (lambda: kms.update_alias(AliasName="alias/none", TargetKeyId=key["KeyId"]), lambda: kms.delete_alias(AliasName="alias/none")):
        with raises("NotFoundException", message="alias/none is not found"):
            call()


def test_alias_operations_need_the_alias_and_the_key(account, kms, key, assert_denied):
    alias = f"arn:aws:kms:{REGION}:{account.id}:alias/a"
    for resource in (alias, key["Arn"]):
        client = account.user(policy=allow("kms:*Alias", resource)).client("kms")
        assert_denied(lambda: client.create_alias(AliasName="alias/a", TargetKeyId=key["KeyId"]), "kms:CreateAlias")
    both = account.user(policy=allow("kms:*Alias", [alias, key["Arn"]])).client("kms")
    both.create_alias(AliasName="alias/a", TargetKeyId=key["KeyId"])
    other = kms.create_key()["KeyMetadata"]
    assert_denied(lambda: both.update_alias(AliasName="alias/a", TargetKeyId=other["KeyId"]), "kms:UpdateAlias")
    assert_denied(lambda: account.user(policy=allow("kms:*Alias", alias)).client("kms").delete_alias(AliasName="alias/a"), "kms:DeleteAlias")
    both.delete_alias(AliasName="alias/a")
    assert_denied(lambda: account.user().client("kms").list_aliases(), "kms:ListAliases")


def test_one_of_many_wins_an_alias(kms, key):
    def attempt(_):
        try:
            kms.create_alias(AliasName="alias/contested", TargetKeyId=key["KeyId"])
            return True
        except kms.exceptions.AlreadyExistsException:
            return False

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(attempt, range(8))) == [False] * 7 + [True]


# Grants


# Other accounts


def test_a_key_of_another_account_needs_both_sides(account, other_account, kms, key, assert_denied):
    guest = other_account.user(policy=allow("kms:*"))
    client = guest.client("kms")
    call = lambda: client.encrypt(KeyId=key["Arn"], Plaintext=b"x")
    assert_denied(call, "kms:Encrypt")
    share = {"Effect": "Allow", "Principal": {"AWS": root_arn(other_account)}, "Action": ["kms:Encrypt", "kms:Decrypt"], "Resource": "*"}
    kms.put_key_policy(KeyId=key["KeyId"], Policy=key_policy(account, share))
    blob = call()["CiphertextBlob"]
    assert client.decrypt(CiphertextBlob=blob)["KeyId"] == key["Arn"]
    assert_denied(lambda: other_account.user().client("kms").encrypt(KeyId=key["Arn"], Plaintext=b"x"), "kms:Encrypt")
    # Managing a key of another account is not possible, whatever its policy says.
    everything_shared = {**share, "Action": "kms:*"}
    kms.put_key_policy(KeyId=key["KeyId"], Policy=key_policy(account, everything_shared))
    with raises("AccessDeniedException"):
        client.disable_key(KeyId=key["Arn"])


def test_keys_of_other_accounts_are_not_told_from_missing_ones(account, other_account, kms, key):
    guest = other_account.user(policy=allow("kms:*"))
    client = guest.client("kms")
    missing = key["Arn"].replace(key["KeyId"], str(uuid.uuid4()))
    messages = set()
    for arn in (key["Arn"], missing):
        with pytest.raises(client.exceptions.ClientError) as refusal:
            client.describe_key(KeyId=arn)
        assert refusal.value.response["Error"]["Code"] == "AccessDeniedException"
        messages.add(refusal.value.response["Error"]["Message"].replace(arn, "ARN"))
    assert len(messages) == 1
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    unknown = blob[:2] + bytes(16) + blob[18:]
    answers = set()
    for ciphertext in (blob, unknown):
        with pytest.raises(client.exceptions.ClientError) as refusal:
            client.decrypt(CiphertextBlob=ciphertext)
        answers.add((refusal.value.response["Error"]["Code"], refusal.value.response["Error"]["Message"]))
    assert len(answers) == 1
    ((code, message),) = answers
    assert code == "AccessDeniedException" and "on the resource associated with this ciphertext" in message and account.id not in message


# Rotation


def test_rotation_on_demand_keeps_what_is_encrypted(account, kms, key, assert_denied):
    before = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"before")["CiphertextBlob"]
    assert kms.rotate_key_on_demand(KeyId=key["KeyId"])["KeyId"] == key["KeyId"]
    metadata = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
    assert metadata["CurrentKeyMaterialId"] != key["CurrentKeyMaterialId"]
    after = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"after")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=before)["KeyMaterialId"] == key["CurrentKeyMaterialId"]
    assert kms.decrypt(CiphertextBlob=after)["KeyMaterialId"] == metadata["CurrentKeyMaterialId"]
    (rotation,) = kms.list_key_rotations(KeyId=key["KeyId"])["Rotations"]
    assert rotation["RotationType"] == "ON_DEMAND" and rotation["KeyMaterialState"] == "CURRENT"
    everything_made = kms.list_key_rotations(KeyId=key["KeyId"], IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
    assert [entry["KeyMaterialState"] for entry in everything_made] == ["NON_CURRENT", "CURRENT"]
    assert_denied(lambda: account.user().client("kms").rotate_key_on_demand(KeyId=key["KeyId"]), "kms:RotateKeyOnDemand")


def test_rotations_on_demand_are_counted(kms, key):
    for _ in range(25):
        kms.rotate_key_on_demand(KeyId=key["KeyId"])
    with raises("LimitExceededException", message="on-demand rotations limit"):
        kms.rotate_key_on_demand(KeyId=key["KeyId"])
    assert len(kms.list_key_rotations(KeyId=key["KeyId"])["Rotations"]) == 25


def test_rotation_schedule(account, kms, key):
    status = kms.get_key_rotation_status(KeyId=key["KeyId"])
    assert status["KeyRotationEnabled"] is False and "NextRotationDate" not in status
    kms.enable_key_rotation(KeyId=key["KeyId"])
    status = kms.get_key_rotation_status(KeyId=key["KeyId"])
    assert status["KeyRotationEnabled"] is True and status["RotationPeriodInDays"] == 365
    kms.enable_key_rotation(KeyId=key["KeyId"], RotationPeriodInDays=90)
    assert kms.get_key_rotation_status(KeyId=key["KeyId"])["RotationPeriodInDays"] == 90
    unchecked = account.client("kms", config=Config(parameter_validation=False))
    with raises("ValidationException", message="greater than or equal to 90"):
        unchecked.enable_key_rotation(KeyId=key["KeyId"], RotationPeriodInDays=89)
    kms.disable_key_rotation(KeyId=key["KeyId"])
    assert kms.get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"] is False


def test_the_clock_rotates_a_key_in_use(clock):
    account = Account.create(clock, new_account_id())
    kms = account.client("kms")
    key = kms.create_key()["KeyMetadata"]
    kms.enable_key_rotation(KeyId=key["KeyId"], RotationPeriodInDays=90)
    before = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=before)["KeyMaterialId"] == key["CurrentKeyMaterialId"]
    clock.advance_clock(days=91)
    after = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"y")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=after)["KeyMaterialId"] != key["CurrentKeyMaterialId"]
    assert kms.decrypt(CiphertextBlob=before)["Plaintext"] == b"x"
    (rotation,) = kms.list_key_rotations(KeyId=key["KeyId"])["Rotations"]
    assert rotation["RotationType"] == "AUTOMATIC"
    clock.flush()
    (event,) = account.events(EventName="RotateKey")
    assert event["eventType"] == "AwsServiceEvent" and event["resources"][0]["ARN"] == key["Arn"]


# Deletion


def test_deletion_window(kms, key):
    for days in (6, 31):
        with raises("ValidationException"):
            kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=days)
    kms.schedule_key_deletion(KeyId=key["KeyId"])
    metadata = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
    assert metadata["KeyState"] == "PendingDeletion" and metadata["Enabled"] is False and "DeletionDate" in metadata
    assert kms.cancel_key_deletion(KeyId=key["KeyId"])["KeyId"] == key["Arn"]
    metadata = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
    assert metadata["KeyState"] == "Disabled" and "DeletionDate" not in metadata


def test_conditions_on_the_deletion_window(account, kms, key, assert_denied):
    condition = {"NumericGreaterThanEquals": {"kms:ScheduleKeyDeletionPendingWindowInDays": "30"}}
    client = account.user(policy=allow("kms:ScheduleKeyDeletion", Condition=condition)).client("kms")
    assert_denied(lambda: client.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7), "kms:ScheduleKeyDeletion")
    client.schedule_key_deletion(KeyId=key["KeyId"])


def test_a_deleted_key_is_gone(clock):
    account = Account.create(clock, new_account_id())
    kms = account.client("kms")
    key = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName="alias/a", TargetKeyId=key["KeyId"])
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    clock.advance_clock(days=6)
    kms.describe_key(KeyId=key["KeyId"])
    clock.advance_clock(days=2)
    assert kms.list_keys()["Keys"] == []
    with raises("NotFoundException", message=f"^Key '{key['Arn']}' does not exist$"):
        kms.cancel_key_deletion(KeyId=key["KeyId"])
    with raises("NotFoundException"):
        kms.describe_key(KeyId="alias/a")
    with raises("AccessDeniedException", message="on the resource associated with this ciphertext"):
        kms.decrypt(CiphertextBlob=blob)
    assert kms.list_aliases()["Aliases"] == []
    clock.flush()
    (event,) = account.events(EventName="DeleteKey")
    assert event["eventType"] == "AwsServiceEvent" and event["resources"][0]["ARN"] == key["Arn"]


# Keys that AWS manages


def test_the_managed_key_of_s3_serves_only_through_s3(account, kms, assert_denied):
    metadata = kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    assert metadata["KeyManager"] == "AWS"
    assert kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"] == metadata
    assert kms.get_key_rotation_status(KeyId=metadata["KeyId"])["KeyRotationEnabled"] is True
    assert_denied(lambda: kms.encrypt(KeyId="alias/aws/s3", Plaintext=b"x"), "kms:Encrypt", by="resource")
    for call, action in (
        (lambda: kms.put_key_policy(KeyId=metadata["KeyId"], Policy=key_policy(account)), "kms:PutKeyPolicy"),
        (lambda: kms.disable_key(KeyId=metadata["KeyId"]), "kms:DisableKey"),
        (lambda: kms.schedule_key_deletion(KeyId=metadata["KeyId"]), "kms:ScheduleKeyDeletion"),
        (lambda: kms.disable_key_rotation(KeyId=metadata["KeyId"]), "kms:DisableKeyRotation"),
        (lambda: kms.tag_resource(KeyId=metadata["KeyId"], Tags=[{"TagKey": "a", "TagValue": "b"}]), "kms:TagResource"),
    ):
        assert_denied(call, action, by="resource")
    with raises("NotFoundException"):
        kms.describe_key(KeyId="alias/aws/nothing")


# Tags


def test_tags(kms, key):
    kms.tag_resource(KeyId=key["KeyId"], Tags=[{"TagKey": "b", "TagValue": "1"}, {"TagKey": "a", "TagValue": "2"}])
    kms.tag_resource(KeyId=key["KeyId"], Tags=[{"TagKey": "b", "TagValue": "3"}])
    assert kms.list_resource_tags(KeyId=key["KeyId"])["Tags"] == [{"TagKey": "a", "TagValue": "2"}, {"TagKey": "b", "TagValue": "3"}]
    kms.untag_resource(KeyId=key["KeyId"], TagKeys=["a", "none"])
    assert kms.list_resource_tags(KeyId=key["KeyId"])["Tags"] == [{"TagKey": "b", "TagValue": "3"}]
    with raises("TagException", status=400, message="^Duplicate tag keys$"):
        kms.tag_resource(KeyId=key["KeyId"], Tags=[{"TagKey": "a", "TagValue": "1"}] * 2)
    with raises("TagException", message="^Tags beginning with aws: are reserved$"):
        kms.tag_resource(KeyId=key["KeyId"], Tags=[{"TagKey": "aws:a", "TagValue": "1"}])
    with raises("TagException", message="^Too many tags$"):
        kms.tag_resource(KeyId=key["KeyId"], Tags=[{"TagKey": str(number), "TagValue": "1"} for number in range(50)])


# Audit


def test_events_name_the_key_and_hide_what_is_secret(account, bailiwick, kms):
    canary = f"canary-{uuid.uuid4()}"
    key = kms.create_key()["KeyMetadata"]
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=canary.encode(), EncryptionContext={"app": "chat"})["CiphertextBlob"]
    kms.decrypt(CiphertextBlob=blob, EncryptionContext={"app": "chat"})
    bailiwick.flush()
    for name in ("CreateKey", "Encrypt", "Decrypt"):
        (event,) = account.events(EventName=name)
        assert event["eventSource"] == "kms.amazonaws.com"
        assert event["resources"] == [{"accountId": account.id, "type": "AWS::KMS::Key", "ARN": key["Arn"]}]
        text = json.dumps(event)
        assert canary not in text and "ciphertextBlob" not in text and "plaintext" not in text.lower().replace("withoutplaintext", "")
    (event,) = account.events(EventName="Encrypt")
    assert event["requestParameters"]["encryptionContext"] == {"app": "chat"} and event["readOnly"] is True
    assert event["responseElements"] is None
    grant = kms.create_grant(KeyId=key["KeyId"], GranteePrincipal=root_arn(account), Operations=["Decrypt"])
    kms.retire_grant(GrantToken=grant["GrantToken"])
    bailiwick.flush()
    (event,) = account.events(EventName="CreateGrant")
    assert event["responseElements"] == {"grantId": grant["GrantId"], "keyId": key["Arn"]}
    for event in account.events():
        assert grant["GrantToken"] not in json.dumps(event)
