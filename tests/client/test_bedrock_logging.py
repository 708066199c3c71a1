"""Model invocation logging, asynchronous invocations, body shapes of InvokeModel, and the runtime's smaller operations."""

import gzip
import json

import pytest

from bailiwick_server import Account, allow, deny, document, raises, request_id

MODEL = "bailiwick.embedded-responder-v1"
REGION = "us-east-1"


@pytest.fixture
def runtime(account):
    return account.client("bedrock-runtime")


def user(text):
    return [{"role": "user", "content": [{"text": text}]}]


def bucket_policy(name, **more):
    statement = {"Effect": "Allow", "Principal": {"Service": "bedrock.amazonaws.com"}, "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{name}/*", **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def log_bucket(account):
    name = f"logs-{account.id}"
    s3 = account.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_bucket_policy(Bucket=name, Policy=bucket_policy(name, Condition={"StringEquals": {"aws:SourceAccount": account.id}}))
    return name


def entries(account, bucket, server):
    server.flush()
    s3 = account.client("s3")
    found = []
    for item in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
        if item["Key"].endswith(".json.gz") and "/data/" not in item["Key"]:
            body = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
            found += [json.loads(line) for line in gzip.decompress(body).splitlines()]
    return found


def test_invocations_are_logged_and_masked(account, runtime, log_bucket, bailiwick):
    bedrock = account.client("bedrock")
    target = {"s3Config": {"bucketName": log_bucket, "keyPrefix": "ai"}, "textDataDeliveryEnabled": True}
    bedrock.put_model_invocation_logging_configuration(loggingConfig=target)
    shown = bedrock.get_model_invocation_logging_configuration()["loggingConfig"]
    assert shown["s3Config"] == target["s3Config"] and shown["textDataDeliveryEnabled"]
    first = runtime.converse(modelId=MODEL, messages=user("my mail is amy@example.com"), requestMetadata={"team": "a"})
    list(runtime.converse_stream(modelId=MODEL, messages=user("streamed"))["stream"])
    body = json.dumps({"messages": [{"role": "user", "content": "invoked"}]})
    list(runtime.invoke_model_with_response_stream(modelId=MODEL, body=body)["body"])
    runtime.invoke_model(modelId=MODEL, body=body)
    logged = {(entry["operation"], entry["requestId"]): entry for entry in entries(account, log_bucket, bailiwick)}
    entry = logged["Converse", request_id(first)]
    assert (entry["schemaType"], entry["schemaVersion"], entry["accountId"], entry["modelId"]) == ("ModelInvocationLog", "1.0", account.id, MODEL)
    assert entry["identity"]["arn"].endswith(":root") and entry["requestMetadata"] == {"team": "a"} and entry["region"] == REGION
    assert entry["input"]["inputBodyJson"]["messages"][0]["content"][0]["text"] == "my mail is {EMAIL}"
    assert "{EMAIL}" in entry["output"]["outputBodyJson"]["output"]["message"]["content"][0]["text"]
    assert entry["input"]["inputTokenCount"] == first["usage"]["inputTokens"]
    by_operation = {operation: entry for (operation, _), entry in logged.items()}
    assert by_operation["ConverseStream"]["output"]["outputBodyJson"]["output"]["message"]["content"][0]["text"].endswith("streamed")
    assert isinstance(by_operation["InvokeModelWithResponseStream"]["output"]["outputBodyJson"], list)
    assert by_operation["InvokeModel"]["output"]["outputBodyJson"]["choices"]
    keys = [item["Key"] for item in account.client("s3").list_objects_v2(Bucket=log_bucket)["Contents"]]
    assert all(key.startswith(f"ai/AWSLogs/{account.id}/BedrockModelInvocationLogs/{REGION}/") for key in keys)
    assert "amy@example.com" not in json.dumps(account.events(EventName="Converse"))
    bedrock.delete_model_invocation_logging_configuration()
    assert "loggingConfig" not in bedrock.get_model_invocation_logging_configuration()
    runtime.converse(modelId=MODEL, messages=user("silent"))
    assert "silent" not in json.dumps(entries(account, log_bucket, bailiwick))


def test_the_log_is_under_the_customers_key_and_large_bodies_apart(account, runtime, log_bucket, bailiwick):
    bedrock, s3, kms = account.client("bedrock"), account.client("s3"), account.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    s3.put_bucket_encryption(Bucket=log_bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    config = {"s3Config": {"bucketName": log_bucket}}
    with raises("ValidationException", 400, "permissions"):
        bedrock.put_model_invocation_logging_configuration(loggingConfig=config)
    policy = json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    policy["Statement"].append({"Effect": "Allow", "Principal": {"Service": "bedrock.amazonaws.com"}, "Action": "kms:GenerateDataKey", "Resource": "*"})
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))
    bedrock.put_model_invocation_logging_configuration(loggingConfig=config)
    runtime.converse(modelId=MODEL, messages=user("long " * 30_000))
    [entry] = entries(account, log_bucket, bailiwick)
    path = entry["input"]["inputBodyS3Path"]
    assert path.endswith("_input.json.gz") and "inputBodyJson" not in entry["input"]
    got = s3.get_object(Bucket=log_bucket, Key=path.split("/", 3)[3])
    assert got["SSEKMSKeyId"] == key and "long long" in gzip.decompress(got["Body"].read()).decode()


