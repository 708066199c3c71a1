"""Users, roles and services that policies of resources name: they must exist, and a grant ends with whom it was given to."""

import json

import pytest

from bailiwick_server import allow, document, raises

NOBODY = "arn:aws:iam::{account}:user/nobody"


def statement(principal, action, resource="*"):
    return {"Sid": "Given", "Effect": "Allow", "Principal": principal, "Action": action, "Resource": resource}


class Bucket:
    code, message = "MalformedPolicy", "^Invalid principal in policy$"

    def __init__(self, account):
        self.s3 = account.client("s3")
        self.name = f"principal-{account.id}"
        self.s3.create_bucket(Bucket=self.name)
        self.s3.put_object(Bucket=self.name, Key="k", Body=b"text")

    def put(self, principal):
        policy = document(statement(principal, "s3:GetObject", f"arn:aws:s3:::{self.name}/*"))
        self.s3.put_bucket_policy(Bucket=self.name, Policy=policy)

    def read(self):
        return self.s3.get_bucket_policy(Bucket=self.name)["Policy"]

    def use(self, session):
        return session.client("s3").get_object(Bucket=self.name, Key="k")


class Key:
    code, message = "MalformedPolicyDocumentException", "^Policy contains a statement with one or more invalid principals.$"

    def __init__(self, account):
        self.kms = account.client("kms")
        self.root = statement({"AWS": f"arn:aws:iam::{account.id}:root"}, "kms:*") | {"Sid": "Root"}
        self.id = self.kms.create_key()["KeyMetadata"]["KeyId"]

    def put(self, principal):
        policy = document(statement(principal, "kms:Encrypt"), self.root)
        self.kms.put_key_policy(KeyId=self.id, Policy=policy)

    def read(self):
        return self.kms.get_key_policy(KeyId=self.id)["Policy"]

    def use(self, session):
        return session.client("kms").encrypt(KeyId=self.id, Plaintext=b"text")


class Topic:
    code, message = "InvalidParameter", "^Invalid parameter: Policy Error: PrincipalNotFound$"

    def __init__(self, account):
        self.sns = account.client("sns")
        self.arn = self.sns.create_topic(Name="news")["TopicArn"]

    def put(self, principal):
        policy = document(statement(principal, "sns:Publish", self.arn))
        self.sns.set_topic_attributes(TopicArn=self.arn, AttributeName="Policy", AttributeValue=policy)

    def read(self):
        return self.sns.get_topic_attributes(TopicArn=self.arn)["Attributes"]["Policy"]

    def use(self, session):
        return session.client("sns").publish(TopicArn=self.arn, Message="text")


class LogGroup:
    code, message = "InvalidParameterException", "Invalid principal in policy"

    def __init__(self, account):
        self.logs = account.client("logs")
        self.logs.create_log_group(logGroupName="group")
        self.logs.create_log_stream(logGroupName="group", logStreamName="stream")
        self.arn = self.logs.describe_log_groups()["logGroups"][0]["arn"]

    def put(self, principal):
        policy = document(statement(principal, "logs:GetLogEvents", self.arn.removesuffix(":*") + ":log-stream:*"))
        self.logs.put_resource_policy(policyName="readers", policyDocument=policy)

    def read(self):
        return self.logs.describe_resource_policies()["resourcePolicies"][0]["policyDocument"]

    def use(self, session):
        return session.client("logs").get_log_events(logGroupName="group", logStreamName="stream")


class Guardrail:
    code, message = "ValidationException", "the principal|nvalid principal"

    def __init__(self, account):
        self.bedrock = account.client("bedrock")
        made = self.bedrock.create_guardrail(
            name="words", blockedInputMessaging="no", blockedOutputsMessaging="no", wordPolicyConfig={"wordsConfig": [{"text": "forbidden"}]}
        )
        self.arn = made["guardrailArn"]

    def put(self, principal):
        policy = document(statement(principal, "bedrock:ApplyGuardrail", self.arn))
        self.bedrock.put_resource_policy(resourceArn=self.arn, resourcePolicy=policy)

    def read(self):
        return self.bedrock.get_resource_policy(resourceArn=self.arn)["resourcePolicy"]

    def use(self, session):
        return session.client("bedrock-runtime").apply_guardrail(
            guardrailIdentifier=self.arn, guardrailVersion="DRAFT", source="INPUT", content=[{"text": {"text": "hello"}}]
        )


