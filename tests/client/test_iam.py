"""IAM: every operation with what it does and what it refuses, and what follows from it for other calls."""

import base64
import concurrent.futures
import csv
import io
import json

import botocore.exceptions
import pytest

from bailiwick_server import Credentials, allow, deny, document, raises, request_id
from iam_scenario import READ, TRUST_EC2, UNCHECKED, iam, name, trust  # noqa: F401 (fixture)

# Users


def test_a_user_is_made_read_listed_renamed_and_deleted(account, iam):
    made = iam.create_user(UserName="ana", Path="/team/", Tags=[{"Key": "Cost", "Value": "1"}])["User"]
    assert made["Arn"] == f"arn:aws:iam::{account.id}:user/team/ana"
    assert made["UserId"].startswith("AIDA") and len(made["UserId"]) == 21
    assert made["Tags"] == [{"Key": "Cost", "Value": "1"}]
    assert iam.get_user(UserName="ana")["User"] == made

    iam.create_user(UserName="bob")
    assert [user["UserName"] for user in iam.list_users()["Users"]] == ["ana", "bob"]
    assert [user["UserName"] for user in iam.list_users(PathPrefix="/team/")["Users"]] == ["ana"]

    iam.update_user(UserName="ana", NewUserName="eva", NewPath="/")
    renamed = iam.get_user(UserName="eva")["User"]
    assert renamed["Arn"] == f"arn:aws:iam::{account.id}:user/eva"
    assert renamed["UserId"] == made["UserId"]
    with raises("NoSuchEntity", 404, "^The user with name ana cannot be found.$"):
        iam.get_user(UserName="ana")

    iam.delete_user(UserName="eva")
    with raises("NoSuchEntity", 404):
        iam.delete_user(UserName="eva")


def test_user_names_are_unique_without_case(iam):
    iam.create_user(UserName="Ana")
    with raises("EntityAlreadyExists", 409, "^User with name ANA already exists.$"):
        iam.create_user(UserName="ANA")
    iam.create_user(UserName="bob")
    with raises("EntityAlreadyExists", 409):
        iam.update_user(UserName="bob", NewUserName="ana")
    iam.update_user(UserName="Ana", NewUserName="ANA")
    assert iam.get_user(UserName="ANA")["User"]["UserName"] == "ANA"


@pytest.mark.parametrize("bad", ["", "a b", "a/b", "x" * 65])
def test_bad_user_names_are_refused(account, bad):
    iam = account.client("iam", config=UNCHECKED)
    with raises("ValidationError", 400):
        iam.create_user(UserName=bad)
    assert iam.list_users()["Users"] == []


def test_without_a_name_the_caller_is_meant(account, iam):
    root = iam.get_user()["User"]
    assert root["Arn"] == f"arn:aws:iam::{account.id}:root"
    assert root["UserId"] == account.id

    user = account.user(policy=allow(["iam:GetUser", "iam:*AccessKey*"], f"arn:aws:iam::{account.id}:user/${{aws:username}}"))
    own = user.client("iam")
    assert own.get_user()["User"]["UserName"] == user.user_name
    assert [key["AccessKeyId"] for key in own.list_access_keys()["AccessKeyMetadata"]] == [user.credentials.access_key_id]

    session = account.assume(account.role(policy=allow("iam:*")))
    with raises("ValidationError", 400, "Must specify userName when calling with non-User credentials"):
        session.client("iam").get_user()


def test_a_user_is_deleted_only_when_nothing_is_attached(account, iam):
    iam.create_user(UserName="ana")
    iam.create_group(GroupName="team")
    policy = iam.create_policy(PolicyName="p", PolicyDocument=READ)["Policy"]["Arn"]

    key = iam.create_access_key(UserName="ana")["AccessKey"]["AccessKeyId"]
    with raises("DeleteConflict", 409, "^Cannot delete entity, must delete access keys first.$"):
        iam.delete_user(UserName="ana")
    iam.delete_access_key(UserName="ana", AccessKeyId=key)

    iam.attach_user_policy(UserName="ana", PolicyArn=policy)
    with raises("DeleteConflict", 409, "^Cannot delete entity, must detach all policies first.$"):
        iam.delete_user(UserName="ana")
    iam.detach_user_policy(UserName="ana", PolicyArn=policy)

    iam.put_user_policy(UserName="ana", PolicyName="i", PolicyDocument=READ)
    with raises("DeleteConflict", 409, "^Cannot delete entity, must delete policies first.$"):
        iam.delete_user(UserName="ana")
    iam.delete_user_policy(UserName="ana", PolicyName="i")

    iam.add_user_to_group(UserName="ana", GroupName="team")
    with raises("DeleteConflict", 409):
        iam.delete_user(UserName="ana")
    iam.remove_user_from_group(UserName="ana", GroupName="team")
    iam.put_user_permissions_boundary(UserName="ana", PermissionsBoundary=policy)
    iam.delete_user(UserName="ana")
    assert iam.get_policy(PolicyArn=policy)["Policy"]["PermissionsBoundaryUsageCount"] == 0


