"""Organizations: accounts, units, handshakes, policies and what they do to decisions."""

import concurrent.futures
import json
import re
import uuid

import botocore.exceptions
import pytest

from bailiwick_server import Account, allow, assert_denied, deny, document, raises

OTHER_REGION = "eu-central-1"


@pytest.fixture
def management(account):
    """An account that manages an organization with all features."""
    account.client("organizations").create_organization(FeatureSet="ALL")
    return account


@pytest.fixture
def orgs(management):
    return management.client("organizations")


@pytest.fixture
def root_id(orgs):
    return orgs.list_roots()["Roots"][0]["Id"]


def new_member(orgs, name="member", **more):
    """Id of a new account."""
    status = orgs.create_account(Email=f"{uuid.uuid4().hex}@example.com", AccountName=name, **more)["CreateAccountStatus"]
    assert status["State"] in ("IN_PROGRESS", "SUCCEEDED"), status
    found = orgs.describe_create_account_status(CreateAccountRequestId=status["Id"])["CreateAccountStatus"]
    assert found["State"] == "SUCCEEDED" and found["AccountName"] == name
    return found["AccountId"]


def administrator(management, member_id, role="OrganizationAccountAccessRole"):
    """A session in a member account, through the role that its making gave."""
    by = management.user(policy=allow("sts:AssumeRole", "*"))
    return management.assume(f"arn:aws:iam::{member_id}:role/{role}", by=by)


def scp(orgs, *statements, name=None):
    name = name or f"scp-{uuid.uuid4().hex[:8]}"
    made = orgs.create_policy(Content=document(*statements), Description="", Name=name, Type="SERVICE_CONTROL_POLICY")
    return made["Policy"]["PolicySummary"]


def invite(management, other):
    """The other account joins."""
    orgs = management.client("organizations")
    handshake = orgs.invite_account_to_organization(Target={"Id": other.id, "Type": "ACCOUNT"})["Handshake"]
    other.client("organizations").accept_handshake(HandshakeId=handshake["Id"])
    return other


def test_an_organization_is_made_described_and_deleted(account):
    orgs = account.client("organizations")
    for call in (orgs.describe_organization, orgs.list_accounts, orgs.list_roots, orgs.delete_organization, orgs.leave_organization):
        with raises("AWSOrganizationsNotInUseException", 400, "Your account is not a member of an organization."):
            call()
    made = orgs.create_organization()["Organization"]
    assert re.fullmatch(r"o-[a-z0-9]{10,32}", made["Id"]) and made["FeatureSet"] == "ALL"
    assert made["Arn"] == f"arn:aws:organizations::{account.id}:organization/{made['Id']}"
    assert made["MasterAccountArn"] == f"arn:aws:organizations::{account.id}:account/{made['Id']}/{account.id}"
    assert orgs.describe_organization()["Organization"] == made
    root = orgs.list_roots()["Roots"][0]
    assert re.fullmatch(r"r-[0-9a-z]{4,32}", root["Id"]) and root["Name"] == "Root"
    assert root["PolicyTypes"] == [{"Type": "SERVICE_CONTROL_POLICY", "Status": "ENABLED"}]
    assert [item["Id"] for item in orgs.list_accounts()["Accounts"]] == [account.id]
    with raises("AlreadyInOrganizationException"):
        orgs.create_organization()
    with raises("MasterCannotLeaveOrganizationException"):
        orgs.leave_organization()
    with raises("MasterCannotLeaveOrganizationException"):
        orgs.remove_account_from_organization(AccountId=account.id)
    with raises("HandshakeConstraintViolationException"):
        orgs.enable_all_features()
    orgs.delete_organization()
    with raises("AWSOrganizationsNotInUseException"):
        orgs.describe_organization()
    billing = orgs.create_organization(FeatureSet="CONSOLIDATED_BILLING")["Organization"]
    assert billing["FeatureSet"] == "CONSOLIDATED_BILLING"
    with raises("PolicyTypeNotAvailableForOrganizationException"):
        scp(orgs, allow("*"))
    assert orgs.enable_all_features()["Handshake"]["Action"] == "ENABLE_ALL_FEATURES"
    assert orgs.describe_organization()["Organization"]["FeatureSet"] == "ALL"
    scp(orgs, allow("*"))


