# SPDX-License-Identifier: MIT
"""The check `dialect` fails for each habit of another dialect, and mends missing blank lines."""

from planted import checked, expect, finish, planted

NAME = "pool/base/a.c"
NO_BLANK = "no blank line between declarations and code"


def text_of(text, *arguments):
    """The status and output for a tree with this text, and the text after the check."""
    with planted({NAME: text}) as root:
        return checked("dialect", root, *arguments), (root / NAME).read_text()


def body(*lines):
    return "\n".join(["int f(void)", "{", *(f"    {line}" if line else "" for line in lines), "}", ""])


def good(what, *lines):
    expect(what, text_of(body(*lines))[0], 0)


def bad(what, advice, at, *lines):
    expect(what, text_of(body(*lines))[0], 1, f"{NAME}:{at}: {advice}")


good("a blank line", "int error = g();", "", "return error;")
good("no declaration", "g();", "return 0;")
good("declarations alone", "int error = g();")
good("values over lines", "static const int values[] = {", "    1,", "};", "", "return values[0];")
bad("no blank line", NO_BLANK, 4, "int error = g();", "return error;")
bad("several declarations", NO_BLANK, 6, "struct a b = {0};", "const char *c, *d;", "CUresult (*e)(int) = f;",
    "g();")
bad("a comment before the code", NO_BLANK, 4, "int error = g();", "/* Why. */", "return error;")
bad("a comment behind a declaration", NO_BLANK, 5, "int error; /* of", "            * g() */", "return 0;")
bad("an inner block", NO_BLANK, 5, "while (g()) {", "    int error = g();", "    h(error);", "}")
bad("a null pointer", "a pointer is tested as !pointer", 3, "return p == NULL;")
good("a null pointer in a comment", "/* p == NULL */", "return !p;")
bad("a result", "an errno result is named error", 3, "int at, r = 0;", "", "return r;")
bad("an assertion", "static_assert, of <assert.h>", 3, '_Static_assert(1, "");')
bad("a hint", "likely(x) or unlikely(x)", 3, "return __builtin_expect(g(), 1);")
expect("the hint's own name", text_of("#define likely(x) __builtin_expect(!!(x), 1)\n")[0], 0)
bad("a keyword of C++", "class is a keyword of C++", 3, "int class;")

mended = text_of(body("int error = g();", "/* Why. */", "return error;"), "--mend")
expect("a mend", mended[0], 0)
if mended[1] != body("int error = g();", "", "/* Why. */", "return error;"):
    expect("the mended text", (1, mended[1]), 0)
finish()
