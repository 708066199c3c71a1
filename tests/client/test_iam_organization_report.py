"""Access reports of organizations, and the properties of an account."""

import time

import pytest

from bailiwick_server import Account, allow, deny, new_account_id, raises
from test_organizations import invite, management, orgs, root_id, scp  # noqa: F401


@pytest.fixture
def member(management, other_account):  # noqa: F811
    return invite(management, other_account)


@pytest.fixture
def path(orgs, root_id):  # noqa: F811
    """Path of the root; service control policies are enabled from the beginning."""
    return f"{orgs.describe_organization()['Organization']['Id']}/{root_id}"


def report(management, path, **more):  # noqa: F811
    """The details of a new report by namespace, and the whole answer."""
    iam = management.client("iam")
    sort = {key: more.pop(key) for key in ("SortKey",) if key in more}
    job = iam.generate_organizations_access_report(EntityPath=path, **more)["JobId"]
    answer = iam.get_organizations_access_report(JobId=job, MaxItems=1000, **sort)
    assert answer["JobStatus"] == "COMPLETED" and answer["IsTruncated"] is False
    return {detail["ServiceNamespace"]: detail for detail in answer["AccessDetails"]}, answer


def test_what_an_account_called(management, member, path):  # noqa: F811
    member.client("kms", region="eu-central-1").list_keys()
    details, answer = report(management, f"{path}/{member.id}")
    assert details["kms"]["TotalAuthenticatedEntities"] == 1
    assert details["kms"]["Region"] == "eu-central-1" and details["kms"]["EntityPath"] == f"{path}/{member.id}"
    assert details["glue"]["TotalAuthenticatedEntities"] == 0 and "LastAuthenticatedTime" not in details["glue"]
    assert answer["NumberOfServicesAccessible"] == len(details)
    assert answer["NumberOfServicesNotAccessed"] == sum("EntityPath" not in detail for detail in details.values())


def test_a_root_has_all_members_and_not_the_management_account(management, member, path):  # noqa: F811
    second = invite(management, Account.create(management.server, new_account_id()))
    member.client("kms").list_keys()
    called_s, kms = int(time.time()), second.client("kms")
    kms.list_keys()
    # Calls are told apart by the second: the last of these is in a later one.
    while int(time.time()) == called_s:
        kms.list_keys()
    kms.list_keys()
    management.client("s3").list_buckets()
    details, _ = report(management, path)
    assert details["kms"]["TotalAuthenticatedEntities"] == 2
    assert details["kms"]["EntityPath"] == f"{path}/{second.id}"
    assert details["s3"]["TotalAuthenticatedEntities"] == 0
    own, _ = report(management, f"{path}/{management.id}")
    assert own["s3"]["TotalAuthenticatedEntities"] == 1 and own["kms"]["TotalAuthenticatedEntities"] == 0


def test_services_that_policies_close(management, member, orgs, root_id, path):  # noqa: F811
    unit = orgs.create_organizational_unit(ParentId=root_id, Name="u")["OrganizationalUnit"]["Id"]
    orgs.move_account(AccountId=member.id, SourceParentId=root_id, DestinationParentId=unit)
    orgs.attach_policy(PolicyId=scp(orgs, deny("s3:*"))["Id"], TargetId=unit)
    details, _ = report(management, path)
    assert "s3" in details
    for entity in (f"{path}/{unit}", f"{path}/{unit}/{member.id}"):
        details, _ = report(management, entity)
        assert "s3" not in details and "kms" in details, entity
    details, _ = report(management, f"{path}/{management.id}")
    assert "s3" in details, "nothing binds the management account"


def test_a_report_on_a_policy(management, member, orgs, path):  # noqa: F811
    member.client("kms").list_keys()
    policy = scp(orgs, allow(["kms:*", "s3:Get*"]))["Id"]
    details, _ = report(management, path, OrganizationsPolicyId=policy)
    assert set(details) == {"kms", "s3"} and details["kms"]["TotalAuthenticatedEntities"] == 0, "it is attached nowhere"
    orgs.attach_policy(PolicyId=policy, TargetId=member.id)
    details, _ = report(management, path, OrganizationsPolicyId=policy)
    assert details["kms"]["TotalAuthenticatedEntities"] == 1
    details, _ = report(management, f"{path}/{management.id}", OrganizationsPolicyId=policy)
    assert "glue" in details, "for the management account the policy is ignored"


