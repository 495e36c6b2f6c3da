# SPDX-License-Identifier: MIT
"""One program built in many ways: sites have function, file and line wherever possible."""

import ctypes.util
import json
import os
import pathlib
import shutil
import subprocess

import preload

SOURCE = """#include <cuda_runtime_api.h>
#include <cstdio>
namespace engine { template <class T> struct Cache {
  __attribute__((noinline)) void *grow(unsigned n) { void *p = 0; cudaMalloc(&p, n * sizeof(T));
    return p; } }; }
__attribute__((noinline)) static void *weights(unsigned n) { void *p; cudaMalloc(&p, n);
    return p; }
// As a compiler of Rust names it.
extern "C" void *keep(unsigned n) __asm__("_ZN4rust4keep17h0123456789abcdefE");
__attribute__((noinline)) void *keep(unsigned n) { void *p; cudaMalloc(&p, 2 * n + 1);
    return p; }
// And as a later one does.
extern "C" void *hold(unsigned n) __asm__("_RNvNtCs1234_4rust5cache4hold");
__attribute__((noinline)) void *hold(unsigned n) { void *p; cudaMalloc(&p, 3 * n + 1);
    return p; }
int main() { engine::Cache<float> c; void *a = c.grow(1000), *b = weights(5000000); cudaFree(a);
    printf("%d\\n", b != 0 && keep(3000) && hold(7000)); return 0; }
"""
LINES = {"weights": 6, "engine::Cache<float>::grow": 4, "rust::keep": 10, "rust::cache::hold": 14}
# Compiler, options, whether there is line information.
VARIANTS = {
    "O0": ("c++", "-g -O0", True), "O2": ("c++", "-g -O2", True), "dwarf4": ("c++", "-gdwarf-4 -O2", True),
    "split": ("c++", "-g -gsplit-dwarf -O2", True), "split4": ("c++", "-gdwarf-4 -gsplit-dwarf -O2", True),
    "split, no dwo": ("c++", "-g -gsplit-dwarf -O2", True), "no build-id": ("c++", "-g -O2 -Wl,--build-id=none", True), "compressed": ("c++", "-g -gz -O2", True),
    "g1": ("c++", "-g1 -O2", True), "nodebug": ("c++", "-O2", False),
    "nodebug, no build-id": ("c++", "-O2 -Wl,--build-id=none", False),
    "clang": ("clang++", "-g -O2", True), "lines": ("clang++", "-gline-tables-only -O2", True),
    "clang split": ("clang++", "-g -gsplit-dwarf -O2", True), "lld": ("clang++", "-g -O2 -fuse-ld=lld", True),
}


def check(machine, cuda, name, compiler, options, has_lines):
    folder = machine.scratch / "".join(letter for letter in name if letter.isalnum())
    folder.mkdir()
    (folder / "site.cc").write_text(SOURCE)
    built = subprocess.run([compiler, *options.split(), "-o", "program", "site.cc", f"-I{cuda}/include",
                            f"-L{machine.simgpu}", "-lcudart"], cwd=folder, stderr=subprocess.PIPE, check=False)
    if built.returncode != 0:
        print(f"{name}: not built")
        return 0
    if "no dwo" in name:
        for part in folder.glob("*.dwo"):
            part.unlink()
    trace = folder / "t.cupool"
    done = machine.run([str(folder / "program")], preload=True, CUPOOL=f"trace:{trace}")
    preload.expect_equal(f"{name}: exit", done.returncode, 0)
    found = {}
    for site in machine.report(trace)["sites"]:
        function = (site["function"] or "").split("(")[0].split("+")[0]
        found[function] = (pathlib.Path(site["file"]).name if site["file"] else None, site["line"])
    wanted = {function: ("site.cc", line) if has_lines else (None, None) for function, line in LINES.items()}
    preload.expect_equal(name, found, wanted)
    return 1


