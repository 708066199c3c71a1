"""Binds each operation to the IAM actions, resources and condition keys that authorize it.

The mechanical rule: the action of the same name; for every resource type of the action, each variable of the ARN template is
looked for among the input members. What the rule cannot know stands in the overlay:

[variables]            variable -> candidate member paths, tried first, for all operations of the service
[types]                resource type -> {variable -> candidate member paths}, tried before those
[never]                variable -> members that look like it and are not
[authorize]            operation -> list of {action, resources?, only?, when_present?, when_absent?}
[assume]               operations whose action the reference does not list (yet); named after the operation, on `*`
[open]                 operations that need no permission
[service_bound]        operations (or all operations on resource types) whose resources the service's own resolver names
[created]              operation -> resource types that it makes and names itself
[ignore_types]         resource types that no operation is checked against
[prefer]               resource types that an identifier without an ARN means, where one member may name several types
may_be_arn             members that take an ARN although neither their name nor their pattern says so
[tags]                 operation -> {request?, keys?}: input members with tags to set, tag keys to remove
"""

import re

# From the strongest: the reference gives some actions two levels (`Tagging, Write`).
LEVELS = {"Permissions management": "permissions", "Write": "write", "Tagging": "tagging", "Read": "read", "List": "list"}
PLACES = {"Partition", "Region", "Account", "AccountId", "PrimaryRegion"}
ENDINGS = ("namelist", "arnlist", "idlist", "withpath", "identifiers", "identifier", "names", "name", "arns", "arn", "ids", "id")
READING = re.compile(r"(Get|List|Describe|BatchGet|Search|Lookup|Head|Query|Preview|Validate|Check|Test)[A-Z]|Check|Verify")
TAG_MEMBERS = ("tags", "taglist", "tagset", "tagstoadd", "addtags", "tagslist", "tagging", "tagspecifications", "tagspecification", "resourcetags")
TAG_KEY_MEMBERS = ("tagkeys", "tagkeylist", "tagstoremove", "removetags", "untagkeys")


def plain(text):
    return re.sub(r"[^a-z0-9]", "", text.lower())


def stem(text):
    """`EndpointName`, `EndpointArn`, `endpointIdentifier` and `Endpoint` are one."""
    text = plain(text)
    for ending in ENDINGS:
        if text.endswith(ending) and len(text) > len(ending):
            return text[: -len(ending)]
    return text


def singular(text):
    return text[:-1] if text.endswith("s") and not text.endswith("ss") else text