def test_lists_page_and_markers_are_bound_to_their_list(iam):
    for number in range(5):
        iam.create_user(UserName=f"user-{number}")
    first = iam.list_users(MaxItems=2)
    assert [user["UserName"] for user in first["Users"]] == ["user-0", "user-1"]
    assert first["IsTruncated"] is True
    rest = iam.get_paginator("list_users").paginate(PaginationConfig={"PageSize": 2}).build_full_result()["Users"]
    assert [user["UserName"] for user in rest] == [f"user-{number}" for number in range(5)]
    with raises("ValidationError", 400):
        iam.list_users(Marker="AAAA")
    with raises("ValidationError", 400):
        iam.list_roles(Marker=first["Marker"])


def test_one_name_is_given_once_however_many_ask(account):
    def attempt(_):
        try:
            account.client("iam").create_user(UserName="only")
        except botocore.exceptions.ClientError as error:
            return error.response["Error"]["Code"]
        return "made"

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        outcomes = sorted(pool.map(attempt, range(8)))
    assert outcomes == ["EntityAlreadyExists"] * 7 + ["made"]


def test_nobody_does_anything_without_a_policy(account, iam, assert_denied):
    stranger = account.user().client("iam")
    iam.create_user(UserName="ana", Path="/team/")
    calls = {
        "iam:CreateUser": lambda: stranger.create_user(UserName="x"),
        "iam:GetUser": lambda: stranger.get_user(UserName="ana"),
        "iam:ListUsers": stranger.list_users,
        "iam:DeleteUser": lambda: stranger.delete_user(UserName="ana"),
        "iam:CreateAccessKey": lambda: stranger.create_access_key(UserName="ana"),
        "iam:CreateRole": lambda: stranger.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST_EC2),
        "iam:CreatePolicy": lambda: stranger.create_policy(PolicyName="p", PolicyDocument=READ),
        "iam:PutUserPolicy": lambda: stranger.put_user_policy(UserName="ana", PolicyName="p", PolicyDocument=READ),
        "iam:GetAccountAuthorizationDetails": stranger.get_account_authorization_details,
        "iam:GenerateCredentialReport": stranger.generate_credential_report,
    }
    for action, call in calls.items():
        message = assert_denied(call, action, by="identity", explicit=False)
        if "DeleteUser" in action:
            assert f"arn:aws:iam::{account.id}:user/team/ana" in message
    assert [user["UserName"] for user in iam.list_users(PathPrefix="/team/")["Users"]] == ["ana"]


def test_a_rename_needs_the_permission_on_both_names(account, iam, assert_denied):
    iam.create_user(UserName="a-one")
    mover = account.user(policy=allow("iam:UpdateUser", f"arn:aws:iam::{account.id}:user/a-*")).client("iam")
    mover.update_user(UserName="a-one", NewUserName="a-two")
    assert_denied(lambda: mover.update_user(UserName="a-two", NewUserName="b-two"), "iam:UpdateUser", by="identity")


# Tags


def test_tags_of_users_compare_without_case(iam):
    iam.create_user(UserName="ana", Tags=[{"Key": "Team", "Value": "a"}])
    iam.tag_user(UserName="ana", Tags=[{"Key": "TEAM", "Value": "b"}, {"Key": "x", "Value": ""}])
    assert iam.list_user_tags(UserName="ana")["Tags"] == [{"Key": "TEAM", "Value": "b"}, {"Key": "x", "Value": ""}]
    iam.untag_user(UserName="ana", TagKeys=["team"])
    assert iam.list_user_tags(UserName="ana")["Tags"] == [{"Key": "x", "Value": ""}]
    with raises("InvalidInput", 400, "Duplicate tag keys"):
        iam.tag_user(UserName="ana", Tags=[{"Key": "k", "Value": ""}, {"Key": "K", "Value": ""}])
    with raises("InvalidInput", 400):
        iam.tag_user(UserName="ana", Tags=[{"Key": "aws:x", "Value": ""}])
    with raises("NoSuchEntity", 404):
        iam.tag_user(UserName="nobody", Tags=[{"Key": "k", "Value": ""}])


def test_a_resource_has_at_most_fifty_tags(iam):
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST_EC2)
    iam.tag_role(RoleName="r", Tags=[{"Key": f"k{number}", "Value": ""} for number in range(49)])
    with raises("LimitExceeded", 409):
        iam.tag_role(RoleName="r", Tags=[{"Key": "a", "Value": ""}, {"Key": "b", "Value": ""}])
    assert len(iam.list_role_tags(RoleName="r", MaxItems=100)["Tags"]) == 49
    iam.untag_role(RoleName="r", TagKeys=["k0"])
    assert len(iam.list_role_tags(RoleName="r", MaxItems=100)["Tags"]) == 48


