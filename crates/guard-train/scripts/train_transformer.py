"""Trains the transformer stage of crates/guard and writes weights/transformer.bin.

Needs what requirements.txt beside it pins. Start from the examples that `guard-train --dump` writes (text is cut into pieces there, so that training and
serving cannot differ). The base model is all-MiniLM-L6-v2 (Apache-2.0): its first three layers, the last of them for the first piece only; its
embeddings are reduced to ROWS rows of four bits, every other piece takes the nearest row. Embeddings and the first layer stay as they are.

    python train_transformer.py EXAMPLES MODEL.safetensors --out transformer.bin
    python train_transformer.py EXAMPLES MODEL.safetensors --own-only        # measures what it is worth on sets that it has not seen
"""

import argparse
import collections
import functools
import json
import os
import pathlib
import struct
import time

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=true intra_op_parallelism_threads=2")

import jax
import jax.numpy as jnp
import numpy
import optax

SEED = 20_261_129
LAYERS, WIDTH, HEADS, ATTENTION, INNER = 3, 384, 7, 12, 1536
ROWS, GROUP, POSITIONS = 16_384, 48, 160
CLS, SEP, UNKNOWN = 101, 102, 100
LENGTHS = (24, 40, 80, 160)
TOKENS = 2_560
HIDDEN = 0.06
FOREIGN_TO_OWN = {
    "slabs", "neuralchemy", "yanismiraoui", "inthewild", "bastion", "bipia", "agentinjection", "giskard", "davidson", "surge", "advbench",
    "malicious instruct",
}
# Most examples of an origin in an epoch.
CAPS = collections.defaultdict(lambda: 6_000, {
    "benign sets": 7_000, "prose": 2_500, "own carrier": 5_000, "davidson": 5_000, "own content": 7_000, "own benign": 14_000, "slabs": 8_000,
    "neuralchemy": 4_000,
})


def read_safetensors(path):
    raw = pathlib.Path(path).read_bytes()
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


