"""Answers what botocore makes of a service's messages.

Reads one JSON document from standard input:
    {"service": id, "protocol": name, "calls": [{"operation", "input", "answer", "error"}]}
and writes one list with, per call, the request that botocore serializes from the input, and what it parses from the answer
and from the error. Values that JSON cannot express are tagged: {"$bytes": base64}, {"$time": epoch seconds}.
"""

import base64
import datetime
import json
import math
import sys

from botocore.awsrequest import HeadersDict, create_request_object, prepare_request_dict
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer


def untag(value):
    if isinstance(value, list):
        return [untag(item) for item in value]
    if isinstance(value, dict):
        if set(value) == {"$bytes"}:
            return base64.b64decode(value["$bytes"])
        if set(value) == {"$time"}:
            return datetime.datetime.fromtimestamp(value["$time"], datetime.timezone.utc)
        return {key: untag(item) for key, item in value.items()}
    return value


def tag(value):
    if isinstance(value, dict):
        return {key: tag(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [tag(item) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, datetime.datetime):
        return {"$time": value.timestamp()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def request(serializer, model, call):
    serialized = serializer.serialize_to_request(untag(call["input"]), model)
    serialized.pop("host_prefix", None)
    prepare_request_dict(serialized, "https://host.invalid", context={})
    prepared = create_request_object(serialized).prepare()
    path, _, query = prepared.url.removeprefix("https://host.invalid").partition("?")
    body = prepared.body or b""
    text = lambda value: value.decode() if isinstance(value, bytes) else str(value)
    return {
        "method": prepared.method,
        "path": path or "/",
        "query": query,
        "headers": [[text(name), text(value)] for name, value in prepared.headers.items()],
        "body": base64.b64encode(body.encode() if isinstance(body, str) else body).decode(),
    }


def response(answer):
    headers = HeadersDict({name: value for name, value in answer["headers"]})
    return {"status_code": answer["status"], "headers": headers, "body": base64.b64decode(answer["body"]), "context": {}}


def attempt(action):
    try:
        return action()
    except Exception as error:  # the test shows it
        return {"$failed": f"{type(error).__name__}: {error}"}


def main():
    question = json.load(sys.stdin)
    service = ServiceModel(Loader().load_service_model(question["service"], "service-2"), question["service"])
    serializer = create_serializer(question["protocol"], include_validation=False)
    parser = create_parser(question["protocol"])
    replies = []
    for call in question["calls"]:
        model = service.operation_model(call["operation"])
        reply = {"request": attempt(lambda: request(serializer, model, call))}
        if call["answer"] is not None:
            reply["output"] = attempt(lambda: tag(parser.parse(response(call["answer"]), model.output_shape)))
        reply["error"] = attempt(lambda: tag(parser.parse(response(call["error"]), model.output_shape)))
        replies.append(reply)
    json.dump(replies, sys.stdout)


if __name__ == "__main__":
    main()
