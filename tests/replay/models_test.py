# SPDX-License-Identifier: MIT
"""Models of other allocators against figures of independent simulations of the same traces.

For each trace and policy: R (peak reserved / peak requested) and minCap (smallest capacity /
peak requested), within 0.01. Where two independent figures are known, which differ among
themselves, one of them has to be met. usage: models_test.py CUPOOL TRACES
"""

import json
import pathlib
import subprocess
import sys

NEAR = 0.01
# (R, R of a second simulation or None, minCap)
FIGURES = {
    "resnet50": {"native": (1.117, None, 1.117), "pytorch": (1.114, None, 1.055),
                 "expandable": (1.021, None, 1.016), "bfc": (1.026, None, 1.025)},
    "pangu_2.6B": {"native": (1.052, None, 1.052), "pytorch": (1.466, None, 1.056),
                   "expandable": (1.199, 1.192, 1.028), "bfc": (1.245, None, 1.245)},
    "S_1": {"native": (1.257, None, 1.257), "pytorch": (1.401, None, 1.055),
            "expandable": (1.119, 1.106, 1.036), "bfc": (1.057, None, 1.052)},
}


def near(value, *figures):
    return any(figure is not None and abs(value - figure) <= NEAR for figure in figures)


def main():
    cupool, traces = sys.argv[1], pathlib.Path(sys.argv[2]) / "idealloc"
    if not traces.is_dir():
        print(f"skipped: no traces at {traces}")
        sys.exit(77)
    wrong = 0
    for name, policies in FIGURES.items():
        words = [word for policy in policies for word in ("-p", policy)]
        done = subprocess.run([cupool, "replay", "-q", "--find-capacity", "--format", "json", *words,
                               str(traces / f"{name}.csv")], stdout=subprocess.PIPE, check=True)
        found = json.loads(done.stdout)["traces"][0]
        for row in found["policies"]:
            overhead, second, capacity = policies[row["policy"]]
            least = row["smallest_capacity_bytes"] / found["peak_requested_bytes"]
            good = near(row["overhead"], overhead, second) and near(least, capacity)
            wrong += not good
            print(f"{name:12} {row['policy']:11} R {row['overhead']:.3f} (published {overhead}), "
                  f"minCap {least:.3f} ({capacity}){'' if good else '  WRONG'}")
    sys.exit(1 if wrong else 0)


main()
