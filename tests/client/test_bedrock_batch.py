"""Batch inference: prompts of files in S3 through a model, as a role, into files under the customer's key; stopped, killed, refused."""

import json
import re
import time

import pytest

from bailiwick_server import Account, allow, deny, document, raises
from fake_upstream import FakeUpstream

MODEL = "bailiwick.embedded-responder-v1"
OVER = {"Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired"}


def trust(account, **condition):
    statement = {"Effect": "Allow", "Principal": {"Service": "bedrock.amazonaws.com"}, "Action": "sts:AssumeRole"}
    return {**statement, "Condition": {"StringEquals": {"aws:SourceAccount": account.id}, **condition}}


def chat(text, **more):
    return {"messages": [{"role": "user", "content": text}], **more}


def said(text):
    return {"messages": [{"role": "user", "content": [{"text": text}]}]}


def lines(*records):
    return "\n".join(json.dumps(record) for record in records)


class Batch:
    """An account with a bucket of prompts, a bucket for answers and a role."""

    def __init__(self, account, policy=None):
        self.account = account
        self.bedrock, self.s3 = account.client("bedrock"), account.client("s3")
        self.source, self.target = f"in-{account.id}", f"out-{account.id}"
        for bucket in (self.source, self.target):
            self.s3.create_bucket(Bucket=bucket)
        self.role = account.role(trust(account), policy or allow(["s3:*", "kms:*", "bedrock:InvokeModel", "bedrock:ApplyGuardrail"]))

    def put(self, key, *records):
        body = records[0] if records and isinstance(records[0], bytes) else lines(*records)
        self.s3.put_object(Bucket=self.source, Key=key, Body=body)

    def start(self, key="a.jsonl", bedrock=None, output=None, source=None, **more):
        parameters = {
            "jobName": "job",
            "roleArn": self.role,
            "modelId": MODEL,
            "inputDataConfig": {"s3InputDataConfig": {"s3Uri": f"s3://{self.source}/{key}", **(source or {})}},
            "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": f"s3://{self.target}/answers/", **(output or {})}},
            **more,
        }
        return (bedrock or self.bedrock).create_model_invocation_job(**parameters)["jobArn"]

    def until(self, job, wanted=OVER.__contains__, flush=False):
        """The job as soon as its status is wanted; `flush` makes background work look for jobs that nobody works on."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            shown = self.bedrock.get_model_invocation_job(jobIdentifier=job)
            if wanted(shown["status"]):
                return shown
            if flush:
                self.account.server.flush()
            time.sleep(0.05)
        raise AssertionError(f"the job is {shown['status']}: {shown.get('message')}")

    def run(self, *arguments, **more):
        return self.until(self.start(*arguments, **more))

    def written(self, job, name):
        got = self.s3.get_object(Bucket=self.target, Key=f"answers/{job.rsplit('/', 1)[1]}/{name}")
        return [json.loads(line) for line in got["Body"].read().splitlines()], got


def counts(shown):
    return tuple(shown[f"{name}RecordCount"] for name in ("total", "processed", "success", "error"))


def test_records_are_answered_under_the_customers_key(account):
    batch = Batch(account)
    key = account.client("kms").create_key()["KeyMetadata"]["Arn"]
    batch.put(
        "a.jsonl",
        {"recordId": "CALL0000001", "modelInput": chat("one")},
        {"modelInput": chat("two")},
        {"recordId": "CALL0000003", "modelInput": {"messages": []}},
        {"recordId": "CALL0000004", "modelInput": {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 50, **chat("four")}},
    )
    owner = {"s3BucketOwner": account.id}
    job = batch.start(output={"s3EncryptionKeyId": key, **owner}, source={"s3InputFormat": "JSONL", **owner}, tags=[{"key": "team", "value": "a"}])
    shown = batch.until(job)
    assert (shown["status"], counts(shown)) == ("Completed", (4, 4, 3, 1)), shown.get("message")
    assert shown["jobArn"] == job and shown["endTime"] >= shown["submitTime"] and shown["modelInvocationType"] == "InvokeModel"
    assert (shown["jobExpirationTime"] - shown["submitTime"]).total_seconds() == 24 * 3600 == shown["timeoutDurationInHours"] * 3600
    answers, got = batch.written(job, "a.jsonl.out")
    assert got["SSEKMSKeyId"] == key and got["ServerSideEncryption"] == "aws:kms"
    assert [answer["recordId"] for answer in answers][::2] == ["CALL0000001", "CALL0000003"] and len(answers[1]["recordId"]) == 11
    assert answers[0]["modelInput"] == chat("one") and answers[0]["modelOutput"]["choices"][0]["message"]["content"].endswith("said: one")
    assert answers[2]["error"]["errorCode"] == 400 and "modelOutput" not in answers[2] and answers[2]["error"]["errorMessage"]
    assert answers[3]["modelOutput"]["content"][0]["text"].endswith("four")
    [manifest], got = batch.written(job, "manifest.json.out")
    assert got["SSEKMSKeyId"] == key
    assert (manifest["totalRecordCount"], manifest["successRecordCount"], manifest["errorRecordCount"]) == (4, 3, 1)
    assert manifest["inputTokenCount"] > 0 and manifest["outputTokenCount"] > 0
    assert batch.bedrock.list_tags_for_resource(resourceARN=job)["tags"] == [{"key": "team", "value": "a"}]
    # The model was asked as the role, by Bedrock.
    events = [event for event in account.events(EventName="InvokeModel")]
    assert len(events) == 4 and all(event["userIdentity"]["invokedBy"] == "bedrock.amazonaws.com" for event in events)
    assert all(batch.role.rsplit("/", 1)[1] in event["userIdentity"]["arn"] for event in events)
    with raises("ConflictException", 400, "Completed"):
        batch.bedrock.stop_model_invocation_job(jobIdentifier=job)


def test_folders_converse_and_guardrails(account):
    batch = Batch(account)
    made = batch.bedrock.create_guardrail(
        name="batch", blockedInputMessaging="Blocked.", blockedOutputsMessaging="Blocked.", wordPolicyConfig={"wordsConfig": [{"text": "forbidden"}]}
    )
    config = {"guardrailConfig": {"guardrailIdentifier": made["guardrailId"], "guardrailVersion": "DRAFT"}}
    batch.put("in/one.jsonl", *({"recordId": f"R{number:02}", "modelInput": said(f"n{number}")} for number in range(20)))
    batch.put("in/deep/two.jsonl", {"recordId": "G", "modelInput": {**said("forbidden"), **config}}, {"recordId": "B", "modelInput": {"messages": 1}})
    batch.put("in/notes.txt", b"not for the model")
    batch.put("elsewhere.jsonl", {"modelInput": said("not asked")})
    job = batch.start("in/", modelInvocationType="Converse", jobName="folder", timeoutDurationInHours=48)
    shown = batch.until(job)
    assert (shown["status"], counts(shown)) == ("Completed", (22, 22, 21, 1)), shown.get("message")
    one, _ = batch.written(job, "one.jsonl.out")
    assert [answer["recordId"] for answer in one] == [f"R{number:02}" for number in range(20)]
    assert all(answer["modelOutput"]["output"]["message"]["content"][0]["text"].endswith(f"n{at}") for at, answer in enumerate(one))
    two, _ = batch.written(job, "deep/two.jsonl.out")
    assert two[0]["modelOutput"]["stopReason"] == "guardrail_intervened" and two[1]["error"]["errorCode"] == 400
    assert len(batch.s3.list_objects_v2(Bucket=batch.target)["Contents"]) == 3
    # Lists, filters, pages.
    second = batch.start("elsewhere.jsonl", modelInvocationType="Converse", jobName="other")
    batch.until(second)
    listed = batch.bedrock.list_model_invocation_jobs(sortOrder="Ascending", maxResults=1)
    assert [item["jobName"] for item in listed["invocationJobSummaries"]] == ["folder"]
    rest = batch.bedrock.list_model_invocation_jobs(sortOrder="Ascending", maxResults=1, nextToken=listed["nextToken"])
    assert [item["jobArn"] for item in rest["invocationJobSummaries"]] == [second] and "nextToken" not in rest
    for parameters, names in (({"nameContains": "fold"}, ["folder"]), ({"statusEquals": "Failed"}, []), ({"statusEquals": "Completed"}, ["other", "folder"])):
        found = batch.bedrock.list_model_invocation_jobs(**parameters)["invocationJobSummaries"]
        assert [item["jobName"] for item in found] == names


def test_what_does_not_fit_is_refused_or_fails_before_the_model_is_asked(account, other_account):
    batch = Batch(account)
    record = {"recordId": "1", "modelInput": chat("x")}
    batch.put("a.jsonl", record)
    good = allow(["s3:*", "bedrock:InvokeModel"])
    for code, status, words, parameters in (
        ("ValidationException", 400, "assume", {"roleArn": account.role(trust(account, **{"StringNotEquals": {"aws:SourceAccount": account.id}}), good)}),
        ("ValidationException", 400, "assume", {"roleArn": f"arn:aws:iam::{account.id}:role/nobody"}),
        ("ValidationException", 400, "identifier", {"modelId": "no.such-model"}),
        ("ValidationException", 400, "VPC", {"vpcConfig": {"subnetIds": ["subnet-1"], "securityGroupIds": ["sg-1"]}}),
        ("ValidationException", 400, "provisioned", {"modelId": f"arn:aws:bedrock:us-east-1:{account.id}:provisioned-model/abcdefghijkl"}),
    ):
        with raises(code, status, words):
            batch.start(**parameters)
    # The caller needs the permission, and the right to pass the role.
    model = f"arn:aws:bedrock:us-east-1::foundation-model/{MODEL}"
    jobs = f"arn:aws:bedrock:us-east-1:{account.id}:model-invocation-job/*"
    passing = allow("iam:PassRole", batch.role)
    for policy, words in ((passing, "bedrock:CreateModelInvocationJob"), (allow("bedrock:CreateModelInvocationJob", [model, jobs]), "iam:PassRole")):
        with raises("AccessDeniedException", 403, words):
            batch.start(bedrock=account.user(policy=policy).client("bedrock"))
    allowed = batch.start(bedrock=account.user(policy=[passing, allow("bedrock:CreateModelInvocationJob", [model, jobs])]).client("bedrock"), jobName="allowed")
    with raises("ResourceNotFoundException", 404):
        batch.bedrock.get_model_invocation_job(jobIdentifier="abcdefghijkl")
    batch.put("bad.jsonl", b'{"modelInput":{}}\n{nonsense')
    batch.put("list.jsonl", b"[]")
    batch.put("empty.jsonl", b"\n\n")
    batch.put("binary.jsonl", b"\xff\xfe")
    foreign = f"foreign-{other_account.id}"
    other_account.client("s3").create_bucket(Bucket=foreign)
    strange = other_account.client("kms").create_key()["KeyMetadata"]["Arn"]
    own = account.client("kms").create_key()["KeyMetadata"]["Arn"]
    unread = account.role(trust(account), [good, deny("s3:GetObject")])
    unasked = account.role(trust(account), allow("s3:*"))
    keyless = account.role(trust(account), good)
    cases = [
        ("bad.jsonl", {}, "Line 2 of the input file `bad.jsonl` is not JSON"),
        ("list.jsonl", {}, "is not a record"),
        ("empty.jsonl", {}, "no records"),
        ("binary.jsonl", {}, "not UTF-8"),
        ("missing.jsonl", {}, "cannot read .*NoSuchKey"),
        ("nothing/", {}, "There is no .jsonl file"),
        ("a.jsonl", {"roleArn": unread}, "cannot read .*AccessDenied"),
        ("a.jsonl", {"roleArn": unasked}, "bedrock:InvokeModel"),
        ("a.jsonl", {"source": {"s3BucketOwner": other_account.id}}, "cannot read .*AccessDenied"),
        ("a.jsonl", {"output": {"s3Uri": f"s3://{foreign}/x"}}, "cannot write .*AccessDenied"),
        ("a.jsonl", {"output": {"s3Uri": "s3://no-such-bucket-here/x"}}, "cannot write .*NoSuchBucket"),
        ("a.jsonl", {"output": {"s3EncryptionKeyId": strange}}, "cannot write"),
        ("a.jsonl", {"roleArn": keyless, "output": {"s3EncryptionKeyId": own}}, "cannot write .*AccessDenied"),
    ]
    begun = [(batch.start(key, **parameters), words) for key, parameters, words in cases]
    for job, words in begun:
        shown = batch.until(job)
        assert shown["status"] == "Failed", (words, shown)
        assert re.search(words, shown["message"]), shown["message"]
    assert batch.until(allowed)["status"] == "Completed"
    # Only the job that was allowed got an answer, and the role without permission was refused once.
    asked = {event.get("errorCode", "none").removesuffix("Exception"): event for event in account.events(EventName="InvokeModel")}
    assert set(asked) == {"none", "AccessDenied"}


def test_a_token_makes_one_job(account):
    batch = Batch(account)
    batch.put("a.jsonl", {"modelInput": chat("x")})
    first = batch.start(clientRequestToken="once")
    assert batch.start(clientRequestToken="once") == first
    with raises("ConflictException"):
        batch.start(clientRequestToken="once", jobName="another")
    batch.until(first)
    assert len(batch.bedrock.list_model_invocation_jobs()["invocationJobSummaries"]) == 1


@pytest.fixture
def fake():
    fake = FakeUpstream.start()
    yield fake
    fake.stop()


def configured(fake, tmp_path, more=""):
    path = tmp_path / "bailiwick.toml"
    path.write_text(
        f'[[upstreams]]\nname = "one"\nurl = "{fake.url}"\n{more}[[models]]\nid = "m"\ntargets = [{{ upstream = "one", model = "fake-1" }}]\n'
    )
    return ["--region", "us-east-1", "--config", str(path)]


def test_a_job_is_stopped_limited_and_goes_on_after_a_kill(fake, start_server, tmp_path):
    server = start_server(*configured(fake, tmp_path))
    batch = Batch(Account.home(server))
    records = [{"recordId": f"R{number:02}", "modelInput": chat(f"say {number}")} for number in range(8)]
    batch.put("slow.jsonl", *records, {"recordId": "SLOW", "modelInput": chat("slow")}, {"recordId": "REST", "modelInput": chat("say rest")})
    slow = batch.start("slow.jsonl", modelId="m")
    asked = lambda: sorted(request["body"]["messages"][0]["content"] for request in fake.requests)
    stopped = batch.start("slow.jsonl", modelId="m", jobName="stopped")
    other = batch.start("slow.jsonl", modelId="m", jobName="other")
    for job in (slow, stopped, other):
        deadline = time.monotonic() + 20
        while (shown := batch.bedrock.get_model_invocation_job(jobIdentifier=job)).get("processedRecordCount") != 8:
            assert time.monotonic() < deadline, shown
            time.sleep(0.05)
        assert shown["status"] == "InProgress" and counts(shown) == (10, 8, 8, 0)
    batch.bedrock.stop_model_invocation_job(jobIdentifier=stopped)
    shown = batch.until(stopped)
    assert shown["status"] == "Stopped" and counts(shown) == (10, 8, 8, 0)
    answers, _ = batch.written(stopped, "slow.jsonl.out")
    assert [answer["recordId"] for answer in answers] == [f"R{number:02}" for number in range(8)]
    [manifest], _ = batch.written(stopped, "manifest.json.out")
    assert (manifest["totalRecordCount"], manifest["processedRecordCount"]) == (10, 8)
    # Four are in progress at once, and twenty of a model may wait.
    waiting = [batch.start("slow.jsonl", modelId="m", jobName=f"w{number}") for number in range(18)]
    with raises("ServiceQuotaExceededException", 400, "20"):
        batch.start("slow.jsonl", modelId="m")
    states = lambda: [batch.bedrock.get_model_invocation_job(jobIdentifier=job)["status"] for job in waiting]
    deadline = time.monotonic() + 30
    while (shown := sorted(states())) != ["InProgress"] * 2 + ["Scheduled"] * 16:
        assert time.monotonic() < deadline, shown
        time.sleep(0.05)
    for job in waiting:
        batch.bedrock.stop_model_invocation_job(jobIdentifier=job)
    for job in waiting:
        assert batch.until(job)["status"] == "Stopped"
    fake.requests.clear()
    server.kill()
    server.launch(*configured(fake, tmp_path))
    batch = Batch.__new__(Batch)
    batch.account = Account.home(server)
    batch.bedrock, batch.s3 = batch.account.client("bedrock"), batch.account.client("s3")
    batch.source, batch.target = f"in-{batch.account.id}", f"out-{batch.account.id}"
    fake.gate.set()
    shown = batch.until(slow, flush=True)
    assert (shown["status"], counts(shown)) == ("Completed", (10, 10, 10, 0)), shown
    answers, _ = batch.written(slow, "slow.jsonl.out")
    assert [answer["recordId"] for answer in answers] == [f"R{number:02}" for number in range(8)] + ["SLOW", "REST"]
    batch.until(other, flush=True)
    # What was answered before the kill was not asked again.
    assert asked() == ["say rest", "say rest", "slow", "slow"]


def test_a_job_that_is_not_done_in_time_is_partly_completed_and_limits_are_waited_for(fake, start_server, tmp_path):
    limit = '[[limits]]\nmodel = "m"\nrequests_per_minute = 5\n'
    server = start_server("--ephemeral", "--manual-clock", *configured(fake, tmp_path, limit))
    batch = Batch(Account.home(server))
    batch.put("a.jsonl", *({"modelInput": chat(f"say {number}")} for number in range(9)), {"modelInput": chat("slow")})
    job = batch.start(modelId="m")
    deadline = time.monotonic() + 20
    while len(fake.requests) < 5:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    # Three of the first eight wait for the next minute.
    assert batch.bedrock.get_model_invocation_job(jobIdentifier=job)["processedRecordCount"] == 0
    server.advance_clock(minutes=1)
    batch.until(job, lambda _: batch.bedrock.get_model_invocation_job(jobIdentifier=job).get("processedRecordCount") == 8)
    server.advance_clock(hours=25)
    shown = batch.until(job)
    assert (shown["status"], counts(shown)) == ("PartiallyCompleted", (10, 8, 8, 0)), shown
    assert len(batch.written(job, "a.jsonl.out")[0]) == 8
