"""Custom models: adapters that an upstream loads, their deployments, and trainings that are refused after everything else was decided."""

import json

import pytest

from bailiwick_server import Account, allow, deny, raises
from fake_upstream import FakeUpstream

TRUST = {"Effect": "Allow", "Principal": {"Service": "bedrock.amazonaws.com"}, "Action": "sts:AssumeRole"}
ADAPTER = json.dumps({"base_model_name_or_path": "fake-1", "peft_type": "LORA"})


@pytest.fixture
def fake():
    fake = FakeUpstream.start()
    yield fake
    fake.stop()


@pytest.fixture
def account(start_server, tmp_path, fake):
    path = tmp_path / "bailiwick.toml"
    path.write_text(
        f"""
[[upstreams]]
name = "one"
url = "{fake.url}"
loads_adapters = {{ s3 = "s3://adapters-1/", path = "/mnt/adapters" }}
[[models]]
id = "base.model-1"
targets = [{{ upstream = "one", model = "fake-1" }}]
"""
    )
    return Account.home(start_server("--ephemeral", "--manual-clock", "--region", "us-east-1", "--config", str(path)))


def user(text):
    return [{"role": "user", "content": [{"text": text}]}]


def loaded(fake):
    """Names and paths of the adapters that the upstream has."""
    adapters = {}
    for request in [request for request in fake.requests if not request["is_broken"]]:
        body = request["body"]
        if request["path"].endswith("/load_lora_adapter"):
            adapters[body["lora_name"]] = body["lora_path"]
        elif request["path"].endswith("/unload_lora_adapter"):
            del adapters[body["lora_name"]]
    return adapters


