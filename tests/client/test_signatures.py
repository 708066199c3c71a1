"""Who sent the request: everything that a signature can be wrong in, per protocol, with AWS's codes, statuses and words."""

import base64
import hashlib
import hmac
import re
import urllib.parse

import botocore.auth
import botocore.config
import pytest

from bailiwick_server import allow, raises
from signed_http import Credentials, signed_request

MISMATCH = "The request signature we calculated does not match the signature you provided."
INVALID_TOKEN = "The security token included in the request is invalid."


class Api:
    """A read-only call of one protocol, and how that protocol refuses signatures."""

    def __init__(self, service, method, path, headers, body, codes, skew_minutes, query=""):
        self.service = service
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.missing, self.unknown, self.mismatch, self.expired_token = codes
        self.skew_minutes = skew_minutes

    def signed(self, server, credentials, **changes):
        parameters = {
            "query": self.query,
            "headers": self.headers,
            "body": self.body,
            "region": "us-east-1",
            "host": f"{server.host}:{server.port}",
            "ahead_ms": server.ahead_ms,
        }
        parameters.update(changes)
        return signed_request(credentials, self.service, self.method, self.path, **parameters)


FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
QUERY = (
    ("MissingAuthenticationToken", 403),
    ("InvalidClientTokenId", 403),
    ("SignatureDoesNotMatch", 403),
    ("ExpiredToken", 403),
)
JSON = (
    ("MissingAuthenticationTokenException", 400),
    ("UnrecognizedClientException", 400),
    ("InvalidSignatureException", 400),
    ("ExpiredTokenException", 400),
)
REST_JSON = tuple((code, 403) for code, _ in JSON)

APIS = {
    "query": Api("iam", "POST", "/", FORM, b"Action=ListUsers&Version=2010-05-08", QUERY, 15),
    "query-sts": Api("sts", "POST", "/", FORM, b"Action=GetCallerIdentity&Version=2011-06-15", QUERY, 15),
    "json": Api(
        "kms", "POST", "/", {"content-type": "application/x-amz-json-1.1", "x-amz-target": "TrentService.ListKeys"}, b"{}", JSON, 5
    ),
    "rest-json": Api("bedrock", "GET", "/foundation-models", {}, b"", REST_JSON, 5),
    "rest-xml": Api(
        "s3",
        "GET",
        "/",
        {},
        b"",
        (("AccessDenied", 403), ("InvalidAccessKeyId", 403), ("SignatureDoesNotMatch", 403), ("ExpiredToken", 400)),
        15,
    ),
    "ec2": Api(
        "ec2",
        "POST",
        "/",
        FORM,
        b"Action=DescribeInstances&Version=2016-11-15",
        (("MissingAuthenticationToken", 403), ("AuthFailure", 401), ("AuthFailure", 401), ("RequestExpired", 400)),
        5,
    ),
}

every_api = pytest.mark.parametrize("api", APIS.values(), ids=APIS.keys())


def refused(answer, expected, message=None):
    code, status = expected
    assert (answer.code, answer.status) == (code, status), answer
    if message is not None:
        assert message in answer.message, answer
    assert answer.request_id, "every answer has a request id"


@every_api
def test_a_good_signature_is_accepted(bailiwick, account, api):
    answer = api.signed(bailiwick, account.credentials).send(bailiwick)
    # Operations without a handler pass the same check: they are refused only behind it.
    assert answer.status in (200, 501), answer


@every_api
def test_without_credentials(bailiwick, account, api):
    request = api.signed(bailiwick, account.credentials)
    for name in list(request.headers):
        if name.lower() in ("authorization", "host", "x-amz-date", "x-amz-content-sha256"):
            del request.headers[name]
    # Without a scope, the host's first label tells the service, as it does at AWS.
    request.headers["host"] = f"{api.service}.us-east-1.localhost"
    refused(request.send(bailiwick), api.missing)


@every_api
def test_with_a_wrong_secret(bailiwick, account, api):
    wrong = Credentials(account.credentials.access_key_id, account.credentials.secret_access_key[:-1] + "~")
    refused(api.signed(bailiwick, wrong).send(bailiwick), api.mismatch)


@every_api
def test_with_an_unknown_key(bailiwick, account, api):
    unknown = Credentials("AKIAIOSFODNN7EXAMPLE", account.credentials.secret_access_key)
    refused(api.signed(bailiwick, unknown).send(bailiwick), api.unknown)


