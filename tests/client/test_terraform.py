"""Terraform with the AWS provider, both unmodified: what is applied is in force, a second plan is empty, and all of it is destroyed.

The scenarios need `terraform` on the path and the provider `hashicorp/aws` in one of the places below (or in the folder that
`BAILIWICK_TERRAFORM_PLUGINS` names), because tests download neither. Where one is missing they are skipped.
"""

import json
import os
import pathlib
import shutil
import subprocess

import pytest

from bailiwick_server import assert_denied, deny, document, raises
from certificate_authority import Authority, new_key, pem_of, pem_of_key
from signed_http import Credentials

MODULES = pathlib.Path(__file__).parent / "data" / "terraform"
PLACES = ["~/.terraform.d/plugins", "/usr/local/share/terraform/plugins", "/usr/share/terraform/plugins"]
TIMEOUT_SECONDS = 400


def plugins():
    """A folder in Terraform's layout of mirrors (HOST/hashicorp/aws/VERSION/PLATFORM)."""
    named = os.environ.get("BAILIWICK_TERRAFORM_PLUGINS")
    places = [pathlib.Path(place).expanduser() for place in ([named] if named else PLACES)]
    if not named and pathlib.Path("/opt").is_dir():
        places += sorted(pathlib.Path("/opt").iterdir())
    return next((place for place in places if place.is_dir() and any(place.glob("*/hashicorp/aws/*/*"))), None)


PLUGINS = plugins()
pytestmark = pytest.mark.skipif(
    shutil.which("terraform") is None or PLUGINS is None, reason="terraform or its provider hashicorp/aws is not installed"
)


class Terraform:
    """One module in a folder of its own, applied to one server with the root's credentials."""

    def __init__(self, module, folder, server):
        self.folder = folder / module
        shutil.copytree(MODULES / module, self.folder)
        certificate, key = Authority().issue("site.example", new_key("rsa"))
        (self.folder / "certificate.pem").write_text(pem_of(certificate))
        (self.folder / "key.pem").write_text(pem_of_key(key))
        settings = self.folder / "settings.tfrc"
        settings.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{PLUGINS}"\n  }}\n}}\n')
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))}
        self.environment |= {
            "AWS_ACCESS_KEY_ID": server.root.access_key_id,
            "AWS_SECRET_ACCESS_KEY": server.root.secret_access_key,
            "AWS_REGION": server.region,
            "AWS_ENDPOINT_URL": server.endpoint,
            "AWS_CA_BUNDLE": str(server.authority),
            "AWS_EC2_METADATA_DISABLED": "true",
            "CHECKPOINT_DISABLE": "1",
            "TF_CLI_CONFIG_FILE": str(settings),
            "TF_IN_AUTOMATION": "1",
        }
        self.run("init")

    def run(self, command, *arguments, status=0):
        line = ["terraform", command, "-no-color", *arguments]
        if command != "output":
            line.insert(2, "-input=false")
        ran = subprocess.run(
            line, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
        assert ran.returncode == status, f"{' '.join(line)}: {ran.returncode}\n{ran.stdout[-6000:]}\n{ran.stderr[-6000:]}"
        return ran.stdout

    def apply(self):
        self.run("apply", "-auto-approve")

    def assert_nothing_to_do(self):
        # 0: the plan is empty; 2: it is not.
        self.run("plan", "-detailed-exitcode")

    def output(self, name):
        return json.loads(self.run("output", "-json", name))

    def destroy(self):
        self.run("destroy", "-auto-approve")


def test_an_organization_with_its_identities(start_server, tmp_path):
    server = start_server("--ephemeral", "--region", "us-east-1", "--region", "eu-west-1")
    terraform = Terraform("access", tmp_path, server)
    terraform.apply()
    terraform.assert_nothing_to_do()

    assert terraform.output("auditor_may_look") is True
    orgs, iam = server.session().client("organizations"), server.session().client("iam")
    member = next(account for account in orgs.list_accounts()["Accounts"] if account["Name"] == "models")
    role = f"arn:aws:iam::{member['Id']}:role/OrganizationAccountAccessRole"
    # The root user cannot assume a role; an administrator can.
    iam.create_user(UserName="operator")
    iam.attach_user_policy(UserName="operator", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    operator = keys_of(server, iam.create_access_key(UserName="operator")["AccessKey"])
    assumed = operator.client("sts").assume_role(RoleArn=role, RoleSessionName="operator")["Credentials"]
    inside = keys_of(server, assumed)
    inside.client("bedrock").list_guardrails()
    outside = inside.client("bedrock", region_name="eu-west-1", endpoint_url=server.endpoint)
    assert_denied(outside.list_guardrails, "bedrock:ListGuardrails", by="scp", explicit=True)
    # What the module gave a user ends at its boundary, whatever else is attached.
    made = iam.create_access_key(UserName="ana")["AccessKey"]
    ana = keys_of(server, made)
    ana.client("s3").list_buckets()
    assert_denied(ana.client("iam").list_users, "iam:ListUsers", by="boundary")
    iam.delete_access_key(UserName="ana", AccessKeyId=made["AccessKeyId"])

    terraform.destroy()
    with raises("AWSOrganizationsNotInUseException"):
        orgs.describe_organization()
    assert [user["UserName"] for user in iam.list_users()["Users"]] == ["operator"]
    assert iam.list_policies(Scope="Local")["Policies"] == [] == iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]


def test_a_drift_is_seen_and_repaired(start_server, tmp_path):
    server = start_server("--ephemeral")
    terraform = Terraform("access", tmp_path, server)
    terraform.apply()
    iam = server.session().client("iam")
    iam.put_role_policy(RoleName="app", PolicyName="p", PolicyDocument=document(deny("*")))
    assert "aws_iam_role_policy.app will be updated in-place" in terraform.run("plan", "-detailed-exitcode", status=2)
    terraform.apply()
    [statement] = iam.get_role_policy(RoleName="app", PolicyName="p")["PolicyDocument"]["Statement"]
    assert statement["Action"] == "bedrock:InvokeModel"
    terraform.assert_nothing_to_do()


def test_keys_buckets_trails_and_guardrails(start_server, tmp_path):
    server = start_server("--ephemeral")
    terraform = Terraform("models", tmp_path, server)
    terraform.apply()
    terraform.assert_nothing_to_do()

    session = server.session()
    stored = session.client("s3").get_object(Bucket="models-tf", Key="weights/a.txt")
    assert (stored["Body"].read(), stored["ServerSideEncryption"], "VersionId" in stored) == (b"hello", "aws:kms", True)
    assert session.client("cloudtrail").get_trail_status(Name="main")["IsLogging"]
    guardrail = session.client("bedrock").list_guardrails()["guardrails"][0]["id"]
    verdict = session.client("bedrock-runtime").apply_guardrail(
        guardrailIdentifier=guardrail,
        guardrailVersion="1",
        source="INPUT",
        content=[{"text": {"text": "Ticket T-123456 is about a secretword"}}],
    )
    assert verdict["action"] == "GUARDRAIL_INTERVENED", json.dumps(verdict)

    terraform.destroy()
    assert session.client("s3").list_buckets()["Buckets"] == []
    assert session.client("cloudtrail").list_trails()["Trails"] == []
    assert session.client("bedrock").list_guardrails()["guardrails"] == []


def keys_of(server, key):
    """A session with what `CreateAccessKey` or `AssumeRole` gave."""
    return server.session(Credentials(key["AccessKeyId"], key["SecretAccessKey"], key.get("SessionToken")))
