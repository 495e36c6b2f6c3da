# SPDX-License-Identifier: MIT
"""Common parts of the package's objects: settings by name, and the order of closing."""

import contextlib
import traceback
from typing import Any, Callable, Dict, Iterable, Optional, TypeVar, Union


def settings_set(structure: Any, settings: Dict[str, int], names: Iterable[str], what: str) -> None:
    """Sets fields of a configuration; refuses unknown names and values that a field cannot hold."""
    known = set(names)
    for name, value in settings.items():
        if name not in known:
            raise TypeError(f"{what} has no argument {name!r}; it accepts {', '.join(sorted(known))}")
        try:
            setattr(structure, name, value)
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from None


def answers(function: Callable[..., int], otherwise: int) -> Callable[..., int]:
    """Makes the body of a callback. What ctypes returns to the library after an exception is undefined."""
    def call(*arguments) -> int:
        try:
            return function(*arguments)
        except BaseException:  # pylint: disable=broad-exception-caught
            with contextlib.suppress(Exception):
                traceback.print_exc()
            return otherwise
    return call


def text(value: Union[str, bytes], what: str) -> bytes:
    """A string as the library takes it, which would end at a null character."""
    encoded = value.encode() if isinstance(value, str) else value
    if b"\0" in encoded:
        raise ValueError(f"{what}: a null character in {value!r}")
    return encoded


_Self = TypeVar("_Self", bound="Handle")


class Handle:
    """An object of the library until it is closed; `with` closes it.

    A class sets `_what`, the begin of the error of a closed object, and defines `_destroy`.
    """

    _what = "the object is"
    _handle: Optional[int] = None

    @property
    def handle(self) -> int:
        if self._handle is None:
            raise ValueError(f"{self._what} closed")
        return self._handle

    def _close_first(self) -> None:
        """Closes what uses the object."""

    def _destroy(self, handle: int) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Ends the object, and first all that uses it; a second call does nothing."""
        if self._handle is not None:
            try:
                self._close_first()
            finally:
                self._destroy(self._handle)
                self._handle = None

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *unused) -> None:
        self.close()


class Owner(Handle):
    """A device or a pool; objects made on it are closed first.

    They are kept until they are closed, even if the program has dropped them: the library's object
    still exists then, and uses its owner.
    """

    def __init__(self) -> None:
        self._users: Dict[int, Any] = {}
        self._memory: Dict[int, Any] = {}

    def own(self, item: Any, memory: bool = False) -> None:
        """Registers an object; memory is closed last, because other objects may be copying from it."""
        (self._memory if memory else self._users)[id(item)] = item

    def disown(self, item: Any) -> None:
        """Removes an object that is closed."""
        self._users.pop(id(item), None)
        self._memory.pop(id(item), None)

    def _close_first(self) -> None:
        """Closes all that is on it, the newest first, then raises the first error."""
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
