"""Fixtures."""

import os
import shutil

import pytest

from pytest_bailiwick.server import Server


def pytest_addoption(parser):
    parser.addoption("--bailiwick-binary", default=None, help="path of the bailiwick binary")


def _binary(config):
    named = config.getoption("--bailiwick-binary") or os.environ.get("BAILIWICK_BINARY")
    found = named or shutil.which("bailiwick")
    if not found or not os.access(found, os.X_OK):
        pytest.fail("no bailiwick binary: set BAILIWICK_BINARY, give --bailiwick-binary, or put `bailiwick` on the PATH", pytrace=False)
    return found


@pytest.fixture(scope="session")
def bailiwick(request, tmp_path_factory):
    """A server of this process, which forgets everything at the end."""
    server = Server(_binary(request.config), tmp_path_factory.mktemp("bailiwick"))
    try:
        server.start()
        yield server
    finally:
        server.stop()
