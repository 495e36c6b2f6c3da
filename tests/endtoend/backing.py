# SPDX-License-Identifier: MIT
"""Backings of a pool: memory is mapped if requested and possible, otherwise allocated by the
driver; the trace has the backing and its reason. A program that runs out of memory by fragmentation
with one backing completes with the other, and the reports show how."""

import resource

import preload

LIMIT = "limit:240MiB"
MIB = 1 << 20


def run(machine, name, options, **variables):
    trace = machine.scratch / f"{name.replace(',', '')}.cupool"
    done = machine.run([str(machine.build / "tests/endtoend/fragments")], preload=True,
                       CUPOOL=f"{options},trace:{trace}", **variables)
    preload.expect_equal(f"{name}: stderr", done.stderr.decode(), "")
    return done, machine.report(trace), machine.run([str(machine.cupool), "report", str(trace)])


def check_page(machine, name, mapped):
    """The HTML report has the section, and the unmapped addresses in the map."""
    trace = machine.scratch / f"{name}.cupool"
    done = machine.run([str(machine.cupool), "report", "-f", "html", str(trace)])
    if b"not built in" in done.stderr:
        return
    page = done.stdout.decode()
    preload.expect_equal(f"{name}: the section of the page",
                         'id="defragmentation-1"' in page and "mapped (vmm)" in page, mapped)
    preload.expect_equal(f"{name}: unmapped addresses in the map",
                         '<rect class="gap"' in page and "unmapped addresses" in page, mapped)


def check_fragments(machine):
    done, report, text = run(machine, "driver", f"backing:driver,{LIMIT}")
    preload.expect_equal("backing:driver", done.returncode, 1)
    preload.expect(done.stdout.startswith(b"out of memory: generation 2"), done.stdout)
    preload.expect(report["postmortems"], "no post-mortem")
    preload.expect_equal("backing", [row["backing"] for row in report["defragmentation"]["backings"]],
                         ["driver"])
    preload.expect(b"Defragmentation" not in text.stdout and b"vmm" not in text.stdout,
                   text.stdout.decode())
    check_page(machine, "driver", False)
    driver = report["summary"]["peak_driver_bytes"] / report["summary"]["peak_requested_bytes"]
    for page in ("2MiB", "8MiB", "32MiB"):
        done, report, text = run(machine, page, f"backing:vmm,page:{page},{LIMIT}")
        if page == "2MiB":
            check_page(machine, page, True)
        preload.expect_equal(f"page:{page}", (done.returncode, done.stdout), (0, b"done, wrong 0\n"))
        made = report["defragmentation"]
        preload.expect(made["map"]["count"] > 0 and made["map"]["duration_ns"] > 0, made)
        preload.expect_equal(f"page:{page}: unlike the record", made["backings"][0]["backing"], "vmm")
        preload.expect(report["summary"]["peak_driver_bytes"] <= 240 * MIB, report["summary"])
        mapped = report["summary"]["peak_driver_bytes"] / report["summary"]["peak_requested_bytes"]
        preload.expect(mapped < driver, f"page:{page}: {mapped}, the driver's {driver}")
        preload.expect(b"\nDefragmentation\n" in text.stdout and b"mapped (vmm)" in text.stdout,
                       text.stdout.decode())
        preload.expect(made["unmap"]["count"] > 0 and made["unmap"]["bytes"] > 0, made)
        print(f"page:{page}: unmapped {made['unmap']['bytes'] // MIB} MiB, "
              f"held {mapped:.2f} of the requested memory, with the driver's allocations {driver:.2f}")


def check_choice(machine, name, options, backing, reason, said, **variables):
    done, report, text = run(machine, name, options, **variables)
    preload.expect_equal(f"{name}: exit", done.returncode, 0)
    row = report["defragmentation"]["backings"][0]
    preload.expect_equal(f"{name}: backing", (row["backing"], row["reason"]), (backing, reason))
    words = " ".join(text.stdout.decode().split())  # lines are wrapped
    preload.expect_equal(f"{name}: in the header", reason in words, said)
    print(f"{name}: {row['backing']}, {reason}")


def check_choices(machine):
    check_choice(machine, "by option", "backing:driver", "driver", "by option", False)
    check_choice(machine, "vmm", "backing:vmm", "vmm", "by option", True)
    check_choice(machine, "auto", "backing:auto", "vmm", "supported by the device", True)
    for backing in ("vmm", "auto"):
        check_choice(machine, f"{backing}, not supported", f"backing:{backing}", "driver",
                     "the device has no virtual memory management", True, SIMGPU_SET="vmm=0")
        check_choice(machine, f"{backing}, few addresses", f"backing:{backing}", "driver",
                     "no addresses could be reserved", True, SIMGPU_SET="reserve_max=64MiB")
    check_choice(machine, "some addresses", "backing:vmm", "vmm", "by option", True,
                 SIMGPU_SET="reserve_max=20GiB", SIMGPU_MEMORY="16GiB")
    check_choice(machine, "segments are ranges", "backing:auto,ipc_range:segment", "driver",
                 "ipc_range:segment needs the driver's allocations", True)
    check_choice(machine, "a call that waits", "backing:vmm", "vmm", "by option", True,
                 SIMGPU_SET="map_waits=1,edit_breaks=1")


def check_address_space(machine):
    """With `ulimit -v` there are fewer addresses, or none, and the program runs."""
    for gibibytes in (200, 40):
        most = gibibytes << 30
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
        try:
            done = machine.run([str(machine.build / "tests/endtoend/fragments")], preload=True,
                               CUPOOL="backing:vmm", SIMGPU_MEMORY="1GiB")
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)
        preload.expect_equal(f"{gibibytes} GiB of addresses: {done.stderr.decode()}",
                             (done.returncode, done.stdout), (0, b"done, wrong 0\n"))


def check_reserve(machine):
    """Reserved memory is allocated at the start, and a trim keeps it."""
    done = machine.run([str(machine.build / "tests/endtoend/memory_api")], preload=True,
                       CUPOOL="backing:vmm,reserve:300MiB")
    last = done.stdout.decode().splitlines()[-1].split()
    reserved = int(last[last.index("reserved") + 1])
    preload.expect(300 * MIB <= reserved < 340 * MIB, f"reserve:300MiB: {' '.join(last)}")


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    check_fragments(machine)
    check_choices(machine)
    if not preload.sanitizer.active():
        check_address_space(machine)
    check_reserve(machine)


main()
