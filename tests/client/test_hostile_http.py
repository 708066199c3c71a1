"""Bytes that no SDK sends: the server answers or hangs up, and goes on serving."""

import hashlib
import http.client
import socket
import ssl
import urllib.parse

import pytest

from signed_http import signed_request

# Longer than the server waits for a head or a body.
PATIENCE_SECONDS = 45


@pytest.fixture(autouse=True)
def still_serves(bailiwick, account):
    """Whatever a test does, the next caller is served."""
    yield
    assert account.client("sts").get_caller_identity()["Account"] == account.id
    assert bailiwick.process.poll() is None


@pytest.fixture
def plain(bailiwick):
    """Opens a plain connection to the listener."""
    return lambda: socket.create_connection((bailiwick.host, bailiwick.port), timeout=PATIENCE_SECONDS)


@pytest.fixture
def secure(bailiwick):
    def connect():
        return bailiwick.tls_context().wrap_socket(
            socket.create_connection((bailiwick.host, bailiwick.port), timeout=PATIENCE_SECONDS), server_hostname=bailiwick.host
        )

    return connect


def exchange(connection, *parts, half_close=False):
    """Sends the parts; gives what comes back until the server hangs up or has answered."""
    answer = b""
    with connection:
        try:
            for part in parts:
                connection.sendall(part)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65_536):
                answer += chunk
                if whole(answer):
                    break
        except OSError as error:
            # The server hung up in the midst of it, which it may; it must not keep silent.
            assert not isinstance(error, TimeoutError), "the server neither answers nor hangs up"
    return answer


def whole(answer):
    head, found, body = answer.partition(b"\r\n\r\n")
    if not found:
        return False
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return len(body) >= int(value)
    return False