@every_api
def test_an_inactive_key_is_unknown(bailiwick, account, api):
    user = account.user(policy=allow("*"))
    iam = account.client("iam")
    iam.update_access_key(UserName=user.user_name, AccessKeyId=user.credentials.access_key_id, Status="Inactive")
    refused(api.signed(bailiwick, user.credentials).send(bailiwick), api.unknown)
    iam.update_access_key(UserName=user.user_name, AccessKeyId=user.credentials.access_key_id, Status="Active")
    assert api.signed(bailiwick, user.credentials).send(bailiwick).status in (200, 501)


@every_api
@pytest.mark.parametrize("direction", [-1, 1], ids=["old", "early"])
def test_a_signature_has_its_time(bailiwick, account, api, direction):
    def sent(minutes):
        ahead_ms = bailiwick.ahead_ms + direction * int(minutes * 60_000)
        return api.signed(bailiwick, account.credentials, ahead_ms=ahead_ms).send(bailiwick)

    assert sent(api.skew_minutes - 1).status in (200, 501)
    answer = sent(api.skew_minutes + 1)
    if api.service == "s3":
        refused(answer, ("RequestTimeTooSkewed", 403), "The difference between the request time and the current time is too large.")
        assert answer.element("MaxAllowedSkewMilliseconds") == "900000"
        return
    if api.service == "ec2":
        refused(answer, api.mismatch)
        return
    sign, words = ("-", "Signature expired: ") if direction < 0 else ("+", "Signature not yet current: ")
    refused(answer, api.mismatch, words)
    assert re.search(rf"\(\d{{8}}T\d{{6}}Z \{sign} {api.skew_minutes} min\.\)$", answer.message), answer


@every_api
def test_a_changed_header_or_method_is_found(bailiwick, account, api):
    request = api.signed(bailiwick, account.credentials, headers={**api.headers, "x-amz-meta-word": "as signed"})
    request.headers["x-amz-meta-word"] = "another"
    refused(request.send(bailiwick), api.mismatch)


@every_api
def test_a_changed_query_is_found(bailiwick, account, api):
    request = api.signed(bailiwick, account.credentials, query="added=no" if not api.query else api.query)
    request.query = "added=yes"
    refused(request.send(bailiwick), api.mismatch)


@pytest.mark.parametrize("name", ["query", "query-sts", "json", "ec2"])
def test_a_changed_body_is_found(bailiwick, account, name):
    api = APIS[name]
    request = api.signed(bailiwick, account.credentials)
    request.body = api.body + (b" " if name == "json" else b"&MaxItems=1")
    refused(request.send(bailiwick), api.mismatch)


def test_a_changed_body_of_s3_is_found_and_has_no_effect(bailiwick, account):
    s3 = account.client("s3")
    s3.create_bucket(Bucket=f"changed-{account.id}")
    request = signed_request(
        account.credentials,
        "s3",
        "PUT",
        f"/changed-{account.id}/key",
        body=b"as signed",
        region="us-east-1",
        host=f"{bailiwick.host}:{bailiwick.port}",
        ahead_ms=bailiwick.ahead_ms,
    )
    request.body = b"something"
    answer = request.send(bailiwick)
    refused(answer, ("XAmzContentSHA256Mismatch", 400))
    assert answer.element("S3ComputedContentSHA256") == hashlib.sha256(b"something").hexdigest()
    with raises("404"):
        s3.head_object(Bucket=f"changed-{account.id}", Key="key")


@every_api
def test_amazon_headers_must_be_signed(bailiwick, account, api):
    request = api.signed(bailiwick, account.credentials)
    request.headers["x-amz-meta-added"] = "later"
    answer = request.send(bailiwick)
    if api.service == "s3":
        refused(answer, ("AccessDenied", 403), "There were headers present in the request which were not signed")
        assert answer.element("HeadersNotSigned") == "x-amz-meta-added"
    elif api.service == "ec2":
        refused(answer, api.mismatch)
    else:
        refused(answer, api.mismatch, "'x-amz-meta-added' must be a 'SignedHeader' in the AWS Authorization.")


