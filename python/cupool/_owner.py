# SPDX-License-Identifier: MIT
"""What objects of the package have in common: settings by name, and who is closed before whom."""

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
    """A device or a pool: what was made on it is closed before it.

    It is kept until then, also where the program has dropped it: the library's object under it has
    not ended with it, and still uses its owner.
    """

    def __init__(self) -> None:
        self._users: Dict[int, Any] = {}
        self._memory: Dict[int, Any] = {}

    def own(self, item: Any, memory: bool = False) -> None:
        """Memory is closed last: the others may be copying from it."""
        (self._memory if memory else self._users)[id(item)] = item

    def disown(self, item: Any) -> None:
        """It is closed."""
        self._users.pop(id(item), None)
        self._memory.pop(id(item), None)

    def close_owned(self) -> None:
        """The newest first. Closes all, then raises the first error that there was."""
        errors = []
        for owned in (self._users, self._memory):
            for item in reversed(list(owned.values())):
                try:
                    item.close()
                except OSError as error:
                    errors.append(error)
            owned.clear()
        if errors:
            raise errors[0]
