# SPDX-License-Identifier: MIT
"""The check `rules` fails for each planted breach, and only for that."""

from planted import checked, expect, finish, planted

LICENCE = "/* SPDX-License-Identifier: MIT */\n"
PYTHON_LICENCE = "# SPDX-License-Identifier: MIT\n"


def of(text, name="shim/a/a.c", licence=LICENCE):
    with planted({name: licence + text}) as root:
        return checked("rules", root)


expect("a tree in order", of('const char *const text = "the trace is incomplete";\n'), 0)
expect("no licence", of("int a;\n", licence=""), 1, "shim/a/a.c: no SPDX line")
expect("a long file", of("\n" * 800), 1, "more than 800")
expect("an unfinished mark", of("/* " + "TO" + "DO */\n"), 1, "a.c:2: unfinished mark")
expect("an end of the host", of("void f(void) { abort(); }\n"), 1, "a.c:2: the preload must never end its host")
expect("the same in the tool", of("void f(void) { abort(); }\n", "tools/a/a.c"), 0)
expect("output of the preload", of('void f(void) { puts("a"); }\n'), 1, "a.c:2: the preload must not print")
expect("a terminal that is taken", of("int f = open(a, O_RDONLY | O_NONBLOCK);\n"), 1, "a.c: open with O_NOCTTY")
expect("the same in a directory", of("int f = openat(a, b, O_RDONLY | O_NONBLOCK);\n"), 1, "a.c: open with O_NOCTTY")
expect("a terminal that is not", of("int f = open(a, O_RDONLY | O_NONBLOCK | O_NOCTTY);\n"), 0)
expect("a directory that a test leaves", of("import tempfile\ntempfile." + "mkd" + "temp()\n", "tests/a/a.py", PYTHON_LICENCE), 1,
       "tests/a/a.py: remove the directory")
expect("a directory within that of the test",
       of("import tempfile\ntempfile.mkdtemp(dir=work)\n", "tests/a/a.py", PYTHON_LICENCE), 0)
expect("a message in another dialect", of('const char *const text = "a block whose owner ended";\n', "tools/a/a.c"), 1,
       "a.c:2: say it in the terms of the trade: 'whose'")
expect("a comment is not a message", of('/* "a block whose owner ended" */\n', "tools/a/a.c"), 0)
expect("a name is not a message", of('const char *const text = "whose";\n', "tools/a/a.c"), 0)
finish()
