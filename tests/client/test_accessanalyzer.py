"""Access Analyzer: analyzers, findings that follow the state, checks, validation, previews and policies made of the trail."""

import json
import re
import uuid

import pytest

from bailiwick_server import allow, deny, document, raises
from signed_http import Credentials

UUID = r"[a-f0-9]{8}(-[a-f0-9]{4}){3}-[a-f0-9]{12}"
STRANGER = "222222222222"


def name(prefix="a"):
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def analyzers(account):
    return account.client("accessanalyzer")


@pytest.fixture
def analyzer(analyzers):
    """ARN of an analyzer of the account."""
    return analyzers.create_analyzer(analyzerName="all", type="ACCOUNT")["arn"]


def trust(principal, condition=None, action="sts:AssumeRole"):
    statement = {"Effect": "Allow", "Principal": principal, "Action": action}
    if condition:
        statement["Condition"] = condition
    return document(statement)


def resource_policy(principal, action, resource, condition=None, effect="Allow"):
    statement = {"Effect": effect, "Principal": principal, "Action": action, "Resource": resource}
    if condition:
        statement["Condition"] = condition
    return statement


def findings(analyzers, analyzer, **criteria):
    filters = {key.replace("__", "."): {"eq": [value]} for key, value in criteria.items()}
    pages = analyzers.get_paginator("list_findings").paginate(analyzerArn=analyzer, filter=filters)
    return [finding for page in pages for finding in page["findings"]]


def by_resource(analyzers, analyzer, resource):
    return findings(analyzers, analyzer, resource=resource)


# Analyzers


def test_analyzers_are_made_read_and_deleted(account, analyzers):
    arn = analyzers.create_analyzer(analyzerName="one", type="ACCOUNT", tags={"team": "a"})["arn"]
    assert arn == f"arn:aws:access-analyzer:us-east-1:{account.id}:analyzer/one"
    found = analyzers.get_analyzer(analyzerName="one")["analyzer"]
    assert (found["arn"], found["type"], found["status"], found["tags"]) == (arn, "ACCOUNT", "ACTIVE", {"team": "a"})
    assert [analyzer["name"] for analyzer in analyzers.list_analyzers()["analyzers"]] == ["one"]
    assert analyzers.list_analyzers(type="ORGANIZATION")["analyzers"] == []
    with raises("ConflictException"):
        analyzers.create_analyzer(analyzerName="one", type="ACCOUNT")
    with raises("ServiceQuotaExceededException"):
        analyzers.create_analyzer(analyzerName="two", type="ACCOUNT")
    assert account.client("accessanalyzer", region_name="eu-central-1").list_analyzers()["analyzers"] == []
    analyzers.delete_analyzer(analyzerName="one")
    with raises("ResourceNotFoundException"):
        analyzers.get_analyzer(analyzerName="one")


def test_what_is_not_supported_is_refused(analyzers):
    with raises("ValidationException"):
        analyzers.create_analyzer(analyzerName="one", type="ACCOUNT_INTERNAL_ACCESS")
    with raises("ValidationException"):
        analyzers.create_analyzer(analyzerName="one", type="ORGANIZATION")
    with raises("AccessDeniedException"):
        analyzers.create_service_linked_analyzer(type="ACCOUNT")
    with raises("AccessDeniedException"):
        analyzers.delete_service_linked_analyzer(analyzerName="one")
    with raises("ValidationException"):
        analyzers.create_analyzer(
            analyzerName="one", type="ACCOUNT_UNUSED_ACCESS", configuration={"unusedAccess": {"unusedAccessAge": 1000}}
        )


def test_tags(analyzers, analyzer):
    analyzers.tag_resource(resourceArn=analyzer, tags={"a": "1", "b": "2"})
    analyzers.untag_resource(resourceArn=analyzer, tagKeys=["a"])
    assert analyzers.list_tags_for_resource(resourceArn=analyzer)["tags"] == {"b": "2"}
    with raises("ResourceNotFoundException"):
        analyzers.list_tags_for_resource(resourceArn=analyzer + "x")


