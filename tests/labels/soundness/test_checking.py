"""The check over paths: what it says of files that are damaged."""

import json
from pathlib import Path

import pytest
from broken_files import as_json, whole_set
from written import N, clips

from alpamayo_toy import load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.soundness.checking import check_paths


def test_a_file_that_a_set_lost_is_damage(tmp_path: Path) -> None:
    path = whole_set(tmp_path)
    content = json.loads((path / "labels.json").read_text())
    content["shards"][0]["files"]["gone.npy"] = ""
    as_json(content, path / "labels.json")
    code, text, report = check_paths([path], "auto", False, False)
    assert (code, text.splitlines()[-1]) == (2, "unusable: it is damaged")
    assert report["files"][0]["errors"]["damaged"]["clips"][0].endswith("gone.npy")
    assert len(load_labels(path)) == N


@pytest.mark.slow
def test_files_read_in_processes_are_judged_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(4):
        (tmp_path / f"{i}.json").write_text(
            json.dumps([{**clip, "clip_id": f"{i}-{n}"} for n, clip in enumerate(clips())])
        )
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "config.json").write_text("{}")
    alone = check_paths([tmp_path], "auto", False, False)
    assert alone[2]["files"][0]["kept"] == 12
    monkeypatch.setattr("alpamayo_toy.labels.soundness.checking.IN_PROCESSES", 0)
    monkeypatch.setattr("alpamayo_toy.labels.formats.reading.PIECE_BYTES", 0)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert check_paths([tmp_path], "auto", False, False) == alone
    for file in tmp_path.glob("?.json"):
        file.write_text("{}")
    (tmp_path / "broken.json").unlink()
    with pytest.raises(UserError, match="holds no trajectories"):
        check_paths([tmp_path], "auto", False, False)