def check_replaced(machine):
    """A program with a deleted file is named without the suffix that the kernel adds, and
    symbolised once the same build exists again."""
    folder = machine.scratch / "replaced"
    folder.mkdir()
    program, trace = folder / "program", folder / "t.cupool"
    shutil.copy(machine.scratch / "O2" / "program", program)
    opened = os.open(program, os.O_RDONLY)
    program.unlink()
    done = subprocess.run([f"/proc/self/fd/{opened}"], pass_fds=[opened], stdout=subprocess.DEVNULL,
                          env=machine.environment(preload=True, CUPOOL=f"trace:{trace}"), check=False)
    os.close(opened)
    preload.expect_equal("replaced: exit", done.returncode, 0)
    shutil.copy(machine.scratch / "O2" / "program", program)
    sites = machine.report(trace)["sites"]
    preload.expect_equal("replaced", {site["module"] for site in sites}, {str(program)})
    preload.expect("site.cc" in {os.path.basename(site["file"] or "") for site in sites}, f"{sites}")


def named(machine, trace, **extra):
    """Function and line of each site."""
    done = machine.run([str(machine.cupool), "report", str(trace), "--format", "json"], **extra)
    preload.expect_equal(f"{trace}: exit", done.returncode, 0)
    return {((site["function"] or "").split("(")[0].split("+")[0], site["line"])
            for site in json.loads(done.stdout)["sites"]}


def stripped(machine, variant, name, debug_file):
    """A program of a variant and its trace; its debug information is in a separate file."""
    folder = machine.scratch / name
    (folder / ".debug").mkdir(parents=True)
    shutil.copy(machine.scratch / variant / "program", folder / "program")
    trace = folder / "t.cupool"
    done = machine.run([str(folder / "program")], preload=True, CUPOOL=f"trace:{trace}")
    preload.expect_equal(f"{name}: exit", done.returncode, 0)
    subprocess.run(["objcopy", "--only-keep-debug", "program", debug_file], cwd=folder, check=True)
    subprocess.run(["objcopy", "--strip-all", f"--add-gnu-debuglink={debug_file}", "program"], cwd=folder, check=True)
    return folder, trace


LINED = {("weights", 6), ("engine::Cache<float>::grow", 4)}
WITHOUT_LINES = {("weights", None), ("rust::keep", None), ("rust::cache::hold", None)}


def check_split_off(machine):
    """Debug files are found beside a program and in .debug/; those with another build-id are
    ignored."""
    other = machine.scratch / "other.debug"
    subprocess.run(["objcopy", "--only-keep-debug", machine.scratch / "dwarf4" / "program", other], check=True)
    for variant, wanted in (("O2", LINED), ("nobuildid", LINED), ("nodebug", WITHOUT_LINES),
                            ("nodebugnobuildid", WITHOUT_LINES)):
        for place in ("program.debug", ".debug/program.debug"):
            folder, trace = stripped(machine, variant, f"off{variant}{len(place)}", place)
            preload.expect(wanted <= named(machine, trace), f"{variant}, {place}: {named(machine, trace)}")
            shutil.copy(other, folder / place)
            preload.expect(not wanted & named(machine, trace), f"{variant}, {place}: of another build")
            (folder / place).unlink()
            os.mkfifo(folder / place)
            preload.expect(not wanted & named(machine, trace), f"{variant}, {place}: a FIFO")


def check_fifo_for_dwo(machine):
    """The file named by split debug information is not opened if it is a FIFO."""
    for variant in ("split", "split4"):
        for part in (machine.scratch / variant).glob("*.dwo"):
            part.unlink()
            os.mkfifo(part)
        preload.expect(LINED <= named(machine, machine.scratch / variant / "t.cupool"), f"{variant}: a FIFO")