@every_api
def test_the_scope_must_fit(bailiwick, account, api):
    answer = api.signed(bailiwick, account.credentials, region="xx-nowhere-1").send(bailiwick)
    if api.service == "s3":
        assert (answer.status, answer.code) == (400, "AuthorizationHeaderMalformed"), answer
        assert "'xx-nowhere-1' is wrong" in answer.message
    else:
        refused(answer, api.mismatch)


@every_api
@pytest.mark.parametrize("header", ["AWS4-HMAC-SHA256 nonsense", "AWS4-HMAC-SHA256", "Bearer x", "AWS4-ECDSA-P256-SHA256 Credential=a"])
def test_malformed_authorization(bailiwick, account, api, header):
    request = api.signed(bailiwick, account.credentials)
    request.headers["Authorization"] = header
    answer = request.send(bailiwick)
    assert answer.status in (400, 403) and answer.code, answer


def assumed(account, **parameters):
    role = account.role(policy=allow("*"))
    return account.assume(role, **parameters)


@every_api
def test_session_tokens(bailiwick, account, api):
    session = assumed(account)
    assert api.signed(bailiwick, session.credentials).send(bailiwick).status in (200, 501)
    # The same keys without the token, with another key's token, and with a changed token.
    keys, other = session.credentials, assumed(account).credentials
    for token in (None, other.session_token, keys.session_token[:-8] + "AAAAAAA="):
        wrong = Credentials(keys.access_key_id, keys.secret_access_key, token)
        answer = api.signed(bailiwick, wrong).send(bailiwick)
        expected = ("InvalidToken", 400) if api.service == "s3" and token else api.unknown
        refused(answer, expected)


def test_a_session_ends(bailiwick, account):
    session = assumed(account, DurationSeconds=900)
    session.client("sts").get_caller_identity()
    bailiwick.advance_clock(seconds=901)
    for api in APIS.values():
        refused(api.signed(bailiwick, session.credentials).send(bailiwick), api.expired_token)


# Presigned URLs


@pytest.fixture
def stored(account):
    s3 = account.client("s3")
    bucket = f"presigned-{account.id}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="key", Body=b"content")
    return bucket


def presigned(bailiwick, account, bucket, *, method="GET", seconds=60, query="", headers=None, ahead_ms=None):
    return signed_request(
        account.credentials,
        "s3",
        method,
        f"/{bucket}/key",
        query=query,
        headers=headers,
        region="us-east-1",
        host=f"{bailiwick.host}:{bailiwick.port}",
        ahead_ms=bailiwick.ahead_ms if ahead_ms is None else ahead_ms,
        presign_seconds=seconds,
    )


def test_a_presigned_url_needs_nothing_else(bailiwick, account, stored):
    answer = presigned(bailiwick, account, stored).send(bailiwick)
    assert (answer.status, answer.body) == (200, b"content")


def as_boto3_makes_it(bailiwick, account, bucket, version):
    config = botocore.config.Config(signature_version=version)
    url = account.client("s3", config=config).generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "key"}, ExpiresIn=60)
    request = presigned(bailiwick, account, bucket)
    parts = urllib.parse.urlsplit(url)
    request.path, request.query = parts.path, parts.query
    return request


def test_a_presigned_url_as_boto3_makes_it(bailiwick, account, stored):
    assert as_boto3_makes_it(bailiwick, account, stored, "s3v4").send(bailiwick).body == b"content"


def test_version_2_signatures_are_refused(bailiwick, account, stored):
    answer = as_boto3_makes_it(bailiwick, account, stored, "s3").send(bailiwick)
    assert "AWSAccessKeyId=" in as_boto3_makes_it(bailiwick, account, stored, "s3").query
    assert answer.status in (400, 403) and b"content" not in answer.body, answer


def test_a_presigned_url_expires(bailiwick, account, stored):
    request = presigned(bailiwick, account, stored, seconds=60)
    bailiwick.advance_clock(seconds=61)
    answer = request.send(bailiwick)
    refused(answer, ("AccessDenied", 403), "Request has expired")
    assert answer.element("X-Amz-Expires") == "60"


def test_a_presigned_url_is_not_good_before_its_time(bailiwick, account, stored):
    early = presigned(bailiwick, account, stored, ahead_ms=bailiwick.ahead_ms + 30 * 60_000)
    refused(early.send(bailiwick), ("AccessDenied", 403), "Request is not yet valid")


