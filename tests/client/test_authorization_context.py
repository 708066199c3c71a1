"""Context keys at the edge: what a request has, what it lacks, and what operators make of either. Each case runs against the server, with the
call that must pass beside the one that must not."""

import json
import uuid

import pytest

from bailiwick_server import Account, Credentials, allow, deny, document, new_account_id
from conftest import run_command
from test_iam_mfa import Device
from test_organizations import invite, management, orgs, root_id  # noqa: F401

LIST = "kms:ListKeys"


def under(account, condition, action="kms:*", **more):
    """KMS as a new user sees it who may do everything under a condition."""
    return account.user(policy=allow(action, Condition=condition, **more)).client("kms")


def session_of(server, keys):
    return server.session(Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"]))


# A service that calls for its caller


@pytest.fixture
def key(account):
    return account.client("kms").create_key()["KeyMetadata"]["Arn"]


@pytest.fixture
def bucket(account):
    name = f"context-{account.id}"
    account.client("s3").create_bucket(Bucket=name)
    return name


def sealed(session, bucket, key):
    return session.client("s3").put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)


@pytest.mark.parametrize(
    "condition",
    [
        {"Bool": {"aws:ViaAWSService": "true"}},
        {"ForAnyValue:StringEquals": {"aws:CalledVia": ["s3.amazonaws.com", "athena.amazonaws.com"]}},
        {"StringEquals": {"aws:CalledViaFirst": "s3.amazonaws.com"}},
        {"StringEquals": {"aws:CalledViaLast": "s3.amazonaws.com"}},
        {"Null": {"aws:CalledVia": "false"}},
    ],
)
def test_a_key_for_one_service_only(account, bucket, key, condition, assert_denied):
    user = account.user(policy=[allow("s3:PutObject"), allow("kms:GenerateDataKey", key, Condition=condition)])
    sealed(user, bucket, key)
    direct = lambda: user.client("kms").generate_data_key(KeyId=key, KeySpec="AES_256")  # noqa: E731
    assert_denied(direct, "kms:GenerateDataKey", by="identity", explicit=False)


@pytest.mark.parametrize(
    "condition",
    [
        {"Bool": {"aws:ViaAWSService": "true"}},
        {"ForAnyValue:StringEquals": {"aws:CalledVia": "s3.amazonaws.com"}},
        {"StringLike": {"aws:CalledViaLast": "s3.*"}},
    ],
)
def test_a_deny_reaches_what_services_do(account, bucket, key, condition, assert_denied):
    user = account.user(policy=[allow(["s3:*", "kms:*"]), deny("kms:GenerateDataKey", Condition=condition)])
    user.client("kms").generate_data_key(KeyId=key, KeySpec="AES_256")
    assert_denied(lambda: sealed(user, bucket, key), by="identity")


def test_the_first_call_is_via_nobody(account, bucket, key, assert_denied):
    user = account.user(policy=[allow("s3:PutObject", Condition={"Bool": {"aws:ViaAWSService": "true"}}), allow("kms:*")])
    assert_denied(lambda: sealed(user, bucket, key), by="identity")
    direct = account.user(policy=[allow("s3:PutObject", Condition={"Bool": {"aws:ViaAWSService": "false"}}), allow("kms:*")])
    sealed(direct, bucket, key)


# Sets


def create(session, *keys):
    tags = [{"TagKey": key, "TagValue": "x"} for key in keys]
    return session.create_key(**({"Tags": tags} if tags else {}))


def test_all_of_nothing_and_any_of_nothing(account, assert_denied):
    may = ["kms:CreateKey", "kms:TagResource"]
    every = under(account, {"ForAllValues:StringEquals": {"aws:TagKeys": ["team", "cost"]}}, may)
    create(every)
    create(every, "team")
    create(every, "team", "cost")
    assert_denied(lambda: create(every, "team", "other"), by="identity")
    some = under(account, {"ForAnyValue:StringEquals": {"aws:TagKeys": ["team", "cost"]}}, may)
    assert_denied(lambda: create(some), "kms:CreateKey", by="identity")
    create(some, "team", "other")
    assert_denied(lambda: create(some, "other"), by="identity")
    both = under(account, {"ForAllValues:StringEquals": {"aws:TagKeys": ["team"]}, "Null": {"aws:TagKeys": "false"}}, may)
    assert_denied(lambda: create(both), "kms:CreateKey", by="identity")
    create(both, "team")


