"""Containers: what is no whole file, and what leads elsewhere, is one line."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from records_of_clips import XYZ, as_lists

from alpamayo_toy import load_labels
from alpamayo_toy.errors import UserError

ROW = json.dumps({"clip_id": "a", "pred_xyz": XYZ[0]}, default=as_lists)


def test_a_line_that_is_cut_off_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(ROW + "\n" + ROW[:-9])
    with pytest.raises(UserError, match=r"a\.jsonl: line 2 is not valid JSON"):
        load_labels(tmp_path)


@pytest.mark.parametrize("cut", [5, 60, -8])
def test_an_array_that_is_cut_off_is_named(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "trajectories.npy"
    np.save(path, XYZ[0])
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(UserError, match=r"trajectories\.npy is no (valid npy file|whole array)"):
        load_labels(tmp_path)


def test_an_array_of_objects_is_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "trajectories.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(UserError, match="is no whole array of numbers"):
        load_labels(tmp_path)


def test_a_zip_leads_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../out.json", ROW)
    with pytest.raises(UserError, match=r"a\.zip holds \.\./out\.json, which is encrypted or leads elsewhere"):
        load_labels(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inside.json", ROW)
        archive.writestr("broken.json", "{")
    with pytest.raises(UserError, match=r"a\.zip/broken\.json is not valid JSON"):
        load_labels(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match=r"a\.zip is no valid zip file"):
        load_labels(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "x")
    with pytest.raises(UserError, match=r"a\.zip holds no label file"):
        load_labels(path)
    monkeypatch.setattr("alpamayo_toy.labels.formats.containers.half_of_memory", lambda: 10)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inside.json", ROW)
    with pytest.raises(UserError, match="unpacks to more than half of the memory"):
        load_labels(path)