def test_destinations_that_do_not_work_are_refused(account, other_account, log_bucket):
    bedrock = account.client("bedrock")
    for config, words in (
        ({"s3Config": {"bucketName": "nobody-has-this-bucket"}}, "permissions"),
        ({}, "destination"),
        ({"cloudWatchConfig": {"logGroupName": "g", "roleArn": f"arn:aws:iam::{account.id}:role/r"}}, "log group: g"),
    ):
        with raises("ValidationException", 400, words):
            bedrock.put_model_invocation_logging_configuration(loggingConfig=config)
    # The bucket's policy names another account.
    with raises("ValidationException", 400, "permissions"):
        other_account.client("bedrock").put_model_invocation_logging_configuration(loggingConfig={"s3Config": {"bucketName": log_bucket}})
    assert "loggingConfig" not in bedrock.get_model_invocation_logging_configuration()


# CloudWatch Logs


@pytest.fixture
def log_group(account):
    account.client("logs").create_log_group(logGroupName="/models")
    return "/models"


def log_writer(account, group, actions=("logs:CreateLogStream", "logs:PutLogEvents"), service="bedrock.amazonaws.com"):
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole", "Condition": {"StringEquals": {"aws:SourceAccount": account.id}}}
    return account.role(trust=trust, policy=allow(list(actions), f"arn:aws:logs:{REGION}:{account.id}:log-group:{group}:log-stream:aws/bedrock/modelinvocations"))


def log_events(account, group, server):
    server.flush()
    answer = account.client("logs").filter_log_events(logGroupName=group, logStreamNames=["aws/bedrock/modelinvocations"])
    return [json.loads(event["message"]) for event in answer["events"]]


def test_invocations_are_logged_to_a_log_group(account, runtime, log_group, log_bucket, bailiwick):
    bedrock, s3 = account.client("bedrock"), account.client("s3")
    target = {"logGroupName": log_group, "roleArn": log_writer(account, log_group), "largeDataDeliveryS3Config": {"bucketName": log_bucket, "keyPrefix": "large"}}
    bedrock.put_model_invocation_logging_configuration(loggingConfig={"cloudWatchConfig": target})
    shown = bedrock.get_model_invocation_logging_configuration()["loggingConfig"]
    assert shown["cloudWatchConfig"] == target and "s3Config" not in shown
    first = runtime.converse(modelId=MODEL, messages=user("my mail is amy@example.com"))
    large = runtime.converse(modelId=MODEL, messages=user("long " * 40_000))
    found = {entry["requestId"]: entry for entry in log_events(account, log_group, bailiwick)}
    assert found[request_id(first)]["input"]["inputBodyJson"]["messages"][0]["content"][0]["text"] == "my mail is {EMAIL}"
    entry = found[request_id(large)]
    assert "inputBodyJson" not in entry["input"]
    path = entry["input"]["inputBodyS3Path"]
    assert path.startswith(f"s3://{log_bucket}/large/AWSLogs/{account.id}/BedrockModelInvocationLogs/{REGION}/")
    assert b"long long" in gzip.decompress(s3.get_object(Bucket=log_bucket, Key=path.split("/", 3)[3])["Body"].read())
    assert entries(account, log_bucket, bailiwick) == []
    # Both places, and each entry once in each.
    bedrock.put_model_invocation_logging_configuration(loggingConfig={"cloudWatchConfig": target, "s3Config": {"bucketName": log_bucket}})
    both = runtime.converse(modelId=MODEL, messages=user("both"))
    for found in (log_events(account, log_group, bailiwick), entries(account, log_bucket, bailiwick)):
        assert [entry["requestId"] for entry in found].count(request_id(both)) == 1


