"""Files and folders of labels: what is missing, what comes twice."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from label_sets import odd_clips
from written import N, results_json

from alpamayo_toy import Labels, load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.loading import joined


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


PATH = Path("folder")


def halves() -> tuple[Labels, Labels]:
    labels = odd_clips()
    return labels.select(torch.arange(3)), labels.select(torch.arange(3, 8))


@pytest.mark.parametrize("first", [0, 1])
def test_scenarios_of_which_some_were_read_off_the_future_are_an_oracles(first: int) -> None:
    one, other = halves()
    parts = [one, replace(other, scenario_source="future")]
    found = joined([parts[first], parts[1 - first]], PATH)
    assert found.scenario_source == "future"
    assert found.scene().scenario.tolist() == [-1] * 8
    assert joined([one, other], PATH).scenario_source == "file"


@pytest.mark.parametrize("first", [0, 1])
def test_what_some_clips_lack_is_unknown_there_and_in_the_order_of_the_parts(first: int) -> None:
    one, other = halves()
    bare = replace(other, history=None, route=None, route_source="", text=None, context=None, context_names=())
    found = joined([(one, bare)[first], (bare, one)[first]], PATH)
    known, unknown = (slice(0, 3), slice(3, 8)) if first == 0 else (slice(5, 8), slice(0, 5))
    assert found.clip_id.tolist() == [*(one, bare)[first].clip_id, *(bare, one)[first].clip_id]
    for name in ("history", "route", "context"):
        value, given = getattr(found, name), getattr(one, name)
        assert torch.equal(value[known].nan_to_num(7e7), given.nan_to_num(7e7))
        assert bool(value[unknown].isnan().all())
    assert found.text is not None
    assert one.text is not None
    assert found.text[known].tolist() == one.text.tolist()
    assert found.text[unknown].tolist() == [""] * 5
    assert (found.context_names, found.route_source) == (one.context_names, "file")


@pytest.mark.parametrize("first", [0, 1])
def test_what_does_not_fit_together_is_left_out_with_a_word(first: int) -> None:
    one, other = halves()
    for name, changed in (
        ("context", replace(other, context_names=("night", "rain"))),
        ("ground_truth", replace(other, ground_truth=None)),
        ("history", replace(other, history=torch.zeros(5, 11, 4))),
    ):
        with pytest.warns(UserWarning, match=f"folder: {name} is left out, not all clips have it in one shape"):
            found = joined([(one, changed)[first], (changed, one)[first]], PATH)
        assert getattr(found, name) is None
        assert (found.context_names == ()) is (name == "context")
        assert len(found) == 8


@pytest.mark.parametrize("first", [0, 1])
def test_a_text_of_a_clip_is_one_of_each_sample_beside_those_that_have_their_own(first: int) -> None:
    one, other = halves()
    k = one.teacher.shape[1]
    own = np.array([[f"{clip}.{sample}" for sample in range(k)] for clip in range(5)], dtype=object)
    told = replace(other, text=own)
    found = joined([(one, told)[first], (told, one)[first]], PATH).text
    assert one.text is not None
    rows = [[text] * k for text in one.text.tolist()]
    assert found is not None
    assert found.tolist() == (rows + own.tolist() if first == 0 else own.tolist() + rows)


def test_clips_of_other_steps_or_samples_are_named() -> None:
    one, other = halves()
    single = replace(other.with_teacher(other.teacher[:, :1]), ground_truth=None)
    for changed, said in ((replace(other, dt=0.2), "steps of 0.2 s"), (single, r"K, T = \(1, 64\)")):
        with pytest.raises(UserError, match=f"folder: clip {other.clip_id[0]} has .*{said}.*clip {one.clip_id[0]} has"):
            joined([one, changed], PATH)
