"""Writes the Rust types of the implemented operations of one service: `crates/api-<service>`.

The forms are those of `wire::shape!`: required members are plain, others `Option`; inputs and outputs are named after the
operation; a streaming blob or an event stream is left out, since it travels beside the value.
"""

import json
import re

SCALARS = {
    "string": "String",
    "character": "String",
    "blob": "Bytes",
    "boolean": "bool",
    "integer": "i32",
    "long": "i64",
    "float": "f64",
    "double": "f64",
    "timestamp": "Timestamp",
}
TAKEN = {"Box", "BTreeMap", "Bytes", "Default", "Option", "Other", "Result", "Secret", "Self", "Some", "String", "Timestamp", "Unknown", "Value", "Vec"}
KEYWORDS = set(
    "abstract as async await become box break const continue crate do dyn else enum extern false final fn for gen if impl in let loop "
    "macro match mod move mut override priv pub ref return self static struct super trait true try type typeof union unsafe unsized use "
    "virtual where while yield".split()
)
# Runs of capitals that are more than one word, or words with a digit: `SSEKMSKeyId` is `sse_kms_key_id`.
WORDS = ["SSE", "KMS", "MD5", "CRC64NVME", "CRC32C", "CRC32", "SHA512", "SHA256", "SHA1", "XXHASH128", "XXHASH64", "XXHASH3", "ETag", "ACP", "ACL", "MFA", "ARNs", "IDs"]


def snake(name):
    for word in WORDS:
        name = re.sub(f"{word}(?![a-z])", f"_{word.capitalize()}_", name)
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    name = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").lower()
    return f"{name}_" if name in KEYWORDS else name


def camel(text):
    """`RSA_2048` and `aws:kms:dsse` become `Rsa2048` and `AwsKmsDsse`."""
    words = re.split(r"[^A-Za-z0-9]+", text)
    name = "".join(word.capitalize() if word.isupper() or word.islower() else word[:1].upper() + word[1:] for word in words if word)
    # Sign values such as `*`, and digits at the start, need a letter.
    name = name or "Sign"
    return f"V{name}" if name[0].isdigit() else name