def test_a_log_group_that_refuses_gets_its_entries_later_and_the_bucket_no_second_time(account, runtime, log_group, log_bucket, bailiwick):
    role = log_writer(account, log_group)
    config = {"cloudWatchConfig": {"logGroupName": log_group, "roleArn": role}, "s3Config": {"bucketName": log_bucket}}
    account.client("bedrock").put_model_invocation_logging_configuration(loggingConfig=config)
    iam, name = account.client("iam"), role.split("/")[-1]
    iam.put_role_policy(RoleName=name, PolicyName="no", PolicyDocument=document(deny("logs:*")))
    call = runtime.converse(modelId=MODEL, messages=user("later"))
    # The operator is told; the caller was answered.
    assert bailiwick.control_answer("POST", "/_bailiwick/trail/flush").status == 400
    iam.delete_role_policy(RoleName=name, PolicyName="no")
    assert [entry["requestId"] for entry in log_events(account, log_group, bailiwick)] == [request_id(call)]
    assert [entry["requestId"] for entry in entries(account, log_bucket, bailiwick)] == [request_id(call)]


def test_log_groups_that_cannot_be_written_to_are_refused(account, other_account, log_group):
    bedrock = account.client("bedrock")
    for group, role in (
        (log_group, log_writer(account, log_group, service="ec2.amazonaws.com")),
        (log_group, log_writer(account, log_group, actions=["logs:PutLogEvents"])),
        ("/missing", log_writer(account, "/missing")),
        (log_group, log_writer(other_account, log_group)),
    ):
        with raises("ValidationException", 400, "Failed to validate permissions for log group"):
            bedrock.put_model_invocation_logging_configuration(loggingConfig={"cloudWatchConfig": {"logGroupName": group, "roleArn": role}})
    clerk = account.user(policy=[allow("bedrock:*")]).client("bedrock")
    with raises("AccessDeniedException", message="iam:PassRole"):
        target = {"logGroupName": log_group, "roleArn": log_writer(account, log_group)}
        clerk.put_model_invocation_logging_configuration(loggingConfig={"cloudWatchConfig": target})


# Asynchronous invocations


def start(runtime, bucket, **more):
    body = {"messages": [{"role": "user", "content": "later"}]}
    target = {"s3OutputDataConfig": {"s3Uri": f"s3://{bucket}/out"}}
    return runtime.start_async_invoke(**{"modelId": MODEL, "modelInput": body, "outputDataConfig": target, **more})["invocationArn"]


def ended(runtime, arn):
    for _ in range(600):
        shown = runtime.get_async_invoke(invocationArn=arn)
        if shown["status"] != "InProgress":
            return shown
    raise AssertionError(f"{arn} does not end")