def test_a_custom_model_is_deployed_asked_exchanged_and_taken_away(account, fake, assert_denied):
    bedrock, s3, runtime = (account.client(name) for name in ("bedrock", "s3", "bedrock-runtime"))
    s3.create_bucket(Bucket="adapters-1")
    key = account.client("kms").create_key()["KeyMetadata"]["Arn"]
    role = account.role(TRUST, allow(["s3:GetObject", "kms:Decrypt"]))
    for name in ("a", "b"):
        s3.put_object(Bucket="adapters-1", Key=f"{name}/adapter_config.json", Body=ADAPTER, ServerSideEncryption="aws:kms", SSEKMSKeyId=key)

    def create(name, place=None, **more):
        source = {"s3DataSource": {"s3Uri": f"s3://adapters-1/{place or name}"}}
        return bedrock.create_custom_model(**{"modelName": name, "modelSourceConfig": source, "roleArn": role, **more})["modelArn"]

    other = account.client("kms").create_key()["KeyMetadata"]["Arn"]
    untrusted = account.role(policy=allow("s3:*"))
    blind = account.role(TRUST, allow("kms:*"))
    keyless = account.role(TRUST, allow("s3:*"))
    s3.put_object(Bucket="adapters-1", Key="full/adapter_config.json", Body=json.dumps({"base_model_name_or_path": "fake-1", "peft_type": "IA3"}))
    s3.put_object(Bucket="adapters-1", Key="far/adapter_config.json", Body=ADAPTER.replace("fake-1", "unknown"))
    s3.create_bucket(Bucket="elsewhere-1")
    s3.put_object(Bucket="elsewhere-1", Key="a/adapter_config.json", Body=ADAPTER)
    for words, more in (
        ("assume", {"roleArn": untrusted}),
        ("cannot read .*AccessDenied", {"roleArn": blind}),
        ("cannot read .*AccessDenied", {"roleArn": keyless}),
        ("not encrypted with the KMS key", {"modelKmsKeyArn": other}),
        ("cannot read", {"place": "none"}),
        ("type LORA", {"place": "full"}),
        ("No upstream serves", {"place": "far"}),
        ("does not see", {"modelSourceConfig": {"s3DataSource": {"s3Uri": "s3://elsewhere-1/a"}}}),
    ):
        with raises("ValidationException", 400, words):
            create("a", **more)
    with raises("AccessDeniedException", 403, "iam:PassRole"):
        source = {"s3DataSource": {"s3Uri": "s3://adapters-1/a"}}
        limited = account.user(policy=allow("bedrock:*")).client("bedrock")
        limited.create_custom_model(modelName="a", modelSourceConfig=source, roleArn=role)
    first = create("a", modelKmsKeyArn=key, modelTags=[{"key": "team", "value": "x"}], clientRequestToken="one")
    assert create("a", modelKmsKeyArn=key, modelTags=[{"key": "team", "value": "x"}], clientRequestToken="one") == first
    with raises("ConflictException", 400):
        create("a")
    second = create("b")
    shown = bedrock.get_custom_model(modelIdentifier="a")
    assert (shown["modelArn"], shown["modelStatus"], shown["customizationType"], shown["modelKmsKeyArn"]) == (first, "Active", "IMPORTED", key)
    assert shown["baseModelArn"].endswith("::foundation-model/base.model-1")
    assert [item["modelName"] for item in bedrock.list_custom_models(sortOrder="Ascending")["modelSummaries"]] == ["a", "b"]
    assert bedrock.list_custom_models(isOwned=False)["modelSummaries"] == []
    assert bedrock.list_tags_for_resource(resourceARN=first)["tags"] == [{"key": "team", "value": "x"}]
    assert loaded(fake) == {}

    made = bedrock.create_custom_model_deployment(modelDeploymentName="d", modelArn=first, description="x", tags=[{"key": "a", "value": "b"}])
    arn = made["customModelDeploymentArn"]
    [(name, path)] = loaded(fake).items()
    assert path == "/mnt/adapters/a" and account.id in name
    assert runtime.converse(modelId=arn, messages=user("say hello"))["output"]["message"]["content"][0]["text"] == "hello"
    assert fake.requests[-1]["body"]["model"] == name
    limited = account.user(policy=allow("bedrock:InvokeModel", f"{arn[:-1]}?")).client("bedrock-runtime")
    limited.converse(modelId=arn, messages=user("say x"))
    assert_denied(lambda: limited.converse(modelId="base.model-1", messages=user("say x")), "bedrock:InvokeModel")
    with raises("ValidationException", 400):
        bedrock.create_custom_model_deployment(modelDeploymentName="d", modelArn=first)
    with raises("ResourceNotFoundException", 404):
        bedrock.create_custom_model_deployment(modelDeploymentName="e", modelArn=first[:-1] + ("1" if first[-1] == "0" else "0"))
    with raises("ConflictException", 400, "deployed"):
        bedrock.delete_custom_model(modelIdentifier=first)
    shown = bedrock.get_custom_model_deployment(customModelDeploymentIdentifier="d")
    assert (shown["status"], shown["modelArn"], shown["description"]) == ("Active", first, "x") and "updateDetails" not in shown

    bedrock.update_custom_model_deployment(customModelDeploymentIdentifier=arn, modelArn=second)
    assert len(loaded(fake)) == 2, "the first is unloaded after the commit"
    account.server.flush()
    [(renamed, path)] = loaded(fake).items()
    assert path == "/mnt/adapters/b" and renamed != name
    runtime.converse(modelId=arn, messages=user("say x"))
    assert fake.requests[-1]["body"]["model"] == renamed
    shown = bedrock.get_custom_model_deployment(customModelDeploymentIdentifier=arn)
    assert shown["updateDetails"] == {"modelArn": second, "updateStatus": "UpdateCompleted"}
    assert len(bedrock.list_custom_model_deployments(modelArnEquals=second)["modelDeploymentSummaries"]) == 1
    assert bedrock.list_custom_model_deployments(modelArnEquals=first)["modelDeploymentSummaries"] == []
    bedrock.delete_custom_model(modelIdentifier="a")
    fake.is_broken = True
    bedrock.delete_custom_model_deployment(customModelDeploymentIdentifier="d")
    assert list(loaded(fake)) == [renamed]
    account.server.flush()
    assert list(loaded(fake)) == [renamed], "the upstream did not answer, so it is asked again"
    fake.is_broken = False
    account.server.flush()
    assert loaded(fake) == {}
    with raises("ResourceNotFoundException", 404):
        runtime.converse(modelId=arn, messages=user("say x"))
    bedrock.delete_custom_model(modelIdentifier=second)
    assert bedrock.list_custom_models()["modelSummaries"] == []
    with raises("ResourceNotFoundException", 404):
        bedrock.get_custom_model(modelIdentifier="b")


