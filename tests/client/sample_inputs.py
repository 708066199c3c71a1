"""Small valid inputs for any operation, made from botocore's models and the patterns in our facts."""

import datetime
import json
import pathlib
import re
import re._constants as constants
import re._parser as parser

FACTS = pathlib.Path(__file__).parents[2] / "facts"
# Names of one kind of thing whose patterns allow nonsense that the service then looks up.
DEPTH = 8


def services():
    """Ids of all services that the server knows."""
    return [head["id"] for head in json.loads((FACTS / "index.json").read_text())]


def facts(service):
    return json.loads((FACTS / f"{service}.json").read_text())


def text_for(pattern, minimum=0, maximum=None):
    """A text that matches the Java pattern, with at least `minimum` characters where the pattern allows."""
    try:
        tree = parser.parse(_as_python(pattern))
    except re.error:
        return None
    for repeats in (*range(50), 64, 128, 256, 512, 1024):
        text = _text(tree, repeats)
        fits = text.isprintable() and len(text) >= minimum and (maximum is None or len(text) <= maximum)
        if fits and re.fullmatch(_as_python(pattern), text, re.DOTALL):
            return text
    return None


# Properties of characters that Python's patterns do not have, as what stands inside brackets.
PROPERTIES = {
    "Alnum": "a-zA-Z0-9",
    "Alpha": "a-zA-Z",
    "ASCII": " -~",
    "C": "\\x00-\\x1f",
    "Graph": "!-~",
    "IsLatin": "a-zA-Z",
    "L": "a-zA-Z",
    "M": "\u0300-\u036f",
    "N": "0-9",
    "Nd": "0-9",
    "P": "!-#%-*,-/:;?@_{}",
    "Pc": "_",
    "Pd": "\\-",
    "Print": " -~",
    "S": "$+<=>^`|~",
    "Z": " ",
    "Zs": " ",
}


def _as_python(pattern):
    # In Java a class inside brackets is no end of a range.
    pattern = re.sub(r"(\\[swd])-(?=[^\]])", r"\1\\-", pattern)
    # Java writes characters beyond the first plane as halves.
    pattern = pattern.replace("\\uD800\\uDC00-\\uDBFF\\uDFFF", "\U00010000-\U0010ffff")
    pattern = re.sub(r"\\u\{?([0-9A-Fa-f]{4,6})\}?", lambda found: re.escape(chr(int(found[1], 16))), pattern)
    return _with_properties(pattern.replace("\\P{C}", "\\p{Print}")).replace("\\z", "\\Z").replace("\\h", " ")


def _with_properties(pattern):
    out, at, inside = "", 0, False
    while at < len(pattern):
        found = re.match(r"\\p\{(\w+)\}", pattern[at:])
        if found and found[1] in PROPERTIES:
            characters = PROPERTIES[found[1]]
            out += characters if inside else f"[{characters}]"
            at += found.end()
            continue
        step = 2 if pattern[at] == "\\" else 1
        inside = (inside or pattern[at] == "[") and not (inside and pattern[at] == "]")
        out += pattern[at : at + step]
        at += step
    return out


def _text(tree, repeats):
    return "".join(_part(kind, value, repeats) for kind, value in tree)


def _part(kind, value, repeats):
    if kind is constants.LITERAL:
        return chr(value)
    if kind is constants.NOT_LITERAL:
        return "a" if value != ord("a") else "b"
    if kind is constants.ANY:
        return "a"
    if kind is constants.IN:
        return _one_of(value)
    if kind in (constants.MAX_REPEAT, constants.MIN_REPEAT, constants.POSSESSIVE_REPEAT):
        low, high, inner = value
        return _text(inner, repeats) * min(max(low, min(repeats, 1024)), high if high is not constants.MAXREPEAT else 2048)
    if kind is constants.SUBPATTERN:
        return _text(value[3], repeats)
    if kind is constants.ATOMIC_GROUP:
        return _text(value, repeats)
    if kind is constants.BRANCH:
        branches = sorted((_text(branch, repeats) for branch in value[1]), key=lambda text: text == "")
        return branches[0]
    return ""


