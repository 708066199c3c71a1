"""Service-linked roles, last-accessed jobs, and what this server does not have."""

from bailiwick_server import allow, raises
from iam_scenario import iam, name, trust  # noqa: F401


def test_the_life_of_a_service_linked_role(account, iam):  # noqa: F811
    role = iam.create_service_linked_role(AWSServiceName="config.amazonaws.com", Description="d")["Role"]
    assert role["Arn"] == f"arn:aws:iam::{account.id}:role/aws-service-role/config.amazonaws.com/AWSServiceRoleForConfig"
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"Service": "config.amazonaws.com"}
    with raises("InvalidInput", 400, "has been taken in this account"):
        iam.create_service_linked_role(AWSServiceName="config.amazonaws.com")
    scaling = iam.create_service_linked_role(AWSServiceName="autoscaling.amazonaws.com", CustomSuffix="blue")["Role"]
    assert scaling["RoleName"] == "AWSServiceRoleForAutoScaling_blue"
    task = iam.delete_service_linked_role(RoleName=role["RoleName"])["DeletionTaskId"]
    assert task.startswith("task/aws-service-role/config.amazonaws.com/AWSServiceRoleForConfig/")
    assert iam.get_service_linked_role_deletion_status(DeletionTaskId=task)["Status"] == "SUCCEEDED"
    with raises("NoSuchEntity", 404):
        iam.get_role(RoleName=role["RoleName"])
    with raises("NoSuchEntity", 404):
        iam.get_service_linked_role_deletion_status(DeletionTaskId=task + "x")


def test_only_the_service_changes_its_role(account, iam):  # noqa: F811
    role = iam.create_service_linked_role(AWSServiceName="ram.amazonaws.com")["Role"]["RoleName"]
    policy = "arn:aws:iam::aws:policy/AdministratorAccess"
    calls = [
        lambda: iam.attach_role_policy(RoleName=role, PolicyArn=policy),
        lambda: iam.put_role_policy(RoleName=role, PolicyName="p", PolicyDocument="{}"),
        lambda: iam.update_assume_role_policy(RoleName=role, PolicyDocument=trust({"AWS": account.id})),
        lambda: iam.delete_role(RoleName=role),
    ]
    for call in calls:
        with raises("UnmodifiableEntity", 400, f"protected role '{role}' - this role is only modifiable by AWS"):
            call()
    iam.update_role_description(RoleName=role, Description="other")
    with raises("InvalidInput", 400):
        iam.create_role(RoleName="x", Path="/aws-service-role/x/", AssumeRolePolicyDocument=trust({"AWS": account.id}))


def test_service_linked_roles_need_a_permission(account, iam, assert_denied):  # noqa: F811
    only = allow("iam:CreateServiceLinkedRole", Condition={"StringEquals": {"iam:AWSServiceName": "ram.amazonaws.com"}})
    user = account.user(policy=only).client("iam")
    user.create_service_linked_role(AWSServiceName="ram.amazonaws.com")
    call = lambda: user.create_service_linked_role(AWSServiceName="config.amazonaws.com")  # noqa: E731
    assert_denied(call, "iam:CreateServiceLinkedRole", by="identity")
    with raises("InvalidInput", 400):
        iam.create_service_linked_role(AWSServiceName="unknown.amazonaws.com")
    with raises("InvalidInput", 400, "suffix"):
        iam.create_service_linked_role(AWSServiceName="config.amazonaws.com", CustomSuffix="x")
    plain = account.role().rsplit("/", 1)[1]
    with raises("NoSuchEntity", 404):
        iam.delete_service_linked_role(RoleName=plain)


# Last accessed


def services_of(iam, arn, granularity="SERVICE_LEVEL"):  # noqa: F811
    job = iam.generate_service_last_accessed_details(Arn=arn, Granularity=granularity)["JobId"]
    answer = iam.get_service_last_accessed_details(JobId=job)
    assert answer["JobStatus"] == "COMPLETED" and answer["JobType"] == granularity
    return job, {service["ServiceNamespace"]: service for service in answer["ServicesLastAccessed"]}


