"""The commands that reason about access: on files, on an export, and on the running server."""

import json
import xml.etree.ElementTree

import pytest

from bailiwick_server import allow, deny, document
from conftest import run_command
from test_organizations import invite, management, orgs, root_id, scp  # noqa: F401

ACCOUNT = "111111111111"


def write(folder, name, content):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.fixture
def tool(binary):
    """Runs a command without a server."""
    return lambda *arguments, **keywords: run_command(binary, *arguments, **keywords)


@pytest.fixture
def run_as(binary, bailiwick, tmp_path):
    """Runs a command against the server with the credentials of an account's root user or of a session."""

    def run(credentials, *arguments, **keywords):
        environment = {
            "BAILIWICK_DATA_DIR": str(bailiwick.data_dir),
            "AWS_ACCESS_KEY_ID": credentials.access_key_id,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
        }
        if credentials.session_token:
            environment["AWS_SESSION_TOKEN"] = credentials.session_token
        return run_command(binary, *arguments, environment=environment, **keywords)

    return run


def rows(ran):
    assert ran.returncode in (0, 3), ran.stderr
    return json.loads(ran.stdout)


# Without a server


def test_diff_access(tool, tmp_path):
    old = write(tmp_path, "old.json", document(allow("s3:GetObject", "arn:aws:s3:::b/*")))
    new = write(tmp_path, "new.json", document(allow("s3:Get*", "arn:aws:s3:::b/*")))
    same = tool("diff-access", old, old)
    assert (same.returncode, same.stderr) == (0, "")
    ran = tool("diff-access", old, new, "-o", "json")
    assert ran.returncode == 3
    [gained] = rows(ran)
    assert gained["access"] == "gained"
    assert gained["action"].startswith("s3:Get") and gained["action"] != "s3:GetObject"
    assert gained["resource"].startswith("arn:aws:s3:::b/")
    for form in ("table", "yaml", "csv"):
        assert "gained" in tool("diff-access", old, new, "-o", form).stdout
    assert [row["access"] for row in rows(tool("diff-access", new, old, "-o", "json"))] == ["lost"]
    assert tool("diff-access", old, write(tmp_path, "bad.json", "{")).returncode == 2
    text = write(tmp_path, "text.json", document(allow("s3:*", "*", Condition={"StringLike": {"s3:max-keys": "1*"}})))
    number = write(tmp_path, "number.json", document(allow("s3:*", "*", Condition={"NumericLessThan": {"s3:max-keys": "99999999"}})))
    assert "unknown" in tool("diff-access", number, text).stdout


def test_checks(tool, tmp_path):
    narrow = write(tmp_path, "narrow.json", document(allow("s3:GetObject", "*")))
    wide = write(tmp_path, "wide.json", document(allow("s3:*", "*")))
    assert tool("policy", "check", "new-access", narrow, wide).returncode == 0
    assert tool("policy", "check", "new-access", wide, narrow).returncode == 3
    assert tool("policy", "check", "granted", narrow, "--action", "s3:PutObject").returncode == 0
    assert tool("policy", "check", "granted", wide, "--action", "s3:PutObject").returncode == 3
    assert tool("policy", "check", "granted", wide).returncode == 2
    public = write(tmp_path, "public.json", document({**allow("s3:GetObject", "arn:aws:s3:::b/*"), "Principal": "*"}))
    assert tool("policy", "check", "public", public).returncode == 3
    sarif = json.loads(tool("policy", "check", "public", public, "-o", "sarif").stdout)
    assert sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == str(public)


def test_validation(tool, tmp_path):
    good = write(tmp_path, "good.json", document(allow("s3:GetObject", "arn:aws:s3:::b/*")))
    bad = write(tmp_path, "bad.json", '{\n "Version": "2012-10-17",\n "Statement": {"Effect": "Maybe", "Action": "s3:GetObject", "Resource": "*"}\n}')
    assert tool("policy", "validate", good).returncode == 0
    ran = tool("policy", "validate", good, bad, "-o", "json")
    assert ran.returncode == 3
    assert [(row["code"], row["place"].rsplit(":", 2)[1]) for row in rows(ran)] == [("INVALID_EFFECT", "3")]
    sarif = json.loads(tool("policy", "validate", bad, "-o", "sarif").stdout)
    assert sarif["runs"][0]["results"][0]["ruleId"] == "INVALID_EFFECT"
    assert tool("policy", "validate", tmp_path / "none.json").returncode == 2