def test_tags_decide(account, iam, assert_denied):
    for user, team in (("a", "red"), ("b", "blue")):
        iam.create_user(UserName=user, Tags=[{"Key": "team", "Value": team}])
    admin = account.user(
        policy=[
            allow("iam:GetUser", Condition={"StringEquals": {"iam:ResourceTag/team": "red"}}),
            allow("iam:CreateUser", Condition={"StringEquals": {"aws:RequestTag/team": "red"}}),
        ]
    ).client("iam")
    assert admin.get_user(UserName="a")["User"]["UserName"] == "a"
    assert_denied(lambda: admin.get_user(UserName="b"), "iam:GetUser", by="identity")
    admin.create_user(UserName="c", Tags=[{"Key": "team", "Value": "red"}])
    assert_denied(lambda: admin.create_user(UserName="d", Tags=[{"Key": "team", "Value": "blue"}]), "iam:CreateUser")
    assert_denied(lambda: admin.create_user(UserName="d"), "iam:CreateUser")


def test_tags_of_policies_and_instance_profiles(iam):
    arn = iam.create_policy(PolicyName="p", PolicyDocument=READ, Tags=[{"Key": "a", "Value": "1"}])["Policy"]["Arn"]
    iam.tag_policy(PolicyArn=arn, Tags=[{"Key": "b", "Value": "2"}])
    iam.untag_policy(PolicyArn=arn, TagKeys=["a"])
    assert iam.list_policy_tags(PolicyArn=arn)["Tags"] == [{"Key": "b", "Value": "2"}]
    with raises("NoSuchEntity", 404):
        iam.tag_policy(PolicyArn=arn + "x", Tags=[{"Key": "b", "Value": "2"}])

    iam.create_instance_profile(InstanceProfileName="i", Tags=[{"Key": "a", "Value": "1"}])
    iam.tag_instance_profile(InstanceProfileName="i", Tags=[{"Key": "b", "Value": "2"}])
    iam.untag_instance_profile(InstanceProfileName="i", TagKeys=["a"])
    assert iam.list_instance_profile_tags(InstanceProfileName="i")["Tags"] == [{"Key": "b", "Value": "2"}]


# Groups


def test_groups_and_their_members(account, iam):
    group = iam.create_group(GroupName="team", Path="/x/")["Group"]
    assert group["Arn"] == f"arn:aws:iam::{account.id}:group/x/team" and group["GroupId"].startswith("AGPA")
    with raises("EntityAlreadyExists", 409, "^Group with name TEAM already exists.$"):
        iam.create_group(GroupName="TEAM")
    iam.create_user(UserName="ana")
    iam.add_user_to_group(GroupName="team", UserName="ana")
    iam.add_user_to_group(GroupName="team", UserName="ana")
    assert [user["UserName"] for user in iam.get_group(GroupName="team")["Users"]] == ["ana"]
    assert [found["GroupName"] for found in iam.list_groups_for_user(UserName="ana")["Groups"]] == ["team"]
    with raises("DeleteConflict", 409, "remove users from group first"):
        iam.delete_group(GroupName="team")

    iam.update_group(GroupName="team", NewGroupName="crew", NewPath="/")
    assert [user["UserName"] for user in iam.get_group(GroupName="crew")["Users"]] == ["ana"]
    assert [found["GroupName"] for found in iam.list_groups()["Groups"]] == ["crew"]
    iam.update_user(UserName="ana", NewUserName="eva")
    assert [user["UserName"] for user in iam.get_group(GroupName="crew")["Users"]] == ["eva"]

    iam.remove_user_from_group(GroupName="crew", UserName="eva")
    with raises("NoSuchEntity", 404):
        iam.remove_user_from_group(GroupName="crew", UserName="eva")
    iam.delete_group(GroupName="crew")
    with raises("NoSuchEntity", 404, "^The group with name crew cannot be found.$"):
        iam.get_group(GroupName="crew")


def test_a_user_is_in_ten_groups_at_most(iam):
    iam.create_user(UserName="ana")
    for number in range(11):
        iam.create_group(GroupName=f"g{number}")
    for number in range(10):
        iam.add_user_to_group(GroupName=f"g{number}", UserName="ana")
    with raises("LimitExceeded", 409, "^Cannot exceed quota for GroupsPerUser: 10$"):
        iam.add_user_to_group(GroupName="g10", UserName="ana")