def test_what_a_user_last_called(account, iam):  # noqa: F811
    user = account.user(policy=allow(["kms:*", "s3:Get*", "sts:*"]))
    user.client("kms").list_keys()
    user.client("sts").get_caller_identity()
    job, services = services_of(iam, user.user_arn(), "ACTION_LEVEL")
    assert set(services) == {"kms", "s3", "sts"}
    assert services["kms"]["LastAuthenticatedEntity"] == user.user_arn() and services["kms"]["TotalAuthenticatedEntities"] == 1
    assert [action["ActionName"] for action in services["kms"]["TrackedActionsLastAccessed"]] == ["ListKeys"]
    assert "LastAuthenticated" not in services["s3"] and services["s3"]["TotalAuthenticatedEntities"] == 0
    entities = iam.get_service_last_accessed_details_with_entities(JobId=job, ServiceNamespace="kms")["EntityDetailsList"]
    assert entities[0]["EntityInfo"]["Name"] == user.user_name and entities[0]["LastAuthenticated"]


def test_what_a_role_a_group_and_a_policy_last_called(account, iam):  # noqa: F811
    role = account.role(policy=allow("kms:ListKeys"))
    account.assume(role).client("kms").list_keys()
    assert services_of(iam, role)[1]["kms"]["LastAuthenticatedEntity"] == role
    user, group = account.user(), name("group")
    iam.create_group(GroupName=group)
    iam.add_user_to_group(GroupName=group, UserName=user.user_name)
    policy = iam.create_policy(
        PolicyName=name("p"),
        PolicyDocument='{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:ListKeys","Resource":"*"}}',
    )["Policy"]["Arn"]
    iam.attach_group_policy(GroupName=group, PolicyArn=policy)
    user.client("kms").list_keys()
    for arn in (policy, f"arn:aws:iam::{account.id}:group/{group}"):
        assert services_of(iam, arn)[1]["kms"]["LastAuthenticatedEntity"] == user.user_arn()
    granting = iam.list_policies_granting_service_access(Arn=user.user_arn(), ServiceNamespaces=["kms", "s3"])
    entries = {entry["ServiceNamespace"]: entry["Policies"] for entry in granting["PoliciesGrantingServiceAccess"]}
    assert [one["PolicyArn"] for one in entries["kms"]] == [policy] and entries["s3"] == []


def test_jobs_of_nothing(account, iam, assert_denied):  # noqa: F811
    with raises("NoSuchEntity", 404):
        iam.generate_service_last_accessed_details(Arn=f"arn:aws:iam::{account.id}:user/missing")
    with raises("NoSuchEntity", 404):
        iam.get_service_last_accessed_details(JobId="0" * 36)
    with raises("InvalidInput", 400):
        iam.list_policies_granting_service_access(Arn=account.user().user_arn(), ServiceNamespaces=["nonsense"])
    nobody = account.user()
    call = lambda: nobody.client("iam").generate_service_last_accessed_details(Arn=nobody.user_arn())  # noqa: E731
    assert_denied(call, "iam:GenerateServiceLastAccessedDetails", by="identity")


# What this server does not have


def test_delegation_requests_and_templates_are_refused(account, iam):  # noqa: F811
    request = "0" * 20
    assert iam.list_delegation_requests()["DelegationRequests"] == []
    for operation in ("get", "accept", "associate", "reject", "update"):
        with raises("NoSuchEntity", 404):
            getattr(iam, f"{operation}_delegation_request")(DelegationRequestId=request)
    with raises("NoSuchEntity", 404):
        iam.send_delegation_token(DelegationRequestId=request)
    with raises("NoSuchEntity", 404):
        iam.get_human_readable_summary(EntityArn=f"arn:aws:iam::{account.id}:delegation-request/{request}")
    with raises("FeatureDisabled", 404):
        iam.get_outbound_web_identity_federation_info()
    with raises("FeatureDisabled", 404):
        iam.disable_outbound_web_identity_federation()
    with raises("OutboundWebIdentityFederationDisabledException", 403):
        account.client("sts").get_web_identity_token(Audience=["x"], SigningAlgorithm="RS256")
    with raises("ExpiredTradeInTokenException", 400):
        account.client("sts").get_delegated_access_token(TradeInToken="x" * 20)


def test_there_is_one_form_of_token(iam):  # noqa: F811
    iam.set_security_token_service_preferences(GlobalEndpointTokenVersion="v2Token")
    with raises("ValidationError", 400):
        iam.set_security_token_service_preferences(GlobalEndpointTokenVersion="v1Token")
