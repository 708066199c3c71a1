"""Root users of member accounts, managed by the organization: the features of IAM, and AssumeRoot."""

import pytest

from bailiwick_server import Account, Credentials, allow, deny, document, new_account_id, raises
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


def test_each_task_needs_its_feature(management, member, trusted):  # noqa: F811
    iam = management.client("iam")
    admin = management.user(policy=allow("sts:AssumeRoot"))
    tasks = {
        "IAMAuditRootUserCredentials": {"RootCredentialsManagement", "RootSessions"},
        "IAMCreateRootUserPassword": {"RootSessions"},
        "IAMDeleteRootUserCredentials": {"RootCredentialsManagement"},
        "S3UnlockBucketPolicy": {"RootSessions"},
        "SQSUnlockQueuePolicy": {"RootSessions"},
    }

    def possible():
        found = set()
        for task in tasks:
            try:
                assume_root(admin, member.id, task)
                found.add(task)
            except admin.client("sts").exceptions.ClientError as error:
                assert error.response["Error"]["Code"] == "AccessDenied" and "not enabled" in error.response["Error"]["Message"]
        return found

    assert possible() == set()
    iam.enable_organizations_root_credentials_management()
    assert possible() == {task for task, features in tasks.items() if "RootCredentialsManagement" in features}
    iam.enable_organizations_root_sessions()
    assert possible() == set(tasks)
    iam.disable_organizations_root_credentials_management()
    assert possible() == {task for task, features in tasks.items() if "RootSessions" in features}


def test_a_delegated_administrator_takes_roots(management, member, trusted, orgs, assert_denied):  # noqa: F811
    management.client("iam").enable_organizations_root_sessions()
    second = invite(management, Account.create(management.server, new_account_id()))
    admin = second.user(policy=allow("sts:AssumeRoot"))
    with raises("AccessDenied", 403):
        assume_root(admin, member.id)
    orgs.register_delegated_administrator(AccountId=second.id, ServicePrincipal="iam.amazonaws.com")
    root = root_session(member.server, assume_root(admin, member.id))
    assert root.client("sts").get_caller_identity()["Account"] == member.id
    with raises("AccessDenied", 403):
        assume_root(admin, management.id)
    with raises("AccessDenied", 403):
        assume_root(admin, second.id)
    assert_denied(lambda: assume_root(second.user(), member.id), "sts:AssumeRoot", by="identity")
    orgs.deregister_delegated_administrator(AccountId=second.id, ServicePrincipal="iam.amazonaws.com")
    with raises("AccessDenied", 403):
        assume_root(admin, member.id)


def test_the_task_of_credentials(management, member, trusted, assert_denied):  # noqa: F811
    iam = management.client("iam")
    iam.enable_organizations_root_credentials_management()
    iam.enable_organizations_root_sessions()
    admin = management.user(policy=allow("sts:AssumeRoot"))

    def task(name):
        return root_session(member.server, assume_root(admin, member.id, name)).client("iam")

    audit = task("IAMAuditRootUserCredentials")
    keys = [key["AccessKeyId"] for key in audit.list_access_keys()["AccessKeyMetadata"]]
    assert keys == [member.credentials.access_key_id]
    assert audit.get_account_summary()["SummaryMap"]["AccountPasswordPresent"] == 0
    with raises("NoSuchEntity", 404):
        audit.get_login_profile()
    assert_denied(lambda: audit.delete_access_key(AccessKeyId=keys[0]), "iam:DeleteAccessKey", by="session")
    maker = task("IAMCreateRootUserPassword")
    maker.create_login_profile()
    with raises("EntityAlreadyExists", 409):
        maker.create_login_profile()
    with raises("ValidationError", 400):
        maker.create_login_profile(Password="Secret-Secret-1")
    assert audit.get_account_summary()["SummaryMap"]["AccountPasswordPresent"] == 1
    audit.get_login_profile()
    assert_denied(maker.list_access_keys, "iam:ListAccessKeys", by="session")
    remover = task("IAMDeleteRootUserCredentials")
    remover.delete_login_profile()
    with raises("NoSuchEntity", 404):
        remover.delete_login_profile()
    remover.delete_access_key(AccessKeyId=keys[0])
    assert audit.list_access_keys()["AccessKeyMetadata"] == []
    with raises("InvalidClientTokenId", 403):
        member.client("iam").get_account_summary()


def test_the_task_of_a_locked_bucket(management, member, trusted, assert_denied):  # noqa: F811
    management.client("iam").enable_organizations_root_sessions()
    bucket = f"locked-{member.id}"
    s3 = member.client("s3")
    s3.create_bucket(Bucket=bucket)
    locked = {**deny("s3:*", [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]), "Principal": "*"}
    s3.put_bucket_policy(Bucket=bucket, Policy=document(locked))
    user = member.user(policy=allow("s3:*"))
    assert_denied(lambda: user.client("s3").delete_bucket_policy(Bucket=bucket), by="resource")
    root = root_session(member.server, assume_root(management.user(policy=allow("sts:AssumeRoot")), member.id, "S3UnlockBucketPolicy"))
    assert_denied(lambda: root.client("s3").list_objects_v2(Bucket=bucket))
    root.client("s3").delete_bucket_policy(Bucket=bucket)
    user.client("s3").list_objects_v2(Bucket=bucket)
    member.server.flush()
    event = member.events(EventName="DeleteBucketPolicy")[0]
    assert event["userIdentity"]["type"] == "Root"


def test_trusted_access_that_ends_ends_root_sessions(management, member, trusted, orgs):  # noqa: F811
    management.client("iam").enable_organizations_root_sessions()
    admin = management.user(policy=allow("sts:AssumeRoot"))
    assume_root(admin, member.id)
    orgs.disable_aws_service_access(ServicePrincipal="iam.amazonaws.com")
    with raises("AccessDenied", 403):
        assume_root(admin, member.id)
