# SPDX-License-Identifier: MIT
"""Requirements of a client: it skips (77) with the reason if one is missing.

On hardware it runs under the available Python, so libraries or their devices can be missing.
"""

import importlib
import sys

SKIPPED = 77


def skip(reason):
    print(f"skipped: {' '.join(str(reason).split())[:200]}")
    sys.exit(SKIPPED)


def library(name):
    """The module; an import can fail in other ways than by its absence."""
    try:
        return importlib.import_module(name)
    except Exception as error:  # pylint: disable=broad-except
        return skip(f"no {name}: {error}")


def device(name, count):
    """`count` returns the number of devices that the library sees, or raises an error."""
    try:
        found = count()
    except Exception as error:  # pylint: disable=broad-except
        return skip(f"{name} has no device: {error}")
    return found or skip(f"{name} has no device")


def verdict(right):
    return "right" if right else "WRONG"
