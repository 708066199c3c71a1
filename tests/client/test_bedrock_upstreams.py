"""Upstreams: declared models with weights, health, retry and fallback, sealed secrets, limits, budgets, and servers that misbehave."""

import json
import ssl

import botocore.exceptions
import httpx
import pytest

from bailiwick_server import Account, allow, document, key_of, raises
from fake_upstream import FakeUpstream

REGION = "us-east-1"


def user(text):
    return [{"role": "user", "content": [{"text": text}]}]


def text_of(answer):
    return "".join(block.get("text", "") for block in answer["output"]["message"]["content"])


def streamed(answer):
    events = list(answer["stream"])
    return "".join(event["contentBlockDelta"]["delta"].get("text", "") for event in events if "contentBlockDelta" in event), events


@pytest.fixture
def fakes():
    """Starts fake upstreams."""
    started = []

    def start(*arguments, **keywords):
        started.append(FakeUpstream.start(*arguments, **keywords))
        return started[-1]

    yield start
    for fake in started:
        fake.stop()


@pytest.fixture
def declared(start_server, tmp_path):
    """Starts a server with a configuration file; gives its home account and itself."""

    def start(toml):
        path = tmp_path / "bailiwick.toml"
        path.write_text(toml)
        server = start_server("--ephemeral", "--manual-clock", "--region", REGION, "--config", str(path))
        return Account.home(server), server

    return start


def upstream(fake, name="one", **more):
    lines = [f'[[upstreams]]\nname = "{name}"\nkind = "{fake.kind}"\nurl = "{fake.url}"']
    if fake.kind == "bedrock":
        lines.append('region = "us-east-1"')
    lines += [f"{key} = {json.dumps(value)}" for key, value in more.items()]
    return "\n".join(lines) + "\n"


def model(name, *targets, **more):
    listed = ", ".join(f'{{ upstream = "{up}", model = "fake-1", weight = {weight} }}' for up, weight in targets)
    lines = [f'[[models]]\nid = "{name}"\ntargets = [{listed}]'] + [f"{key} = {json.dumps(value)}" for key, value in more.items()]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("kind", ["openai", "anthropic", "bedrock"])
def test_every_kind_answers_streams_and_counts(declared, fakes, kind):
    fake = fakes(kind)
    account, _ = declared(upstream(fake) + model("m", ("one", 1)))
    runtime = account.client("bedrock-runtime")
    answer = runtime.converse(modelId="m", messages=user("say hello"), system=[{"text": "Be brief."}], inferenceConfig={"maxTokens": 9})
    assert text_of(answer) == "hello" and answer["stopReason"] == "end_turn"
    assert (answer["usage"]["inputTokens"], answer["usage"]["outputTokens"]) == (11, 5)
    text, events = streamed(runtime.converse_stream(modelId="m", messages=user("say hello there")))
    assert text == "hello there" and events[-1]["metadata"]["usage"]["outputTokens"] == 5
    assert runtime.count_tokens(modelId="m", input={"converse": {"messages": user("x")}})["inputTokens"] == 42
    sent = json.dumps(fake.requests[0]["body"])
    assert "Be brief." in sent and "9" in sent and ("fake-1" in sent or "fake-1" in fake.requests[0]["path"])


def test_tools_images_and_documents_reach_the_upstream(declared, fakes):
    fake = fakes()
    account, _ = declared(upstream(fake) + model("m", ("one", 1), images=True))
    runtime = account.client("bedrock-runtime")
    tools = {"tools": [{"toolSpec": {"name": "weather", "inputSchema": {"json": {"type": "object"}}}}]}
    asked = runtime.converse(modelId="m", messages=user("tool weather"), toolConfig=tools)
    assert asked["stopReason"] == "tool_use" and asked["output"]["message"]["content"][0]["toolUse"]["input"] == {"a": 1}
    content = [
        {"image": {"format": "png", "source": {"bytes": b"picture"}}},
        {"document": {"format": "txt", "name": "notes", "source": {"bytes": b"remember"}}},
        {"text": "say seen"},
    ]
    assert text_of(runtime.converse(modelId="m", messages=[{"role": "user", "content": content}])) == "seen"
    parts = fake.requests[-1]["body"]["messages"][0]["content"]
    assert parts[0]["image_url"]["url"] == "data:image/png;base64,cGljdHVyZQ=="
    assert parts[1]["text"] == "Document notes:\nremember" and parts[2]["text"] == "say seen"
    many = [{"image": {"format": "png", "source": {"bytes": b"p"}}}] * 21 + [{"text": "x"}]
    with raises("ValidationException", 400, "too many images"):
        runtime.converse(modelId="m", messages=[{"role": "user", "content": many}])


