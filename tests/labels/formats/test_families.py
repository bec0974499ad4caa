"""Folders: samples of a clip in several files, rows that come twice, and what holds no labels."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from records_of_clips import XYZ, check_clips, js, lines, parquet, samples, together
from written import CLIPS, K, N

from alpamayo_toy import load_labels
from alpamayo_toy.labels.soundness.checking import check_paths, sampled
from alpamayo_toy.labels.stored.convert import convert
from alpamayo_toy.labels.stored.splitting import ByHash, split_set


def shards(suffix: str) -> Callable[[Path], object]:
    """Rows in files of five, which three samples a clip do not fill."""
    content = samples()
    parts = [content[start : start + 5] for start in range(0, N * K, 5)]
    if suffix == ".parquet":
        flat = [[{**row, "pred_xyz": np.ravel(row["pred_xyz"]).tolist()} for row in part] for part in parts]
        columns = [{key: [row[key] for row in part] for key in part[0]} for part in flat]
        return together(*(parquet(f"part-{i}.parquet", **some) for i, some in enumerate(columns)))
    write = lines if suffix == ".jsonl" else js
    return together(*(write(part, f"part-{i}{suffix}") for i, part in enumerate(parts)))


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".json"])
def test_samples_of_a_clip_are_joined_across_files(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "in").mkdir()
    shards(suffix)(tmp_path / "in")
    (tmp_path / "in" / "_config.json").write_text('{"time_step_s": 0.1}')
    check_clips(load_labels(tmp_path / "in"), {"texts"}, suffix)
    report = check_paths([tmp_path / "in"], "auto", False, False)[2]["files"][0]
    assert (report["clips"], report["kept"], report["samples"], report["errors"]) == (N, N, [K], {})
    assert [Path(file).name for file in report["left_aside"]] == ["_config.json"]
    made = convert([tmp_path / "in"], tmp_path / "set")
    assert made is not None
    assert made.facts["dropped"] == {}
    check_clips(load_labels(tmp_path / "set"), {"texts"}, suffix)
    last = load_labels(sorted((tmp_path / "in").glob("part-*"))[-1])  # named alone, a file is read alone
    assert last.teacher.shape[:2] == (1, 2)


def test_rows_that_come_twice_count_once(tmp_path: Path) -> None:
    js([*samples(), samples()[4], samples()[4]])(tmp_path)
    check_clips(load_labels(tmp_path), {"texts"}, "twice")
    report = check_paths([tmp_path], "auto", False, False)[2]["files"][0]
    assert report["warnings"]["repeated_samples"] == {**report["warnings"]["repeated_samples"], "count": 1}
    js([*samples(), {**samples()[4], "pred_xyz": XYZ[0, 0]}])(tmp_path)
    report = check_paths([tmp_path], "auto", False, False)[2]["files"][0]
    assert (report["kept"], report["errors"]["unreadable"]["count"]) == (N - 1, 1)


def test_what_holds_no_labels_is_left_aside_everywhere(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    columns = {"clip_ids": np.array(CLIPS), "t0_us": np.arange(N), "trajectory_xyz": XYZ[:, 0]}
    np.savez(folder / "a_labels.npz", **columns)
    np.savez(folder / "a_labels_checkpoint.npz", **{key: value[:2] for key, value in columns.items()})
    (folder / "failed.json").write_text('["clip-9"]')
    (folder / "config.json").write_text('{"model": "x", "dt": 0.1}')
    parquet("frames.parquet", clip_id=["a"], jpegs=[[b"x"]])(folder)
    torch.save({"weight": torch.zeros(4, 4)}, folder / "model.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_labels(folder).clip_id.tolist() == CLIPS
    code, text, report = check_paths([folder], "auto", False, False)
    found = report["files"][0]
    assert (code, found["clips"], found["kept"], found["errors"], found["warnings"]) == (0, N, N, {}, {}), text
    aside = {"a_labels_checkpoint.npz", "failed.json", "config.json", "frames.parquet", "model.pt"}
    assert {Path(file).name for file in found["left_aside"]} == aside
    made = convert([folder], tmp_path / "set")
    assert made is not None
    assert (len(made), made.facts["dropped"]) == (N, {})
    assert {Path(s["name"]).name for s in made.facts["sources"] if "aside" in s} == aside
    assert sum(split_set(folder, tmp_path / "split", "auto", ByHash(0.3, 0.2)).values()) == N
    assert sampled(folder, "auto", 100)[1] == N
