"""What the KMS scenarios share."""

import pytest


@pytest.fixture
def kms(account):
    return account.client("kms")


@pytest.fixture
def key(kms):
    return kms.create_key(Description="a key")["KeyMetadata"]


def root_arn(account):
    return f"arn:aws:iam::{account.id}:root"
