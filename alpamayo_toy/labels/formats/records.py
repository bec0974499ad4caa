"""Records: what a document of a file, however nested, says of each clip, as {name: value}."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from alpamayo_toy.labels.formats.fields import NO_METRES, OF_MOMENTS, Names, tokens
from alpamayo_toy.labels.untrusted.pickles import Stranger

MAX_LEVELS = 20
SHOWN = 3  # arrays that may be trajectories
IDENTITY = ("clip_id", "t0", "sample")
AXES = (("x", "y"), ("x", "y", "z"))  # of points that are objects; one that says more is not understood


@dataclass(frozen=True)
class Record:
    """What is said of one clip, or of a batch of them.

    values: by dotted names, what stands further inside in front of what encloses it. name: what a clip is called that
    has no id. sample: its place among the samples of a clip that encloses it, if there is one.
    """

    values: Mapping[str, Any]
    name: str
    sample: int | None = None


@dataclass(frozen=True)
class _Place:
    """Where the walk stands."""

    values: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    sample: int | None = None
    depth: int = 0


def records(document: Any, names: Names, stem: str) -> Iterator[Record]:
    """A record for every object that holds trajectories; of a list or of rows, for every one of their objects."""
    if isinstance(document, Iterator):
        for i, row in enumerate(document):
            yield from _walk(row, names, _Place(name=f"{stem}-{i}"))
        return
    yield from _walk(document, names, _Place(name=stem))


def _walk(node: Any, names: Names, at: _Place) -> Iterator[Record]:
    if isinstance(node, list | tuple):
        for i, item in enumerate(node):
            if isinstance(item, dict):
                inside = _Place(at.values, f"{at.name}-{i}", _place_of(item, names, at, i), at.depth + 1)
                yield from _walk(item, names, inside)
        return
    own: dict[str, Any] = {}
    children: dict[str, Any] = {}
    _flatten(node, names, "", own, children)
    if not children:
        yield Record({**at.values, **own}, at.name, at.sample)
        return
    if any(_is_teacher(key, value, names) for key, value in own.items()):
        second = next(iter(children))
        yield Record({**at.values, **own, f"{second} (a second prediction)": children[second]}, at.name, at.sample)
        return
    values = {**at.values, **own}
    around = {key: value for key, value in values.items() if not _is_weak_id(key, names)}
    single = [key for key, child in children.items() if isinstance(child, dict)]
    for key, child in children.items():
        name = key if isinstance(child, dict) and (len(single) > 1 or any(c.isdigit() for c in key)) else at.name
        inherited = values if isinstance(child, dict) else around
        yield from _walk(child, names, _Place(inherited, name, at.sample, at.depth + 1))


def _place_of(item: dict[str, Any], names: Names, at: _Place, i: int) -> int | None:
    """The place of an object in a list that one clip encloses, unless it says for itself what it is of."""
    outside = {meaning.field for key in at.values if (meaning := names.of(key))}
    return i if "clip_id" in outside and not _says(item, names) else at.sample


def _is_weak_id(key: str, names: Names) -> bool:
    """Whether a name may be that of a clip, but of a list of them is rather that of the whole."""
    meaning = names.of(key)
    return meaning is not None and meaning.field == "clip_id" and meaning.rank >= 0 and not names.is_sure(key)


def _says(item: Mapping[str, Any], names: Names, depth: int = 0) -> bool:
    """Whether an object says which clip, time or sample it is, or which moment of a clip."""
    for key, value in item.items():
        meaning = names.of(str(key))
        if meaning.field in IDENTITY if meaning is not None else tokens(str(key)) & OF_MOMENTS:
            return True
        if isinstance(value, dict) and depth < MAX_LEVELS and _says(value, names, depth + 1):
            return True
    return False


def _flatten(
    node: Mapping[Any, Any], names: Names, prefix: str, own: dict[str, Any], children: dict[str, Any], depth: int = 0
) -> None:
    """Plain values and objects without trajectories into own, by dotted names; what holds trajectories apart."""
    for key, value in node.items():
        name = f"{prefix}{key}"
        inner = _inner(value)
        if isinstance(inner, dict) or _is_objects(inner):
            if has_teacher(inner, names):
                children[name] = inner
            elif isinstance(inner, dict) and depth < MAX_LEVELS:
                _flatten(inner, names, f"{name}.", own, children, depth + 1)
            else:
                own[name] = inner
        else:
            own[name] = _plain(value)


def has_teacher(node: Any, names: Names, depth: int = 0) -> bool:
    """Whether trajectories stand in it under a name that is known."""
    node = _inner(node)
    if depth == MAX_LEVELS:
        return False
    if isinstance(node, dict):
        return any(_is_teacher(str(key), _plain(value), names) for key, value in node.items()) or any(
            has_teacher(value, names, depth + 1)
            for value in node.values()
            if isinstance(value, dict | Stranger) or _is_objects(value)
        )
    return _is_objects(node) and any(has_teacher(item, names, depth + 1) for item in node)


def has_drive(node: Any, names: Names) -> bool:
    """Whether what was driven and its history stand in an object, or in one of a list."""
    if isinstance(node, list | tuple):
        return any(has_drive(item, names) for item in node)
    if not isinstance(node, dict):
        return False
    own: dict[str, Any] = {}
    _flatten(node, names, "", own, {})
    fields = {meaning.field for key, value in own.items() if value is not None and (meaning := names.of(key))}
    return {"ground_truth", "history"} <= fields


def _inner(value: Any) -> Any:
    """What an object of a class that is not known holds; a trajectory's poses are x, y and heading. Else as _plain."""
    if not isinstance(value, Stranger):
        return _plain(value)
    if isinstance(value.state, dict) and value.name.endswith(".Trajectory") and "poses" in value.state:
        return {"trajectory_poses" if key == "poses" else key: inner for key, inner in value.state.items()}
    return value.state