def test_permission_is_needed(account, analyzer):
    nobody = account.user().client("accessanalyzer")
    for call in (
        lambda: nobody.list_analyzers(),
        lambda: nobody.list_findings(analyzerArn=analyzer),
        lambda: nobody.check_no_new_access(newPolicyDocument="{}", existingPolicyDocument="{}", policyType="IDENTITY_POLICY"),
    ):
        with raises("AccessDeniedException"):
            call()
    reader = account.user(policy=allow("access-analyzer:ListFindings", analyzer)).client("accessanalyzer")
    assert reader.list_findings(analyzerArn=analyzer)["findings"] == []


# Findings


def test_findings_follow_trust_policies(account, analyzers, analyzer):
    iam = account.client("iam")
    role = name("role")
    arn = iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust({"AWS": STRANGER}))["Role"]["Arn"]
    [finding] = by_resource(analyzers, analyzer, arn)
    assert re.fullmatch(UUID, finding["id"])
    assert finding["principal"] == {"AWS": STRANGER}
    assert (finding["action"], finding["isPublic"], finding["status"]) == (["sts:AssumeRole"], False, "ACTIVE")
    assert (finding["resourceType"], finding["resourceOwnerAccount"]) == ("AWS::IAM::Role", account.id)
    assert analyzers.get_finding(analyzerArn=analyzer, id=finding["id"])["finding"]["resource"] == arn
    second = analyzers.get_finding_v2(analyzerArn=analyzer, id=finding["id"])
    assert second["findingType"] == "ExternalAccess"
    assert second["findingDetails"][0]["externalAccessDetails"]["principal"] == {"AWS": STRANGER}

    iam.update_assume_role_policy(RoleName=role, PolicyDocument=trust({"AWS": account.id}))
    [finding] = by_resource(analyzers, analyzer, arn)
    assert finding["status"] == "RESOLVED"
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=trust({"AWS": STRANGER}))
    [again] = by_resource(analyzers, analyzer, arn)
    assert (again["id"], again["status"]) == (finding["id"], "ACTIVE")


def test_findings_of_buckets_and_keys(account, analyzers, analyzer):
    s3, kms = account.client("s3"), account.client("kms")
    bucket = name("bucket")
    s3.create_bucket(Bucket=bucket)
    s3.delete_public_access_block(Bucket=bucket)
    bucket_arn = f"arn:aws:s3:::{bucket}"
    assert by_resource(analyzers, analyzer, bucket_arn) == []
    s3.put_bucket_policy(Bucket=bucket, Policy=document(resource_policy("*", "s3:GetObject", f"{bucket_arn}/*")))
    [finding] = by_resource(analyzers, analyzer, bucket_arn)
    assert (finding["isPublic"], finding["principal"]) == (True, {"AWS": "*"})
    condition = {"StringEquals": {"aws:PrincipalAccount": STRANGER}}
    s3.put_bucket_policy(Bucket=bucket, Policy=document(resource_policy("*", "s3:GetObject", f"{bucket_arn}/*", condition)))
    active = [finding for finding in by_resource(analyzers, analyzer, bucket_arn) if finding["status"] == "ACTIVE"]
    assert [(finding["isPublic"], finding["condition"]) for finding in active] == [(False, {"aws:PrincipalAccount": STRANGER})]

    key = kms.create_key()["KeyMetadata"]["Arn"]
    assert by_resource(analyzers, analyzer, key) == []
    kms.create_grant(KeyId=key, GranteePrincipal=f"arn:aws:iam::{account.id}:root", Operations=["Decrypt"])
    assert by_resource(analyzers, analyzer, key) == []

    resources = analyzers.list_analyzed_resources(analyzerArn=analyzer)["analyzedResources"]
    assert {bucket_arn, key} <= {resource["resourceArn"] for resource in resources}
    only = analyzers.list_analyzed_resources(analyzerArn=analyzer, resourceType="AWS::KMS::Key")["analyzedResources"]
    assert [resource["resourceArn"] for resource in only] == [key]
    resource = analyzers.get_analyzed_resource(analyzerArn=analyzer, resourceArn=bucket_arn)["resource"]
    assert (resource["status"], resource["isPublic"], resource["sharedVia"]) == ("ACTIVE", False, ["POLICY"])
    statistics = analyzers.get_findings_statistics(analyzerArn=analyzer)["findingsStatistics"][0]["externalAccessFindingsStatistics"]
    assert statistics["totalActiveFindings"] == 1
    assert statistics["resourceTypeStatistics"]["AWS::S3::Bucket"]["totalActiveCrossAccount"] == 1


