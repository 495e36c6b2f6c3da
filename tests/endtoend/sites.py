# SPDX-License-Identifier: MIT
"""A planted leak, growth and fragmentation are named by file and line, in C++ and in Python, by
report, diff and check; an identical run passes. JSON, folded stacks and pprof have whole stacks."""

import ast
import gzip
import html
import pathlib
import re
import shutil
import subprocess
import sys

import preload

BUDGET = "[budget]\nleaked_at_exit = 0\npeak_live_growth = +3%\n"


def line_of(source, what):
    for number, line in enumerate(source.read_text().splitlines(), 1):
        if f"planted: {what}" in line:
            return f"{source.name}:{number}"
    return preload.fail(f"{source}: nothing planted: {what}")


def plain(name):
    """The bare name of a function: "keep" for "service::Cache<float>::keep(unsigned long)"."""
    return re.split(r"::|\.", str(name).split("(")[0].split("+")[0])[-1]


class Service:
    def __init__(self, machine, program, source):
        self.machine, self.program = machine, program
        self.leak, self.growth = line_of(source, "leak"), line_of(source, "growth")
        self.name, self.source = source.name, source

    def record(self, name, *words, **extra):
        trace = self.machine.scratch / f"{self.name}.{name}.cupool"
        done = self.machine.record(self.machine.program(self.program, *words), trace, **extra)
        preload.expect_equal(f"{self.name} {name}: exit", done.returncode, 0)
        preload.expect(b"answered" in done.stdout, f"{self.name} {name}: {done.stdout}")
        return trace

    def cupool(self, *words):
        done = self.machine.run([str(self.machine.cupool), *map(str, words)])
        return done.returncode, done.stdout.decode(errors="replace")

    def expect_named(self, place, wanted, *words):
        """The command has the expected exit code, and its output a line with the place."""
        code, text = self.cupool(*words)
        preload.expect_equal(f"{self.name}: cupool {' '.join(map(str, words))}: exit", code, wanted)
        lines = [line for line in text.splitlines() if place in line]
        preload.expect(lines, f"{self.name}: {place} is not named by {words[0]}:\n{text}")
        return next((line for line in lines if line.startswith("| ")), lines[0])


def check_lines(service):
    base, again = service.record("base"), service.record("again")
    leaking, grown = service.record("leaking", "--leak"), service.record("grown", "--grow")
    budget, baseline = (service.machine.scratch / f"{service.name}.{kind}"
                        for kind in ("budget", "baseline.json"))
    budget.write_text(BUDGET)
    preload.expect_equal("identical: diff", service.cupool("diff", base, again)[0], 0)
    preload.expect_equal("baseline", service.cupool(
        "check", "--budget", budget, "--baseline", baseline, "--update-baseline", base)[0], 0)
    for trace, wanted in ((again, 0), (leaking, 1), (grown, 1)):
        code, text = service.cupool("check", "--budget", budget, "--baseline", baseline, trace)
        preload.expect_equal(f"{trace.name}: check: {text}", code, wanted)
    line = service.expect_named(service.leak, 0, "report", leaking)
    preload.expect("128.0 KiB" in line, f"all that leaked at its line: {line}")
    for place, trace in ((service.leak, leaking), (service.growth, grown)):
        service.expect_named(place, 1, "diff", base, trace)
        service.expect_named(place, 1, "check", "--budget", budget, "--baseline", baseline, trace)
    return leaking


def check_source(service, trace):
    """The page has the leaking line as in its file; with --anonymize there are no lines."""
    code, page = service.cupool("report", "-f", "html", trace)
    if code:
        return  # not built in
    shown = [html.unescape(line) for line in
             re.findall('<code class="source">(.*?)</code>', page)]
    source = service.source.read_text().splitlines()
    wanted = source[int(service.leak.rpartition(":")[2]) - 1].strip()
    preload.expect(any(wanted.startswith(line) and line for line in shown),
                   f"{service.name}: not {wanted!r} among {shown}")
    _, page = service.cupool("report", "-f", "html", "--anonymize", trace)
    preload.expect('<code class="source">' not in page, f"{service.name}: anonymized")


