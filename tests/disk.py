"""A disk that fills up or is read-only, as far as one folder goes: what is written there fails as on a real one."""

import builtins
import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHANGING = ("mkdir", "replace", "rename", "unlink", "remove", "rmdir", "utime")


class Disk:
    """The disk below a folder.

    A full disk still has names: a file that is made there appears and nothing fits into it. A link to /dev/full takes
    its place, so that also libraries that are not written in Python get the system's own answer.

    Args:
        root: The folder.
        patch: Puts everything back in the end.

    Attributes:
        made: Files and folders made, and files opened to be written, so far.
    """

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root, self.made = str(root), 0
        self._is_full: Callable[[str, bool], bool] = lambda name, new: False
        self._read_only = False
        self._open_file, self._open_descriptor = io.open, os.open
        patch.setattr(builtins, "open", self._open)
        patch.setattr(io, "open", self._open)
        patch.setattr(os, "open", self._os_open)
        for name in CHANGING:
            patch.setattr(os, name, self._guarded(name, getattr(os, name)))

    def fill(self, *, after: int = 0, at: str = "", count: int = 1) -> None:
        """Full once so many things have been made, or when the ``count``-th new file of that name is."""
        state = {"left": count if at else after + 1, "full": False}

        def is_full(name: str, new: bool) -> bool:
            state["left"] -= (new and at in name) if at else True
            state["full"] = state["full"] or state["left"] <= 0
            return bool(state["full"])

        self.made, self._is_full = 0, is_full

    def free(self) -> None:
        """There is room again, and it may be written to."""
        self._is_full, self._read_only = lambda name, new: False, False

    def forbid(self) -> None:
        """Read-only."""
        self._read_only = True

    def _makes(self, path: str) -> bool:
        """Something is made: whether it does not fit any more."""
        if self._read_only:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        self.made += 1
        return self._is_full(os.path.basename(path), not os.path.lexists(path))

    def _inside(self, path: Any) -> bool:
        return isinstance(path, str | os.PathLike) and os.path.abspath(path).startswith(self.root)

    def _open(self, file: Any, mode: str = "r", *args: Any, **more: Any) -> Any:
        if not self._inside(file) or not set(mode) & set("wxa+"):
            return self._open_file(file, mode, *args, **more)
        if self._makes(os.fspath(file)) and not ("x" in mode and os.path.lexists(file)):
            if not os.path.lexists(file):
                os.symlink("/dev/full", file)
            file, mode = "/dev/full", mode.replace("x", "w")
        return self._open_file(file, mode, *args, **more)

    def _os_open(self, path: Any, flags: int, *args: Any, **more: Any) -> int:
        if self._inside(path) and flags & os.O_CREAT and self._makes(os.fspath(path)):
            os.symlink("/dev/full", path)
            flags &= ~(os.O_CREAT | os.O_EXCL)
        return self._open_descriptor(path, flags, *args, **more)

    def _guarded(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(path: Any, *args: Any, **more: Any) -> Any:
            if self._inside(path):
                if self._read_only and not (name == "mkdir" and os.path.isdir(path)):
                    raise OSError(errno.EROFS, os.strerror(errno.EROFS), os.fspath(path))
                if name == "mkdir" and not os.path.lexists(path) and self._makes(os.fspath(path)):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(path))
            return real(path, *args, **more)

        return guarded