def test_units_and_moves(orgs, root_id):
    made = orgs.create_organizational_unit(ParentId=root_id, Name="models", Tags=[{"Key": "a", "Value": "b"}])["OrganizationalUnit"]
    unit = made["Id"]
    assert re.fullmatch(r"ou-[0-9a-z]{4,32}-[a-z0-9]{8,32}", unit) and unit.split("-")[1] == root_id[2:]
    assert orgs.list_tags_for_resource(ResourceId=unit)["Tags"] == [{"Key": "a", "Value": "b"}]
    with raises("DuplicateOrganizationalUnitException"):
        orgs.create_organizational_unit(ParentId=root_id, Name="models")
    with raises("ParentNotFoundException"):
        orgs.create_organizational_unit(ParentId=f"ou-{root_id[2:]}-00000000", Name="x")
    renamed = orgs.update_organizational_unit(OrganizationalUnitId=unit, Name="serving")["OrganizationalUnit"]
    assert renamed["Name"] == "serving"
    assert orgs.describe_organizational_unit(OrganizationalUnitId=unit)["OrganizationalUnit"]["Name"] == "serving"
    parent = unit
    for level in range(4):
        parent = orgs.create_organizational_unit(ParentId=parent, Name=f"level-{level}")["OrganizationalUnit"]["Id"]
    with raises("ConstraintViolationException", message="depth"):
        orgs.create_organizational_unit(ParentId=parent, Name="too deep")
    with raises("OrganizationalUnitNotEmptyException"):
        orgs.delete_organizational_unit(OrganizationalUnitId=unit)
    member = new_member(orgs)
    assert orgs.list_parents(ChildId=member)["Parents"] == [{"Id": root_id, "Type": "ROOT"}]
    orgs.move_account(AccountId=member, SourceParentId=root_id, DestinationParentId=unit)
    assert orgs.list_parents(ChildId=member)["Parents"] == [{"Id": unit, "Type": "ORGANIZATIONAL_UNIT"}]
    assert orgs.list_parents(ChildId=unit)["Parents"] == [{"Id": root_id, "Type": "ROOT"}]
    assert [item["Id"] for item in orgs.list_accounts_for_parent(ParentId=unit)["Accounts"]] == [member]
    assert orgs.list_children(ParentId=unit, ChildType="ACCOUNT")["Children"] == [{"Id": member, "Type": "ACCOUNT"}]
    assert len(orgs.list_children(ParentId=unit, ChildType="ORGANIZATIONAL_UNIT")["Children"]) == 1
    assert [item["Id"] for item in orgs.list_organizational_units_for_parent(ParentId=root_id)["OrganizationalUnits"]] == [unit]
    with raises("SourceParentNotFoundException"):
        orgs.move_account(AccountId=member, SourceParentId=root_id, DestinationParentId=unit)
    with raises("DuplicateAccountException"):
        orgs.move_account(AccountId=member, SourceParentId=unit, DestinationParentId=unit)
    with raises("DestinationParentNotFoundException"):
        orgs.move_account(AccountId=member, SourceParentId=unit, DestinationParentId=f"ou-{root_id[2:]}-00000000")
    with raises("AccountNotFoundException"):
        orgs.move_account(AccountId="999999999999", SourceParentId=unit, DestinationParentId=root_id)
    for missing, call in {
        "OrganizationalUnitNotFoundException": lambda: orgs.describe_organizational_unit(OrganizationalUnitId=f"ou-{root_id[2:]}-00000000"),
        "ChildNotFoundException": lambda: orgs.list_parents(ChildId="999999999999"),
        "ParentNotFoundException": lambda: orgs.list_children(ParentId=f"ou-{root_id[2:]}-00000000", ChildType="ACCOUNT"),
        "TargetNotFoundException": lambda: orgs.tag_resource(ResourceId="999999999999", Tags=[{"Key": "a", "Value": "b"}]),
    }.items():
        with raises(missing, 400):
            call()
    orgs.delete_organizational_unit(OrganizationalUnitId=parent)


def test_accounts_are_usable_at_once_and_closed_for_good(management, orgs):
    member = new_member(orgs, name="research", Tags=[{"Key": "team", "Value": "nlp"}])
    found = orgs.describe_account(AccountId=member)["Account"]
    assert (found["Name"], found["Status"], found["JoinedMethod"]) == ("research", "ACTIVE", "CREATED")
    assert orgs.list_tags_for_resource(ResourceId=member)["Tags"] == [{"Key": "team", "Value": "nlp"}]
    inside = administrator(management, member)
    assert inside.client("sts").get_caller_identity()["Account"] == member
    inside.client("s3").create_bucket(Bucket=f"inside-{member}")
    named = new_member(orgs, RoleName="Landing")
    assert administrator(management, named, "Landing").client("iam").list_users()["Users"] == []
    with raises("AccessDenied", 403):
        administrator(management, member, "Landing")
    email = f"{uuid.uuid4().hex}@example.com"
    orgs.create_account(Email=email, AccountName="first")
    failed = orgs.create_account(Email=email, AccountName="second")["CreateAccountStatus"]
    failed = orgs.describe_create_account_status(CreateAccountRequestId=failed["Id"])["CreateAccountStatus"]
    assert (failed["State"], failed["FailureReason"]) == ("FAILED", "EMAIL_ALREADY_EXISTS")
    assert [item["Id"] for item in orgs.list_create_account_status(States=["FAILED"])["CreateAccountStatuses"]] == [failed["Id"]]
    with raises("CreateAccountStatusNotFoundException"):
        orgs.describe_create_account_status(CreateAccountRequestId="car-" + "0" * 32)
    orgs.close_account(AccountId=member)
    assert orgs.describe_account(AccountId=member)["Account"]["Status"] == "SUSPENDED"
    with raises("AccessDenied", 403, "suspended"):
        inside.client("s3").list_buckets()
    with raises("AccountAlreadyClosedException"):
        orgs.close_account(AccountId=member)
    with raises("ConstraintViolationException"):
        orgs.close_account(AccountId=management.id)
    with raises("ConstraintViolationException"):
        orgs.remove_account_from_organization(AccountId=member)
    with raises("AccountNotFoundException"):
        orgs.describe_account(AccountId="999999999999")
    with raises("OrganizationNotEmptyException"):
        orgs.delete_organization()
    orgs.remove_account_from_organization(AccountId=named)
    assert named not in [item["Id"] for item in orgs.list_accounts()["Accounts"]]
    with raises("UnsupportedAPIEndpointException"):
        orgs.create_gov_cloud_account(Email=email, AccountName="gov")