class Types:
    def __init__(self, service):
        self.service = service
        self.shapes = service.shapes
        self.names = {}
        self.streams = {}
        self.operations = [name for name in service.operations if name in service.overlay["implemented"]]
        self.name_operations()
        self.reachable = self.reach()
        self.name_others()
        self.boxed = self.cycles()

    # -- names --------------------------------------------------------------------------------------------

    def name_operations(self):
        for name in self.operations:
            for way, suffix in (("input", "Input"), ("output", "Output")):
                shape = self.service.operations[name].get(way, {}).get("shape")
                if shape:
                    self.names[shape, name, way] = name + suffix
                for member in self.shapes[shape].get("members", {}).values() if shape else []:
                    if self.shapes[member["shape"]].get("eventstream"):
                        # Some operations have events in both directions.
                        self.streams[member["shape"]] = f"{name}Event" if way == "output" else f"{name}InputEvent"

    def name_others(self):
        taken = {f"{name}{suffix}" for name in self.operations for suffix in ("Input", "Output")} | TAKEN
        for shape in self.reachable:
            if shape in self.streams:
                self.names[shape] = self.streams[shape]
                continue
            name = re.sub(r"[^A-Za-z0-9]", "", shape)
            name = name[:1].upper() + name[1:]
            self.names[shape] = f"{name}Shape" if name in taken else name
            taken.add(self.names[shape])

    def travels_beside(self, member):
        shape = self.shapes[member["shape"]]
        return shape["type"] == "blob" and (shape.get("streaming") or member.get("streaming")) or shape.get("eventstream")

    def reach(self):
        """Shapes below inputs and outputs, which are named after the operation."""
        seen, todo = set(), list(self.streams)
        roots = [self.service.operations[name][way]["shape"] for name in self.operations for way in ("input", "output") if way in self.service.operations[name]]
        for root in roots:
            todo += [member["shape"] for member in self.shapes[root].get("members", {}).values()]
        while todo:
            name = todo.pop()
            if name in seen:
                continue
            seen.add(name)
            shape = self.shapes[name]
            todo += [member["shape"] for member in shape.get("members", {}).values()]
            todo += [shape[part]["shape"] for part in ("member", "value") if part in shape]
        return sorted(name for name in seen if self.is_declared(name))

    def is_declared(self, name):
        shape = self.shapes[name]
        return (shape["type"] == "structure" and not shape.get("document")) or (shape["type"] == "string" and shape.get("enum"))

    def direct(self, name):
        members = self.shapes[name].get("members", {}).values()
        return [member["shape"] for member in members if self.shapes[member["shape"]]["type"] == "structure"]

    def cycles(self):
        """Structures that contain themselves without a list or map between."""
        boxed = set()
        for name in self.reachable:
            seen, todo = set(), self.direct(name)
            while todo:
                inner = todo.pop()
                if inner == name:
                    boxed.add(name)
                if inner not in seen:
                    seen.add(inner)
                    todo += self.direct(inner)
        return boxed

    # -- types --------------------------------------------------------------------------------------------

    def rust(self, name, sensitive=False):
        shape = self.shapes[name]
        kind = shape["type"]
        if kind == "list":
            text = f"Vec<{self.rust(shape['member']['shape'])}>"
        elif kind == "map":
            text = f"BTreeMap<String, {self.rust(shape['value']['shape'])}>"
        elif kind == "structure" and shape.get("document"):
            text = "serde_json::Value"
        elif self.is_declared(name):
            text = self.names[name]
        else:
            text = SCALARS[kind]
        return f"Secret<{text}>" if sensitive or shape.get("sensitive") else text

    def member(self, shape, member, facts):
        text = self.rust(facts["shape"], facts.get("sensitive"))
        if facts["shape"] in self.boxed and self.shapes[facts["shape"]]["type"] == "structure":
            text = f"Box<{text}>"
        return text if member in shape.get("required", []) else f"Option<{text}>"

    def has_default(self, name, seen=()):
        """Whether a required member of this shape has an obvious empty value."""
        shape = self.shapes[name]
        if shape["type"] in ("list", "map"):
            return True
        if shape["type"] == "string":
            return not shape.get("enum")
        if shape["type"] != "structure" or shape.get("document"):
            return True
        if shape.get("union") or shape.get("eventstream") or name in seen:
            return False
        members = shape.get("members", {})
        return all(self.has_default(members[member]["shape"], (*seen, name)) for member in shape.get("required", []) if member in members)

    def structure(self, name, shape_name, with_default):
        shape = self.shapes[shape_name] if shape_name else {}
        lines = ["shape! {"]
        if with_default:
            lines.append("    #[derive(Default)]")
        fields, used = [], set()
        for member, facts in shape.get("members", {}).items():
            if self.travels_beside(facts):
                continue
            field = snake(member)
            while field in used:
                field += "_"
            used.add(field)
            fields.append(f"        {field}: {self.member(shape, member, facts)} = {json.dumps(member)},")
        if fields:
            lines += [f"    struct {name} {{", *fields, "    }", "}"]
        else:
            lines += [f"    struct {name} {{}}", "}"]
        return lines

    def enumeration(self, name, values):
        used, lines = {"Other"}, ["shape! {", f"    enum {name} {{"]
        for value in values:
            variant = camel(value)
            variant = f"{variant}Value" if variant == "Self" else variant
            while variant in used:
                variant += "Value"
            used.add(variant)
            lines.append(f"        {variant} = {json.dumps(value)},")
        return [*lines, "    }", "}"]

    def union(self, name, shape):
        used, lines = {"Unknown"}, ["shape! {", f"    union {name} {{"]
        for member, facts in shape["members"].items():
            text = self.rust(facts["shape"], facts.get("sensitive"))
            text = f"Box<{text}>" if facts["shape"] in self.boxed else text
            variant = camel(member)
            variant = f"{variant}Value" if variant in used or variant == "Self" else variant
            used.add(variant)
            lines.append(f"        {variant}({text}) = {json.dumps(member)},")
        return [*lines, "    }", "}"]

    # -- files --------------------------------------------------------------------------------------------

    def files(self):
        operations, types = [], []
        for name in self.operations:
            facts = self.service.operations[name]
            given, taken = (facts.get(way, {}).get("shape") for way in ("input", "output"))
            optional = not given or self.has_default(given) and not self.shapes[given].get("required")
            operations.append(self.structure(f"{name}Input", given, optional))
            operations.append(self.structure(f"{name}Output", taken, not taken or self.has_default(taken)))
            operations.append([f'operation!("{self.service.name}", "{name}", {name}Input, {name}Output);'])
        for name in self.reachable:
            shape = self.shapes[name]
            if shape["type"] == "string":
                types.append(self.enumeration(self.names[name], shape["enum"]))
            elif shape.get("union") or shape.get("eventstream"):
                types.append(self.union(self.names[name], shape))
            else:
                types.append(self.structure(self.names[name], name, self.has_default(name)))
        return {
            "Cargo.toml": self.manifest(operations + types),
            "src/lib.rs": self.root(),
            "src/operations.rs": self.source(operations, "shape, operation"),
            "src/types.rs": self.source(types, "shape"),
        }

    def manifest(self, items):
        text = "\n".join(line for item in items for line in item)
        dependencies = [("bytes", "Bytes"), ("serde_json", "serde_json::"), ("wire", "")]
        lines = [f"{name}.workspace = true" for name, mark in dependencies if mark in text]
        keys = "\n".join(f"{key}.workspace = true" for key in ("version", "edition", "rust-version", "license", "publish"))
        return f"# {HEADER}\n[package]\nname = \"api-{self.service.name}\"\n{keys}\n\n[lints]\nworkspace = true\n\n[dependencies]\n" + "\n".join(lines) + "\n"

    def root(self):
        names = "".join(f'    "{name}",\n' for name in self.operations)
        return (
            f"//! {HEADER}\n//!\n//! Types of the implemented operations of `{self.service.name}`: plain structures, converted from and to `wire::Value`.\n\n{ALLOWED}\n"
            f"mod operations;\nmod types;\n\npub use operations::*;\npub use types::*;\n\n"
            f"/// Id of the service in the facts.\npub const SERVICE: &str = \"{self.service.name}\";\n\n"
            f"/// Every operation that has types here, sorted.\npub const OPERATIONS: &[&str] = &[\n{names}];\n"
        )

    def source(self, items, macros):
        text = "\n\n".join("\n".join(item) for item in items)
        uses = []
        if "BTreeMap<" in text:
            uses.append("use std::collections::BTreeMap;\n")
        # Names in string literals are no types (`AWS::SecretsManager::Secret`), and neither are values of enums (`Bytes = "Bytes"`).
        code = re.sub(r'"[^"]*"', "", text)
        if re.search(r"[:<] ?Bytes\b", code):
            uses.append("use bytes::Bytes;")
        wire = [name for name in ("Secret", "Timestamp") if re.search(rf"\b{name}\b", code)]
        macro_names = [name for name in ("operation", "shape") if name in macros]
        names = wire + macro_names
        uses.append(f"use wire::{{{', '.join(names)}}};" if len(names) > 1 else f"use wire::{names[0]};")
        own = "use crate::types::*;\n" if "operation" in macro_names else ""
        return f"//! {HEADER}\n\n" + "\n".join(uses) + f"\n\n{own}\n{text}\n"


HEADER = "Generated by cargo xtask codegen; do not edit."
ALLOWED = (
    "// The names and sizes are the model's.\n#![allow(clippy::enum_variant_names, clippy::large_enum_variant, clippy::struct_field_names, "
    "clippy::upper_case_acronyms, clippy::wildcard_imports)]\n"
)
