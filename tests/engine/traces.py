# SPDX-License-Identifier: MIT
"""Hits and evictions of the KV pool on recorded request traces equal those of the rule: requests in sequence,
a match stops at the first miss, blocks of a request are allocated all or nothing, and released tail first
into one LRU queue. The traces are not part of the source; without them a synthetic one is replayed against
the same rule in Python."""

import collections
import json
import pathlib
import random
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
TRACES = HERE.parents[2] / "shared" / "traces" / "kv"
sys.path.insert(0, str(HERE.parent / "endtoend"))

import preload  # noqa: E402

# trace, only full blocks: blocks, then for each capacity the hits, and the evictions where known
EXPECTED = {
    ("mooncake_conversation_head", False): (197084, {1000: (8704, 187380), 10000: (40584, 146500),
                                                     30000: (62553, 104531)}),
    ("mooncake_synthetic", False): (121877, {1000: (10252, 110625), 10000: (51669, 60208),
                                             30000: (76077, 15800)}),
    ("mooncake_conversation_head", True): (189120, {1000: (8798, None), 10000: (41214, None),
                                                    30000: (63383, None)}),
    ("mooncake_synthetic", True): (117888, {1000: (10370, None), 10000: (52952, None),
                                            30000: (76350, None)}),
}


def replay(machine, file, *options):
    done = machine.run([str(machine.build / "tests" / "bench" / "kv_trace"), str(file), "--json",
                        *options])
    preload.expect_equal(f"{file.name} {options}: exit", (done.returncode, done.stderr), (0, b""))
    return json.loads(done.stdout)


def recorded(machine):
    for (name, full_only), (blocks, capacities) in EXPECTED.items():
        for capacity, (hits, evictions) in capacities.items():
            for policy in ("lru", "priority"):
                options = ["--blocks", str(capacity), "--policy", policy]
                result = replay(machine, TRACES / f"{name}.jsonl", *options,
                                *(["--full-only"] if full_only else []))
                preload.expect_equal(f"{name} {options}: blocks and hits",
                                     (result["blocks"], result["hits"]), (blocks, hits))
                if evictions is not None:
                    preload.expect_equal(f"{name} {options}: evictions", result["evictions"],
                                         evictions)
                preload.expect_equal(f"{name} {options}: heap calls", result["heap_calls"], 0)
    print(f"{len(EXPECTED)} traces, three capacities, two policies: as expected")


def rule(requests, capacity):
    """Hits and evictions by the rule, in its simplest form."""
    queue, hits, evictions, unused = collections.OrderedDict(), 0, 0, capacity
    for ids in requests:
        matched = 0
        while matched < len(ids) and ids[matched] in queue:
            matched += 1
        fresh = len(ids) - matched
        if fresh > capacity - matched:
            continue
        for hit in ids[:matched]:
            del queue[hit]
        while unused < fresh:
            queue.popitem(last=False)
            evictions, unused = evictions + 1, unused + 1
        unused -= fresh
        hits += matched
        for block in reversed(ids):
            if block in queue:  # missed behind a gap, and still cached: one entry, two blocks
                raise AssertionError("the made-up trace has an orphan")
            queue[block] = None
    return hits, evictions


def made_up(machine):
    draw = random.Random(7)
    prefixes = [[1000 * group + at for at in range(20)] for group in range(30)]
    requests = []
    for number in range(2000):
        kept = draw.choice(prefixes)[:draw.randint(1, 20)]
        requests.append(kept + [10 ** 6 + 100 * number + at for at in range(draw.randint(1, 9))])
    file = machine.scratch / "made_up.jsonl"
    file.write_text("".join(json.dumps({"input_length": 512 * len(ids), "hash_ids": ids}) + "\n"
                            for ids in requests))
    for capacity in (40, 200, 900):
        result = replay(machine, file, "--blocks", str(capacity))
        preload.expect_equal(f"made-up trace, {capacity} blocks",
                             (result["hits"], result["evictions"]), rule(requests, capacity))
        preload.expect_equal("heap calls", result["heap_calls"], 0)
    small = replay(machine, file, "--blocks", "4096", "--block-tokens", "64")
    preload.expect_equal("blocks of 64 tokens", small["blocks"], 8 * sum(map(len, requests)))
    print("synthetic trace: equal to the rule")


def main():
    options = preload.arguments(__doc__)
    machine = preload.Machine(options.build)
    made_up(machine)
    if TRACES.is_dir():
        recorded(machine)
    bad = subprocess.run([str(machine.build / "tests" / "bench" / "kv_trace"), "/nowhere", "--blocks",
                          "5"], stderr=subprocess.PIPE, check=False)
    preload.expect_equal("a file that is not there: exit", bad.returncode, 1)


if __name__ == "__main__":
    main()
