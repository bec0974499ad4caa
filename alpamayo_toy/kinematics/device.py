"""Where tensors live, how this process keeps their memory, and who looks on while it computes."""

import ctypes
import platform
import sys
from collections.abc import Callable
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch._C._functorch import is_legacy_batchedtensor
from torch.autograd import forward_ad

from alpamayo_toy.errors import UserError
from alpamayo_toy.teachers.config import check_device

Made = TypeVar("Made")

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


def choose_device(name: str) -> torch.device:
    """auto takes a GPU where there is one. Raises UserError for another word and for a GPU that is not there."""
    check_device(name, "device")
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"device={name}: this machine has {torch.cuda.device_count()} CUDA devices; use cpu or auto")
    return device


def device_name(device: torch.device) -> str:
    """What the processor or the GPU is called."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def keep_freed_memory() -> None:
    """Tell glibc to keep what a training step frees for the next one; elsewhere nothing happens.

    PyTorch has no cache of its own on a CPU: without this, tensors of a few hundred KiB go back to the kernel after
    every step and return page by page, a fifth of the step.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 32 << 20)
        mallopt(M_TRIM_THRESHOLD, 256 << 20)


def seen_through() -> bool:
    """True where someone has to see every operation: torch.compile, functorch, a tracer, forward-mode derivatives."""
    if torch.compiler.is_compiling():
        return True
    traced = torch._C._is_tracing() or torch._C._len_torch_dispatch_stack() > 0
    return traced or torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def batched_by_autograd(tensor: Tensor) -> bool:
    """As in jacobian(vectorize=True) and grad(is_grads_batched=True): it takes plain operations alone."""
    return bool(is_legacy_batchedtensor(tensor))


def kept(make: Callable[..., Made], most: int = 16) -> Callable[..., Made]:
    """The same constants, the last few, without making them twice, on the CPU where no device is named.

    Whoever looks on gets his own, and leaves none to later calls.
    """

    @lru_cache(maxsize=most)
    def cached(*key: Any) -> Made:
        with torch.inference_mode(False), torch.device("cpu"):  # the default device may hold no numbers
            return make(*key)

    @wraps(make)
    def found(*key: Any) -> Made:
        return make(*key) if seen_through() else cached(*key)

    return found