def check_servers(machine):
    """A debug file server is queried only if the user allows it."""
    folder, trace = stripped(machine, "O2", "served", "program.debug")
    site = next(site for site in machine.report(trace)["sites"] if site["module"] == str(folder / "program"))
    place = machine.scratch / "server" / "buildid" / site["build_id"]
    place.mkdir(parents=True)
    (folder / "program.debug").rename(place / "debuginfo")
    server = {"DEBUGINFOD_URLS": f"file://{machine.scratch}/server"}

    def ask(cache, **extra):
        return named(machine, trace, DEBUGINFOD_CACHE_PATH=str(machine.scratch / cache), **extra)

    preload.expect(not LINED & ask("cache0", **server), "a server was asked")
    preload.expect(not (machine.scratch / "cache0").exists(), "a server was asked: there is a cache")
    preload.expect(not LINED & ask("cache1", CUPOOL_DEBUGINFOD="1"), "named without a server")
    if ctypes.util.find_library("debuginfod"):
        preload.expect(LINED <= ask("cache2", CUPOOL_DEBUGINFOD="1", **server), "a server was not asked")


# A function with 400,000 nested blocks in its debug information.
DEEP = """
.globl main
.type main, @function
main: subq $24, %rsp
leaq 8(%rsp), %rdi
movl $4096, %esi
call cudaMalloc@PLT
addq $24, %rsp
xorl %eax, %eax
ret
end: .size main, . - main
.section .debug_abbrev, "", @progbits
.byte 1, 0x11, 1, 0x11, 1, 0x12, 7, 0, 0
.byte 2, 0x0b, 1, 0x11, 1, 0x12, 0x0b, 0, 0, 0
.section .debug_info, "", @progbits
.long last - first
first: .value 4
.long .debug_abbrev
.byte 8, 1
.quad main, end - main
.rept 400000
.byte 2
.quad main
.byte end - main
.endr
last: .section .note.GNU-stack, "", @progbits
"""


def check_deep(machine):
    """Endlessly nested debug information does not exhaust the stack."""
    if os.uname().machine != "x86_64":
        return
    folder = machine.scratch / "deep"
    folder.mkdir()
    (folder / "deep.s").write_text(DEEP)
    subprocess.run(["cc", "-no-pie", "-o", "program", "deep.s", f"-L{machine.simgpu}", "-lcudart"], cwd=folder,
                   check=True)
    trace = folder / "t.cupool"
    done = machine.run([str(folder / "program")], preload=True, CUPOOL=f"trace:{trace}")
    preload.expect_equal("deep: exit", done.returncode, 0)
    preload.expect_equal("deep", named(machine, trace), {("main", None)})


def check_text(machine):
    """A path that is not UTF-8 is shown with U+FFFD in every format, and never omitted."""
    folder = os.fsencode(machine.scratch) + b"/b\xffd"
    os.mkdir(folder)
    program = folder + b"/program"
    shutil.copy(machine.scratch / "O2" / "program", program)
    trace = machine.scratch / "text.cupool"
    preload.expect_equal("text: exit", machine.run([program], preload=True, CUPOOL=f"trace:{trace}").returncode, 0)
    modules = {site["module"] for site in machine.report(trace)["sites"]}
    preload.expect_equal("json", modules, {f"{machine.scratch}/b\ufffdd/program"})
    for form in ("csv", "openmetrics", "markdown", "perfetto", "folded"):
        told = machine.run([str(machine.cupool), "report", "-f", form, str(trace)]).stdout
        told.decode()  # fails if it is not UTF-8
    csv = machine.run([str(machine.cupool), "report", "-f", "csv", str(trace)]).stdout.decode()
    preload.expect("b\ufffdd/program" in csv, "csv: U+FFFD")


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    cuda = subprocess.run([str(pathlib.Path(__file__).resolve().parents[2] / "tools" / "find-cuda"), ""],
                          stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    checked = sum(check(machine, cuda, name, *variant) for name, variant in VARIANTS.items()
                  if shutil.which(variant[0]))
    check_replaced(machine)
    check_split_off(machine)
    check_fifo_for_dwo(machine)
    check_servers(machine)
    check_deep(machine)
    check_text(machine)
    preload.expect(checked >= 8, f"only {checked} variants were built")
    print(f"{checked} variants")


main()
