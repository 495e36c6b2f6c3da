# SPDX-License-Identifier: MIT
"""The check `folders` fails for a folder with too many source files, and for one with a single one."""

from planted import checked, expect, finish, planted


def folder_of(count, name="pool/base", suffix="c"):
    with planted({f"{name}/file{at}.{suffix}": "" for at in range(count)} | {f"{name}/notes.md": ""}) as root:
        return checked("folders", root)


expect("two files", folder_of(2), 0)
expect("as many as may be", folder_of(35), 0)
expect("one too many", folder_of(36), 1, "pool/base/: 36 source files")
expect("a single one", folder_of(1), 1, "pool/base/: a single source file")
expect("a single script", folder_of(1, suffix="py"), 1, "pool/base/: a single source file")
expect("an exception", folder_of(1, name="include", suffix="h"), 0)
expect("an exception no longer needed", folder_of(2, name="include", suffix="h"), 1,
       "no exception any more")
finish()
