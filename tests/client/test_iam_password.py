"""Login profiles and the account's password policy."""

import json

from bailiwick_server import Account, allow, raises
from iam_scenario import iam, name  # noqa: F401

GOOD, OTHER = "Correct-Horse-1", "Battery-Staple-2"


def test_the_life_of_a_login_profile(account, iam):  # noqa: F811
    user = name("user")
    iam.create_user(UserName=user)
    with raises("NoSuchEntity", 404, f"Login Profile for User {user} cannot be found."):
        iam.get_login_profile(UserName=user)
    made = iam.create_login_profile(UserName=user, Password=GOOD, PasswordResetRequired=True)["LoginProfile"]
    assert made["UserName"] == user and made["PasswordResetRequired"] is True
    with raises("EntityAlreadyExists", 409):
        iam.create_login_profile(UserName=user, Password=GOOD)
    iam.update_login_profile(UserName=user, PasswordResetRequired=False)
    assert iam.get_login_profile(UserName=user)["LoginProfile"]["PasswordResetRequired"] is False
    with raises("DeleteConflict", 409, "login profile"):
        iam.delete_user(UserName=user)
    account.server.flush()
    assert GOOD not in json.dumps(account.events())
    iam.delete_login_profile(UserName=user)
    with raises("NoSuchEntity", 404):
        iam.delete_login_profile(UserName=user)
    iam.delete_user(UserName=user)


def test_the_default_policy_holds(account, iam):  # noqa: F811
    user = account.user()
    for weak in ("aB1!", "abcdefghij", "abcdefgh1"):
        with raises("PasswordPolicyViolation", 400):
            iam.create_login_profile(UserName=user.user_name, Password=weak)
    with raises("NoSuchEntity", 404, "Password Policy"):
        iam.get_account_password_policy()


def test_the_policy_of_the_account_is_enforced(account, iam):  # noqa: F811
    iam.update_account_password_policy(
        MinimumPasswordLength=12, RequireSymbols=True, RequireNumbers=True, RequireUppercaseCharacters=True, MaxPasswordAge=90
    )
    policy = iam.get_account_password_policy()["PasswordPolicy"]
    assert policy == {
        "MinimumPasswordLength": 12, "RequireSymbols": True, "RequireNumbers": True, "RequireUppercaseCharacters": True,
        "RequireLowercaseCharacters": False, "AllowUsersToChangePassword": False, "ExpirePasswords": True, "MaxPasswordAge": 90,
        "HardExpiry": False,
    }
    user = account.user()
    for weak, text in [("Short-1", "minimum length of 12"), ("No-Number-Here", "one number"), ("no-upper-case-1", "uppercase")]:
        with raises("PasswordPolicyViolation", 400, text):
            iam.create_login_profile(UserName=user.user_name, Password=weak)
    iam.create_login_profile(UserName=user.user_name, Password=GOOD)
    with raises("PasswordPolicyViolation", 400):
        iam.update_login_profile(UserName=user.user_name, Password="short")
    iam.delete_account_password_policy()
    with raises("NoSuchEntity", 404):
        iam.delete_account_password_policy()


def test_users_change_their_own_passwords(account, iam, assert_denied):  # noqa: F811
    user = account.user()
    iam.create_login_profile(UserName=user.user_name, Password=GOOD)
    change = lambda old, new: user.client("iam").change_password(OldPassword=old, NewPassword=new)  # noqa: E731
    assert_denied(lambda: change(GOOD, OTHER), "iam:ChangePassword", by="identity")
    # The account's policy gives every user the permission.
    iam.update_account_password_policy(AllowUsersToChangePassword=True, PasswordReusePrevention=2)
    with raises("AccessDenied", 403, "old password"):
        change("wrong", OTHER)
    change(GOOD, OTHER)
    for used in (OTHER, GOOD):
        with raises("PasswordPolicyViolation", 400, "reuse prevention"):
            change(OTHER, used)
    change(OTHER, "Third-Password-3")
    change("Third-Password-3", GOOD)
    user.client("iam").get_account_password_policy()
    with raises("InvalidUserType", 400):
        iam.change_password(OldPassword=GOOD, NewPassword=OTHER)


def test_a_hard_expiry_needs_an_administrator(start_server):
    server = start_server("--ephemeral", "--manual-clock")
    account = Account.home(server)
    iam = account.client("iam")  # noqa: F811
    iam.update_account_password_policy(AllowUsersToChangePassword=True, MaxPasswordAge=1, HardExpiry=True)
    user = account.user()
    iam.create_login_profile(UserName=user.user_name, Password=GOOD)
    server.advance_clock(days=2)
    with raises("AccessDenied", 403, "expired"):
        user.client("iam").change_password(OldPassword=GOOD, NewPassword=OTHER)
    iam.update_login_profile(UserName=user.user_name, Password=OTHER)
    user.client("iam").change_password(OldPassword=OTHER, NewPassword=GOOD)


def test_passwords_need_permissions(account, assert_denied):
    nobody = account.user().client("iam")
    target = account.user().user_name
    calls = {
        "iam:CreateLoginProfile": lambda: nobody.create_login_profile(UserName=target, Password=GOOD),
        "iam:GetLoginProfile": lambda: nobody.get_login_profile(UserName=target),
        "iam:UpdateAccountPasswordPolicy": lambda: nobody.update_account_password_policy(),
        "iam:GetAccountPasswordPolicy": nobody.get_account_password_policy,
        "iam:DeleteAccountPasswordPolicy": nobody.delete_account_password_policy,
    }
    for action, call in calls.items():
        assert_denied(call, action, by="identity")
    own = account.user(policy=allow("iam:GetLoginProfile", f"arn:aws:iam::{account.id}:user/${{aws:username}}"))
    with raises("NoSuchEntity", 404):
        own.client("iam").get_login_profile()
