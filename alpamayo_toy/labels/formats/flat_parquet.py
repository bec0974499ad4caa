"""Flat Parquet, a row per clip, t0 and sample: clip_id, t0_us, sample_idx, pred_xyz, and more where it is known.

pred_xyz, gt_xyz (lists of 3 T floats) and hist_xyz (3 H) are x, y, z of one waypoint after the other; pred_rot, gt_rot
and hist_rot (9 T, 9 H) are rotation matrices row by row. Also read: coc, v0, source, dt. Needs pyarrow.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from alpamayo_toy.errors import UserError
from alpamayo_toy.kinematics.trajectory import DT, HORIZON
from alpamayo_toy.labels.formats.fields import NAMES, Names
from alpamayo_toy.labels.formats.flat_columns import (
    KEYS,
    KEYS_AT_ONCE,
    NEEDED,
    PAIRS,
    PER_CLIP,
    SHAPES,
    SIZES,
    check_sizes,
    checked_columns,
    is_text,
    named_here,
    refuse_passed_over,
)
from alpamayo_toy.labels.formats.raw import RawClips
from alpamayo_toy.labels.untrusted.arrays import names as names_of
from alpamayo_toy.labels.untrusted.memory import check_shape, half_of_memory
from alpamayo_toy.labels.untrusted.parquet_file import batches, opened
from alpamayo_toy.labels.untrusted.texts import flat_text

CLIPS_AT_ONCE = 1024
SORTED_HERE = 2_000_000  # rows, from that many on a file must come sorted


def clips(path: Path, shards: Sequence[Path] = (), names: Names = NAMES) -> Iterator[RawClips | UserError]:
    """Batches of up to about 1024 clips, neighbours with equally many samples and steps together.

    Rows of one clip and t0 must be neighbours, in a file and on into the next of its shards; fewer than 2 million rows
    are sorted where they are not. What is null holds NaN; a column that is null throughout a batch counts as absent.
    A UserError in place of a clip that has a sample twice with other trajectories. Raises UserError.
    """
    with ExitStack() as stack:
        files = [_Shard.of(one, stack.enter_context(opened(one)), names) for one in (path, *shards)]
        if len({tuple(sorted(file.named)) for file in files}) > 1:
            raise UserError(f"{path} and the files that share its clips have other columns; give all of them the same")
        rows_per_clip, neighbours = _runs(files)
        size = CLIPS_AT_ONCE * rows_per_clip
        tables = _streamed(files, size) if neighbours else _sorted(files, size)
        for table in _whole_clips(tables):
            for raw in _made(path, table):
                if isinstance(raw, UserError):
                    yield raw
                else:
                    yield replace(raw, dt=raw.dt if names.dt is None else names.dt, notes=files[0].notes)


class _Shard(NamedTuple):
    """An open file: the columns that are read of it by their names here, and the others."""

    path: Path
    file: Any
    named: dict[str, str]
    notes: frozenset[str]

    @classmethod
    def of(cls, path: Path, file: Any, names: Names) -> "_Shard":
        columns = file.schema_arrow.names
        named = named_here(columns, names)
        for name in NEEDED:
            if name not in named:
                raise UserError(f"{path} has no column {name}; it must hold {', '.join(NEEDED)}")
        refuse_passed_over(path, file.schema_arrow, names)
        read = checked_columns(path, file.schema_arrow, named)
        known = {column for column in columns if names.of(column)}
        unread = frozenset(f"not read: {column}" for column in columns if column not in known)
        return cls(path, file, {name: named[name] for name in read}, unread)

    def renamed(self, table: Any) -> Any:
        """A table of its columns under their names here, in one order."""
        return table.select(list(self.named.values())).rename_columns(list(self.named))

    def key_batches(self) -> Iterator[Any]:
        """Batches of the keys alone."""
        columns = [self.named[name] for name in KEYS]
        for table in batches(self.path, self.file, KEYS_AT_ONCE, columns):
            yield table.select(columns).rename_columns(list(KEYS))


def _runs(files: list[_Shard]) -> tuple[int, bool]:
    """Rows per clip on average, rounded up, and whether rows of one clip and t0 are neighbours, from the keys only."""
    hashes: list[np.ndarray] = []
    rows, last = 0, None
    for path, batch in ((file.path, batch) for file in files for batch in file.key_batches()):
        for name in KEYS:
            nulls = batch.column(name).is_null().to_numpy(zero_copy_only=False)
            if nulls.any():
                raise UserError(f"{path}: {name} of row {rows + int(nulls.argmax())} is null; every row must have one")
        if not batch.num_rows:
            continue
        first = _starts(batch)
        keys = zip(*(batch.column(name).take(first).to_pylist() for name in KEYS[:2]), strict=True)
        runs = np.fromiter(map(hash, keys), dtype=np.int64)
        hashes.append(runs[1:] if runs[0] == last else runs)
        rows, last = rows + batch.num_rows, runs[-1]
    if rows == 0:
        raise UserError(f"{files[0].path} holds no clips")
    every = np.concatenate(hashes)
    different = len(np.unique(every))
    return -(-rows // different), different == len(every)


def _starts(rows: Any) -> Any:
    """Rows of a table or batch at which another clip or t0 begins, the first among them, as int64."""
    changes = np.ones(rows.num_rows, dtype=bool)
    names = _whole(rows.column("clip_id")).dictionary_encode().indices.to_numpy(zero_copy_only=False)
    times = _whole(rows.column("t0_us")).to_numpy(zero_copy_only=False)
    changes[1:] = (names[1:] != names[:-1]) | (times[1:] != times[:-1])
    return np.flatnonzero(changes)


def _whole(column: Any) -> Any:
    """A column as one array."""
    return column.combine_chunks() if hasattr(column, "combine_chunks") else column


def _streamed(files: list[_Shard], size: int) -> Iterator[Any]:
    for shard in files:
        for batch in batches(shard.path, shard.file, size, list(shard.named.values())):
            yield shard.renamed(batch)


def _sorted(files: list[_Shard], size: int) -> Iterator[Any]:
    """Pieces of the whole of all files in the order of clip, t0 and sample."""
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.compute as pc  # type: ignore[import-untyped]

    every = [shard.file.metadata for shard in files]
    taken = sum(part.row_group(i).total_byte_size for part in every for i in range(part.num_row_groups))
    if sum(part.num_rows for part in every) >= SORTED_HERE or taken > half_of_memory() // 2:
        reason = "rows of one clip and t0 are not neighbours, and the file is too large to be sorted here"
        raise UserError(f"{files[0].path}: {reason}; write it sorted by {', '.join(KEYS)}")
    table = pa.concat_tables(_streamed(files, CLIPS_AT_ONCE))
    keys = table.select(list(KEYS))
    keys = keys.set_column(0, KEYS[0], keys.column(0).cast(pa.string()))
    order = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in KEYS])
    for start in range(0, len(order), size):
        yield table.take(order.slice(start, size))


def _whole_clips(tables: Iterable[Any]) -> Iterator[Any]:
    """Tables that cut no clip in two: the last clip of each goes in front of the next one."""
    import pyarrow as pa

    waiting = None
    for table in tables:
        following = table
        if waiting is not None:
            cut = int(_starts(waiting)[-1])
            if cut > 0:
                yield waiting.slice(0, cut)
            following = pa.concat_tables([waiting.slice(cut), table])
        waiting = following
    yield waiting


def _made(path: Path, table: Any) -> Iterator[RawClips | UserError]:
    """The clips of a table that cuts none, in runs that agree in samples, steps, dt and in having a v0."""
    table, again, faults = _by_sample(path, table)
    yield from faults
    if not table.num_rows:
        return
    starts = _starts(table)
    check_shape(f"{path}: one of its clips", int(np.diff(starts, append=table.num_rows).max()), 0)
    names = names_of(f"{path}: clip_id", table.column("clip_id").take(starts).to_pylist())
    counts = np.diff(starts, append=table.num_rows)
    heads = table.take(starts)
    lists = _lists(path, table, heads, names, counts)
    v0, dt = _floats(heads, "v0", np.nan), _steps(path, heads, names)
    rest = {"source": _sources(path, heads), "t0_us": _whole(heads.column("t0_us")).cast("int64").to_numpy().copy()}
    each = _own_texts(table, starts, counts)
    rest |= _texts(path, table if each else heads, np.repeat(names, counts) if each else names)
    shapes = [counts, dt, np.isnan(v0), *(lists[n].lengths for n in PER_CLIP if n in lists)]
    shapes.append(lists["pred_xyz"].lengths[starts])
    for run in _alike(shapes):
        n, k = run.stop - run.start, int(counts[run.start])
        rows = slice(int(starts[run.start]), int(starts[run.start]) + n * k)
        optional: dict[str, Any] = {
            name: value[rows] if each and name in TEXTS else value[run] for name, value in rest.items()
        }
        if each and k > 1:
            optional["text"] = optional["text"].reshape(n, k)
        if each:
            optional["nested_text"] = optional["nested_text"].reshape(n, k).any(1)
        for name, field in PER_CLIP.items():
            if name in lists:
                optional[field] = lists[name].rows(run).reshape(n, -1, *SHAPES[name])
        if "pred_rot" in lists:
            optional["rotation"] = lists["pred_rot"].rows(rows).reshape(n, k, -1, 3, 3)
        yield RawClips(
            clip_id=names[run],
            teacher=lists["pred_xyz"].rows(rows).reshape(n, k, -1, 3),
            v0=None if np.isnan(v0[run.start]) else v0[run],
            dt=float(dt[run.start]),
            again=again[run],
            **optional,
        )


def _alike(values: list[np.ndarray]) -> Iterator[slice]:
    """Runs of neighbours in which each of these arrays (n,) holds one value."""
    table = np.array(values, dtype=np.float64)
    changes = (np.diff(table) != 0).any(0)
    for start, stop in pairwise([0, *(np.flatnonzero(changes) + 1).tolist(), table.shape[1]]):
        yield slice(start, stop)


def _by_sample(path: Path, table: Any) -> tuple[Any, np.ndarray, list[UserError]]:
    """The rows of each clip in the order of sample_idx, each sample once; (N,) bool of clips that had one twice.

    A UserError for each clip whose rows of one sample differ, which are taken out.
    """
    starts = _starts(table)
    clip = np.repeat(np.arange(len(starts)), np.diff(starts, append=table.num_rows))
    sample = _whole(table.column("sample_idx")).to_numpy()
    order = np.lexsort((sample, clip))
    twice = np.flatnonzero((np.diff(sample[order]) == 0) & (np.diff(clip) == 0))
    if (np.diff(order) != 1).any():
        table = table.take(order)
    again = np.zeros(len(starts), dtype=bool)
    if not len(twice):
        return table, again, []
    said = table.column("pred_xyz")
    again[clip[twice]] = True
    wrong = {int(clip[i]): i for i in reversed(twice.tolist()) if said[i].as_py() != said[i + 1].as_py()}
    keep = np.isin(clip, list(wrong), invert=True)
    keep[twice + 1] = False
    faults = [
        UserError(
            f"{path}: clip {table.column('clip_id')[i].as_py()} has sample_idx {sample[order][i]} twice; keep one"
        )
        for i in sorted(wrong.values())
    ]
    return table.filter(keep), np.delete(again, list(wrong)), faults


class _Lists(NamedTuple):
    """A column of lists: numbers of those that are not null, one behind the other; (rows,) how long each is."""

    numbers: np.ndarray
    lengths: np.ndarray
    present: np.ndarray

    @property
    def usual(self) -> int:
        """How long the first one is; that of 64 waypoints where all are null."""
        return int(self.lengths[self.present][0]) if self.present.any() else HORIZON * 3

    def rows(self, rows: slice) -> np.ndarray:
        """Lists of one length as (n, length), NaN where null."""
        present, length = self.present[rows], int(self.lengths[rows.start])
        start = int(self.lengths[: rows.start][self.present[: rows.start]].sum())
        numbers = self.numbers[start : start + int(present.sum()) * length].reshape(-1, length)
        if present.all():
            return numbers.copy()  # pyarrow's memory is read-only
        filled = np.full((len(present), length), np.nan, dtype=numbers.dtype)
        filled[present] = numbers
        return filled


def _lists(path: Path, table: Any, heads: Any, names: np.ndarray, counts: np.ndarray) -> dict[str, _Lists]:
    """Every column of lists that says something; what is null gets the length that it should have had."""
    found: dict[str, _Lists] = {}
    firsts = counts.cumsum() - counts
    for positions, rotations in PAIRS:
        rows, who = (heads, names) if positions in PER_CLIP else (table, np.repeat(names, counts))
        lists = _read_lists(path, rows, positions, who)
        if lists is None:
            continue
        lengths, beside = np.where(lists.present, lists.lengths, lists.usual), "other clips"
        if positions == "pred_xyz":
            longest = np.maximum.reduceat(lists.lengths, firsts)
            lengths = np.repeat(np.where(longest == 0, lists.usual, longest), counts)
            beside = "another sample"
        elif positions == "gt_xyz":
            lengths, beside = found["pred_xyz"].lengths[firsts], "pred_xyz"
        found[positions] = _fitted(path, positions, lists, who, lengths, beside)
        turned = _read_lists(path, rows, rotations, who)
        if turned is not None:
            found[rotations] = _fitted(path, rotations, turned, who, 3 * lengths, positions)
    return found


def _read_lists(path: Path, rows: Any, name: str, who: np.ndarray) -> _Lists | None:
    """A column of lists, those that are null of length 0; None for an optional one that is null throughout."""
    import pyarrow.compute as pc

    if name not in rows.column_names:
        return None
    column = _whole(rows.column(name))
    present = column.is_valid().to_numpy(zero_copy_only=False)
    if not present.any() and name != "pred_xyz":
        return None
    lengths = pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    check_sizes(path, name, lengths[present], who[present])
    check_shape(f"{path}: {name}", 1, int(lengths.max(initial=0)) // SIZES[name])
    numbers = column.flatten().to_numpy(zero_copy_only=False)
    return _Lists(numbers.astype(np.float32) if numbers.dtype == np.float16 else numbers, lengths, present)


def _fitted(path: Path, name: str, lists: _Lists, who: np.ndarray, lengths: np.ndarray, beside: str) -> _Lists:
    """The lists with nulls of these lengths (rows,). Raises UserError for a list of another one."""
    wrong = lists.present & (lists.lengths != lengths)
    if wrong.any():
        row = int(wrong.argmax())
        got, wanted = lists.lengths[row] // SIZES[name], lengths[row] // SIZES[name]
        raise UserError(f"{path}: {name} of clip {who[row]} has {got} waypoints, {beside} has {wanted}")
    return lists._replace(lengths=lengths)


def _floats(heads: Any, name: str, missing: float) -> np.ndarray:
    """A column of numbers as float64 (n,), missing where it is null or not there."""
    if name not in heads.column_names:
        return np.full(heads.num_rows, missing)
    column = _whole(heads.column(name)).cast("float64")
    return np.array(column.fill_null(missing).to_numpy())


def _steps(path: Path, heads: Any, names: np.ndarray) -> np.ndarray:
    """dt of each clip, s."""
    dt = _floats(heads, "dt", DT)
    wrong = ~(np.isfinite(dt) & (dt > 0))
    if wrong.any():
        row = int(wrong.argmax())
        raise UserError(f"{path}: dt of clip {names[row]} must be a number of seconds above 0 (got {dt[row]})")
    return dt.round(6)  # 0.1 as float32 is 0.1


def _sources(path: Path, heads: Any) -> np.ndarray:
    """What each clip was cut from: the file's name where the file does not say."""
    if "source" not in heads.column_names:
        return np.full(heads.num_rows, path.name)
    sources = [path.name if source is None else source for source in heads.column("source").to_pylist()]
    return names_of(f"{path}: source", sources)


TEXTS = ("text", "nested_text")


def _own_texts(table: Any, starts: np.ndarray, counts: np.ndarray) -> bool:
    """Whether samples of a clip have texts of their own, in which every row has one."""
    if "coc" not in table.column_names or not is_text(table.column("coc").type) or table.column("coc").null_count:
        return False
    column = _whole(table.column("coc"))
    return not column.equals(column.take(np.repeat(starts, counts)))


def _texts(path: Path, heads: Any, names: np.ndarray) -> dict[str, np.ndarray]:
    """text and nested_text of the column coc; nothing where there is none."""
    if "coc" not in heads.column_names or heads.column("coc").null_count == heads.num_rows:
        return {}
    found = []
    for name, text in zip(names, heads.column("coc").to_pylist(), strict=True):
        try:
            found.append(flat_text(text))
        except ValueError as error:
            raise UserError(f"{path}: coc of clip {name}: {error}") from None
    return {
        "text": np.array([text for text, _ in found], dtype=object),
        "nested_text": np.array([nested for _, nested in found]),
    }