def check_fragmentation(service):
    """Two runs that differ in the pages they free: the site of the remaining pages is named
    first."""
    place = line_of(service.machine.scripts / service.name, "fragmentation")
    tidy, again = service.record("tidy", "--pages"), service.record("tidy again", "--pages")
    torn = service.record("torn", "--fragment")
    budget = service.machine.scratch / f"{service.name}.fragmentation.budget"
    budget.write_text("[budget]\nfragmentation_overhead = 10%\n")
    for trace, wanted in ((tidy, 0), (again, 0), (torn, 1)):
        code, text = service.cupool("check", "--budget", budget, trace)
        preload.expect_equal(f"{trace.name}: check: {text}", code, wanted)
    reports = {trace: service.machine.report(trace) for trace in (tidy, torn)}
    for figure in ("peak_requested_bytes", "allocations", "requested_bytes"):
        values = [report["summary"][figure] for report in reports.values()]
        preload.expect_equal(f"the same {figure}", values[0], values[1])
    first = reports[torn]["fragmentation_sites"][0]
    preload.expect_equal("report: pinned first", f"{pathlib.Path(first['file']).name}:"
                         f"{first['line']}", place)
    preload.expect_equal("report: 32 pages pin as much as they are",
                         [first[key] for key in ("blocks", "block_bytes", "pinned_bytes")],
                         [32, 16 << 20, 16 << 20])
    line = service.expect_named("Fragmented by", 0, "report", torn)
    preload.expect(place in line, f"report: {line}")
    service.expect_named("32.0 MiB of segments for 16.0 MiB in 32 blocks", 0, "report", torn)
    preload.expect("Fragmented by" not in service.cupool("report", tidy)[1], "tidy: no line")
    line = service.expect_named(place, 0, "report", "-f", "markdown", "--by", "library", torn)
    preload.expect(line.endswith(" | 32.0 MiB | 16.0 MiB | 32 |"), f"markdown: {line}")
    preload.expect("Fragmented by" not in service.cupool("report", "-f", "markdown", tidy)[1],
                   "tidy: no table")
    line = service.expect_named(place, 0, "diff", tidy, torn)
    preload.expect("16.0 MiB, was 0 B (+16.0 MiB)" in line, f"diff: {line}")
    preload.expect("pinned" not in service.cupool("diff", tidy, again)[1], "identical: diff")
    line = service.expect_named(place, 1, "check", "--budget", budget, torn)
    preload.expect("pins most" in line, f"check: {line}")


def frames_followed(report, number):
    """The frames from one of the table outwards, as in a stack written out."""
    frames = []
    while number is not None:
        frame = dict(report["frames"][number])
        caller = frame.pop("caller")
        preload.expect(caller is None or caller < number, f"frame {number} is before its caller")
        frames.append(frame)
        number = caller
    return frames


def check_stacks(service, trace, wanted):
    """The leaking stack has the functions of the source, innermost first, and none of cupool."""
    report = service.machine.report(trace)
    stacks = [row for row in report["stacks"] if row["leaked_bytes"]]
    preload.expect_equal(f"{service.name}: leaking stacks", len(stacks), 1)
    functions = [plain(frame["function"]) for frame in stacks[0]["frames"]]
    found = tuple(name for name in functions if name in wanted)
    preload.expect_equal(f"{service.name}: functions of {functions}", found, wanted)
    for stack in report["stacks"]:
        preload.expect_equal(f"{service.name}: frames by their numbers",
                             frames_followed(report, stack["frame"]), stack["frames"])
    modules = [frame["module"] or "" for frame in stacks[0]["frames"]]
    preload.expect(not any("libcupool" in name or "libcudart" in name for name in modules),
                   f"frames of the recorder: {modules}")
    preload.expect_equal("sites", sum(row["leaked_bytes"] for row in report["sites"]), 32 * 4096)
    code, folded = service.cupool("report", "-f", "folded", trace)
    at_peak = sum(int(line.rsplit(" ", 1)[1]) for line in folded.splitlines())
    preload.expect_equal("folded: bytes", at_peak, report["summary"]["peak_requested_bytes"])
    chains = [[plain(frame) for frame in line.rsplit(" ", 1)[0].split(";")]
              for line in folded.splitlines()]
    preload.expect(any([name for name in chain if name in wanted] == ["main", "answer"]
                       for chain in chains), f"folded: {chains}")


