"""A Parquet file, opened: what it promises is checked, and what pyarrow finds wrong is said in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.untrusted.memory import check_unpacked, half_of_memory

MOST_ROWS = 10**10
STEP_BYTES = 4096  # of a file for each row that is unpacked at once: a file of 1 MB may hold rows of any size


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The file as pyarrow's ParquetFile. What it promises beyond reason and what pyarrow raises becomes a UserError."""
    pa, pq = pyarrow(path)
    try:
        with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
            _check_promises(path, file.metadata)
            yield file
    except UserError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{path} is no sound Parquet file, perhaps cut off or encrypted: {reason}") from None


def batches(path: Path, file: Any, rows: int, columns: list[str], weight: int = 2) -> Iterator[Any]:
    """Tables of up to so many rows of an open file. Raises UserError before it unpacks to far more than its size.

    weight: what a byte of a column becomes.
    """
    pa, _ = pyarrow(path)
    if file.metadata.num_rows:  # one row before many
        first = _spelt_out(pa, next(file.iter_batches(1, columns=columns)))
        check_unpacked(path, weight * first.nbytes)
    step = min(rows, max(16, path.stat().st_size // STEP_BYTES))
    unpacked, gathered, waiting = 0, [], 0
    for batch in (_spelt_out(pa, packed) for packed in file.iter_batches(step, columns=columns)):
        unpacked += weight * batch.nbytes
        check_unpacked(path, unpacked)
        gathered.append(batch)
        waiting += batch.num_rows
        if waiting + step > rows:
            yield pa.Table.from_batches(gathered)
            gathered, waiting = [], 0
    if gathered:
        yield pa.Table.from_batches(gathered)


def _spelt_out(pa: Any, batch: Any) -> Any:
    """A batch whose columns are no dictionaries, of which each row is as long as its entry."""
    columns = [c.dictionary_decode() if pa.types.is_dictionary(c.type) else c for c in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def columns(path: Path) -> dict[str, str]:
    """A Parquet file's columns and their types. Raises UserError."""
    with opened(path) as file:
        found = file.schema_arrow
        return dict(zip(found.names, map(str, found.types), strict=True))


def pyarrow(path: Path) -> tuple[Any, Any]:
    """The modules pyarrow and pyarrow.parquet. Raises UserError where they are not installed."""
    try:
        import pyarrow as pa  # type: ignore[import-untyped]
        import pyarrow.parquet as pq  # type: ignore[import-untyped]
    except ImportError:
        raise UserError(f"{path}: Parquet needs pyarrow; install it with: pip install pyarrow") from None
    return pa, pq


def _check_promises(path: Path, metadata: Any) -> None:
    # what RowGroupMetaData.column() finds damaged ends the process (pyarrow 26), so nothing here asks for it
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    if not 0 <= metadata.num_rows <= MOST_ROWS or metadata.num_rows != sum(group.num_rows for group in groups):
        raise UserError(f"{path} promises {metadata.num_rows} rows, which it cannot hold; write it again")
    check_unpacked(path, sum(max(group.total_byte_size, 0) for group in groups))
    for i, group in enumerate(groups):
        if not 0 <= group.total_byte_size <= half_of_memory():
            size = f"{group.total_byte_size / 2**30:.1f} GiB"
            raise UserError(f"{path}: row group {i} takes {size}, more than half of the memory; write smaller ones")
