"""Arrays of numbers out of what a file holds: nested lists, tensors, numpy arrays; checked for shape, not for sense."""

from collections.abc import Iterable

import numpy as np
from torch import Tensor

from alpamayo_toy.errors import UserError

LONGEST_NAME = 1000  # characters; an array of names takes as much for each of them as for the longest


def points(where: str, value: object, dims: int, wanted: str) -> np.ndarray:
    """Positions (..., 2 or 3) of that many dimensions as (..., 3), z = 0 where there is none. Raises UserError."""
    array = numbers(where, value)
    if array.ndim != dims or array.shape[-1] not in (2, 3) or 0 in array.shape:
        raise UserError(f"{where} must have shape {wanted} (got {list(array.shape)})")
    if array.shape[-1] == 2:
        array = np.concatenate([array, np.zeros_like(array[..., :1])], -1)
    return array


def rotations(where: str, value: object, like: np.ndarray) -> np.ndarray | None:
    """Rotation matrices (..., 3, 3) beside positions (..., 3); None stays None. Raises UserError."""
    if value is None:
        return None
    array = numbers(where, value)
    if array.shape != (*like.shape[:-1], 3, 3):
        raise UserError(f"{where} must have shape {[*like.shape[:-1], 3, 3]} (got {list(array.shape)})")
    return array


def numbers(where: str, value: object) -> np.ndarray:
    """A regular array of numbers as float64, or float32 where it is that. Raises UserError."""
    if isinstance(value, Tensor):
        value = value.detach().float().numpy() if value.is_floating_point() and value.itemsize < 4 else value.numpy()
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.empty(0, dtype=object)
    if array.dtype.kind not in "fiu":
        raise UserError(f"{where} is not a regular array of numbers")
    return array if array.dtype == np.float32 else array.astype(np.float64)


def integer(where: str, value: object) -> int:
    """A whole number that fits 64 bits. Raises UserError."""
    if isinstance(value, Tensor | np.ndarray | np.generic) and np.size(value) == 1:
        value = value.item() if isinstance(value, Tensor) else np.asarray(value).item()
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
        raise UserError(f"{where} must be an integer (got {str(value)[:40]!r})")
    return value


def integers(where: str, value: object) -> np.ndarray:
    """Whole numbers (n,) as int64. Raises UserError."""
    array = np.asarray(value)
    if array.ndim != 1 or array.dtype.kind not in "iu" or bool((array > 2**63 - 1).any()):
        raise UserError(f"{where} must hold integers of 64 bits, one for each clip (got {array.dtype} {array.shape})")
    return array.astype(np.int64)


def name_of(where: str, value: object, i: int) -> str:
    """The id or source of the i-th clip. Raises UserError for one that is too long, or a number that is not exact."""
    if isinstance(value, float) and abs(value) >= 2**53:
        raise UserError(f"{where} of clip {i} is a number of more digits than are kept; write it in quotes")
    text = str(value)
    if len(text) > LONGEST_NAME:
        raise UserError(f"{where} of clip {i} has {len(text)} characters, more than {LONGEST_NAME}; shorten it")
    return text


def names(where: str, values: Iterable[object]) -> np.ndarray:
    """Ids or sources of clips as (n,) str. Raises UserError for one that is too long."""
    return np.array([name_of(where, value, i) for i, value in enumerate(values)], dtype=str)


def seconds(where: str, value: object) -> float:
    """One number of seconds above 0; 0.1 as float32 is 0.1. Raises UserError."""
    array = numbers(where, value)
    if array.size != 1 or not 0 < array.item() < np.inf:
        raise UserError(f"{where} must be one number of seconds above 0 (got {str(value)[:40]})")
    return round(float(array.item()), 6)