def fields(data):
    """Every (number, value) of a protocol-buffer message."""
    position = 0

    def varint():
        nonlocal position
        value = shift = 0
        while True:
            byte = data[position]
            position += 1
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(data):
        tag = varint()
        preload.expect(tag & 7 in (0, 2), f"pprof: wire type {tag & 7}")
        value = varint()
        if tag & 7 == 2:
            preload.expect(position + value <= len(data), "pprof: a truncated field")
            value, position = data[position:position + value], position + value
        yield tag >> 3, value


def numbers(data):
    """A packed list of varints."""
    values, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            values.append(value)
            value = shift = 0
    return values


def check_pprof(service, trace, wanted):
    output = service.machine.scratch / f"{service.name}.pb.gz"
    code, text = service.cupool("report", "-f", "pprof", "--force", "-o", output, trace)
    preload.expect_equal(f"pprof: exit: {text}", code, 0)
    data = output.read_bytes()
    profile = {}
    for number, value in fields(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data):
        profile.setdefault(number, []).append(value)
    texts = [text.decode() for text in profile[6]]
    preload.expect_equal("pprof: first text", texts[0], "")
    types = [texts[dict(fields(message))[1]] for message in profile[1]]
    functions = {dict(fields(message))[1]: dict(fields(message)) for message in profile[5]}
    locations = {}
    for message in profile[4]:
        lines = [dict(fields(value)) for number, value in fields(message) if number == 4]
        locations[dict(fields(message))[1]] = lines
    leaked = {}
    for message in profile[2]:
        sample = dict(fields(message))
        values = dict(zip(types, numbers(sample[2])))
        leaked[tuple(numbers(sample[1]))] = values["exit_space"]
    stack, figure = max(leaked.items(), key=lambda item: item[1])
    preload.expect_equal("pprof: leaked", (figure, sum(leaked.values())), (32 * 4096, 32 * 4096))
    named = [(texts[functions[line[1]][2]], texts[functions[line[1]].get(4, 0)], line.get(2, 0))
             for location in stack for line in locations[location]]
    file, line = service.leak.split(":")
    preload.expect(any(pathlib.Path(path).name == file and number == int(line)
                       for _, path, number in named), f"pprof: {service.leak} in {named}")
    found = tuple(plain(name) for name, _, _ in named if plain(name) in wanted)
    preload.expect_equal("pprof: frames", found, wanted)


def check_rebuilt(service, machine):
    """A program replaced since the run is not misnamed, and debug files are found."""
    original = machine.workloads / "leaky"
    copy = machine.scratch / "service"
    shutil.copy(original, copy)
    trace = machine.scratch / "rebuilt.cupool"
    done = machine.record([str(copy), "--leak"], trace)
    preload.expect_equal("copy: exit", done.returncode, 0)
    subprocess.run(["objcopy", "--only-keep-debug", "service", "service.debug"],
                   cwd=machine.scratch, check=True)
    subprocess.run(["objcopy", "--strip-all", "--add-gnu-debuglink=service.debug", "service"],
                   cwd=machine.scratch, check=True)
    service.expect_named(service.leak, 0, "report", trace)
    (machine.scratch / "service.debug").unlink()
    code, text = service.cupool("report", trace)
    preload.expect(service.leak not in text and "service+0x" in text, f"stripped: {text}")
    shutil.copy(machine.cupool, copy)
    service.expect_named("service: module changed since recording", 0, "report", trace)
    copy.unlink()
    subprocess.run(["mkfifo", str(copy)], check=True)
    preload.expect_equal("a FIFO in its place", service.cupool("report", trace)[0], 0)


PACKAGE = """import ctypes, pathlib
native = ctypes.CDLL(str(pathlib.Path(__file__).parent / "native.so"))
native.native_take.restype = ctypes.c_void_p
def take(size):
    return native.native_take(ctypes.c_size_t(size))
"""
PROGRAM = """import sys
sys.path.insert(0, sys.argv[1])
import pack
def weights():
    return pack.take(3 << 20)
assert weights()
assert pack.take(1 << 20)
"""