def test_async_invocations_end_in_s3(account, runtime, assert_denied):
    s3 = account.client("s3")
    bucket = f"async-{account.id}"
    s3.create_bucket(Bucket=bucket)
    arn = start(runtime, bucket, tags=[{"key": "team", "value": "a"}], clientRequestToken="once")
    assert start(runtime, bucket, tags=[{"key": "team", "value": "a"}], clientRequestToken="once") == arn
    shown = ended(runtime, arn)
    assert shown["status"] == "Completed" and shown["modelArn"].endswith(MODEL) and shown["endTime"] >= shown["submitTime"]
    answer = json.loads(s3.get_object(Bucket=bucket, Key=f"out/{arn.rsplit('/', 1)[1]}/output.json")["Body"].read())
    assert answer["choices"][0]["message"]["content"].endswith("later")
    assert account.client("bedrock").list_tags_for_resource(resourceARN=arn)["tags"] == [{"key": "team", "value": "a"}]
    failed = ended(runtime, start(runtime, bucket, modelInput={"nothing": 1}))
    assert failed["status"] == "Failed" and "Malformed" in failed["failureMessage"]
    listed = runtime.list_async_invokes(statusEquals="Completed")["asyncInvokeSummaries"]
    assert [item["invocationArn"] for item in listed] == [arn]
    with raises("ValidationException", 400):
        runtime.get_async_invoke(invocationArn=arn[:-1] + ("a" if arn[-1] != "a" else "b"))
    with raises("ValidationException", 400, "model identifier"):
        start(runtime, bucket, modelId="nothing")
    # Who may call the model and not write the bucket is told at once; the call for the answer's object is the caller's own.
    poor = account.user(policy=document(allow("bedrock:*"))).client("bedrock-runtime")
    assert_denied(lambda: start(poor, bucket), "s3:PutObject")
    assert any(event["userIdentity"].get("invokedBy") == "bedrock.amazonaws.com" for event in account.events(EventName="PutObject"))


# Bodies


def invoke(runtime, body, model=MODEL):
    return json.loads(runtime.invoke_model(modelId=model, body=json.dumps(body))["body"].read())


def chunks(runtime, body):
    answer = runtime.invoke_model_with_response_stream(modelId=MODEL, body=json.dumps(body))
    return [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]


@pytest.mark.parametrize(
    "body, text",
    [
        ({"prompt": "hi", "max_gen_len": 100}, lambda answer: answer["generation"]),
        ({"inputText": "hi", "textGenerationConfig": {"maxTokenCount": 100}}, lambda answer: answer["results"][0]["outputText"]),
        ({"schemaVersion": "messages-v1", "messages": [{"role": "user", "content": [{"text": "hi"}]}]}, lambda a: a["output"]["message"]["content"][0]["text"]),
        ({"message": "hi", "chat_history": [{"role": "USER", "message": "a"}, {"role": "CHATBOT", "message": "b"}]}, lambda answer: answer["text"]),
        ({"prompt": "hi", "max_tokens": 100}, lambda answer: answer["choices"][0]["text"]),
    ],
)
def test_every_familys_body_is_understood(runtime, body, text):
    answer = invoke(runtime, body)
    assert text(answer).endswith("You said: hi")
    events = chunks(runtime, body)
    assert len(events) > 4 and events[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] > 0
    with raises("ValidationException", 400):
        invoke(runtime, {**body, "unknown": 1})


def test_embeddings_in_every_form(account, runtime):
    titan = invoke(runtime, {"inputText": "a b", "dimensions": 16})
    assert len(titan["embedding"]) == 16 and titan["inputTextTokenCount"] > 0
    cohere = invoke(runtime, {"texts": ["a", "b"], "input_type": "search_query"})
    assert len(cohere["embeddings"]) == 2 and cohere["texts"] == ["a", "b"]
    made = account.client("bedrock").create_guardrail(
        name="g", blockedInputMessaging="no", blockedOutputsMessaging="no", wordPolicyConfig={"wordsConfig": [{"text": "forbidden"}]}
    )
    with raises("ValidationException", 400, "guardrail blocked"):
        body = json.dumps({"inputText": "a forbidden word", "dimensions": 16})
        runtime.invoke_model(modelId=MODEL, body=body, guardrailIdentifier=made["guardrailId"], guardrailVersion="DRAFT")


