#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the manual page cupool(1) from the help texts and the option table of the built command.

`cupool VERB --help` and the manual have one source. A help text is prose, and sections of rows ("  --name
VALUE  meaning", continued at the column of the meaning) or of examples. usage: manual.py CUPOOL DATA OUTPUT

DATA is the folder of shared files of the installation.
"""
import re
import subprocess
import sys

HEADING = re.compile(r"([A-Z][a-z ]+):$")
ROW = re.compile(r" {2,8}\S.*? {2,}(?=\S)")
DEEP = 9  # a line indented so far continues the row above it
FILES = [
    ("doc/cupool/README.md", "which problem, which command"),
    ("doc/cupool/docs", "the documents, to which help texts and headers refer as docs/"),
    ("doc/cupool/examples", "small programs with one problem each, and how to find it"),
    ("cupool/report.schema.json", "JSON Schema of reports"),
    ("cupool/grafana-dashboard.json", "a dashboard for the figures of 'cupool metrics'"),
]


def escape(text):
    """Text as roff shows it: no escapes, no requests, no hyphens where the user types a minus."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return "\\&" + text if text.startswith(".") else text


def term(text):
    """A row's name: literal text in bold, placeholders in italics."""
    def word(match):
        name = match.group(0)
        font = "I" if re.fullmatch(r"[A-Z][A-Z:]*", name) else "B"
        return f"\\f{font}{escape(name)}\\fR"
    return re.sub(r"[^\s,\[\]=]+", word, text)


class Page:
    def __init__(self, out):
        self.out = out
        self.section = None
        self.fresh = True  # nothing since the last heading or row: no paragraph break needed

    def line(self, text):
        self.out.write(text + "\n")

    def heading(self, level, text):
        self.line(f".{level} {escape(text)}")
        self.fresh = True

    def paragraph(self, text):
        if not self.fresh:
            self.line(".PP")
        self.line(escape(text))
        self.fresh = False

    def row(self, name, meaning):
        self.line(".TP\n" + term(name))
        self.line(escape(meaning) if meaning else "\\&")
        self.fresh = False

    def examples(self, lines):
        self.line(".PP\n.EX")
        for text in lines:
            self.line("    " + escape(text.strip()))
        self.line(".EE")
        self.fresh = False


def rows_of(lines):
    """Names and meanings; the meanings of a block stand in one column."""
    column = min((match.end() for match in map(ROW.match, lines) if match), default=None)
    rows = []
    for line in lines:
        if rows and len(line) - len(line.lstrip()) >= DEEP:
            rows[-1][1] += " " + line.strip()
        elif column and line[column - 1:column] == " ":
            rows.append([line[:column].strip(), line[column:].strip()])
        else:
            rows.append([line.strip(), ""])
    return rows


def blocks_of(text):
    """Runs of lines that are all indented or all not; blank lines part them."""
    block = []
    for line in text.splitlines() + [""]:
        if block and (not line or line.startswith("  ") != block[-1].startswith("  ")):
            yield block
            block = []
        if line:
            block.append(line)


def help_write(page, text):
    for block in blocks_of(text):
        heading = HEADING.match(block[-1])
        if block[0].startswith("usage: "):
            page.line(".PP\n.nf\n" + escape(" ".join(block).removeprefix("usage: ")) + "\n.fi")
            page.fresh = False
        elif block[0].startswith("  "):
            if page.section == "Examples":
                page.examples(block)
            else:
                for name, meaning in rows_of(block):
                    page.row(name, meaning)
        else:
            prose = block[:-1] if heading else block
            if prose:
                page.paragraph(" ".join(prose))
            page.section = heading.group(1) if heading else None
            if heading and page.section != "Options":
                page.line(f".PP\n.B {escape(block[-1])}")


def options_write(page, table):
    for line in table.splitlines()[2:]:
        cells = [cell.strip().replace("\\|", "|")
                 for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        key, accepted, default, meaning = cells
        name, value = key.strip("`"), default.strip("`")
        page.line(f".TP\n\\fB{escape(name)}\\fR ({escape(accepted)}; default {escape(value)})")
        page.line(escape(meaning))


def verbs_of(text):
    rows = [row for block in blocks_of(text) if block[0].startswith("  ")
            for row in rows_of(block)]
    return [name for name, meaning in rows if re.fullmatch(r"[a-z]+", name)]


def main():
    cupool, data, output = sys.argv[1:]

    def ask(*arguments):
        return subprocess.run([cupool, *arguments], text=True, check=True,
                              capture_output=True).stdout

    version, general = ask("--version").split()[1], ask("--help")
    with open(output, "w", encoding="utf-8") as out:
        page = Page(out)
        page.line(f'.TH CUPOOL 1 "" "cupool {version}" "User Commands"')
        page.heading("SH", "NAME")
        page.line(r"cupool \- device memory pools for CUDA programs, with records and reports")
        page.heading("SH", "SYNOPSIS")
        page.line(r"\fBcupool\fR \fIVERB\fR [\fIoptions\fR]")
        page.line(".br\n" + r"\fBLD_PRELOAD=libcupool.so\fR \fIPROGRAM\fR")
        page.heading("SH", "DESCRIPTION")
        help_write(page, general.partition("\n\n")[2])
        page.heading("SH", "VERBS")
        for verb in verbs_of(general):
            page.heading("SS", f"cupool {verb}")
            help_write(page, ask(verb, "--help"))
        page.heading("SH", "OPTIONS OF THE LIBRARY")
        page.line("Given as \\fBCUPOOL=\\fIkey:value,key:value\\fR, as "
                  "\\fBCUPOOL_\\fIKEY\\fB=\\fIvalue\\fR, in the file that \\fBCUPOOL_CONF\\fR names "
                  "(key = value), or by \\fBcupool run \\-O \\fIkey:value\\fR; later wins.")
        options_write(page, ask("options", "--markdown"))
        page.heading("SH", "FILES")
        for name, meaning in FILES:
            page.row(f"{data}/{name}", meaning)


if __name__ == "__main__":
    main()
