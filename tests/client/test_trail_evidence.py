"""The signed log, the witness, and `bailiwick trail verify`: every tampering is found, and what is missing is named."""

import base64
import gzip
import hashlib
import json
import shutil
import subprocess
import time
import urllib.request

import pytest

from bailiwick_server import Account, Server, deny
from test_cloudtrail_trails import bucket_policy, log_bucket, next_second, objects, validate

REGION = "us-east-1"
DIGESTS = 4


def run(server, *arguments):
    """`bailiwick ...`: exit code and standard output."""
    done = subprocess.run([server.binary, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def fetch(server, path):
    with urllib.request.urlopen(f"{server.endpoint}/_bailiwick/log/{REGION}/{path}", context=server.tls_context(), timeout=20) as answer:
        return answer.read()


def leaf_hash(entry):
    return hashlib.sha256(b"\0" + entry).digest()


def tree_root(hashes):
    """RFC 6962, written down plainly: an implementation apart from the one under test."""
    if len(hashes) <= 1:
        return hashes[0] if hashes else hashlib.sha256(b"").digest()
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + tree_root(hashes[:split]) + tree_root(hashes[split:])).digest()


def entries(server, size):
    found = []
    for number in range(-(-size // 256)):
        width = min(256, size - number * 256)
        bundle = fetch(server, f"tile/entries/{number:03}" + (f".p/{width}" if width < 256 else ""))
        while bundle:
            length = int.from_bytes(bundle[:2], "big")
            found.append(bundle[2 : 2 + length])
            bundle = bundle[2 + length :]
    return found


def checkpoint(server):
    origin, size, root, *_ = fetch(server, "checkpoint").decode().split("\n")
    return origin, int(size), base64.b64decode(root)


class WitnessProcess:
    """One `bailiwick witness`."""

    def __init__(self, server, folder, keys):
        self.folder = folder
        arguments = [flag for key in keys for flag in ("--log-key", key)]
        self.process = subprocess.Popen(
            [server.binary, "witness", "--data-dir", folder, "--listen", "127.0.0.1:0", "--name", "witness.test/one", *arguments],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.url = self.process.stdout.readline().strip().rsplit(" ", 1)[1]
        self.keys = json.loads((folder / "witness.json").read_text())["keys"]

    def setting(self):
        return f"{self.keys[0]}@{self.url}"

    def checkpoint(self, origin):
        with urllib.request.urlopen(f"{self.url}/log/{hashlib.sha256(origin.encode()).hexdigest()}/checkpoint", timeout=20) as answer:
            return answer.read().decode()

    def stop(self):
        self.process.kill()
        self.process.wait()


class Scene:
    """A trail with four digests and a log file in each, copied out, with a checkpoint that a witness has cosigned."""

    def __init__(self, binary, folder):
        self.folder = folder
        self.server = Server.start(binary, folder / "server", "--region", REGION)
        self.account = Account.home(self.server)
        self.bucket = log_bucket(self.account)
        self.start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60))
        trails = self.account.client("cloudtrail")
        self.arn = trails.create_trail(Name="kept", S3BucketName=self.bucket, EnableLogFileValidation=True)["TrailARN"]
        trails.start_logging(Name="kept")
        for number in range(DIGESTS):
            self.account.client("iam").create_user(UserName=f"user-{number}")
            if number == DIGESTS - 1:
                # The final digest: nothing is delivered any more while the copies are made.
                trails.stop_logging(Name="kept")
            next_second()
            self.server.flush()
        keys = trails.list_public_keys()["PublicKeyList"]
        self.keys = [{"Fingerprint": key["Fingerprint"], "Value": base64.b64encode(key["Value"]).decode()} for key in keys]
        self.copy_bucket()
        self.log_keys = fetch(self.server, "keys").decode().split()
        self.origin, size, _ = checkpoint(self.server)
        assert run(self.server, "backup", folder / "early", "--data-dir", self.server.data_dir, *self.credentials())[0] == 0
        self.account.client("iam").create_user(UserName="later")
        self.witness = WitnessProcess(self.server, folder / "witness", self.log_keys)
        # The server is started anew with its witness, after a kill: what it cosigns continues what was there.
        self.server.kill()
        self.server.launch(
            "--region", REGION, "--witness", self.witness.setting(), "--allow-internal", "127.0.0.1", "--background-interval", "1"
        )
        self.account = Account.home(self.server)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                note = self.witness.checkpoint(self.origin)
            except urllib.error.HTTPError:
                time.sleep(0.1)
                continue
            if int(note.split("\n")[1]) > size:
                break
        (folder / "witnessed").write_text(note)
        self.mirror(folder / "log")

    def credentials(self):
        return "--credentials", self.server.credentials_file

    def copy_bucket(self):
        s3 = self.account.client("s3")
        metadata = {}
        for item in s3.list_objects_v2(Bucket=self.bucket)["Contents"]:
            found = s3.get_object(Bucket=self.bucket, Key=item["Key"])
            path = self.folder / "bucket" / item["Key"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(found["Body"].read())
            metadata[item["Key"]] = found["Metadata"]
        (self.folder / "metadata").write_text(json.dumps(metadata))

    def mirror(self, folder):
        """The log's files, as any C2SP client could mirror them."""
        note = fetch(self.server, "checkpoint").decode()
        size = int(note.split("\n")[1])
        for number in range(-(-size // 256)):
            width = min(256, size - number * 256)
            name = f"tile/entries/{number:03}" + (f".p/{width}" if width < 256 else "")
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(fetch(self.server, name))
        (folder / "checkpoint").write_text(note)


@pytest.fixture(scope="module")
def scene(binary, tmp_path_factory):
    scene = Scene(binary, tmp_path_factory.mktemp("evidence"))
    yield scene
    scene.witness.stop()
    scene.server.stop()
    scene.server.check_log()


class Copy:
    """The scene's files, to be tampered with."""

    def __init__(self, scene, folder):
        self.scene = scene
        self.folder = folder
        shutil.copytree(scene.folder / "bucket", folder / "bucket")
        self.keys = json.loads(json.dumps(scene.keys))

    def paths(self, kind):
        return sorted(path for path in (self.folder / "bucket").rglob("*.json.gz") if f"/{kind}/" in str(path))

    def name(self, path):
        return f"{self.scene.bucket}/{path.relative_to(self.folder / 'bucket')}"

    def verify(self, *more, log=True):
        keys = self.folder / "keys.json"
        keys.write_text(json.dumps({"PublicKeyList": self.keys}))
        arguments = [
            *("trail", "verify", "--trail-arn", self.scene.arn, "--bucket", self.scene.bucket, "-o", "json"),
            *("--files", self.folder / "bucket", "--metadata", self.scene.folder / "metadata", "--public-keys", keys),
            *("--witnessed", self.scene.folder / "witnessed", "--witness-key", self.scene.witness.keys[0]),
            *(flag for key in self.scene.log_keys for flag in ("--log-key", key)),
            *(("--log", self.scene.folder / "log") if log else ()),
        ]
        code, text = run(self.scene.server, *arguments, *more)
        assert code in (0, 3), text
        report = json.loads(text)
        assert (code == 3) == bool(report["findings"])
        return report


@pytest.fixture
def copy(scene, tmp_path):
    return Copy(scene, tmp_path)


def kinds(report):
    return sorted(finding["finding"] for finding in report["findings"])


def test_what_was_not_touched_is_whole(copy):
    report = copy.verify()
    assert report["findings"] == []
    assert report["logFiles"] == DIGESTS and report["digestFiles"] == DIGESTS and report["records"] >= DIGESTS
    assert 0 < report["witnessedSize"] <= report["logEntries"]


@pytest.mark.parametrize("place", [0, 1, -1], ids=["first", "middle", "last"])
@pytest.mark.parametrize("kind", ["CloudTrail", "CloudTrail-Digest"])
def test_a_deleted_file_is_named(copy, kind, place):
    path = copy.paths(kind)[place]
    path.unlink()
    findings = copy.verify()["findings"]
    wanted = {"CloudTrail": "log-file-missing", "CloudTrail-Digest": "digest-file-missing"}[kind]
    assert [finding["finding"] for finding in findings] == [wanted]
    assert findings[0]["file"] == copy.name(path)


@pytest.mark.parametrize("kind", ["CloudTrail", "CloudTrail-Digest"])
def test_an_edited_file_is_named(copy, kind):
    path = copy.paths(kind)[1]
    text = gzip.decompress(path.read_bytes())
    changed = text.replace(b"127.0.0.1", b"127.0.0.2").replace(b'"oldestEventTime"', b'"oldestEventtime"')
    assert changed != text
    path.write_bytes(gzip.compress(changed))
    report = copy.verify()
    changed_files = [finding["file"] for finding in report["findings"] if finding["finding"] == "file-changed"]
    assert changed_files == [copy.name(path)]
    assert ("record-unknown" if kind == "CloudTrail" else "digest-signature") in kinds(report)


@pytest.mark.parametrize("how_many", [1, 3, DIGESTS], ids=["last", "last three", "all"])
def test_truncations_that_the_aws_cli_misses(copy, how_many):
    """The newest digests deleted together with the logs that only they name."""
    digests = copy.paths("CloudTrail-Digest")[-how_many:]
    named = [file["s3Object"] for path in digests for file in json.loads(gzip.decompress(path.read_bytes()))["logFiles"]]
    logs = [copy.folder / "bucket" / key for key in named]
    gone = sorted(copy.name(path) for path in digests)
    for path in digests + logs:
        path.unlink()
    findings = copy.verify()["findings"]
    assert sorted(finding["file"] for finding in findings if finding["finding"] == "digest-file-missing") == gone
    assert len([finding for finding in findings if finding["finding"] == "unnamed-log-file-missing"]) == how_many
    assert len(findings) == 2 * how_many


def test_a_file_that_was_put_in_is_named(copy):
    path = copy.paths("CloudTrail")[0]
    forged = path.with_name(path.name.replace("Z_", "Z_x"))
    shutil.copy(path, forged)
    findings = copy.verify()["findings"]
    assert [(finding["finding"], finding["file"]) for finding in findings] == [("file-unknown", copy.name(forged))]


def test_a_replaced_key_is_found(copy):
    # Another key, well-formed: the modulus of the trail's own with its last byte changed.
    der = bytearray(base64.b64decode(copy.keys[0]["Value"]))
    der[-6] ^= 2
    copy.keys[0] = {"Fingerprint": hashlib.md5(bytes(der)).hexdigest(), "Value": base64.b64encode(bytes(der)).decode()}
    found = kinds(copy.verify())
    assert found == ["digest-key-unknown"] * DIGESTS + ["key-missing", "key-unknown"]


def test_a_store_that_was_set_back_is_found(copy, scene):
    """The backup is the store's earlier state: all its signatures hold, and the witness has seen more."""
    report = copy.verify("--backup", scene.folder / "early", log=False)
    findings = report["findings"]
    assert [finding["finding"] for finding in findings] == ["log-set-back"]
    assert findings[0]["size"] == report["logEntries"] < findings[0]["witnessed"] == findings[0]["last"] + 1


def test_a_log_that_was_altered_is_found(copy, scene, tmp_path):
    log = tmp_path / "log"
    shutil.copytree(scene.folder / "log", log)
    bundle = next(log.rglob("tile/entries/*.p/*"))
    content = bytearray(bundle.read_bytes())
    # The first event's hash.
    content[10] ^= 1
    bundle.write_bytes(content)
    found = kinds(copy.verify("--log", log, log=False))
    assert "log-altered" in found and "log-rewritten" in found
    note = log / "checkpoint"
    note.write_text(note.read_text().replace("\n\n— ", "\nextension\n\n— ", 1))
    assert "log-unsigned" in kinds(copy.verify("--log", log, log=False))


def test_the_log_is_what_any_client_computes(scene):
    origin, size, root = checkpoint(scene.server)
    assert origin == scene.origin and origin.endswith(f"/{REGION}")
    hashes = [leaf_hash(entry) for entry in entries(scene.server, size)]
    assert len(hashes) == size and tree_root(hashes) == root
    width = size % 256
    tile = fetch(scene.server, f"tile/0/{size // 256:03}" + (f".p/{width}" if width else ""))
    assert tile == b"".join(hashes[size // 256 * 256 :])
    # Every delivered record is a leaf: a hash, and no word of it.
    events = {entry[1:] for entry in entries(scene.server, size) if entry[0] == 1}
    delivered = 0
    for path in (scene.folder / "bucket").rglob("*_CloudTrail_*.json.gz"):
        text = gzip.decompress(path.read_bytes()).decode()
        decoder, place = json.JSONDecoder(), len('{"Records":[')
        while text[place - 1] != "]":
            _, end = decoder.raw_decode(text, place)
            assert hashlib.sha256(text[place:end].encode()).digest() in events
            delivered, place = delivered + 1, end + 1
    assert delivered >= DIGESTS
    proof = json.loads(fetch(scene.server, f"proof/inclusion?leaf=3&size={size}"))["hashes"]
    hash, node, last = hashes[3], 3, size - 1
    for sibling in map(base64.b64decode, proof):
        if node % 2 or node == last:
            hash = hashlib.sha256(b"\1" + sibling + hash).digest()
            while node % 2 == 0 and node:
                node, last = node // 2, last // 2
        else:
            hash = hashlib.sha256(b"\1" + hash + sibling).digest()
        node, last = node // 2, last // 2
    assert hash == root
    for path in ("tile/0/999", "tile/9/000", "proof/inclusion?leaf=9999999&size=9999999", "tile/0/..%2f", "nothing"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetch(scene.server, path)


def test_the_aws_cli_validates_across_a_kill(scene):
    """The scene's server was killed after the digests and started again."""
    code, text = validate(scene.server, scene.account, scene.arn, scene.start)
    assert code == 0 and f"{DIGESTS}/{DIGESTS} digest files valid" in text and f"{DIGESTS}/{DIGESTS} log files valid" in text, text
    trails = scene.account.client("cloudtrail")
    assert trails.get_trail_status(Name="kept")["IsLogging"] is False
    assert {key["Fingerprint"] for key in trails.list_public_keys()["PublicKeyList"]} == {key["Fingerprint"] for key in scene.keys}


def test_the_running_server_verifies_itself(scene):
    arguments = ["trail", "verify", "--trail-arn", scene.arn, "--bucket", scene.bucket, "--data-dir", scene.server.data_dir]
    code, text = run(scene.server, *arguments, *scene.credentials())
    assert code == 0, text
    assert text.startswith("0 findings") and "no witness" in text
    code, text = run(scene.server, "trail", "verify", "--trail-arn", "nonsense", "--bucket", "b", "--data-dir", scene.server.data_dir, *scene.credentials())
    assert code != 0


class LateScene:
    """A trail of which two log files came too late for the digests of their times: the bucket took digests and no logs meanwhile."""

    def __init__(self, binary, folder):
        self.folder = folder
        self.server = Server.start(binary, folder / "server", "--region", REGION)
        self.account = Account.home(self.server)
        self.bucket = log_bucket(self.account)
        self.start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60))
        self.trails, self.s3 = self.account.client("cloudtrail"), self.account.client("s3")
        self.arn = self.trails.create_trail(Name="late", S3BucketName=self.bucket, EnableLogFileValidation=True)["TrailARN"]
        self.trails.start_logging(Name="late")
        for round in range(2):
            self.deliver(f"on-time-{round}")
            self.refuse_logs(True)
            self.deliver(f"late-{round}")
            # This digest ends behind the time in the file's name, and is written without it.
            next_second()
            self.server.flush()
            assert self.trails.get_trail_status(Name="late")["LatestDeliveryError"] == "AccessDenied"
            if round == 1:
                # What waits and what it missed survive a kill.
                self.server.kill()
                self.server.launch("--region", REGION)
                self.account = Account.home(self.server)
                self.trails, self.s3 = self.account.client("cloudtrail"), self.account.client("s3")
            self.refuse_logs(False)
            self.server.flush()
        self.trails.stop_logging(Name="late")
        next_second()
        self.server.flush()

    def deliver(self, user):
        self.account.client("iam").create_user(UserName=user)
        next_second()
        self.server.flush()

    def refuse_logs(self, refused):
        policy = json.loads(bucket_policy(self.bucket, self.account.id))
        if refused:
            resource = f"arn:aws:s3:::{self.bucket}/AWSLogs/{self.account.id}/CloudTrail/*"
            policy["Statement"].append(deny("s3:PutObject", resource, Principal={"Service": "cloudtrail.amazonaws.com"}))
        self.s3.put_bucket_policy(Bucket=self.bucket, Policy=json.dumps(policy))

    def verify(self, *more):
        arguments = ["trail", "verify", "--trail-arn", self.arn, "--bucket", self.bucket, "--data-dir", self.server.data_dir, "-o", "json"]
        code, text = run(self.server, *arguments, "--credentials", self.server.credentials_file, *more)
        assert code in (0, 3), text
        return json.loads(text)["findings"]


@pytest.fixture(scope="module")
def late(binary, tmp_path_factory):
    scene = LateScene(binary, tmp_path_factory.mktemp("late"))
    yield scene
    scene.server.stop()
    scene.server.check_log()


def test_late_files_have_backfill_digests(late):
    digests = objects(late.account, late.bucket, "CloudTrail-Digest/")
    backfills = [digest for key, digest in digests.items() if key.endswith("_backfill.json.gz")]
    ordinary = [digest for key, digest in digests.items() if not key.endswith("_backfill.json.gz")]
    assert len(backfills) == 2 and [len(digest["logFiles"]) for digest in backfills] == [1, 1]
    users = lambda digest: {
        record["requestParameters"]["userName"]
        for file in digest["logFiles"]
        for record in objects(late.account, late.bucket)[file["s3Object"]]["Records"]
        if record["eventName"] == "CreateUser"
    }
    assert [users(digest) for digest in backfills] == [{"late-0"}, {"late-1"}]
    assert set().union(*map(users, ordinary)) == {"on-time-0", "on-time-1"}
    # Each is of the time of a digest that left its file out, and continues the backfill before it.
    times = {(digest["digestStartTime"], digest["digestEndTime"]) for digest in ordinary}
    assert all((digest["digestStartTime"], digest["digestEndTime"]) in times for digest in backfills)
    assert [digest["previousDigestS3Object"] for digest in backfills] == [None, backfills[0]["digestS3Object"]]
    for earlier, digest in zip(ordinary, ordinary[1:]):
        assert digest["previousDigestS3Object"] == earlier["digestS3Object"]
    listed = [file["s3Object"] for digest in digests.values() for file in digest["logFiles"]]
    assert sorted(listed) == sorted(objects(late.account, late.bucket)) and len(set(listed)) == len(listed)
    metadata = late.s3.head_object(Bucket=late.bucket, Key=backfills[0]["digestS3Object"])["Metadata"]
    assert set(metadata) == {"signature", "signature-algorithm", "backfill-generation-timestamp"}
    assert metadata["backfill-generation-timestamp"] >= backfills[0]["digestEndTime"]


def test_the_aws_cli_validates_backfill_digests(late):
    code, text = validate(late.server, late.account, late.arn, late.start)
    assert code == 0 and "INVALID" not in text, text
    assert text.count("(backfill) Digest file") == 2 and "2/2 backfill digest files valid" in text, text
    logs = len(objects(late.account, late.bucket))
    assert f"{logs}/{logs} log files valid" in text, text
    assert late.verify() == []


@pytest.mark.parametrize("how", ["digest deleted", "digest edited", "digest replaced", "log deleted", "both deleted"])
@pytest.mark.parametrize("place", [0, 1], ids=["first", "last"])
def test_tampering_with_backfills_is_found(late, tmp_path, place, how):
    keys = [item["Key"] for item in late.s3.list_objects_v2(Bucket=late.bucket)["Contents"]]
    metadata = {}
    for key in keys:
        found = late.s3.get_object(Bucket=late.bucket, Key=key)
        (tmp_path / "bucket" / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "bucket" / key).write_bytes(found["Body"].read())
        metadata[key] = found["Metadata"]
    (tmp_path / "metadata").write_text(json.dumps(metadata))
    backfills = sorted(key for key in keys if key.endswith("_backfill.json.gz"))
    digest = tmp_path / "bucket" / backfills[place]
    content = gzip.decompress(digest.read_bytes())
    log = json.loads(content)["logFiles"][0]["s3Object"]
    named = lambda key: f"{late.bucket}/{key}"
    wanted = []
    if how == "digest edited":
        digest.write_bytes(gzip.compress(content.replace(b'"SHA-256"', b'"SHA-255"', 1)))
        wanted = [("file-changed", named(backfills[place])), ("digest-signature", named(backfills[place]))]
    if how == "digest replaced":
        shutil.copy(tmp_path / "bucket" / backfills[1 - place], digest)
        wanted = [("file-changed", named(backfills[place]))]
    if how in ("digest deleted", "both deleted"):
        digest.unlink()
        wanted += [("digest-file-missing", named(backfills[place]))]
    if how == "log deleted":
        wanted = [("log-file-missing", named(log))]
    if how == "both deleted":
        wanted += [("unnamed-log-file-missing", None)]
    if how in ("log deleted", "both deleted"):
        (tmp_path / "bucket" / log).unlink()
    keys = [key | {"Value": base64.b64encode(key["Value"]).decode()} for key in late.trails.list_public_keys()["PublicKeyList"]]
    (tmp_path / "keys.json").write_text(json.dumps({"PublicKeyList": keys}, default=str))
    found = late.verify("--files", tmp_path / "bucket", "--metadata", tmp_path / "metadata", "--public-keys", tmp_path / "keys.json")
    told = {(finding["finding"], finding.get("file")) for finding in found}
    assert set(wanted) <= told, found
    if "deleted" in how:
        assert len(found) == len(wanted), found


def post(url, body):
    request = urllib.request.Request(f"{url}/add-checkpoint", data=body.encode(), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.headers["content-type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["content-type"], error.read().decode()


def test_the_witness_cosigns_only_what_continues(scene):
    note = scene.witness.checkpoint(scene.origin)
    size = int(note.split("\n")[1])
    own = "\n".join(line for line in note.split("\n") if not line.startswith("— witness.test/one"))
    # An old size that is not the last one it saw: the answer is the size that it saw.
    status, kind, text = post(scene.witness.url, f"old 0\n\n{own}")
    assert (status, kind) == (409, "text/x.tlog.size") and int(text) >= size
    assert post(scene.witness.url, f"old {size + 1000}\n\n{own}")[0] in (400, 409)
    assert post(scene.witness.url, f"old 0\n\n{own.replace(scene.origin, 'elsewhere', 1)}")[0] == 404
    assert post(scene.witness.url, f"old 0\n\n{own.replace(chr(10) + str(size) + chr(10), chr(10) + str(size + 1) + chr(10), 1)}")[0] == 403
    assert post(scene.witness.url, "nonsense")[0] == 400
    assert post(scene.witness.url, "x" * 100_000)[0] == 413


def test_the_cosigned_checkpoint_is_served(scene):
    note = fetch(scene.server, "cosigned").decode()
    assert "— witness.test/one " in note and note.startswith(scene.origin)


def test_prompts_and_answers_are_in_no_file_and_no_event(scene):
    secret = "canary-prompt-7f3a9"
    bedrock = scene.account.client("bedrock-runtime")
    with _allowed():
        bedrock.converse(modelId="embedded.echo-v1:0", messages=[{"role": "user", "content": [{"text": secret}]}])
    scene.server.flush()
    for content in objects(scene.account, scene.bucket).values():
        assert secret not in json.dumps(content)
    for event in scene.account.events(EventName="Converse"):
        assert secret not in json.dumps(event)
        assert event["eventSource"] == "bedrock.amazonaws.com" and event["managementEvent"] is True


def _allowed():
    """Whatever the embedded model answers, the words must not be recorded."""
    import contextlib

    import botocore.exceptions

    return contextlib.suppress(botocore.exceptions.ClientError)
