# SPDX-License-Identifier: MIT
"""The library uses little of the program's stacks, and reads only readable words.

The use of a call, with everything that the library calls, is measured on a painted stack, and
compared with the same call without the library.
"""

import preload
import sanitizer

FIRST_BYTES = 4096  # more than bare, for a process's first call
LATER_BYTES = 1024  # for any other call
OTHER_BYTES = 4096  # with mapped memory or guards
SMALL = "16384"


def environments(machine):
    trace = f"trace:{machine.scratch}/%p.%n.cupool"
    return ("mode:pool", "mode:observe", trace, f"{trace},live:{machine.scratch}", f"{trace},trace_max:1MiB",
            f"{trace},stacks:64,limit:20GiB,postmortem:print")


OTHER_ENVIRONMENTS = ("backing:vmm", "backing:vmm,defrag:move,idle_trim:1ms", "guard:redzone,scrub:poison", "guard:page")


def measured(machine, mode, options=None):
    """The largest use of each call, by name."""
    program = str(machine.build / "tests" / "endtoend" / "stack_depth")
    extra = {"CUPOOL": options} if options else {}
    done = machine.run([program, mode], preload=bool(options), LD_BIND_NOW=1, **extra)
    preload.expect_equal(f"{mode} {options}: exit", done.returncode, 0)
    most = {}
    for line in done.stdout.decode().splitlines():
        name, used, error = line.split()
        preload.expect_equal(f"{mode} {options}: {name}", error, "0")
        most[name] = max(most.get(name, 0), int(used))
    preload.expect(len(most) > 5, f"{mode}: too few calls were measured")
    return most


def kind_of(name):
    """A freed block may still wait for the device; then a hit grows the pool, like a new size."""
    return name.split("_")[0]


def kinds(most):
    return {kind_of(name): max(used for other, used in most.items() if kind_of(other) == kind_of(name))
            for name in most}


def check_depth(machine):
    for mode in ("first", "later"):
        bare = kinds(measured(machine, mode))
        for options in environments(machine) + OTHER_ENVIRONMENTS:
            later = OTHER_BYTES if options in OTHER_ENVIRONMENTS else LATER_BYTES
            for name, used in measured(machine, mode, options).items():
                limit = bare[kind_of(name)] + (FIRST_BYTES if name == "first" else later)
                preload.expect(used <= limit,
                               f"{mode} {options}: {name} takes {used} bytes of stack, "
                               f"bare {bare[kind_of(name)]}")
            print(f"{mode}, {options.replace(str(machine.scratch), '')}: within bounds")


def check_same(machine, name, *words):
    program = [str(machine.build / "tests" / "endtoend" / name), *words]
    bare = machine.run(program)
    preload.expect_equal(f"{name} bare", bare.returncode, 0)
    for options in environments(machine):
        done = machine.run(program, preload=True, CUPOOL=options)
        preload.expect_equal(f"{name} {words} {options}", (done.returncode, done.stdout), (0, bare.stdout))


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    check_same(machine, "coroutine_arena")
    if sanitizer.active():
        preload.skip("frames with a sanitizer are many times larger")
    check_same(machine, "small_stacks", SMALL, "first")
    check_same(machine, "small_stacks", SMALL, "later")
    check_depth(machine)


main()
