"""Labels written as flat Parquet, the layout that flat_parquet.py reads."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alpamayo_toy.errors import UserError
from alpamayo_toy.files import replacing
from alpamayo_toy.kinematics.manoeuvres import Scenario
from alpamayo_toy.kinematics.trajectory import UNKNOWN_SCENARIO, Labels
from alpamayo_toy.labels.formats.flat_columns import PER_CLIP, SIZES
from alpamayo_toy.labels.formats.flat_parquet import CLIPS_AT_ONCE
from alpamayo_toy.labels.formats.raw import as_raw
from alpamayo_toy.labels.untrusted.parquet_file import pyarrow


def write(batches: Iterable[Labels], path: Path) -> None:
    """Labels as flat Parquet, positions and headings in float32, z = 0.

    flat_parquet.clips() gives them back, v0 to the last bit. A row group for each batch, or for 1024 clips of a larger
    one. Beside the columns that are read: v0_source and scenario by name. Speeds, context and routes are left out.
    Raises UserError where only some batches have ground truth.
    """
    pa, pq = pyarrow(path)
    strings = [name for name, kind in _layout().items() if kind == pa.string()]
    options = {"compression": "zstd", "use_dictionary": strings, "write_page_checksum": True}
    with_truth = None
    with replacing(path) as file, pq.ParquetWriter(file, pa.schema(_layout()), **options) as writer:
        for labels in batches:
            if with_truth not in (None, labels.ground_truth is not None):
                reason = "some clips have ground truth and some have none, such as"
                raise UserError(f"{path}: {reason} {labels.clip_id[0]}; write them to files of their own")
            with_truth = labels.ground_truth is not None
            for start in range(0, len(labels), CLIPS_AT_ONCE):
                part = labels.select(torch.arange(start, min(start + CLIPS_AT_ONCE, len(labels))))
                writer.write_table(_table(part))


def _layout() -> dict[str, Any]:
    """The columns that write() makes."""
    import pyarrow as pa  # type: ignore[import-untyped]

    return {
        "clip_id": pa.string(),
        "t0_us": pa.int64(),
        "sample_idx": pa.int32(),
        "coc": pa.string(),
        **dict.fromkeys(SIZES, pa.list_(pa.float32())),
        "v0": pa.float64(),
        "v0_source": pa.string(),
        "scenario": pa.string(),
        "source": pa.string(),
        "dt": pa.float64(),
    }


def _table(labels: Labels) -> Any:
    """A row for each clip and sample."""
    import pyarrow as pa

    raw = as_raw(labels)
    n, k = raw.teacher.shape[:2]
    names = {UNKNOWN_SCENARIO: "UNKNOWN", **{int(scenario): scenario.name for scenario in Scenario}}
    lists = {"pred_xyz": raw.teacher, "pred_rot": raw.rotation, **{c: getattr(raw, f) for c, f in PER_CLIP.items()}}
    per_clip = {
        "clip_id": labels.clip_id.tolist(),
        "t0_us": labels.t0_us.tolist(),
        "v0": labels.v0.double().tolist(),
        "v0_source": labels.v0_source.tolist(),
        "scenario": [names[index] for index in labels.scenario.tolist()],
        "source": labels.source.tolist(),
        "dt": [labels.dt] * n,
    }
    of_clip = np.repeat(np.arange(n), k)
    table = {name: pa.array(values, _layout()[name]).take(of_clip) for name, values in per_clip.items()}
    said = None if labels.text is None else labels.text.repeat(k) if labels.text.ndim == 1 else labels.text.ravel()
    table["coc"] = pa.nulls(n * k, pa.string()) if said is None else pa.array(said.tolist(), pa.string())
    table["sample_idx"] = pa.array(np.tile(np.arange(k, dtype=np.int32), n))
    for name, values in lists.items():
        if values is not None:
            values = values[of_clip] if name in PER_CLIP else values
            values = values.reshape(n * k, -1)
        table[name] = _list_column(values, n * k)
    return pa.table({name: table[name] for name in _layout()}, schema=pa.schema(_layout()))


def _list_column(values: np.ndarray | None, rows: int) -> Any:
    """Rows (rows, length) as lists of float32; null where there are none, or NaN."""
    import pyarrow as pa

    if values is None:
        return pa.nulls(rows, pa.list_(pa.float32()))
    there = np.isfinite(values).all(1)
    offsets = np.concatenate([[0], np.cumsum(there * values.shape[1])])
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()), pa.array(values[there].ravel(), pa.float32()), mask=pa.array(~there)
    )