def test_what_became_of_accounts_is_told_by_events_of_the_service(management, orgs):
    email = f"{uuid.uuid4().hex}@example.com"
    made = orgs.create_account(Email=email, AccountName="canary-name")["CreateAccountStatus"]
    failed = orgs.create_account(Email=email, AccountName="canary-name")["CreateAccountStatus"]
    member = orgs.describe_create_account_status(CreateAccountRequestId=made["Id"])["CreateAccountStatus"]["AccountId"]
    orgs.close_account(AccountId=member)
    with raises("AccountAlreadyClosedException"):
        orgs.close_account(AccountId=member)

    created = {event["serviceEventDetails"]["createAccountStatus"]["id"]: event for event in management.events(EventName="CreateAccountResult")}
    assert set(created) == {made["Id"], failed["Id"]}
    event = created[made["Id"]]
    assert (event["eventType"], event["eventSource"], event["readOnly"]) == ("AwsServiceEvent", "organizations.amazonaws.com", False)
    assert event["requestParameters"] is None and event["responseElements"] is None and event["recipientAccountId"] == management.id
    assert event["userIdentity"]["accountId"] == management.id and event["userIdentity"]["invokedBy"] == "organizations.amazonaws.com"
    assert event["sourceIPAddress"] == event["userAgent"] == "organizations.amazonaws.com"
    status = event["serviceEventDetails"]["createAccountStatus"]
    assert (status["state"], status["accountId"], status["accountName"]) == ("SUCCEEDED", member, "****")
    assert re.fullmatch(r"[A-Z][a-z]{2} \d{1,2}, \d{4} \d{1,2}:\d\d:\d\d [AP]M", status["completedTimestamp"])
    status = created[failed["Id"]]["serviceEventDetails"]["createAccountStatus"]
    assert (status["state"], status["failureReason"]) == ("FAILED", "EMAIL_ALREADY_EXISTS") and "accountId" not in status

    # The refused call is told in its own event only.
    [event] = management.events(EventName="CloseAccountResult")
    status = event["serviceEventDetails"]["closeAccountStatus"]
    assert (status["accountId"], status["state"]) == (member, "SUCCEEDED")
    assert "canary-name" not in json.dumps(management.events())


def test_pages(orgs):
    members = {new_member(orgs, name=f"m{number}") for number in range(3)}
    found, token = [], None
    while True:
        page = orgs.list_accounts(MaxResults=2, **({"NextToken": token} if token else {}))
        assert len(page["Accounts"]) <= 2
        found += [item["Id"] for item in page["Accounts"]]
        token = page.get("NextToken")
        if token is None:
            break
    assert len(found) == len(set(found)) == 4 and members < set(found)
    with raises("InvalidInputException"):
        orgs.list_accounts(NextToken="forged")


def test_an_invited_account_joins_when_both_agree(bailiwick, management, orgs, other_account):
    theirs = other_account.client("organizations")
    for target in ({"Id": "someone@example.com", "Type": "EMAIL"}, {"Id": "123", "Type": "ACCOUNT"}):
        with raises("InvalidInputException"):
            orgs.invite_account_to_organization(Target=target)
    with raises("AccountNotFoundException"):
        orgs.invite_account_to_organization(Target={"Id": "999999999998", "Type": "ACCOUNT"})
    party = {"Id": other_account.id, "Type": "ACCOUNT"}
    made = orgs.invite_account_to_organization(Target=party, Notes="join us", Tags=[{"Key": "a", "Value": "b"}])["Handshake"]
    assert re.fullmatch(r"h-[0-9a-z]{8,32}", made["Id"]) and (made["State"], made["Action"]) == ("OPEN", "INVITE")
    with raises("DuplicateHandshakeException"):
        orgs.invite_account_to_organization(Target=party)
    assert theirs.describe_handshake(HandshakeId=made["Id"])["Handshake"]["Id"] == made["Id"]
    assert [item["Id"] for item in theirs.list_handshakes_for_account()["Handshakes"]] == [made["Id"]]
    assert [item["Id"] for item in orgs.list_handshakes_for_organization(Filter={"ActionType": "INVITE"})["Handshakes"]] == [made["Id"]]
    third = Account.create(bailiwick, f"8{uuid.uuid4().int % 10**11:011d}").client("organizations")
    with raises("HandshakeNotFoundException"):
        third.describe_handshake(HandshakeId=made["Id"])
    with raises("HandshakeNotFoundException"):
        third.accept_handshake(HandshakeId=made["Id"])
    with raises("AccessDeniedException"):
        orgs.accept_handshake(HandshakeId=made["Id"])
    assert theirs.decline_handshake(HandshakeId=made["Id"])["Handshake"]["State"] == "DECLINED"
    with raises("InvalidHandshakeTransitionException"):
        theirs.accept_handshake(HandshakeId=made["Id"])
    again = orgs.invite_account_to_organization(Target=party)["Handshake"]["Id"]
    assert orgs.cancel_handshake(HandshakeId=again)["Handshake"]["State"] == "CANCELED"
    with raises("HandshakeAlreadyInStateException"):
        orgs.cancel_handshake(HandshakeId=again)
    late = orgs.invite_account_to_organization(Target=party)["Handshake"]["Id"]
    bailiwick.advance_clock(days=16)
    assert theirs.describe_handshake(HandshakeId=late)["Handshake"]["State"] == "EXPIRED"
    with raises("InvalidHandshakeTransitionException"):
        theirs.accept_handshake(HandshakeId=late)
    last = orgs.invite_account_to_organization(Target=party, Tags=[{"Key": "a", "Value": "b"}])["Handshake"]["Id"]
    assert theirs.accept_handshake(HandshakeId=last)["Handshake"]["State"] == "ACCEPTED"
    joined = orgs.describe_account(AccountId=other_account.id)["Account"]
    assert (joined["JoinedMethod"], joined["Status"]) == ("INVITED", "ACTIVE")
    assert orgs.list_tags_for_resource(ResourceId=other_account.id)["Tags"] == [{"Key": "a", "Value": "b"}]
    assert theirs.describe_organization()["Organization"]["MasterAccountId"] == management.id
    with raises("HandshakeConstraintViolationException"):
        orgs.invite_account_to_organization(Target=party)
    # A member sees its organization, and changes nothing.
    for call in (theirs.list_accounts, theirs.list_roots, lambda: theirs.create_account(Email="a@b.example", AccountName="x")):
        with raises("AccessDeniedException"):
            call()
    theirs.leave_organization()
    with raises("AWSOrganizationsNotInUseException"):
        theirs.describe_organization()


