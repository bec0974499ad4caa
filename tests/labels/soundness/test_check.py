"""The check over a file's batches: what is kept, what is named, the verdict; the real files."""

import json
from dataclasses import replace

import numpy as np
import pytest
from places import LABELS_60, SHARED, needs_60_clips
from raw_clips import codes, driven, judged, sound, waves

from alpamayo_toy.labels.formats.raw import RawClips
from alpamayo_toy.labels.soundness.check import Check, leakage, table

DRIVES = ("comma2k19", "av2", "kitti_00-07", "commonroad_ngsim")


def test_three_steps_are_too_few() -> None:
    report = judged(driven(waves(2, horizon=3), np.array([5.0, 6.0])))
    assert codes(report) == {"horizon": 2}
    assert report["verdict"] == "unusable"
    assert "no clip is left" in table(report)


def test_what_the_file_must_have_can_be_told() -> None:
    assert codes(judged(sound(2), horizon=80)) == {"horizon": 2}
    assert codes(judged(sound(2), dt=0.5)) == {"time_step": 2}
    report = judged(driven(waves(2, horizon=80), np.array([5.0, 6.0]), dt=0.05))
    assert codes(report) == {"horizon_unusual": 2, "time_step_unusual": 2}
    assert (report["horizon"], report["dt"]) == (80, 0.05)


def test_the_first_of_its_kind_is_kept_across_batches_and_dtypes() -> None:
    first = sound(2)
    check = Check("file")
    assert check.add(first.select(np.array([0, 0, 1]))).tolist() == [True, False, True]
    assert not check.add(replace(first, teacher=first.teacher.astype(np.float32))).any()
    assert check.add(replace(first, t0_us=first.t0_us + 100_000)).all()
    assert codes(check.report()) == {"repeated": 3}


def test_batches_do_not_matter() -> None:
    raw = sound(9)
    whole, parts = judged(raw), judged(*[raw.select(np.arange(i, i + 3)) for i in (0, 3, 6)])
    assert whole == parts
    assert whole["sources"] == 9
    assert whole["samples"] == [2]


def test_few_clips_are_named_of_many() -> None:
    raw = sound(30)
    report = judged(replace(raw, text=np.array([""] * 30)))
    assert report["warnings"]["empty_text"]["count"] == 30
    assert report["warnings"]["empty_text"]["clips"] == [f"clip-{i} 0" for i in range(20)]
    assert "and 27 more" in table(report)


def test_nothing_at_all_is_unusable() -> None:
    check = Check("file")
    assert check.add(sound(1).select(np.zeros(0, dtype=np.int64))).shape == (0,)
    assert check.verdict == 2
    assert check.report()["kinematic_fit"] == {"mean": None, "p99": None, "max": None}
    assert "unusable" in table(check.report())


def test_what_cannot_be_read_counts() -> None:
    check = Check("file")
    check.add(sound(3))
    check.unreadable("clip x: pred_xyz is not a regular array of numbers")
    report = check.report()
    assert codes(report) == {"unreadable": 1}
    assert (check.verdict, report["clips"], report["kept"]) == (1, 4, 3)
    assert "usable without 1 of 4 clips" in table(report)
    assert "pred_xyz is not" in table(report)


def test_a_table_can_be_printed_whatever_the_ids_are() -> None:
    raw = replace(sound(1), clip_id=np.array(["\x1b[2J\n\ud800"]), text=np.array([""]))
    assert table(judged(raw)).isascii()
    assert len(table(judged(raw)).splitlines()) == 5


def test_leakage() -> None:
    parts = {"train": [("a", 0), ("b", 0), ("b", 1)], "val": iter([("c", 0), ("b", 2)]), "test": [("d", 0), ("c", 0)]}
    assert leakage(parts) == ["b", "c"]
    assert leakage({"train": [("a", 0)], "val": []}) == []


@needs_60_clips
def test_the_60_real_clips_are_sound() -> None:
    content = json.loads(LABELS_60.read_bytes())
    ids = np.array([clip["clip_id"] for clip in content])
    teacher, truth = (np.array([clip[name] for clip in content]) for name in ("pred_xyz", "gt_xyz"))
    text = np.array([clip["cot"] for clip in content])
    raw = RawClips(ids, ids, np.zeros(60, dtype=np.int64), teacher, ground_truth=truth, text=text)
    report = judged(raw)
    assert codes(report) == {"standing_still": 1, "empty_text": 1}
    assert report["kinematic_fit"]["max"] < 0.04


