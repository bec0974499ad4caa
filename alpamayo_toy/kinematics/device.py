"""Where tensors live, how this process keeps their memory, and who looks on while it computes."""

import ctypes
import platform
import sys
from collections.abc import Callable, Sequence
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

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h
MADV_HUGEPAGE = 14  # mman.h
HEAP, LARGEST_KEPT, HUGE_PAGE = 128 << 20, 32 << 20, 2 << 20


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
    """Tell glibc to keep what a training step frees for the next one, in huge pages; elsewhere nothing happens.

    PyTorch has no cache of its own on a CPU: without this, tensors of a few hundred KiB go back to the kernel after
    every step and return page by page, a fifth of the step. Pages of 4 KiB are too many for a processor to know where
    all of a large step lies: huge ones save an eighth of it.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):  # musl has none
        return
    libc.mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)
    libc.mallopt(M_TRIM_THRESHOLD, 2 * HEAP)
    libc.mallopt(M_TOP_PAD, HEAP)
    libc.malloc.restype = libc.sbrk.restype = ctypes.c_void_p
    libc.free(ctypes.c_void_p(libc.malloc(ctypes.c_size_t(LARGEST_KEPT // 2))))  # the heap grows now, by all of HEAP
    end = libc.sbrk(0)
    begin = -(-(end - HEAP) // HUGE_PAGE) * HUGE_PAGE
    libc.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), MADV_HUGEPAGE)


def seen_through() -> bool:
    """True where someone has to see every operation: torch.compile, functorch, a tracer, forward-mode derivatives."""
    if torch.compiler.is_compiling():
        return True
    traced = torch._C._is_tracing() or torch._C._len_torch_dispatch_stack() > 0
    return traced or torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def batched_by_autograd(tensor: Tensor) -> bool:
    """As in jacobian(vectorize=True) and grad(is_grads_batched=True): it takes plain operations alone."""
    return bool(is_legacy_batchedtensor(tensor))


def asked_again(grad: Tensor) -> bool:
    """In a backward pass: somebody differentiates it once more, or asks for many gradients at once."""
    return torch.is_grad_enabled() or batched_by_autograd(grad)


def plain_gradients(
    compose: Callable[..., Tensor], inputs: Sequence[Tensor], needed: Sequence[bool], grad: Tensor
) -> tuple[Tensor | None, ...]:
    """Where asked_again(): the gradients of compose(), in PyTorch's operations, at the inputs that need one."""
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        inputs = [tensor.view_as(tensor) for tensor in inputs]  # one may be there twice, with a gradient for each
        found = compose(*inputs)
    wanted = [tensor for tensor, need in zip(inputs, needed, strict=True) if need]
    grads = iter(torch.autograd.grad(found, wanted, grad, create_graph=again))
    return tuple(next(grads) if need else None for need in needed)


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