def test_policies_are_made_attached_and_detached(orgs, root_id):
    made = scp(orgs, allow("*"), deny("s3:DeleteBucket"), name="guard")
    assert re.fullmatch(r"p-[0-9a-z_]{8,128}", made["Id"]) and made["AwsManaged"] is False
    assert "/service_control_policy/p-" in made["Arn"]
    assert json.loads(orgs.describe_policy(PolicyId=made["Id"])["Policy"]["Content"])["Statement"][1]["Effect"] == "Deny"
    with raises("DuplicatePolicyException"):
        scp(orgs, allow("*"), name="guard")
    for text in ("{}", "nonsense", document({"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"})):
        with raises("MalformedPolicyDocumentException", 400):
            orgs.create_policy(Content=text, Description="", Name="bad", Type="SERVICE_CONTROL_POLICY")
    with raises("ConstraintViolationException"):
        orgs.create_policy(Content=document(allow("*")) + " " * 10_240, Description="", Name="long", Type="SERVICE_CONTROL_POLICY")
    with raises("PolicyTypeNotAvailableForOrganizationException"):
        orgs.create_policy(Content="{}", Description="", Name="x", Type="BACKUP_POLICY")
    changed = orgs.update_policy(PolicyId=made["Id"], Name="guarded", Content=document(allow("*")))["Policy"]
    assert changed["PolicySummary"]["Name"] == "guarded"
    names = {policy["Name"]: policy for policy in orgs.list_policies(Filter="SERVICE_CONTROL_POLICY")["Policies"]}
    assert set(names) == {"FullAWSAccess", "guarded"} and names["FullAWSAccess"]["AwsManaged"] is True
    for call in (
        lambda: orgs.update_policy(PolicyId="p-FullAWSAccess", Name="x"),
        lambda: orgs.delete_policy(PolicyId="p-FullAWSAccess"),
    ):
        with raises("InvalidInputException", message="managed by AWS"):
            call()
    unit = orgs.create_organizational_unit(ParentId=root_id, Name="u")["OrganizationalUnit"]["Id"]
    orgs.attach_policy(PolicyId=made["Id"], TargetId=unit)
    with raises("DuplicatePolicyAttachmentException"):
        orgs.attach_policy(PolicyId=made["Id"], TargetId=unit)
    with raises("PolicyInUseException"):
        orgs.delete_policy(PolicyId=made["Id"])
    with raises("TargetNotFoundException"):
        orgs.attach_policy(PolicyId=made["Id"], TargetId="999999999999")
    with raises("PolicyNotFoundException"):
        orgs.attach_policy(PolicyId="p-00000000", TargetId=unit)
    assert {item["Name"] for item in orgs.list_policies_for_target(TargetId=unit, Filter="SERVICE_CONTROL_POLICY")["Policies"]} == {
        "FullAWSAccess",
        "guarded",
    }
    assert orgs.list_targets_for_policy(PolicyId=made["Id"])["Targets"][0]["TargetId"] == unit
    orgs.detach_policy(PolicyId="p-FullAWSAccess", TargetId=unit)
    with raises("ConstraintViolationException", message="last policy"):
        orgs.detach_policy(PolicyId=made["Id"], TargetId=unit)
    orgs.attach_policy(PolicyId="p-FullAWSAccess", TargetId=unit)
    orgs.detach_policy(PolicyId=made["Id"], TargetId=unit)
    with raises("PolicyNotAttachedException"):
        orgs.detach_policy(PolicyId=made["Id"], TargetId=unit)
    for number in range(9):
        orgs.attach_policy(PolicyId=scp(orgs, allow("*"), name=f"p{number}")["Id"], TargetId=unit)
    with raises("ConstraintViolationException", message="maximum number"):
        orgs.attach_policy(PolicyId=made["Id"], TargetId=unit)
    orgs.delete_policy(PolicyId=made["Id"])
    with raises("PolicyNotFoundException"):
        orgs.describe_policy(PolicyId=made["Id"])


