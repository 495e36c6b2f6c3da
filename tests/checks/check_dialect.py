# SPDX-License-Identifier: MIT
"""One dialect of C: a blank line between the declarations that begin a block and its code, `error` for an errno
result, `!pointer`, `static_assert`, `likely` and `unlikely`, and no keyword of C++ as a name.

usage: check_dialect.py [--root DIR] [--mend]

--mend inserts the missing blank lines; the rest is for people.
"""

import argparse
import pathlib
import re

import tree

# Programs that documents and tests cite by line.
CITED = ("examples/", "tests/clients/", "tests/endtoend/programs/", "tests/gpu/", "tests/workloads/")
LITERAL = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|/\*.*?\*/|//.*')
CXX_ONLY = "tests/simgpu/host_kernel.h"
WORDS = (
    (re.compile(r"(?<![!=<>])==\s*NULL\b|\bNULL\s*=="), "a pointer is tested as !pointer"),
    (re.compile(r"\b_Static_assert\b"), "static_assert, of <assert.h>"),
    (re.compile(r"^(?!\s*#\s*define).*\b__builtin_expect\b"), "likely(x) or unlikely(x)"),
    (re.compile(r"\bint\s+(?:\w+(?:\s*=[^,;]*)?,\s*)*r\s*[=;,)]"), "an errno result is named error"),
    (re.compile(r"\bclass\b"), "class is a keyword of C++: size_class, or the field's own word"),
)
STATEMENT = {"return", "if", "for", "while", "do", "switch", "case", "default", "goto", "break",
             "continue", "else", "typedef", "asm", "__asm__"}
QUALIFIED = (r"(?:static|const|register|volatile|_Atomic|_Alignas\(\w+\)|_Thread_local|unsigned|signed|extern)"
             r"\b[\w\s*()]*?")
TYPE = rf"(?:{QUALIFIED}|(?:struct|enum|union)\s+\w+(?:\s+const)?|[A-Za-z_]\w*(?:\([^)]*\))?)"
DECLARATION = re.compile(rf"\s+{TYPE}[\s*]+(?:const\s+)?\**\(?\*?[A-Za-z_]\w*\s*(?:[=;,\[]|\)\s*\()")
LOCAL_TYPE = re.compile(r"\s+(?:static |const )*(?:struct|enum|union)\s*\w*\s*\{$")
CONTROL = re.compile(r"(?:\}\s*)?(?:else\s+)?(?:if|for|while|HASH_ITER|LIST_FOREACH|TAILQ_FOREACH)\b")


def bare(line):
    return LITERAL.sub("", line)


def is_declaration(line):
    word = re.match(r"\s+(\w+)", line)
    return bool(word) and word.group(1) not in STATEMENT and bool(
        DECLARATION.match(line) or LOCAL_TYPE.match(line))


def begins_block(lines, at):
    """Whether a line ends with the brace of a block of code."""
    text = bare(lines[at]).rstrip()
    if not text.endswith("{") or any(line.rstrip().endswith("\\") for line in lines[max(at - 1, 0):at + 1]):
        return False
    if text == "{":  # of a function, not of a type or of values
        return at > 0 and not re.match(r"(struct|enum|union|extern)\b[^()]*$|.*=$", lines[at - 1].strip())
    text = text.strip()
    return bool(CONTROL.match(text) or re.match(r"(?:\}\s*)?(?:else|do)\s*\{$|(?:case\b.*|default):\s*\{$", text))


def statement_end(lines, at):
    """The line after the statement that begins at a line, and after the comment behind it."""
    depth = 0
    while at < len(lines):
        line = lines[at]
        code = bare(line)
        opened = "/*" in code
        code = code.partition("/*")[0]
        depth += sum(map(code.count, "({[")) - sum(map(code.count, ")}]"))
        while opened and "*/" not in lines[at]:
            at += 1
        at += 1
        if depth <= 0 and code.rstrip().endswith(";"):
            return at
    return None


def missing_blanks(lines):
    """The lines before which a blank line is missing, counted from 0."""
    for begin in range(len(lines) - 1):
        if not begins_block(lines, begin):
            continue
        at, comment, declared = begin + 1, None, False
        while at is not None and at < len(lines):
            text = lines[at].strip()
            if text.startswith("/*") and (text.endswith("*/") or "*/" not in text):
                comment = at if comment is None else comment
                while "*/" not in lines[at]:
                    at += 1
                at += 1
            elif is_declaration(lines[at]):
                at, comment, declared = statement_end(lines, at), None, True
            else:
                break
        if not declared or at is None or lines[at].strip()[:1] in ("", "}", "#"):
            continue
        before = at if comment is None else comment
        if lines[before].strip() and lines[before - 1].strip():
            yield before


def words(name, lines):
    comment = False
    for number, line in enumerate(lines, 1):
        code = bare(line)
        if comment:
            comment, code = "*/" not in code, code.partition("*/")[2]
        if "/*" in code:
            comment, code = True, code.partition("/*")[0]
        for pattern, advice in WORDS:
            if pattern.search(code):
                yield f"{name}:{number}: {advice}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=pathlib.Path, default=tree.ROOT)
    parser.add_argument("--mend", action="store_true")
    arguments = parser.parse_args()
    tree.ROOT = arguments.root
    problems = []
    names = [name for name in tree.files("*.c", "*.h") if name != CXX_ONLY]
    for name in names:
        path = tree.ROOT / name
        lines = path.read_text().split("\n")
        problems += words(name, lines)
        blanks = [] if name.startswith(CITED) else list(missing_blanks(lines))
        if arguments.mend and blanks:
            for at in reversed(blanks):
                lines.insert(at, "")
            path.write_text("\n".join(lines))
        else:
            problems += [f"{name}:{at + 1}: no blank line between declarations and code" for at in blanks]
    tree.finish("dialect", problems, len(names))


main()
