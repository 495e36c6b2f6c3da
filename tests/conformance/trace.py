# SPDX-License-Identifier: MIT
"""Reads the records of a trace as the format's header describes them, for the checks."""

import collections
import re
import struct

BLOCK = 65536
SLOT = 64
RECORD = struct.Struct("<HHBBHIIQQQQIIQ")
FIELDS = ("kind api outcome memory device thread latency time size address site context stream "
          "value")
Record = collections.namedtuple("Record", FIELDS)
PLAIN = 1 << 31  # shorter latencies are plain nanoseconds


def latency_ns(latency):
    """The nanoseconds of a latency, as rounded in a record."""
    if latency < PLAIN:
        return latency
    return (1 << 26 | latency & (1 << 26) - 1) << (latency >> 26 & 31) + 5


def names(definitions, macro):
    """Numbers and names of one kind of row in events.def."""
    with open(definitions, encoding="utf-8") as file:
        rows = re.findall(rf"^{macro}\((\w+), (\d+),", file.read(), re.M)
    return {int(number): name for name, number in rows}


class Trace:
    def __init__(self, path, definitions):
        with open(path, "rb") as file:
            self._read(file.read(), definitions)

    @classmethod
    def of(cls, data, definitions):
        """The trace in a byte string."""
        trace = cls.__new__(cls)
        trace._read(data, definitions)
        return trace

    def _read(self, data, definitions):
        self.kinds = names(definitions, "TRACE_EVENT")
        self.outcomes = names(definitions, "TRACE_OUTCOME")
        self.memories = names(definitions, "TRACE_MEMORY")
        self.texts = {}
        self.records = []
        for start in range(BLOCK, len(data) - BLOCK + 1, BLOCK):
            self._block(data[start:start + BLOCK])

    def _block(self, block):
        slot = 1
        while slot < BLOCK // SLOT:
            record = Record(*RECORD.unpack_from(block, slot * SLOT))
            record = record._replace(latency=latency_ns(record.latency))
            slot += 1
            if record.kind == 0:
                return
            if self.kinds[record.kind] in ("STRING", "CARRY", "CHECKPOINT"):
                text = block[slot * SLOT:slot * SLOT + record.size]
                if self.kinds[record.kind] == "STRING":
                    self.texts[record.value] = text.decode(errors="replace")
                slot += -(-record.size // SLOT)
            self.records.append(record)

    def order(self, record):
        """The time at which a record takes effect: the begin of the call for a free, else its
        end."""
        return record.time - (record.latency if self.kinds[record.kind] == "FREE" else 0)

    def count(self, kind, api=None, outcome=None):
        return sum(1 for record in self.records
                   if self.kinds[record.kind] == kind and
                   (api is None or self.texts.get(record.api) == api) and
                   (outcome is None or self.outcomes[record.outcome] == outcome))

    def calls(self):
        """Counts of each function, by kind of record."""
        return collections.Counter((self.kinds[record.kind], self.texts.get(record.api))
                                   for record in self.records
                                   if self.kinds[record.kind] in ("ALLOCATE", "FREE"))