EXPECTATIONS = """
policies:
  identity: reader.json
  scp: [[everything.json, no-delete.json]]
principal: arn:aws:iam::111111111111:user/ana
tests:
  - name: reads
    action: s3:GetObject
    resource: arn:aws:s3:::b/k
    expect: allowed
  - name: never deletes
    action: s3:DeleteObject
    resource: arn:aws:s3:::b/k
    expect: explicitDeny
    by: scp
"""


def test_policy_tests(tool, tmp_path):
    write(tmp_path, "reader.json", document(allow("s3:*", "*")))
    write(tmp_path, "everything.json", document(allow("*", "*")))
    write(tmp_path, "no-delete.json", document(deny("s3:Delete*", "*")))
    good = write(tmp_path, "good.yaml", EXPECTATIONS)
    ran = tool("policy", "test", good)
    assert (ran.returncode, ran.stderr) == (0, "")
    wrong = write(tmp_path, "wrong.yaml", EXPECTATIONS.replace("by: scp", "by: boundary"))
    ran = tool("policy", "test", good, wrong, "-o", "junit")
    assert ran.returncode == 3
    suites = xml.etree.ElementTree.fromstring(ran.stdout)
    assert (suites.get("tests"), suites.get("failures")) == ("4", "1")
    assert "by boundary" in suites.find(".//failure").get("message")
    sarif = json.loads(tool("policy", "test", wrong, "-o", "sarif").stdout)
    assert [result["ruleId"] for result in sarif["runs"][0]["results"]] == ["never deletes"]
    for mistake in ("expects: allowed", "expect: maybe"):
        assert tool("policy", "test", write(tmp_path, "mistake.yaml", EXPECTATIONS.replace("expect: allowed", mistake))).returncode == 2
    repeated = write(tmp_path, "repeated.yaml", EXPECTATIONS + "tests: []\n")
    assert tool("policy", "test", repeated).returncode == 2


def export(folder):
    def user(name, *statements):
        policy = [{"PolicyName": "p", "PolicyDocument": json.loads(document(*statements))}]
        return {"UserName": name, "UserId": f"AIDA{name}", "Arn": f"arn:aws:iam::{ACCOUNT}:user/{name}", "UserPolicyList": policy}

    admin = f"arn:aws:iam::{ACCOUNT}:role/admin"
    trust = document({"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"})
    return write(
        folder,
        "export.json",
        {
            "UserDetailList": [
                user("reader", allow("s3:GetObject", "*", Condition={"StringEquals": {"aws:SourceVpc": "vpc-1"}})),
                user("operator", allow("sts:AssumeRole", admin)),
                user("helpdesk", allow("iam:CreateAccessKey", f"arn:aws:iam::{ACCOUNT}:user/operator")),
            ],
            "RoleDetailList": [
                {
                    "RoleName": "admin",
                    "RoleId": "AROAADMIN",
                    "Arn": admin,
                    "AssumeRolePolicyDocument": json.loads(trust),
                    "RolePolicyList": [{"PolicyName": "p", "PolicyDocument": json.loads(document(allow("*", "*")))}],
                }
            ],
        },
    )


