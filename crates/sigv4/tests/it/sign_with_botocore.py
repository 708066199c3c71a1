"""Signs requests with botocore and prints them as JSON, one a line. Input: nothing; the cases are below."""
import json
import botocore.auth as auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

SIGNERS = {
    "header": (auth.SigV4Auth, {}),
    "query": (auth.SigV4QueryAuth, {"expires": 300}),
    "s3-header": (auth.S3SigV4Auth, {}),
    "s3-query": (auth.S3SigV4QueryAuth, {"expires": 300}),
}
PATHS = ["/", "/a/b", "/a//b/./c/../d/", "/a%20b/%C3%A9", "/model/anthropic.claude%3A0/converse", "/a/..", "/x~y_z-1.0%2A%28%29"]
QUERIES = ["", "b=2&a=1&a=0", "prefix=a%2Fb&delimiter=%2F", "uploads=", "list-type=2&x=~%2B"]
BODIES = [b"", b"Action=ListUsers&Version=2010-05-08", bytes(range(256))]

for kind, (signer, extra) in SIGNERS.items():
    service = "s3" if kind.startswith("s3") else "iam"
    for token in (None, "IQoJb3JpZ2luX2VjEA//+=="):
        for number, path in enumerate(PATHS):
            query = QUERIES[number % len(QUERIES)]
            body = BODIES[number % len(BODIES)] if "query" not in kind else b""
            url = "https://host.test:8443" + path + ("?" + query if query else "")
            request = AWSRequest(method="POST" if body else "GET", url=url, data=body)
            request.headers["X-Amz-Meta-Note"] = "  two   words "
            request.headers["User-Agent"] = "never signed"
            credentials = Credentials("AKIAEXAMPLE", "a/secret+key", token)
            signer(credentials, service, "eu-central-1", **extra).add_auth(request)
            prepared = request.prepare()
            target = prepared.url[len("https://host.test:8443"):]
            headers = {k: v.decode() if isinstance(v, bytes) else v for k, v in prepared.headers.items()}
            headers.setdefault("Host", "host.test:8443")
            print(json.dumps({"kind": kind, "service": service, "method": prepared.method, "target": target,
                              "headers": list(headers.items()), "body": body.hex()}))