def test_policy_types_are_switched(management, orgs, root_id):
    assert orgs.list_roots()["Roots"][0]["PolicyTypes"] == [{"Type": "SERVICE_CONTROL_POLICY", "Status": "ENABLED"}]
    # The features' own switch does not stand in the way of who switches them on, as Terraform does.
    orgs.enable_policy_type(RootId=root_id, PolicyType="SERVICE_CONTROL_POLICY")
    with raises("PolicyTypeAlreadyEnabledException"):
        orgs.enable_policy_type(RootId=root_id, PolicyType="SERVICE_CONTROL_POLICY")
    with raises("RootNotFoundException"):
        orgs.enable_policy_type(RootId="r-0000", PolicyType="TAG_POLICY")
    with raises("PolicyTypeNotEnabledException"):
        orgs.disable_policy_type(RootId=root_id, PolicyType="TAG_POLICY")
    tags = json.dumps({"tags": {"team": {"tag_key": {"@@assign": "Team"}, "tag_value": {"@@assign": ["a"]}}}})
    made = orgs.create_policy(Content=tags, Description="", Name="tags", Type="TAG_POLICY")["Policy"]["PolicySummary"]["Id"]
    with raises("PolicyTypeNotEnabledException"):
        orgs.attach_policy(PolicyId=made, TargetId=root_id)
    orgs.enable_policy_type(RootId=root_id, PolicyType="TAG_POLICY")
    orgs.attach_policy(PolicyId=made, TargetId=root_id)
    member = new_member(orgs)
    more = json.dumps({"tags": {"team": {"tag_value": {"@@append": ["b"]}}}})
    below = orgs.create_policy(Content=more, Description="", Name="more", Type="TAG_POLICY")["Policy"]["PolicySummary"]["Id"]
    orgs.attach_policy(PolicyId=below, TargetId=member)
    effective = orgs.describe_effective_policy(PolicyType="TAG_POLICY", TargetId=member)["EffectivePolicy"]
    assert json.loads(effective["PolicyContent"]) == {"tags": {"team": {"tag_key": "Team", "tag_value": ["a", "b"]}}}
    inside = administrator(management, member).client("organizations")
    own = inside.describe_effective_policy(PolicyType="TAG_POLICY")["EffectivePolicy"]
    assert (own["TargetId"], own["PolicyContent"]) == (member, effective["PolicyContent"])
    with raises("EffectivePolicyNotFoundException"):
        orgs.describe_effective_policy(PolicyType="AISERVICES_OPT_OUT_POLICY", TargetId=member)
    orgs.disable_policy_type(RootId=root_id, PolicyType="TAG_POLICY")
    assert orgs.list_targets_for_policy(PolicyId=made)["Targets"] == []


def test_service_control_policies_bind_on_the_next_call(management, orgs, root_id):
    member = new_member(orgs)
    inside = administrator(management, member)
    s3 = inside.client("s3")
    s3.create_bucket(Bucket=f"b-{member}")
    guard = scp(orgs, deny("s3:DeleteBucket"))
    orgs.attach_policy(PolicyId=guard["Id"], TargetId=root_id)
    message = assert_denied(lambda: s3.delete_bucket(Bucket=f"b-{member}"), "s3:DeleteBucket", by="scp", explicit=True)
    assert guard["Arn"] in message
    # Nothing binds the management account.
    mine = management.client("s3")
    mine.create_bucket(Bucket=f"b-{management.id}")
    mine.delete_bucket(Bucket=f"b-{management.id}")
    orgs.update_policy(PolicyId=guard["Id"], Content=document(deny("s3:ListBucket")))
    assert_denied(lambda: s3.list_objects_v2(Bucket=f"b-{member}"), "s3:ListBucket", by="scp", explicit=True)
    s3.delete_bucket(Bucket=f"b-{member}")
    orgs.detach_policy(PolicyId=guard["Id"], TargetId=root_id)
    s3.create_bucket(Bucket=f"c-{member}")
    s3.list_objects_v2(Bucket=f"c-{member}")
    # Every level must allow.
    unit = orgs.create_organizational_unit(ParentId=root_id, Name="narrow")["OrganizationalUnit"]["Id"]
    narrow = scp(orgs, allow("iam:*"))
    orgs.attach_policy(PolicyId=narrow["Id"], TargetId=unit)
    orgs.detach_policy(PolicyId="p-FullAWSAccess", TargetId=unit)
    orgs.move_account(AccountId=member, SourceParentId=root_id, DestinationParentId=unit)
    inside.client("iam").list_users()
    assert_denied(lambda: s3.list_objects_v2(Bucket=f"c-{member}"), "s3:ListBucket", by="scp", explicit=False)
    orgs.move_account(AccountId=member, SourceParentId=unit, DestinationParentId=root_id)
    s3.list_objects_v2(Bucket=f"c-{member}")
    orgs.disable_policy_type(RootId=root_id, PolicyType="SERVICE_CONTROL_POLICY")
    s3.list_objects_v2(Bucket=f"c-{member}")


def test_regions_are_locked_for_the_root_user_of_a_member_too(management, orgs, root_id, other_account):
    member = invite(management, other_account)
    lock = deny("bedrock:*", Condition={"StringNotEquals": {"aws:RequestedRegion": "us-east-1"}})
    orgs.attach_policy(PolicyId=scp(orgs, lock)["Id"], TargetId=root_id)
    member.client("bedrock").list_guardrails()
    for session in (member.session, member.user(policy=allow("*"))):
        abroad = session.client("bedrock", region_name=OTHER_REGION)
        assert_denied(lambda: abroad.list_guardrails(), "bedrock:ListGuardrails", by="scp", explicit=True)
    management.client("bedrock", region=OTHER_REGION).list_guardrails()
    [event] = [event for event in member.events(region=OTHER_REGION, EventName="ListGuardrails") if event["userIdentity"]["type"] == "Root"]
    assert event["errorCode"] == "AccessDeniedException" and "service control policy" in event["errorMessage"]


