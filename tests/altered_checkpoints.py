"""Alterations of a checkpoint: every leaf deleted, retyped, resized, made NaN, nested, with strange values."""

import copy
import math
import random
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

Path = tuple[Any, ...]
STRANGE: tuple[Any, ...] = (
    *(None, True, -1, 0, 10**6, 10**12, 2**70, 0.5, -0.5, 1e39, math.inf, math.nan, "", "text", "a\nb", b"bytes"),
    *([], [[]], {}, {"a": 1}, {1: 2}, (), torch.tensor(1.0), torch.zeros(3), torch.tensor([math.nan])),
)


def leaves(content: Any, path: Path = ()) -> Iterator[Path]:
    """The way to everything in a checkpoint, containers among it."""
    if path:
        yield path
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, inner in items:
        yield from leaves(inner, (*path, key))


def alterations(content: dict[str, Any]) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """A name and what makes the altered content, of each alteration."""
    for path in leaves(content):
        value = content
        for key in path:
            value = value[key]
        for name, change in _changes(value):
            yield f"{'/'.join(map(str, path))}: {name}", _altered(content, path, change)


def some(content: dict[str, Any], count: int, seed: int) -> list[tuple[str, Callable[[], dict[str, Any]]]]:
    """So many of them."""
    return random.Random(seed).sample(list(alterations(content)), count)


REMOVED = object()


def _changes(value: Any) -> Iterator[tuple[str, Any]]:
    """What a leaf is replaced by."""
    yield "deleted", REMOVED
    yield "nested", [value]
    yield "named", {"value": value}
    if isinstance(value, Tensor):
        yield "resized", torch.cat([value.flatten(), value.flatten()])
        yield "emptied", value.flatten()[:0]
        yield "expanded", value.flatten()[:1].expand(300, 300) if value.numel() else None
        yield "turned", value.mT if value.dim() > 1 else value.unsqueeze(0)
        for dtype in (torch.float64, torch.bfloat16, torch.int64, torch.bool, torch.float32):
            if dtype != value.dtype:
                yield str(dtype), value.to(dtype)
        if value.is_floating_point():
            for number in (math.nan, math.inf):
                yield str(number), torch.full_like(value, number)
        yield from (("text", "text"), ("number", 1.0), ("nothing", None))
        return
    if isinstance(value, dict):
        yield "more", {**value, "strange": 1}
        yield "numbered", {**value, 7: 1}
    for other in STRANGE:
        if type(other) is not type(value) or other is not value:
            yield f"{type(other).__name__} {str(other)[:20]!r}", other


def _altered(content: dict[str, Any], path: Path, change: Any) -> Callable[[], dict[str, Any]]:
    def make() -> dict[str, Any]:
        made = copy.deepcopy(content)
        place: Any = made
        for key in path[:-1]:
            place = place[key]
        if change is REMOVED:
            del place[path[-1]]
        else:
            place[path[-1]] = change
        return made

    return make