def test_pages_and_order(management, member, path):  # noqa: F811
    member.client("kms").list_keys()
    iam = management.client("iam")
    job = iam.generate_organizations_access_report(EntityPath=f"{path}/{member.id}")["JobId"]
    for key, backwards in (("SERVICE_NAMESPACE_ASCENDING", False), ("SERVICE_NAMESPACE_DESCENDING", True)):
        names, marker = [], {}
        while True:
            answer = iam.get_organizations_access_report(JobId=job, SortKey=key, MaxItems=20, **marker)
            names += [detail["ServiceNamespace"] for detail in answer["AccessDetails"]]
            if not answer["IsTruncated"]:
                break
            marker = {"Marker": answer["Marker"]}
        assert names == sorted(names, reverse=backwards) and len(names) == answer["NumberOfServicesAccessible"] > 20
    newest = iam.get_organizations_access_report(JobId=job, SortKey="LAST_AUTHENTICATED_TIME_DESCENDING", MaxItems=1)
    assert newest["AccessDetails"][0]["ServiceNamespace"] == "kms"
    with raises("ValidationError", 400):
        iam.get_organizations_access_report(JobId=job, SortKey="SERVICE_NAMESPACE_ASCENDING", Marker=newest["Marker"])


def test_who_gets_no_report(management, member, orgs, root_id, path, assert_denied):  # noqa: F811
    with raises("AccessDenied", 403):
        member.client("iam").generate_organizations_access_report(EntityPath=path)
    iam = management.client("iam")
    for wrong in (f"{path}/ou-none-12345678", f"{path}/000000000000", "o-aaaaaaaaaa/r-abcd"):
        with raises("InvalidInput", 400):
            iam.generate_organizations_access_report(EntityPath=wrong)
    with raises("InvalidInput", 400):
        iam.generate_organizations_access_report(EntityPath=path, OrganizationsPolicyId="p-doesnotexist")
    with raises("ValidationError", 400):
        iam.generate_organizations_access_report(EntityPath="nonsense, and long enough")
    with raises("NoSuchEntity", 404):
        iam.get_organizations_access_report(JobId="0" * 36)
    nobody = management.user().client("iam")
    assert_denied(lambda: nobody.generate_organizations_access_report(EntityPath=path), "iam:GenerateOrganizationsAccessReport")
    only = f"arn:aws:iam::{management.id}:access-report/{path}/{member.id}"
    somebody = management.user(policy=allow("iam:GenerateOrganizationsAccessReport", only)).client("iam")
    somebody.generate_organizations_access_report(EntityPath=f"{path}/{member.id}")
    assert_denied(lambda: somebody.generate_organizations_access_report(EntityPath=path), "iam:GenerateOrganizationsAccessReport")
    orgs.disable_policy_type(RootId=root_id, PolicyType="SERVICE_CONTROL_POLICY")
    with raises("InvalidInput", 400, "not enabled"):
        iam.generate_organizations_access_report(EntityPath=path)


def test_properties_of_an_account(account, assert_denied):
    iam = account.client("iam")
    assert iam.get_account_properties()["Properties"] == {"RoleManager/Enabled": "false"}
    iam.put_account_properties(Properties={"RoleManager/Enabled": "true"})
    assert iam.get_account_properties()["Properties"] == {"RoleManager/Enabled": "true"}
    for wrong, why in (
        ({"RoleManager/Enabled": "yes"}, "true or false"),
        ({"RoleManager/Color": "true"}, "not known"),
        ({"RoleManager": "true"}, "Namespace/PropertyName"),
        ({"RoleManager/Enabled": "true", "ZOther/Enabled": "true"}, "same namespace"),
    ):
        with raises("InvalidInput", 400, why):
            iam.put_account_properties(Properties=wrong)
    with raises("ValidationError", 400):
        iam.put_account_properties(Properties={"1x": "true"})
    assert iam.get_account_properties()["Properties"] == {"RoleManager/Enabled": "true"}
    nobody = account.user().client("iam")
    assert_denied(nobody.get_account_properties, "iam:GetAccountProperties", by="identity")
    assert_denied(lambda: nobody.put_account_properties(Properties={"RoleManager/Enabled": "false"}), "iam:PutAccountProperties")