def test_weights_share_calls_and_a_dead_server_is_left_out(declared, fakes):
    one, two = fakes(), fakes()
    account, _ = declared(upstream(one, "one", unhealthy_after=1, attempts=1) + upstream(two, "two") + model("m", ("one", 1), ("two", 3)))
    runtime = account.client("bedrock-runtime")
    for _ in range(8):
        runtime.converse(modelId="m", messages=user("say x"))
    assert (len(one.requests), len(two.requests)) == (2, 6)
    one.stop()
    for _ in range(8):
        assert text_of(runtime.converse(modelId="m", messages=user("say x"))) == "x"


def test_retry_and_fallback(declared, fakes):
    one, two = fakes(), fakes(models=("fake-1",))
    toml = upstream(one, "one", attempts=3, unhealthy_after=100) + upstream(two, "two")
    account, _ = declared(toml + model("m", ("one", 1), fallback=["spare"]) + model("spare", ("two", 1)))
    runtime = account.client("bedrock-runtime")
    assert text_of(runtime.converse(modelId="m", messages=user("fail 2"))) == "fail 2"
    assert (len(one.requests), len(two.requests)) == (3, 0)
    one.is_broken = True
    assert text_of(runtime.converse(modelId="m", messages=user("say spare"))) == "spare"
    assert streamed(runtime.converse_stream(modelId="m", messages=user("say spare")))[0] == "spare"
    assert (len(one.requests), len(two.requests)) == (9, 2)
    one.is_broken = False
    # What is wrong with the request is wrong everywhere.
    before = len(one.requests) + len(two.requests)
    with raises("ValidationException", 400, "told so"):
        runtime.converse(modelId="m", messages=user("status 400"))
    assert len(one.requests) + len(two.requests) == before + 1


def test_secrets_are_sealed_and_needed(declared, fakes, binary, command):
    fake = fakes(key="sk-canary-5521")
    account, server = declared(upstream(fake, secret="gpu") + model("m", ("one", 1)))
    runtime = account.client("bedrock-runtime")
    with raises("ServiceUnavailableException", 503, "secret is not set"):
        runtime.converse(modelId="m", messages=user("say x"))
    assert fake.requests == []
    told = command("upstream", "set-secret", "gpu", server=server, stdin="sk-canary-5521\n")
    assert told.returncode == 0, told.stderr
    assert text_of(runtime.converse(modelId="m", messages=user("say x"))) == "x"
    assert command("upstream", "secrets", server=server).stdout.split() == ["gpu"]
    events = json.dumps(account.events(EventName="PutUpstreamSecret"))
    assert "gpu" in events and "canary" not in events and "canary" not in server.log_file.read_text()
    command("upstream", "set-secret", "gpu", server=server, stdin="wrong")
    with raises("ServiceUnavailableException", 503, "credentials"):
        runtime.converse(modelId="m", messages=user("say x"))
    assert command("upstream", "delete-secret", "gpu", server=server).returncode == 0
    assert command("upstream", "delete-secret", "gpu", server=server).returncode != 0


