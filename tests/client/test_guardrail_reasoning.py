"""Automated reasoning: policies of variables and rules decide claims, in guardrails and in their own tests."""

import json

import pytest

from bailiwick_server import allow, document, raises

MODEL = "bailiwick.embedded-responder-v1"
REGION = "us-east-1"

DEFINITION = {
    "version": "1.0",
    "types": [{"name": "Level", "description": "Level", "values": [{"value": "INTERN"}, {"value": "STAFF"}, {"value": "SENIOR"}]}],
    "variables": [
        {"name": "is_full_time", "type": "bool", "description": 'Whether the employee works full time ("full-time employee").'},
        {"name": "months_of_service", "type": "int", "description": 'Complete months of service ("tenure").'},
        {"name": "level", "type": "Level", "description": "Level of the employee."},
        {"name": "eligible_for_leave", "type": "bool", "description": 'Whether the employee may take leave ("eligible").'},
    ],
    "rules": [
        {"id": "A00000000001", "expression": "(=> (and is_full_time (>= months_of_service 12) (not (= level INTERN))) eligible_for_leave)"},
        {"id": "A00000000002", "expression": "(=> (or (< months_of_service 12) (= level INTERN)) (not eligible_for_leave))"},
    ],
}
QUERY = "I am a full-time employee with a tenure of 14 months and my level is staff."


@pytest.fixture
def bedrock(account):
    return account.client("bedrock")


@pytest.fixture
def policy(bedrock):
    return bedrock.create_automated_reasoning_policy(name="leave", policyDefinition=DEFINITION)


def test_policy_life(account, bedrock, policy):
    arn = policy["policyArn"]
    assert policy["version"] == "DRAFT" and len(policy["definitionHash"]) == 128
    shown = bedrock.get_automated_reasoning_policy(policyArn=arn)
    assert (shown["name"], shown["definitionHash"]) == ("leave", policy["definitionHash"])
    assert bedrock.export_automated_reasoning_policy_version(policyArn=arn)["policyDefinition"] == DEFINITION
    first = bedrock.create_automated_reasoning_policy_version(policyArn=arn, lastUpdatedDefinitionHash=policy["definitionHash"])
    assert first["version"] == "1"
    fewer = {**DEFINITION, "rules": DEFINITION["rules"][:1]}
    changed = bedrock.update_automated_reasoning_policy(policyArn=arn, policyDefinition=fewer, name="shorter")
    assert changed["definitionHash"] != policy["definitionHash"]
    with raises("ConflictException", 400, "hash"):
        bedrock.create_automated_reasoning_policy_version(policyArn=arn, lastUpdatedDefinitionHash=policy["definitionHash"])
    assert len(bedrock.export_automated_reasoning_policy_version(policyArn=f"{arn}:1")["policyDefinition"]["rules"]) == 2
    assert len(bedrock.export_automated_reasoning_policy_version(policyArn=arn)["policyDefinition"]["rules"]) == 1
    listed = bedrock.list_automated_reasoning_policies()["automatedReasoningPolicySummaries"]
    assert [(item["name"], item["version"]) for item in listed] == [("shorter", "DRAFT")]
    versions = bedrock.list_automated_reasoning_policies(policyArn=arn)["automatedReasoningPolicySummaries"]
    assert [item["version"] for item in versions] == ["DRAFT", "1"]
    bedrock.tag_resource(resourceARN=arn, tags=[{"key": "team", "value": "a"}])
    assert bedrock.list_tags_for_resource(resourceARN=arn)["tags"] == [{"key": "team", "value": "a"}]
    with raises("ResourceInUseException", 400):
        bedrock.delete_automated_reasoning_policy(policyArn=arn)
    bedrock.delete_automated_reasoning_policy(policyArn=f"{arn}:1")
    bedrock.delete_automated_reasoning_policy(policyArn=arn, force=True)
    with raises("ResourceNotFoundException", 404):
        bedrock.get_automated_reasoning_policy(policyArn=arn)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"rules": [{"id": "A00000000001", "expression": "(=> is_full_time"}]}, "parenthesis"),
        ({"rules": [{"id": "A00000000001", "expression": "(* months_of_service months_of_service)"}]}, "not linear"),
        ({"rules": [{"id": "A00000000001", "expression": "(= level BOSS)"}]}, "no variable"),
        ({"variables": [{"name": "x", "type": "Shoe", "description": "x"}], "rules": []}, "Shoe"),
    ],
)
def test_what_cannot_be_decided_is_refused(bedrock, change, message):
    with raises("ValidationException", 400, message):
        bedrock.create_automated_reasoning_policy(name="bad", policyDefinition={**DEFINITION, **change})


