# SPDX-License-Identifier: MIT
"""Writes a manual page from a header: manual.py HEADER VERSION OUTPUT

The page has the header's comment, its types, and each function with the comment above it; comments of
several functions in a row belong to all of them."""

import pathlib
import re
import sys

BLOCK = re.compile(r"(?P<doc>/\*\*(?:(?!\*/).)*\*/\s*)?(?P<code>CUPOOL_API[^;]+;|static inline [^{;]+)", re.DOTALL)


def prose(comment):
    """A C comment as roff paragraphs."""
    lines = [re.sub(r"^\s*/?\*+/?\s?", "", line) for line in comment.strip().splitlines()]
    lines = [re.sub(r"\s*\*/$", "", line) for line in lines]
    text, example = [], False
    for line in lines:
        line = line.replace("\\", "\\e")
        if line.startswith("    ") != example:
            example = not example
            text.append(".EX" if example else ".EE")
        text.append(".PP" if not line.strip() and not example else "\\&" + line if example or
                    line.startswith((".", "'")) else line.strip())
    if example:
        text.append(".EE")
    return "\n".join(text).strip("\n")


def page(header, version):
    source = header.read_text(encoding="utf-8")
    comments = re.findall(r"/\*.*?\*/", source, re.DOTALL)
    about = comments[1]
    first = prose(about).replace(".PP", "").strip().splitlines()[0].rstrip(".:")
    name = f"cupool_{header.stem}"
    body = source[source.index('extern "C" {\n#endif') + len('extern "C" {\n#endif'):]
    out = [f'.TH {name.upper()} 3 "" "cupool {version}" "libcupool-engine"', ".SH NAME",
           f"{name} \\- {first}", ".SH SYNOPSIS", ".nf", f"#include <cupool/{header.name}>", ".PP",
           "cc ... $(pkg-config --cflags --libs cupool-engine)", ".fi", ".SH DESCRIPTION", prose(about),
           ".SH TYPES", ".EX"]
    for code in re.findall(r"^(?:(?:enum|struct) \w+ \{\n.*?^\};|"
                           r"(?:enum|struct|typedef|#define CUPOOL_)[^\n]*;?$)", body,
                           re.DOTALL | re.MULTILINE):
        out.append(code.replace("\\", "\\e"))
    out += [".EE", ".SH FUNCTIONS"]
    for match in BLOCK.finditer(body):
        code = re.sub(r"\s+", " ", match.group("code").replace("CUPOOL_API ", "")).strip().rstrip(";") + ";"
        out += [".TP", f".B {code}", prose(match.group("doc")) if match.group("doc") else "See above."]
    out += [".SH SEE ALSO", "docs/engine.md; cupool(1) names its folder."]
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    pathlib.Path(sys.argv[3]).write_text(page(pathlib.Path(sys.argv[1]), sys.argv[2]), encoding="utf-8")