def test_what_is_inside_or_denied_is_no_finding(account, analyzers, analyzer):
    iam = account.client("iam")
    for number, policy in enumerate(
        (
            trust({"AWS": account.id}),
            trust({"Service": "ec2.amazonaws.com"}),
            trust("*", {"StringEquals": {"aws:PrincipalAccount": account.id}}),
            trust({"AWS": "*"}, {"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{account.id}:role/*"}}),
        )
    ):
        iam.create_role(RoleName=f"inside-{number}", AssumeRolePolicyDocument=policy)
    assert findings(analyzers, analyzer) == []


def test_archive_rules(account, analyzers, analyzer):
    iam = account.client("iam")
    analyzers.create_archive_rule(
        analyzerName="all", ruleName="known", filter={"principal.AWS": {"eq": [STRANGER]}, "isPublic": {"eq": ["false"]}}
    )
    with raises("ConflictException"):
        analyzers.create_archive_rule(analyzerName="all", ruleName="known", filter={"status": {"eq": ["ACTIVE"]}})
    with raises("ValidationException"):
        analyzers.create_archive_rule(analyzerName="all", ruleName="other", filter={"nothing": {"eq": ["x"]}})
    iam.create_role(RoleName="known", AssumeRolePolicyDocument=trust({"AWS": STRANGER}))
    iam.create_role(RoleName="unknown", AssumeRolePolicyDocument=trust({"AWS": "333333333333"}))
    states = {finding["principal"]["AWS"]: finding["status"] for finding in findings(analyzers, analyzer)}
    assert states == {STRANGER: "ARCHIVED", "333333333333": "ACTIVE"}

    analyzers.update_archive_rule(analyzerName="all", ruleName="known", filter={"resourceType": {"contains": ["IAM"]}})
    assert analyzers.get_archive_rule(analyzerName="all", ruleName="known")["archiveRule"]["filter"] == {"resourceType": {"contains": ["IAM"]}}
    analyzers.apply_archive_rule(analyzerArn=analyzer, ruleName="known")
    assert {finding["status"] for finding in findings(analyzers, analyzer)} == {"ARCHIVED"}
    assert [rule["ruleName"] for rule in analyzers.list_archive_rules(analyzerName="all")["archiveRules"]] == ["known"]
    analyzers.delete_archive_rule(analyzerName="all", ruleName="known")
    with raises("ResourceNotFoundException"):
        analyzers.get_archive_rule(analyzerName="all", ruleName="known")


def test_findings_are_updated_filtered_and_paged(account, analyzers, analyzer):
    iam = account.client("iam")
    arns = [
        iam.create_role(RoleName=f"role-{number}", AssumeRolePolicyDocument=trust({"AWS": STRANGER}))["Role"]["Arn"] for number in range(3)
    ]
    first = analyzers.list_findings(analyzerArn=analyzer, maxResults=2, sort={"attributeName": "resource", "orderBy": "DESC"})
    second = analyzers.list_findings(
        analyzerArn=analyzer, maxResults=2, sort={"attributeName": "resource", "orderBy": "DESC"}, nextToken=first["nextToken"]
    )
    assert [finding["resource"] for finding in first["findings"] + second["findings"]] == sorted(arns, reverse=True)
    with raises("ValidationException"):
        analyzers.list_findings(analyzerArn=analyzer, nextToken="forged")
    analyzers.update_findings(analyzerArn=analyzer, status="ARCHIVED", resourceArn=arns[0])
    assert [finding["resource"] for finding in findings(analyzers, analyzer, status="ARCHIVED")] == [arns[0]]
    with raises("ResourceNotFoundException"):
        analyzers.update_findings(analyzerArn=analyzer, status="ACTIVE", ids=[str(uuid.uuid4())])
    assert len(analyzers.list_findings_v2(analyzerArn=analyzer)["findings"]) == 3
    analyzers.start_resource_scan(analyzerArn=analyzer, resourceArn=arns[1])
    with raises("ResourceNotFoundException"):
        analyzers.start_resource_scan(analyzerArn=analyzer, resourceArn="arn:aws:s3:::not-there")