def test_negated_sets(account, assert_denied):
    may = ["kms:CreateKey", "kms:TagResource"]
    none = under(account, {"ForAllValues:StringNotEquals": {"aws:TagKeys": ["secret"]}}, may)
    create(none)
    create(none, "team")
    assert_denied(lambda: create(none, "team", "secret"), by="identity")


def test_a_deny_on_all_of_nothing_denies(account, assert_denied):
    user = account.user(policy=[allow("kms:*"), deny("kms:CreateKey", Condition={"ForAllValues:StringLike": {"aws:TagKeys": "tmp-*"}})])
    kms = user.client("kms")
    assert_denied(lambda: create(kms), "kms:CreateKey", by="identity", explicit=True)
    assert_denied(lambda: create(kms, "tmp-1"), "kms:CreateKey", by="identity", explicit=True)
    create(kms, "team")


# Absent keys


def test_null(account, assert_denied):
    permanent = under(account, {"Null": {"aws:TokenIssueTime": "true"}})
    permanent.list_keys()
    role = account.role(policy=allow("kms:*", Condition={"Null": {"aws:TokenIssueTime": "true"}}))
    assert_denied(account.assume(role).client("kms").list_keys, LIST, by="identity")
    temporary = account.role(policy=allow("kms:*", Condition={"Null": {"aws:TokenIssueTime": "false"}}))
    account.assume(temporary).client("kms").list_keys()


def test_if_exists(account, assert_denied):
    may = ["kms:CreateKey", "kms:TagResource"]
    strict = under(account, {"StringEquals": {"aws:RequestTag/team": "data"}}, may)
    assert_denied(lambda: create(strict), "kms:CreateKey", by="identity")
    lenient = under(account, {"StringEqualsIfExists": {"aws:RequestTag/team": "x"}}, may)
    create(lenient)
    create(lenient, "team")
    other = under(account, {"StringEqualsIfExists": {"aws:RequestTag/team": "y"}}, may)
    create(other)
    assert_denied(lambda: create(other, "team"), by="identity")


def test_a_negated_operator_holds_for_an_absent_key(account, assert_denied):
    may = ["kms:CreateKey", "kms:TagResource"]
    user = under(account, {"StringNotEquals": {"aws:RequestTag/team": "x"}}, may)
    create(user)
    assert_denied(lambda: create(user, "team"), by="identity")


def test_a_variable_without_value(account, assert_denied):
    alias = lambda session, name: session.client("kms").create_alias(AliasName=f"alias/{name}", TargetKeyId=made)  # noqa: E731
    made = account.client("kms").create_key()["KeyMetadata"]["KeyId"]
    own = f"arn:aws:kms:{account.server.region}:{account.id}:alias/${{aws:PrincipalTag/team}}-*"
    user = account.user(policy=[allow("kms:CreateAlias", own), allow("kms:CreateAlias", f"arn:aws:kms:*:{account.id}:key/*")])
    assert_denied(lambda: alias(user, "data-1"), "kms:CreateAlias", by="identity")
    account.client("iam").tag_user(UserName=user.user_name, Tags=[{"Key": "team", "Value": "data"}])
    alias(user, "data-1")
    assert_denied(lambda: alias(user, "other-1"), "kms:CreateAlias", by="identity")
    default = own.replace("aws:PrincipalTag/team", "aws:PrincipalTag/group, 'guest'")
    user = account.user(policy=[allow("kms:CreateAlias", default), allow("kms:CreateAlias", f"arn:aws:kms:*:{account.id}:key/*")])
    alias(user, "guest-1")


# Who calls