def test_questions_about_an_export(tool, tmp_path):
    path = export(tmp_path)
    found = rows(tool("who-can", "s3:GetObject", "arn:aws:s3:::b/k", "--export", path, "-o", "json"))
    assert {row["principal"].rsplit("/", 1)[-1]: row["can"] for row in found} == {"reader": "if aws:SourceVpc=vpc-1", "admin": "yes"}
    found = rows(tool("what-can", f"arn:aws:iam::{ACCOUNT}:user/reader", "--export", path, "-o", "json"))
    assert [(row["actions"], row["blocked by"]) for row in found] == [("s3:GetObject", "")]
    assert tool("what-can", f"arn:aws:iam::{ACCOUNT}:user/nobody", "--export", path).returncode == 1
    ran = tool("escalation", "--export", path, "-o", "json")
    assert ran.returncode == 3
    chains = {row["principal"].rsplit("/", 1)[-1]: row["chain"] for row in rows(ran)}
    assert set(chains) == {"operator", "helpdesk"}
    assert chains["helpdesk"].startswith(f"iam:CreateAccessKey -> arn:aws:iam::{ACCOUNT}:user/operator; sts:AssumeRole -> ")
    bucket = write(tmp_path, "bucket.json", document({**allow("s3:GetObject", "arn:aws:s3:::b/*"), "Principal": {"AWS": "222222222222"}}))
    found = rows(
        tool("who-can", "s3:GetObject", "arn:aws:s3:::b/k", "--export", path, "--resource-policy", f"arn:aws:s3:::b={bucket}", "-o", "json")
    )
    assert "222222222222" in {row["principal"] for row in found}
    assert tool("who-can", "s3:GetObject", "*", "--export", write(tmp_path, "none.json", "{}")).returncode == 2


# On the server


def test_questions_to_the_server(account, run_as):
    key = account.client("kms").create_key()["KeyMetadata"]["Arn"]
    user = account.user(policy=allow("kms:Encrypt", key))
    other = account.user(policy=allow("kms:Decrypt", key))
    found = rows(run_as(account.credentials, "who-can", "kms:Encrypt", key, "-o", "json"))
    assert {row["principal"]: row["can"] for row in found} == {user.user_arn(): "yes"}
    found = rows(run_as(account.credentials, "what-can", other.user_arn(), "-o", "json"))
    assert [row["actions"] for row in found] == ["kms:Decrypt"]
    assert rows(run_as(account.credentials, "escalation", "-o", "json")) == []
    denied = run_as(other.credentials, "who-can", "kms:Encrypt", key)
    assert denied.returncode == 5
    assert "AccessDenied" in denied.stderr


def test_replay(account, run_as, tmp_path):
    kms = account.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    user = account.user(policy=allow("kms:*", "*"))
    user.client("kms").describe_key(KeyId=key)
    user.client("kms").encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"project": "a"})
    reader = account.user(policy=allow("kms:ListKeys", "*"))
    with pytest.raises(Exception, match="AccessDenied"):
        reader.client("kms").describe_key(KeyId=key)

    scp = write(tmp_path, "scp.json", document(deny("kms:Encrypt", "*", Condition={"StringEquals": {"kms:EncryptionContext:project": "a"}})))
    ran = run_as(account.credentials, "replay", "--policy", scp, "--as", "scp", "--target", account.id, "--since", "1h", "-o", "json")
    assert ran.returncode == 3, ran.stderr
    replay = json.loads(ran.stdout)
    assert (replay["changed"], replay["newlyDenied"], replay["newlyAllowed"], replay["complete"]) == (1, 1, 0, True)
    [call] = replay["calls"]
    assert (call["principal"], call["action"], call["resource"]) == (user.user_arn(), "kms:Encrypt", key)
    assert (call["recorded"], call["now"], call["proposed"]) == ("allowed", "allowed", "denied")
    assert "service control policy" in call["because"]

    other = write(tmp_path, "other.json", document(deny("kms:Encrypt", "*", Condition={"StringEquals": {"kms:EncryptionContext:project": "b"}})))
    ran = run_as(account.credentials, "replay", "--policy", other, "--as", "scp", "--since", "1h")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "0 would change" in ran.stdout

    wider = write(tmp_path, "wider.json", document(allow(["kms:ListKeys", "kms:DescribeKey"], "*")))
    target = ("--as", "identity", "--target", reader.user_arn())
    replay = json.loads(run_as(account.credentials, "replay", "--policy", wider, *target, "--since", "1h", "-o", "json").stdout)
    assert [(call["action"], call["recorded"], call["proposed"]) for call in replay["calls"]] == [("kms:DescribeKey", "denied", "allowed")]

    bound = write(tmp_path, "bound.json", document(allow("kms:Describe*", "*")))
    target = ("--as", "boundary", "--target", user.user_arn())
    replay = json.loads(run_as(account.credentials, "replay", "--policy", bound, *target, "--since", "1h", "-o", "json").stdout)
    assert [call["action"] for call in replay["calls"]] == ["kms:Encrypt"]

    assert run_as(account.credentials, "replay", "--policy", write(tmp_path, "bad.json", "{"), "--as", "scp").returncode == 1
    assert run_as(reader.credentials, "replay", "--policy", scp, "--as", "scp").returncode == 5
    assert run_as(account.credentials, "replay", "--policy", scp, "--as", "scp", "--since", "soon").returncode == 2


