"""IAM policies: inline, managed, attached, boundaries."""

import json

import pytest

from bailiwick_server import allow, deny, document, raises
from iam_scenario import READ, TRUST_EC2, UNCHECKED, iam, name, trust  # noqa: F401 (fixture)

# Inline policies


@pytest.mark.parametrize("kind", ["user", "group", "role"])
def test_inline_policies(iam, kind):
    title = kind.capitalize()
    owner = {f"{title}Name": "x"}
    more = {"AssumeRolePolicyDocument": TRUST_EC2} if kind == "role" else {}
    getattr(iam, f"create_{kind}")(**owner, **more)
    put, get = getattr(iam, f"put_{kind}_policy"), getattr(iam, f"get_{kind}_policy")
    listed, delete = getattr(iam, f"list_{kind}_policies"), getattr(iam, f"delete_{kind}_policy")
    put(**owner, PolicyName="b", PolicyDocument=READ)
    put(**owner, PolicyName="a", PolicyDocument=READ)
    answer = get(**owner, PolicyName="a")
    assert (answer[f"{title}Name"], answer["PolicyName"], answer["PolicyDocument"]) == ("x", "a", json.loads(READ))
    assert listed(**owner)["PolicyNames"] == ["a", "b"]
    put(**owner, PolicyName="a", PolicyDocument=document(allow("s3:*")))
    assert get(**owner, PolicyName="a")["PolicyDocument"]["Statement"][0]["Action"] == "s3:*"
    delete(**owner, PolicyName="a")
    for call in (get, delete):
        with raises("NoSuchEntity", 404, f"^The {kind} policy with name a cannot be found.$"):
            call(**owner, PolicyName="a")
    with raises("NoSuchEntity", 404):
        put(**{f"{title}Name": "nobody"}, PolicyName="a", PolicyDocument=READ)
    with raises("MalformedPolicyDocument", 400):
        put(**owner, PolicyName="a", PolicyDocument="{}")


def test_inline_policies_of_a_user_share_a_quota(iam):
    iam.create_user(UserName="ana")
    large = document(allow("s3:GetObject", ["arn:aws:s3:::b/" + "x" * 900]))
    iam.put_user_policy(UserName="ana", PolicyName="a", PolicyDocument=large)
    iam.put_user_policy(UserName="ana", PolicyName="b", PolicyDocument=large)
    with raises("LimitExceeded", 409, "^Maximum policy size of 2048 bytes exceeded for user ana$"):
        iam.put_user_policy(UserName="ana", PolicyName="c", PolicyDocument=large)
    assert iam.list_user_policies(UserName="ana")["PolicyNames"] == ["a", "b"]


# Managed policies


def test_a_managed_policy_and_its_versions(account, iam):
    made = iam.create_policy(PolicyName="p", Path="/x/", PolicyDocument=READ, Description="reads")["Policy"]
    arn = made["Arn"]
    assert arn == f"arn:aws:iam::{account.id}:policy/x/p" and made["PolicyId"].startswith("ANPA")
    assert (made["DefaultVersionId"], made["AttachmentCount"], made["IsAttachable"]) == ("v1", 0, True)
    assert iam.get_policy(PolicyArn=arn)["Policy"]["Description"] == "reads"
    with raises("EntityAlreadyExists", 409, "^A policy called P already exists. Duplicate names are not allowed.$"):
        iam.create_policy(PolicyName="P", PolicyDocument=READ)

    other = document(allow("s3:*"))
    version = iam.create_policy_version(PolicyArn=arn, PolicyDocument=other)["PolicyVersion"]
    assert (version["VersionId"], version["IsDefaultVersion"]) == ("v2", False)
    assert iam.get_policy_version(PolicyArn=arn, VersionId="v2")["PolicyVersion"]["Document"] == json.loads(other)
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v2")
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v2"
    with raises("DeleteConflict", 409, "^Cannot delete the default version of a policy.$"):
        iam.delete_policy_version(PolicyArn=arn, VersionId="v2")
    with raises("DeleteConflict", 409, "more than one version"):
        iam.delete_policy(PolicyArn=arn)
    iam.delete_policy_version(PolicyArn=arn, VersionId="v1")
    for call in (iam.get_policy_version, iam.delete_policy_version, iam.set_default_policy_version):
        with raises("NoSuchEntity", 404, "version v1 does not exist or is not attachable"):
            call(PolicyArn=arn, VersionId="v1")
    third = iam.create_policy_version(PolicyArn=arn, PolicyDocument=READ, SetAsDefault=True)["PolicyVersion"]
    assert (third["VersionId"], third["IsDefaultVersion"]) == ("v3", True)
    assert [version["VersionId"] for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]] == ["v3", "v2"]
    for _ in range(3):
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=READ)
    with raises("LimitExceeded", 409, "up to 5 versions"):
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=READ)