def test_an_organization_is_a_zone_of_trust(account):
    account.client("organizations").create_organization(FeatureSet="ALL")
    orgs = account.client("organizations")
    made = orgs.create_account(Email=f"{uuid.uuid4().hex}@example.com", AccountName="m")["CreateAccountStatus"]
    member = orgs.describe_create_account_status(CreateAccountRequestId=made["Id"])["CreateAccountStatus"]["AccountId"]
    analyzers = account.client("accessanalyzer")
    analyzer = analyzers.create_analyzer(analyzerName="org", type="ORGANIZATION")["arn"]
    iam = account.client("iam")
    iam.create_role(RoleName="inside", AssumeRolePolicyDocument=trust({"AWS": member}))
    outside = iam.create_role(RoleName="outside", AssumeRolePolicyDocument=trust({"AWS": STRANGER}))["Role"]["Arn"]
    found = findings(analyzers, analyzer)
    assert [finding["resource"] for finding in found] == [outside]


def test_a_delegated_administrator_analyses_the_organization(account, other_account):
    account.client("organizations").create_organization(FeatureSet="ALL")
    orgs = account.client("organizations")
    handshake = orgs.invite_account_to_organization(Target={"Id": other_account.id, "Type": "ACCOUNT"})["Handshake"]
    other_account.client("organizations").accept_handshake(HandshakeId=handshake["Id"])
    analyzers = other_account.client("accessanalyzer")
    for kind in ("ORGANIZATION", "ORGANIZATION_UNUSED_ACCESS"):
        with raises("ValidationException"):
            analyzers.create_analyzer(analyzerName="org", type=kind)
    principal = {"ServicePrincipal": "access-analyzer.amazonaws.com"}
    orgs.enable_aws_service_access(**principal)
    orgs.register_delegated_administrator(AccountId=other_account.id, **principal)
    analyzer = analyzers.create_analyzer(analyzerName="org", type="ORGANIZATION")["arn"]
    analyzers.create_analyzer(analyzerName="unused", type="ORGANIZATION_UNUSED_ACCESS")
    outside = account.client("iam").create_role(RoleName="outside", AssumeRolePolicyDocument=trust({"AWS": STRANGER}))["Role"]["Arn"]
    other_account.client("iam").create_role(RoleName="inside", AssumeRolePolicyDocument=trust({"AWS": account.id}))
    assert [(finding["resource"], finding["resourceOwnerAccount"]) for finding in findings(analyzers, analyzer)] == [(outside, account.id)]
    orgs.deregister_delegated_administrator(AccountId=other_account.id, **principal)
    found = findings(analyzers, analyzer)
    assert all(finding["status"] == "RESOLVED" for finding in found), "who is no administrator any more sees nothing new"


# Access previews


def test_access_previews(account, analyzers, analyzer):
    iam = account.client("iam")
    arn = iam.create_role(RoleName="previewed", AssumeRolePolicyDocument=trust({"AWS": STRANGER}))["Role"]["Arn"]
    proposed = trust({"AWS": [STRANGER, "333333333333"]})
    made = analyzers.create_access_preview(analyzerArn=analyzer, configurations={arn: {"iamRole": {"trustPolicy": proposed}}})["id"]
    preview = analyzers.get_access_preview(analyzerArn=analyzer, accessPreviewId=made)["accessPreview"]
    assert preview["status"] == "COMPLETED"
    assert preview["configurations"] == {arn: {"iamRole": {"trustPolicy": proposed}}}
    found = analyzers.list_access_preview_findings(analyzerArn=analyzer, accessPreviewId=made)["findings"]
    assert {finding["principal"]["AWS"]: finding["changeType"] for finding in found} == {STRANGER: "UNCHANGED", "333333333333": "NEW"}
    assert [preview["id"] for preview in analyzers.list_access_previews(analyzerArn=analyzer)["accessPreviews"]] == [made]
    failed = analyzers.create_access_preview(analyzerArn=analyzer, configurations={arn: {"iamRole": {"trustPolicy": "{"}}})["id"]
    preview = analyzers.get_access_preview(analyzerArn=analyzer, accessPreviewId=failed)["accessPreview"]
    assert (preview["status"], preview["statusReason"]["code"]) == ("FAILED", "INVALID_CONFIGURATION")
    with raises("ResourceNotFoundException"):
        analyzers.get_access_preview(analyzerArn=analyzer, accessPreviewId=str(uuid.uuid4()))