def test_policies_of_groups_reach_members_at_once(account, iam, assert_denied):
    user = account.user()
    caller = user.client("iam")
    assert_denied(caller.list_users, "iam:ListUsers", by="identity")
    iam.create_group(GroupName="readers")
    iam.put_group_policy(GroupName="readers", PolicyName="list", PolicyDocument=document(allow("iam:ListUsers")))
    iam.attach_group_policy(GroupName="readers", PolicyArn="arn:aws:iam::aws:policy/IAMReadOnlyAccess")
    iam.add_user_to_group(GroupName="readers", UserName=user.user_name)
    caller.list_users()
    caller.list_roles()
    iam.put_group_policy(GroupName="readers", PolicyName="list", PolicyDocument=document(deny("iam:ListUsers")))
    assert_denied(caller.list_users, "iam:ListUsers", by="identity", explicit=True)
    iam.remove_user_from_group(GroupName="readers", UserName=user.user_name)
    assert_denied(caller.list_roles, "iam:ListRoles", by="identity", explicit=False)


# Roles


def test_a_role_is_made_read_changed_and_deleted(account, iam):
    role = iam.create_role(
        RoleName="reader",
        Path="/svc/",
        AssumeRolePolicyDocument=TRUST_EC2,
        Description="reads",
        MaxSessionDuration=7200,
        Tags=[{"Key": "a", "Value": "b"}],
    )["Role"]
    assert role["Arn"] == f"arn:aws:iam::{account.id}:role/svc/reader" and role["RoleId"].startswith("AROA")
    assert role["AssumeRolePolicyDocument"] == json.loads(TRUST_EC2)
    read = iam.get_role(RoleName="reader")["Role"]
    assert (read["Description"], read["MaxSessionDuration"], read["RoleLastUsed"]) == ("reads", 7200, {})
    assert [found["RoleName"] for found in iam.list_roles(PathPrefix="/svc/")["Roles"]] == ["reader"]
    assert iam.list_roles(PathPrefix="/other/")["Roles"] == []

    iam.update_role(RoleName="reader", Description="reads more", MaxSessionDuration=3600)
    assert iam.update_role_description(RoleName="reader", Description="again")["Role"]["Description"] == "again"
    other = trust({"Service": "lambda.amazonaws.com"})
    iam.update_assume_role_policy(RoleName="reader", PolicyDocument=other)
    read = iam.get_role(RoleName="reader")["Role"]
    assert read["AssumeRolePolicyDocument"] == json.loads(other)
    assert (read["Description"], read["MaxSessionDuration"]) == ("again", 3600)

    with raises("EntityAlreadyExists", 409, "^Role with name READER already exists.$"):
        iam.create_role(RoleName="READER", AssumeRolePolicyDocument=TRUST_EC2)
    iam.delete_role(RoleName="reader")
    with raises("NoSuchEntity", 404, "^The role with name reader cannot be found.$"):
        iam.get_role(RoleName="reader")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        READ,
        json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole"}]}),
        trust({"AWS": "arn:aws:iam::123456789012:user/nobody"}),
        trust({"AWS": "AROAAAAAAAAAAAAAAAAAA"}),
    ],
)
def test_bad_trust_policies_are_refused(iam, text):
    with raises("MalformedPolicyDocument", 400):
        iam.create_role(RoleName="r", AssumeRolePolicyDocument=text)
    assert iam.list_roles()["Roles"] == []


def test_session_durations_of_roles_have_bounds(account):
    iam = account.client("iam", config=UNCHECKED)
    for seconds in (3599, 43201):
        with raises("ValidationError", 400):
            iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST_EC2, MaxSessionDuration=seconds)


def test_a_trust_policy_names_a_user_and_not_the_next_of_that_name(account, iam, assert_denied):
    iam.create_user(UserName="ana")
    key = iam.create_access_key(UserName="ana")["AccessKey"]
    ana_arn = f"arn:aws:iam::{account.id}:user/ana"
    role = account.role(trust={"Effect": "Allow", "Principal": {"AWS": ana_arn}, "Action": "sts:AssumeRole"})
    role_name = role.rsplit("/", 1)[1]
    shown = iam.get_role(RoleName=role_name)["Role"]["AssumeRolePolicyDocument"]
    assert shown["Statement"][0]["Principal"]["AWS"] == ana_arn
    ana = account.server.session(Credentials(key["AccessKeyId"], key["SecretAccessKey"]))
    ana.client("sts").assume_role(RoleArn=role, RoleSessionName="run")

    iam.update_user(UserName="ana", NewUserName="eva")
    shown = iam.get_role(RoleName=role_name)["Role"]["AssumeRolePolicyDocument"]
    assert shown["Statement"][0]["Principal"]["AWS"] == f"arn:aws:iam::{account.id}:user/eva"
    ana.client("sts").assume_role(RoleArn=role, RoleSessionName="run")

    user_id = iam.get_user(UserName="eva")["User"]["UserId"]
    iam.delete_access_key(UserName="eva", AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName="eva")
    newcomer = account.user(name="eva", policy=allow("sts:AssumeRole", role))
    shown = iam.get_role(RoleName=role_name)["Role"]["AssumeRolePolicyDocument"]
    assert shown["Statement"][0]["Principal"]["AWS"] == user_id
    assert_denied(lambda: newcomer.client("sts").assume_role(RoleArn=role, RoleSessionName="run"), "sts:AssumeRole", by="role trust policy")