def test_deleted_policies_are_gone(iam):
    arn = iam.create_policy(PolicyName="p", PolicyDocument=READ)["Policy"]["Arn"]
    iam.create_user(UserName="ana")
    iam.attach_user_policy(UserName="ana", PolicyArn=arn)
    with raises("DeleteConflict", 409, "^Cannot delete a policy attached to entities.$"):
        iam.delete_policy(PolicyArn=arn)
    iam.detach_user_policy(UserName="ana", PolicyArn=arn)
    iam.delete_policy(PolicyArn=arn)
    with raises("NoSuchEntity", 404, f"^Policy {arn} was not found.$"):
        iam.get_policy(PolicyArn=arn)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "MalformedPolicyDocument"),
        ("{}", "MalformedPolicyDocument"),
        (document({"Effect": "Allow", "Action": "s3:GetObject"}), "MalformedPolicyDocument"),
        (document({"Effect": "Allow", "Action": "invalid", "Resource": "*"}), "MalformedPolicyDocument"),
        (document({"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*"}), "MalformedPolicyDocument"),
        (document(*[allow("s3:GetObject", "arn:aws:s3:::b/" + "x" * 900)] * 7), "LimitExceeded"),
    ],
)
def test_bad_policies_are_refused(iam, text, code):
    with raises(code):
        iam.create_policy(PolicyName="p", PolicyDocument=text)
    assert iam.list_policies(Scope="Local")["Policies"] == []


def test_a_new_default_version_holds_for_the_next_call(account, iam, assert_denied):
    user = account.user()
    arn = iam.create_policy(PolicyName="p", PolicyDocument=document(allow("iam:ListUsers")))["Policy"]["Arn"]
    iam.attach_user_policy(UserName=user.user_name, PolicyArn=arn)
    caller = user.client("iam")
    caller.list_users()
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=document(deny("iam:ListUsers")), SetAsDefault=True)
    message = assert_denied(caller.list_users, "iam:ListUsers", by="identity", explicit=True)
    assert arn in message
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
    caller.list_users()


def test_policies_that_aws_manages(iam):
    pages = iam.get_paginator("list_policies").paginate(Scope="AWS")
    listed = {policy["PolicyName"]: policy for page in pages for policy in page["Policies"]}
    assert len(listed) > 1500 and {"ReadOnlyAccess", "SecurityAudit", "AmazonBedrockFullAccess"} < set(listed)
    admin = listed["AdministratorAccess"]["Arn"]
    assert admin == "arn:aws:iam::aws:policy/AdministratorAccess"
    audit = iam.get_policy(PolicyArn=listed["SecurityAudit"]["Arn"])["Policy"]
    version = iam.get_policy_version(PolicyArn=audit["Arn"], VersionId=audit["DefaultVersionId"])["PolicyVersion"]
    assert version["IsDefaultVersion"] and version["VersionId"] == audit["DefaultVersionId"] != "v1"
    assert [v["VersionId"] for v in iam.list_policy_versions(PolicyArn=audit["Arn"])["Versions"]] == [audit["DefaultVersionId"]]
    with raises("NoSuchEntity", 404):
        iam.get_policy_version(PolicyArn=audit["Arn"], VersionId="v1")
    statement = iam.get_policy_version(PolicyArn=admin, VersionId="v1")["PolicyVersion"]["Document"]["Statement"]
    assert statement == [{"Effect": "Allow", "Action": "*", "Resource": "*"}]
    with raises("NoSuchEntity", 404):
        iam.get_policy(PolicyArn="arn:aws:iam::aws:policy/NoSuchPolicy")
    with raises("InvalidInput", 400):
        iam.create_policy_version(PolicyArn=admin, PolicyDocument=READ)


