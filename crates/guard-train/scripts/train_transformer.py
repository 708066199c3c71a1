"""Trains the transformer stage of crates/guard and writes transformer-own.bin and transformer-all.bin; the latter is weights/transformer.bin.

Needs what requirements.txt beside it pins. Start from the examples that `guard-train --dump` writes (text is cut into pieces there, so that training and
serving cannot differ). The base model is all-MiniLM-L6-v2 (Apache-2.0): its first three layers, the last of them for the first piece only; its
embeddings are reduced to ROWS rows of four bits, every other piece takes the nearest row. Embeddings and the first FIXED layers stay as they are: what
they make of the examples is computed once. The layers above and the heads are trained twice: without the attack and harm sets of others, to see what
they are worth on sets that they have not seen, and with all (`--only own`, `--only all`: one of the two). A processor with units for products in half
precision (AMX) uses them.

    python train_transformer.py EXAMPLES MODEL.safetensors --out FOLDER
"""

import argparse
import collections
import hashlib
import json
import math
import os
import pathlib
import struct
import time

import numpy
import torch
import torch.nn.functional as functional

SEED = 20_261_129
BASE = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
LAYERS, WIDTH, HEADS, ATTENTION, INNER = 3, 384, 7, 12, 1536
ROWS, GROUP, POSITIONS = 16_384, 48, 192
CLS, SEP, UNKNOWN = 101, 102, 100
LENGTHS = (16, 24, 32, 48, 80, 160)
TOKENS = 2_560
HIDDEN, BATCH = 0.08, 96
# Layers that stay as they are, and what share of the rate of a layer the one below it has.
FIXED, LOWER = 2, 0.5
# Processes that compute what the fixed layers make of the examples.
WORKERS = int(os.environ.get("WORKERS", "2"))
HALVES = "amx_bf16" in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8") if os.path.exists("/proc/cpuinfo") else False
FOREIGN = {
    "slabs", "neuralchemy", "yanismiraoui", "inthewild", "bastion", "bipia", "agentinjection", "giskard", "davidson", "surge", "advbench",
    "malicious instruct",
}
# Most examples of an origin in an epoch.
CAPS = collections.defaultdict(lambda: 1_100, {
    "benign sets": 1_800, "prose": 300, "own carrier": 1_500, "own line": 1_700, "own content": 6_000, "own harsh": 3_500, "own benign": 1_000,
    "own third": 3_600, "own task": 1_300, "own marked": 900, "own jailbreak": 1_000, "own plain": 300, "own code": 200, "own leak": 1_500,
    "own fourth attack": 5_000, "own fourth": 5_000, "slabs": 2_400, "davidson": 1_400, "bipia": 800, "neuralchemy": 1_600, "surge": 1_000,
})
# Pieces of an example that are read, at most.
PIECES_MAX = 90


def read_safetensors(path):
    raw = pathlib.Path(path).read_bytes()
    if hashlib.sha256(raw).hexdigest() != BASE:
        raise SystemExit(f"{path} is not the base model that the hash names")
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    header.pop("__metadata__", None)
    out = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        kind = {"F32": numpy.float32, "I64": numpy.int64}[entry["dtype"]]
        out[name] = numpy.frombuffer(raw[8 + length + begin : 8 + length + end], kind).reshape(entry["shape"])
    return out


def four_bits(table):
    """Signed numbers from -7 to 7 and a scale for each GROUP of a row."""
    groups = table.reshape(len(table), -1, GROUP)
    scale = numpy.abs(groups).max(-1) / 7.0
    numbers = numpy.clip(numpy.round(groups / scale[..., None]), -7, 7).astype(numpy.int8)
    scale = scale.astype(numpy.float16)
    return numbers.reshape(len(table), -1), scale, (numbers * scale.astype(numpy.float32)[..., None]).reshape(table.shape)