class Binder:
    def __init__(self, service, read_iam):
        self.service = service
        self.overlay = service.overlay
        self.prefix = service.iam_prefix()
        self.read_iam = read_iam
        self.namespaces = {}
        self.resource_types = {}
        self.used_types = set()
        self.key_sets = []
        self.key_set_ids = {}
        self.unbound = []
        self.type_count = 0

    def namespace(self, prefix):
        if prefix not in self.namespaces:
            actions = {action["name"]: action for action in self.read_iam("actions", prefix).values()}
            folded = {name.lower(): name for name in actions}
            types = self.read_iam("resourceTypes", prefix)
            self.namespaces[prefix] = (actions, folded, types)
        return self.namespaces[prefix]

    def find(self, action):
        prefix, _, name = action.rpartition(":")
        actions, folded, types = self.namespace(prefix or self.prefix)
        return prefix or self.prefix, actions.get(folded.get(name.lower())), types

    # -- one operation ------------------------------------------------------------------------------------

    def bind(self, operation):
        bound = {"binding": None, "auth": [], "request_tags": None, "tag_keys": None, "read_only": False}
        rules = self.overlay.get("authorize", {}).get(operation)
        if operation in self.overlay.get("open", {}).get("operations", []):
            bound["binding"] = "open"
            bound["read_only"] = self.is_read_only(operation, READING.match(operation) is not None)
        else:
            for rule in rules or [{"action": operation}]:
                bound["auth"] += self.authorization(operation, rule)
            if not bound["auth"]:
                bound["binding"] = "unmapped"
                self.unbound.append(f"{operation} unmapped")
            elif self.is_service_bound(operation, bound["auth"]):
                bound["binding"] = "service"
            reading = bool(bound["auth"]) and all(entry["level"] in ("read", "list") for entry in bound["auth"])
            bound["read_only"] = self.is_read_only(operation, reading)
        bound |= self.tags(operation, bound["read_only"])
        return bound

    def is_service_bound(self, operation, auth):
        rule = self.overlay.get("service_bound", {})
        types = {resource["type"] for entry in auth for resource in entry.get("resources", [])}
        return operation in rule.get("operations", []) or bool(types & set(rule.get("types", [])))

    def is_read_only(self, operation, otherwise):
        if operation in self.overlay.get("read_only", []):
            return True
        return otherwise and operation not in self.overlay.get("mutating", [])

    def authorization(self, operation, rule):
        prefix, action, types = self.find(rule["action"])
        if action is None:
            assumed = self.overlay.get("assume", {}).get("operations", [])
            if operation not in assumed and "level" not in rule:
                return []
            level = rule.get("level", "read" if READING.match(operation) else "write")
            if level not in ("read", "list"):
                self.unbound.append(f"{operation} * (action not in the reference)")
            name = rule["action"].rpartition(":")[2]
            return [{"action": f"{prefix}:{name}", "level": level} | self.conditions(rule)]
        entries, unbound = [], []
        dropped = set(self.overlay.get("ignore_types", {}).get("types", []))
        named = [kind for kind in action["resourceTypes"] if kind["name"] not in dropped]
        if "only" in rule:
            named = [kind for kind in named if kind["name"] in rule["only"]]
        seen = set()
        self.type_count = len({kind["name"] for kind in named})
        for kind in named:
            facts = types.get(kind["name"].lower())
            if facts is None or kind["name"] in seen:
                continue
            seen.add(kind["name"])
            variables = self.variables(operation, kind["name"], facts["arn"], rule)
            unknown = [variable for variable, binding in variables.items() if binding is None]
            key = f"{prefix}:{kind['name']}" if prefix != self.prefix else kind["name"]
            required = kind["required"]
            if unknown and not required:
                # An optional type that the input cannot name is never checked.
                continue
            if unknown and len(unknown) == len(variables) and not self.is_created(operation, kind["name"]):
                unbound.append(kind["name"])
            self.resource_types[key] = {"arn": facts["arn"]} | self.keys(facts.get("conditionKeys", []))
            self.used_types.add(key)
            entry = {"type": key}
            if required:
                entry["required"] = True
            bindings = {variable: binding for variable, binding in variables.items() if binding}
            if bindings:
                entry["variables"] = bindings
            entry |= self.keys(kind.get("conditionKeys", []))
            entries.append(entry)
        preferred = self.overlay.get("prefer", {}).get("types", [])
        entries.sort(key=lambda entry: entry["type"] not in preferred)
        level = next(short for long, short in LEVELS.items() if long in action["accessLevel"])
        for name in [] if self.is_service_bound(operation, [{"resources": entries}]) else unbound:
            self.unbound.append(f"{operation} {prefix}:{action['name']} {name}")
        if named and not entries and not self.is_service_bound(operation, []):
            self.unbound.append(f"{operation} {prefix}:{action['name']} * of {len(named)} types")
        result = {"action": f"{prefix}:{action['name']}", "level": level}
        result |= self.keys(action.get("conditionKeys", []))
        if entries:
            result["resources"] = entries
        return [result | self.conditions(rule)]

    def is_created(self, operation, kind):
        """The service gives the name, so `type/*` is what policies are written against."""
        if not operation.startswith(("Create", "Allocate", "Request", "Put", "Start", "Import")):
            return False
        folded = plain(operation)
        return singular(plain(kind)) in folded or kind in self.overlay.get("created", {}).get(operation, [])

    def conditions(self, rule):
        return {when: rule[when] for when in ("when_present", "when_absent") if when in rule}

    def keys(self, keys):
        if not keys:
            return {}
        kept = tuple(sorted(set(keys)))
        if kept not in self.key_set_ids:
            self.key_set_ids[kept] = len(self.key_sets)
            self.key_sets.append(list(kept))
        return {"keys": self.key_set_ids[kept]}

    # -- variables of an ARN template ---------------------------------------------------------------------

    def variables(self, operation, kind, arn, rule):
        names = [name for name in re.findall(r"\$\{(\w+)\}", arn) if name not in PLACES]
        members = self.members(operation)
        found = {}
        for name in names:
            given = rule.get("resources", {}).get(kind, {}).get(name)
            given = given if given is not None else self.from_overlay(kind, name, members)
            found[name] = given if given is not None else self.guess(operation, kind, name, names, members)
            if found[name] == "":
                found[name] = None
        # A template whose identifying variable is unknown may still be named whole by an ARN.
        if any(value is None for value in found.values()):
            whole = self.whole_arn(kind, members, operation)
            if whole:
                found = {name: value or whole for name, value in found.items()}
        return {name: value and self.marked(operation, value) for name, value in found.items()}

    def from_overlay(self, kind, name, members):
        for table in (self.overlay.get("types", {}).get(kind, {}), self.overlay.get("variables", {})):
            for candidate in table.get(name, []):
                if self.reaches(candidate, members):
                    return candidate
        return None

    def members(self, operation):
        given = self.service.operations[operation].get("input")
        return self.service.shapes[given["shape"]].get("members", {}) if given else {}

    def required(self, operation):
        given = self.service.operations[operation].get("input")
        return self.service.shapes[given["shape"]].get("required", []) if given else []

    def reaches(self, path, members):
        return all(self.target(part, members) is not None for part in path.split("+"))

    def target(self, path, members):
        """The shape name that a dotted path leads to; lists on the way are stepped through."""
        shape = None
        for step in path.split("."):
            if step not in members:
                return None
            shape = members[step]["shape"]
            while self.service.shapes[shape]["type"] == "list":
                shape = self.service.shapes[shape]["member"]["shape"]
            members = self.service.shapes[shape].get("members", {})
        return shape

    def is_text(self, path, members):
        shape = self.target(path, members)
        return shape is not None and self.service.shapes[shape]["type"] in ("string", "integer", "long")

    def guess(self, operation, kind, name, names, members):
        texts = [member for member in members if self.is_text(member, members) and not self.is_other_name(name, member)]
        folded = {plain(member): member for member in texts}
        if plain(name) in folded:
            return folded[plain(name)]
        wanted = {stem(name), singular(stem(name))}
        last = name == names[-1]
        if last:
            wanted |= {plain(kind), singular(plain(kind)), stem(kind)}
        wanted |= {other for other in (stem(kind) + stem(name),) if last}
        wanted -= {"", "resource"}
        for member in texts:
            if {stem(member), singular(stem(member))} & wanted and plain(member) not in ("tagkeys",):
                return member
        if last:
            required = self.required(operation)
            for member in texts:
                if member in required and len(stem(member)) > 2 and plain(kind).endswith(stem(member)):
                    return member
            # A bare `Name` is the resource's when no other type could be meant.
            single = self.type_count == 1 or singular(plain(kind)) in plain(operation)
            for member in texts if single else []:
                if plain(member) in ("name", "names", "id", "ids", "identifier") and len(names) == 1:
                    return member
        for outer, traits in members.items():
            shape = self.service.shapes[traits["shape"]]
            if shape["type"] != "structure":
                continue
            for inner in shape.get("members", {}):
                path = f"{outer}.{inner}"
                if plain(inner) == plain(name) and self.is_text(path, members):
                    return path
                if last and plain(inner) == "name" and stem(outer).removesuffix("input") in wanted:
                    return path
        return None

    def is_other_name(self, variable, member):
        """A name is no identifier that the service gives out; the overlay knows further lookalikes."""
        if member in self.overlay.get("never", {}).get(variable, []):
            return True
        return plain(variable).endswith("id") and plain(member).endswith(("name", "names", "namelist"))

    def whole_arn(self, kind, members, operation):
        for member in members:
            folded = plain(member)
            if folded in ("resourcearn", "resourcearns", "arn", "resource", "resourceid", "resourceidentifier", "resourcearnlist"):
                if self.is_text(member, members):
                    return member
            if folded in (plain(kind) + "arn", plain(kind) + "arns") and self.is_text(member, members):
                return member
        return None

    def marked(self, operation, path):
        """`?` after the path: the member may hold a whole ARN."""
        members = self.members(operation)
        shape = self.service.shapes[self.target(path.rpartition("+")[2], members)]
        tail = plain(path)
        arn = tail.endswith(("arn", "arns")) or "arn" in shape.get("pattern", "") or tail in ("resource", "resourceid", "resourceidentifier")
        arn = arn or path.rpartition(".")[2] in self.overlay.get("may_be_arn", [])
        return f"{path}?" if arn else path

    # -- tags ---------------------------------------------------------------------------------------------

    def tags(self, operation, read_only):
        patch = self.overlay.get("tags", {}).get(operation)
        if patch is not None:
            return {"request_tags": patch.get("request"), "tag_keys": patch.get("keys")}
        found = {"request_tags": None, "tag_keys": None}
        if read_only:
            return found
        members = self.members(operation)
        for member in members:
            folded = plain(member)
            if found["tag_keys"] is None and folded in TAG_KEY_MEMBERS:
                path = member
                if self.is_tag(self.target(member, members)):
                    path = f"{member}.{self.key_member(self.target(member, members))}"
                found["tag_keys"] = path
            elif found["request_tags"] is None and folded in TAG_MEMBERS:
                found["request_tags"] = self.tag_path(member, members)
        if operation.startswith(("Untag", "RemoveTags", "DeleteTags")) and found["request_tags"]:
            shape = self.target(found["request_tags"], members)
            key = self.key_member(shape)
            found = {"request_tags": None, "tag_keys": f"{found['request_tags']}.{key}" if key else found["request_tags"]}
        return found

    def tag_path(self, member, members):
        shape = self.target(member, members)
        facts = self.service.shapes[shape]
        if facts["type"] == "map" or self.is_tag(shape):
            return member
        for inner in facts.get("members", {}):
            if plain(inner) in TAG_MEMBERS and self.is_tag(self.target(inner, facts["members"])):
                return f"{member}.{inner}"
        # The query string form of `x-amz-tagging`.
        return member if plain(member) == "tagging" and facts["type"] == "string" else None

    def is_tag(self, shape):
        members = self.service.shapes[shape].get("members", {})
        return self.key_member(shape) is not None and any(plain(member) in ("value", "tagvalue") for member in members)

    def key_member(self, shape):
        members = self.service.shapes[shape].get("members", {})
        return next((member for member in members if plain(member) in ("key", "tagkey")), None)