def test_resource_control_policies_bind_what_members_own(management, orgs, root_id, bailiwick):
    member = new_member(orgs)
    s3 = administrator(management, member).client("s3")
    bucket = f"rcp-{member}"
    s3.create_bucket(Bucket=bucket)
    with raises("PolicyTypeNotEnabledException"):
        orgs.attach_policy(PolicyId="p-RCPFullAWSAccess", TargetId=root_id)
    orgs.enable_policy_type(RootId=root_id, PolicyType="RESOURCE_CONTROL_POLICY")
    text = document(deny("s3:PutObject", Principal="*", Condition={"StringNotEquals": {"aws:PrincipalTag/trusted": "yes"}}))
    made = orgs.create_policy(Content=text, Description="", Name="rcp", Type="RESOURCE_CONTROL_POLICY")["Policy"]["PolicySummary"]
    orgs.attach_policy(PolicyId=made["Id"], TargetId=root_id)
    assert_denied(lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"x"), "s3:PutObject", by="rcp", explicit=True)
    with raises("MalformedPolicyDocumentException"):
        orgs.create_policy(
            Content=document(allow("s3:*", Principal="*")), Description="", Name="bad", Type="RESOURCE_CONTROL_POLICY"
        )
    with raises("InvalidInputException"):
        orgs.detach_policy(PolicyId="p-RCPFullAWSAccess", TargetId=root_id)
    names = {item["Name"] for item in orgs.list_policies_for_target(TargetId=member, Filter="RESOURCE_CONTROL_POLICY")["Policies"]}
    assert names == {"RCPFullAWSAccess"}
    # The management account's own resources are not bound.
    mine = management.client("s3")
    mine.create_bucket(Bucket=f"rcp-{management.id}")
    mine.put_object(Bucket=f"rcp-{management.id}", Key="k", Body=b"x")
    orgs.detach_policy(PolicyId=made["Id"], TargetId=root_id)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")


def test_organization_keys_in_policies(management, orgs, root_id, other_account):
    organization = orgs.describe_organization()["Organization"]["Id"]
    s3 = management.client("s3")
    bucket = f"shared-{management.id}"
    s3.create_bucket(Bucket=bucket)
    s3.delete_public_access_block(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    statement = allow(
        "s3:GetObject", f"arn:aws:s3:::{bucket}/*", Principal="*", Condition={"StringEquals": {"aws:PrincipalOrgID": organization}}
    )
    s3.put_bucket_policy(Bucket=bucket, Policy=document(statement))
    reader = other_account.user(policy=allow("s3:GetObject", "*")).client("s3")
    assert_denied(lambda: reader.get_object(Bucket=bucket, Key="k"))
    invite(management, other_account)
    assert reader.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    unit = orgs.create_organizational_unit(ParentId=root_id, Name="inside")["OrganizationalUnit"]["Id"]
    statement["Condition"] = {"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": f"{organization}/{root_id}/{unit}/*"}}
    s3.put_bucket_policy(Bucket=bucket, Policy=document(statement))
    assert_denied(lambda: reader.get_object(Bucket=bucket, Key="k"))
    orgs.move_account(AccountId=other_account.id, SourceParentId=root_id, DestinationParentId=unit)
    assert reader.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    other_account.client("organizations").leave_organization()
    assert_denied(lambda: reader.get_object(Bucket=bucket, Key="k"))


def test_delegation(management, orgs, root_id, other_account):
    invite(management, other_account)
    theirs = other_account.client("organizations")
    service = "access-analyzer.amazonaws.com"
    with raises("ConstraintViolationException", message="enable the service"):
        orgs.register_delegated_administrator(AccountId=other_account.id, ServicePrincipal=service)
    with raises("InvalidInputException"):
        orgs.enable_aws_service_access(ServicePrincipal="example.com")
    orgs.enable_aws_service_access(ServicePrincipal=service)
    assert [item["ServicePrincipal"] for item in orgs.list_aws_service_access_for_organization()["EnabledServicePrincipals"]] == [service]
    with raises("ConstraintViolationException", message="master"):
        orgs.register_delegated_administrator(AccountId=management.id, ServicePrincipal=service)
    orgs.register_delegated_administrator(AccountId=other_account.id, ServicePrincipal=service)
    with raises("AccountAlreadyRegisteredException"):
        orgs.register_delegated_administrator(AccountId=other_account.id, ServicePrincipal=service)
    assert [item["Id"] for item in orgs.list_delegated_administrators()["DelegatedAdministrators"]] == [other_account.id]
    services = orgs.list_delegated_services_for_account(AccountId=other_account.id)["DelegatedServices"]
    assert [item["ServicePrincipal"] for item in services] == [service]
    # A delegated administrator reads, and changes nothing.
    assert len(theirs.list_accounts()["Accounts"]) == 2
    with raises("AccessDeniedException"):
        theirs.create_organizational_unit(ParentId=root_id, Name="x")
    with raises("ConstraintViolationException"):
        orgs.remove_account_from_organization(AccountId=other_account.id)
    with raises("ConstraintViolationException"):
        orgs.disable_aws_service_access(ServicePrincipal=service)
    orgs.deregister_delegated_administrator(AccountId=other_account.id, ServicePrincipal=service)
    with raises("AccountNotRegisteredException"):
        orgs.deregister_delegated_administrator(AccountId=other_account.id, ServicePrincipal=service)
    with raises("AccountNotRegisteredException"):
        orgs.list_delegated_services_for_account(AccountId=other_account.id)
    orgs.disable_aws_service_access(ServicePrincipal=service)
    with raises("AccessDeniedException"):
        theirs.list_accounts()
    # The resource policy hands single actions to a member.
    with raises("ResourcePolicyNotFoundException"):
        orgs.describe_resource_policy()
    with raises("MalformedPolicyDocumentException"):
        orgs.put_resource_policy(Content="{}")
    statement = allow(
        ["organizations:CreatePolicy", "organizations:ListPolicies", "organizations:DescribePolicy"],
        "*",
        Principal={"AWS": f"arn:aws:iam::{other_account.id}:root"},
    )
    made = orgs.put_resource_policy(Content=document(statement))["ResourcePolicy"]
    assert orgs.describe_resource_policy()["ResourcePolicy"] == made
    policy = scp(theirs, allow("*"), name="made by a member")
    assert theirs.describe_policy(PolicyId=policy["Id"])["Policy"]["PolicySummary"]["Name"] == "made by a member"
    with raises("AccessDeniedException", message="no resource-based policy allows the organizations:DeletePolicy action"):
        theirs.delete_policy(PolicyId=policy["Id"])
    with raises("AccessDeniedException"):
        theirs.create_account(Email="a@example.com", AccountName="x")
    orgs.delete_resource_policy()
    with raises("AccessDeniedException"):
        theirs.list_policies(Filter="SERVICE_CONTROL_POLICY")