def reduced(embeddings, counts):
    """Which rows stay, by how often they were seen and then by their place in the vocabulary, and for each piece its row."""
    frequency = numpy.log1p(counts) * 3.0 - numpy.log1p(numpy.arange(len(embeddings)))
    frequency[[0, UNKNOWN, CLS, SEP, 103]] = 1e9
    kept = numpy.sort(numpy.argsort(-frequency, kind="stable")[:ROWS])
    unit = embeddings - embeddings.mean(0)
    unit /= numpy.maximum(numpy.linalg.norm(unit, axis=1, keepdims=True), 1e-9)
    rows = numpy.zeros(len(embeddings), numpy.int64)
    rows[kept] = numpy.arange(ROWS)
    others = numpy.setdiff1d(numpy.arange(len(embeddings)), kept)
    for start in range(0, len(others), 1024):
        part = others[start : start + 1024]
        rows[part] = (unit[part] @ unit[kept].T).argmax(1)
    return kept, rows


def base_layers(model):
    layers = []
    for number in range(LAYERS):
        get = lambda part, name=f"encoder.layer.{number}.": torch.tensor(model[name + part])
        layers.append({
            "q": get("attention.self.query.weight"), "qb": get("attention.self.query.bias"),
            "k": get("attention.self.key.weight"), "kb": get("attention.self.key.bias"),
            "v": get("attention.self.value.weight"), "vb": get("attention.self.value.bias"),
            "o": get("attention.output.dense.weight"), "ob": get("attention.output.dense.bias"),
            "n1": get("attention.output.LayerNorm.weight"), "n1b": get("attention.output.LayerNorm.bias"),
            "f": get("intermediate.dense.weight"), "fb": get("intermediate.dense.bias"),
            "g": get("output.dense.weight"), "gb": get("output.dense.bias"),
            "n2": get("output.LayerNorm.weight"), "n2b": get("output.LayerNorm.bias"),
        })
    return layers


def norm(x, scale, bias):
    return functional.layer_norm(x, (WIDTH,), scale, bias, 1e-12)


