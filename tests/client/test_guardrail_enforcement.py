"""Guardrails that callers cannot leave out: the account's and the organization's."""

import json

import pytest

from bailiwick_server import Account, allow, deny, document, raises

MODEL = "bailiwick.embedded-responder-v1"
REGION = "us-east-1"
EMAIL = "jane.doe@example.com"
QUESTION = "Who is the billing contact?"


def user(text):
    return [{"role": "user", "content": [{"text": text}]}]


def text_of(answer):
    return "".join(block.get("text", "") for block in answer["output"]["message"]["content"])


def create(bedrock, name, word, output=True, **more):
    made = bedrock.create_guardrail(
        name=name,
        blockedInputMessaging=f"{name} stops the prompt.",
        blockedOutputsMessaging=f"{name} stops the answer.",
        wordPolicyConfig={"wordsConfig": [{"text": word, "outputEnabled": output}]},
        **more,
    )
    bedrock.create_guardrail_version(guardrailIdentifier=made["guardrailId"])
    return made


PII = {"sensitiveInformationPolicyConfig": {"piiEntitiesConfig": [{"type": "EMAIL", "action": "ANONYMIZE"}]}}


@pytest.fixture
def bedrock(account):
    return account.client("bedrock")


@pytest.fixture
def runtime(account):
    return account.client("bedrock-runtime")


def enforce(bedrock, guardrail, **more):
    config = {"guardrailIdentifier": guardrail["guardrailId"], "guardrailVersion": "1", **more}
    return bedrock.put_enforced_guardrail_configuration(guardrailInferenceConfig=config)["configId"]


def test_an_enforced_guardrail_runs_on_every_model_call(account, bedrock, runtime):
    made = create(bedrock, "house", "forbidden", **PII)
    assert runtime.converse(modelId=MODEL, messages=user("forbidden"))["stopReason"] == "end_turn"
    config_id = enforce(bedrock, made)
    [shown] = bedrock.list_enforced_guardrails_configuration()["guardrailsConfig"]
    assert (shown["configId"], shown["guardrailArn"], shown["guardrailVersion"]) == (config_id, made["guardrailArn"], "1")
    assert shown["owner"] == "ACCOUNT" and shown["createdBy"].endswith(":root")

    blocked = runtime.converse(modelId=MODEL, messages=user("forbidden"))
    assert (text_of(blocked), blocked["stopReason"]) == ("house stops the prompt.", "guardrail_intervened")
    events = list(runtime.converse_stream(modelId=MODEL, messages=user(QUESTION))["stream"])
    assert EMAIL not in json.dumps(events, default=str) and events[-2]["messageStop"]["stopReason"] == "guardrail_intervened"
    body = json.dumps({"messages": user("x")[0:0] + [{"role": "user", "content": "forbidden"}]})
    answer = json.loads(runtime.invoke_model(modelId=MODEL, body=body)["body"].read())
    assert answer["amazon-bedrock-guardrailAction"] == "INTERVENED"
    # Marks do not hide the rest, and the system prompt is looked at.
    hidden = [{"role": "user", "content": [{"text": "forbidden"}, {"guardContent": {"text": {"text": "fine"}}}]}]
    assert runtime.converse(modelId=MODEL, messages=hidden)["stopReason"] == "guardrail_intervened"
    assert runtime.converse(modelId=MODEL, messages=user("x"), system=[{"text": "forbidden"}])["stopReason"] == "guardrail_intervened"

    bedrock.delete_enforced_guardrail_configuration(configId=config_id)
    assert runtime.converse(modelId=MODEL, messages=user("forbidden"))["stopReason"] == "end_turn"
    with raises("ResourceNotFoundException", 404):
        bedrock.delete_enforced_guardrail_configuration(configId=config_id)


def test_it_runs_besides_the_guardrail_of_the_call(bedrock, runtime):
    own = create(bedrock, "own", "private")
    house = create(bedrock, "house", "forbidden", **PII)
    enforce(bedrock, house)
    config = {"guardrailIdentifier": own["guardrailId"], "guardrailVersion": "1", "trace": "enabled"}
    ask = lambda text: runtime.converse(modelId=MODEL, messages=user(text), guardrailConfig=config)
    assert text_of(ask("private")) == "own stops the prompt." and text_of(ask("forbidden")) == "house stops the prompt."
    masked = ask(QUESTION)
    assert EMAIL not in text_of(masked)
    assessments = masked["trace"]["guardrail"]["outputAssessments"]
    origins = {key: value[0]["appliedGuardrailDetails"]["guardrailOrigin"] for key, value in assessments.items()}
    assert origins == {own["guardrailId"]: ["REQUEST"], house["guardrailId"]: ["ACCOUNT_ENFORCED"]}
    same = {"guardrailIdentifier": house["guardrailId"], "guardrailVersion": "1", "trace": "enabled"}
    both = runtime.converse(modelId=MODEL, messages=user("x"), guardrailConfig=same)["trace"]["guardrail"]["inputAssessment"]
    assert both[house["guardrailId"]]["appliedGuardrailDetails"]["guardrailOrigin"] == ["REQUEST", "ACCOUNT_ENFORCED"]