def status(answer):
    """Status of the answer; `None`: the server hung up without one."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else None


def test_tls_and_plain_http_on_one_port(bailiwick, plain, secure):
    request = b"GET /_bailiwick/health/live HTTP/1.1\r\nhost: x\r\n\r\n"
    assert status(exchange(plain(), request)) == 200
    assert status(exchange(secure(), request)) == 200


def test_nonsense_instead_of_http(plain):
    for nonsense in (b"\x00" * 100, b"\x16\x03\x01\x00", b"GET\r\n\r\n", b"\r\n" * 1000 + b"x\r\n\r\n", b"SSH-2.0-x\r\n", b"\xff" * 70_000):
        answer = exchange(plain(), nonsense, half_close=True)
        assert status(answer) in (400, 431, None), answer


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_old_tls_version_is_refused(bailiwick):
    context = bailiwick.tls_context()
    try:
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    except ValueError:
        pytest.skip("this OpenSSL cannot speak TLS 1.1 at all")
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        context.wrap_socket(socket.create_connection((bailiwick.host, bailiwick.port)), server_hostname=bailiwick.host)


def test_the_certificate_is_checked(bailiwick):
    with pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(
            socket.create_connection((bailiwick.host, bailiwick.port)), server_hostname=bailiwick.host
        )


def test_too_many_or_too_long_headers(plain):
    many = b"".join(b"x-h%d: v\r\n" % at for at in range(500))
    assert status(exchange(plain(), b"GET / HTTP/1.1\r\nhost: x\r\n" + many + b"\r\n")) in (400, 431, None)
    long = b"x-long: " + b"v" * 200_000 + b"\r\n"
    assert status(exchange(plain(), b"GET / HTTP/1.1\r\nhost: x\r\n" + long + b"\r\n")) in (400, 431, None)


def test_a_long_uri(plain):
    assert status(exchange(plain(), b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n")) in (414, 431, None)


def test_a_slow_head_is_cut_off(plain):
    answer = exchange(plain(), b"GET / HTTP/1.1\r\nhost:")
    assert status(answer) in (408, None)


def signed(bailiwick, account, method, path, body=b"", headers=None, service="s3"):
    return signed_request(
        account.credentials,
        service,
        method,
        path,
        headers=headers,
        body=body,
        region="us-east-1",
        host=f"{bailiwick.host}:{bailiwick.port}",
        ahead_ms=bailiwick.ahead_ms,
    )


def head_of(request, **changes):
    headers = {"content-length": str(len(request.body)), **request.headers, **changes}
    lines = [f"{request.method} {request.path} HTTP/1.1"] + [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


@pytest.fixture
def bucket(account):
    name = f"hostile-{account.id}"
    account.client("s3").create_bucket(Bucket=name)
    return name


def keys(account, bucket):
    return [entry["Key"] for entry in account.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_an_upload_that_stops_half_way_stores_nothing(bailiwick, account, bucket, secure, plain):
    request = signed(bailiwick, account, "PUT", f"/{bucket}/half", b"x" * 100_000)
    answer = exchange(plain(), head_of(request), request.body[:50_000], half_close=True)
    assert status(answer) in (400, None), answer
    with secure() as connection:
        connection.sendall(head_of(request) + request.body[:50_000])
    assert keys(account, bucket) == []


def test_a_length_that_is_not_the_bodys(bailiwick, account, bucket, plain):
    request = signed(bailiwick, account, "PUT", f"/{bucket}/longer", b"x" * 10)
    longer = exchange(plain(), head_of(request, **{"content-length": "20"}), request.body, half_close=True)
    assert status(longer) in (400, None), longer
    for length in ("-1", "ten", "99999999999999999999", "1, 2"):
        answer = exchange(plain(), head_of(request, **{"content-length": length}), request.body, half_close=True)
        assert status(answer) in (400, 413, None), (length, answer)
    assert keys(account, bucket) == []


def test_two_lengths_or_length_and_chunks(bailiwick, account, bucket, plain):
    request = signed(bailiwick, account, "PUT", f"/{bucket}/smuggled", b"0123456789")
    two = head_of(request)[:-2] + b"content-length: 5\r\n\r\n"
    assert status(exchange(plain(), two, request.body, half_close=True)) in (400, None)
    both = head_of(request)[:-2] + b"transfer-encoding: chunked\r\n\r\n"
    smuggled = b"0\r\n\r\nGET /_bailiwick/health/live HTTP/1.1\r\nhost: x\r\n\r\n"
    assert status(exchange(plain(), both, smuggled, half_close=True)) in (400, 403, 411, None)
    assert keys(account, bucket) == []


def test_a_header_given_twice(bailiwick, account, plain):
    request = signed(bailiwick, account, "GET", "/")
    for name in ("authorization", "x-amz-date", "host", "x-amz-content-sha256"):
        twice = head_of(request)[:-2] + f"{name}: other\r\n\r\n".encode()
        answer = exchange(plain(), twice)
        assert status(answer) in (400, 403, None), (name, answer)


def test_header_values_that_are_not_text(bailiwick, account, bucket, plain):
    request = signed(bailiwick, account, "PUT", f"/{bucket}/bytes", b"x")
    for value in (b"\xff\xfe", b"a\x00b", b"\x7f"):
        answer = exchange(plain(), head_of(request)[:-2] + b"x-amz-meta-odd: " + value + b"\r\n\r\n", request.body)
        assert status(answer) in (400, 403, None), (value, answer)
    assert keys(account, bucket) == []


def test_a_chunk_that_claims_to_be_huge(bailiwick, account, bucket, plain):
    request = signed(bailiwick, account, "PUT", f"/{bucket}/huge", b"")
    chunked = head_of(request, **{"content-length": None, "transfer-encoding": "chunked"})
    for size in (b"ffffffffffffffff", b"-1", b"zz", b"1" * 100):
        answer = exchange(plain(), chunked, size + b"\r\nx\r\n", half_close=True)
        assert status(answer) in (400, 411, 403, None), (size, answer)
    assert keys(account, bucket) == []


def test_a_body_beyond_the_limit(bailiwick, account, plain):
    request = signed(bailiwick, account, "POST", "/", service="kms")
    request.headers.update({"content-type": "application/x-amz-json-1.1", "x-amz-target": "TrentService.ListKeys"})
    answer = exchange(plain(), head_of(request, **{"content-length": str(5 * 1024 * 1024)}), b" " * (5 * 1024 * 1024))
    assert status(answer) in (413, None), answer[:500]


# Keys


@pytest.mark.parametrize("key", ["..", "../..", "a/../../b", "./a", "a//b", "/", "//", "a/./b", "C:\\x", "%2e%2e/x", "key with space", "é漢😀", "+", "a+b%20c", "~", "-", "\u202e", "nul\0nul", "line\nend"])
def test_any_text_is_a_key_and_stays_in_its_bucket(account, bucket, key):
    s3 = account.client("s3")
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=b"here")
    except s3.exceptions.ClientError as error:
        # Only paths that would climb out of the bucket may be refused; AWS refuses those as well.
        assert error.response["Error"]["Code"] in ("InvalidURI", "400"), error
        assert ".." in key
        return
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"here"
    assert keys(account, bucket) == [key]


@pytest.mark.parametrize("size, fits", [(1024, True), (1025, False)])
def test_the_length_of_a_key(bailiwick, account, bucket, size, fits):
    answer = signed(bailiwick, account, "PUT", f"/{bucket}/{'k' * size}", b"x").send(bailiwick)
    assert (answer.status, answer.code) == ((200, "") if fits else (400, "KeyTooLongError")), answer


def test_the_length_of_a_key_counts_bytes(bailiwick, account, bucket):
    path = urllib.parse.quote("é" * 513)
    answer = signed(bailiwick, account, "PUT", f"/{bucket}/{path}", b"x").send(bailiwick)
    assert (answer.status, answer.code) == (400, "KeyTooLongError"), answer


@pytest.mark.parametrize("path", ["%ff%fe", "%c3%28", "%ed%a0%80"])
def test_a_key_is_text(bailiwick, account, bucket, path):
    answer = signed(bailiwick, account, "PUT", f"/{bucket}/{path}", b"x").send(bailiwick)
    assert answer.status in (400, 403), answer
    assert keys(account, bucket) == []


@pytest.mark.parametrize("path", ["%", "%z", "%zz", "a%2"])
def test_a_broken_escape_is_refused(bailiwick, account, bucket, path):
    answer = signed(bailiwick, account, "PUT", f"/{bucket}/x", b"x")
    answer.path = f"/{bucket}/{path}"
    assert answer.send(bailiwick).status in (400, 403)
    assert keys(account, bucket) == []


# Connections


def test_many_requests_on_one_connection(bailiwick, account):
    connection = http.client.HTTPSConnection(bailiwick.host, bailiwick.port, context=bailiwick.tls_context(), timeout=PATIENCE_SECONDS)
    for _ in range(50):
        request = signed(bailiwick, account, "GET", "/")
        connection.request("GET", "/", headers=request.headers)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()
    connection.close()


def test_a_failed_request_does_not_spoil_the_next_on_its_connection(bailiwick, account, bucket):
    connection = http.client.HTTPSConnection(bailiwick.host, bailiwick.port, context=bailiwick.tls_context(), timeout=PATIENCE_SECONDS)
    wrong = signed(bailiwick, account, "PUT", f"/{bucket}/k", b"x" * 10)
    wrong.headers["x-amz-content-sha256"] = hashlib.sha256(b"y").hexdigest()
    connection.request("PUT", wrong.path, body=wrong.body, headers=wrong.headers)
    assert connection.getresponse().read()
    good = signed(bailiwick, account, "GET", "/")
    connection.request("GET", "/", headers=good.headers)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    connection.close()


# HTTP/2, spoken by hand: RFC 9113.

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(name, value):
    """A header field without indexing or compression (RFC 7541, 6.2.2)."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def test_http_2_by_prior_knowledge(plain):
    headers = literal(b":method", b"GET") + literal(b":scheme", b"http")
    headers += literal(b":path", b"/_bailiwick/health/live") + literal(b":authority", b"localhost")
    with plain() as connection:
        connection.sendall(PREFACE + frame(4, 0, 0, b"") + frame(1, 5, 1, headers))
        received = b""
        while b'"live"' not in received:
            chunk = connection.recv(65_536)
            assert chunk, received
            received += chunk


def test_broken_http_2(plain):
    for nonsense in (
        b"\xff" * 100,
        frame(4, 0, 0, b"x"),
        frame(0, 0, 0, b"data without a stream"),
        frame(4, 0, 0, b"") + frame(1, 5, 1, b"\xff" * 50),
        frame(4, 0, 0, b"") + frame(9, 4, 1, b"") * 1000,
        frame(4, 0, 0, b"") + b"".join(frame(3, 0, stream, b"\0\0\0\x08") for stream in range(1, 2000, 2)),
    ):
        exchange(plain(), PREFACE + nonsense, half_close=True)


def test_http_2_is_offered_in_tls(bailiwick):
    context = bailiwick.tls_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with context.wrap_socket(socket.create_connection((bailiwick.host, bailiwick.port)), server_hostname=bailiwick.host) as connection:
        assert connection.selected_alpn_protocol() == "h2"
        assert connection.version() == "TLSv1.3"