class Role:
    code, message = "MalformedPolicyDocument", '^Invalid principal in policy: "(AWS|SERVICE)":"[^"]+"$'

    def __init__(self, account):
        self.iam = account.client("iam")
        self.arn = account.role(name="given")

    def put(self, principal):
        given = {"Sid": "Given", "Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
        self.iam.update_assume_role_policy(RoleName="given", PolicyDocument=document(given))

    def read(self):
        return json.dumps(self.iam.get_role(RoleName="given")["Role"]["AssumeRolePolicyDocument"])

    def use(self, session):
        return session.client("sts").assume_role(RoleArn=self.arn, RoleSessionName="run")


RESOURCES = [Bucket, Key, Topic, LogGroup, Guardrail, Role]


@pytest.fixture(params=RESOURCES, ids=[resource.__name__ for resource in RESOURCES])
def resource(request, account):
    return request.param(account)


def principal_shown(resource):
    statements = json.loads(resource.read())["Statement"]
    return next(one for one in statements if one["Sid"] == "Given")["Principal"]["AWS"]


def test_a_grant_ends_with_its_user(account, resource, assert_denied):
    iam = account.client("iam")
    first = account.user("ana")
    arn = iam.get_user(UserName="ana")["User"]["Arn"]
    user_id = iam.get_user(UserName="ana")["User"]["UserId"]
    resource.put({"AWS": arn})
    assert principal_shown(resource) == arn
    resource.use(first)

    for key in iam.list_access_keys(UserName="ana")["AccessKeyMetadata"]:
        iam.delete_access_key(UserName="ana", AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName="ana")
    assert principal_shown(resource) == user_id
    second = account.user("ana")
    assert_denied(lambda: resource.use(second))
    assert principal_shown(resource) == user_id
    with raises(resource.code, 400, resource.message):
        resource.put({"AWS": user_id})
    resource.put({"AWS": arn})
    resource.use(second)


def test_a_grant_follows_its_user_to_another_name(account, resource):
    iam = account.client("iam")
    ana = account.user("ana")
    resource.put({"AWS": [iam.get_user(UserName="ana")["User"]["Arn"], f"arn:aws:iam::{account.id}:root"]})
    iam.update_user(UserName="ana", NewUserName="eva", NewPath="/team/")
    assert principal_shown(resource)[0] == f"arn:aws:iam::{account.id}:user/team/eva"
    resource.use(ana)


def test_a_role_and_its_session_are_named(account, resource, assert_denied):
    role = account.role(name="app", policy=allow("sts:AssumeRole"))
    session_arn = f"arn:aws:sts::{account.id}:assumed-role/app/one"
    resource.put({"AWS": session_arn})
    assert principal_shown(resource) == session_arn
    resource.use(account.assume(role, session_name="one"))
    if not isinstance(resource, Role):
        assert_denied(lambda: resource.use(account.assume(role, session_name="two")))
        resource.put({"AWS": role})
        resource.use(account.assume(role, session_name="two"))


def test_an_account_is_shown_as_its_root(account, resource):
    resource.put({"AWS": "444455556666"})
    assert principal_shown(resource) == "arn:aws:iam::444455556666:root"


@pytest.mark.parametrize(
    "principal",
    [
        {"AWS": NOBODY},
        {"AWS": ["*", NOBODY]},
        {"AWS": "arn:aws:iam::{account}:role/nobody"},
        {"AWS": "arn:aws:sts::{account}:assumed-role/nobody/one"},
        {"AWS": "arn:aws:iam::{account}:group/all"},
        {"AWS": "AIDAAAAAAAAAAAAAAAAAA"},
        {"AWS": "nobody"},
        {"Service": "nope.amazonaws.com"},
        {"Service": "ec2"},
    ],
    ids=json.dumps,
)
def test_who_does_not_exist_is_refused(account, resource, principal):
    resource.put({"AWS": f"arn:aws:iam::{account.id}:root"})
    before = resource.read()
    with raises(resource.code, 400, resource.message):
        resource.put(json.loads(json.dumps(principal).replace("{account}", account.id)))
    assert resource.read() == before


def test_services_are_principals(resource):
    for service in ("ec2.amazonaws.com", "logs.us-east-1.amazonaws.com", "logging.s3.amazonaws.com"):
        resource.put({"Service": service})


def test_a_path_is_a_part_of_the_name(account, resource):
    account.client("iam").create_user(UserName="ana", Path="/team/")
    with raises(resource.code, 400, resource.message):
        resource.put({"AWS": f"arn:aws:iam::{account.id}:user/ana"})
    resource.put({"AWS": f"arn:aws:iam::{account.id}:user/team/ana"})


def test_a_key_is_made_with_principals_that_exist(account):
    kms = account.client("kms")
    root = statement({"AWS": f"arn:aws:iam::{account.id}:root"}, "kms:*")
    with raises(Key.code, 400, Key.message):
        kms.create_key(Policy=document(root, statement({"AWS": NOBODY.format(account=account.id)}, "kms:Encrypt") | {"Sid": "Other"}))
    assert kms.list_keys()["Keys"] == []


def test_conditions_keep_their_arns(account):
    """Only principals are exchanged for ids: a condition holds for whoever has the ARN."""
    bucket = Bucket(account)
    account.user("ana")
    arn = f"arn:aws:iam::{account.id}:user/ana"
    given = statement({"AWS": arn}, "s3:GetObject", f"arn:aws:s3:::{bucket.name}/*")
    given["Condition"] = {"ArnEquals": {"aws:PrincipalArn": arn}}
    text = json.dumps(json.loads(document(given)), indent=2)
    bucket.s3.put_bucket_policy(Bucket=bucket.name, Policy=text)
    iam = account.client("iam")
    iam.update_user(UserName="ana", NewUserName="eva")
    shown = json.loads(bucket.read())["Statement"][0]
    assert shown["Principal"]["AWS"].endswith(":user/eva") and shown["Condition"] == given["Condition"]
    iam.update_user(UserName="eva", NewUserName="ana")
    assert bucket.read() == text
