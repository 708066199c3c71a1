"""MFA devices: made, enabled, resynchronised, and proved when credentials are asked for."""

import base64
import hashlib
import hmac
import json
import struct

import pytest

from bailiwick_server import Credentials, allow, deny, raises
from iam_scenario import iam, name  # noqa: F401


def code(seed, server, steps=0):
    """The code of a device `steps` steps from now. RFC 6238."""
    key = base64.b32decode(seed)
    step = int(server.now().timestamp()) // 30 + steps
    digest = hmac.new(key, struct.pack(">q", step), hashlib.sha1).digest()
    offset = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[offset:offset + 4])[0] & 0x7FFFFFFF) % 10**6:06d}"


class Device:
    def __init__(self, account, user_name):
        self.account, self.user_name, self.server = account, user_name, account.server
        self.iam = account.client("iam")
        made = self.iam.create_virtual_mfa_device(VirtualMFADeviceName=name("mfa"))["VirtualMFADevice"]
        self.serial, self.seed = made["SerialNumber"], made["Base32StringSeed"].decode()
        self.picture = made["QRCodePNG"]

    def enable(self):
        self.iam.enable_mfa_device(
            UserName=self.user_name, SerialNumber=self.serial,
            AuthenticationCode1=code(self.seed, self.server, -1), AuthenticationCode2=code(self.seed, self.server),
        )
        return self

    def next_code(self):
        self.server.advance_clock(seconds=30)
        return code(self.seed, self.server)

    def proof(self):
        return {"SerialNumber": self.serial, "TokenCode": self.next_code()}


def session_of(account, keys):
    return account.server.session(Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"]))


def test_the_life_of_a_device(account, iam):  # noqa: F811
    user = account.user()
    device = Device(account, user.user_name)
    assert device.serial.startswith(f"arn:aws:iam::{account.id}:mfa/mfa-") and len(device.seed) == 64
    assert device.picture.startswith(b"\x89PNG\r\n\x1a\n")
    with raises("EntityAlreadyExists", 409):
        iam.create_virtual_mfa_device(VirtualMFADeviceName=device.serial.rsplit("/", 1)[1])
    assert [d["SerialNumber"] for d in iam.list_virtual_mfa_devices(AssignmentStatus="Unassigned")["VirtualMFADevices"]] == [device.serial]
    assert iam.list_mfa_devices(UserName=user.user_name)["MFADevices"] == []
    device.enable()
    with raises("EntityAlreadyExists", 409):
        device.enable()
    listed = iam.list_mfa_devices(UserName=user.user_name)["MFADevices"]
    assert [(d["UserName"], d["SerialNumber"]) for d in listed] == [(user.user_name, device.serial)]
    assigned = iam.list_virtual_mfa_devices(AssignmentStatus="Assigned")["VirtualMFADevices"]
    assert assigned[0]["User"]["UserName"] == user.user_name and "Base32StringSeed" not in assigned[0]
    with raises("DeleteConflict", 409):
        iam.delete_virtual_mfa_device(SerialNumber=device.serial)
    with raises("DeleteConflict", 409):
        iam.delete_access_key(UserName=user.user_name, AccessKeyId=user.credentials.access_key_id)
        iam.delete_user(UserName=user.user_name)
    iam.deactivate_mfa_device(UserName=user.user_name, SerialNumber=device.serial)
    iam.delete_virtual_mfa_device(SerialNumber=device.serial)
    with raises("NoSuchEntity", 404):
        iam.delete_virtual_mfa_device(SerialNumber=device.serial)
    iam.delete_user(UserName=user.user_name)


def test_tags_of_a_device(account, iam, assert_denied):  # noqa: F811
    device = Device(account, "nobody")
    iam.tag_mfa_device(SerialNumber=device.serial, Tags=[{"Key": "team", "Value": "a"}])
    assert iam.list_mfa_device_tags(SerialNumber=device.serial)["Tags"] == [{"Key": "team", "Value": "a"}]
    only = allow("iam:DeleteVirtualMFADevice", Condition={"StringEquals": {"aws:ResourceTag/team": "b"}})
    other = account.user(policy=only).client("iam")
    assert_denied(lambda: other.delete_virtual_mfa_device(SerialNumber=device.serial), "iam:DeleteVirtualMFADevice", by="identity")
    iam.untag_mfa_device(SerialNumber=device.serial, TagKeys=["team"])
    assert iam.list_mfa_device_tags(SerialNumber=device.serial)["Tags"] == []


def test_wrong_codes_enable_nothing(account, iam):  # noqa: F811
    user = account.user()
    device = Device(account, user.user_name)
    now, before = code(device.seed, account.server), code(device.seed, account.server, -1)
    enable = lambda first, second: iam.enable_mfa_device(  # noqa: E731
        UserName=user.user_name, SerialNumber=device.serial, AuthenticationCode1=first, AuthenticationCode2=second
    )
    for first, second in [(now, before), (now, now), ("000000", "000000")]:
        with raises("InvalidAuthenticationCode", 403, "not valid"):
            enable(first, second)
    with raises("NoSuchEntity", 404):
        iam.enable_mfa_device(
            UserName=user.user_name, SerialNumber=device.serial + "x", AuthenticationCode1=before, AuthenticationCode2=now
        )
    enable(before, now)
    ahead = code(device.seed, account.server, 6), code(device.seed, account.server, 7)
    iam.resync_mfa_device(
        UserName=user.user_name, SerialNumber=device.serial, AuthenticationCode1=ahead[0], AuthenticationCode2=ahead[1]
    )
    # The device's clock is seven steps ahead from here on.
    late = {"SerialNumber": device.serial, "TokenCode": code(device.seed, account.server, 0)}
    with raises("AccessDenied", 403, "invalid MFA one time pass code"):
        user.client("sts").get_session_token(**late)
    user.client("sts").get_session_token(SerialNumber=device.serial, TokenCode=code(device.seed, account.server, 8))


def test_a_session_token_carries_the_proof(account, assert_denied):
    proved = {"Bool": {"aws:MultiFactorAuthPresent": "true"}, "NumericLessThan": {"aws:MultiFactorAuthAge": "600"}}
    user = account.user(policy=allow("iam:ListUsers", Condition=proved))
    device = Device(account, user.user_name).enable()
    assert_denied(user.client("iam").list_users, "iam:ListUsers", by="identity")
    session = session_of(account, user.client("sts").get_session_token(**device.proof())["Credentials"])
    session.client("iam").list_users()
    without = session_of(account, user.client("sts").get_session_token()["Credentials"])
    with raises("AccessDenied", 403):
        without.client("iam").list_users()
    account.server.advance_clock(minutes=11)
    assert_denied(session.client("iam").list_users, "iam:ListUsers", by="identity")


def test_a_code_is_good_once_and_for_its_owner(account):
    user, other = account.user(), account.user()
    device = Device(account, user.user_name).enable()
    proof = device.proof()
    with raises("AccessDenied", 403, "unable to validate MFA code"):
        other.client("sts").get_session_token(**proof)
    with raises("AccessDenied", 403, "invalid MFA one time pass code"):
        user.client("sts").get_session_token(SerialNumber=device.serial, TokenCode="000000")
    user.client("sts").get_session_token(**proof)
    with raises("AccessDenied", 403, "invalid MFA one time pass code"):
        user.client("sts").get_session_token(**proof)
    with raises("AccessDenied", 403, "unable to validate MFA code"):
        user.client("sts").get_session_token(SerialNumber=device.serial)


def test_a_role_may_ask_for_the_proof(account, assert_denied):
    user = account.user(policy=allow("sts:AssumeRole"))
    device = Device(account, user.user_name).enable()
    condition = {"Bool": {"aws:MultiFactorAuthPresent": "true"}}
    trust = {
        "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account.id}:root"}, "Action": "sts:AssumeRole", "Condition": condition
    }
    role = account.role(trust=trust, policy=allow("iam:ListUsers", Condition=condition))
    assume = lambda **proof: user.client("sts").assume_role(RoleArn=role, RoleSessionName="run", **proof)  # noqa: E731
    assert_denied(assume, "sts:AssumeRole", by="role trust policy")
    with raises("AccessDenied", 403, "invalid MFA one time pass code"):
        assume(SerialNumber=device.serial, TokenCode="123456")
    session = session_of(account, assume(**device.proof())["Credentials"])
    session.client("iam").list_users()