def test_a_role_is_deleted_only_when_nothing_hangs_on_it(iam):
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST_EC2)
    iam.put_role_policy(RoleName="r", PolicyName="i", PolicyDocument=READ)
    with raises("DeleteConflict", 409, "must delete policies first"):
        iam.delete_role(RoleName="r")
    iam.delete_role_policy(RoleName="r", PolicyName="i")
    iam.attach_role_policy(RoleName="r", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    with raises("DeleteConflict", 409, "must detach all policies first"):
        iam.delete_role(RoleName="r")
    iam.detach_role_policy(RoleName="r", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    iam.create_instance_profile(InstanceProfileName="p")
    iam.add_role_to_instance_profile(InstanceProfileName="p", RoleName="r")
    with raises("DeleteConflict", 409, "^Cannot delete entity, must remove roles from instance profile first.$"):
        iam.delete_role(RoleName="r")
    iam.remove_role_from_instance_profile(InstanceProfileName="p", RoleName="r")
    iam.delete_role(RoleName="r")


# Access keys


def test_access_keys(account, iam):
    iam.create_user(UserName="ana")
    first = iam.create_access_key(UserName="ana")["AccessKey"]
    assert first["AccessKeyId"].startswith("AKIA") and len(first["AccessKeyId"]) == 20
    assert len(first["SecretAccessKey"]) == 40 and first["Status"] == "Active"
    iam.create_access_key(UserName="ana")
    with raises("LimitExceeded", 409, "^Cannot exceed quota for AccessKeysPerUser: 2$"):
        iam.create_access_key(UserName="ana")
    listed = iam.list_access_keys(UserName="ana")["AccessKeyMetadata"]
    assert len(listed) == 2 and all("SecretAccessKey" not in key for key in listed)
    with raises("NoSuchEntity", 404, "cannot be found"):
        iam.delete_access_key(UserName="ana", AccessKeyId="AKIAAAAAAAAAAAAAAAAA")


def test_an_inactive_or_deleted_key_opens_nothing(account, iam):
    iam.create_user(UserName="ana")
    key = iam.create_access_key(UserName="ana")["AccessKey"]
    sts = account.server.session(Credentials(key["AccessKeyId"], key["SecretAccessKey"])).client("sts")
    assert sts.get_caller_identity()["Account"] == account.id
    iam.update_access_key(UserName="ana", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    assert iam.list_access_keys(UserName="ana")["AccessKeyMetadata"][0]["Status"] == "Inactive"
    with raises("InvalidClientTokenId", 403):
        sts.get_caller_identity()
    iam.update_access_key(UserName="ana", AccessKeyId=key["AccessKeyId"], Status="Active")
    sts.get_caller_identity()
    iam.delete_access_key(UserName="ana", AccessKeyId=key["AccessKeyId"])
    with raises("InvalidClientTokenId", 403):
        sts.get_caller_identity()


def test_keys_of_others_are_out_of_reach(account, other_account, iam):
    other = other_account.user()
    with raises("NoSuchEntity", 404):
        iam.get_access_key_last_used(AccessKeyId=other.credentials.access_key_id)
    iam.create_user(UserName="ana")
    with raises("NoSuchEntity", 404):
        iam.update_access_key(UserName="ana", AccessKeyId=other.credentials.access_key_id, Status="Inactive")
    other.client("sts").get_caller_identity()


def test_the_root_user_has_keys_of_its_own(account, iam):
    key = iam.create_access_key()["AccessKey"]
    second = account.server.session(Credentials(key["AccessKeyId"], key["SecretAccessKey"]))
    assert second.client("sts").get_caller_identity()["Arn"] == f"arn:aws:iam::{account.id}:root"
    assert len(iam.list_access_keys()["AccessKeyMetadata"]) == 2
    iam.delete_access_key(AccessKeyId=key["AccessKeyId"])
    with raises("InvalidClientTokenId", 403):
        second.client("sts").get_caller_identity()


def test_the_last_use_of_a_key_is_told(account, iam):
    user = account.user()
    key = user.credentials.access_key_id
    unused = iam.get_access_key_last_used(AccessKeyId=key)
    assert unused["UserName"] == user.user_name
    assert unused["AccessKeyLastUsed"] == {"ServiceName": "N/A", "Region": "N/A"}
    user.client("sts").get_caller_identity()
    used = iam.get_access_key_last_used(AccessKeyId=key)["AccessKeyLastUsed"]
    assert used["ServiceName"] == "sts" and used["LastUsedDate"]


def test_a_secret_is_in_no_event(account, iam):
    iam.create_user(UserName="ana")
    answer = iam.create_access_key(UserName="ana")
    account.server.flush()
    events = account.events_of(request_id(answer))
    assert len(events) == 1 and events[0]["eventName"] == "CreateAccessKey"
    assert answer["AccessKey"]["SecretAccessKey"] not in json.dumps(events)
    assert answer["AccessKey"]["AccessKeyId"] in json.dumps(events)


# Instance profiles


def test_instance_profiles(account, iam):
    profile = iam.create_instance_profile(InstanceProfileName="p", Path="/x/")["InstanceProfile"]
    assert profile["Arn"] == f"arn:aws:iam::{account.id}:instance-profile/x/p" and profile["Roles"] == []
    with raises("EntityAlreadyExists", 409, "^Instance Profile P already exists.$"):
        iam.create_instance_profile(InstanceProfileName="P")
    for role in ("r", "s"):
        iam.create_role(RoleName=role, AssumeRolePolicyDocument=TRUST_EC2)
    iam.add_role_to_instance_profile(InstanceProfileName="p", RoleName="r")
    with raises("LimitExceeded", 409, "^Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1$"):
        iam.add_role_to_instance_profile(InstanceProfileName="p", RoleName="s")
    shown = iam.get_instance_profile(InstanceProfileName="p")["InstanceProfile"]
    assert [role["RoleName"] for role in shown["Roles"]] == ["r"]
    for listed in (iam.list_instance_profiles(), iam.list_instance_profiles_for_role(RoleName="r")):
        assert [found["InstanceProfileName"] for found in listed["InstanceProfiles"]] == ["p"]
    assert iam.list_instance_profiles_for_role(RoleName="s")["InstanceProfiles"] == []
    with raises("DeleteConflict", 409):
        iam.delete_instance_profile(InstanceProfileName="p")
    iam.remove_role_from_instance_profile(InstanceProfileName="p", RoleName="r")
    with raises("NoSuchEntity", 404):
        iam.remove_role_from_instance_profile(InstanceProfileName="p", RoleName="r")
    iam.delete_instance_profile(InstanceProfileName="p")
    with raises("NoSuchEntity", 404, "^Instance Profile p cannot be found.$"):
        iam.get_instance_profile(InstanceProfileName="p")


def test_putting_a_role_into_a_profile_passes_it(account, iam, assert_denied):
    iam.create_instance_profile(InstanceProfileName="p")
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST_EC2)
    user = account.user(policy=allow("iam:AddRoleToInstanceProfile"))
    add = lambda: user.client("iam").add_role_to_instance_profile(InstanceProfileName="p", RoleName="r")  # noqa: E731
    assert_denied(add, "iam:PassRole", by="identity")
    policy = document(
        allow("iam:AddRoleToInstanceProfile"),
        allow("iam:PassRole", Condition={"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}),
    )
    iam.put_user_policy(UserName=user.user_name, PolicyName="test", PolicyDocument=policy)
    add()


# The account


def test_the_account_summary_counts(iam):
    iam.create_user(UserName="ana")
    iam.create_group(GroupName="g")
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST_EC2)
    arn = iam.create_policy(PolicyName="p", PolicyDocument=READ)["Policy"]["Arn"]
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=READ)
    iam.delete_group(GroupName="g")
    summary = iam.get_account_summary()["SummaryMap"]
    expected = {"Users": 1, "Groups": 0, "Roles": 1, "Policies": 1, "PolicyVersionsInUse": 2, "AccountAccessKeysPresent": 1}
    assert {name: summary[name] for name in expected} == expected
    assert (summary["UsersQuota"], summary["AccessKeysPerUserQuota"], summary["AccountMFAEnabled"]) == (5000, 2, 0)


def test_an_account_has_one_alias_that_nobody_else_has(account, other_account, iam):
    alias = name("alias")
    iam.create_account_alias(AccountAlias=alias)
    assert iam.list_account_aliases()["AccountAliases"] == [alias]
    with raises("EntityAlreadyExists", 409):
        other_account.client("iam").create_account_alias(AccountAlias=alias)
    with raises("NoSuchEntity", 404):
        iam.delete_account_alias(AccountAlias="other")
    iam.delete_account_alias(AccountAlias=alias)
    assert iam.list_account_aliases()["AccountAliases"] == []
    other_account.client("iam").create_account_alias(AccountAlias=alias)


def test_the_credential_report(account, iam, bailiwick):
    with raises("ReportNotPresent", 410):
        iam.get_credential_report()
    user = account.user(name="a,b")
    user.client("sts").get_caller_identity()
    assert iam.generate_credential_report()["State"] == "COMPLETE"
    report = iam.get_credential_report()
    assert report["ReportFormat"] == "text/csv"
    rows = {row["user"]: row for row in csv.DictReader(io.StringIO(report["Content"].decode()))}
    assert rows["<root_account>"]["arn"] == f"arn:aws:iam::{account.id}:root"
    assert rows["<root_account>"]["access_key_1_active"] == "true"
    row = rows["a,b"]
    assert (row["password_enabled"], row["mfa_active"], row["access_key_1_active"], row["access_key_2_active"]) == (
        "false",
        "false",
        "true",
        "false",
    )
    assert row["access_key_1_last_used_service"] == "sts"
    assert row["access_key_2_last_used_date"] == "N/A"


def test_account_authorization_details(account, iam):
    policy = iam.create_policy(PolicyName="p", PolicyDocument=READ)["Policy"]["Arn"]
    iam.create_group(GroupName="g")
    iam.put_group_policy(GroupName="g", PolicyName="i", PolicyDocument=READ)
    iam.create_user(UserName="ana", PermissionsBoundary=policy)
    iam.add_user_to_group(GroupName="g", UserName="ana")
    iam.put_user_policy(UserName="ana", PolicyName="i", PolicyDocument=READ)
    iam.attach_user_policy(UserName="ana", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST_EC2)
    iam.create_instance_profile(InstanceProfileName="ip")
    iam.add_role_to_instance_profile(InstanceProfileName="ip", RoleName="r")

    details = iam.get_account_authorization_details()
    user = details["UserDetailList"][0]
    assert (user["UserName"], user["GroupList"]) == ("ana", ["g"])
    assert user["UserPolicyList"] == [{"PolicyName": "i", "PolicyDocument": json.loads(READ)}]
    assert user["AttachedManagedPolicies"][0]["PolicyName"] == "AdministratorAccess"
    assert user["PermissionsBoundary"]["PermissionsBoundaryArn"] == policy
    assert details["GroupDetailList"][0]["GroupPolicyList"][0]["PolicyDocument"] == json.loads(READ)
    role = details["RoleDetailList"][0]
    assert role["AssumeRolePolicyDocument"] == json.loads(TRUST_EC2)
    assert role["InstanceProfileList"][0]["InstanceProfileName"] == "ip"
    assert {found["PolicyName"] for found in details["Policies"]} == {"p", "AdministratorAccess"}
    assert iam.get_account_authorization_details(Filter=["Role"])["UserDetailList"] == []

    paged = iam.get_paginator("get_account_authorization_details").paginate(PaginationConfig={"PageSize": 1}).build_full_result()
    assert len(paged["UserDetailList"]) == len(paged["RoleDetailList"]) == 1 and len(paged["Policies"]) == 2


def test_accounts_see_nothing_of_each_other(account, other_account, iam):
    iam.create_user(UserName="ana")
    other = other_account.client("iam")
    with raises("NoSuchEntity", 404):
        other.get_user(UserName="ana")
    assert other.list_users()["Users"] == []
    other.create_user(UserName="ana")


# The simulator


def test_custom_policies_are_simulated(iam):
    policies = [document(allow("s3:Get*", "arn:aws:s3:::b/*"), deny("s3:GetObject", "arn:aws:s3:::b/secret*"))]
    resources = ["arn:aws:s3:::b/x", "arn:aws:s3:::b/secret-1", "arn:aws:s3:::c/x"]
    results = iam.simulate_custom_policy(PolicyInputList=policies, ActionNames=["s3:GetObject"], ResourceArns=resources)["EvaluationResults"]
    assert [result["EvalDecision"] for result in results] == ["allowed", "explicitDeny", "implicitDeny"]
    assert [result["EvalResourceName"] for result in results] == resources
    matched = results[0]["MatchedStatements"][0]
    assert matched["SourcePolicyId"] == "PolicyInputList.1"
    assert matched["StartPosition"]["Line"] == 1 and matched["StartPosition"]["Column"] < matched["EndPosition"]["Column"]
    assert results[2]["MatchedStatements"] == []


def test_the_simulator_asks_for_what_it_is_not_told(iam):
    policies = [document(allow("s3:GetObject", Condition={"StringEquals": {"aws:SourceVpc": "vpc-1"}}))]
    ask = {"PolicyInputList": policies, "ActionNames": ["s3:GetObject"]}
    untold = iam.simulate_custom_policy(**ask)["EvaluationResults"][0]
    assert (untold["EvalDecision"], untold["MissingContextValues"]) == ("implicitDeny", ["aws:SourceVpc"])
    entry = {"ContextKeyName": "aws:SourceVpc", "ContextKeyValues": ["vpc-1"], "ContextKeyType": "string"}
    told = iam.simulate_custom_policy(**ask, ContextEntries=[entry])["EvaluationResults"][0]
    assert (told["EvalDecision"], told["MissingContextValues"]) == ("allowed", [])
    assert iam.get_context_keys_for_custom_policy(PolicyInputList=policies)["ContextKeyNames"] == ["aws:SourceVpc"]


def test_the_simulator_knows_boundaries(iam):
    result = iam.simulate_custom_policy(
        PolicyInputList=[document(allow("*"))],
        PermissionsBoundaryPolicyInputList=[document(allow("s3:*"))],
        ActionNames=["s3:GetObject", "iam:ListUsers"],
    )["EvaluationResults"]
    details = [found["PermissionsBoundaryDecisionDetail"]["AllowedByPermissionsBoundary"] for found in result]
    assert ([found["EvalDecision"] for found in result], details) == (["allowed", "implicitDeny"], [True, False])


def test_the_simulator_refuses_what_it_cannot_read(iam):
    with raises("InvalidInput", 400):
        iam.simulate_custom_policy(PolicyInputList=["{"], ActionNames=["s3:GetObject"])
    with raises("InvalidInput", 400):
        iam.simulate_custom_policy(PolicyInputList=[READ], ActionNames=["s3:*"])
    with raises("InvalidInput", 400):
        iam.simulate_custom_policy(PolicyInputList=[READ], ActionNames=["s3:GetObject"], ResourceHandlingOption="EC2-VPC")


def test_a_principal_is_simulated_as_it_is(account, iam):
    user = account.user(policy=allow("iam:ListUsers"))
    arn = f"arn:aws:iam::{account.id}:user/{user.user_name}"
    iam.create_group(GroupName="g")
    iam.put_group_policy(GroupName="g", PolicyName="i", PolicyDocument=document(allow("iam:ListRoles")))
    iam.add_user_to_group(GroupName="g", UserName=user.user_name)
    actions = ["iam:ListUsers", "iam:ListRoles", "iam:ListGroups"]

    def decisions(**more):
        answer = iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=actions, **more)
        return [result["EvalDecision"] for result in answer["EvaluationResults"]]

    assert decisions() == ["allowed", "allowed", "implicitDeny"]
    assert decisions(PolicyInputList=[document(allow("iam:ListGroups"), deny("iam:ListUsers"))]) == ["explicitDeny", "allowed", "allowed"]
    inline = {"InlinePolicyIdentifier": {"PolicyName": "i", "AttachmentType": "group", "AttachmentName": "g"}}
    assert decisions(PolicyExclusionList=[inline]) == ["allowed", "implicitDeny", "implicitDeny"]
    caller = user.client("iam")
    caller.list_users()
    caller.list_roles()
    with raises("NoSuchEntity", 404):
        iam.simulate_principal_policy(PolicySourceArn=arn + "x", ActionNames=actions)
    with raises("InvalidInput", 400):
        iam.simulate_principal_policy(PolicySourceArn=f"arn:aws:iam::{account.id}:policy/nothing", ActionNames=actions)


def test_the_keys_of_a_principals_policies(account, iam):
    user = account.user(policy=allow("s3:*", Condition={"Bool": {"aws:SecureTransport": "true"}}))
    arn = f"arn:aws:iam::{account.id}:user/{user.user_name}"
    assert iam.get_context_keys_for_principal_policy(PolicySourceArn=arn)["ContextKeyNames"] == ["aws:SecureTransport"]


# What no operation does


def test_operations_without_a_handler_are_authorized_first(account, assert_denied):
    with raises("NotImplemented", 501):
        account.client("sagemaker").list_models()
    assert_denied(account.user().client("sagemaker").list_models, "sagemaker:ListModels", by="identity")


def test_policies_travel_percent_encoded(account):
    iam = account.client("iam")
    iam.create_user(UserName="ana")
    text = document(allow("s3:GetObject", "arn:aws:s3:::b/ä +%"))
    iam.put_user_policy(UserName="ana", PolicyName="p", PolicyDocument=text)
    bodies = []
    iam.meta.events.register("after-call.iam.GetUserPolicy", lambda http_response, **_: bodies.append(http_response.text))
    assert iam.get_user_policy(UserName="ana", PolicyName="p")["PolicyDocument"] == json.loads(text)
    assert "%7B%22Version%22%3A%20%222012-10-17%22" in bodies[0]


def test_the_report_is_base64_on_the_wire(iam):
    iam.generate_credential_report()
    bodies = []
    iam.meta.events.register("after-call.iam.GetCredentialReport", lambda http_response, **_: bodies.append(http_response.text))
    content = iam.get_credential_report()["Content"]
    assert base64.b64encode(content).decode() in bodies[0]
