# SPDX-License-Identifier: MIT
"""Reasons for running out of memory: one planted scenario for each verdict, in every format of the report;
nothing is printed unless requested."""

import preload

MIB = 1 << 20
SCENARIOS = {
    "genuine": ({}, (), "genuine", 32 * MIB),
    "others": ({"SIMGPU_OTHERS": "48MiB"}, (), "another process", 32 * MIB),
    "fragmentation": ({}, (), "fragmentation", 8 * MIB),
    # A full device and no page-locked memory: a free that waits needs a byte of one of them.
    "hoarding": ({"SIMGPU_OTHERS": "24MiB", "SIMGPU_FAULT": "cuMemHostAlloc:0:OUT_OF_MEMORY"}, (),
                 "hoarding", 36 * MIB),
    "limit": ({}, ("-O", "limit:32MiB"), "limit", 48 * MIB),
}


def refused_of(report):
    return [entry for entry in report["postmortems"] if entry["refused"]]


def check_verdict(machine, way, environment, options, verdict, request):
    trace = machine.scratch / f"{way}.cupool"
    program = machine.program("annotated", "oom", way)
    environment = {"SIMGPU_MEMORY": "64MiB", **environment}
    done = machine.record(program, trace, *options, **environment)
    preload.expect_equal(f"{way}: result", done.stdout, b"result: 2\n")
    preload.expect(f"failed: {verdict}:".encode() in done.stderr,
                   f"{way}: the summary says nothing: {done.stderr.decode()}")
    refused = refused_of(machine.report(trace))
    preload.expect_equal(f"{way}: refused", len(refused), 1)
    preload.expect_equal(f"{way}: verdict", refused[0]["verdict"], verdict)
    preload.expect_equal(f"{way}: request", refused[0]["request_bytes"], request)
    preload.expect("annotated" in refused[0]["module"], f"{way}: by {refused[0]['module']}")
    preload.expect_equal(f"{way}: device", refused[0]["state"]["driver_total_bytes"], 64 * MIB)
    for form in ("text", "markdown", "html"):
        shown = machine.run([str(machine.cupool), "report", "-f", form, str(trace)])
        if b"not built in" not in shown.stderr:
            preload.expect(verdict.encode() in shown.stdout, f"{way}: not in {form}")
        if form == "text":
            # Names of sites are not cut.
            wide = [line for line in shown.stdout.decode().splitlines()
                    if len(line) > 100 and " by " not in line]
            preload.expect_equal(f"{way}: lines wider than a terminal", wide, [])
    silent = machine.run([str(machine.cupool), "run", "--sim", "-q", "-o",
                          str(machine.scratch / f"{way}.2.cupool"), *options, "--", *program],
                         **environment)
    preload.expect_equal(f"{way}: uninvited", silent.stderr, b"")
    return refused[0]["state"]


def check_printed(machine):
    """The library itself prints the verdict: once, also without a trace."""
    done = machine.run(machine.program("annotated", "oom", "genuine"), preload=True,
                       SIMGPU_MEMORY="64MiB", CUPOOL_POSTMORTEM="print")
    preload.expect_equal("lines", done.stderr.count(b"out of memory"), 1)
    preload.expect(b"failed: genuine" in done.stderr, done.stderr.decode())


def check_observed(machine):
    """Without a pool, no verdict blames the pool."""
    trace = machine.scratch / "observed.cupool"
    machine.record(machine.program("annotated", "oom", "genuine"), trace, "-q", "--mode", "observe",
                   SIMGPU_MEMORY="64MiB")
    refused = refused_of(machine.report(trace))
    preload.expect_equal("observed", [entry["verdict"] for entry in refused], ["genuine"])
    preload.expect_equal("own", refused[0]["state"]["own_bytes"], 48 * MIB)


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    states = {way: check_verdict(machine, way, *scenario) for way, scenario in SCENARIOS.items()}
    preload.expect_equal("others hold", states["others"]["others_bytes"], 48 * MIB)
    preload.expect_equal("in quarantine", states["hoarding"]["quarantined_bytes"], 40 * MIB)
    preload.expect(states["fragmentation"]["largest_free_bytes"] <
                   8 * MIB < states["fragmentation"]["cached_bytes"], "fragmentation")
    preload.expect_equal("limit", states["limit"]["limit_bytes"], 32 * MIB)
    preload.expect_equal("live by site", states["genuine"]["sites"][0]["live_bytes"], 48 * MIB)
    preload.expect_equal("live by library", states["genuine"]["libraries"][0]["live_bytes"],
                         48 * MIB)
    check_printed(machine)
    check_observed(machine)


main()
