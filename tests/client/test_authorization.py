"""What decides beside the policies of single services: condition keys from members, messages, the smallest change."""

import concurrent.futures
import json

import botocore.exceptions
import pytest

from bailiwick_server import allow, assert_denied, deny, document, raises


@pytest.mark.parametrize(
    "service, operation, members, key, wrong",
    [
        (
            "sagemaker",
            "create_notebook_instance",
            {"NotebookInstanceName": "n", "InstanceType": "ml.t3.medium", "RoleArn": "arn:aws:iam::111111111111:role/r"},
            {"ForAllValues:StringEquals": {"sagemaker:InstanceTypes": "ml.t3.medium"}, "Null": {"sagemaker:InstanceTypes": "false"}},
            {"InstanceType": "ml.p4d.24xlarge"},
        ),
        (
            "sagemaker",
            "create_notebook_instance",
            {
                "NotebookInstanceName": "n",
                "InstanceType": "ml.t3.medium",
                "RoleArn": "arn:aws:iam::111111111111:role/r",
                "DirectInternetAccess": "Disabled",
            },
            {"StringEquals": {"sagemaker:DirectInternetAccess": "Disabled"}},
            {"DirectInternetAccess": "Enabled"},
        ),
        (
            "lambda",
            "create_function_url_config",
            {"FunctionName": "f", "AuthType": "AWS_IAM"},
            {"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}},
            {"AuthType": "NONE"},
        ),
        (
            "sns",
            "subscribe",
            {"TopicArn": "arn:aws:sns:us-east-1:111111111111:t", "Protocol": "https", "Endpoint": "https://example.com"},
            {"StringEquals": {"sns:Protocol": "https"}},
            {"Protocol": "email"},
        ),
    ],
)
def test_condition_keys_say_what_members_say(account, service, operation, members, key, wrong):
    user = account.user(policy=allow("*", Condition=key))
    members = {name: value.replace("111111111111", account.id) for name, value in members.items()}
    call = getattr(user.client(service), operation)
    # Allowed, and then answered by whatever serves it.
    try:
        call(**members)
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] not in ("AccessDenied", "AccessDeniedException", "AuthorizationError"), error
    with pytest.raises(botocore.exceptions.ClientError, match="no identity-based policy allows"):
        call(**members | wrong)


def test_an_encoded_message_has_the_condition_keys(account):
    user = account.user(policy=allow("*"))
    region = deny("ec2:CreateVpc", Condition={"StringEquals": {"ec2:Region": "us-east-1"}, "Null": {"aws:SourceVpce": "true"}})
    statement = region | {"Sid": "NoNetworks"}
    account.client("iam").put_user_policy(UserName=user.user_name, PolicyName="deny", PolicyDocument=document(statement))
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        user.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")
    encoded = refused.value.response["Error"]["Message"].rsplit("message: ", 1)[1]
    decoded = json.loads(account.client("sts").decode_authorization_message(EncodedMessage=encoded)["DecodedMessage"])
    assert (decoded["allowed"], decoded["explicitDeny"]) == (False, True)
    [statement] = decoded["matchedStatements"]["items"]
    assert (statement["statementId"], statement["effect"], statement["pointer"]) == ("NoNetworks", "DENY", "/Statement/0")
    conditions = {item["key"]: [value["value"] for value in item["values"]["items"]] for item in decoded["context"]["conditions"]["items"]}
    assert conditions["ec2:Region"] == ["us-east-1"]
    assert "aws:SourceVpce" not in conditions
    assert decoded["context"]["action"] == "ec2:CreateVpc"


def test_a_refused_call_is_explained_with_the_change_that_allows_it(bailiwick, account):
    user = account.user(policy=allow("s3:ListBucket", "*", Condition={"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}))
    bucket = f"explained-{account.id}"
    account.client("s3").create_bucket(Bucket=bucket)
    call = user.client("s3").list_objects_v2
    with raises("AccessDenied"):
        call(Bucket=bucket)
    decision = bailiwick.control("GET", "/_bailiwick/explain/last", credentials=account.credentials)["Decision"]
    assert decision["conditionKeys"] == {"aws:RequestedRegion": ["us-east-1"]}
    [statement] = [statement for policy in decision["explanation"]["policies"] for statement in policy["statements"]]
    [condition] = statement["conditions"]
    assert (condition["actual"], condition["matched"]) == (["us-east-1"], False)
    assert condition["pointer"] == "/Statement/0/Condition/StringEquals/aws:RequestedRegion"
    change = decision["smallestChange"]
    after = [edit["after"] for edit in change["edits"]]
    assert change["edits"] and all(edit["policy_type"] == "identity-based policy" for edit in change["edits"])
    # Done as it says, the same call passes.
    account.client("iam").put_user_policy(UserName=user.user_name, PolicyName="more", PolicyDocument=document(*after))
    call(Bucket=bucket)
    # Somebody else's call is still refused.
    assert_denied(lambda: user.client("s3").delete_bucket(Bucket=bucket), "s3:DeleteBucket", by="identity", explicit=False)


def test_s3_tells_why_within_one_organization_only(account, other_account):
    bucket = f"told-{account.id}"
    account.client("s3").create_bucket(Bucket=bucket)
    outside = other_account.user(policy=allow("s3:*")).client("s3")
    with raises("AccessDenied", message="^Access Denied$"):
        outside.list_objects_v2(Bucket=bucket)
    organizations = account.client("organizations")
    organizations.create_organization(FeatureSet="ALL")
    invited = organizations.invite_account_to_organization(Target={"Id": other_account.id, "Type": "ACCOUNT"})["Handshake"]["Id"]
    other_account.client("organizations").accept_handshake(HandshakeId=invited)
    with raises("AccessDenied", message="no resource-based policy allows the s3:ListBucket action"):
        outside.list_objects_v2(Bucket=bucket)


def test_a_call_that_runs_again_after_a_conflict_notes_its_decision_once(bailiwick, account):
    iam = account.client("iam")
    iam.create_user(UserName="contended")

    def tag(number):
        answer = iam.tag_user(UserName="contended", Tags=[{"Key": f"k{number}", "Value": "v"}])
        return answer["ResponseMetadata"]["RequestId"]

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        requests = list(pool.map(tag, range(48)))
    assert len(iam.list_user_tags(UserName="contended", MaxItems=100)["Tags"]) == 48
    for request in requests:
        decision = bailiwick.control("GET", f"/_bailiwick/explain/{request}", credentials=account.credentials)["Decision"]
        assert decision["action"] == "iam:TagUser" and "further" not in decision, decision