def test_a_second_bailiwick_is_an_upstream(declared, start_server, command, tmp_path):
    behind = start_server("--ephemeral", "--region", REGION, listen=("http://127.0.0.1:0", "https://127.0.0.1:0"))
    plain = next(url for url in json.loads((behind.data_dir / "server.json").read_text())["endpoints"] if url.startswith("http:"))
    toml = f"""
[[upstreams]]
name = "behind"
kind = "bedrock"
url = "{plain}"
region = "{REGION}"
secret = "behind"
[[models]]
id = "m"
targets = [{{ upstream = "behind", model = "bailiwick.embedded-responder-v1" }}]
"""
    account, server = declared(toml)
    root = Account.home(behind)
    keys = root.credentials
    command("upstream", "set-secret", "behind", server=server, stdin=f"{keys.access_key_id}:{keys.secret_access_key}")
    runtime = account.client("bedrock-runtime")
    assert text_of(runtime.converse(modelId="m", messages=user("hello"))).endswith("You said: hello")
    text, _ = streamed(runtime.converse_stream(modelId="m", messages=user("hello")))
    assert text.endswith("You said: hello")
    assert runtime.count_tokens(modelId="m", input={"converse": {"messages": user("hello")}})["inputTokens"] == 2


@pytest.mark.parametrize(
    "script, code, status",
    [
        ("status 429", "ThrottlingException", 429),
        ("status 401", "ServiceUnavailableException", 503),
        ("status 503", "ServiceUnavailableException", 503),
        ("status 500", "ModelErrorException", 424),
        ("malformed", "ModelErrorException", 424),
        ("short", "ModelErrorException", 424),
        ("long", "ModelErrorException", 424),
        ("redirect http://169.254.169.254/latest/meta-data", "ModelErrorException", 424),
        ("hang", "ModelTimeoutException", 408),
    ],
)
def test_bad_upstreams_have_documented_errors(declared, fakes, script, code, status):
    fake = fakes()
    account, _ = declared(upstream(fake, attempts=1, timeout_ms=500) + model("m", ("one", 1)))
    with raises(code, status):
        account.client("bedrock-runtime").converse(modelId="m", messages=user(script))
    assert len(fake.requests) == 1


@pytest.mark.parametrize("script, status", [("status 500", 502), ("malformed", 502), ("hang", 504), ("status 429", 429)])
def test_at_the_doors_a_bad_upstream_is_no_fault_of_the_request(declared, fakes, script, status):
    account, server = declared(upstream(fakes(), attempts=1, timeout_ms=500) + model("m", ("one", 1)))
    key = key_of(account, document(allow("bedrock:*")))
    with httpx.Client(verify=ssl.create_default_context(cafile=str(server.authority)), timeout=60) as http:
        chat = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": script}]}
        answer = http.post(f"{server.endpoint}/v1/chat/completions", json=chat, headers={"authorization": f"Bearer {key}"})
        kind = "rate_limit_error" if status == 429 else "server_error"
        assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind), answer.text
        answer = http.post(f"{server.endpoint}/v1/messages", json=chat, headers={"x-api-key": key, "anthropic-version": "2023-06-01"})
        kind = "rate_limit_error" if status == 429 else "api_error"
        assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind), answer.text


@pytest.mark.parametrize("script", ["malformed", "die", "lone", "hang"])
def test_bad_streams_end_with_an_exception(declared, fakes, script):
    fake = fakes()
    account, _ = declared(upstream(fake, part_timeout_ms=500) + model("m", ("one", 1)))
    runtime = account.client("bedrock-runtime")
    seen = []
    with pytest.raises(botocore.exceptions.EventStreamError, match="modelStreamErrorException"):
        for event in runtime.converse_stream(modelId="m", messages=user(script))["stream"]:
            seen.append(event)
    assert "messageStart" in seen[0] and not any("messageStop" in event for event in seen)
    # The next call is not hurt by it.
    assert streamed(runtime.converse_stream(modelId="m", messages=user("say fine")))[0] == "fine"


def test_half_an_emoji_comes_whole(declared, fakes):
    account, _ = declared(upstream(fakes()) + model("m", ("one", 1)))
    assert streamed(account.client("bedrock-runtime").converse_stream(modelId="m", messages=user("half emoji")))[0] == "😀 done"


