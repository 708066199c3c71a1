"""Root users of member accounts, managed by the organization: the features of IAM, and AssumeRoot."""

import pytest

from bailiwick_server import Account, Credentials, allow, new_account_id, raises
from test_organizations import invite, management, orgs  # noqa: F401

TASK = "arn:aws:iam::aws:policy/root-task/"


@pytest.fixture
def member(management, other_account):  # noqa: F811
    return invite(management, other_account)


@pytest.fixture
def trusted(orgs):  # noqa: F811
    orgs.enable_aws_service_access(ServicePrincipal="iam.amazonaws.com")


def assume_root(session, target, task="IAMAuditRootUserCredentials", **more):
    return session.client("sts").assume_root(TargetPrincipal=target, TaskPolicyArn={"arn": TASK + task}, **more)["Credentials"]


def root_session(server, keys):
    return server.session(Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"]))


def test_who_may_switch_features(account, management, member, orgs):  # noqa: F811
    iam = management.client("iam")
    with raises("ServiceAccessNotEnabledException"):
        iam.enable_organizations_root_sessions()
    orgs.enable_aws_service_access(ServicePrincipal="iam.amazonaws.com")
    organization = orgs.describe_organization()["Organization"]["Id"]
    features = iam.list_organizations_features()
    assert features["OrganizationId"] == organization and features["EnabledFeatures"] == []
    assert iam.enable_organizations_root_sessions()["EnabledFeatures"] == ["RootSessions"]
    both = iam.enable_organizations_root_credentials_management()
    assert both["OrganizationId"] == organization and set(both["EnabledFeatures"]) == {"RootSessions", "RootCredentialsManagement"}
    with raises("AccountNotManagementOrDelegatedAdministratorException"):
        member.client("iam").list_organizations_features()
    orgs.register_delegated_administrator(AccountId=member.id, ServicePrincipal="iam.amazonaws.com")
    assert set(member.client("iam").list_organizations_features()["EnabledFeatures"]) == {"RootSessions", "RootCredentialsManagement"}
    with raises("CallerIsNotManagementAccountException"):
        member.client("iam").enable_organizations_root_sessions()
    assert iam.disable_organizations_root_sessions()["EnabledFeatures"] == ["RootCredentialsManagement"]
    assert iam.disable_organizations_root_credentials_management()["EnabledFeatures"] == []


def test_an_account_without_organization_has_no_features(account, assert_denied):
    with raises("OrganizationNotFoundException"):
        account.client("iam").list_organizations_features()
    nobody = account.user().client("iam")
    assert_denied(nobody.list_organizations_features, "iam:ListOrganizationsFeatures", by="identity")


def test_a_task_on_a_members_root(management, member, trusted, assert_denied):  # noqa: F811
    management.client("iam").enable_organizations_root_sessions()
    admin = management.user(policy=allow("sts:AssumeRoot"))
    keys = assume_root(admin, member.id)
    root = root_session(member.server, keys)
    assert root.client("sts").get_caller_identity()["Arn"] == f"arn:aws:iam::{member.id}:root"
    root.client("iam").get_account_summary()
    assert_denied(root.client("iam").list_users, "iam:ListUsers", by="session")
    assert_denied(root.client("s3").list_buckets, by="session")
    member.server.flush()
    event = member.events(EventName="GetAccountSummary")[0]
    assert event["userIdentity"]["type"] == "Root"


def test_who_may_not_take_a_root(management, member, trusted, assert_denied):  # noqa: F811
    admin = management.user(policy=allow("sts:AssumeRoot"))
    with raises("AccessDenied", 403, "not enabled"):
        assume_root(admin, member.id)
    management.client("iam").enable_organizations_root_sessions()
    with raises("AccessDenied", 403):
        assume_root(admin, management.id)
    with raises("AccessDenied", 403):
        assume_root(management.session, member.id)
    nobody = management.user()
    assert_denied(lambda: assume_root(nobody, member.id), "sts:AssumeRoot", by="identity")
    inside = member.user(policy=allow("sts:AssumeRoot"))
    with raises("AccessDenied", 403):
        assume_root(inside, member.id)
    with raises("ValidationError", 400):
        assume_root(admin, member.id, "NoSuchTask")
    with raises("ValidationError", 400):
        admin.client("sts").assume_root(TargetPrincipal="somebody-1234", TaskPolicyArn={"arn": TASK + "S3UnlockBucketPolicy"})
    only = {"StringEquals": {"sts:TaskPolicyArn": TASK + "IAMAuditRootUserCredentials"}}
    narrow = management.user(policy=allow("sts:AssumeRoot", Condition=only))
    assume_root(narrow, member.id)
    assert_denied(lambda: assume_root(narrow, member.id, "S3UnlockBucketPolicy"), "sts:AssumeRoot", by="identity")


def test_accounts_outside_the_organization_are_out_of_reach(management, member, trusted, account):  # noqa: F811
    management.client("iam").enable_organizations_root_sessions()
    admin = management.user(policy=allow("sts:AssumeRoot"))
    stranger = Account.create(account.server, new_account_id())
    with raises("AccessDenied", 403):
        assume_root(admin, stranger.id)