def test_identity_policies_decide_over_organizations(management, orgs, root_id):
    policy = scp(orgs, allow("*"))
    arn = policy["Arn"]
    session = management.user(policy=[allow("organizations:DescribePolicy", arn), allow("organizations:ListRoots")])
    client = session.client("organizations")
    client.list_roots()
    assert client.describe_policy(PolicyId=policy["Id"])["Policy"]["PolicySummary"]["Arn"] == arn
    assert_denied(lambda: client.describe_policy(PolicyId="p-FullAWSAccess"), "organizations:DescribePolicy", by="identity")
    party = {"Id": "999999999999", "Type": "ACCOUNT"}
    for action, call in {
        "AttachPolicy": lambda: client.attach_policy(PolicyId=policy["Id"], TargetId=root_id),
        "CreateAccount": lambda: client.create_account(Email="a@example.com", AccountName="x"),
        "CreateOrganizationalUnit": lambda: client.create_organizational_unit(ParentId=root_id, Name="x"),
        "CreatePolicy": lambda: scp(client, allow("*")),
        "DeleteOrganization": lambda: client.delete_organization(),
        "DeletePolicy": lambda: client.delete_policy(PolicyId=policy["Id"]),
        "DescribeOrganization": lambda: client.describe_organization(),
        "DetachPolicy": lambda: client.detach_policy(PolicyId=policy["Id"], TargetId=root_id),
        "DisablePolicyType": lambda: client.disable_policy_type(RootId=root_id, PolicyType="SERVICE_CONTROL_POLICY"),
        "EnablePolicyType": lambda: client.enable_policy_type(RootId=root_id, PolicyType="TAG_POLICY"),
        "InviteAccountToOrganization": lambda: client.invite_account_to_organization(Target=party),
        "LeaveOrganization": lambda: client.leave_organization(),
        "ListAccounts": lambda: client.list_accounts(),
        "MoveAccount": lambda: client.move_account(AccountId=management.id, SourceParentId=root_id, DestinationParentId=root_id),
        "PutResourcePolicy": lambda: client.put_resource_policy(Content="{}"),
        "TagResource": lambda: client.tag_resource(ResourceId=root_id, Tags=[{"Key": "a", "Value": "b"}]),
        "UpdatePolicy": lambda: client.update_policy(PolicyId=policy["Id"], Name="y"),
    }.items():
        assert_denied(call, f"organizations:{action}", by="identity", explicit=False)


def test_concurrent_moves_leave_one_place(orgs, root_id):
    member = new_member(orgs)
    units = [orgs.create_organizational_unit(ParentId=root_id, Name=f"u{number}")["OrganizationalUnit"]["Id"] for number in range(4)]

    def move(unit):
        try:
            orgs.move_account(AccountId=member, SourceParentId=root_id, DestinationParentId=unit)
        except botocore.exceptions.ClientError as error:
            return error.response["Error"]["Code"]
        return None

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(move, units))
    assert results.count(None) == 1 and set(results) == {None, "SourceParentNotFoundException"}
    assert orgs.list_parents(ChildId=member)["Parents"][0]["Id"] == units[results.index(None)]


def test_transfers_and_accounts_elsewhere_are_refused(account, management, orgs, other_account):
    calls = {
        "invite_organization_to_transfer_responsibility": {
            "Type": "BILLING",
            "Target": {"Id": other_account.id, "Type": "ACCOUNT"},
            "StartTimestamp": 1_900_000_000,
            "SourceName": "x",
        },
        "create_gov_cloud_account": {"Email": "a@example.com", "AccountName": "x"},
    }
    for name, members in calls.items():
        with raises("UnsupportedAPIEndpointException"):
            getattr(orgs, name)(**members)
        with raises("AWSOrganizationsNotInUseException"):
            getattr(other_account.client("organizations"), name)(**members)
    assert orgs.list_inbound_responsibility_transfers(Type="BILLING")["ResponsibilityTransfers"] == []
    assert orgs.list_outbound_responsibility_transfers(Type="BILLING")["ResponsibilityTransfers"] == []
    transfer = "rt-" + "a" * 8
    for call in (orgs.describe_responsibility_transfer, orgs.terminate_responsibility_transfer):
        with raises("ResponsibilityTransferNotFoundException"):
            call(Id=transfer)
    with raises("ResponsibilityTransferNotFoundException"):
        orgs.update_responsibility_transfer(Id=transfer, Name="x")
    user = management.user(policy=allow("organizations:ListInboundResponsibilityTransfers"))
    with raises("AccessDeniedException", message="organizations:ListOutboundResponsibilityTransfers"):
        user.client("organizations").list_outbound_responsibility_transfers(Type="BILLING")