def test_a_presigned_url_lives_a_week_at_most(bailiwick, account, stored):
    week = 7 * 24 * 3600
    assert presigned(bailiwick, account, stored, seconds=week).send(bailiwick).status == 200
    answer = presigned(bailiwick, account, stored, seconds=week + 1).send(bailiwick)
    refused(answer, ("AuthorizationQueryParametersError", 400), "X-Amz-Expires must be less than a week")


@pytest.mark.parametrize(
    "old, new",
    [
        ("X-Amz-Expires=60", "X-Amz-Expires=600"),
        ("X-Amz-Signature=", "X-Amz-Signature=0"),
        ("us-east-1", "eu-central-1"),
        ("", "&response-content-type=text%2Fhtml"),
    ],
)
def test_a_changed_presigned_url_is_refused(bailiwick, account, stored, old, new):
    request = presigned(bailiwick, account, stored)
    request.query = request.query.replace(old, new) if old else request.query + new
    refused(request.send(bailiwick), ("SignatureDoesNotMatch", 403))


@pytest.mark.parametrize("change", [{"method": "DELETE"}, {"path": "other"}])
def test_a_presigned_url_is_for_one_request(bailiwick, account, stored, change):
    request = presigned(bailiwick, account, stored)
    request.method = change.get("method", request.method)
    request.path += change.get("path", "")
    refused(request.send(bailiwick), ("SignatureDoesNotMatch", 403))
    account.client("s3").head_object(Bucket=stored, Key="key")


def test_a_presigned_put_takes_any_body(bailiwick, account, stored):
    request = presigned(bailiwick, account, stored, method="PUT")
    request.body = b"uploaded"
    assert request.send(bailiwick).status == 200
    assert account.client("s3").get_object(Bucket=stored, Key="key")["Body"].read() == b"uploaded"


def test_a_presigned_url_has_its_makers_rights(bailiwick, account, stored):
    nobody = account.user()
    nobody.id = account.id
    request = presigned(bailiwick, nobody, stored)
    refused(request.send(bailiwick), ("AccessDenied", 403), "because no identity-based policy allows the s3:GetObject action")


def test_a_presigned_url_of_a_deleted_key_is_dead(bailiwick, account, stored):
    user = account.user(policy=allow("s3:GetObject", f"arn:aws:s3:::{stored}/*"))
    user.id = account.id
    request = presigned(bailiwick, user, stored)
    assert request.send(bailiwick).status == 200
    account.client("iam").delete_access_key(UserName=user.user_name, AccessKeyId=user.credentials.access_key_id)
    refused(request.send(bailiwick), ("InvalidAccessKeyId", 403))


# Chunked uploads

CHUNK = 64 * 1024


class Chunked:
    """An `aws-chunked` upload. Source: S3 API Reference, "Signature Calculations for the Authorization Header: Transferring Payload in
    Multiple Chunks"."""

    def __init__(self, bailiwick, account, bucket, content, *, mode, trailer=False, decoded_length=None):
        self.content = content
        self.mode = mode
        self.trailer = f"x-amz-checksum-sha256:{base64.b64encode(hashlib.sha256(content).digest()).decode()}" if trailer else None
        self.secret = account.credentials.secret_access_key
        headers = {
            "content-encoding": "aws-chunked",
            "x-amz-content-sha256": mode,
            "x-amz-decoded-content-length": str(len(content) if decoded_length is None else decoded_length),
        }
        if trailer:
            headers["x-amz-trailer"] = "x-amz-checksum-sha256"
        self.request = signed_request(
            account.credentials,
            "s3",
            "PUT",
            f"/{bucket}/chunked",
            headers=headers,
            region="us-east-1",
            host=f"{bailiwick.host}:{bailiwick.port}",
            ahead_ms=bailiwick.ahead_ms,
            signer=DeclaredPayload,
        )
        authorization = self.request.headers["Authorization"]
        self.signature = authorization.rsplit("=", 1)[1]
        self.scope = re.search(r"Credential=[^/]+/([^,]+)", authorization)[1]
        self.time = self.request.headers["X-Amz-Date"]

    def _sign(self, kind, *rest):
        date, region, service, end = self.scope.split("/")
        key = f"AWS4{self.secret}".encode()
        for part in (date, region, service, end):
            key = hmac.digest(key, part.encode(), "sha256")
        text = "\n".join([kind, self.time, self.scope, self.signature, *rest])
        self.signature = hmac.digest(key, text.encode(), "sha256").hex()
        return self.signature

    def body(self, change=lambda at, chunk: chunk):
        chunks = [self.content[at : at + CHUNK] for at in range(0, len(self.content), CHUNK)]
        signed = self.mode.startswith("STREAMING-AWS4")
        out = b""
        for at, chunk in enumerate([*chunks, b""]):
            size = f"{len(chunk):x}"
            if signed:
                empty = hashlib.sha256(b"").hexdigest()
                size += ";chunk-signature=" + self._sign("AWS4-HMAC-SHA256-PAYLOAD", empty, hashlib.sha256(chunk).hexdigest())
            out += size.encode() + b"\r\n"
            out += change(at, chunk) + b"\r\n" if chunk else b""
        if self.trailer is None:
            return out + b"\r\n"
        out += self.trailer.encode() + b"\r\n"
        if signed:
            signature = self._sign("AWS4-HMAC-SHA256-TRAILER", hashlib.sha256(self.trailer.encode() + b"\n").hexdigest())
            out += b"x-amz-trailer-signature:" + signature.encode() + b"\r\n"
        return out + b"\r\n"

    def send(self, bailiwick, body):
        self.request.body = body
        return self.request.send(bailiwick)


