"""Parquet files of other people: cut off, damaged, too large, or without the library that reads them."""

from pathlib import Path

import pytest
from parquet_files import labels, pa, pq, read, rows, saved

from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.formats import parquet_out
from alpamayo_toy.labels.untrusted import parquet_file


def test_a_doubled_column_is_refused(path: Path) -> None:
    table = pa.table(rows())
    pq.write_table(table.append_column("t0_us", table.column("t0_us")), path)
    with pytest.raises(UserError, match="2 columns t0_us"):
        read(path)


@pytest.mark.parametrize("kept", [0, 3, 200, -30])
def test_a_file_cut_off_is_one_line(path: Path, kept: int) -> None:
    parquet_out.write([labels()], path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match="no sound Parquet file, perhaps cut off") as caught:
        parquet_file.columns(path)
    assert "\n" not in str(caught.value)


def test_a_flipped_bit_is_found(path: Path) -> None:
    parquet_out.write([labels()], path)
    content = bytearray(path.read_bytes())
    chunk = pq.ParquetFile(path).metadata.row_group(0).column(4)
    content[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(UserError, match="no sound Parquet file"):
        read(path)


def test_row_groups_larger_than_the_memory_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_file, "half_of_memory", lambda: 100)
    with pytest.raises(UserError, match="row group 0 takes"):
        read(saved(path, rows()))


def test_too_many_rows_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_file, "MOST_ROWS", 5)
    with pytest.raises(UserError, match="promises 6 rows"):
        read(saved(path, rows()))


def test_without_pyarrow_the_message_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(path, rows())
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(UserError, match="pip install pyarrow"):
        parquet_file.columns(path)
    with pytest.raises(UserError, match="pip install pyarrow"):
        parquet_out.write([labels()], path)