def layer(weights, x, mask):
    batch = len(x)
    split = lambda value: value.view(batch, -1, ATTENTION, WIDTH // ATTENTION).transpose(1, 2)
    q = split(functional.linear(x, weights["q"], weights["qb"]))
    k = split(functional.linear(x, weights["k"], weights["kb"]))
    v = split(functional.linear(x, weights["v"], weights["vb"]))
    scores = (q @ k.transpose(2, 3)).float() / math.sqrt(WIDTH // ATTENTION) + mask[:, None, None, :]
    mixed = (torch.softmax(scores, -1).to(v.dtype) @ v).transpose(1, 2).reshape(batch, -1, WIDTH)
    own = norm(x + functional.linear(mixed, weights["o"], weights["ob"]).float(), weights["n1"], weights["n1b"])
    inner = functional.gelu(functional.linear(own, weights["f"], weights["fb"]), approximate="tanh")
    return norm(own + functional.linear(inner, weights["g"], weights["gb"]).float(), weights["n2"], weights["n2b"])


def understood(frozen, rows):
    """What the layers that stay as they are make of rows."""
    mask = (rows < 0).float() * -1e9
    with torch.no_grad(), halves():
        x = norm(frozen["rows"][rows.clamp(min=0)] + frozen["positions"][: rows.shape[1]], frozen["norm"], frozen["norm_bias"])
        for weights in frozen["layers"]:
            x = layer(weights, x, mask)
    return x


def halves():
    """Products in half precision where the processor has units for it; sums, norms and what is kept stay as they are."""
    return torch.autocast("cpu", torch.bfloat16, enabled=HALVES)


def decided(parameters, x, there):
    """The layers that are trained, the last of them for the first piece only, and the heads. What a key or value would be there is never computed: the
    query goes through the matrix of the keys once, and what it mixes through the matrix of the values. That is a thirtieth of the work."""
    mask = (~there).float() * -1e9
    with halves():
        for weights in parameters["layers"][:-1]:
            x = layer(weights, x, mask)
    weights, batch, size = parameters["layers"][-1], len(x), WIDTH // ATTENTION
    first = x[:, 0]
    query = functional.linear(first, weights["q"], weights["qb"]).view(batch, ATTENTION, size).transpose(0, 1)
    asking = (query @ weights["k"].view(ATTENTION, size, WIDTH)).transpose(0, 1)
    scores = asking @ x.transpose(1, 2) / math.sqrt(size) + (~there).float()[:, None, :] * -1e9
    mixed = (torch.softmax(scores, -1) @ x).transpose(0, 1)
    mixed = (mixed @ weights["v"].view(ATTENTION, size, WIDTH).transpose(1, 2)).transpose(0, 1).reshape(batch, WIDTH) + weights["vb"]
    first = norm(first + functional.linear(mixed, weights["o"], weights["ob"]), weights["n1"], weights["n1b"])
    inner = functional.gelu(functional.linear(first, weights["f"], weights["fb"]), approximate="tanh")
    first = norm(first + functional.linear(inner, weights["g"], weights["gb"]), weights["n2"], weights["n2b"])
    mean = (x * there[..., None]).sum(1) / there.sum(1, keepdim=True)
    return torch.cat([first, mean], -1) @ parameters["heads"] + parameters["bias"]


def losses(logits, labels, known, weights):
    each = functional.binary_cross_entropy_with_logits(logits, labels * 0.96 + 0.02, reduction="none")
    share = known * weights[:, None]
    return (each * share).sum() / share.sum().clamp(min=1.0)


def batches(lengths, random):
    """Places of examples of about the same length, BATCH together."""
    out = []
    order = random.permutation(len(lengths))
    buckets = numpy.searchsorted(LENGTHS, lengths[order])
    for number in range(len(LENGTHS)):
        own = order[buckets == number]
        size = BATCH
        out += [own[start : start + size] for start in range(0, len(own), size)]
    random.shuffle(out)
    return out


def auroc(positives, negatives):
    both = numpy.concatenate([positives, negatives])
    _, inverse, counts = numpy.unique(both, return_inverse=True, return_counts=True)
    ranks = (numpy.cumsum(counts) - (counts - 1) / 2)[inverse]
    return (ranks[: len(positives)].sum() - len(positives) * (len(positives) + 1) / 2) / max(len(positives) * len(negatives), 1)


def average_precision(positives, negatives):
    labels = numpy.concatenate([numpy.ones(len(positives)), numpy.zeros(len(negatives))])
    labels = labels[numpy.argsort(-numpy.concatenate([positives, negatives]), kind="stable")]
    return (numpy.cumsum(labels) / (numpy.arange(len(labels)) + 1))[labels == 1].mean()


def beside(calls):
    """Runs calls in processes of their own, each with one thread: two threads of one process wait for each other on a busy machine."""
    children = []
    for call in calls:
        child = os.fork()
        if child == 0:
            try:
                call()
                os._exit(0)
            except BaseException as error:
                print(error, flush=True)
                os._exit(1)
        children.append(child)
    if any(os.waitpid(child, 0)[1] for child in children):
        raise SystemExit("a process failed")


class Kept:
    """What the layers that stay as they are make of texts, computed once: half floats."""

    def __init__(self, frozen, rows_of, texts, file=None):
        self.lengths = numpy.array([len(pieces) + 2 for pieces in texts])
        self.starts = numpy.concatenate([[0], numpy.cumsum(self.lengths)])
        print("pieces", self.starts[-1], flush=True)
        if file and pathlib.Path(file).exists():
            self.values = torch.from_numpy(numpy.fromfile(file, numpy.float16)[: int(self.starts[-1]) * WIDTH].reshape(-1, WIDTH))
            return
        self.values = torch.empty((int(self.starts[-1]), WIDTH), dtype=torch.float16).share_memory_()
        beside([lambda part=part: self.compute(frozen, rows_of, texts, part) for part in range(WORKERS)])
        if file:
            self.values.numpy().tofile(file)

    def compute(self, frozen, rows_of, texts, part):
        """Every batch whose number belongs to this part."""
        order = numpy.argsort(self.lengths, kind="stable")
        place, number, began = 0, 0, time.time()
        while place < len(order):
            length = int(self.lengths[order[min(place + 15, len(order) - 1)]])
            some = order[place : place + max(TOKENS // length, 1)]
            place, number = place + len(some), number + 1
            if number % WORKERS != part:
                continue
            length = int(self.lengths[some].max())
            x = understood(frozen, torch.tensor(numpy.stack([padded(texts[at], rows_of, length) for at in some])))
            for at, own in zip(some, x):
                self.values[self.starts[at] : self.starts[at + 1]] = own[: self.lengths[at]].half()
            if number // WORKERS % 100 == 0:
                print(f"kept {place} of {len(order)} {time.time() - began:.0f} s", flush=True)

    def batch(self, places):
        length = int(self.lengths[places].max())
        x = torch.zeros((len(places), length, WIDTH))
        there = torch.zeros((len(places), length), dtype=torch.bool)
        for number, at in enumerate(places):
            x[number, : self.lengths[at]] = self.values[self.starts[at] : self.starts[at + 1]]
            there[number, : self.lengths[at]] = True
        return x, there

    def logits(self, parameters, places=None):
        places = numpy.arange(len(self.lengths)) if places is None else places
        out = numpy.zeros((len(places), HEADS), numpy.float32)
        order = numpy.argsort(self.lengths[places], kind="stable")
        for start in range(0, len(order), 32):
            some = order[start : start + 32]
            with torch.no_grad():
                out[some] = decided(parameters, *self.batch(places[some])).numpy()
        return out


class Scorer:
    def __init__(self, frozen, rows_of, texts, file=None):
        """Texts are read in windows; the highest log odds count."""
        parts, owner = [], []
        for number, pieces in enumerate(texts):
            size = LENGTHS[-1] - 2
            count = max(1, -(-len(pieces) // size))
            size = -(-len(pieces) // count)
            for start in range(0, max(len(pieces), 1), max(size, 1)):
                parts.append(pieces[start : start + size])
                owner.append(number)
        self.owner = numpy.array(owner)
        self.count = len(texts)
        self.kept = Kept(frozen, rows_of, parts, file)

    def scores(self, parameters):
        out = numpy.full((self.count, HEADS), -99.0, numpy.float32)
        numpy.maximum.at(out, self.owner, self.kept.logits(parameters))
        return out


def padded(pieces, rows_of, length):
    out = numpy.full(length, -1, numpy.int64)
    own = rows_of[numpy.array([CLS, *pieces[: length - 2], SEP])]
    out[: len(own)] = own
    return out


def evaluate(scorer, parameters, measured):
    by, places = collections.defaultdict(list), collections.defaultdict(list)
    for place, row in enumerate(measured):
        by[row["origin"]].append(row)
        places[row["origin"]].append(place)
    every = scorer.scores(parameters)
    lines = []
    scores = {origin: every[own] for origin, own in places.items()}
    direct_bad, direct_good, pooled = {}, {}, []
    for origin, rows in by.items():
        if not origin.startswith("eval:"):
            continue
        for head in (0, 1):
            good = scores[origin][[place for place, row in enumerate(rows) if row["labels"][head] == 0.0], head]
            bad = scores[origin][[place for place, row in enumerate(rows) if row["labels"][head] == 1.0], head]
            if head == 0 and len(good):
                direct_good[origin] = good
            if head == 0 and len(bad):
                direct_bad[origin] = bad
            if head == 1 and len(good):
                cut = numpy.quantile(good, 0.99)
                lines.append(f"data {origin[5:]:35} AUROC {auroc(bad, good):.3f} recall at 1 % {(bad > cut).mean():.3f}")
    pooled = numpy.concatenate(list(direct_good.values()))
    cut = numpy.quantile(pooled, 0.99)
    for origin, bad in direct_bad.items():
        lines.append(f"user {origin[5:]:35} AUROC {auroc(bad, pooled):.3f} recall at 1 % {(bad > cut).mean():.3f}")
    bad = numpy.concatenate(list(direct_bad.values()))
    lines.append(f"user all {'':31} AUROC {auroc(bad, pooled):.3f} recall at 1 % {(bad > cut).mean():.3f}")
    for origin, good in direct_good.items():
        lines.append(f"passed {origin[5:]:33} at 1 % {(good <= cut).mean():.3f} at 0 {(good <= 0).mean():.3f} at 1.5 {(good <= 1.5).mean():.3f}")
    plain = numpy.concatenate([scores[origin][:, 2:].max(1) for origin in by if origin in ("eval:selfinstruct", "eval:hand trigger", "eval:clinc", "eval:p3", "harm:safe")])
    names = ["HATE", "INSULTS", "SEXUAL", "VIOLENCE", "MISCONDUCT"]
    hand = [scores[f"harm:{name}"][:, 2:].max(1) for name in names]
    hand = numpy.concatenate(hand)
    lines.append(f"harm by hand AUROC {auroc(hand, plain):.3f}, against safe {auroc(hand, scores['harm:safe'][:, 2:].max(1)):.3f}")
    for origin, rows in by.items():
        if origin.startswith("harm:cm_"):
            most = scores[origin][:, 2:].max(1)
            labels = numpy.array([row["weight"] for row in rows])
            good = most[labels == 0] if (labels == 0).any() else plain
            lines.append(f"{origin:25} AUROC {auroc(most[labels == 1], good):.3f} AP {average_precision(most[labels == 1], good):.3f}")
    print("\n".join(lines), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("examples")
    parser.add_argument("model")
    parser.add_argument("--out")
    parser.add_argument("--kept", help="a folder in which what the fixed layers make of the same examples is kept between runs")
    parser.add_argument("--only", action="append", choices=["own", "all"], help="one of the two trainings, not both beside each other")
    parser.add_argument("--fixed", type=int, default=FIXED, help="layers that stay as they are")
    parser.add_argument("--scale", type=float, default=1.0, help="how many times CAPS")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rate", type=float, default=4e-4)
    parser.add_argument("--seed", type=int, default=SEED, help="of the choice of examples and their order: how much a measurement owes to it")
    arguments = parser.parse_args()
    random = numpy.random.default_rng(arguments.seed)
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(1)
    rows = [json.loads(line) for line in open(arguments.examples, encoding="utf-8")]
    measured = [row for row in rows if row["origin"].startswith(("eval:", "harm:"))]
    counts = numpy.zeros(30_522, numpy.int64)
    for row in rows:
        if not row["origin"].startswith(("eval:", "harm:")):
            numpy.add.at(counts, row["pieces"], 1)
    examples = [row for row in rows if not row["origin"].startswith(("eval:", "harm:"))]
    chosen, have = [], collections.Counter()
    for place in random.permutation(len(examples)):
        row = examples[place]
        if have[row["origin"]] < CAPS[row["origin"]] * arguments.scale:
            have[row["origin"]] += 1
            chosen.append(row)
    examples = chosen
    print(len(examples), "examples", dict(have), flush=True)

    model = read_safetensors(arguments.model)
    embeddings = model["embeddings.word_embeddings.weight"]
    kept, rows_of = reduced(embeddings, counts)
    numbers, scales, quantised = four_bits(embeddings[kept])
    positions = model["embeddings.position_embeddings.weight"][:POSITIONS] + model["embeddings.token_type_embeddings.weight"][0]
    layers = base_layers(model)
    frozen = {
        "rows": torch.tensor(quantised), "positions": torch.tensor(positions), "layers": layers[: arguments.fixed],
        "norm": torch.tensor(model["embeddings.LayerNorm.weight"]), "norm_bias": torch.tensor(model["embeddings.LayerNorm.bias"]),
    }
    for row in examples:
        row["pieces"] = row["pieces"][:PIECES_MAX]
    file = lambda name: arguments.kept and pathlib.Path(arguments.kept) / name
    kept = Kept(frozen, rows_of, [row["pieces"] for row in examples], file("examples.f16"))
    # Long sets are measured in part.
    parts = {
        "eval:bipia table": 7, "eval:inthewild": 4, "eval:p3": 5, "eval:awesome": 5, "eval:yanismiraoui": 4, "eval:slabs": 4, "eval:neuralchemy": 2,
        "eval:hand injections in own carriers": 3, "eval:fresh injections in own carriers": 3, "eval:clinc": 2, "eval:selfinstruct": 2,
        "harm:cm_davidson": 2, "harm:cm_surge_toxicity": 2,
    }
    measured = [row for place, row in enumerate(measured) if place % parts.get(row["origin"], 1) == 0]
    scorer = Scorer(frozen, rows_of, [row["pieces"] for row in measured], file("measured.f16"))

    def run(name, left_out):
        chosen = numpy.array([place for place, row in enumerate(examples) if row["origin"] not in left_out])
        parameters = trained(arguments, kept, chosen, examples, layers[arguments.fixed :], name)
        print(f"## {name}: {len(chosen)} examples", flush=True)
        if arguments.out:
            write(pathlib.Path(arguments.out) / f"transformer-{name}.bin", parameters, frozen, numbers, scales, rows_of)
        evaluate(scorer, parameters, measured)

    runs = {"own": lambda: run("own", FOREIGN), "all": lambda: run("all", set())}
    beside([runs[name] for name in arguments.only or runs])


def trained(arguments, kept, chosen, examples, layers, name):
    random = numpy.random.default_rng(arguments.seed)
    parameters = {
        "layers": [{name: value.clone() for name, value in layer.items()} for layer in layers], "heads": torch.zeros(2 * WIDTH, HEADS),
        "bias": torch.full((HEADS,), -1.0),
    }
    examples = [examples[place] for place in chosen]
    lengths = kept.lengths[chosen]
    labels = numpy.array([[label or 0.0 for label in row["labels"]] for row in examples], numpy.float32)
    known = numpy.array([[label is not None for label in row["labels"]] for row in examples], numpy.float32)
    weights = numpy.array([row["weight"] for row in examples], numpy.float32)
    plan = [batch for _ in range(arguments.epochs) for batch in batches(lengths, random)]
    steps = max(len(plan), 1)
    of_layers = [value for layer in parameters["layers"] for value in layer.values()]
    of_heads = [parameters["heads"], parameters["bias"]]
    for value in of_layers + of_heads:
        value.requires_grad_(True)
    # What lies deeper changes less.
    groups = [
        {"params": list(layer.values()), "lr": arguments.rate * LOWER ** (len(layers) - 1 - place)} for place, layer in enumerate(parameters["layers"])
    ]
    optimiser = torch.optim.AdamW([*groups, {"params": of_heads, "lr": arguments.rate * 8}], weight_decay=0.02)
    warm = steps // 15 + 1
    shape = lambda at: at / warm if at < warm else 0.02 + 0.49 * (1 + math.cos(math.pi * (at - warm) / max(steps - warm, 1)))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, shape)
    began, mean = time.time(), None
    for number, places in enumerate(plan):
        x, there = kept.batch(chosen[places])
        # Some pieces are hidden, so that no single word decides.
        hidden = torch.rand(there.shape) < HIDDEN
        hidden[:, 0] = False
        logits = decided(parameters, x, there & ~hidden)
        loss = losses(logits, *(torch.tensor(values[places]) for values in (labels, known, weights)))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(of_layers + of_heads, 1.0)
        optimiser.step()
        schedule.step()
        loss = float(loss.detach())
        mean = loss if mean is None else 0.97 * mean + 0.03 * loss
        if number % 100 == 0:
            print(f"{name} {number}/{steps} loss {mean:.4f} {time.time() - began:.0f} s", flush=True)
    for value in of_layers + of_heads:
        value.requires_grad_(False)
    return parameters


def write(path, parameters, frozen, numbers, scales, rows_of):
    """The file form: see crates/guard/src/model/transformer.rs."""
    out = bytearray(b"BWTRF001")
    out += rows_of.astype("<u2").tobytes()
    out += scales.astype("<f2").tobytes()
    shifted = (numbers + 8).astype(numpy.uint8)
    out += (shifted[:, 0::2] | (shifted[:, 1::2] << 4)).tobytes()

    def plain(values):
        nonlocal out
        out += numpy.asarray(values, "<f4").tobytes()

    def matrix(values):
        """By output: a scale each, then signed bytes by output and input."""
        nonlocal out
        values = numpy.asarray(values)
        scale = numpy.maximum(numpy.abs(values).max(1, keepdims=True), 1e-9) / 127.0
        plain(scale)
        out += numpy.clip(numpy.round(values / scale), -127, 127).astype(numpy.int8).tobytes()

    plain(frozen["positions"])
    plain(frozen["norm"])
    plain(frozen["norm_bias"])
    for weights in [*frozen["layers"], *parameters["layers"]]:
        for name in ("q", "k", "v", "o", "f", "g"):
            matrix(weights[name])
            plain(weights[name + "b"])
        for name in ("n1", "n2"):
            plain(weights[name])
            plain(weights[name + "b"])
    plain(parameters["heads"])
    plain(parameters["bias"])
    pathlib.Path(path).write_bytes(bytes(out))


if __name__ == "__main__":
    main()