def test_kinds_of_principals(account, assert_denied):
    for kind, right in (("User", True), ("AssumedRole", False)):
        user = under(account, {"StringEquals": {"aws:PrincipalType": kind}})
        user.list_keys() if right else assert_denied(user.list_keys, LIST, by="identity")
    role = account.role(policy=allow("kms:*", Condition={"StringEquals": {"aws:PrincipalType": "AssumedRole"}, "Null": {"aws:username": "true"}}))
    account.assume(role).client("kms").list_keys()
    session = account.role(policy=allow("kms:*", Condition={"StringLike": {"aws:userid": "AROA*:worker-*"}}))
    account.assume(session, session_name="worker-7").client("kms").list_keys()
    assert_denied(account.assume(session, session_name="other").client("kms").list_keys, LIST, by="identity")


def test_a_role_is_its_arn_in_all_sessions(account, assert_denied):
    arn = account.role(name="worker")
    put = lambda condition: account.client("iam").put_role_policy(  # noqa: E731
        RoleName="worker", PolicyName="p", PolicyDocument=document(allow("kms:*", Condition=condition))
    )
    session = account.assume(arn).client("kms")
    put({"ArnEquals": {"aws:PrincipalArn": arn}})
    session.list_keys()
    put({"ArnLike": {"aws:PrincipalArn": f"arn:aws:sts::{account.id}:assumed-role/worker/*"}})
    assert_denied(session.list_keys, LIST, by="identity")


def test_accounts_of_principal_and_resource(account, other_account, assert_denied):
    key = account.client("kms").create_key()["KeyMetadata"]["Arn"]
    policy = [
        {**allow("kms:*"), "Principal": {"AWS": f"arn:aws:iam::{account.id}:root"}},
        {**allow("kms:DescribeKey", Condition={"StringEquals": {"aws:PrincipalAccount": other_account.id}}), "Principal": {"AWS": "*"}},
    ]
    account.client("kms").put_key_policy(KeyId=key, PolicyName="default", Policy=document(*policy))
    inside = other_account.user(policy=allow("kms:*", Condition={"StringEquals": {"aws:ResourceAccount": account.id}})).client("kms")
    inside.describe_key(KeyId=key)
    outside = other_account.user(policy=allow("kms:*", Condition={"StringEquals": {"aws:ResourceAccount": "${aws:PrincipalAccount}"}}))
    assert_denied(lambda: outside.client("kms").describe_key(KeyId=key), "kms:DescribeKey")
    third = Account.create(account.server, new_account_id()).user(policy=allow("kms:*")).client("kms")
    assert_denied(lambda: third.describe_key(KeyId=key), "kms:DescribeKey")


def test_organizations_of_principal_and_resource(management, orgs, root_id, assert_denied):  # noqa: F811
    member = invite(management, Account.create(management.server, new_account_id()))
    organization = orgs.describe_organization()["Organization"]["Id"]
    unit = orgs.create_organizational_unit(ParentId=root_id, Name="u")["OrganizationalUnit"]["Id"]
    key = management.client("kms").create_key()["KeyMetadata"]["Arn"]

    def opened(condition):
        root = {**allow("kms:*"), "Principal": {"AWS": f"arn:aws:iam::{management.id}:root"}}
        everybody = {**allow("kms:DescribeKey", Condition=condition), "Principal": {"AWS": "*"}}
        management.client("kms").put_key_policy(KeyId=key, PolicyName="default", Policy=document(root, everybody))

    user = member.user(policy=allow("kms:*", Condition={"StringEquals": {"aws:ResourceOrgID": organization}})).client("kms")
    opened({"StringEquals": {"aws:PrincipalOrgID": organization}})
    user.describe_key(KeyId=key)
    stranger = Account.create(management.server, new_account_id()).user(policy=allow("kms:*")).client("kms")
    assert_denied(lambda: stranger.describe_key(KeyId=key), "kms:DescribeKey", by="resource")
    below = {"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": f"{organization}/{root_id}/{unit}/*"}}
    opened(below)
    assert_denied(lambda: user.describe_key(KeyId=key), "kms:DescribeKey", by="resource")
    orgs.move_account(AccountId=member.id, SourceParentId=root_id, DestinationParentId=unit)
    user.describe_key(KeyId=key)
    opened({"ForAllValues:StringLike": {"aws:PrincipalOrgPaths": f"{organization}/*"}})
    stranger.describe_key(KeyId=key)  # All of nothing: without `Null` beside it the door is open.
    opened({"ForAllValues:StringLike": {"aws:PrincipalOrgPaths": f"{organization}/*"}, "Null": {"aws:PrincipalOrgPaths": "false"}})
    user.describe_key(KeyId=key)
    assert_denied(lambda: stranger.describe_key(KeyId=key), "kms:DescribeKey", by="resource")
    paths = {"ForAnyValue:StringLike": {"aws:ResourceOrgPaths": f"{organization}/{root_id}/"}}
    opened({"StringEquals": {"aws:PrincipalOrgID": organization}})
    member.user(policy=allow("kms:*", Condition=paths)).client("kms").describe_key(KeyId=key)


