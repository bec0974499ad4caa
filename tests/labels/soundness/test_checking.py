"""The check over paths: what it says of files that are damaged."""

import json
from pathlib import Path

from broken_files import as_json, whole_set
from written import N

from alpamayo_toy import load_labels
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