def test_a_policy_that_aws_manages_decides(account, iam, assert_denied):
    auditor = account.user()
    iam.attach_user_policy(UserName=auditor.user_name, PolicyArn="arn:aws:iam::aws:policy/SecurityAudit")
    auditor.client("iam").list_users()
    auditor.client("s3").list_buckets()
    assert_denied(lambda: auditor.client("iam").create_user(UserName="x"), "iam:CreateUser", by="identity")
    assert_denied(auditor.client("kms").create_key, "kms:CreateKey", by="identity")
    used = iam.list_policies(Scope="AWS", OnlyAttached=True)["Policies"]
    assert [(policy["PolicyName"], policy["AttachmentCount"]) for policy in used] == [("SecurityAudit", 1)]
    details = iam.get_account_authorization_details(Filter=["AWSManagedPolicy"], MaxItems=1000)
    assert details["IsTruncated"] and len(details["Policies"]) == 1000
    [attached] = iam.get_account_authorization_details()["Policies"]
    assert attached["PolicyName"] == "SecurityAudit" and attached["PolicyVersionList"][0]["Document"]["Statement"]


def test_lists_of_policies_are_filtered(iam):
    used = iam.create_policy(PolicyName="used", PolicyDocument=READ)["Policy"]["Arn"]
    iam.create_policy(PolicyName="unused", Path="/x/", PolicyDocument=READ)
    iam.create_user(UserName="ana")
    iam.attach_user_policy(UserName="ana", PolicyArn=used)
    iam.put_user_permissions_boundary(UserName="ana", PermissionsBoundary=used)

    def names(**filters):
        return [policy["PolicyName"] for policy in iam.list_policies(**filters)["Policies"]]

    assert names(Scope="Local") == ["unused", "used"]
    assert names(Scope="Local", OnlyAttached=True) == ["used"]
    assert names(Scope="Local", PathPrefix="/x/") == ["unused"]
    assert names(PolicyUsageFilter="PermissionsBoundary") == ["used"]
    assert "AdministratorAccess" in names() and "AdministratorAccess" not in names(Scope="Local")


# Attachments and boundaries


@pytest.mark.parametrize(("kind", "quota"), [("user", 10), ("group", 10), ("role", 20)])
def test_attached_policies(iam, kind, quota):
    title = kind.capitalize()
    owner = {f"{title}Name": "x"}
    more = {"AssumeRolePolicyDocument": TRUST_EC2} if kind == "role" else {}
    getattr(iam, f"create_{kind}")(**owner, **more)
    attach, detach = getattr(iam, f"attach_{kind}_policy"), getattr(iam, f"detach_{kind}_policy")
    listed = getattr(iam, f"list_attached_{kind}_policies")
    arns = [iam.create_policy(PolicyName=f"p{number:02}", PolicyDocument=READ)["Policy"]["Arn"] for number in range(quota + 1)]
    attach(**owner, PolicyArn=arns[0])
    attach(**owner, PolicyArn=arns[0])
    assert listed(**owner)["AttachedPolicies"] == [{"PolicyName": "p00", "PolicyArn": arns[0]}]
    assert iam.get_policy(PolicyArn=arns[0])["Policy"]["AttachmentCount"] == 1
    entities = iam.list_entities_for_policy(PolicyArn=arns[0])
    assert [entity[f"{title}Name"] for entity in entities[f"Policy{title}s"]] == ["x"]
    for arn in arns[1:quota]:
        attach(**owner, PolicyArn=arn)
    with raises("LimitExceeded", 409, f"^Cannot exceed quota for PoliciesPer{title}: {quota}$"):
        attach(**owner, PolicyArn=arns[quota])
    detach(**owner, PolicyArn=arns[0])
    with raises("NoSuchEntity", 404, f"^Policy {arns[0]} was not found.$"):
        detach(**owner, PolicyArn=arns[0])
    assert iam.get_policy(PolicyArn=arns[0])["Policy"]["AttachmentCount"] == 0
    with raises("NoSuchEntity", 404, "does not exist or is not attachable"):
        attach(**owner, PolicyArn=arns[0] + "x")
    with raises("InvalidInput", 400):
        attach(**owner, PolicyArn="arn:aws:s3:::not-a-policy-arn")


def test_a_policy_of_another_account_cannot_be_attached(account, other_account, iam, assert_denied):
    foreign = other_account.client("iam").create_policy(PolicyName="p", PolicyDocument=READ)["Policy"]["Arn"]
    iam.create_user(UserName="ana")
    with raises("NoSuchEntity", 404):
        iam.attach_user_policy(UserName="ana", PolicyArn=foreign)
    assert_denied(lambda: iam.get_policy(PolicyArn=foreign), "iam:GetPolicy", by="resource", explicit=False)


