"""The pytest plugin, as somebody who installed it uses it."""

import os
import pathlib
import subprocess
import sys
import textwrap

import pytest

PLUGIN = pathlib.Path(__file__).parents[2] / "python" / "pytest-bailiwick"

SCENARIO = textwrap.dedent(
    """
    import json

    import pytest

    ALLOW_ALL = {"Effect": "Allow", "Action": "*", "Resource": "*"}


    def test_identity(bailiwick):
        reader = bailiwick.as_principal({"Effect": "Allow", "Action": "kms:ListKeys", "Resource": "*"})
        bailiwick.assert_allowed(lambda: reader.client("kms").list_keys())
        bailiwick.assert_denied(lambda: reader.client("kms").create_key(), by="identity")


    def test_boundary(bailiwick):
        bounded = bailiwick.as_principal(ALLOW_ALL, boundary=[{"Effect": "Allow", "Action": "kms:List*", "Resource": "*"}])
        bailiwick.assert_allowed(lambda: bounded.client("kms").list_keys())
        bailiwick.assert_denied(lambda: bounded.client("kms").create_key(), by="boundary")


    def test_service_control_policy(bailiwick):
        account = bailiwick.account()
        orgs = account.client("organizations")
        orgs.create_organization(FeatureSet="ALL")
        root = orgs.list_roots()["Roots"][0]["Id"]
        document = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "kms:*", "Resource": "*"}]})
        scp = orgs.create_policy(Name="no-keys", Description="", Type="SERVICE_CONTROL_POLICY", Content=document)
        orgs.attach_policy(PolicyId=scp["Policy"]["PolicySummary"]["Id"], TargetId=root)
        made = orgs.create_account(Email="m@example.com", AccountName="member")["CreateAccountStatus"]
        member = orgs.describe_create_account_status(CreateAccountRequestId=made["Id"])["CreateAccountStatus"]["AccountId"]
        user = bailiwick.as_principal({"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}, account=account)
        role = f"arn:aws:iam::{member}:role/OrganizationAccountAccessRole"
        keys = user.client("sts").assume_role(RoleArn=role, RoleSessionName="member")["Credentials"]
        from pytest_bailiwick import Principal

        session = Principal(bailiwick, keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
        bailiwick.assert_denied(lambda: session.client("kms").list_keys(), by="scp")


    def test_assertions_can_fail(bailiwick):
        reader = bailiwick.as_principal({"Effect": "Allow", "Action": "kms:ListKeys", "Resource": "*"})
        with pytest.raises(AssertionError, match="was allowed"):
            bailiwick.assert_denied(lambda: reader.client("kms").list_keys())
        with pytest.raises(AssertionError, match="names no service control policy"):
            bailiwick.assert_denied(lambda: reader.client("kms").create_key(), by="scp")
        with pytest.raises(AssertionError, match="was denied"):
            bailiwick.assert_allowed(lambda: reader.client("kms").create_key())
        with pytest.raises(ValueError):
            bailiwick.assert_denied(lambda: None, by="nothing")
    """
)


def run(binary, folder, scenario, **environment):
    (folder / "test_scenario.py").write_text(scenario)
    names = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "BAILIWICK_", "PYTEST_"))}
    names.update(PYTHONPATH=str(PLUGIN / "src"), PYTHONDONTWRITEBYTECODE="1", **environment)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "pytest_bailiwick.plugin", "test_scenario.py"]
    return subprocess.run(command, cwd=folder, env=names, capture_output=True, text=True, timeout=180, check=False)


def test_fixtures_and_assertions(binary, tmp_path):
    ran = run(binary, tmp_path, SCENARIO, BAILIWICK_BINARY=binary)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "4 passed" in ran.stdout


def test_a_missing_binary_is_said(binary, tmp_path):
    ran = run(binary, tmp_path, SCENARIO, BAILIWICK_BINARY=str(tmp_path / "none"))
    assert ran.returncode != 0
    assert "no bailiwick binary" in ran.stdout


def test_the_package_says_what_it_is():
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"bailiwick": "pytest_bailiwick.plugin"}
    assert (PLUGIN / project["readme"]).exists()