def norm(x, scale, bias):
    mean = x.mean(-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(((x - mean) ** 2).mean(-1, keepdims=True) + 1e-12) * scale + bias


def base_parameters(model):
    layers = []
    for number in range(LAYERS):
        name = f"encoder.layer.{number}."
        get = lambda part: model[name + part]
        layers.append({
            "q": get("attention.self.query.weight").T, "qb": get("attention.self.query.bias"),
            "k": get("attention.self.key.weight").T, "kb": get("attention.self.key.bias"),
            "v": get("attention.self.value.weight").T, "vb": get("attention.self.value.bias"),
            "o": get("attention.output.dense.weight").T, "ob": get("attention.output.dense.bias"),
            "n1": get("attention.output.LayerNorm.weight"), "n1b": get("attention.output.LayerNorm.bias"),
            "f": get("intermediate.dense.weight").T, "fb": get("intermediate.dense.bias"),
            "g": get("output.dense.weight").T, "gb": get("output.dense.bias"),
            "n2": get("output.LayerNorm.weight"), "n2b": get("output.LayerNorm.bias"),
        })
    return jax.tree.map(jnp.asarray, layers)


def layer(weights, x, mask, first_only=False):
    batch, length, _ = x.shape
    split = lambda value: value.reshape(batch, -1, ATTENTION, WIDTH // ATTENTION).transpose(0, 2, 1, 3)
    own = x[:, :1] if first_only else x
    q = split(own @ weights["q"] + weights["qb"])
    k = split(x @ weights["k"] + weights["kb"])
    v = split(x @ weights["v"] + weights["vb"])
    scores = q @ k.transpose(0, 1, 3, 2) / (WIDTH // ATTENTION) ** 0.5
    shares = jax.nn.softmax(jnp.where(mask[:, None, None, :], scores, -1e9), -1)
    mixed = (shares @ v).transpose(0, 2, 1, 3).reshape(batch, -1, WIDTH)
    own = norm(own + mixed @ weights["o"] + weights["ob"], weights["n1"], weights["n1b"])
    inner = jax.nn.gelu(own @ weights["f"] + weights["fb"], approximate=True)
    return norm(own + inner @ weights["g"] + weights["gb"], weights["n2"], weights["n2b"])


def forward(parameters, frozen, rows):
    mask = rows >= 0
    x = frozen["rows"][jnp.maximum(rows, 0)] + frozen["positions"][: rows.shape[1]]
    x = norm(x, frozen["norm"], frozen["norm_bias"])
    x = jax.lax.stop_gradient(layer(frozen["layer"], x, mask))
    for weights in parameters["layers"][:-1]:
        x = layer(weights, x, mask)
    mean = (x * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    first = layer(parameters["layers"][-1], x, mask, first_only=True)
    return jnp.concatenate([first[:, 0], mean], -1) @ parameters["heads"] + parameters["bias"]


def losses(parameters, frozen, rows, labels, known, weights):
    logits = forward(parameters, frozen, rows)
    smooth = labels * 0.96 + 0.02
    each = jnp.maximum(logits, 0) - logits * smooth + jnp.log1p(jnp.exp(-jnp.abs(logits)))
    return (each * known * weights[:, None]).sum() / jnp.maximum((known * weights[:, None]).sum(), 1.0)


def batches(lengths, random):
    """Places of examples of about the same length, TOKENS pieces together."""
    out = []
    order = random.permutation(len(lengths))
    buckets = numpy.searchsorted(LENGTHS, lengths[order])
    for number, length in enumerate(LENGTHS):
        own = order[buckets == number]
        size = TOKENS // length
        out += [(length, own[start : start + size]) for start in range(0, len(own) - len(own) % size, size)]
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


class Scorer:
    def __init__(self, frozen, rows_of):
        self.frozen, self.rows_of = frozen, rows_of
        self.forward = jax.jit(lambda parameters, frozen, rows: forward(parameters, frozen, rows))

    def scores(self, parameters, texts):
        """The highest log odds of windows of a text, by head."""
        parts, owner = [], []
        for number, pieces in enumerate(texts):
            size = POSITIONS - 2
            count = max(1, -(-len(pieces) // size))
            size = -(-len(pieces) // count)
            for start in range(0, max(len(pieces), 1), max(size, 1)):
                parts.append(pieces[start : start + size])
                owner.append(number)
        out = numpy.full((len(texts), HEADS), -99.0, numpy.float32)
        lengths = numpy.array([len(part) + 2 for part in parts])
        buckets = numpy.searchsorted(LENGTHS, lengths)
        for number, length in enumerate(LENGTHS):
            own = numpy.flatnonzero(buckets == number)
            size = TOKENS // length
            for start in range(0, len(own), size):
                some = own[start : start + size]
                rows = numpy.full((size, length), -1, numpy.int32)
                rows[:, 0] = 0
                for place, part in enumerate(some):
                    rows[place] = padded(parts[part], self.rows_of, length)
                logits = numpy.asarray(self.forward(parameters, self.frozen, rows))
                for place, part in enumerate(some):
                    out[owner[part]] = numpy.maximum(out[owner[part]], logits[place])
        return out


def padded(pieces, rows_of, length):
    out = numpy.full(length, -1, numpy.int32)
    own = rows_of[numpy.array([CLS, *pieces[: length - 2], SEP])]
    out[: len(own)] = own
    return out


def evaluate(scorer, parameters, measured):
    by = collections.defaultdict(list)
    for row in measured:
        by[row["origin"]].append(row)
    lines = []
    scores = {origin: scorer.scores(parameters, [row["pieces"] for row in rows]) for origin, rows in by.items()}
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
    parser.add_argument("--own-only", action="store_true")
    parser.add_argument("--leave-out", action="append", default=[])
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--rate", type=float, default=2e-4)
    parser.add_argument("--most", type=int, default=10**9)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--save")
    parser.add_argument("--load")
    arguments = parser.parse_args()
    random = numpy.random.default_rng(SEED)
    rows = [json.loads(line) for line in open(arguments.examples, encoding="utf-8")]
    measured = [row for row in rows if row["origin"].startswith(("eval:", "harm:"))]
    counts = numpy.zeros(30_522, numpy.int64)
    for row in rows:
        if not row["origin"].startswith(("eval:", "harm:")):
            numpy.add.at(counts, row["pieces"], 1)
    left_out = set(arguments.leave_out) | (FOREIGN_TO_OWN if arguments.own_only else set())
    examples = [row for row in rows if not row["origin"].startswith(("eval:", "harm:")) and row["origin"] not in left_out]
    chosen, have = [], collections.Counter()
    for place in random.permutation(len(examples)):
        row = examples[place]
        if have[row["origin"]] < CAPS[row["origin"]]:
            have[row["origin"]] += 1
            chosen.append(row)
    examples = chosen[: arguments.most]
    print(len(examples), "examples", dict(have), flush=True)

    model = read_safetensors(arguments.model)
    embeddings = model["embeddings.word_embeddings.weight"]
    kept, rows_of = reduced(embeddings, counts)
    numbers, scales, quantised = four_bits(embeddings[kept])
    positions = model["embeddings.position_embeddings.weight"][:POSITIONS] + model["embeddings.token_type_embeddings.weight"][0]
    layers = base_parameters(model)
    frozen = {
        "rows": jnp.asarray(quantised), "positions": jnp.asarray(positions), "norm": jnp.asarray(model["embeddings.LayerNorm.weight"]),
        "norm_bias": jnp.asarray(model["embeddings.LayerNorm.bias"]), "layer": layers[0],
    }
    parameters = {"layers": layers[1:], "heads": jnp.zeros((2 * WIDTH, HEADS)), "bias": jnp.zeros(HEADS) - 1.0}
    if arguments.load:
        stored = numpy.load(arguments.load)
        leaves, tree = jax.tree.flatten(parameters)
        parameters = jax.tree.unflatten(tree, [jnp.asarray(stored[f"p{place}"]) for place in range(len(leaves))])
    scorer = Scorer(frozen, rows_of)

    lengths = numpy.array([min(len(row["pieces"]) + 2, POSITIONS) for row in examples])
    labels = numpy.array([[label or 0.0 for label in row["labels"]] for row in examples], numpy.float32)
    known = numpy.array([[label is not None for label in row["labels"]] for row in examples], numpy.float32)
    weights = numpy.array([row["weight"] for row in examples], numpy.float32)
    print("pieces", lengths.sum(), flush=True)
    plan = []
    epoch = 0
    while len(plan) == 0 or epoch < arguments.epochs:
        own = batches(lengths, random)
        plan += own[: round(len(own) * min(1.0, arguments.epochs - epoch))]
        epoch += 1
        if arguments.epochs <= 0:
            plan = []
            break
    steps = max(len(plan), 1)
    schedule = optax.warmup_cosine_decay_schedule(0.0, arguments.rate, steps // 15 + 1, steps, arguments.rate * 0.02)
    kinds = {"layers": "layers", "heads": "heads", "bias": "heads"}
    optimiser = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.multi_transform(
            {"layers": optax.adamw(schedule, weight_decay=0.02), "heads": optax.adamw(lambda step: schedule(step) * 8, weight_decay=0.01)},
            {key: jax.tree.map(lambda _, kind=kind: kind, parameters[key]) for key, kind in kinds.items()},
        ),
    )
    state = optimiser.init(parameters)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(parameters, state, rows, labels, known, weights):
        loss, gradients = jax.value_and_grad(losses)(parameters, frozen, rows, labels, known, weights)
        updates, state = optimiser.update(gradients, state, parameters)
        return optax.apply_updates(parameters, updates), state, loss

    began, mean = time.time(), None
    for number, (length, places) in enumerate(plan):
        some = numpy.stack([padded(examples[place]["pieces"], rows_of, length) for place in places])
        # Some pieces are hidden, so that no single word decides.
        hidden = (random.random(some.shape) < HIDDEN) & (some >= 0)
        hidden[:, 0] = False
        some = numpy.where(hidden, rows_of[UNKNOWN], some).astype(numpy.int32)
        parameters, state, loss = step(parameters, state, some, labels[places], known[places], weights[places])
        if number % 25 == 0:
            loss = float(loss)
            mean = loss if mean is None else 0.9 * mean + 0.1 * loss
            print(f"{number}/{steps} loss {mean:.4f} {time.time() - began:.0f} s", flush=True)
        if time.time() - began > arguments.minutes * 60:
            break
    if arguments.save:
        numpy.savez(arguments.save, **{f"p{place}": numpy.asarray(leaf) for place, leaf in enumerate(jax.tree.leaves(parameters))})
    if arguments.out:
        write(arguments.out, parameters, frozen, numbers, scales, rows_of)
    evaluate(scorer, parameters, measured)


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
        scale = numpy.maximum(numpy.abs(values).max(0), 1e-9) / 127.0
        plain(scale)
        out += numpy.clip(numpy.round(values / scale), -127, 127).astype(numpy.int8).T.tobytes()

    plain(frozen["positions"])
    plain(frozen["norm"])
    plain(frozen["norm_bias"])
    for weights in [frozen["layer"], *parameters["layers"]]:
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