def test_effective_policies_that_inheritance_made_invalid(management, orgs, root_id, other_account, assert_denied):
    member = invite(management, other_account)
    tags = {"PolicyType": "TAG_POLICY"}
    with raises("EffectivePolicyNotFoundException", 400):
        orgs.list_accounts_with_invalid_effective_policy(**tags)
    orgs.enable_policy_type(RootId=root_id, PolicyType="TAG_POLICY")
    with raises("EffectivePolicyNotFoundException", 400):
        orgs.list_effective_policy_validation_errors(AccountId=member.id, **tags)

    def policy(name, key):
        content = json.dumps({"tags": {"cost": {"tag_key": key}}})
        return orgs.create_policy(Content=content, Description="", Name=name, Type="TAG_POLICY")["Policy"]["PolicySummary"]["Id"]

    top, below = policy("top", {"@@assign": "Cost"}), policy("below", {"@@append": ["cost"]})
    orgs.attach_policy(PolicyId=top, TargetId=root_id)
    assert orgs.list_accounts_with_invalid_effective_policy(**tags)["Accounts"] == []
    assert orgs.list_effective_policy_validation_errors(AccountId=member.id, **tags)["EffectivePolicyValidationErrors"] == []
    orgs.attach_policy(PolicyId=below, TargetId=member.id)
    found = orgs.list_accounts_with_invalid_effective_policy(**tags)
    assert [account["Id"] for account in found["Accounts"]] == [member.id] and found["PolicyType"] == "TAG_POLICY"
    answer = orgs.list_effective_policy_validation_errors(AccountId=member.id, **tags)
    (error,) = answer["EffectivePolicyValidationErrors"]
    assert error["ErrorCode"] == "ELEMENTS_TOO_MANY" and error["PathToError"] == "$.tags.cost.tag_key"
    assert error["ContributingPolicies"] == [top, below]
    assert answer["AccountId"] == member.id and answer["Path"].endswith(f"{root_id}/{member.id}/")
    with raises("AccountNotFoundException"):
        orgs.list_effective_policy_validation_errors(AccountId="000000000000", **tags)
    with raises("AccessDeniedException"):
        member.client("organizations").list_accounts_with_invalid_effective_policy(**tags)
    orgs.enable_aws_service_access(ServicePrincipal="tagpolicies.tag.amazonaws.com")
    orgs.register_delegated_administrator(AccountId=member.id, ServicePrincipal="tagpolicies.tag.amazonaws.com")
    assert member.client("organizations").list_accounts_with_invalid_effective_policy(**tags)["Accounts"]
    nobody = management.user().client("organizations")
    action = "organizations:ListEffectivePolicyValidationErrors"
    assert_denied(lambda: nobody.list_effective_policy_validation_errors(AccountId=member.id, **tags), action)


def test_a_tag_policy_is_enforced(management, orgs, root_id, other_account):
    member = invite(management, other_account)
    orgs.enable_policy_type(RootId=root_id, PolicyType="TAG_POLICY")
    rule = {"tag_key": {"@@assign": "Cost"}, "tag_value": {"@@assign": ["100", "2*"]}, "enforced_for": {"@@assign": ["kms:key", "iam:policy"]}}
    made = orgs.create_policy(Content=json.dumps({"tags": {"cost": rule}}), Description="", Name="cost", Type="TAG_POLICY")
    orgs.attach_policy(PolicyId=made["Policy"]["PolicySummary"]["Id"], TargetId=member.id)
    kms, iam = member.client("kms"), member.client("iam")

    def key(*tags):
        return kms.create_key(Tags=[{"TagKey": key, "TagValue": value} for key, value in tags])["KeyMetadata"]["KeyId"]

    key()
    key(("other", "x"))
    made = key(("Cost", "100"), ("other", "x"))
    kms.tag_resource(KeyId=made, Tags=[{"TagKey": "Cost", "TagValue": "23"}])
    with raises("TagPolicyViolation", 400, "value for the following tag key: 'Cost'"):
        key(("Cost", "300"))
    with raises("TagPolicyViolation", 400, "capitalization"):
        key(("cost", "100"))
    with raises("TagPolicyViolation", 400):
        kms.tag_resource(KeyId=made, Tags=[{"TagKey": "Cost", "TagValue": "300"}])
    kms.untag_resource(KeyId=made, TagKeys=["Cost"])
    with raises("TagPolicyViolation", 400):
        iam.create_policy(PolicyName="p", PolicyDocument=document(allow("*")), Tags=[{"Key": "Cost", "Value": "300"}])
    iam.create_user(UserName="free", Tags=[{"Key": "Cost", "Value": "300"}])
    management.client("kms").create_key(Tags=[{"TagKey": "Cost", "TagValue": "300"}])
    orgs.disable_policy_type(RootId=root_id, PolicyType="TAG_POLICY")
    key(("Cost", "300"))