# Sessions


def test_transitive_tags_decide_at_the_end_of_a_chain(account, assert_denied):
    last = account.role(policy=allow("kms:*", Condition={"StringEquals": {"aws:PrincipalTag/team": "data"}}), name="last")
    chain = ["sts:AssumeRole", "sts:TagSession"]
    first = account.role(
        policy=allow(chain, last), trust={"Effect": "Allow", "Principal": {"AWS": account.id}, "Action": chain}, name="first"
    )
    by = account.user(policy=allow(chain))
    tags = [{"Key": "team", "Value": "data"}]
    carried = account.assume(first, by=by, Tags=tags, TransitiveTagKeys=["team"])
    account.client("iam").update_assume_role_policy(
        RoleName="last", PolicyDocument=document({"Effect": "Allow", "Principal": {"AWS": account.id}, "Action": chain})
    )
    account.assume(last, by=carried).client("kms").list_keys()
    dropped = account.assume(first, by=by, Tags=tags)
    assert_denied(account.assume(last, by=dropped).client("kms").list_keys, LIST, by="identity")


def test_session_tags_win_over_the_roles_tags(account, assert_denied):
    both = ["sts:AssumeRole", "sts:TagSession"]
    condition = {"StringEquals": {"aws:PrincipalTag/stage": "prod"}}
    trust = {"Effect": "Allow", "Principal": {"AWS": account.id}, "Action": both}
    role = account.role(policy=allow("kms:*", Condition=condition), trust=trust, name="staged")
    account.client("iam").tag_role(RoleName="staged", Tags=[{"Key": "stage", "Value": "prod"}])
    by = account.user(policy=allow(both))
    account.assume(role, by=by).client("kms").list_keys()
    overridden = account.assume(role, by=by, Tags=[{"Key": "Stage", "Value": "test"}])
    assert_denied(overridden.client("kms").list_keys, LIST, by="identity")


def test_the_source_identity_in_identity_policies(account, assert_denied):
    both = ["sts:AssumeRole", "sts:SetSourceIdentity"]
    trust = {"Effect": "Allow", "Principal": {"AWS": account.id}, "Action": both}
    role = account.role(policy=allow("kms:*", Condition={"StringLike": {"aws:SourceIdentity": "ana*"}}), trust=trust)
    by = account.user(policy=allow(both))
    account.assume(role, by=by, SourceIdentity="ana.lopez").client("kms").list_keys()
    assert_denied(account.assume(role, by=by, SourceIdentity="bob").client("kms").list_keys, LIST, by="identity")
    assert_denied(account.assume(role, by=by).client("kms").list_keys, LIST, by="identity")


def test_the_age_of_a_second_factor(start_server, assert_denied):
    server = start_server("--ephemeral", "--manual-clock")
    account = Account.home(server)
    young = {"NumericLessThan": {"aws:MultiFactorAuthAge": "3600"}}
    user = account.user(policy=allow("kms:*", Condition=young))
    device = Device(account, user.user_name).enable()
    assert_denied(user.client("kms").list_keys, LIST, by="identity")
    sts = user.client("sts")
    proved = session_of(server, sts.get_session_token(**device.proof(), DurationSeconds=7200)["Credentials"])
    unproved = session_of(server, sts.get_session_token()["Credentials"])
    proved.client("kms").list_keys()
    assert_denied(unproved.client("kms").list_keys, LIST, by="identity")
    server.advance_clock(seconds=3595)
    proved.client("kms").list_keys()
    server.advance_clock(seconds=10)
    assert_denied(proved.client("kms").list_keys, LIST, by="identity")


