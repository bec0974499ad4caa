"""A Parquet file, opened: what it promises is checked, and what pyarrow finds wrong is said in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.untrusted.memory import half_of_memory

MOST_ROWS = 10**10


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
    for i, group in enumerate(groups):
        if not 0 <= group.total_byte_size <= half_of_memory():
            size = f"{group.total_byte_size / 2**30:.1f} GiB"
            raise UserError(f"{path}: row group {i} takes {size}, more than half of the memory; write smaller ones")