def test_results_of_tools_are_looked_at(bedrock, runtime):
    made = create(bedrock, "house", "forbidden", output=False)
    messages = [
        {"role": "user", "content": [{"text": "Weather?"}]},
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t1", "name": "weather", "input": {}}}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "t1", "content": [{"text": "a forbidden word"}]}}]},
    ]
    config = {"guardrailIdentifier": made["guardrailId"], "guardrailVersion": "1"}
    # As on AWS, a guardrail of the call does not look at them, unless its owner asks for it.
    assert runtime.converse(modelId=MODEL, messages=messages, guardrailConfig=config)["stopReason"] == "end_turn"
    bedrock.tag_resource(resourceARN=made["guardrailArn"], tags=[{"key": "bailiwick:screen-tools", "value": "on"}])
    assert runtime.converse(modelId=MODEL, messages=messages, guardrailConfig=config)["stopReason"] == "guardrail_intervened"
    bedrock.untag_resource(resourceARN=made["guardrailArn"], tagKeys=["bailiwick:screen-tools"])
    enforce(bedrock, made)
    assert runtime.converse(modelId=MODEL, messages=messages)["stopReason"] == "guardrail_intervened"
    tools = {"tools": [{"toolSpec": {"name": "w", "description": "forbidden", "inputSchema": {"json": {}}}}]}
    assert runtime.converse(modelId=MODEL, messages=user("hi"), toolConfig=tools)["stopReason"] == "guardrail_intervened"


def test_models_can_be_left_out(bedrock, runtime):
    made = create(bedrock, "house", "forbidden", output=False)
    config_id = enforce(bedrock, made, modelEnforcement={"includedModels": ["ALL"], "excludedModels": [MODEL]})
    assert runtime.converse(modelId=MODEL, messages=user("forbidden"))["stopReason"] == "end_turn"
    change = {"guardrailIdentifier": made["guardrailId"], "guardrailVersion": "1", "selectiveContentGuarding": {"messages": "SELECTIVE"}}
    bedrock.put_enforced_guardrail_configuration(configId=config_id, guardrailInferenceConfig=change)
    marked = [{"role": "user", "content": [{"text": "forbidden"}, {"guardContent": {"text": {"text": "fine"}}}]}]
    assert runtime.converse(modelId=MODEL, messages=marked)["stopReason"] == "end_turn"
    assert runtime.converse(modelId=MODEL, messages=user("forbidden"))["stopReason"] == "guardrail_intervened"


def test_configurations_are_refused(account, bedrock, assert_denied):
    made = create(bedrock, "house", "forbidden")
    put = bedrock.put_enforced_guardrail_configuration
    with raises("ResourceNotFoundException", 404):
        put(guardrailInferenceConfig={"guardrailIdentifier": made["guardrailId"], "guardrailVersion": "7"})
    with raises("ResourceNotFoundException", 404):
        put(guardrailInferenceConfig={"guardrailIdentifier": "aaaaaaaaaaaa", "guardrailVersion": "1"})
    with raises("ResourceNotFoundException", 404):
        put(configId="abc", guardrailInferenceConfig={"guardrailIdentifier": made["guardrailId"], "guardrailVersion": "1"})
    enforce(bedrock, made)
    with raises("ConflictException", 400):
        enforce(bedrock, made)
    for arguments in ({}, {"guardrailVersion": "1"}):
        with raises("ResourceInUseException", 400):
            bedrock.delete_guardrail(guardrailIdentifier=made["guardrailId"], **arguments)
    nobody = account.user().client("bedrock")
    assert_denied(lambda: enforce(nobody, made), "bedrock:PutEnforcedGuardrailConfiguration", by="identity")
    assert_denied(nobody.list_enforced_guardrails_configuration, "bedrock:ListEnforcedGuardrailsConfiguration", by="identity")
    assert_denied(
        lambda: nobody.delete_enforced_guardrail_configuration(configId="a"), "bedrock:DeleteEnforcedGuardrailConfiguration", by="identity"
    )


def test_who_may_not_apply_it_may_not_call_the_model(account, bedrock, assert_denied):
    made = create(bedrock, "house", "forbidden")
    caller = account.user(policy=document(allow("bedrock:InvokeModel"))).client("bedrock-runtime")
    assert caller.converse(modelId=MODEL, messages=user("x"))["stopReason"] == "end_turn"
    enforce(bedrock, made)
    assert_denied(lambda: caller.converse(modelId=MODEL, messages=user("x")), "bedrock:ApplyGuardrail", by="identity")


