# SPDX-License-Identifier: MIT
"""The CUDA libraries mapped by this process, without machine-dependent details."""

import os
import re

CUDA_LIBRARY = re.compile(r"lib(cuda|cudart)[-.\w]*\.so")


def paths():
    """The files of the driver and the runtime in the memory map, each once. CUPTI is the recorder's."""
    with open("/proc/self/maps") as maps:
        files = {line[line.index("/"):].strip() for line in maps if "/" in line}
    return sorted(path for path in files if CUDA_LIBRARY.match(os.path.basename(path)))


def report():
    """One line per library: its name, and whether it comes from LD_LIBRARY_PATH."""
    wanted = [os.path.realpath(part) for part in os.environ.get("LD_LIBRARY_PATH", "").split(":")]
    return [f"{os.path.basename(path)}: "
            f"{'as' if os.path.realpath(os.path.dirname(path)) in wanted else 'NOT as'} asked for"
            for path in paths()]