def check_package(machine):
    """An installed package is not the program: the site is the program's line, with the package
    beside it."""
    for folder in ("site-packages", "dist-packages"):
        root = machine.scratch / folder
        (root / "pack").mkdir(parents=True)
        (root / "pack" / "__init__.py").write_text(PACKAGE)
        shutil.copy(machine.build / "tests/endtoend/native_package.so", root / "pack" / "native.so")
        program = machine.scratch / "infer.py"
        program.write_text(PROGRAM)
        trace = machine.scratch / f"{folder}.cupool"
        done = machine.record([sys.executable, str(program), str(root)], trace)
        preload.expect_equal(f"{folder}: exit {done.stderr.decode()}", done.returncode, 0)
        text = machine.run([str(machine.cupool), "report", str(trace)]).stdout.decode()
        for line in ("infer.py:5 weights (pack)", "infer.py:7 <module> (pack)"):
            preload.expect(line in text, f"{folder}: no {line!r} in\n{text}")
        whole = machine.run([str(machine.cupool), "report", "-f", "folded", str(trace)])
        preload.expect("native.so" in whole.stdout.decode(), f"{folder}: the stack lost the library")


INLINE = """import ctypes, dataclasses
runtime, pointer = ctypes.CDLL('libcudart.so.13'), ctypes.c_void_p()
def take(size):
    assert runtime.cudaMalloc(ctypes.byref(pointer), ctypes.c_size_t(size)) == 0
    return size
def weights():
    return take(3 << 20)
@dataclasses.dataclass
class Cache:
    size: int
    block: int = dataclasses.field(default_factory=lambda: take(2 << 20))
weights()
Cache(1)
exec(compile('def forward(): take(1 << 20)', '<eval_with_key>.0', 'exec'))
forward()
"""
# Lines that the report names as callers of take.
INLINE_LINES = {("weights", 7), ("<module>", 12), ("<module>", 13), ("<module>", 15)}


def check_inline(machine):
    """Code of `python -c` is the program; what has no file and comes from packages is not."""
    trace = machine.scratch / "inline.cupool"
    done = machine.record([sys.executable, "-c", INLINE], trace)
    preload.expect_equal(f"inline: exit {done.stderr.decode()}", done.returncode, 0)
    report = machine.report(trace)
    places = [(place["function"], place["line"]) for site in report["sites"]
              for place in (site, *(frame for caller in site["callers"] for frame in caller["path"]))]
    preload.expect(INLINE_LINES <= set(places), f"inline: {places}")
    preload.expect(not any(function in ("forward", "Cache.__init__", "__init__") for function, _ in places),
                   f"inline: generated code is named: {places}")
    text = machine.run([str(machine.cupool), "report", str(trace)]).stdout.decode()
    preload.expect("libffi" not in text and "<string>:" in text, f"inline: no line of it in\n{text}")


GENERATED = """import ctypes
runtime = ctypes.CDLL("libcudart.so.13")
pointer = ctypes.c_void_p()
for lines in range(60):
    source = "def take():\\n" + "    pass\\n" * (lines % 30) + "    runtime.cudaMalloc(ctypes.byref(pointer), 4096)\\n"
    names = {"runtime": runtime, "ctypes": ctypes, "pointer": pointer}
    exec(compile(source, "generated.py", "exec"), names)
    names["take"]()
    names.clear()
"""


def check_generated(machine):
    """Lines are cached, but code at the address of earlier code gets its own lines."""
    program, trace = machine.scratch / "generating.py", machine.scratch / "generated.cupool"
    program.write_text(GENERATED)
    done = machine.record([sys.executable, str(program)], trace)
    preload.expect_equal(f"generated: exit {done.stderr.decode()}", done.returncode, 0)
    found = {}
    for stack in machine.report(trace)["stacks"]:
        for frame in stack["frames"]:
            if frame["function"] == "take":
                found[frame["line"]] = found.get(frame["line"], 0) + stack["allocations"]
    preload.expect_equal("generated: lines", found, {line: 2 for line in range(2, 32)})