def test_an_import_is_built_and_tested(bedrock, policy):
    arn = policy["policyArn"]
    start = bedrock.start_automated_reasoning_policy_build_workflow
    flow = start(policyArn=arn, buildWorkflowType="IMPORT_POLICY", sourceContent={"policyDefinition": DEFINITION})["buildWorkflowId"]
    at = {"policyArn": arn, "buildWorkflowId": flow}
    shown = bedrock.get_automated_reasoning_policy_build_workflow(**at)
    assert (shown["status"], shown["buildWorkflowType"]) == ("COMPLETED", "IMPORT_POLICY")
    assert [item["buildWorkflowId"] for item in bedrock.list_automated_reasoning_policy_build_workflows(policyArn=arn)["automatedReasoningPolicyBuildWorkflowSummaries"]] == [flow]
    assets = lambda kind: bedrock.get_automated_reasoning_policy_build_workflow_result_assets(**at, assetType=kind)["buildWorkflowAssets"]
    assert assets("POLICY_DEFINITION")["policyDefinition"] == DEFINITION
    report = assets("QUALITY_REPORT")["qualityReport"]
    assert (report["ruleCount"], report["conflictingRules"], report["unusedVariables"]) == (2, [], [])
    assert report["unusedTypeValues"] == [{"typeName": "Level", "valueName": "STAFF"}, {"typeName": "Level", "valueName": "SENIOR"}]
    with raises("ResourceNotFoundException", 404):
        assets("FIDELITY_REPORT")

    case = lambda answer, expected, **more: bedrock.create_automated_reasoning_policy_test_case(
        policyArn=arn, guardContent=answer, queryContent=QUERY, expectedAggregatedFindingsResult=expected, **more
    )["testCaseId"]
    good = case("You are eligible for leave.", "VALID")
    wrong = case("You are not eligible for leave.", "VALID")
    none = case("The canteen opens at nine.", "NO_TRANSLATION")
    bedrock.start_automated_reasoning_policy_test_workflow(**at)
    results = bedrock.list_automated_reasoning_policy_test_results(**at)["testResults"]
    outcome = {item["testCase"]["testCaseId"]: (item["testRunResult"], item["aggregatedTestFindingsResult"]) for item in results}
    assert outcome == {good: ("PASSED", "VALID"), wrong: ("FAILED", "INVALID"), none: ("PASSED", "NO_TRANSLATION")}
    result = bedrock.get_automated_reasoning_policy_test_result(**at, testCaseId=good)["testResult"]
    [finding] = result["testFindings"]
    assert [rule["id"] for rule in finding["valid"]["supportingRules"]] == ["A00000000001"]
    assert finding["valid"]["translation"]["claims"][0]["logic"] == "(= eligible_for_leave true)"

    held = bedrock.get_automated_reasoning_policy_test_case(policyArn=arn, testCaseId=wrong)["testCase"]
    bedrock.update_automated_reasoning_policy_test_case(
        policyArn=arn, testCaseId=wrong, guardContent="You are not eligible.", expectedAggregatedFindingsResult="INVALID", lastUpdatedAt=held["updatedAt"]
    )
    assert len(bedrock.list_automated_reasoning_policy_test_cases(policyArn=arn)["testCases"]) == 3
    held = bedrock.get_automated_reasoning_policy_test_case(policyArn=arn, testCaseId=wrong)["testCase"]
    bedrock.delete_automated_reasoning_policy_test_case(policyArn=arn, testCaseId=wrong, lastUpdatedAt=held["updatedAt"])
    with raises("ResourceNotFoundException", 404):
        bedrock.get_automated_reasoning_policy_test_case(policyArn=arn, testCaseId=wrong)
    with raises("ValidationException", 400, "completed"):
        bedrock.cancel_automated_reasoning_policy_build_workflow(**at)
    bedrock.delete_automated_reasoning_policy_build_workflow(**at, lastUpdatedAt=shown["updatedAt"])
    with raises("ResourceNotFoundException", 404):
        bedrock.get_automated_reasoning_policy_build_workflow(**at)
    documents = [{"document": b"x", "documentContentType": "txt", "documentName": "d"}]
    with raises("ValidationException", 400, "language model"):
        start(policyArn=arn, buildWorkflowType="INGEST_CONTENT", sourceContent={"workflowContent": {"documents": documents}})


def guardrail(bedrock, arn):
    return bedrock.create_guardrail(
        name="reasoned",
        blockedInputMessaging="in",
        blockedOutputsMessaging="out",
        automatedReasoningPolicyConfig={"policies": [arn], "confidenceThreshold": 0.9},
    )