def test_entities_of_a_policy_are_filtered(iam):
    arn = iam.create_policy(PolicyName="p", PolicyDocument=READ)["Policy"]["Arn"]
    iam.create_user(UserName="ana", Path="/x/")
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST_EC2, PermissionsBoundary=arn)
    iam.attach_user_policy(UserName="ana", PolicyArn=arn)
    iam.update_user(UserName="ana", NewUserName="eva")

    def found(**filters):
        answer = iam.list_entities_for_policy(PolicyArn=arn, **filters)
        return [entity["UserName"] for entity in answer["PolicyUsers"]] + [entity["RoleName"] for entity in answer["PolicyRoles"]]

    assert found() == ["eva", "r"]
    assert found(EntityFilter="Role") == ["r"]
    assert found(PolicyUsageFilter="PermissionsPolicy") == ["eva"]
    assert found(PolicyUsageFilter="PermissionsBoundary") == ["r"]
    assert found(PathPrefix="/x/") == ["eva"]


def test_a_boundary_bounds(account, iam, assert_denied):
    boundary = iam.create_policy(PolicyName="b", PolicyDocument=document(allow("iam:ListUsers")))["Policy"]["Arn"]
    user = account.user(policy=allow("iam:List*"))
    caller = user.client("iam")
    caller.list_roles()
    iam.put_user_permissions_boundary(UserName=user.user_name, PermissionsBoundary=boundary)
    shown = iam.get_user(UserName=user.user_name)["User"]["PermissionsBoundary"]
    assert shown == {"PermissionsBoundaryType": "PermissionsBoundaryPolicy", "PermissionsBoundaryArn": boundary}
    caller.list_users()
    assert_denied(caller.list_roles, "iam:ListRoles", by="boundary", explicit=False)
    with raises("DeleteConflict", 409):
        iam.delete_policy(PolicyArn=boundary)
    iam.delete_user_permissions_boundary(UserName=user.user_name)
    caller.list_roles()
    with raises("NoSuchEntity", 404):
        iam.put_user_permissions_boundary(UserName=user.user_name, PermissionsBoundary=boundary + "x")


def test_a_role_has_a_boundary(account, iam, assert_denied):
    boundary = iam.create_policy(PolicyName="b", PolicyDocument=document(allow("iam:ListUsers")))["Policy"]["Arn"]
    role = account.role(policy=allow("iam:List*"))
    role_name = role.rsplit("/", 1)[1]
    session = account.assume(role)
    session.client("iam").list_roles()
    iam.put_role_permissions_boundary(RoleName=role_name, PermissionsBoundary=boundary)
    assert iam.get_role(RoleName=role_name)["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary
    assert_denied(session.client("iam").list_roles, "iam:ListRoles", by="boundary")
    iam.delete_role_permissions_boundary(RoleName=role_name)
    session.client("iam").list_roles()


def test_a_delegate_can_be_bound_to_set_boundaries(account, iam, assert_denied):
    boundary = iam.create_policy(PolicyName="b", PolicyDocument=READ)["Policy"]["Arn"]
    condition = {"StringEquals": {"iam:PermissionsBoundary": boundary}}
    delegate = account.user(policy=allow(["iam:CreateUser", "iam:AttachUserPolicy"], Condition=condition)).client("iam")
    assert_denied(lambda: delegate.create_user(UserName="x"), "iam:CreateUser")
    delegate.create_user(UserName="x", PermissionsBoundary=boundary)
    delegate.attach_user_policy(UserName="x", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    iam.create_user(UserName="free")
    admin = "arn:aws:iam::aws:policy/AdministratorAccess"
    assert_denied(lambda: delegate.attach_user_policy(UserName="free", PolicyArn=admin), "iam:AttachUserPolicy")


def test_a_delegate_can_be_bound_to_certain_policies(account, iam, assert_denied):
    condition = {"ArnEquals": {"iam:PolicyARN": "arn:aws:iam::aws:policy/IAMReadOnlyAccess"}}
    delegate = account.user(policy=allow("iam:AttachUserPolicy", Condition=condition)).client("iam")
    iam.create_user(UserName="x")
    delegate.attach_user_policy(UserName="x", PolicyArn="arn:aws:iam::aws:policy/IAMReadOnlyAccess")
    admin = "arn:aws:iam::aws:policy/AdministratorAccess"
    assert_denied(lambda: delegate.attach_user_policy(UserName="x", PolicyArn=admin), "iam:AttachUserPolicy")