@pytest.mark.skipif(not (SHARED / "labels").exists(), reason="the real labels are not on this machine")
def test_the_real_clips_with_rotations_are_sound() -> None:
    files = sorted((SHARED / "labels" / "alpamayo_r1_per_clip_json").glob("example*.json"))
    clips = [json.loads(file.read_bytes()) for file in files]
    ids = np.array([clip["clip_id"] for clip in clips])
    xyz, rotation = (np.array([[c["trajectory"][f"predicted_{name}"]] for c in clips]) for name in ("xyz", "rotation"))
    assert codes(judged(RawClips(ids, ids, np.zeros(len(ids), dtype=np.int64), xyz, rotation))) == {}


@pytest.mark.parametrize("name", DRIVES)
def test_recorded_drives_have_no_errors(name: str) -> None:
    path = SHARED / "drives" / f"real_drives_{name}.npz"
    if not path.exists():
        pytest.skip("the recorded drives are not on this machine")
    with np.load(path) as file:
        raw = RawClips(
            file["source"],
            file["source"],
            (file["t0_s"] * 1e6).astype(np.int64),
            file["ego_future_xyz"][:, None],
            file["ego_future_rot"][:, None],
            history=file["ego_history_xyz"],
            history_rotation=file["ego_history_rot"],
            recorded=True,
        )
    report = judged(raw)
    assert report["errors"] == {}
    assert set(report["warnings"]) <= {"kinematic_fit", "standing_still", "v0_history"}
    mirrored = Check(name)
    mirrored.add(replace(raw, teacher=raw.teacher * np.array([1, -1, 1], dtype=np.float32)))
    assert set(mirrored.report()["errors"]) <= {"left_handed"}


def test_routes_are_counted_of_clips_that_are_kept() -> None:
    raw = sound(4)
    routed = replace(raw, route=np.zeros((4, 20, 2)), route_source="file")
    assert routed.route is not None
    routed.route[3] = np.nan
    check = Check("file")
    assert check.add(routed.select(np.array([0, 0, 1, 3]))).tolist() == [True, False, True, True]
    assert check.report()["routes"] == {"file": 2}


def test_a_table_lists_ten_files_left_aside_and_thirty_names_not_read() -> None:
    check = Check("file")
    check.add(replace(sound(1), notes=frozenset(f"not read: key{i:02d}" for i in range(32)) | {"dt is guessed"}))
    for i in range(12):
        check.left_aside(f"folder/{i:02d}.json", "holds no clips")
        check.left_aside(f"other/{i:02d}.json", "holds no clips")
    lines = table(check.report()).splitlines()
    (unread,) = (line for line in lines if "not read" in line)
    assert unread == f"  not read: {', '.join(f'key{i:02d}' for i in range(30))} and 2 more"
    (aside,) = (line for line in lines if "left aside" in line)
    assert aside.endswith(f"{', '.join(f'{i:02d}.json (2 of them)' for i in range(10))} and 2 more")
    assert "  dt is guessed" in lines


def test_the_kinematic_fit_is_summed_up_over_all_clips() -> None:
    check = Check("file")
    check._fits = [np.arange(50) / 1000, np.arange(50, 101) / 1000]
    check._clips = check._kept = 101
    assert check.report()["kinematic_fit"] == {"mean": 0.05, "p99": 0.099, "max": 0.1}


def test_a_file_of_which_some_clips_came_before_is_no_summary() -> None:
    raw = sound(4)
    check = Check("folder")
    for name, rows in (("a.json", [0, 1]), ("b.json", [1, 2]), ("c.json", [0, 2])):
        check.add(replace(raw.select(np.array(rows)), origin=np.array([name] * 2)))
    report = check.report()
    assert check.summaries() == ["c.json"]
    assert report["left_aside"] == {"c.json": "holds nothing but clips of other files"}
    assert (report["clips"], report["kept"], codes(report)) == (4, 3, {"repeated": 1})


def test_steps_that_differ_by_rounding_are_the_same() -> None:
    raw = sound(2)
    check = Check("file", dt=0.1)
    assert check.add(replace(raw, dt=0.1 * (1 + 5e-5))).all()
    assert not check.add(replace(raw, dt=0.1 * (1 + 5e-4), t0_us=raw.t0_us + 1)).any()
    assert codes(check.report()) == {"time_step": 2}
    assert codes(judged(replace(raw, dt=0.1 * (1 + 5e-5)))) == {}  # 0.1 s as others write it
