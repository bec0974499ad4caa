"""The C files as a library: compiled once by the system's compiler and kept in the user's cache, where that can be."""

import ctypes
import hashlib
import os
import platform
import subprocess
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from alpamayo_toy.files import replacing

NAMES = ("rollout", "pairs", "banded", "inverse", "squash", "action_loss")
SOURCES = [Path(__file__).with_name(f"{name}.c") for name in NAMES]
HEADERS = [Path(__file__).with_name(name) for name in ("banded.h", "sine.h")]
# no fused multiply-add: the clamp must fall on the steps where a plain loop's does
FLAGS = ("-std=c11", "-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fPIC")
SECONDS = 60  # for a compiler that hangs
KINDS = {torch.float32: "float", torch.float64: "double"}
PLAIN = (Tensor, nn.Parameter)  # and no subclass, which may be anything


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """The library, built at the first call. None with ALPAMAYO_TOY_NATIVE=0, without a compiler, or on Windows."""
    compiler = which(os.environ.get("CC", "cc"))
    if os.environ.get("ALPAMAYO_TOY_NATIVE") == "0" or compiler is None or sys.platform == "win32":
        return None
    key = hashlib.sha256(
        "\n".join([*(source.read_text() for source in SOURCES + HEADERS), *FLAGS, compiler, _processor()]).encode()
    ).hexdigest()[:16]
    with TemporaryDirectory() as aside:
        kept = _cache() / f"{key}.so"
        path = kept if _sound(kept) else _built(compiler, Path(aside), kept)
        return None if path is None else _typed(ctypes.CDLL(str(path)))


def _built(compiler: str, folder: Path, kept: Path) -> Path | None:
    """The library compiled in a folder and moved into the cache where that is ours. None, and a warning, on failure."""
    made = folder / kept.name
    command = [compiler, *FLAGS, "-shared", "-o", str(made), *map(str, SOURCES), "-lm"]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        warnings.warn(f"{compiler} does not compile the rollout ({error}): it runs in PyTorch", stacklevel=4)
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
    rolling: list[Any] = [*[ctypes.c_int64] * 2, ctypes.c_double, ctypes.c_int, *[ctypes.c_int64] * 3]
    inverting = [ctypes.c_int64] * 2 + [ctypes.c_double] * 3 + [ctypes.c_int]
    squashing: list[Any] = [ctypes.c_int64] * 2
    comparing: list[Any] = [ctypes.c_int64] * 4
    arguments: dict[str, tuple[int, list[Any]]] = {
        "rollout": (4, rolling),
        "adjoint": (5, rolling),
        "distances": (7, [ctypes.c_int64] * 6),
        "squash": (5, squashing),
        "action_loss": (6, comparing),
        "inverse": (5, inverting),
        "inverse_adjoint": (8, inverting),
    }
    for kind in KINDS.values():
        for name, (pointers, sizes) in arguments.items():
            entry = getattr(found, f"{name}_{kind}")
            entry.argtypes = [*[ctypes.c_void_p] * pointers, *sizes]
            entry.restype = None if sizes in (rolling, squashing, comparing) else ctypes.c_int
    found.banded.argtypes = [*[ctypes.c_void_p] * 9, *[ctypes.c_int64] * 3]
    found.banded.restype = ctypes.c_int
    return found


def serves(*tensors: Tensor) -> bool:
    """True where the library is there and all are plain tensors in a CPU's memory, of one dtype that it knows."""
    dtype = tensors[0].dtype
    for tensor in tensors:  # asked at every call: no generator, no set
        if type(tensor) not in PLAIN or not tensor.is_cpu or tensor.dtype != dtype or not tensor.numel():
            return False
    return dtype in KINDS and library() is not None


def flat(tensor: Tensor) -> Tensor:
    """Its numbers one after the other in memory."""
    return tensor.detach().resolve_neg().contiguous()


def function(name: str, dtype: torch.dtype) -> Callable[..., Any]:
    """One of the library's functions; where serves() is true."""
    return getattr(library(), f"{name}_{KINDS[dtype]}")  # type: ignore[no-any-return]


def in_shares(do: Callable[..., None], tensors: list[Tensor | None], rows: int, least: int) -> None:
    """do(count, where each tensor's rows lie) for all rows, or for a share of them in each of PyTorch's threads.

    The first axis of each tensor, or its first few, are those rows; a thread gets at least so many.
    """

    threads = min(torch.get_num_threads(), rows // least)
    if threads < 2:
        do(rows, *[None if t is None else t.data_ptr() for t in tensors])
        return

    def share(first: int, count: int) -> None:
        do(count, *(None if t is None else t.data_ptr() + first * (t.nbytes // rows) for t in tensors))

    many = -(-rows // threads)
    with ThreadPoolExecutor(threads) as pool:
        starts = range(0, rows, many)
        list(pool.map(share, starts, (min(many, rows - start) for start in starts)))
