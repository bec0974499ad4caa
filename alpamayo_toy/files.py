"""Files written beside their target and renamed: a killed run leaves the old file or the new one, never half of it."""

import io
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO

from alpamayo_toy.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class _Noting(io.FileIO):
    """A file that remembers what went wrong while it was written: a library that writes into it may hide it."""

    failed: OSError | None = None

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.failed = error
            raise


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A binary file that becomes path, on disk, when the block ends without an exception.

    Raises OSError that names path where it cannot be written, on a full disk say, whatever the block made of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(path)  # one name: what a killed run leaves, the next one overwrites
    raw = _Noting(partial, "w", opener=_opened_alone)
    ours = os.dup(raw.fileno()) if fcntl is not None else None  # the lock outlives the file that is renamed
    file = io.BufferedWriter(raw)
    try:
        with naming(path):
            try:
                yield file
            except Exception:
                if raw.failed is not None:
                    raise raw.failed from None
                raise
            file.flush()
            os.fsync(file.fileno())
        raw.close()
        partial.replace(path)
    except BaseException:
        raw.close()  # past the buffer, whose rest a full disk would refuse again
        partial.unlink(missing_ok=True)
        raise
    finally:
        if ours is not None:
            os.close(ours)


def _opened_alone(name: str, flags: int) -> int:
    """Open a file to write it anew: of two processes that write one file the second waits, and then writes its own.

    Raises UserError where the first has not ended after a minute.
    """
    while True:
        descriptor = os.open(name, flags & ~os.O_TRUNC, 0o666)
        if not _locked(descriptor, seconds=60):
            os.close(descriptor)
            raise UserError(f"{name} is being written by another process; wait for it, or end it")
        try:
            ours = os.path.samestat(os.fstat(descriptor), Path(name).stat())
        except FileNotFoundError:
            ours = False
        if ours:
            os.ftruncate(descriptor, 0)
            return descriptor
        os.close(descriptor)  # the first one has renamed it meanwhile


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file in the OSError of a write, which does not say where it failed."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None


def partial_of(path: Path) -> Path:
    """Where replacing() writes what is to become path, and what a killed run leaves of it."""
    return path.with_name(f".{path.name}.partial")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Indented JSON, keys in the order given; NaN and infinity, which are no JSON, as null."""
    with replacing(path) as file:
        file.write((json.dumps(_finite(content), indent=2, allow_nan=False) + "\n").encode())


def _finite(content: Any) -> Any:
    """The same with None in place of every number that is not finite."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not isfinite(content) else content


def remove_folder(folder: Path) -> None:
    """Remove a folder and all in it; a killed run leaves it whole, or the rest of it under a hidden name."""
    doomed = folder.with_name(f".{folder.name}.removed")
    shutil.rmtree(doomed, ignore_errors=True)  # what a killed run left
    folder.rename(doomed)
    shutil.rmtree(doomed)


@contextmanager
def locked(folder: Path, shared: bool = False, seconds: float = 0) -> Iterator[None]:
    """A folder that no second process may write meanwhile; with shared, none but others that share it.

    Waits so many seconds for it, then raises UserError. A lock ends with the process that holds it. Without effect
    where the file system or the operating system (Windows) knows no such lock.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if not _locked(descriptor, shared, seconds):
            raise UserError(f"{folder} is being written by another process; wait for it, or name another folder")
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int, shared: bool = False, seconds: float = 0) -> bool:
    """Lock an open file or folder; False where another process has had it for so many seconds."""
    if fcntl is None:
        return True
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)
        except OSError:
            return True  # a network file system without locks
