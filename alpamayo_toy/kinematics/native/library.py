"""rollout.c as a library: compiled once by the system's C compiler and kept in the user's cache, where that can be."""

import ctypes
import hashlib
import os
import platform
import subprocess
import sys
import warnings
from functools import lru_cache
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory

from alpamayo_toy.files import replacing

SOURCE = Path(__file__).with_name("rollout.c")
# no fused multiply-add: the clamp must fall on the steps where a plain loop's does
FLAGS = ("-std=c11", "-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fPIC")
SECONDS = 60  # for a compiler that hangs


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """The library, built at the first call. None with ALPAMAYO_TOY_NATIVE=0, without a compiler, or on Windows."""
    compiler = which(os.environ.get("CC", "cc"))
    if os.environ.get("ALPAMAYO_TOY_NATIVE") == "0" or compiler is None or sys.platform == "win32":
        return None
    key = hashlib.sha256("\n".join([SOURCE.read_text(), *FLAGS, compiler, _processor()]).encode()).hexdigest()[:16]
    with TemporaryDirectory() as aside:
        kept = _cache() / f"rollout-{key}.so"
        path = kept if _sound(kept) else _built(compiler, Path(aside), kept)
        return None if path is None else _typed(ctypes.CDLL(str(path)))


def _built(compiler: str, folder: Path, kept: Path) -> Path | None:
    """The library compiled in a folder and moved into the cache where that is ours. None, and a warning, on failure."""
    made = folder / kept.name
    command = [compiler, *FLAGS, "-shared", "-o", str(made), str(SOURCE)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        warnings.warn(f"{compiler} does not compile {SOURCE.name} ({error}): the rollout runs in PyTorch", stacklevel=4)
        return None
    content = made.read_bytes()
    try:
        kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(kept) as file:
            file.write(content + hashlib.sha256(content).digest())
    except OSError:  # a cache that cannot be written: this process keeps what it built
        return made
    return kept if _sound(kept) else made


def _sound(path: Path) -> bool:
    """True for a library that is whole, and that nobody but this user can have written, nor its folder."""
    try:
        for place in (path.parent, path):
            state = place.stat()
            if state.st_uid != os.geteuid() or state.st_mode & 0o022:
                return False
        content = path.read_bytes()
    except OSError:
        return False
    return hashlib.sha256(content[:-32]).digest() == content[-32:]  # the loader does not mind what follows a library


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "alpamayo_toy"


def _processor() -> str:
    """What -march=native depends on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    known = [line for line in lines if line.startswith(("model name", "flags", "Features"))][:2]
    return "\n".join([platform.machine(), platform.processor(), *known])


def _typed(found: ctypes.CDLL) -> ctypes.CDLL:
    sizes = [ctypes.c_int64, ctypes.c_int64, ctypes.c_double, ctypes.c_int]
    for kind in ("float", "double"):
        for name, pointers in (("rollout", 4), ("adjoint", 6)):
            function = getattr(found, f"{name}_{kind}")
            function.argtypes, function.restype = [*[ctypes.c_void_p] * pointers, *sizes], None
    return found