def test_count_tokens(account, runtime, assert_denied):
    assert runtime.count_tokens(modelId=MODEL, input={"converse": {"messages": user("12345678")}})["inputTokens"] == 2
    body = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 1, "messages": [{"role": "user", "content": "1234"}]})
    assert runtime.count_tokens(modelId=MODEL, input={"invokeModel": {"body": body}})["inputTokens"] == 1
    with raises("ValidationException", 400):
        runtime.count_tokens(modelId="nothing", input={"converse": {"messages": user("x")}})
    poor = account.user(policy=document(allow("bedrock:InvokeModel"))).client("bedrock-runtime")
    assert_denied(lambda: poor.count_tokens(modelId=MODEL, input={"converse": {"messages": user("x")}}), "bedrock:CountTokens")


def test_hostile_prompts_have_documented_errors(runtime):
    schema = {"type": "object"}
    for _ in range(60):
        schema = {"type": "object", "properties": {"a": schema}}
    tools = {"tools": [{"toolSpec": {"name": "deep", "inputSchema": {"json": schema}}}]}
    assert runtime.converse(modelId=MODEL, messages=user("x"), toolConfig=tools)["stopReason"] == "end_turn"
    assert runtime.converse(modelId=MODEL, messages=user("x" * 1_000_000))["usage"]["inputTokens"] == 250_000
    many = [{"role": "user" if turn % 2 == 0 else "assistant", "content": [{"text": "x"}]} for turn in range(10_001)]
    assert runtime.converse(modelId=MODEL, messages=many)["usage"]["inputTokens"] == 10_001


def test_new_operations_are_denied_without_a_policy(account, assert_denied):
    bedrock, runtime = account.user().client("bedrock"), account.user().client("bedrock-runtime")
    arn = f"arn:aws:bedrock:{REGION}:{account.id}"
    for action, call in {
        "PutModelInvocationLoggingConfiguration": lambda: bedrock.put_model_invocation_logging_configuration(loggingConfig={"s3Config": {"bucketName": "abc"}}),
        "GetModelInvocationLoggingConfiguration": bedrock.get_model_invocation_logging_configuration,
        "DeleteModelInvocationLoggingConfiguration": bedrock.delete_model_invocation_logging_configuration,
        "ListInferenceProfiles": bedrock.list_inference_profiles,
        "GetInferenceProfile": lambda: bedrock.get_inference_profile(inferenceProfileIdentifier="us.x"),
        "ListProvisionedModelThroughputs": bedrock.list_provisioned_model_throughputs,
        "GetProvisionedModelThroughput": lambda: bedrock.get_provisioned_model_throughput(provisionedModelId=f"{arn}:provisioned-model/aaaaaaaaaaaa"),
        "ListImportedModels": bedrock.list_imported_models,
        "ListModelImportJobs": bedrock.list_model_import_jobs,
        "GetFoundationModelAvailability": lambda: bedrock.get_foundation_model_availability(modelId=MODEL),
        "ListAsyncInvokes": runtime.list_async_invokes,
        "GetAsyncInvoke": lambda: runtime.get_async_invoke(invocationArn=f"{arn}:async-invoke/aaaaaaaaaaaa"),
    }.items():
        assert_denied(call, f"bedrock:{action}", by="identity", explicit=False)


# Data subjects