def test_a_training_is_refused_after_everything_before_it_was_decided(account, fake):
    bedrock, s3, kms = (account.client(name) for name in ("bedrock", "s3", "kms"))
    key, other = (kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
    for bucket in ("train-1", "tuned-1"):
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket="train-1", Key="plain.jsonl", Body=b"{}")
    s3.put_object(Bucket="train-1", Key="sealed.jsonl", Body=b"{}", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    policy = allow(["s3:GetObject", "s3:ListBucket", "s3:PutObject", "s3:GetEncryptionConfiguration", "kms:GenerateDataKey*", "kms:Decrypt"])
    role = account.role(TRUST, policy)

    def start(training="sealed.jsonl", **more):
        parameters = {
            "jobName": "job",
            "customModelName": "tuned",
            "roleArn": role,
            "baseModelIdentifier": "base.model-1",
            "trainingDataConfig": {"s3Uri": f"s3://train-1/{training}"},
            "outputDataConfig": {"s3Uri": "s3://tuned-1/out"},
            **more,
        }
        return bedrock.create_model_customization_job(**parameters)

    def encrypt(bucket, arn):
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": arn}}
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})

    sealed = {"customModelKmsKeyId": key}
    for words, training, more in (
        ("identifier is invalid", "plain.jsonl", {"baseModelIdentifier": "no.such"}),
        ("VPC", "plain.jsonl", {"vpcConfig": {"subnetIds": ["subnet-1"], "securityGroupIds": ["sg-1"]}}),
        ("DISTILLATION", "plain.jsonl", {"customizationType": "DISTILLATION"}),
        ("assume", "plain.jsonl", {"roleArn": account.role(policy=policy)}),
        ("cannot read `s3://train-1/sealed.jsonl`: AccessDenied", "sealed.jsonl", {"roleArn": account.role(TRUST, [policy, deny("kms:Decrypt")])}),
        ("cannot read `s3://train-1/none.jsonl`: NoSuchKey", "none.jsonl", {}),
        ("cannot read `s3://train-1/v.jsonl`", "plain.jsonl", {"validationDataConfig": {"validators": [{"s3Uri": "s3://train-1/v.jsonl"}]}}),
        ("cannot reach `s3://nobody-1`", "plain.jsonl", {"outputDataConfig": {"s3Uri": "s3://nobody-1/out"}}),
        (f"cannot use `{key}`: AccessDenied", "sealed.jsonl", {**sealed, "roleArn": account.role(TRUST, [policy, deny("kms:GenerateDataKey*")])}),
        ("`s3://train-1/plain.jsonl` is not encrypted", "plain.jsonl", sealed),
        ("`s3://tuned-1` is not encrypted", "sealed.jsonl", sealed),
    ):
        with raises("ValidationException", 400, words):
            start(training, **more)
    encrypt("tuned-1", other)
    with raises("ValidationException", 400, "`s3://tuned-1` is not encrypted"):
        start(**sealed)
    encrypt("tuned-1", key)
    for more in (sealed, {}):
        with raises("ValidationException", 400, "no upstream of this server trains"):
            start(**more)
    limited = account.user(policy=allow("bedrock:*"))
    bedrock = limited.client("bedrock")
    with raises("AccessDeniedException", 403, "iam:PassRole"):
        start()
    assert bedrock.list_model_customization_jobs()["modelCustomizationJobSummaries"] == []
    for call in (bedrock.get_model_customization_job, bedrock.stop_model_customization_job):
        with raises("ResourceNotFoundException", 404):
            call(jobIdentifier="job")
    assert loaded(fake) == {} and s3.list_objects_v2(Bucket="tuned-1")["KeyCount"] == 0
