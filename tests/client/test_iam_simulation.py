"""The policy simulator beyond single resources: organizations, other accounts, scenarios, types of context keys."""

import json
import uuid

import pytest

from bailiwick_server import allow, deny, document, raises


@pytest.fixture
def iam(account):
    return account.client("iam")


def custom(iam, *statements, **more):
    return iam.simulate_custom_policy(PolicyInputList=[document(*statements)], **more)["EvaluationResults"]


def test_each_resource_has_its_result(iam):
    resources = ["arn:aws:s3:::b/k", "arn:aws:s3:::c/k"]
    first, second = custom(iam, allow("s3:GetObject", "arn:aws:s3:::b/*"), ActionNames=["s3:GetObject"], ResourceArns=resources)
    assert [first["EvalDecision"], second["EvalDecision"]] == ["allowed", "implicitDeny"]
    [specific] = second["ResourceSpecificResults"]
    assert (specific["EvalResourceName"], specific["EvalResourceDecision"]) == (resources[1], "implicitDeny")
    assert first["EvalDecisionDetails"] == {}
    [alone] = custom(iam, allow("s3:ListAllMyBuckets", "*"), ActionNames=["s3:ListAllMyBuckets"])
    assert "EvalDecisionDetails" not in alone


def test_both_sides_are_told_across_accounts(account, iam):
    caller = f"arn:aws:iam::{account.id}:user/ana"
    bucket = {"Effect": "Allow", "Principal": {"AWS": caller}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}
    ask = {"ActionNames": ["s3:GetObject"], "ResourceArns": ["arn:aws:s3:::b/k"], "CallerArn": caller, "ResourceOwner": "222222222222"}
    [result] = custom(iam, allow("s3:GetObject", "*"), ResourcePolicy=document(bucket), **ask)
    assert result["EvalDecision"] == "allowed"
    assert result["EvalDecisionDetails"] == {"IAM Policy": "allowed", "Resource Policy": "allowed"}
    [result] = custom(iam, allow("s3:PutObject", "*"), ResourcePolicy=document(bucket), **ask)
    assert result["EvalDecisionDetails"] == {"IAM Policy": "implicitDeny", "Resource Policy": "allowed"}


def test_a_scenario_is_one_result(account, iam):
    place = f"arn:aws:ec2:us-east-1:{account.id}"
    resources = [
        f"{place}:instance/*",
        "arn:aws:ec2:us-east-1::image/ami-1",
        f"{place}:security-group/sg-1",
        f"{place}:network-interface/eni-1",
    ]
    ask = {"ActionNames": ["ec2:RunInstances"], "ResourceArns": resources, "ResourceHandlingOption": "EC2-VPC-InstanceStore"}
    [result] = custom(iam, allow("ec2:RunInstances", "*"), deny("ec2:RunInstances", f"{place}:security-group/*"), **ask)
    assert result["EvalDecision"] == "explicitDeny"
    assert {specific["EvalResourceDecision"] for specific in result["ResourceSpecificResults"]} == {"allowed", "explicitDeny"}
    with raises("InvalidInput"):
        custom(iam, allow("ec2:RunInstances", "*"), **{**ask, "ResourceArns": resources[:3]})
    with raises("InvalidInput"):
        custom(iam, allow("s3:GetObject", "*"), **{**ask, "ActionNames": ["s3:GetObject"]})


def test_context_values_have_their_type(iam):
    def entry(kind, *values):
        return [{"ContextKeyName": "aws:MultiFactorAuthAge", "ContextKeyType": kind, "ContextKeyValues": list(values)}]

    statement = allow("s3:GetObject", "*", Condition={"NumericLessThan": {"aws:MultiFactorAuthAge": "60"}})
    [result] = custom(iam, statement, ActionNames=["s3:GetObject"])
    assert result["MissingContextValues"] == ["aws:MultiFactorAuthAge"]
    [result] = custom(iam, statement, ActionNames=["s3:GetObject"], ContextEntries=entry("numeric", "30"))
    assert (result["EvalDecision"], result["MissingContextValues"]) == ("allowed", [])
    for kind, value in (("numeric", "soon"), ("boolean", "1"), ("date", "x"), ("ip", "nowhere")):
        with raises("InvalidInput"):
            custom(iam, statement, ActionNames=["s3:GetObject"], ContextEntries=entry(kind, value))


def test_the_organization_has_its_say(account):
    orgs = account.client("organizations")
    orgs.create_organization(FeatureSet="ALL")
    made = orgs.create_account(Email=f"{uuid.uuid4().hex}@example.com", AccountName="m")["CreateAccountStatus"]
    member = orgs.describe_create_account_status(CreateAccountRequestId=made["Id"])["CreateAccountStatus"]["AccountId"]
    scp = orgs.create_policy(Name="no-s3", Description="", Type="SERVICE_CONTROL_POLICY", Content=document(deny("s3:*", "*")))
    policy_id = scp["Policy"]["PolicySummary"]["Id"]
    orgs.attach_policy(PolicyId=policy_id, TargetId=member)
    by = account.user(policy=allow("sts:AssumeRole", "*"))
    role = f"arn:aws:iam::{member}:role/OrganizationAccountAccessRole"
    iam = account.assume(role, by=by).client("iam")

    def simulate(**more):
        asked = {"PolicySourceArn": role, "ActionNames": ["s3:GetObject", "kms:Encrypt"], **more}
        return {result["EvalActionName"]: result for result in iam.simulate_principal_policy(**asked)["EvaluationResults"]}

    results = simulate()
    assert results["s3:GetObject"]["EvalDecision"] == "explicitDeny"
    assert results["s3:GetObject"]["OrganizationsDecisionDetail"] == {"AllowedByOrganizations": False}
    assert results["kms:Encrypt"]["EvalDecision"] == "allowed"
    assert results["kms:Encrypt"]["OrganizationsDecisionDetail"] == {"AllowedByOrganizations": True}
    without = simulate(PolicyExclusionList=[{"PolicyType": "scp"}])
    assert without["s3:GetObject"]["EvalDecision"] == "allowed"
    assert json.loads(json.dumps(without["s3:GetObject"].get("OrganizationsDecisionDetail"))) is None
