# SPDX-License-Identifier: MIT
"""What objects of the package have in common: settings by name, and who is closed before whom."""

import weakref
from typing import Any, Dict, Iterable


def settings_set(structure: Any, settings: Dict[str, int], names: Iterable[str], what: str) -> None:
    """Fields of a configuration; a name that there is not, or a figure that the field cannot hold, is
    refused."""
    known = set(names)
    for name, value in settings.items():
        if name not in known:
            raise TypeError(f"{what} has no argument {name!r}; there are {', '.join(sorted(known))}")
        setattr(structure, name, value)
        if getattr(structure, name) != value:
            raise ValueError(f"{what}: {name}={value} is out of range")


class Owner:
    """A device or a pool: what was made on it is closed before it."""

    def __init__(self) -> None:
        self._users: Any = weakref.WeakSet()
        self._memory: Any = weakref.WeakSet()

    def own(self, item: Any, memory: bool = False) -> None:
        """Memory is closed last: the others may be copying from it."""
        (self._memory if memory else self._users).add(item)

    def close_owned(self) -> None:
        for item in [*self._users, *self._memory]:
            item.close()
