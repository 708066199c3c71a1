"""STS: temporary credentials, who may have them, and what they may do."""

import datetime
import json

import botocore.config
import botocore.exceptions
import pytest

from bailiwick_server import Account, Credentials, allow, deny, document, raises, request_id

# A client that leaves the checks of parameters to the server.
UNCHECKED = botocore.config.Config(parameter_validation=False)


@pytest.fixture
def sts(account):
    """STS as the root user of a fresh account sees it."""
    return account.client("sts")


def session_of(account, keys):
    return account.server.session(Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"]))


def trusted_by(principal, *actions, **more):
    return {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": list(actions) or "sts:AssumeRole", **more}


def root_of(account):
    return f"arn:aws:iam::{account.id}:root"


# GetCallerIdentity


def test_everybody_may_ask_who_they_are(account, sts):
    assert sts.get_caller_identity()["Arn"] == root_of(account)
    assert sts.get_caller_identity()["UserId"] == account.id
    user = account.user(policy=deny("*"))
    answer = user.client("sts").get_caller_identity()
    assert answer["Arn"] == f"arn:aws:iam::{account.id}:user/{user.user_name}"
    assert answer["UserId"].startswith("AIDA") and answer["Account"] == account.id


# AssumeRole


def test_a_role_is_assumed(account):
    role = account.role(policy=allow("iam:ListUsers"))
    role_name = role.rsplit("/", 1)[1]
    user = account.user(policy=allow("sts:AssumeRole", role))
    answer = user.client("sts").assume_role(RoleArn=role, RoleSessionName="night-run")
    assert answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{account.id}:assumed-role/{role_name}/night-run"
    role_id = account.client("iam").get_role(RoleName=role_name)["Role"]["RoleId"]
    assert answer["AssumedRoleUser"]["AssumedRoleId"] == f"{role_id}:night-run"
    assert "PackedPolicySize" not in answer
    keys = answer["Credentials"]
    assert keys["AccessKeyId"].startswith("ASIA") and len(keys["AccessKeyId"]) == 20
    left = keys["Expiration"] - account.server.now()
    assert datetime.timedelta(minutes=58) < left <= datetime.timedelta(hours=1)
    session = session_of(account, keys)
    assert session.client("sts").get_caller_identity()["Arn"] == answer["AssumedRoleUser"]["Arn"]
    session.client("iam").list_users()


def test_a_session_may_what_its_role_may_and_no_more(account, assert_denied):
    session = account.assume(account.role(policy=allow("iam:ListUsers")))
    session.client("iam").list_users()
    message = assert_denied(session.client("iam").list_roles, "iam:ListRoles", by="identity", explicit=False)
    assert "assumed-role/" in message


def test_a_role_must_trust_its_caller(account, assert_denied):
    trusted = account.user()
    arn = trusted.user_arn()
    role = account.role(trust=trusted_by(arn))
    stranger = account.user(policy=allow("sts:AssumeRole"))
    assume = lambda who: who.client("sts").assume_role(RoleArn=role, RoleSessionName="run")  # noqa: E731
    # A trust policy that names the user is enough; the user's own policies need not allow.
    assert assume(trusted)["Credentials"]
    assert_denied(lambda: assume(stranger), "sts:AssumeRole", by="role trust policy", explicit=False)


def test_a_trusted_account_decides_by_its_own_policies(account, assert_denied):
    role = account.role()
    without = account.user()
    assert_denied(
        lambda: without.client("sts").assume_role(RoleArn=role, RoleSessionName="run"), "sts:AssumeRole", by="identity", explicit=False
    )
    denied = account.user(policy=[allow("sts:AssumeRole"), deny("sts:AssumeRole", role)])
    assert_denied(
        lambda: denied.client("sts").assume_role(RoleArn=role, RoleSessionName="run"), "sts:AssumeRole", by="identity", explicit=True
    )


def test_across_accounts_both_sides_must_agree(account, other_account, assert_denied):
    user = other_account.user(policy=allow("sts:AssumeRole"))
    role = account.role(trust=trusted_by(root_of(other_account)), policy=allow("iam:ListUsers"))
    keys = user.client("sts").assume_role(RoleArn=role, RoleSessionName="guest")["Credentials"]
    session = session_of(account, keys)
    assert session.client("sts").get_caller_identity()["Account"] == account.id
    session.client("iam").list_users()

    powerless = other_account.user()
    direct = account.role(trust=trusted_by(powerless.user_arn()))
    call = lambda: powerless.client("sts").assume_role(RoleArn=direct, RoleSessionName="guest")  # noqa: E731
    assert_denied(call, "sts:AssumeRole", by="identity")
    closed = account.role()
    assert_denied(lambda: user.client("sts").assume_role(RoleArn=closed, RoleSessionName="guest"), "sts:AssumeRole", by="role trust policy")


def test_missing_roles_are_denied_and_not_told_of(account, assert_denied):
    user = account.user(policy=allow("sts:AssumeRole"))
    missing = f"arn:aws:iam::{account.id}:role/missing"
    assert_denied(lambda: user.client("sts").assume_role(RoleArn=missing, RoleSessionName="run"), "sts:AssumeRole")
    with raises("ValidationError", 400, "is invalid"):
        user.client("sts").assume_role(RoleArn="not-an-arn-but-long-enough", RoleSessionName="run")
    with raises("ValidationError", 400):
        user.client("sts").assume_role(RoleArn=missing, RoleSessionName="a b")


def test_root_assumes_nothing(account, sts):
    with raises("AccessDenied", 403, "^Roles may not be assumed by root accounts.$"):
        sts.assume_role(RoleArn=account.role(), RoleSessionName="run")


def test_the_external_id_is_asked_for(account, other_account, assert_denied):
    condition = {"StringEquals": {"sts:ExternalId": "secret-handshake"}}
    role = account.role(trust=trusted_by(root_of(other_account), Condition=condition))
    sts = other_account.user(policy=allow("sts:AssumeRole")).client("sts")
    sts.assume_role(RoleArn=role, RoleSessionName="run", ExternalId="secret-handshake")
    assert_denied(lambda: sts.assume_role(RoleArn=role, RoleSessionName="run"), "sts:AssumeRole", by="role trust policy")
    assert_denied(lambda: sts.assume_role(RoleArn=role, RoleSessionName="run", ExternalId="guess"), "sts:AssumeRole")


def test_the_session_name_can_be_prescribed(account, assert_denied):
    condition = {"StringLike": {"sts:RoleSessionName": "${aws:username}"}}
    role = account.role(trust=trusted_by(root_of(account), Condition=condition))
    user = account.user(policy=allow("sts:AssumeRole"))
    user.client("sts").assume_role(RoleArn=role, RoleSessionName=user.user_name)
    assert_denied(lambda: user.client("sts").assume_role(RoleArn=role, RoleSessionName="other"), "sts:AssumeRole")


def test_durations_are_bounded_by_the_role(account):
    iam = account.client("iam")
    role = account.role()
    user = account.user(policy=allow("sts:AssumeRole"))
    sts = user.client("sts", config=UNCHECKED)
    assume = lambda seconds: sts.assume_role(RoleArn=role, RoleSessionName="run", DurationSeconds=seconds)  # noqa: E731
    with raises("ValidationError", 400, "exceeds the MaxSessionDuration set for this role"):
        assume(3601)
    with raises("ValidationError", 400):
        assume(899)
    iam.update_role(RoleName=role.rsplit("/", 1)[1], MaxSessionDuration=7200)
    left = assume(7200)["Credentials"]["Expiration"] - account.server.now()
    assert left > datetime.timedelta(minutes=118)


def test_chained_sessions_last_an_hour_at_most(account):
    second = account.role(policy=allow("iam:ListUsers"))
    account.client("iam").update_role(RoleName=second.rsplit("/", 1)[1], MaxSessionDuration=43200)
    first = account.role(policy=allow("sts:AssumeRole", second))
    session = account.assume(first)
    with raises("ValidationError", 400, "1 hour session limit for roles assumed by role chaining"):
        session.client("sts").assume_role(RoleArn=second, RoleSessionName="run", DurationSeconds=3601)
    chained = account.assume(second, by=session)
    chained.client("iam").list_users()


def test_a_session_ends(start_server):
    server = start_server("--ephemeral", "--manual-clock")
    account = Account.home(server)
    session = account.assume(account.role(), DurationSeconds=900)
    session.client("sts").get_caller_identity()
    server.advance_clock(minutes=14)
    session.client("sts").get_caller_identity()
    server.advance_clock(minutes=2)
    with raises("ExpiredToken", 403):
        session.client("sts").get_caller_identity()


def test_a_session_dies_with_its_role(account, assert_denied):
    iam = account.client("iam")
    role = account.role(policy=allow("iam:ListUsers"))
    role_name = role.rsplit("/", 1)[1]
    session = account.assume(role)
    session.client("iam").list_users()
    iam.delete_role_policy(RoleName=role_name, PolicyName="test")
    assert_denied(session.client("iam").list_users, "iam:ListUsers", by="identity")
    iam.delete_role(RoleName=role_name)
    account.role(name=role_name, policy=allow("iam:ListUsers"))
    assert_denied(session.client("iam").list_users, "iam:ListUsers", by="identity")


def test_a_token_belongs_to_its_key(account):
    role = account.role()
    one, two = account.assume(role), account.assume(role)
    mixed = Credentials(one.credentials.access_key_id, one.credentials.secret_access_key, two.credentials.session_token)
    with raises("InvalidClientTokenId", 403):
        account.server.session(mixed).client("sts").get_caller_identity()
    forged = Credentials(one.credentials.access_key_id, one.credentials.secret_access_key, "A" * 200)
    with raises("InvalidClientTokenId", 403):
        account.server.session(forged).client("sts").get_caller_identity()


def test_the_last_use_of_a_role_is_told(account):
    iam = account.client("iam")
    role = account.role()
    role_name = role.rsplit("/", 1)[1]
    assert iam.get_role(RoleName=role_name)["Role"]["RoleLastUsed"] == {}
    account.assume(role).client("sts").get_caller_identity()
    assert iam.get_role(RoleName=role_name)["Role"]["RoleLastUsed"]["LastUsedDate"]


# Session policies


def test_session_policies_narrow(account, assert_denied):
    role = account.role(policy=allow("iam:List*"))
    session = account.assume(role, Policy=document(allow(["iam:ListUsers", "iam:CreateUser"])))
    session.client("iam").list_users()
    assert_denied(session.client("iam").list_roles, "iam:ListRoles", by="session", explicit=False)
    assert_denied(lambda: session.client("iam").create_user(UserName="x"), "iam:CreateUser", by="identity")


def test_managed_session_policies_are_read_as_they_are_now(account, assert_denied):
    iam = account.client("iam")
    arn = iam.create_policy(PolicyName="p", PolicyDocument=document(allow("iam:ListUsers")))["Policy"]["Arn"]
    session = account.assume(account.role(policy=allow("iam:List*")), PolicyArns=[{"arn": arn}])
    session.client("iam").list_users()
    assert_denied(session.client("iam").list_roles, "iam:ListRoles", by="session")
    iam.delete_policy(PolicyArn=arn)
    assert_denied(session.client("iam").list_users, "iam:ListUsers", by="session")


def test_bad_session_policies_are_refused(account):
    role = account.role()
    sts = account.user(policy=allow("sts:AssumeRole")).client("sts")
    with raises("MalformedPolicyDocument", 400):
        sts.assume_role(RoleArn=role, RoleSessionName="run", Policy="{}")
    with raises("ValidationError", 400):
        sts.assume_role(RoleArn=role, RoleSessionName="run", PolicyArns=[{"arn": f"arn:aws:iam::{account.id}:policy/missing"}])
    arns = [{"arn": "arn:aws:iam::aws:policy/" + "x" * 300}] * 10
    with raises("ValidationError", 400):
        sts.assume_role(RoleArn=role, RoleSessionName="run", PolicyArns=arns)


def test_the_packed_size_is_told(account):
    role = account.role()
    sts = account.user(policy=allow("sts:AssumeRole")).client("sts")
    answer = sts.assume_role(RoleArn=role, RoleSessionName="run", Policy=document(allow("s3:*")))
    assert 0 < answer["PackedPolicySize"] <= 100


# Session tags and source identity


def test_tags_need_a_permission_of_their_own(account, assert_denied):
    tags = {"Tags": [{"Key": "project", "Value": "x"}]}
    closed = account.role()
    user = account.user(policy=allow(["sts:AssumeRole", "sts:TagSession"]))
    assert_denied(
        lambda: user.client("sts").assume_role(RoleArn=closed, RoleSessionName="run", **tags), "sts:TagSession", by="role trust policy"
    )
    open_role = account.role(trust=trusted_by(root_of(account), "sts:AssumeRole", "sts:TagSession"))
    only = account.user(policy=allow("sts:AssumeRole"))
    assert_denied(
        lambda: only.client("sts").assume_role(RoleArn=open_role, RoleSessionName="run", **tags), "sts:TagSession", by="identity"
    )
    assert user.client("sts").assume_role(RoleArn=open_role, RoleSessionName="run", **tags)["PackedPolicySize"] > 0


def test_session_tags_decide(account, assert_denied):
    both = ("sts:AssumeRole", "sts:TagSession")
    condition = {"StringEquals": {"aws:PrincipalTag/project": "red"}}
    role = account.role(trust=trusted_by(root_of(account), *both), policy=allow("iam:ListUsers", Condition=condition))
    account.client("iam").tag_role(RoleName=role.rsplit("/", 1)[1], Tags=[{"Key": "Project", "Value": "blue"}])
    user = account.user(policy=allow(list(both)))
    plain = account.assume(role, by=user)
    assert_denied(plain.client("iam").list_users, "iam:ListUsers")
    tagged = account.assume(role, by=user, Tags=[{"Key": "project", "Value": "red"}])
    tagged.client("iam").list_users()


def test_the_tags_that_may_be_passed_can_be_prescribed(account, assert_denied):
    conditions = {"StringEquals": {"aws:RequestTag/project": ["red"]}, "ForAllValues:StringEquals": {"aws:TagKeys": ["project"]}}
    role = account.role(
        trust=[trusted_by(root_of(account)), trusted_by(root_of(account), "sts:TagSession", Condition=conditions)]
    )
    user = account.user(policy=allow(["sts:AssumeRole", "sts:TagSession"]))
    account.assume(role, by=user, Tags=[{"Key": "project", "Value": "red"}])
    for tags in ([{"Key": "project", "Value": "blue"}], [{"Key": "project", "Value": "red"}, {"Key": "other", "Value": ""}]):
        assert_denied(lambda tags=tags: account.assume(role, by=user, Tags=tags), "sts:TagSession", by="role trust policy")


def test_transitive_tags_are_carried_along_a_chain(account, assert_denied):
    both = ["sts:AssumeRole", "sts:TagSession"]
    condition = {"StringEquals": {"aws:PrincipalTag/project": "red"}}
    second = account.role(trust=trusted_by(root_of(account), *both), policy=allow("iam:ListUsers", Condition=condition))
    first = account.role(trust=trusted_by(root_of(account), *both), policy=allow(both, second))
    user = account.user(policy=allow(both))
    red = [{"Key": "project", "Value": "red"}]
    carried = account.assume(second, by=account.assume(first, by=user, Tags=red, TransitiveTagKeys=["project"]))
    carried.client("iam").list_users()
    dropped = account.assume(second, by=account.assume(first, by=user, Tags=red))
    assert_denied(dropped.client("iam").list_users, "iam:ListUsers")
    holder = account.assume(first, by=user, Tags=red, TransitiveTagKeys=["project"])
    with raises("InvalidParameterValue", 400, "conflicts with a transitive tag key"):
        account.assume(second, by=holder, Tags=[{"Key": "PROJECT", "Value": "blue"}])


def test_bad_tags_are_refused(account):
    both = ("sts:AssumeRole", "sts:TagSession")
    role = account.role(trust=trusted_by(root_of(account), *both))
    user = account.user(policy=allow(list(both)))
    with raises("InvalidParameterValue", 400, "Duplicate tag keys"):
        account.assume(role, by=user, Tags=[{"Key": "a", "Value": ""}, {"Key": "A", "Value": ""}])
    with raises("InvalidParameterValue", 400, "must be included in the requested tags"):
        account.assume(role, by=user, TransitiveTagKeys=["a"])


def test_the_source_identity_stays(account, assert_denied):
    both = ["sts:AssumeRole", "sts:SetSourceIdentity"]
    condition = {"StringEquals": {"aws:SourceIdentity": "ana"}}
    second = account.role(trust=trusted_by(root_of(account), *both), policy=allow("iam:ListUsers", Condition=condition))
    first = account.role(trust=trusted_by(root_of(account), *both), policy=allow(both, second))
    user = account.user(policy=allow(both))
    answer = user.client("sts").assume_role(RoleArn=first, RoleSessionName="run", SourceIdentity="ana")
    assert answer["SourceIdentity"] == "ana"
    holder = session_of(account, answer["Credentials"])
    account.assume(second, by=holder).client("iam").list_users()
    with raises("ValidationError", 400):
        account.assume(second, by=holder, SourceIdentity="eva")
    closed = account.role(policy=allow("iam:ListUsers"))
    able = account.user(policy=allow(both))
    assert_denied(lambda: account.assume(closed, by=able, SourceIdentity="ana"), "sts:SetSourceIdentity", by="role trust policy")


# MFA


def test_a_code_of_no_device_proves_nothing(account):
    user = account.user(policy=allow("sts:AssumeRole"))
    mfa = {"SerialNumber": f"arn:aws:iam::{account.id}:mfa/x", "TokenCode": "123456"}
    with raises("AccessDenied", 403, "MultiFactorAuthentication failed"):
        user.client("sts").assume_role(RoleArn=account.role(), RoleSessionName="run", **mfa)
    with raises("AccessDenied", 403, "MultiFactorAuthentication failed"):
        user.client("sts").get_session_token(**mfa)


# GetSessionToken


def test_a_session_token_is_the_user_with_limits(account):
    user = account.user(policy=allow("*"))
    keys = user.client("sts").get_session_token(DurationSeconds=900)["Credentials"]
    session = session_of(account, keys)
    assert session.client("sts").get_caller_identity()["Arn"] == user.user_arn()
    session.client("kms").list_keys()
    # Without MFA the session cannot call IAM; of STS it may only assume roles.
    with raises("AccessDenied", 403):
        session.client("iam").list_users()
    with raises("AccessDenied", 403):
        session.client("sts").get_access_key_info(AccessKeyId=user.credentials.access_key_id)
    with raises("AccessDenied", 403, "^Cannot call GetSessionToken with session credentials$"):
        session.client("sts").get_session_token()


def test_a_session_token_needs_no_permission_and_cannot_be_denied(account):
    assert account.user(policy=deny("*")).client("sts").get_session_token()["Credentials"]["AccessKeyId"].startswith("ASIA")


def test_root_sessions_are_cut_to_an_hour(account, sts):
    keys = sts.get_session_token(DurationSeconds=7200)["Credentials"]
    assert keys["Expiration"] - account.server.now() <= datetime.timedelta(hours=1)
    assert session_of(account, keys).client("sts").get_caller_identity()["Arn"] == root_of(account)


def test_role_sessions_get_no_session_token(account):
    session = account.assume(account.role(policy=allow("*")))
    with raises("AccessDenied", 403, "^Cannot call GetSessionToken with session credentials$"):
        session.client("sts").get_session_token()
    with raises("AccessDenied", 403, "^Cannot call GetFederationToken with session credentials$"):
        session.client("sts").get_federation_token(Name="guest")


# GetFederationToken


def test_a_federated_user_is_the_user_within_its_policy(account, assert_denied):
    user = account.user(policy=allow(["sts:GetFederationToken", "kms:ListKeys"]))
    policy = document(allow("kms:ListKeys"), allow("kms:ListAliases"))
    answer = user.client("sts").get_federation_token(Name="guest", Policy=policy)
    assert answer["FederatedUser"] == {
        "FederatedUserId": f"{account.id}:guest",
        "Arn": f"arn:aws:sts::{account.id}:federated-user/guest",
    }
    assert answer["PackedPolicySize"] > 0
    session = session_of(account, answer["Credentials"])
    assert session.client("sts").get_caller_identity()["Arn"] == answer["FederatedUser"]["Arn"]
    session.client("kms").list_keys()
    # Only what both the user and the session policy allow.
    assert_denied(session.client("kms").list_aliases, "kms:ListAliases", by="identity")
    with raises("AccessDenied", 403):
        session.client("iam").list_users()


def test_a_federated_user_without_policy_may_nothing(account, assert_denied):
    user = account.user(policy=allow(["sts:GetFederationToken", "kms:*"]))
    session = session_of(account, user.client("sts").get_federation_token(Name="guest")["Credentials"])
    assert_denied(session.client("kms").list_keys, "kms:ListKeys", by="session")


def test_federation_needs_a_permission(account, assert_denied):
    arn = f"arn:aws:sts::{account.id}:federated-user/guest"
    assert_denied(lambda: account.user().client("sts").get_federation_token(Name="guest"), "sts:GetFederationToken", by="identity")
    narrow = account.user(policy=allow("sts:GetFederationToken", arn)).client("sts")
    narrow.get_federation_token(Name="guest")
    assert_denied(lambda: narrow.get_federation_token(Name="other"), "sts:GetFederationToken", by="identity")
    tags = [{"Key": "a", "Value": "b"}]
    assert_denied(lambda: narrow.get_federation_token(Name="guest", Tags=tags), "sts:TagSession", by="identity")


# The rest


def test_the_account_of_a_key_is_told(account, other_account, sts, assert_denied):
    user = other_account.user()
    assert sts.get_access_key_info(AccessKeyId=user.credentials.access_key_id)["Account"] == other_account.id
    with raises("ValidationError", 400):
        sts.get_access_key_info(AccessKeyId="AKIAAAAAAAAAAAAAAAAA")
    call = lambda: user.client("sts").get_access_key_info(AccessKeyId=user.credentials.access_key_id)  # noqa: E731
    assert_denied(call, "sts:GetAccessKeyInfo", by="identity")


def test_only_sealed_messages_are_decoded(account, sts, assert_denied):
    with raises("InvalidAuthorizationMessageException", 400):
        sts.decode_authorization_message(EncodedMessage="bm90IGEgbWVzc2FnZQ")
    call = lambda: account.user().client("sts").decode_authorization_message(EncodedMessage="x")  # noqa: E731
    assert_denied(call, "sts:DecodeAuthorizationMessage", by="identity")


def test_an_encoded_denial_can_be_read(account, sts):
    user = account.user()
    try:
        user.client("ec2").describe_vpcs()
    except botocore.exceptions.ClientError as error:
        refusal = error.response["Error"]
    assert refusal["Code"] == "UnauthorizedOperation"
    encoded = refusal["Message"].rsplit("Encoded authorization failure message: ", 1)[1]
    message = json.loads(sts.decode_authorization_message(EncodedMessage=encoded)["DecodedMessage"])
    assert message["allowed"] is False and message["explicitDeny"] is False
    assert message["context"]["action"] == "ec2:DescribeVpcs"
    assert message["context"]["principal"]["arn"] == user.user_arn()


def test_an_assumption_is_recorded_without_secrets(account, other_account):
    user = other_account.user(policy=allow("sts:AssumeRole"))
    role = account.role(trust=trusted_by(root_of(other_account)))
    answer = user.client("sts").assume_role(RoleArn=role, RoleSessionName="night-run")
    account.server.flush()
    for owner in (account, other_account):
        events = owner.events_of(request_id(answer))
        assert [event["eventName"] for event in events] == ["AssumeRole"]
        event = events[0]
        # The role's account learns of the caller's account only.
        assert event["userIdentity"].get("arn") == (user.user_arn() if owner is other_account else None)
        assert event["userIdentity"]["accountId"] == other_account.id
        assert event["requestParameters"]["roleArn"] == role
        text = json.dumps(event)
        assert answer["Credentials"]["SecretAccessKey"] not in text
        assert answer["Credentials"]["SessionToken"] not in text
        # Who finds the key in a later event finds its beginning here.
        shown = event["responseElements"]
        assert shown["credentials"]["accessKeyId"] == answer["Credentials"]["AccessKeyId"]
        assert shown["assumedRoleUser"]["arn"] == answer["AssumedRoleUser"]["Arn"]