def test_limits_bind_each_principal(declared, fakes):
    fake = fakes()
    limit = '[[limits]]\nprincipal = "*:user/*"\nrequests_per_minute = 2\n'
    account, server = declared(upstream(fake) + model("m", ("one", 1)) + limit)
    policy = document(allow("bedrock:*"))
    one, two = (account.user(policy=policy).client("bedrock-runtime") for _ in range(2))
    for _ in range(2):
        one.converse(modelId="m", messages=user("say x"))
    with raises("ThrottlingException", 429, "Too many requests, please wait before trying again."):
        one.converse(modelId="m", messages=user("say x"))
    with raises("ThrottlingException", 429):
        one.converse_stream(modelId="m", messages=user("say x"))
    two.converse(modelId="m", messages=user("say x"))
    account.client("bedrock-runtime").converse(modelId="m", messages=user("say x"))
    server.advance_clock(minutes=1)
    one.converse(modelId="m", messages=user("say x"))


def test_token_limits_take_the_estimate_first(declared, fakes):
    limit = '[[limits]]\nmodel = "m"\ntokens_per_minute = 100\n'
    account, _ = declared(upstream(fakes()) + model("m", ("one", 1)) + limit)
    runtime = account.client("bedrock-runtime")
    with raises("ThrottlingException", 429, "Too many tokens, please wait before trying again."):
        runtime.converse(modelId="m", messages=user("say x"), inferenceConfig={"maxTokens": 101})
    for _ in range(6):
        runtime.converse(modelId="m", messages=user("say x"))
    with raises("ThrottlingException", 429, "Too many tokens"):
        runtime.converse(modelId="m", messages=user("say x"), inferenceConfig={"maxTokens": 20})


def test_budgets_stop_hard_and_usage_is_told(declared, fakes, command):
    toml = (
        upstream(fakes())
        + model("m", ("one", 1), input_price=1000.0, output_price=2000.0)
        + '[[budgets]]\nname = "small"\nmodel = "m"\nperiod = "month"\ncost_usd = 0.05\n'
        + '[[budgets]]\nname = "day"\nmodel = "m"\nperiod = "day"\ntokens = 1000\n'
    )
    account, server = declared(toml)
    runtime = account.client("bedrock-runtime")
    # Each call has 11 tokens in and 5 out: 0.021 dollars.
    for _ in range(2):
        runtime.converse(modelId="m", messages=user("say x"))
    streamed(runtime.converse_stream(modelId="m", messages=user("say x")))
    with raises("ServiceQuotaExceededException", 400, "small"):
        runtime.converse(modelId="m", messages=user("say x"))
    told = command("usage", "--csv", "--from", "2020-01-01", "--to", "2099-01-01", server=server)
    assert told.returncode == 0, told.stderr
    header, line = told.stdout.strip().splitlines()
    assert header.startswith("day,region,principal,model,tags,calls")
    fields = line.split(",")
    assert fields[3] == "m" and fields[5:8] == ["3", "33", "15"] and abs(float(fields[8]) - 0.063) < 1e-9


def test_settings_that_do_not_fit_are_refused(binary, tmp_path, command):
    path = tmp_path / "bad.toml"
    for text, words in (
        ('[[models]]\nid = "m"\ntargets = [{ upstream = "nobody", model = "x" }]\n', "not declared"),
        ('[[upstreams]]\nname = "a"\nurl = "ftp://x"\n', "not a URL"),
        ('[[upstreams]]\nname = "a"\nurl = "http://x"\ncolour = "red"\n', "unknown field"),
    ):
        path.write_text(text)
        told = command("config", "--config", path)
        assert told.returncode == 2 and words in told.stderr, told.stderr


# Profiles, provisioned throughput, imports


PROFILE = '[[inference_profiles]]\nid = "us.m"\nmodels = [{ model = "m" }]\n'


