"""Containers: what is no whole file, and what leads elsewhere, is one line."""

import json
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from broken_files import whole_set
from label_sets import same
from records_of_clips import XYZ, as_lists

from alpamayo_toy import load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.formats.containers import _texts
from alpamayo_toy.labels.soundness.checking import check_paths

ROW = json.dumps({"clip_id": "a", "pred_xyz": XYZ[0]}, default=as_lists)


def test_a_line_that_is_cut_off_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(ROW + "\n" + ROW[:-9])
    with pytest.raises(UserError, match=r"a\.jsonl: line 2 is not valid JSON"):
        load_labels(tmp_path)


@pytest.mark.parametrize("rows", [[{"pred_xyz_npz_key": "a"}, 5], [{"pred_xyz_npz_key": ["a"]}]])
def test_rows_that_name_no_arrays_are_one_line(rows: list[object], tmp_path: Path) -> None:
    np.savez(tmp_path / "beside.npz", a=np.zeros(3))
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    with pytest.raises(UserError, match=r"rows\.json"):
        load_labels(tmp_path / "rows.json")


def test_json_says_the_same_whoever_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NaN is no strict JSON, and a number of 20 digits is more than 64 bits hold."""
    long = "98765432109876543210"
    changes = [('"a"', '"a"'), ('"a"', "17"), ("pred_xyz", 'note": NaN, "pred_xyz'), ('"a"', long)]
    texts = [ROW.replace(*change) for change in changes]
    found = []
    for absent in (False, True):
        if absent:
            monkeypatch.setitem(sys.modules, "orjson", None)
        for i, text in enumerate(texts):
            (tmp_path / f"{i}.json").write_text(text)
        found.append([load_labels(tmp_path / f"{i}.json") for i in range(3)])
        if absent or "orjson" not in sys.modules:
            assert load_labels(tmp_path / "3.json").clip_id.tolist() == [long]
        else:
            with pytest.raises(UserError, match=r"clip_id of clip 0 is a number of more digits than are kept"):
                load_labels(tmp_path / "3.json")
    for one, other in zip(*found, strict=True):
        assert one.clip_id.tolist() == other.clip_id.tolist()
        assert torch.equal(one.teacher, other.teacher)


@pytest.mark.parametrize("cut", [5, 60, -8])
def test_an_array_that_is_cut_off_is_named(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "trajectories.npy"
    np.save(path, XYZ[0])
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(UserError, match=r"trajectories\.npy is no (valid npy file|whole array)"):
        load_labels(tmp_path)


@pytest.mark.parametrize(
    "said", ["{'descr': (((", "{'shape': 'x", "\\", "{'descr': '<f8', 'shape': (-1,)}", "(" * 110, "\0"]
)
def test_a_header_of_nothing_that_numpy_wrote_is_named(tmp_path: Path, said: str) -> None:
    path = tmp_path / "trajectories.npy"
    np.save(path, XYZ[0])
    path.write_bytes(path.read_bytes()[:10] + said.encode().ljust(118) + path.read_bytes()[128:])
    with pytest.raises(UserError, match=r"trajectories\.npy is no valid npy file"):
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
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.json", "{}")
        archive.writestr("b.json", "[]")
    with pytest.raises(UserError, match=r"a\.zip holds no labels: .*a\.zip/a\.json holds no trajectories"):
        load_labels(path)
    with pytest.raises(UserError, match=r"a\.zip holds no labels"):
        check_paths([path], "auto", False, False)
    monkeypatch.setattr("alpamayo_toy.labels.formats.containers.half_of_memory", lambda: 10)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inside.json", ROW)
    with pytest.raises(UserError, match="unpacks to more than half of the memory"):
        load_labels(path)


def test_a_zip_may_hold_a_set(tmp_path: Path) -> None:
    given = whole_set(tmp_path)
    shutil.make_archive(str(tmp_path / "set"), "zip", given)
    shutil.make_archive(str(tmp_path / "around"), "zip", given.parent, given.name)
    for name in ("set.zip", "around.zip"):
        same(load_labels(tmp_path / name), load_labels(given))
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.write(tmp_path / "set.zip", "set.zip")
    with pytest.raises(UserError, match=r"two\.zip/set\.zip is a zip in a zip; unpack it yourself"):
        load_labels(tmp_path / "two.zip")


def test_texts_of_objects_are_all_of_them_in_order_or_the_one_there_is() -> None:
    said = [{"text": "slow"}, {"text": "stop"}, {"text": "go"}]
    assert _texts(said) == ["slow", "stop", "go"]
    assert _texts(said[1:2]) == "stop"
    assert _texts([{"words": "slow"}]) == [{"words": "slow"}]
