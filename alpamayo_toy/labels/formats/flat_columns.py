"""The columns of flat Parquet: which are read, under which name, and what they must hold."""

import math
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.formats.fields import (
    CLOSER,
    NAMES,
    NO_METRES,
    OF_OTHERS,
    OF_STEPS,
    OF_TRACKS,
    Names,
    tokens,
)
from alpamayo_toy.labels.untrusted.parquet_file import batches, opened

KEYS_AT_ONCE = 250_000  # rows
KEYS = ("clip_id", "t0_us", "sample_idx")
NEEDED = (*KEYS, "pred_xyz")
PAIRS = (("pred_xyz", "pred_rot"), ("gt_xyz", "gt_rot"), ("hist_xyz", "hist_rot"))
SHAPES = {name: shape for pair in PAIRS for name, shape in zip(pair, ((3,), (3, 3)), strict=True)}
SIZES = {name: math.prod(shape) for name, shape in SHAPES.items()}
"""Columns of lists, and how many numbers each has for a waypoint."""
PER_CLIP = {
    "gt_xyz": "ground_truth",
    "gt_rot": "ground_truth_rotation",
    "hist_xyz": "history",
    "hist_rot": "history_rotation",
}
"""Columns that say the same in every sample's row: the first one's is taken."""

FIELDS = {
    "clip_id": "clip_id",
    "t0": "t0_us",
    "sample": "sample_idx",
    "teacher": "pred_xyz",
    "rotation": "pred_rot",
    "ground_truth": "gt_xyz",
    "ground_truth_rotation": "gt_rot",
    "history": "hist_xyz",
    "history_rotation": "hist_rot",
    "text": "coc",
    "v0": "v0",
    "source": "source",
    "dt": "dt",
}
"""What columns are called here, by the fields that they name."""


def named_here(columns: Iterable[str], names: Names) -> dict[str, str]:
    """The columns that say what is read here, under their names here: the surest for each field."""
    ranked = [(meaning, column) for column in columns if (meaning := names.of(column)) and meaning.field in FIELDS]
    found: dict[str, str] = {}
    for meaning, column in sorted(ranked, key=lambda one: one[0].rank):
        found.setdefault(FIELDS[meaning.field], column)
    return found


def matches(columns: Collection[str], names: Names = NAMES) -> bool:
    """Whether these are the columns of flat Parquet: a row a clip, t0 in microseconds and sample, positions in a row.

    What may need a closer look, as two columns of predictions or a rate in place of a step, is none.
    """
    found = named_here(columns, names)
    fields = [meaning.field for column in columns if (meaning := names.of(column))]
    if {"rate", "duration", "times"} & set(fields) or any(tokens(column) & CLOSER for column in columns):
        return False
    if any(fields.count(name) > 1 for name in ("teacher", "ground_truth", "history")):
        return False
    scales = [meaning.scale for name in ("t0_us", "dt") if name in found and (meaning := names.of(found[name]))]
    tracks = [found[name] for name in SHAPES if name in found and name.endswith("_xyz")]
    return set(NEEDED) <= set(found) and set(scales) == {1.0} and all("xyz" in name.lower() for name in tracks)


def keys_of(path: Path, names: Names) -> set[tuple[str, str]]:
    """The clips and times of a file, if it is flat Parquet. Raises UserError."""
    with opened(path) as file:
        if not matches(file.schema_arrow.names, names):
            return set()
        named = named_here(file.schema_arrow.names, names)
        found: set[tuple[str, str]] = set()
        for keys in batches(path, file, KEYS_AT_ONCE, [named["clip_id"], named["t0_us"]]):
            clips, times = (keys.column(named[name]).to_pylist() for name in KEYS[:2])
            found |= set(zip(map(str, clips), map(str, times), strict=True))
        return found


def refuse_passed_over(path: Path, schema: Any, names: Names) -> None:
    """Raise UserError for a column that may be the length of a step, or trajectories, by a name that is not known."""
    said = names.dt is not None or any((m := names.of(column)) and m.field == "dt" for column in schema.names)
    for column, kind in zip(schema.names, schema.types, strict=True):
        words = tokens(column)
        if names.of(column) is not None or words & OF_OTHERS:
            continue
        if words & OF_STEPS and not said:
            raise UserError(f"{path}: column {column} may be the length of a step; say it in seconds: --map dt=0.1")
        if _is_floats(kind) and words & OF_TRACKS and not words & NO_METRES:
            raise UserError(
                f"{path}: column {column} could matter and is not understood; say what it is"
                f" (--map ground_truth={column}, or history) or that it is nothing (--map ignore={column})"
            )


def checked_columns(path: Path, schema: Any, named: dict[str, str]) -> list[str]:
    """The columns that are read. Raises UserError for one that is doubled or of another type."""
    import pyarrow.types as types  # type: ignore[import-untyped]

    checks = {
        **dict.fromkeys(("clip_id", "source"), (is_text, "strings")),
        **dict.fromkeys(("t0_us", "sample_idx"), (types.is_integer, "integers")),
        **dict.fromkeys(("v0", "dt"), (types.is_floating, "floats")),
        **dict.fromkeys(SIZES, (_is_floats, "lists of floats")),
        "coc": (_is_texts, "strings, or lists of them"),
    }
    found = []
    for name, (check, wanted) in checks.items():
        column = named.get(name, name)
        if schema.names.count(column) > 1:
            raise UserError(f"{path} has {schema.names.count(column)} columns {column}; keep one of them")
        if column not in schema.names or (name not in NEEDED and types.is_null(schema.field(column).type)):
            continue
        kind = schema.field(column).type
        if not check(kind):
            raise UserError(f"{path}: column {column} must hold {wanted} (got {kind})")
        if types.is_fixed_size_list(kind) and name in SIZES:
            check_sizes(path, name, np.array([kind.list_size]), ["(every one)"])
        found.append(name)
    return found


def is_text(kind: Any) -> bool:
    """Whether a column of that type holds strings."""
    import pyarrow.types as types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_list(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_texts(kind: Any) -> bool:
    while _is_list(kind):
        kind = kind.value_type
    return is_text(kind)


def _is_floats(kind: Any) -> bool:
    import pyarrow.types as types

    return _is_list(kind) and bool(types.is_floating(kind.value_type))


def check_sizes(path: Path, name: str, lengths: np.ndarray, who: Sequence[str] | np.ndarray) -> None:
    """Raise UserError for lists that hold no whole number of waypoints."""
    wrong = (lengths <= 0) | (lengths % SIZES[name] != 0)
    if wrong.any():
        row = int(wrong.argmax())
        wanted = f"every waypoint takes {SIZES[name]}"
        raise UserError(f"{path}: {name} of clip {who[row]} holds {lengths[row]} numbers; {wanted}")