# Dry runs of changes


@pytest.fixture
def dry_run(run_as):
    """The replay that a `policy` command prints with `--dry-run`."""

    def run(credentials, *arguments):
        ran = run_as(credentials, "policy", *arguments, "--dry-run", "--since", "1h", "-o", "json")
        assert ran.returncode in (0, 3), ran.stderr
        replay = json.loads(ran.stdout)
        assert ran.returncode == (3 if replay["changed"] else 0)
        return replay

    return run


def changes(replay):
    return sorted((call["principal"].rsplit("/", 1)[1], call["action"], call["proposed"]) for call in replay["calls"])


def refused(call):
    with pytest.raises(Exception, match="AccessDenied"):
        call()


def test_dry_run_of_an_inline_policy(account, run_as, dry_run, tmp_path):
    user = account.user("ana", policy=allow("kms:ListKeys"))
    user.client("kms").list_keys()
    refused(user.client("kms").list_aliases)
    other = write(tmp_path, "other.json", document(allow("kms:ListAliases")))
    put = ("put", "inline", "--user", "ana", "--name", "test", "--policy", other)
    replay = dry_run(account.credentials, *put)
    assert changes(replay) == [("ana", "kms:ListAliases", "allowed"), ("ana", "kms:ListKeys", "denied")]
    assert (replay["newlyAllowed"], replay["newlyDenied"]) == (1, 1)
    user.client("kms").list_keys()
    beside = dry_run(account.credentials, "put", "inline", "--user", "ana", "--name", "second", "--policy", other)
    assert changes(beside) == [("ana", "kms:ListAliases", "allowed")]
    gone = dry_run(account.credentials, "delete", "inline", "--user", "ana", "--name", "test")
    assert {change[1:] for change in changes(gone)} == {("kms:ListKeys", "denied")}
    done = run_as(account.credentials, "policy", *put)
    assert done.returncode == 0, done.stderr
    user.client("kms").list_aliases()


def test_dry_run_of_groups_and_managed_policies(account, dry_run, tmp_path):
    iam = account.client("iam")
    arn = iam.create_policy(PolicyName="p", PolicyDocument=document(allow("kms:ListKeys")))["Policy"]["Arn"]
    iam.create_group(GroupName="g")
    user = account.user("bob")
    iam.add_user_to_group(GroupName="g", UserName="bob")
    refused(user.client("kms").list_keys)
    assert changes(dry_run(account.credentials, "attach", arn, "--group", "g")) == [("bob", "kms:ListKeys", "allowed")]
    assert changes(dry_run(account.credentials, "put", "inline", "--group", "g", "--name", "x", "--policy", write(tmp_path, "a.json", document(allow("kms:*"))))) == [
        ("bob", "kms:ListKeys", "allowed")
    ]
    iam.attach_group_policy(GroupName="g", PolicyArn=arn)
    user.client("kms").list_keys()
    narrower = write(tmp_path, "narrower.json", document(allow("kms:ListAliases")))
    replay = dry_run(account.credentials, "put", "managed", arn, "--policy", narrower)
    verdicts = [("allowed", "allowed", "denied"), ("denied", "allowed", "denied")]
    assert sorted((call["recorded"], call["now"], call["proposed"]) for call in replay["calls"]) == verdicts
    assert replay["newlyDenied"] == 1, "what was refused stays refused"
    assert dry_run(account.credentials, "detach", arn, "--group", "g")["newlyDenied"] == 1
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v1"


