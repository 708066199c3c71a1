"""The running server and the people who use it.

`BAILIWICK_BINARY` names the binary. Each pytest worker starts a server of its own (`up --ephemeral`, memory store, two regions, a clock
that tests can move forward) and each test works in an account of its own, so tests share nothing.
"""

import os
import pathlib
import subprocess

import pytest

# `awscrt` is there for the credentials of `aws login` (test_login.py, in a process of its own); signatures are botocore's own, whose clock tests move.
os.environ["BOTO_DISABLE_CRT"] = "true"

from bailiwick_server import Account, Server, assert_denied as check_denied, new_account_id


def binary_path():
    path = os.environ.get("BAILIWICK_BINARY")
    if not path or not pathlib.Path(path).exists():
        pytest.exit("BAILIWICK_BINARY names no binary: build it and set the variable, or use `cargo xtask test --only client`", returncode=2)
    return path


@pytest.fixture(scope="session")
def binary():
    """Path of the binary under test."""
    return binary_path()


class WorkersServer:
    """One server for many scenarios, each with accounts of its own. Some move its clock, which only goes on from there."""

    def __init__(self, binary, new_folder):
        self.binary, self.new_folder, self.server = binary, new_folder, None

    def running(self):
        if self.server is None:
            arguments = ["--ephemeral", "--manual-clock", "--region", "us-east-1", "--region", "eu-central-1"]
            self.server = Server.start(self.binary, self.new_folder(), *arguments)
        return self.server

    def stop(self):
        server, self.server = self.server, None
        if server is not None:
            server.stop()
            server.check_log()


@pytest.fixture(scope="session")
def workers_server(binary, tmp_path_factory):
    workers = WorkersServer(binary, lambda: tmp_path_factory.mktemp("server"))
    yield workers
    workers.stop()


# What runs the program itself, which signs by the clock of the machine.
PROGRAMS = {"command", "run_as", "agent"}


@pytest.fixture
def bailiwick(workers_server, request):
    """The worker's server; a new one for a scenario that runs the program when the clock of the old one was moved."""
    if PROGRAMS & set(request.fixturenames) and workers_server.server is not None and workers_server.server.ahead_ms:
        workers_server.stop()
    return workers_server.running()


@pytest.fixture
def start_server(binary, tmp_path):
    """Starts further servers: `start_server("--ephemeral", ...)` on a data folder of its own, or on the one that is given."""
    servers = []

    def start(*arguments, data_dir=None, **keywords):
        folder = data_dir or tmp_path / f"server-{len(servers)}"
        server = Server.start(binary, folder, *arguments, **keywords)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def account(bailiwick):
    """A fresh account of the worker's server."""
    return Account.create(bailiwick, new_account_id())


@pytest.fixture
def other_account(bailiwick):
    """A second fresh account, for what crosses accounts."""
    return Account.create(bailiwick, new_account_id())


@pytest.fixture
def assert_denied():
    """See `bailiwick_server.assert_denied`."""
    return check_denied


@pytest.fixture
def command(binary, bailiwick):
    """Runs `bailiwick ARGUMENTS` against the worker's server with its root credentials."""

    def run(*arguments, server=bailiwick, **keywords):
        return run_command(binary, *arguments, server=server, **keywords)

    return run


def run_command(binary, *arguments, server=None, environment=None, stdin="", timeout=60):
    names = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "BAILIWICK_"))}
    if server is not None:
        names["BAILIWICK_DATA_DIR"] = str(server.data_dir)
        names["BAILIWICK_CREDENTIALS"] = str(server.credentials_file)
    names.update(environment or {})
    return subprocess.run(
        [binary, *map(str, arguments)], env=names, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
    )
