"""An HTTP endpoint that subscribes to topics: it keeps what it is sent, answers as told, and checks signatures."""

import base64
import http.server
import json
import queue
import ssl
import threading
import urllib.request

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

SIGNED = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
WAIT_SECONDS = 60


class Endpoint:
    """`answers` are the statuses of the next requests; then 200."""

    def __init__(self, authority=None):
        self.received = queue.Queue()
        self.answers = []
        self.context = ssl.create_default_context(cafile=str(authority)) if authority else None
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                status = endpoint.answers.pop(0) if endpoint.answers else 200
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()
                endpoint.received.put((dict(self.headers), body, status))

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path="/hook"):
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def next(self):
        """Headers, body and answered status of the next request."""
        headers, body, status = self.received.get(timeout=WAIT_SECONDS)
        return {name.lower(): value for name, value in headers.items()}, body, status

    def letter(self, kind="Notification"):
        """The next request's JSON, its signature checked."""
        headers, body, _ = self.next()
        letter = json.loads(body)
        assert letter["Type"] == headers["x-amz-sns-message-type"] == kind, letter
        self.check_signature(letter)
        return letter

    def fetch(self, url):
        with urllib.request.urlopen(url, context=self.context, timeout=30) as answer:
            return answer.read()

    def check_signature(self, letter):
        assert letter["SignatureVersion"] == "2"
        certificate = x509.load_pem_x509_certificate(self.fetch(letter["SigningCertURL"]))
        signed = "".join(f"{name}\n{letter[name]}\n" for name in SIGNED if name in letter)
        signature = base64.b64decode(letter["Signature"])
        certificate.public_key().verify(signature, signed.encode(), padding.PKCS1v15(), hashes.SHA256())

    def confirm(self):
        """Does what an endpoint does with the first message that it gets; gives the subscription's ARN."""
        letter = self.letter("SubscriptionConfirmation")
        answer = self.fetch(letter["SubscribeURL"]).decode()
        return answer.split("<SubscriptionArn>")[1].split("</SubscriptionArn>")[0]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
