#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Turns the style sheets and scripts of the HTML report into a C file (see html_assets.h).

usage: embed.py OUTPUT.c NAME=FILE,FILE…       each NAME becomes html_asset_NAME, with its files concatenated
       embed.py OUTPUT.c --missing PACKAGE NAME…  all empty, for a build without PACKAGE
"""
import base64
import hashlib
import pathlib
import re
import sys


def asset_read(path):
    """Bytes of a file, without references to source maps, which do not exist beside a report."""
    data = re.sub(rb"(//[#@]|/\*#) ?sourceMappingURL=[^\n]*", b"", pathlib.Path(path).read_bytes())
    data = data.strip() + b"\n"
    data.decode("utf-8")
    for mark in (b"</script", b"</style", b"<!--", b"\r"):
        if mark in data.lower():
            sys.exit(f"embed.py: {path}: contains {mark.decode()!r}, which must not occur inside a page")
    return data


def asset_write(out, name, data):
    print(f"\nstatic const char {name}_text[] = {{", file=out)
    for begin in range(0, len(data), 24):
        print("    " + "".join(f"{byte if byte < 128 else byte - 256}," for byte in
                               data[begin:begin + 24]), file=out)
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    print(f"    0}};\nconst struct html_asset html_asset_{name} = "
          f'{{{name}_text, {len(data)}, "sha256-{digest}"}};', file=out)


def main():
    missing, names = None, sys.argv[2:]
    if names[0] == "--missing":
        missing, names = names[1], [f"{name}=/dev/null" for name in names[2:]]
    with open(sys.argv[1], "w", encoding="ascii") as out:
        print("/* SPDX-License-Identifier: MIT */\n/* Made by tools/report/html/assets/embed.py. */\n"
              '#include "tools/report/html/html_assets.h"\n\n#include <stddef.h>\n', file=out)
        value = f'"{missing}"' if missing else "NULL"
        print(f"const char *const html_assets_missing = {value};", file=out)
        for name, paths in (pair.split("=", 1) for pair in names):
            asset_write(out, name, b"".join(asset_read(path) for path in paths.split(",")))


main()
