# SPDX-License-Identifier: MIT
"""Common parts of the package's objects: settings by name, and the order of closing."""

import weakref
from typing import Any, Dict, Iterable


def settings_set(structure: Any, settings: Dict[str, int], names: Iterable[str], what: str) -> None:
    """Sets fields of a configuration; refuses unknown names and values that a field cannot hold."""
    known = set(names)
    for name, value in settings.items():
        if name not in known:
            raise TypeError(f"{what} has no argument {name!r}; there are {', '.join(sorted(known))}")
        setattr(structure, name, value)
        if getattr(structure, name) != value:
            raise ValueError(f"{what}: {name}={value} is out of range")


class Owner:
    """A device or a pool; objects made on it are closed first."""

    def __init__(self) -> None:
        self._users: Any = weakref.WeakSet()
        self._memory: Any = weakref.WeakSet()

    def own(self, item: Any, memory: bool = False) -> None:
        """Registers an object; memory is closed last, because other objects may be copying from it."""
        (self._memory if memory else self._users).add(item)

    def close_owned(self) -> None:
        for item in [*self._users, *self._memory]:
            item.close()