def _one_of(items):
    candidates = "a1bA-_/:.=@ +,;<>!#$%&()*?[]{}|~^`'\"\\\t\n\u00e9\u0300"
    for candidate in candidates:
        if _is_in(ord(candidate), items):
            return candidate
    first = items[0]
    return chr(first[1] if first[0] is constants.LITERAL else first[1][0])


def _is_in(code, items):
    negated = items[0][0] is constants.NEGATE
    found = any(_matches(code, kind, value) for kind, value in items if kind is not constants.NEGATE)
    return found != negated


def _matches(code, kind, value):
    if kind is constants.LITERAL:
        return code == value
    if kind is constants.RANGE:
        return value[0] <= code <= value[1]
    character = chr(code)
    return {
        constants.CATEGORY_DIGIT: character.isdigit(),
        constants.CATEGORY_NOT_DIGIT: not character.isdigit(),
        constants.CATEGORY_WORD: character.isalnum() or character == "_",
        constants.CATEGORY_NOT_WORD: not (character.isalnum() or character == "_"),
        constants.CATEGORY_SPACE: character.isspace(),
        constants.CATEGORY_NOT_SPACE: not character.isspace(),
    }.get(value, False)


class Inputs:
    """Makes inputs of one service. `known` gives values for members by name, for what must exist; ARNs are of the account."""

    def __init__(self, service, account_id, known):
        self.shapes = facts(service)["shapes"]
        self.account_id = account_id
        self.known = known

    def of(self, operation_model):
        shape = operation_model.input_shape
        if shape is None:
            return {}
        return {name: self._member(name, shape.members[name], DEPTH) for name in self._required(shape)}

    def _required(self, shape):
        # Our overlays require members that the service requires and its model does not.
        required = {*shape.required_members, *self.shapes.get(shape.name, {}).get("required", ())}
        return [name for name in shape.members if name in required]

    def _structure(self, shape, depth):
        names = self._required(shape)
        if not names:
            # An empty structure does not travel in the query protocols.
            scalars = [name for name, member in shape.members.items() if member.type_name not in ("structure", "list", "map")]
            names = [*scalars, *shape.members][:1]
        return {name: self._member(name, shape.members[name], depth) for name in names}

    def _member(self, name, shape, depth):
        if name in self.known and shape.type_name == "string":
            return self.known[name]
        return self._value(shape, depth - 1)

    def _value(self, shape, depth):
        kind = shape.type_name
        meta = shape.metadata
        if kind == "structure":
            return self._structure(shape, depth) if depth > 0 else {}
        if kind == "list":
            return [self._value(shape.member, depth - 1) for _ in range(int(meta.get("min", 1)) or 1)] if depth > 0 else []
        if kind == "map":
            return {self._value(shape.key, depth - 1): self._value(shape.value, depth - 1)} if depth > 0 else {}
        if kind == "string":
            return self._string(shape, meta)
        if kind == "blob":
            return b"a" * max(1, int(meta.get("min", 1)))
        if kind == "boolean":
            return True
        if kind == "timestamp":
            return datetime.datetime(2026, 11, 1, tzinfo=datetime.timezone.utc)
        number = max(float(meta.get("min", 1)), 1.0)
        number = min(number, float(meta.get("max", number)))
        return int(number) if kind in ("integer", "long") else number

    def _string(self, shape, meta):
        if shape.enum:
            return shape.enum[0]
        minimum = max(int(meta.get("min", 1)), 1)
        if meta.get("pattern"):
            text = text_for(meta["pattern"], minimum, meta.get("max"))
            if text is not None:
                return text.replace("1" * 12, self.account_id)
        return "a" * minimum