def test_the_presence_of_a_second_factor(account, assert_denied):
    without = {"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}}
    user = account.user(policy=[allow("kms:*"), deny("kms:*", Condition=without)])
    assert_denied(user.client("kms").list_keys, LIST, by="identity", explicit=True)
    bare = account.user(policy=[allow("kms:*"), deny("kms:*", Condition={"Bool": {"aws:MultiFactorAuthPresent": "false"}})])
    bare.client("kms").list_keys()  # A long-term key has no such key: the famous hole.
    temporary = session_of(account.server, bare.client("sts").get_session_token()["Credentials"])
    assert_denied(temporary.client("kms").list_keys, LIST, by="identity", explicit=True)


def test_sessions_before_a_moment_are_revoked(start_server, assert_denied):
    server = start_server("--ephemeral", "--manual-clock")
    account = Account.home(server)
    role = account.role(policy=allow("kms:*"), name="revoked")
    old = account.assume(role)
    old.client("kms").list_keys()
    server.advance_clock(minutes=2)
    moment = server.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    revoke = document(deny("*", Condition={"DateLessThan": {"aws:TokenIssueTime": moment}}))
    account.client("iam").put_role_policy(RoleName="revoked", PolicyName="AWSRevokeOlderSessions", PolicyDocument=revoke)
    assert_denied(old.client("kms").list_keys, LIST, by="identity", explicit=True)
    server.advance_clock(seconds=5)
    account.assume(role).client("kms").list_keys()


# The request


def test_time(start_server, assert_denied):
    server = start_server("--ephemeral", "--manual-clock")
    account = Account.home(server)
    server.advance_clock(seconds=1)
    now = server.now()
    end = (now.timestamp() + 600).__floor__()
    window = {"DateLessThan": {"aws:CurrentTime": str(end)}, "NumericLessThan": {"aws:EpochTime": str(end)}}
    user = account.user(policy=allow("kms:*", Condition=window)).client("kms")
    user.list_keys()
    server.advance_clock(minutes=11)
    assert_denied(user.list_keys, LIST, by="identity")


def test_region_address_agent_and_channel(account, assert_denied):
    here = {"StringEquals": {"aws:RequestedRegion": "us-east-1"}, "IpAddress": {"aws:SourceIp": "127.0.0.0/8"}, "Bool": {"aws:SecureTransport": "true"}}
    user = account.user(policy=allow("kms:*", Condition=here))
    user.client("kms").list_keys()
    assert_denied(user.client("kms", region_name="eu-central-1").list_keys, LIST, by="identity")
    elsewhere = under(account, {"NotIpAddress": {"aws:SourceIp": ["127.0.0.1/32", "10.0.0.0/8"]}})
    assert_denied(elsewhere.list_keys, LIST, by="identity")
    mapped = under(account, {"IpAddress": {"aws:SourceIp": "::ffff:127.0.0.1/128"}})
    assert_denied(mapped.list_keys, LIST, by="identity")
    agent = under(account, {"StringLike": {"aws:UserAgent": "Boto3/*"}})
    agent.list_keys()
    other = under(account, {"StringLike": {"aws:UserAgent": "aws-cli/*"}})
    assert_denied(other.list_keys, LIST, by="identity")


# A private endpoint


ENDPOINT, NETWORK = "vpce-0123456789abcdef0", "vpc-0123456789abcdef0"


@pytest.fixture
def networked(start_server, tmp_path):
    """A server with a private endpoint, whose policy lets everything pass but ListAliases."""
    policy = tmp_path / "endpoint.json"
    everybody = {"Principal": "*"}
    policy.write_text(document({**allow("*"), **everybody}, {**deny("kms:ListAliases"), **everybody}))
    settings = tmp_path / "bailiwick.toml"
    settings.write_text(
        f'[[private_endpoints]]\nlisten = "https://127.0.0.1:0"\nid = "{ENDPOINT}"\nvpc = "{NETWORK}"\n'
        f'account = "123456789012"\npolicy = {json.dumps(str(policy))}\n'
    )
    return start_server("--ephemeral", "--config", settings)


def through(server, session, service="kms"):
    """A client that comes in by the private endpoint."""
    assert len(server.endpoints) == 2
    return session.client(service, endpoint_url=server.endpoints[1])


@pytest.mark.parametrize(
    "condition",
    [
        {"StringEquals": {"aws:SourceVpce": ENDPOINT}},
        {"StringEquals": {"aws:SourceVpc": NETWORK}},
        {"StringEquals": {"aws:VpceAccount": "123456789012"}},
        {"ArnLike": {"aws:SourceVpcArn": f"arn:aws:ec2:*:123456789012:vpc/{NETWORK}"}},
        {"IpAddress": {"aws:VpcSourceIp": "127.0.0.1"}},
        {"Null": {"aws:SourceIp": "true"}},
        {"NotIpAddress": {"aws:SourceIp": "127.0.0.1/32"}},
        {"ForAllValues:StringLike": {"aws:SourceVpc": "vpc-*"}, "Null": {"aws:SourceVpc": "false"}},
    ],
    ids=lambda condition: "+".join(key for keys in condition.values() for key in keys),
)
def test_keys_of_a_private_network(networked, condition, assert_denied):
    account = Account.home(networked)
    user = account.user(policy=allow("kms:*", Condition=condition))
    through(networked, user).list_keys()
    assert_denied(user.client("kms").list_keys, LIST, by="identity")


def test_the_policy_of_an_endpoint(networked, assert_denied):
    account = Account.home(networked)
    user = account.user(policy=allow("kms:*"))
    user.client("kms").list_aliases()
    assert_denied(through(networked, user).list_aliases, "kms:ListAliases", by="endpoint", explicit=True)
    assert_denied(through(networked, account.session).list_aliases, "kms:ListAliases", by="endpoint", explicit=True)


def test_the_network_is_not_passed_on(networked, assert_denied):
    account = Account.home(networked)
    key = account.client("kms").create_key()["KeyMetadata"]["Arn"]
    bucket = f"context-{uuid.uuid4().hex[:12]}"
    account.client("s3").create_bucket(Bucket=bucket)
    inside = {"StringEquals": {"aws:SourceVpce": ENDPOINT}}

    def put(session):
        return through(networked, session, "s3").put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)

    put(account.user(policy=[allow("s3:PutObject", Condition=inside), allow("kms:GenerateDataKey")]))
    narrow = account.user(policy=[allow("s3:PutObject", Condition=inside), allow("kms:GenerateDataKey", Condition=inside)])
    assert_denied(lambda: put(narrow), by="identity")
    usual = {"StringNotEqualsIfExists": {"aws:SourceVpce": ENDPOINT}, "Bool": {"aws:ViaAWSService": "false"}}
    put(account.user(policy=[allow(["s3:PutObject", "kms:GenerateDataKey"]), deny("*", Condition=usual)]))


def test_a_bucket_for_one_network(networked, assert_denied):
    account = Account.home(networked)
    bucket = f"context-{uuid.uuid4().hex[:12]}"
    account.client("s3").create_bucket(Bucket=bucket)
    outside = {"StringNotEquals": {"aws:SourceVpce": ENDPOINT}}
    locked = {**deny("s3:GetObject", f"arn:aws:s3:::{bucket}/*", Condition=outside), "Principal": "*"}
    account.client("s3").put_object(Bucket=bucket, Key="k", Body=b"x")
    account.client("s3").put_bucket_policy(Bucket=bucket, Policy=document(locked))
    through(networked, account.session, "s3").get_object(Bucket=bucket, Key="k")
    assert_denied(lambda: account.client("s3").get_object(Bucket=bucket, Key="k"), by="resource")


def test_a_setting_that_is_no_endpoint(binary, tmp_path):
    settings = tmp_path / "bad.toml"
    settings.write_text('[[private_endpoints]]\nlisten = "https://127.0.0.1:0"\nid = "vpce-x"\nvpc = "vpc-01234567"\naccount = "123456789012"\n')
    ran = run_command(binary, "config", "--config", settings)
    assert ran.returncode != 0 and "private_endpoints" in ran.stderr
