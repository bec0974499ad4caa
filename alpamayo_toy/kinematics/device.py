"""Where tensors live, how this process keeps their memory, and who looks on while it computes."""

import ctypes
import sys

import torch

from alpamayo_toy.errors import UserError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


def choose_device(name: str) -> torch.device:
    """auto takes a GPU where there is one. Raises UserError for a GPU that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"device={name}: this machine has {torch.cuda.device_count()} CUDA devices; use cpu or auto")
    return device


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
    """True where torch.compile or a functorch transform (vmap, jacrev, ...) has to see every operation."""
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
