# SPDX-License-Identifier: MIT
"""Prometheus' text format 0.0.4 of a report and of live statistics, checked by promtool. It has the
samples of OpenMetrics, and the server sends it to clients that accept it."""

import re
import shutil
import subprocess
import sys
import urllib.request

import preload


def samples(text):
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def promtool(what, text):
    done = subprocess.run(["promtool", "check", "metrics"], input=text.encode(),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    # 3: only style, and that would rename series of existing dashboards.
    preload.expect(done.returncode in (0, 3), f"{what}: {done.stdout.decode()}")
    preload.expect(b"error while linting" not in done.stdout, f"{what}: {done.stdout.decode()}")


def check_report(machine):
    trace = machine.scratch / "run.cupool"
    machine.record([str(machine.build / "tests" / "endtoend" / "usual_O2"), "leak"], trace, "-q")
    texts = {}
    for form in ("openmetrics", "prometheus"):
        done = machine.run([str(machine.cupool), "report", "-f", form, str(trace)])
        preload.expect_equal(f"{form}: {done.stderr}", done.returncode, 0)
        texts[form] = done.stdout.decode()
    promtool("report", texts["prometheus"])
    preload.expect_equal("the same samples", samples(texts["prometheus"]),
                         samples(texts["openmetrics"]))
    preload.expect("# TYPE cupool_allocations_total counter" in texts["prometheus"], "a counter")
    preload.expect("# EOF" not in texts["prometheus"], "no end")


def check_live(machine):
    where = machine.scratch / "live"
    where.mkdir()
    program = [str(machine.build / "tests" / "endtoend" / "usual_O2"), "burst"]
    running = subprocess.Popen(
        [str(machine.cupool), "run", "--sim", "-q", "-O", f"live:{where}", "-o",
         str(machine.scratch / "live.cupool"), "--", *program], env=machine.environment())
    server = subprocess.Popen(
        [str(machine.cupool), "metrics", "--from", str(where), "--listen", "127.0.0.1:0"],
        env=machine.environment(), stderr=subprocess.PIPE, text=True)
    try:
        line = server.stderr.readline()
        if "built without" in line:
            return
        address = "http://" + re.search(r"//(\S+?/metrics)", line).group(1)
        types = {}
        for accepted in ("text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0,"
                         "text/plain;version=0.0.4;q=0.3"):
            request = urllib.request.Request(address, headers={"Accept": accepted})
            with urllib.request.urlopen(request) as answer:
                types[accepted] = (answer.headers["Content-Type"], answer.read().decode())
        older, newer = types.values()
        preload.expect(older[0].startswith("text/plain; version=0.0.4"), older[0])
        preload.expect(newer[0].startswith("application/openmetrics-text"), newer[0])
        preload.expect(newer[1].endswith("# EOF\n") and "# EOF" not in older[1], "the end")
        promtool("metrics", older[1])
    finally:
        server.terminate()
        server.wait()
        server.stderr.close()
        running.wait()
    done = machine.run([str(machine.cupool), "metrics", "--from", str(where), "-f", "prometheus"])
    preload.expect_equal(f"metrics: {done.stderr}", done.returncode, 0)
    done = machine.run([str(machine.cupool), "metrics", "-f", "nothing"])
    preload.expect(done.returncode == 2 and b"openmetrics or prometheus" in done.stderr, "refused")


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    if not shutil.which("promtool"):
        preload.skip("no promtool: install the package prometheus")
    check_report(machine)
    check_live(machine)


if __name__ == "__main__":
    sys.exit(main())
