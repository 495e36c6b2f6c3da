# SPDX-License-Identifier: MIT
"""Required savings of pooling on the inference workload: few driver calls, no more memory.

The bounds: at least 90 % fewer driver allocation calls than bare; in the steady state at most one
per 1,000 operations; peak driver memory at most 1.10 times the bare run's where that is at least
256 MiB, at most 16 MiB above it on the smallest configuration.
"""

import preload

MEMORY_CALLS = ("cuMemAlloc_v2", "cuMemFree_v2")
MIB = 1 << 20


def logged(machine, name, preloaded, *words):
    log = machine.scratch / f"{name}.{'pooled' if preloaded else 'bare'}.log"
    done = machine.run(machine.program("tinyllm", *words), preload=preloaded, SIMGPU_LOG=log)
    preload.expect_equal(f"{name}: exit", done.returncode, 0)
    return preload.CallLog(log), done.stdout


def steady_calls(machine, calls, tokens):
    """Driver calls and operations of the additional tokens after a shorter run, which made
    `calls`."""
    words = ("--tokens", str(tokens), "--seed", "7")
    bare, _ = logged(machine, f"steady{tokens}", False, *words)
    pooled, _ = logged(machine, f"steady{tokens}", True, *words)
    return (pooled.count(*MEMORY_CALLS) - calls[1], bare.count(*MEMORY_CALLS) - calls[0])


def compare(machine, name, *words):
    bare, bare_output = logged(machine, name, False, *words)
    pooled, pooled_output = logged(machine, name, True, *words)
    preload.expect(bare_output == pooled_output, f"{name}: the output differs")
    calls = bare.count(*MEMORY_CALLS), pooled.count(*MEMORY_CALLS)
    peaks = bare.device_memory()[2], pooled.device_memory()[2]
    print(f"{name}: driver allocation calls {calls[0]} -> {calls[1]} "
          f"({100 * (1 - calls[1] / calls[0]):.1f} % fewer), "
          f"peak {peaks[0] / MIB:.1f} -> {peaks[1] / MIB:.1f} MiB ({peaks[1] / peaks[0]:.3f}x)")
    return calls, peaks


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)

    calls, peaks = compare(machine, "default", "--tokens", "64", "--seed", "7")
    preload.expect(calls[1] <= 0.10 * calls[0], "less than 90 % fewer driver calls")
    preload.expect(peaks[1] <= peaks[0] + 16 * MIB, "more than 16 MiB above the bare peak")

    driver_calls, operations = steady_calls(machine, calls, 192)
    print(f"steady state: {driver_calls} driver allocation calls in {operations} operations")
    preload.expect(1000 * driver_calls <= operations,
                   "more than one driver call per 1,000 operations in the steady state")

    calls, peaks = compare(machine, "large", "--preset", "large", "--seed", "7")
    preload.expect(peaks[0] >= 256 * MIB, "the large configuration is too small to judge by")
    preload.expect(calls[1] <= 0.10 * calls[0], "less than 90 % fewer driver calls")
    preload.expect(peaks[1] <= 1.10 * peaks[0], "peak memory is more than 1.10 times the bare run's")


main()