# Strings of every shape: letters of 1, 2 and 4 bytes, in the object or outside (a subclass), no
# letters of Unicode at all, NUL, control characters, a length beyond every buffer. And frames that
# are no ordinary calls. Prints the size of each block, and where it is allocated.
ODD = r"""import ctypes, sys, threading, types
runtime = ctypes.CDLL("libcudart.so.13")
runtime.cudaMalloc.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
class Text(str): pass
sizes = iter(range(1 << 20, 1 << 22, 4096))
def take(size):
    runtime.cudaMalloc(ctypes.byref(ctypes.c_void_p()), size)
def show(size, function, file, line):
    print(ascii([size, function, file, line]))
SOURCE = "def f():\n  pass\n  take(size)\nf()\n"
def named(function, file):
    size = next(sizes)
    code = compile(SOURCE, file, "exec")
    code = code.replace(co_consts=tuple(const.replace(co_name=function, co_qualname=function)
                                        if isinstance(const, types.CodeType) else const for const in code.co_consts))
    show(size, function, file, 3)
    for _ in range(3):
        exec(code, {"take": take, "size": size})
named("usual", "usual.py")
named("fonction_\xe9", "\xe9t\xe9.py")
named("\u95a2", "\u65e5.py")
named("\U0001f600", "\U0001f601.py")
named(Text("of_a_class"), Text("of_a_class.py"))
named(Text("\xe9_of_a_class"), Text("\u65e5_of_a_class.py"))
named("lone_\udc80", "lone_\udc81.py")
named("nul_\0_nul", "usual.py")
named("line\n_\x1b[31m", "two\nlines.py")
named("n" * 3000000, "f" * 3000000)
def generator():
    size = next(sizes); show(size, "generator", __file__, sys._getframe().f_lineno + 1)
    take(size)
    yield
list(generator())
def tracer(frame, event, argument):
    if event == "call" and frame.f_code.co_name == "traced":
        size = next(sizes); show(size, "tracer", __file__, sys._getframe().f_lineno + 1)
        take(size)
def traced(): pass
sys.settrace(tracer)
traced()
sys.settrace(None)
sys.setprofile(tracer)
traced()
sys.setprofile(None)
def called(argument):
    size = next(sizes); show(size, "called", __file__, sys._getframe().f_lineno + 1)
    take(size)
callback, thread = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(called), ctypes.c_ulong()
ctypes.CDLL(None).pthread_create(ctypes.byref(thread), None, callback, None)
ctypes.CDLL(None).pthread_join(thread, None)
sys.setrecursionlimit(1000)
def deepest():
    try:
        deepest()
    except RecursionError:
        pass
    return 0
def nearly(left):
    if left:
        return nearly(left - 1)
    size = next(sizes); show(size, "nearly", __file__, sys._getframe().f_lineno + 1)
    take(size)
nearly(900)
deepest()
class Ended:
    def __del__(self):
        size = next(sizes); show(size, "Ended.__del__", __file__, sys._getframe().f_lineno + 1)
        take(size)
ended = Ended()
ended.itself = ended
del ended
import gc
gc.collect()
"""


def plain_letters(text):
    """Without what a report replaces or escapes."""
    return re.sub("[^ -\ud7ff\ue000-\ufffc\U00010000-\U0010ffff]", "", text)


def is_named(name, text):
    """Whether a report has a text of the program, as a whole or cut."""
    name, text = plain_letters(name or ""), plain_letters(text)
    return name == text or (len(name) > 100 and text.startswith(name.rstrip("\u2026")))