def _plain(value: Any) -> Any:
    """Lists of points {x, y} or {x, y, z} as rows of numbers; all else as it is."""
    axes = _axes(value)
    return _rows(value, axes) if axes else value


def _axes(value: Any) -> tuple[str, ...]:
    """The names in the first point of lists of {x, y} or {x, y, z}; none where it is something else."""
    if not isinstance(value, list | tuple):
        return ()
    for _ in range(MAX_LEVELS):
        if not isinstance(value, list | tuple) or not value:
            break
        value = value[0]
    return next((axes for axes in AXES if isinstance(value, dict) and set(value) == set(axes)), ())


def _rows(value: Any, axes: tuple[str, ...]) -> Any:
    """Lists of points as lists of [x, y] or [x, y, z]; what is none of these stays, and is no array of numbers then."""
    if isinstance(value, list | tuple):
        return [_rows(item, axes) for item in value]
    return [value[axis] for axis in axes] if isinstance(value, dict) and set(value) == set(axes) else value


def _is_objects(value: Any) -> bool:
    """A list with objects in it."""
    return isinstance(value, list | tuple) and len(value) > 0 and any(isinstance(v, dict | Stranger) for v in value)


def _is_teacher(key: str, value: Any, names: Names) -> bool:
    meaning = names.of(key)
    if (
        meaning is None
        or meaning.field not in ("teacher", "actions")
        or isinstance(value, dict | Stranger)
        or _is_objects(value)
    ):
        return False
    if meaning.rank == -1 or names.is_sure(key):
        return True
    shape = shape_of(value)
    return len(shape) > 1 and shape[-1] in (2, 3) and is_array(value)


def is_array(value: Any) -> bool:
    """Numbers in one row or more."""
    if isinstance(value, Tensor):
        return value.dim() > 0
    if isinstance(value, np.ndarray):
        return value.ndim > 0 and value.dtype.kind in "fiu"
    while isinstance(value, list | tuple) and value:
        value = value[0]
        if isinstance(value, int | float) and not isinstance(value, bool):
            return True
    return False


def shape_of(value: Any) -> tuple[int, ...]:
    """The shape of an array, of nested lists by their first items."""
    if isinstance(value, Tensor | np.ndarray):
        return tuple(value.shape)
    shape: list[int] = []
    while isinstance(value, list | tuple) and len(shape) < MAX_LEVELS:
        shape.append(len(value))
        value = value[0] if value else None
    return tuple(shape)


def candidates(node: Any, names: Names, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of what looks like trajectories, by names that are not known."""
    node = _inner(node)
    if isinstance(node, dict) and depth < MAX_LEVELS:
        for key, value in node.items():
            plain = _plain(value)
            if is_track(str(key), plain) and names.of(str(key)) is None:
                yield f"{prefix}{key}", shape_of(plain)
            elif isinstance(value, dict | Stranger) or _is_objects(value):
                yield from candidates(value, names, f"{prefix}{key}.", depth + 1)
    elif _is_objects(node):
        yield from candidates(next(v for v in node if isinstance(v, dict | Stranger)), names, prefix, depth + 1)


def is_track(key: str, value: Any) -> bool:
    """Whether an array may hold positions: (..., T, 2 or 3), and nothing in its name that is no position."""
    shape = shape_of(value)
    if len(shape) < 2 or shape[-1] not in (2, 3) or shape[-2] < 4 or tokens(key) & NO_METRES:
        return False
    return is_array(value)