def test_the_root_user_has_a_device(account, iam):  # noqa: F811
    device = Device(account, "root").enable()
    assert iam.get_account_summary()["SummaryMap"]["AccountMFAEnabled"] == 1
    keys = account.client("sts").get_session_token(**device.proof())["Credentials"]
    assert session_of(account, keys).client("sts").get_caller_identity()["Arn"].endswith(":root")
    iam.generate_credential_report()
    report = iam.get_credential_report()["Content"].decode().splitlines()
    root = dict(zip(report[0].split(","), report[1].split(",")))
    assert root["mfa_active"] == "true"


def test_devices_need_permissions(account, assert_denied):
    nobody = account.user().client("iam")
    serial = f"arn:aws:iam::{account.id}:mfa/x"
    calls = {
        "iam:CreateVirtualMFADevice": lambda: nobody.create_virtual_mfa_device(VirtualMFADeviceName="x"),
        "iam:EnableMFADevice": lambda: nobody.enable_mfa_device(
            UserName="x", SerialNumber=serial, AuthenticationCode1="000000", AuthenticationCode2="000000"
        ),
        "iam:DeactivateMFADevice": lambda: nobody.deactivate_mfa_device(UserName="x", SerialNumber=serial),
        "iam:ListVirtualMFADevices": nobody.list_virtual_mfa_devices,
    }
    for action, call in calls.items():
        assert_denied(call, action, by="identity")


def test_the_seed_is_in_no_event(account, iam):  # noqa: F811
    device = Device(account, "nobody")
    account.server.flush()
    assert device.seed not in json.dumps(account.events())
