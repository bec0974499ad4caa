"""The check over paths: what it says of files that are damaged."""

import json
from pathlib import Path

import pytest
from broken_files import as_json, whole_set
from label_sets import odd_clips, same, stored
from written import N, clips, results_json

from alpamayo_toy import load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.formats.labels_npz import write
from alpamayo_toy.labels.soundness.checking import check_paths, sampled


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


@pytest.mark.parametrize("kind", ["file", "set"])
def test_a_sample_of_many_clips_is_drawn_by_the_seed_and_stands_in_their_order(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels, path = odd_clips(), tmp_path / ("set" if kind == "set" else "labels.npz")
    if kind == "set":
        stored(path, labels, monkeypatch)
    else:
        write(labels, path)
    order = {name: i for i, name in enumerate(labels.clip_id.tolist())}
    (few, total), (again, _), (other, _) = (sampled(path, "auto", 10, seed) for seed in (0, 0, 1))
    rows = [order[name] for name in few.clip_id.tolist()]
    assert (len(few), total) == (10, 24)
    assert rows == sorted(set(rows))
    same(few, again)
    assert few.clip_id.tolist() != other.clip_id.tolist()
    for most in (24, 99):
        whole, total = sampled(path, "auto", most)
        assert (whole.clip_id.tolist(), total) == (labels.clip_id.tolist(), 24)


def test_the_worst_of_several_files_counts_wherever_it_stands(tmp_path: Path) -> None:
    results_json(tmp_path)
    content = json.loads((tmp_path / "results.json").read_text())
    for clip in content:
        clip["cot"] = "go"
    (tmp_path / "sound.json").write_text(json.dumps(content))
    content[1]["pred_xyz"][0][5][0] = float("nan")
    (tmp_path / "some.json").write_text(json.dumps(content))
    (tmp_path / "none.json").write_text(json.dumps(content[1:2]))
    codes = {"sound": 0, "some": 1, "none": 2}
    for names in (["sound"], ["sound", "some"], ["some", "sound"], ["none", "some", "sound"], ["sound", "none"]):
        code, _, report = check_paths([tmp_path / f"{name}.json" for name in names], "auto", False, False)
        assert code == max(codes[name] for name in names)
        assert len(report["files"]) == len(names)
    paths = [tmp_path / "none.json", tmp_path / "some.json"]
    assert check_paths(paths, "auto", False, True)[0] == 2  # clips in two splits are no worse than none that is left
