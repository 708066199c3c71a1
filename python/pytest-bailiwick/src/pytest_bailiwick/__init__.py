"""A Bailiwick server in pytest. See the README."""

from pytest_bailiwick.server import Principal, Server, assert_allowed, assert_denied

__all__ = ["Principal", "Server", "assert_allowed", "assert_denied"]