# Checks


def test_check_no_new_access(analyzers):
    def check(new, old, policy_type="IDENTITY_POLICY"):
        return analyzers.check_no_new_access(newPolicyDocument=new, existingPolicyDocument=old, policyType=policy_type)

    narrow, wide = document(allow("s3:GetObject", "arn:aws:s3:::b/*")), document(allow("s3:*", "*"))
    passed = check(narrow, wide)
    assert passed["result"] == "PASS"
    assert passed["message"] == "The updated permissions do not grant new access when compared to the existing policy."
    failed = check(wide, narrow)
    assert failed["result"] == "FAIL"
    assert failed["message"] == "The modified permissions grant new access compared to your existing policy."
    assert failed["reasons"] == [{"description": "New access in the statement with index: 0.", "statementIndex": 0}]
    assert check(document(allow("*", "*"), deny("iam:*", "*")), document(allow("*", "*"), deny("iam:PassRole", "*")))["result"] == "PASS"
    with raises("InvalidParameterException"):
        check("{", narrow)
    undecidable = document({**allow("s3:*", "*"), "Condition": {"StringLike": {"s3:max-keys": "1*"}}})
    numeric = document({**allow("s3:*", "*"), "Condition": {"NumericLessThan": {"s3:max-keys": "99999"}}})
    with raises("UnprocessableEntityException"):
        check(undecidable, numeric)


def test_check_access_not_granted(analyzers):
    policy = document({**allow("s3:Get*", "arn:aws:s3:::b/*"), "Sid": "read"})

    def check(**access):
        return analyzers.check_access_not_granted(policyDocument=policy, access=[access], policyType="IDENTITY_POLICY")

    assert check(actions=["s3:PutObject"])["result"] == "PASS"
    failed = check(actions=["s3:GetObject", "s3:PutObject"])
    assert failed["result"] == "FAIL"
    assert failed["message"] == "The policy document grants access to perform one or more of the listed actions."
    assert failed["reasons"][0]["statementId"] == "read"
    assert check(actions=["s3:*"], resources=["arn:aws:s3:::other/*"])["result"] == "PASS"
    with raises("InvalidParameterException"):
        check(actions=["nonsense"])


