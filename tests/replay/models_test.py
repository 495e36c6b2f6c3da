# SPDX-License-Identifier: MIT
"""Models of other allocators against figures of independent simulations of the same traces.

For each trace and policy: R (peak reserved / peak requested) and minCap (smallest capacity /
peak requested), within 0.01. Where two independent figures exist, which differ, one must match. The
figures of `rmm-pool` come from RMM's own code with the same requests, on one stream and on three
(tests/clients/rmm_pool.py). usage: models_test.py CUPOOL TRACES
"""

import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "clients"))

import rmm_pool  # noqa: E402

NEAR = 0.01
# (R, R of a second simulation or None, minCap)
FIGURES = {
    "resnet50": {"native": (1.117, None, 1.117), "pytorch": (1.114, None, 1.055),
                 "expandable": (1.021, None, 1.016), "bfc": (1.026, None, 1.025),
                 "rmm-pool": (1.8986, None, 1.0064)},
    "pangu_2.6B": {"native": (1.052, None, 1.052), "pytorch": (1.466, None, 1.056),
                   "expandable": (1.199, 1.192, 1.028), "bfc": (1.245, None, 1.245),
                   "rmm-pool": (1.2338, None, 1.2309)},
    "S_1": {"native": (1.257, None, 1.257), "pytorch": (1.401, None, 1.055),
            "expandable": (1.119, 1.106, 1.036), "bfc": (1.057, None, 1.052),
            "rmm-pool": (1.9283, None, 1.2053)},
}
# On three streams, block by block in turn.
THREE_STREAMS = {"resnet50": (1.8986, None, 1.0307), "pangu_2.6B": (2.4676, None, 1.3850),
                 "S_1": (1.9283, None, 1.3844)}


def near(value, *figures):
    return any(figure is not None and abs(value - figure) <= NEAR for figure in figures)


def replayed(cupool, path, name, policies):
    """The number of policies that miss their figures."""
    wrong = 0
    words = [word for policy in policies for word in ("-p", policy)]
    done = subprocess.run([cupool, "replay", "-q", "--find-capacity", "--format", "json", *words,
                           str(path)], stdout=subprocess.PIPE, check=True)
    found = json.loads(done.stdout)["traces"][0]
    for row in found["policies"]:
        overhead, second, capacity = policies[row["policy"]]
        least = row["smallest_capacity_bytes"] / found["peak_requested_bytes"]
        good = near(row["overhead"], overhead, second) and near(least, capacity)
        wrong += not good
        print(f"{name:12} {row['policy']:11} R {row['overhead']:.3f} ({overhead}), "
              f"minCap {least:.3f} ({capacity}){'' if good else '  WRONG'}")
    return wrong


def main():
    cupool, traces = sys.argv[1], pathlib.Path(sys.argv[2]) / "idealloc"
    if not traces.is_dir():
        print(f"skipped: no traces at {traces}")
        sys.exit(77)
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="cupool-models-") as scratch:
        for name, policies in FIGURES.items():
            path = traces / f"{name}.csv"
            wrong += replayed(cupool, path, name, policies)
            log = pathlib.Path(scratch) / f"{name}.csv"
            rmm_pool.log_write(rmm_pool.requests(rmm_pool.lifetimes(path), 3), log)
            wrong += replayed(cupool, log, f"{name}, 3 streams", {"rmm-pool": THREE_STREAMS[name]})
    sys.exit(1 if wrong else 0)


main()