def test_dry_run_of_a_boundary_and_of_session_policies(account, dry_run, tmp_path):
    iam = account.client("iam")
    bound = iam.create_policy(PolicyName="bound", PolicyDocument=document(allow("kms:ListAliases")))["Policy"]["Arn"]
    session_arn = iam.create_policy(PolicyName="session", PolicyDocument=document(allow("kms:List*")))["Policy"]["Arn"]
    role = account.role(policy=allow("kms:*"), name="worker")
    account.assume(role, session_name="free").client("kms").list_keys()
    inline = account.assume(role, session_name="inline", Policy=document(allow("kms:ListAliases")))
    inline.client("kms").list_aliases()
    refused(inline.client("kms").list_keys)
    by_arn = account.assume(role, session_name="by-arn", PolicyArns=[{"arn": session_arn}])
    by_arn.client("kms").list_keys()
    replay = dry_run(account.credentials, "put", "boundary", "--role", "worker", "--arn", bound)
    assert changes(replay) == [("by-arn", "kms:ListKeys", "denied"), ("free", "kms:ListKeys", "denied")]
    wider = dry_run(account.credentials, "put", "inline", "--role", "worker", "--name", "test", "--policy", write(tmp_path, "all.json", document(allow("*"))))
    assert wider["changed"] == 0, "what the session policy denied stays denied"
    narrower = write(tmp_path, "narrower.json", document(allow("kms:ListAliases")))
    assert changes(dry_run(account.credentials, "put", "managed", session_arn, "--policy", narrower)) == [("by-arn", "kms:ListKeys", "denied")]
    iam.put_role_permissions_boundary(RoleName="worker", PermissionsBoundary=bound)
    freed = dry_run(account.credentials, "delete", "boundary", "--role", "worker")
    assert freed["newlyDenied"] == 0 and all(call["now"] == "denied" for call in freed["calls"])


def test_dry_run_of_trust_and_resource_policies(account, dry_run, tmp_path):
    role = account.role(name="trusting")
    account.assume(role, by=account.user("carl", policy=allow("sts:AssumeRole")))
    nobody = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    replay = dry_run(account.credentials, "put", "trust", "--role", "trusting", "--policy", write(tmp_path, "trust.json", document(nobody)))
    assert changes(replay) == [("carl", "sts:AssumeRole", "denied")]
    bucket = f"b-{account.id}"
    account.client("s3").create_bucket(Bucket=bucket)
    user = account.user("dora", policy=allow("s3:*"))
    user.client("s3").put_object(Bucket=bucket, Key="k", Body=b"x")
    closed = {**deny("s3:PutObject", f"arn:aws:s3:::{bucket}/*"), "Principal": "*"}
    replay = dry_run(account.credentials, "put", "bucket", bucket, "--policy", write(tmp_path, "bucket.json", document(closed)))
    assert changes(replay) == [("dora", "s3:PutObject", "denied")]
    key = account.client("kms").create_key()["KeyMetadata"]["Arn"]
    user = account.user("emil", policy=allow("kms:*"))
    user.client("kms").describe_key(KeyId=key)
    root = {**allow("kms:PutKeyPolicy"), "Principal": {"AWS": f"arn:aws:iam::{account.id}:root"}}
    replay = dry_run(account.credentials, "put", "key", key, "--policy", write(tmp_path, "key.json", document(root)))
    assert ("emil", "kms:DescribeKey", "denied") in changes(replay)


