"""Browser uploads: forms with a signed policy (POST Object)."""

import urllib.request
import xml.etree.ElementTree

import botocore.config
import pytest
import urllib3.filepost

from bailiwick_server import allow, document
from s3_scenario import bucket  # noqa: F401 (fixture)

# Version 2 signatures, which boto3 still makes for forms by default, are refused.
VERSION_4 = botocore.config.Config(signature_version="s3v4")


@pytest.fixture
def s3(account):
    return account.client("s3", config=VERSION_4)


def post(server, made, file=b"uploaded", file_name="notes.txt", **fields):
    """Sends the form as a browser does: fields first, the file last. Gives status, headers and body."""
    form = {**made["fields"], **fields, "file": (file_name, file, "text/plain")}
    body, content_type = urllib3.filepost.encode_multipart_formdata(form)
    request = urllib.request.Request(made["url"], data=body, headers={"Content-Type": content_type}, method="POST")
    try:
        with urllib.request.urlopen(request, context=server.tls_context()) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def code(body):
    return xml.etree.ElementTree.fromstring(body).findtext("Code")


def message(body):
    return xml.etree.ElementTree.fromstring(body).findtext("Message")


def content(s3, bucket, key):
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def test_a_signed_form_uploads(bailiwick, account, s3, bucket):
    made = s3.generate_presigned_post(bucket, "in/${filename}", Conditions=[["starts-with", "$key", "in/"]])
    status, headers, body = post(bailiwick, made)
    assert (status, body) == (204, b"") and headers["ETag"]
    assert content(s3, bucket, "in/notes.txt") == b"uploaded"
    event = account.events(EventName="PutObject")[0]
    assert event["requestParameters"]["key"] == "in/notes.txt"
    assert event["additionalEventData"]["AuthenticationMethod"] == "HtmlForm"


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
def test_files_of_any_size_arrive_whole(bailiwick, s3, bucket, size):
    file = bytes(number % 251 for number in range(size)) + b"\r\n--not-the-boundary\r\n"
    assert post(bailiwick, s3.generate_presigned_post(bucket, "k"), file)[0] == 204
    assert content(s3, bucket, "k") == file


def test_fields_become_metadata(bailiwick, s3, bucket):
    fields = {"Content-Type": "text/csv", "x-amz-meta-origin": "form", "success_action_status": "201"}
    made = s3.generate_presigned_post(bucket, "k", Fields=fields, Conditions=[{name: value} for name, value in fields.items()])
    status, _, body = post(bailiwick, made)
    assert status == 201 and xml.etree.ElementTree.fromstring(body).findtext("Key") == "k"
    head = s3.head_object(Bucket=bucket, Key="k")
    assert head["ContentType"] == "text/csv" and head["Metadata"] == {"origin": "form"}


@pytest.mark.parametrize(("size", "expected"), [(4, "EntityTooSmall"), (5, None), (10, None), (11, "EntityTooLarge")])
def test_the_policy_bounds_the_size(bailiwick, s3, bucket, size, expected):
    made = s3.generate_presigned_post(bucket, "k", Conditions=[["content-length-range", 5, 10]])
    status, _, body = post(bailiwick, made, b"x" * size)
    assert (status, code(body) if body else None) == ((204, None) if expected is None else (400, expected))
    assert ("Contents" in s3.list_objects_v2(Bucket=bucket)) == (expected is None)


def test_a_field_that_the_policy_does_not_cover_is_refused(bailiwick, s3, bucket):
    status, _, body = post(bailiwick, s3.generate_presigned_post(bucket, "k"), **{"x-amz-meta-extra": "1"})
    assert (status, code(body)) == (403, "AccessDenied") and "Extra input fields" in message(body)


def test_another_key_than_the_policy_says_is_refused(bailiwick, s3, bucket):
    made = s3.generate_presigned_post(bucket, "k")
    made["fields"]["key"] = "other"
    status, _, body = post(bailiwick, made)
    assert (status, code(body)) == (403, "AccessDenied") and "Policy Condition failed" in message(body)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_a_changed_policy_or_signature_is_refused(bailiwick, s3, bucket):
    made = s3.generate_presigned_post(bucket, "k")
    made["fields"]["x-amz-signature"] = "0" * 64
    status, _, body = post(bailiwick, made)
    assert (status, code(body)) == (403, "SignatureDoesNotMatch")


def test_a_policy_expires(bailiwick, s3, bucket):
    made = s3.generate_presigned_post(bucket, "k", ExpiresIn=60)
    bailiwick.advance_clock(seconds=61)
    status, _, body = post(bailiwick, made)
    assert (status, code(body)) == (403, "AccessDenied") and "Policy expired" in message(body)


def test_the_signers_policies_decide(bailiwick, account, bucket):
    reader = account.user(policy=document(allow("s3:GetObject")))
    made = reader.client("s3", config=VERSION_4).generate_presigned_post(bucket, "k")
    status, _, body = post(bailiwick, made)
    assert (status, code(body)) == (403, "AccessDenied") and "s3:PutObject" in message(body)


def test_an_unsigned_form_needs_a_public_bucket(bailiwick, s3, bucket):
    made = s3.generate_presigned_post(bucket, "k")
    made["fields"] = {"key": "k"}
    assert post(bailiwick, made)[0] == 403


def test_forms_without_file_key_or_sense(bailiwick, s3, bucket):
    made = s3.generate_presigned_post(bucket, "k")
    for body in [b"", b"--b\r\n", b"--b--\r\n", b"nonsense", b"--b\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n--b--\r\n"]:
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        request = urllib.request.Request(made["url"], data=body, headers=headers, method="POST")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, context=bailiwick.tls_context())
        assert refused.value.code == 400 and code(refused.value.read()) in ("MalformedPOSTRequest", "InvalidArgument")