def test_inference_profiles(declared, fakes, assert_denied):
    account, _ = declared(upstream(fakes()) + model("m", ("one", 1)) + PROFILE)
    bedrock, runtime = account.client("bedrock"), account.client("bedrock-runtime")
    [system] = bedrock.list_inference_profiles(typeEquals="SYSTEM_DEFINED")["inferenceProfileSummaries"]
    assert system["inferenceProfileId"] == "us.m" and system["models"][0]["modelArn"].endswith("foundation-model/m")
    for identifier in ("us.m", system["inferenceProfileArn"]):
        assert text_of(runtime.converse(modelId=identifier, messages=user("say x"))) == "x"
    made = bedrock.create_inference_profile(
        inferenceProfileName="team", modelSource={"copyFrom": system["inferenceProfileArn"]}, tags=[{"key": "team", "value": "a"}]
    )
    arn = made["inferenceProfileArn"]
    assert text_of(runtime.converse(modelId=arn, messages=user("say x"))) == "x"
    shown = bedrock.get_inference_profile(inferenceProfileIdentifier=arn)
    assert (shown["inferenceProfileName"], shown["type"], shown["status"]) == ("team", "APPLICATION", "ACTIVE")
    assert bedrock.list_tags_for_resource(resourceARN=arn)["tags"] == [{"key": "team", "value": "a"}]
    foundation = f"arn:aws:bedrock:{REGION}::foundation-model/m"
    only = document(
        allow("bedrock:InvokeModel", arn), allow("bedrock:InvokeModel", foundation, Condition={"StringEquals": {"bedrock:InferenceProfileArn": arn}})
    )
    limited = account.user(policy=only).client("bedrock-runtime")
    limited.converse(modelId=arn, messages=user("say x"))
    assert_denied(lambda: limited.converse(modelId="m", messages=user("say x")), "bedrock:InvokeModel")
    assert_denied(lambda: limited.converse(modelId="us.m", messages=user("say x")), "bedrock:InvokeModel")
    with raises("ConflictException"):
        bedrock.create_inference_profile(inferenceProfileName="team", modelSource={"copyFrom": foundation})
    with raises("ResourceNotFoundException", 404):
        bedrock.create_inference_profile(inferenceProfileName="x", modelSource={"copyFrom": foundation + "none"})
    bedrock.delete_inference_profile(inferenceProfileIdentifier=arn)
    with raises("ResourceNotFoundException", 404):
        runtime.converse(modelId=arn, messages=user("say x"))
    with raises("ResourceNotFoundException", 404):
        bedrock.delete_inference_profile(inferenceProfileIdentifier=arn)
    with raises("ValidationException", 400):
        bedrock.delete_inference_profile(inferenceProfileIdentifier="us.m")


def test_provisioned_throughput_has_a_rate_of_its_own(declared, fakes):
    limit = '[[limits]]\nmodel = "m"\nrequests_per_minute = 1\n'
    toml = upstream(fakes()) + model("m", ("one", 1), unit_tokens_per_minute=50, units=2) + model("n", ("one", 1)) + limit
    account, _ = declared(toml)
    bedrock, runtime = account.client("bedrock"), account.client("bedrock-runtime")
    with raises("ValidationException", 400, "isn't supported"):
        bedrock.create_provisioned_model_throughput(provisionedModelName="p", modelId="n", modelUnits=1)
    with raises("ServiceQuotaExceededException", 400):
        bedrock.create_provisioned_model_throughput(provisionedModelName="p", modelId="m", modelUnits=3)
    arn = bedrock.create_provisioned_model_throughput(provisionedModelName="p", modelId="m", modelUnits=1)["provisionedModelArn"]
    shown = bedrock.get_provisioned_model_throughput(provisionedModelId="p")
    assert (shown["modelUnits"], shown["status"], shown["provisionedModelArn"]) == (1, "InService", arn)
    # 16 tokens a call: three calls and the unit is used up; the limit of on-demand calls does not bind.
    for _ in range(3):
        runtime.converse(modelId=arn, messages=user("say x"))
    with raises("ThrottlingException", 429, "Too many tokens"):
        runtime.converse(modelId=arn, messages=user("say x"), inferenceConfig={"maxTokens": 10})
    bedrock.update_provisioned_model_throughput(provisionedModelId=arn, desiredProvisionedModelName="q")
    assert [item["provisionedModelName"] for item in bedrock.list_provisioned_model_throughputs()["provisionedModelSummaries"]] == ["q"]
    bedrock.delete_provisioned_model_throughput(provisionedModelId=arn)
    with raises("ResourceNotFoundException", 404):
        runtime.converse(modelId=arn, messages=user("say x"))
    bound = bedrock.create_provisioned_model_throughput(provisionedModelName="b", modelId="m", modelUnits=2, commitmentDuration="OneMonth")
    with raises("ConflictException"):
        bedrock.delete_provisioned_model_throughput(provisionedModelId=bound["provisionedModelArn"])