def test_a_guardrail_asks_its_policies(account, bedrock, policy, assert_denied):
    bedrock.create_automated_reasoning_policy_version(policyArn=policy["policyArn"], lastUpdatedDefinitionHash=policy["definitionHash"])
    arn = f"{policy['policyArn']}:1"
    made = guardrail(bedrock, arn)
    shown = bedrock.get_guardrail(guardrailIdentifier=made["guardrailId"])["automatedReasoningPolicy"]
    assert shown == {"policies": [arn], "confidenceThreshold": 0.9}
    runtime = account.client("bedrock-runtime")

    def ask(answer, runtime=runtime):
        content = [{"text": {"text": QUERY, "qualifiers": ["query"]}}, {"text": {"text": answer, "qualifiers": ["guard_content"]}}]
        return runtime.apply_guardrail(guardrailIdentifier=made["guardrailId"], guardrailVersion="DRAFT", source="OUTPUT", content=content)

    invalid = ask("You are not eligible for leave.")
    # It detects only, as on AWS.
    assert invalid["action"] == "NONE"
    [finding] = invalid["assessments"][0]["automatedReasoningPolicy"]["findings"]
    assert finding["invalid"]["contradictingRules"] == [{"identifier": "A00000000001", "policyVersionArn": arn}]
    assert invalid["usage"]["automatedReasoningPolicies"] == 1
    [finding] = ask("You are eligible for leave.")["assessments"][0]["automatedReasoningPolicy"]["findings"]
    assert "valid" in finding
    for undecided in ("It is false that you are eligible for leave.", "You were told that you are not eligible for leave, which is wrong."):
        findings = ask(undecided)["assessments"][0]["automatedReasoningPolicy"]["findings"]
        assert not any("valid" in finding or "invalid" in finding for finding in findings), (undecided, findings)
    [finding] = ask("You may be eligible for leave.")["assessments"][0]["automatedReasoningPolicy"]["findings"]
    assert len(finding["translationAmbiguous"]["options"]) == 2
    [finding] = ask("The canteen opens at nine.")["assessments"][0]["automatedReasoningPolicy"]["findings"]
    assert finding == {"noTranslations": {}}

    poor = account.user(policy=document(allow("bedrock:ApplyGuardrail"))).client("bedrock-runtime")
    assert_denied(lambda: ask("x", poor), "bedrock:InvokeAutomatedReasoningPolicy", by="identity")
    # A policy that is gone fails the call: the guardrail does not run without it.
    bedrock.delete_automated_reasoning_policy(policyArn=policy["policyArn"], force=True)
    with raises("ResourceNotFoundException", 404):
        ask("You are eligible for leave.")
    with raises("ResourceNotFoundException", 404):
        guardrail(bedrock, policy["policyArn"])


def test_a_definition_under_a_kms_key_needs_the_key(account, bedrock, assert_denied):
    key = account.client("kms").create_key()["KeyMetadata"]["Arn"]
    made = bedrock.create_automated_reasoning_policy(name="sealed", policyDefinition=DEFINITION, kmsKeyId=key)
    assert bedrock.get_automated_reasoning_policy(policyArn=made["policyArn"])["kmsKeyArn"] == key
    assert bedrock.export_automated_reasoning_policy_version(policyArn=made["policyArn"])["policyDefinition"] == DEFINITION
    poor = account.user(policy=document(allow("bedrock:*"))).client("bedrock")
    assert_denied(lambda: poor.export_automated_reasoning_policy_version(policyArn=made["policyArn"]), "kms:Decrypt")


def test_every_call_is_denied_without_a_policy(account, bedrock, policy, assert_denied):
    nobody = account.user().client("bedrock")
    arn = policy["policyArn"]
    flow = {"policyArn": arn, "buildWorkflowId": "aaaaaaaa-aaaa-4aaa-aaaa-aaaaaaaaaaaa"}
    case = {"policyArn": arn, "testCaseId": "AAAAAAAAAAAA"}
    body = {"guardContent": "x", "expectedAggregatedFindingsResult": "VALID"}
    for name, call in {
        "CreateAutomatedReasoningPolicy": lambda: nobody.create_automated_reasoning_policy(name="x"),
        "UpdateAutomatedReasoningPolicy": lambda: nobody.update_automated_reasoning_policy(policyArn=arn, policyDefinition={}),
        "GetAutomatedReasoningPolicy": lambda: nobody.get_automated_reasoning_policy(policyArn=arn),
        "ListAutomatedReasoningPolicies": lambda: nobody.list_automated_reasoning_policies(),
        "DeleteAutomatedReasoningPolicy": lambda: nobody.delete_automated_reasoning_policy(policyArn=arn),
        "CreateAutomatedReasoningPolicyVersion": lambda: nobody.create_automated_reasoning_policy_version(
            policyArn=arn, lastUpdatedDefinitionHash=policy["definitionHash"]
        ),
        "ExportAutomatedReasoningPolicyVersion": lambda: nobody.export_automated_reasoning_policy_version(policyArn=arn),
        "CreateAutomatedReasoningPolicyTestCase": lambda: nobody.create_automated_reasoning_policy_test_case(policyArn=arn, **body),
        "GetAutomatedReasoningPolicyTestCase": lambda: nobody.get_automated_reasoning_policy_test_case(**case),
        "ListAutomatedReasoningPolicyTestCases": lambda: nobody.list_automated_reasoning_policy_test_cases(policyArn=arn),
        "StartAutomatedReasoningPolicyTestWorkflow": lambda: nobody.start_automated_reasoning_policy_test_workflow(**flow),
        "GetAutomatedReasoningPolicyBuildWorkflow": lambda: nobody.get_automated_reasoning_policy_build_workflow(**flow),
        "ListAutomatedReasoningPolicyBuildWorkflows": lambda: nobody.list_automated_reasoning_policy_build_workflows(policyArn=arn),
        "ListAutomatedReasoningPolicyTestResults": lambda: nobody.list_automated_reasoning_policy_test_results(**flow),
    }.items():
        assert_denied(call, f"bedrock:{name}", by="identity")