def check_odd(machine):
    """Frames and names of all kinds: the program runs as without us, and the report has its lines."""
    program, trace = machine.scratch / "odd.py", machine.scratch / "odd.cupool"
    program.write_text(ODD)
    command = [sys.executable, str(program)]
    bare, done = machine.run(command), machine.record(command, trace, "-q")
    preload.expect_equal(f"odd: exit {bare.stderr.decode()}", bare.returncode, 0)
    preload.expect_equal("odd: as without", (done.returncode, done.stdout, done.stderr),
                         (0, bare.stdout, bare.stderr))
    report = machine.report(trace)
    found = {stack["requested_bytes"] // stack["allocations"]: stack["frames"] for stack in report["stacks"]}
    for line in bare.stdout.decode().splitlines():
        size, function, file, number = ast.literal_eval(line)
        frames = [(frame["function"], frame["file"], frame["line"]) for frame in found[size]]
        preload.expect(any(is_named(name, function) and is_named(path, file) and at == number
                           for name, path, at in frames),
                       f"odd: {function[:40]!r} in {file[:40]!r}, line {number}: {ascii(frames)[:700]}")


# From turn to turn one property of a function differs, but not its size, and, because the previous
# one is gone, not its address. A stack has two of its frames. Prints the addresses, and the names
# that a report must have there.
RECYCLED = """import ctypes
runtime = ctypes.CDLL("libcudart.so.13")
pointer = ctypes.c_void_p()
NAME, FILE = "take10", "recycled10.py"
def turn(what, number):
    before = number if what == "first" else 3
    between = number if what == "line" else 3
    name = f"take{number}" if what == "function" else NAME
    file = f"recycled{number}.py" if what == "file" else FILE
    source = ("\\n" * before + f"def {name}(deep=1):\\n" + "\\n" * between +
              f"    {name}(0) if deep else runtime.cudaMalloc(ctypes.byref(pointer), 4096)\\n" +
              "\\n" * (40 - between))
    names = {"runtime": runtime, "ctypes": ctypes, "pointer": pointer}
    exec(compile(source, file, "exec"), names)
    if what == "renamed":  # by a text that nobody hashed
        file = "".join(["recycled", str(number), ".py"])
        names[name].__code__ = names[name].__code__.replace(co_filename=file)
    code = names[name].__code__
    names[name]()
    names.clear()
    print(what, id(code), id(code.co_linetable), id(code.co_filename), id(code.co_name), file, name,
          before + between + 2)
for what in ("first", "line", "function", "file", "renamed"):
    for number in range(10, 30):
        turn(what, number)
"""


def check_recycled(machine):
    """A function at the address of an earlier one is not mistaken for it, whatever both share."""
    program, trace = machine.scratch / "recycling.py", machine.scratch / "recycled.cupool"
    program.write_text(RECYCLED)
    done = machine.record([sys.executable, str(program)], trace)
    preload.expect_equal(f"recycled: exit {done.stderr.decode()}", done.returncode, 0)
    wanted, places = {}, {}
    for line in done.stdout.decode().splitlines():
        what, *place, file, function, number = line.split()
        key = (file, function, int(number))
        wanted[key] = wanted.get(key, 0) + 2  # frames of a call
        places.setdefault((what, *place), set()).add(key)
    # The interpreter decides which addresses are reused.
    for what in ("first", "line", *(["function", "file", "renamed"]
                                    if sys.version_info[:2] == (3, 11) else [])):
        preload.expect(any(len(keys) > 1 for place, keys in places.items() if place[0] == what),
                       f"recycled: no address came twice with another {what}")
    found = {}
    for stack in machine.report(trace)["stacks"]:
        for frame in stack["frames"]:
            if (frame["function"] or "").startswith("take"):
                key = (pathlib.Path(frame["file"]).name, frame["function"], frame["line"])
                found[key] = found.get(key, 0) + stack["allocations"]
    preload.expect_equal("recycled: frames", found, wanted)


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    if not (machine.workloads / "leaky").exists():
        preload.skip("the simulated runtime was not built")
    cpp = Service(machine, "leaky", machine.scripts / "leaky.cc")
    python = Service(machine, "leaky.py", machine.scripts / "leaky.py")
    wanted = ("keep", "answer", "main")
    for service in (cpp, python):
        trace = check_lines(service)
        check_source(service, trace)
        check_fragmentation(service)
        check_stacks(service, trace, wanted)
        check_pprof(service, trace, wanted)
    alone = python.record("alone", "--leak", CUPOOL="stacks:1")
    preload.expect(all(len({f["offset"] for f in row["frames"] if not f["inlined"]}) == 1
                       for row in machine.report(alone)["stacks"]), "stacks:1 has only the caller")
    check_rebuilt(cpp, machine)
    check_package(machine)
    check_inline(machine)
    check_generated(machine)
    check_odd(machine)
    check_recycled(machine)


main()