class DeclaredPayload(botocore.auth.S3SigV4Auth):
    """Signs the payload hash that the header declares, as clients that send chunks do."""

    def payload(self, request):
        return self.declared

    def _modify_request_before_signing(self, request):
        self.declared = request.headers["x-amz-content-sha256"]
        super()._modify_request_before_signing(request)


MODES = [
    ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", False),
    ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", True),
    ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", True),
]
every_mode = pytest.mark.parametrize("mode, trailer", MODES, ids=[mode for mode, _ in MODES])
CONTENT = bytes(range(256)) * 600


@every_mode
@pytest.mark.parametrize("content", [CONTENT, b"", b"x"], ids=["long", "empty", "one"])
def test_chunked_uploads(bailiwick, account, stored, mode, trailer, content):
    upload = Chunked(bailiwick, account, stored, content, mode=mode, trailer=trailer)
    answer = upload.send(bailiwick, upload.body())
    assert answer.status == 200, answer
    got = account.client("s3").get_object(Bucket=stored, Key="chunked")
    assert got["Body"].read() == content
    assert "aws-chunked" not in got.get("ContentEncoding", "")


@every_mode
def test_a_changed_chunk_is_found_and_nothing_is_stored(bailiwick, account, stored, mode, trailer):
    upload = Chunked(bailiwick, account, stored, CONTENT, mode=mode, trailer=trailer)
    answer = upload.send(bailiwick, upload.body(lambda at, chunk: chunk if at != 1 else b"!" + chunk[1:]))
    expected = ("SignatureDoesNotMatch", 403) if mode.startswith("STREAMING-AWS4") else ("BadDigest", 400)
    refused(answer, expected)
    with raises("404"):
        account.client("s3").head_object(Bucket=stored, Key="chunked")


@every_mode
def test_a_chunked_upload_has_its_length(bailiwick, account, stored, mode, trailer):
    upload = Chunked(bailiwick, account, stored, CONTENT, mode=mode, trailer=trailer, decoded_length=len(CONTENT) + 1)
    refused(upload.send(bailiwick, upload.body()), ("IncompleteBody", 400))
    with raises("404"):
        account.client("s3").head_object(Bucket=stored, Key="chunked")


@every_mode
@pytest.mark.parametrize("end", [1, 3, 60], ids=str)
def test_a_chunked_upload_that_stops_early_is_refused(bailiwick, account, stored, mode, trailer, end):
    upload = Chunked(bailiwick, account, stored, CONTENT, mode=mode, trailer=trailer)
    answer = upload.send(bailiwick, upload.body()[:-end])
    assert answer.status in (400, 403), answer
    with raises("404"):
        account.client("s3").head_object(Bucket=stored, Key="chunked")


def test_a_wrong_trailing_checksum_is_found(bailiwick, account, stored):
    upload = Chunked(bailiwick, account, stored, CONTENT, mode="STREAMING-UNSIGNED-PAYLOAD-TRAILER", trailer=True)
    upload.trailer = f"x-amz-checksum-sha256:{base64.b64encode(hashlib.sha256(b'other').digest()).decode()}"
    refused(upload.send(bailiwick, upload.body()), ("BadDigest", 400))