TRUST = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "bedrock.amazonaws.com"}, "Action": "sts:AssumeRole"}]}


def test_an_adapter_is_imported_when_everything_fits(declared, fakes):
    fake = fakes()
    seen = 'loads_adapters = { s3 = "s3://adapters-1/", path = "/mnt/adapters" }\n'
    account, _ = declared(upstream(fake) + seen + model("m", ("one", 1)))
    bedrock, s3, iam, kms = (account.client(name) for name in ("bedrock", "s3", "iam", "kms"))
    s3.create_bucket(Bucket="adapters-1")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    role = iam.create_role(RoleName="import", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    configuration = json.dumps({"base_model_name_or_path": "fake-1", "peft_type": "LORA"})
    s3.put_object(Bucket="adapters-1", Key="a/adapter_config.json", Body=configuration)

    def start(name="job", **more):
        source = {"s3DataSource": {"s3Uri": "s3://adapters-1/a"}}
        return bedrock.create_model_import_job(
            **{"jobName": name, "importedModelName": f"model-{name}", "roleArn": role, "modelDataSource": source, **more}
        )

    with raises("ValidationException", 400, "cannot read"):
        start()
    iam.put_role_policy(RoleName="import", PolicyName="p", PolicyDocument=document(allow(["s3:GetObject", "kms:Decrypt"])))
    with raises("ValidationException", 400, "not encrypted with the KMS key"):
        start(importedModelKmsKeyId=key)
    s3.put_object(Bucket="adapters-1", Key="a/adapter_config.json", Body=configuration, ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    other = iam.create_role(RoleName="closed", AssumeRolePolicyDocument=json.dumps(dict(TRUST, Statement=[dict(TRUST["Statement"][0], Effect="Deny")])))
    with raises("ValidationException", 400, "assume"):
        start(roleArn=other["Role"]["Arn"])
    assert not [request for request in fake.requests if "lora" in request["path"]]
    job = start(importedModelKmsKeyId=key)["jobArn"]
    [loaded] = [request["body"] for request in fake.requests if "load_lora" in request["path"]]
    assert loaded["lora_path"] == "/mnt/adapters/a"
    shown = bedrock.get_model_import_job(jobIdentifier=job)
    assert shown["status"] == "Completed" and shown["importedModelKmsKeyArn"] == key
    arn = shown["importedModelArn"]
    assert text_of(account.client("bedrock-runtime").converse(modelId=arn, messages=user("say x"))) == "x"
    assert fake.requests[-1]["body"]["model"] == loaded["lora_name"]
    assert [item["modelName"] for item in bedrock.list_imported_models()["modelSummaries"]] == ["model-job"]
    with raises("ValidationException", 400, "job name is currently in use"):
        start()
    s3.put_object(Bucket="adapters-1", Key="a/adapter_config.json", Body=json.dumps({"base_model_name_or_path": "other", "peft_type": "LORA"}))
    with raises("ValidationException", 400, "No upstream serves"):
        start("second")
    bedrock.delete_imported_model(modelIdentifier="model-job")
    account.server.flush()
    assert [request["body"] for request in fake.requests if "unload_lora" in request["path"]] == [{"lora_name": loaded["lora_name"]}]
    with raises("ResourceNotFoundException", 404):
        account.client("bedrock-runtime").converse(modelId=arn, messages=user("say x"))
