#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the sizes and errors in docs/codecs.md against the benchmark's figures.

usage: codec_accuracy.py CODEC_BENCH

Speeds must be present; their values are not checked.
"""

import json
import subprocess
import sys

KEYS = {"codec", "distribution", "bytes_per_value", "relative_l2", "cosine", "logit_error",
        "encode_gb_s", "decode_gb_s"}
DISTRIBUTIONS = {"gaussian", "outlier", "layer0", "tiny"}

problems = []
for element in ("f16", "bf16"):
    output = subprocess.run([sys.argv[1], "--json", "--type", element], stdout=subprocess.PIPE,
                            check=True).stdout
    rows = json.loads(output)["codecs"]
    codecs = {row["codec"] for row in rows}
    for row in rows:
        if set(row) != KEYS or row["encode_gb_s"] <= 0 or row["decode_gb_s"] <= 0:
            problems.append(f"{row}: not the figures that are promised")
    if {(row["codec"], row["distribution"]) for row in rows} != {
            (codec, kind) for codec in codecs for kind in DISTRIBUTIONS}:
        problems.append("a codec lacks a distribution")
    # More than half saved at under 1 % everywhere.
    good = {codec for codec in codecs if all(
        row["bytes_per_value"] < 1.0 and row["relative_l2"] < 0.01
        for row in rows if row["codec"] == codec)}
    if "rice" not in good:
        problems.append(f"{element}: rice does not save half at under 1 %")
    for row in rows:
        if row["codec"] == "lossless" and (row["relative_l2"] or row["bytes_per_value"] > 1.6):
            problems.append(f"{row}: lossless")
print("\n".join(problems) or f"codec_accuracy: {len(rows)} figures each of two types")
sys.exit(1 if problems else 0)
