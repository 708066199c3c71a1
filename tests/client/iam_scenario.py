"""What the IAM scenarios share."""

import json
import uuid

import botocore.config
import pytest

from bailiwick_server import allow, document

# A client that leaves the checks of parameters to the server.
UNCHECKED = botocore.config.Config(parameter_validation=False)
READ = document(allow("s3:GetObject", "arn:aws:s3:::b/*"))
TRUST_EC2 = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
)


def name(prefix="n"):
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def iam(account):
    """IAM as the root user of a fresh account sees it."""
    return account.client("iam")


def trust(principal, action="sts:AssumeRole"):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": principal, "Action": action}]})