def test_an_organization_enforces_a_guardrail(account, other_account):
    orgs = account.client("organizations")
    orgs.create_organization(FeatureSet="ALL")
    root = orgs.list_roots()["Roots"][0]["Id"]
    handshake = orgs.invite_account_to_organization(Target={"Id": other_account.id, "Type": "ACCOUNT"})["Handshake"]
    other_account.client("organizations").accept_handshake(HandshakeId=handshake["Id"])
    orgs.enable_policy_type(RootId=root, PolicyType="BEDROCK_POLICY")
    bedrock = account.client("bedrock")
    made = create(bedrock, "group", "forbidden")
    configuration = {"identifier": {"@@assign": f"{made['guardrailArn']}:1"}}
    content = {"bedrock": {"guardrail_inference": {REGION: {"config_1": configuration}}}}
    policy = orgs.create_policy(Content=json.dumps(content), Description="", Name="guard", Type="BEDROCK_POLICY")["Policy"]
    policy_id = policy["PolicySummary"]["Id"]
    member = other_account.client("bedrock-runtime")
    ask = lambda: member.converse(
        modelId=MODEL, messages=user("forbidden"), guardrailConfig={"guardrailIdentifier": own["guardrailId"], "guardrailVersion": "1", "trace": "enabled"}
    )
    own = create(other_account.client("bedrock"), "own", "private")
    assert ask()["stopReason"] == "end_turn"
    orgs.attach_policy(PolicyId=policy_id, TargetId=other_account.id)
    effective = json.loads(orgs.describe_effective_policy(PolicyType="BEDROCK_POLICY", TargetId=other_account.id)["EffectivePolicy"]["PolicyContent"])
    assert effective["bedrock"]["guardrail_inference"][REGION]["config_1"]["identifier"].endswith(":1")
    # Without the guardrail's own policy nobody in the member account reaches a model.
    with raises("AccessDeniedException", 403):
        ask()
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "bedrock:ApplyGuardrail",
        "Resource": made["guardrailArn"],
        "Condition": {"StringEquals": {"aws:PrincipalOrgID": orgs.describe_organization()["Organization"]["Id"]}},
    }
    bedrock.put_resource_policy(resourceArn=made["guardrailArn"], resourcePolicy=document(statement))
    answer = ask()
    assert (text_of(answer), answer["stopReason"]) == ("group stops the prompt.", "guardrail_intervened")
    details = answer["trace"]["guardrail"]["inputAssessment"][made["guardrailId"]]["appliedGuardrailDetails"]
    assert (details["guardrailOrigin"], details["guardrailOwnership"]) == (["ORGANIZATION_ENFORCED"], "CROSS_ACCOUNT")
    # Other regions are not concerned.
    elsewhere = other_account.client("bedrock-runtime", region="eu-central-1")
    assert elsewhere.converse(modelId=MODEL, messages=user("forbidden"))["stopReason"] == "end_turn"
    orgs.detach_policy(PolicyId=policy_id, TargetId=other_account.id)
    assert ask()["stopReason"] == "end_turn"


def test_an_enforced_guardrail_that_cannot_run_fails_the_call(account, other_account):
    """A policy that names a guardrail which does not exist closes the door, it does not open it."""
    orgs = account.client("organizations")
    orgs.create_organization(FeatureSet="ALL")
    root = orgs.list_roots()["Roots"][0]["Id"]
    orgs.enable_policy_type(RootId=root, PolicyType="BEDROCK_POLICY")
    missing = f"arn:aws:bedrock:{REGION}:{account.id}:guardrail/aaaaaaaaaaaa:1"
    content = {"bedrock": {"guardrail_inference": {REGION: {"config_1": {"identifier": {"@@assign": missing}}}}}}
    policy = orgs.create_policy(Content=json.dumps(content), Description="", Name="guard", Type="BEDROCK_POLICY")["Policy"]
    orgs.attach_policy(PolicyId=policy["PolicySummary"]["Id"], TargetId=account.id)
    with raises("AccessDeniedException", 403, "does not exist"):
        account.client("bedrock-runtime").converse(modelId=MODEL, messages=user("x"))


def test_no_parameter_goes_past_an_enforced_guardrail(account, bedrock, runtime):
    enforce(bedrock, create(bedrock, "house", "forbidden"))
    asked = {"modelId": MODEL, "messages": user("hello")}
    for name in ("system", "documents", "functions", "chat_template", "n"):
        with raises("ValidationException", 400, name):
            runtime.converse(**asked, additionalModelRequestFields={name: "forbidden"})
    hidden = runtime.converse(**asked, additionalModelRequestFields={"note": {"to": ["the model, a forbidden word"]}})
    assert (hidden["stopReason"], text_of(hidden)) == ("guardrail_intervened", "house stops the prompt.")
    assert runtime.converse(**asked, additionalModelRequestFields={"top_k": 5, "effort": "low"})["stopReason"] == "end_turn"

    def called(**changed):
        call = {"id": "c1", "type": "function", "function": {"name": "send", "arguments": "{}"} | changed}
        history = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
        body = {"messages": history + [{"role": "tool", "tool_call_id": "c1", "content": "done"}]}
        return runtime.invoke_model(modelId=MODEL, body=json.dumps(body))

    assert called()["ResponseMetadata"]["HTTPStatusCode"] == 200
    with raises("ValidationException", 400, "Names and ids of tool calls"):
        called(name="a forbidden name")