def test_the_bodies_about_a_person_can_be_erased_where_files_cannot(start_server):
    """Immutability and erasure hold together: nothing in the bucket or the trail changes, and the words are gone."""
    server = start_server("--ephemeral", "--region", REGION, "--data-subject-key", "person")
    account = Account.home(server)
    name = f"logs-{account.id}"
    s3, bedrock, runtime = account.client("s3"), account.client("bedrock"), account.client("bedrock-runtime")
    s3.create_bucket(Bucket=name)
    s3.put_bucket_policy(Bucket=name, Policy=bucket_policy(name))
    bedrock.put_model_invocation_logging_configuration(loggingConfig={"s3Config": {"bucketName": name}, "textDataDeliveryEnabled": True})
    for person, words in [("amy@example.com", "alpha secret"), ("robert-the-second", "beta secret"), (None, "nobody in particular")]:
        metadata = {"requestMetadata": {"person": person, "team": "a"}} if person else {}
        runtime.converse(modelId=MODEL, messages=user(words), **metadata)
    runtime.converse(modelId=MODEL, messages=user("long secret " * 20_000), requestMetadata={"person": "amy@example.com"})
    logged = entries(account, name, server)
    assert len(logged) == 4
    amys = [entry for entry in logged if "dataSubjectId" in entry and entry["dataSubjectId"] == logged[0]["dataSubjectId"]]
    [bobs] = [entry for entry in logged if "dataSubjectId" in entry and entry not in amys]
    [plain] = [entry for entry in logged if "dataSubjectId" not in entry]
    assert len(amys) == 2 and amys[0]["requestMetadata"] == {"person": "{DATA_SUBJECT}", "team": "a"}
    assert plain["input"]["inputBodyJson"]["messages"][0]["content"][0]["text"] == "nobody in particular"

    def stored():
        keys = [item["Key"] for item in s3.list_objects_v2(Bucket=name)["Contents"]]
        return {key: s3.get_object(Bucket=name, Key=key)["Body"].read() for key in keys}

    before = stored()
    texts = b"".join(gzip.decompress(body) for key, body in before.items() if key.endswith(".gz"))
    for words in (b"secret", b"amy@example.com", b"robert-the-second"):
        assert words not in texts
    assert b"nobody in particular" in texts

    def opened(entry, part, client=account, sealed=None):
        sealed = sealed or entry[part][f"{part}BodySealed"]
        body = {"DataSubjectId": entry["dataSubjectId"], "RequestId": entry["requestId"], "Part": part, "Sealed": sealed}
        return server.control_answer("POST", "/_bailiwick/data-subjects/open", body, credentials=client.credentials)

    first = opened(amys[0], "input")
    assert json.loads(first.body)["Body"]["messages"][0]["content"][0]["text"] == "alpha secret"
    assert "alpha secret" in json.dumps(json.loads(opened(amys[0], "output").body)["Body"])
    large = json.loads(gzip.decompress(before[amys[1]["input"]["inputBodyS3Path"].split("/", 3)[3]]))
    assert "long secret long secret" in json.dumps(json.loads(opened(amys[1], "input", sealed=large).body)["Body"])
    # A body cannot be passed off as another one's, or as another part.
    assert opened(bobs, "input", sealed=amys[0]["input"]["inputBodySealed"]).status == 400
    assert opened(amys[0], "output", sealed=amys[0]["input"]["inputBodySealed"]).status == 400
    erased = server.control("POST", "/_bailiwick/data-subjects/erase", {"DataSubject": "amy@example.com"})
    assert erased == {"DataSubjectId": amys[0]["dataSubjectId"], "Erased": True}
    for entry, part in [(amys[0], "input"), (amys[0], "output")]:
        answer = opened(entry, part)
        assert answer.code == "ResourceNotFoundException"
        assert b"alpha secret" not in answer.body
    assert json.loads(opened(bobs, "input").body)["Body"]["messages"][0]["content"][0]["text"] == "beta secret"
    # Files, and the hashes of them, are as they were; the erasure stands in the trail without the name.
    assert {key: body for key, body in stored().items() if key in before} == before
    [event] = account.events(EventName="EraseDataSubject")
    assert event["responseElements"]["dataSubjectId"] == amys[0]["dataSubjectId"]
    assert "amy@example.com" not in json.dumps(account.events())
    assert server.control("POST", "/_bailiwick/data-subjects/erase", {"DataSubject": "amy@example.com"})["Erased"] is False


def test_who_may_erase_and_open(bailiwick, account):
    nobody = account.user().credentials
    for path, body in [
        ("erase", {"DataSubject": "amy"}),
        ("open", {"DataSubjectId": "0" * 32, "RequestId": "r", "Part": "input", "Sealed": "AAAA"}),
    ]:
        assert bailiwick.control_answer("POST", f"/_bailiwick/data-subjects/{path}", body, credentials=nobody).status == 403
