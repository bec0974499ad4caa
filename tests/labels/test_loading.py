"""Files and folders of labels: what is missing, what comes twice."""

import json
from pathlib import Path

import pytest
from written import N, results_json

from alpamayo_toy import load_labels
from alpamayo_toy.errors import UserError


def test_missing_files_folders_and_other_suffixes_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no label file .*nowhere\.json"):
        load_labels(tmp_path / "nowhere.json")
    with pytest.raises(UserError, match="holds no label file"):
        load_labels(tmp_path)
    (tmp_path / "labels.csv").write_text("1,2")
    with pytest.raises(UserError, match=r"cannot read \.csv; known: \.json, \.npz, \.pt, \.parquet"):
        load_labels(tmp_path / "labels.csv")


def test_a_folder_without_labels_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(UserError, match="holds no label file"):
        load_labels(tmp_path)


def test_a_clip_that_comes_twice_is_kept_once_unless_it_differs(tmp_path: Path) -> None:
    path = results_json(tmp_path)
    clips = json.loads(path.read_text())
    path.write_text(json.dumps([*clips, clips[1]]))
    assert len(load_labels(path)) == N
    path.write_text(json.dumps([*clips, {**clips[1], "pred_xyz": clips[2]["pred_xyz"]}]))
    with pytest.raises(UserError, match="clip clip-1 at t0 1 us comes twice with different trajectories"):
        load_labels(path)