def test_check_no_public_access(analyzers):
    def check(statement, resource_type="AWS::S3::Bucket"):
        return analyzers.check_no_public_access(policyDocument=document(statement), resourceType=resource_type)

    public = {**resource_policy("*", "s3:GetObject", "arn:aws:s3:::b/*"), "Sid": "Bob"}
    failed = check(public)
    assert failed["result"] == "FAIL"
    assert failed["message"] == "The resource policy grants public access for the given resource type."
    assert failed["reasons"] == [
        {"description": "Public access granted in the following statement with sid: Bob.", "statementIndex": 0, "statementId": "Bob"}
    ]
    passed = check({**public, "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}})
    assert passed == {**passed, "result": "PASS", "message": "The resource policy does not grant public access for the given resource type."}
    assert check(json.loads(trust({"AWS": STRANGER}))["Statement"][0], "AWS::IAM::AssumeRolePolicyDocument")["result"] == "PASS"


def test_validate_policy(analyzers):
    def validate(text, policy_type="IDENTITY_POLICY", **more):
        pages = analyzers.get_paginator("validate_policy").paginate(policyDocument=text, policyType=policy_type, **more)
        return [finding for page in pages for finding in page["findings"]]

    assert validate(document(allow("s3:GetObject", "arn:aws:s3:::b/*"))) == []
    [finding] = validate(document(allow("sqs:DeleteMessageBatch", "*")))
    assert finding["findingDetails"] == "The action sqs:DeleteMessageBatch does not exist."
    assert (finding["findingType"], finding["issueCode"]) == ("ERROR", "INVALID_ACTION")
    assert finding["learnMoreLink"].endswith("#access-analyzer-reference-policy-checks-error-invalid-action")
    [location] = finding["locations"]
    assert location["path"] == [{"value": "Statement"}, {"index": 0}, {"value": "Action"}]
    text = document(allow("sqs:DeleteMessageBatch", "*"))
    span = location["span"]
    assert text[span["start"]["offset"] : span["end"]["offset"]] == '"sqs:DeleteMessageBatch"'
    assert [finding["issueCode"] for finding in validate("{")] == ["JSON_SYNTAX_ERROR"]
    codes = {finding["issueCode"] for finding in validate(document(allow("*", "*")))}
    assert codes == {"PASS_ROLE_WITH_STAR_IN_ACTION_AND_RESOURCE", "CREATE_SLR_WITH_STAR_IN_ACTION_AND_RESOURCE"}
    trusted = document({**json.loads(trust({"AWS": STRANGER}))["Statement"][0], "Resource": "*"})
    found = validate(trusted, "RESOURCE_POLICY", validatePolicyResourceType="AWS::IAM::AssumeRolePolicyDocument")
    assert len(found) == 1
    with raises("ValidationException"):
        validate(trusted, "IDENTITY_POLICY", validatePolicyResourceType="AWS::S3::Bucket")


# Unused access, and policies made of the trail


def test_unused_access(bailiwick, start_server):
    server = start_server("--ephemeral", "--manual-clock")
    root = server.session(server.root)
    iam = root.client("iam")
    role = iam.create_role(RoleName="idle", AssumeRolePolicyDocument=trust({"AWS": server.account_id}))["Role"]
    iam.create_user(UserName="busy")
    iam.put_user_policy(UserName="busy", PolicyName="p", PolicyDocument=document(allow(["kms:ListKeys", "sqs:SendMessage"], "*")))
    key = iam.create_access_key(UserName="busy")["AccessKey"]
    server.advance_clock(days=40)
    server.session(Credentials(key["AccessKeyId"], key["SecretAccessKey"])).client("kms").list_keys()
    analyzers = root.client("accessanalyzer")
    arn = analyzers.create_analyzer(
        analyzerName="unused", type="ACCOUNT_UNUSED_ACCESS", configuration={"unusedAccess": {"unusedAccessAge": 30}}
    )["arn"]
    found = analyzers.list_findings_v2(analyzerArn=arn)["findings"]
    kinds = {(finding["findingType"], finding["resource"].rsplit("/", 1)[-1]) for finding in found}
    assert ("UnusedIAMRole", "idle") in kinds
    assert ("UnusedPermission", "busy") in kinds
    assert ("UnusedIAMUserAccessKey", "busy") not in kinds
    [permission] = [finding for finding in found if finding["findingType"] == "UnusedPermission"]
    details = analyzers.get_finding_v2(analyzerArn=arn, id=permission["id"])["findingDetails"]
    assert [detail["unusedPermissionDetails"]["serviceNamespace"] for detail in details] == ["sqs"]
    with raises("ValidationException"):
        analyzers.list_findings(analyzerArn=arn)
    analyzers.generate_finding_recommendation(analyzerArn=arn, id=permission["id"])
    recommendation = analyzers.get_finding_recommendation(analyzerArn=arn, id=permission["id"])
    [step] = recommendation["recommendedSteps"]
    step = step["unusedPermissionsRecommendedStep"]
    assert step["recommendedAction"] == "CREATE_POLICY"
    assert json.loads(step["recommendedPolicy"])["Statement"][0]["Action"] == "kms:ListKeys"
    assert role["Arn"] in {finding["resource"] for finding in found}


def test_unused_keys_and_passwords(start_server):
    server = start_server("--ephemeral", "--manual-clock")
    root = server.session(server.root)
    iam, analyzers = root.client("iam"), root.client("accessanalyzer")
    keys = {}
    for name in ("idle", "busy", "off"):
        iam.create_user(UserName=name)
        if name != "off":
            iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document(allow("kms:ListKeys", "*")))
        keys[name] = iam.create_access_key(UserName=name)["AccessKey"]
    iam.update_access_key(UserName="off", AccessKeyId=keys["off"]["AccessKeyId"], Status="Inactive")
    for name in ("idle", "busy"):
        iam.create_login_profile(UserName=name, Password="Correct-Horse-7")
    server.advance_clock(days=20)
    busy = server.session(Credentials(keys["busy"]["AccessKeyId"], keys["busy"]["SecretAccessKey"]))
    busy.client("kms").list_keys()
    idle = server.session(Credentials(keys["idle"]["AccessKeyId"], keys["idle"]["SecretAccessKey"]))
    idle.client("kms").list_keys()
    iam.update_login_profile(UserName="busy", Password="Correct-Horse-8")
    server.advance_clock(days=20)
    busy.client("kms").list_keys()
    server.flush()
    configuration = {"unusedAccess": {"unusedAccessAge": 30}}
    arn = analyzers.create_analyzer(analyzerName="unused", type="ACCOUNT_UNUSED_ACCESS", configuration=configuration)["arn"]

    def kinds():
        active = [finding for finding in analyzers.list_findings_v2(analyzerArn=arn)["findings"] if finding["status"] == "ACTIVE"]
        return {(finding["findingType"], finding["resource"].rsplit("/", 1)[-1]) for finding in active}

    assert kinds() == {("UnusedIAMUserPassword", "idle")}
    server.advance_clock(days=11)
    assert kinds() == {("UnusedIAMUserPassword", "idle"), ("UnusedIAMUserPassword", "busy"), ("UnusedIAMUserAccessKey", "idle"), ("UnusedPermission", "idle")}
    found = analyzers.list_findings_v2(analyzerArn=arn, filter={"findingType": {"eq": ["UnusedIAMUserAccessKey"]}})["findings"]
    [details] = analyzers.get_finding_v2(analyzerArn=arn, id=found[0]["id"])["findingDetails"]
    details = details["unusedIamUserAccessKeyDetails"]
    assert details["accessKeyId"] == keys["idle"]["AccessKeyId"] and "lastAccessed" in details
    found = analyzers.list_findings_v2(analyzerArn=arn, filter={"findingType": {"eq": ["UnusedIAMUserPassword"]}})["findings"]
    [details] = analyzers.get_finding_v2(analyzerArn=arn, id=found[0]["id"])["findingDetails"]
    assert details == {"unusedIamUserPasswordDetails": {}}
    iam.delete_login_profile(UserName="busy")
    iam.delete_access_key(UserName="idle", AccessKeyId=keys["idle"]["AccessKeyId"])
    assert kinds() == {("UnusedIAMUserPassword", "idle"), ("UnusedPermission", "idle")}
    young = {"unusedAccess": {"unusedAccessAge": 365}}
    analyzers.update_analyzer(analyzerName="unused", configuration=young)
    assert kinds() == set()


def test_policy_generation(account, analyzers):
    user = account.user(policy=allow("kms:*", "*"))
    key = account.client("kms").create_key()["KeyMetadata"]["Arn"]
    user.client("kms").describe_key(KeyId=key)
    user.client("kms").list_keys()
    arn = user.client("sts").get_caller_identity()["Arn"]
    job = analyzers.start_policy_generation(policyGenerationDetails={"principalArn": arn})["jobId"]
    answer = analyzers.get_generated_policy(jobId=job)
    assert answer["jobDetails"]["status"] == "SUCCEEDED"
    assert answer["generatedPolicyResult"]["properties"]["isComplete"] is True
    [policy] = answer["generatedPolicyResult"]["generatedPolicies"]
    assert json.loads(policy["policy"])["Statement"] == [
        {"Effect": "Allow", "Action": ["kms:DescribeKey", "kms:ListKeys"], "Resource": "*"}
    ]
    [policy] = analyzers.get_generated_policy(jobId=job, includeResourcePlaceholders=True)["generatedPolicyResult"]["generatedPolicies"]
    resources = {statement["Resource"] for statement in json.loads(policy["policy"])["Statement"]}
    assert "arn:aws:kms:${Region}:${Account}:key/${KeyId}" in resources
    assert [job["jobId"] for job in analyzers.list_policy_generations(principalArn=arn)["policyGenerations"]] == [job]
    analyzers.cancel_policy_generation(jobId=job)
    with raises("ValidationException"):
        analyzers.get_generated_policy(jobId=str(uuid.uuid4()))
    with raises("ValidationException"):
        analyzers.start_policy_generation(policyGenerationDetails={"principalArn": f"arn:aws:iam::{account.id}:role/none"})