def test_dry_run_of_control_policies(management, orgs, root_id, other_account, run_as, dry_run, tmp_path):  # noqa: F811
    member = invite(management, other_account)
    orgs.enable_policy_type(RootId=root_id, PolicyType="RESOURCE_CONTROL_POLICY")
    user = member.user("finn", policy=allow("kms:*"))
    user.client("kms").list_keys()
    management.client("kms").list_keys()
    policy = scp(orgs, deny("kms:ListKeys"))["Id"]
    replay = dry_run(management.credentials, "attach", policy, "--target", root_id)
    assert changes(replay) == [("finn", "kms:ListKeys", "denied")], "nothing binds the management account"
    assert "service control policy" in replay["calls"][0]["because"]
    orgs.attach_policy(PolicyId=policy, TargetId=member.id)
    refused(user.client("kms").list_keys)
    other = write(tmp_path, "scp.json", document(deny("kms:ListAliases")))
    replay = dry_run(management.credentials, "put", "scp", policy, "--policy", other)
    assert {(call["recorded"], call["now"], call["proposed"]) for call in replay["calls"]} == {
        ("allowed", "denied", "allowed"),
        ("denied", "denied", "allowed"),
    }
    assert replay["newlyAllowed"] == 1
    orgs.detach_policy(PolicyId=policy, TargetId=member.id)
    key = member.client("kms").create_key()["KeyMetadata"]["Arn"]
    user.client("kms").describe_key(KeyId=key)
    content = document({**deny("kms:DescribeKey"), "Principal": "*"})
    rcp = orgs.create_policy(Content=content, Description="", Name="rcp", Type="RESOURCE_CONTROL_POLICY")["Policy"]["PolicySummary"]["Id"]
    replay = dry_run(management.credentials, "attach", rcp, "--target", member.id)
    assert ("finn", "kms:DescribeKey", "denied") in changes(replay)
    arguments = ("replay", "--policy", write(tmp_path, "rcp.json", content), "--as", "rcp", "--target", member.id, "--since", "1h", "-o", "json")
    assert ("finn", "kms:DescribeKey", "denied") in changes(json.loads(run_as(management.credentials, *arguments).stdout))
    assert run_as(member.credentials, "policy", "attach", policy, "--target", root_id, "--dry-run").returncode == 5


def test_who_may_rehearse_what(account, run_as, tmp_path):
    policy = write(tmp_path, "p.json", document(allow("kms:*")))
    put = ("policy", "put", "inline", "--user", "gina", "--name", "x", "--policy", policy, "--dry-run")
    account.user("gina")
    replayer = account.user(policy=allow("bailiwick:ReplayPolicy"))
    denied = run_as(replayer.credentials, *put)
    assert denied.returncode == 5 and "iam:PutUserPolicy" in denied.stderr, "one may rehearse what one may do"
    both = account.user(policy=allow(["bailiwick:ReplayPolicy", "iam:PutUserPolicy"]))
    assert run_as(both.credentials, *put).returncode == 0
    assert account.client("iam").list_user_policies(UserName="gina")["PolicyNames"] == []
    bad = write(tmp_path, "bad.json", "{")
    assert run_as(account.credentials, *put[:-2], bad, "--dry-run").returncode == 1
    for wrong in (("--user", "a", "--role", "b"), ()):
        assert run_as(account.credentials, "policy", "put", "inline", *wrong, "--name", "x", "--policy", policy).returncode == 2
    assert run_as(account.credentials, *put[:-1], "--since", "1h").returncode == 2, "--since is for dry runs"


def test_only_changes_of_policies_are_rehearsed(account):
    def replay(**body):
        return account.server.control_answer("POST", "/_bailiwick/replay", {"Since": 0, **body}, account.credentials)

    for service, operation in (("iam", "CreateUser"), ("s3", "PutObject"), ("nothing", "Here")):
        answer = replay(Change={"service": service, "operation": operation, "input": {}})
        assert answer.status == 400 and b"rehearsed" in answer.body
    for wrong in ({"UserName": "x"}, {"Nothing": "x"}, {"UserName": ["x"]}, [], {"UserName": True}):
        assert replay(Change={"service": "iam", "operation": "PutUserPolicy", "input": wrong}).status == 400
    assert replay(Change={}).status == 400
    assert replay(Policy="{}", PolicyType="scp", Target="*", Change={}).status == 400
    assert replay().status == 400
