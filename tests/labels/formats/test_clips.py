"""Files by what their fields say: other names, axes, nesting and containers give the same clips to every reader."""

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from records_of_clips import (
    PAST,
    PAST_TURNED,
    SECOND,
    TEXTS,
    TURNED,
    V0,
    XYZ,
    as_lists,
    check_clips,
    js,
    lines,
    npz,
    parquet,
    pt,
    rows,
    samples,
)
from written import CLIPS, K, N

from alpamayo_toy import load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.soundness.checking import check_paths, sampled
from alpamayo_toy.labels.stored.convert import convert
from alpamayo_toy.labels.stored.splitting import ByHash, split_set


def each_in_a_folder(folder: Path) -> None:
    """A folder a clip: arrays, what they are of, and what holds no labels."""
    for i in range(N):
        inside = folder / CLIPS[i]
        inside.mkdir()
        np.save(inside / "trajectories.npy", XYZ[i].astype(np.float32))
        np.save(inside / "gt_xyz.npy", XYZ[i, 0])
        np.save(inside / "hidden_states.npy", np.zeros((4, 8), np.float16))
        np.savez(inside / "denoising.npz", x_t=np.zeros((10, 64, 2)))
        (inside / "meta.json").write_text(json.dumps({"clip_id": CLIPS[i], "t0_us": i * SECOND, "fps": 10}))
        (inside / "coc_trace.json").write_text(json.dumps([{"step": 0, "text": "go"}]))


def named_arrays(folder: Path) -> None:
    """Arrays under keys that rows in another file name."""
    keys = {f"{CLIPS[i]}__traj_{k}": XYZ[i, k] for i in range(N) for k in range(K)}
    np.savez(folder / "trajectories.npz", **keys, **{f"{CLIPS[i]}__gt": XYZ[i, 0] for i in range(N)})
    content = samples()
    for row, key in zip(content, keys, strict=True):
        row |= {"pred_xyz_npz_key": key, "gt_xyz_npz_key": f"{row['clip_id']}__gt"}
        del row["pred_xyz"]
    lines(content, "rows.jsonl")(folder)


def points(array: np.ndarray) -> Any:
    """Positions (..., 2 or 3) as objects."""
    return [points(row) for row in array] if array.ndim > 1 else dict(zip("xyz", array.tolist(), strict=False))


def zipped(folder: Path) -> None:
    with zipfile.ZipFile(folder / "labels.zip", "w") as archive:
        for row in rows(pred_xyz=lambda i: XYZ[i], gt_xyz=lambda i: XYZ[i, 0]):
            archive.writestr(f"inside/{row['clip_id']}.json", json.dumps(row, default=as_lists))
        archive.writestr("config.json", "{}")


class Calibration:
    """A class that reads no labels."""

    def __init__(self) -> None:
        self.poly = np.ones(3)


def in_objects(items: Any) -> np.ndarray:
    """An array of N objects."""
    array = np.empty(len(items), dtype=object)
    array[:] = list(items) if isinstance(items, np.ndarray) else items
    return array


LOADER = {
    "ego_history_xyz": PAST[1],
    "ego_history_rot": PAST_TURNED[1],
    "ego_future_xyz": XYZ[1, 0],
    "ego_future_rot": TURNED[1, 0],
}
NESTED = {"pred_xyz": lambda i: XYZ[i][None, None], "pred_rot": lambda i: TURNED[i][None, None]}
TRUTH = {"ego_future_xyz": lambda i: XYZ[i, 0][None, None], "ego_history_xyz": lambda i: PAST[i][None, None]}
BATCH = {"clip_id": CLIPS, "t0_us": torch.arange(N) * SECOND, "pred_xyz": torch.tensor(XYZ)[:, None]}
COT = np.array(TEXTS)[:, None]  # (N, 1, K)

READ: dict[str, tuple[Callable[[Path], object], set[str]]] = {
    "nested axes": (js(rows(**NESTED, **TRUTH, cot=lambda i: [[TEXTS[i]]])), {"truth", "past", "texts"}),
    "other names for truth": (
        js(rows(pred_xyz=lambda i: XYZ[i], gt_future_xyz=lambda i: XYZ[i, 0], hist_xy=lambda i: PAST[i, :, :2])),
        {"truth", "past"},
    ),
    "points as objects": (
        js(rows(pred_xyz=lambda i: points(XYZ[i, ..., :2]), gt_xyz=lambda i: points(XYZ[i, 0]))),
        {"truth"},
    ),
    "samples of points": (
        js(rows(samples=lambda i: [{"waypoints": points(XYZ[i, k, :, :2])} for k in range(K)])),
        set(),
    ),
    "one object": (js({**rows(pred_xyz=lambda i: XYZ[i], gt_xyz=lambda i: XYZ[i, 0])[1]}), {"one", "truth"}),
    "columns": (
        js({"clip_id": CLIPS, "t0_us": np.arange(N) * SECOND, "pred_xyz": XYZ, "gt_xyz": XYZ[:, 0]}),
        {"truth"},
    ),
    "lines": (lines(rows(pred_xyz=lambda i: XYZ[i], gt_xyz=lambda i: XYZ[i, 0])), {"truth"}),
    "lines by another name": (lines(rows(pred_xyz=lambda i: XYZ[i], cot=lambda i: TEXTS[i]), "a.json"), {"texts"}),
    "objects of arrays": (
        npz(clip_id=np.array(CLIPS), t0_us=np.arange(N) * SECOND, pred_xyz=in_objects(XYZ), cot=in_objects(TEXTS)),
        {"texts"},
    ),
    "in any case": (js(rows(predXYZ=lambda i: XYZ[i], GT_XYZ=lambda i: XYZ[i, 0])), {"truth"}),
    "by id": (js({row.pop("clip_id"): row for row in rows(pred_xyz=lambda i: XYZ[i])}), set()),
    "nested objects": (
        js({"run": {"clips": rows(output=lambda i: {"pred_xyz": XYZ[i], "extra": {"cot": TEXTS[i]}})}}),
        {"texts"},
    ),
    "samples in a list": (
        js(rows(samples=lambda i: [{"pred_xyz": XYZ[i, k], "cot": TEXTS[i][k]} for k in range(K)])),
        {"texts"},
    ),
    "a row a sample": (js(samples(gt_xyz=None)[::-1]), {"texts"}),
    "flat numbers": (
        js(rows(n_traj=K, n_future=64, pred_xy=lambda i: XYZ[i, :, :, :2].ravel(), gt_xy=lambda i: XYZ[i, 0, :, :2])),
        {"truth"},
    ),
    "sets and samples": (
        npz(clip_ids=np.array(CLIPS), t0_us=np.arange(N) * SECOND, pred_xyz=XYZ[:, None], gt_xyz=XYZ[:, 0]),
        {"truth"},
    ),
    "an answer": (
        npz(clip_id=CLIPS[1], t0_us=SECOND, pred_xyz=XYZ[1][None, None], pred_rot=TURNED[1][None, None], cot=COT[1:2]),
        {"one", "texts"},
    ),
    "rows of arrays": (
        npz(
            clip_id=np.repeat(CLIPS, K),
            t0_us=np.repeat(np.arange(N) * SECOND, K),
            sample_idx=np.tile(np.arange(K), N),
            pred_xyz=XYZ.reshape(-1, 64, 3),
        ),
        set(),
    ),
    "arrays that rows name": (named_arrays, {"truth", "texts", "folder"}),
    "a batch": (pt({**BATCH, "pred_rot": torch.tensor(TURNED)[:, None], "extra": {"cot": COT}}), {"texts"}),
    "answers": (pt([{**row, "cot": np.array([[TEXTS[i]]])} for i, row in enumerate(rows(**NESTED))]), {"texts"}),
    "what models return": (
        pt((torch.tensor(XYZ[1:2, None]), torch.tensor(TURNED[1:2, None]), {"t0_us": SECOND})),
        {"one"},
    ),
    "a pickle": (
        lambda folder: (folder / "labels.pkl").write_bytes(pickle.dumps(rows(pred_xyz=lambda i: XYZ[i]))),
        set(),
    ),
    "a folder a clip": (each_in_a_folder, {"truth", "folder"}),
    "a zip": (zipped, {"truth"}),
    "a row a clip": (
        parquet(
            clip_id=CLIPS, t0_us=np.arange(N) * SECOND, pred_xyz=XYZ.tolist(), gt_xyz=XYZ[:, 0].tolist(), cots=TEXTS
        ),
        {"truth", "texts"},
    ),
    "other columns": (
        parquet(
            scene_id=np.repeat(CLIPS, K),
            timestamp_us=np.repeat(np.arange(N) * SECOND, K),
            sample_index=np.tile(np.arange(K), N),
            trajectory_xyz=XYZ.reshape(N * K, -1).tolist(),
            coc=np.ravel(TEXTS),
        ),
        {"texts"},
    ),
    "seconds and rates": (
        parquet(
            clip_id=np.repeat(CLIPS, K),
            t0_s=np.repeat(np.arange(N) * 1.0, K),
            sample_idx=np.tile(np.arange(K), N),
            hz=np.full(N * K, 10),
            pred_xy=XYZ[..., :2].reshape(N * K, -1).tolist(),
        ),
        set(),
    ),
}


@pytest.mark.parametrize("name", READ)
def test_the_same_clips_whatever_the_file_is(tmp_path: Path, name: str) -> None:
    write, has = READ[name]
    (tmp_path / "in").mkdir()
    write(tmp_path / "in")
    paths = [tmp_path / "in"] + ([] if "folder" in has else list((tmp_path / "in").iterdir()))
    for i, path in enumerate(paths):
        labels = load_labels(path)
        check_clips(labels, has, name)
        code, text, report = check_paths([path], "auto", False, False)
        assert (code, report["files"][0]["errors"], report["files"][0]["kept"]) == (code, {}, len(labels)), text
        made = convert([path], tmp_path / f"set-{i}")
        assert made is not None
        check_clips(load_labels(tmp_path / f"set-{i}"), has, name)
        assert sum(split_set(path, tmp_path / f"split-{i}", "auto", ByHash(0.3, 0.2)).values()) == len(labels)
        assert sampled(path, "auto", 100)[1] == len(labels)


def test_times_under_any_name_tell_clips_apart(tmp_path: Path) -> None:
    for key, scale in (("timestamp_us", 1), ("t0_s", 1e-6), ("timestamp_ns", 1e3), ("keyframe_timestamp_ms", 1e-3)):
        content = [
            {"clip_id": "a", key: i * SECOND * scale if scale < 1 else int(i * SECOND * scale), "pred_xyz": XYZ[i]}
            for i in range(N)
        ]
        js(content)(tmp_path)
        assert load_labels(tmp_path).t0_us.tolist() == [i * SECOND for i in range(N)], key


def test_keyframes_of_a_clip_and_what_encloses_them(tmp_path: Path) -> None:
    def frame(i: int) -> dict[str, Any]:
        answer = {"timestamp_us": i * SECOND, "cot": [["go"]], "pred_xyz": XYZ[i][None, None, :1]}
        later = {**answer, "timestamp_us": i * SECOND + 1}
        return {"keyframe_timestamp_us": i * SECOND, "coc": answer, "inference": [answer, later]}

    js({"clip_id": "a", "keyframes": [frame(i) for i in range(N)], "inference_timestamp": "2026-01-01"})(tmp_path)
    labels = load_labels(tmp_path)
    assert labels.teacher.shape[:2] == (2 * N, 1)
    assert set(labels.clip_id) == {"a"}
    assert sorted(labels.t0_us.tolist()) == sorted(i * SECOND + late for i in range(N) for late in (0, 1))
    assert check_paths([tmp_path], "auto", False, False)[2]["files"][0]["warnings"]["repeated"]["count"] == N


@pytest.mark.parametrize(
    "said", [{"dt": 0.5}, {"time_step_s": 0.5}, {"hz": 2}, {"fps": 2.0}, {"dt_ms": 500}, {"horizon_s": 6.0}]
)
def test_the_length_of_a_step_counts_under_any_name(tmp_path: Path, said: dict[str, float]) -> None:
    content = rows(pred_xyz=lambda i: XYZ[i, :, 4::5][:, :12])
    js({**said, "results": content})(tmp_path)
    labels = load_labels(tmp_path)
    assert labels.dt == 0.5
    assert (labels.v0 - V0).abs().max() < 0.05
    js(content)(tmp_path)
    with pytest.raises(UserError, match=r"has 12 steps and no length of a step is said; .* --map dt=0\.5$"):
        load_labels(tmp_path)
    assert load_labels(tmp_path, "auto,dt=0.5").v0.tolist() == labels.v0.tolist()


def test_times_of_the_steps_say_how_long_they_are(tmp_path: Path) -> None:
    pt({**LOADER, "ego_future_tvals": torch.arange(1, 65) * 0.2, "clip_id": "a", "t0_us": 5})(tmp_path)
    assert load_labels(tmp_path).dt == 0.2
    pt({**LOADER, "ego_future_tvals": torch.zeros(64), "clip_id": "a"})(tmp_path)
    with pytest.raises(UserError, match="ego_future_tvals of clip a are no times of 64 steps"):
        load_labels(tmp_path)


def test_a_loader_dictionary_with_objects_beside_its_arrays(tmp_path: Path) -> None:
    content = {**LOADER, "clip_id": "a", "t0_us": 5, "jpegs": [b"\xff\xd8" * 9], "cameras": [{"model": Calibration()}]}
    pt(content)(tmp_path)
    labels = load_labels(tmp_path)
    assert (labels.clip_id.tolist(), labels.teacher.shape[1], labels.history is not None) == (["a"], 1, True)
    assert labels.v0.tolist() == pytest.approx([float(V0[1])], abs=0.05)
    assert "cameras" in check_paths([tmp_path], "auto", False, False)[1]


class Trajectory:
    """As planners of another benchmark store theirs: x, y and heading."""

    def __init__(self, poses: np.ndarray) -> None:
        self.poses = poses


def test_trajectories_that_are_objects(tmp_path: Path) -> None:
    poses = np.concatenate([XYZ[:, 0, :, :2], np.arctan2(TURNED[:, 0, :, 1, 0], TURNED[:, 0, :, 0, 0])[..., None]], -1)
    content = {"team": "x", "predictions": [{CLIPS[i]: Trajectory(poses[i]) for i in range(N)}]}
    (tmp_path / "submission.pkl").write_bytes(pickle.dumps(content))
    labels = load_labels(tmp_path)
    assert labels.clip_id.tolist() == CLIPS
    assert (labels.v0 - V0).abs().max() < 2e-3


UNCLEAR: dict[str, tuple[Any, str, str]] = {
    "a time without a unit": (
        rows(t0_us=None, timestamp=lambda i: i * SECOND, pred_xyz=lambda i: XYZ[i]),
        r"timestamp of clip clip-0 may be the time of t0 .*--map t0_us=timestamp",
        "t0_us=timestamp",
    ),
    "a rate of another name": (
        rows(pred_xyz=lambda i: XYZ[i], out_freq=10),
        r"out_freq of clip clip-0 may be the length of a step: .*--map fps=out_freq",
        "fps=out_freq",
    ),
    "a second prediction": (
        rows(pred_xyz=lambda i: XYZ[i], pred_xyz_ema=lambda i: XYZ[i] + 1),
        r"pred_xyz_ema of clip clip-0 could matter .*--map ignore=pred_xyz_ema",
        "ignore=pred_xyz_ema",
    ),
    "truth of another name": (
        rows(pred_xyz=lambda i: XYZ[i], human_path=lambda i: XYZ[i, 0]),
        "human_path of clip clip-0 could matter .*--map ground_truth=human_path",
        "ground_truth=human_path",
    ),
    "two truths": (
        rows(pred_xyz=lambda i: XYZ[i], gt_xyz=lambda i: XYZ[i, 0], gt_xy=lambda i: XYZ[i, 0, :, :2] + 100),
        "gt_xy of clip clip-0 says something else than gt_xyz; choose one: --map ground_truth=gt_xyz",
        "ground_truth=gt_xyz",
    ),
    "trajectories of another name": (
        rows(my_key=lambda i: XYZ[i], my_actions=lambda i: XYZ[i]),
        r"my_key \(3, 64, 3\) may be trajectories: --map teacher=my_key; expected a list of clips",
        "teacher=my_key",
    ),
    "a drive with trajectories of another name": (
        rows(foo=lambda i: XYZ[i], ego_future_xyz=lambda i: XYZ[i, 0], ego_history_xyz=lambda i: PAST[i]),
        "foo of clip clip-0 could matter",
        "teacher=foo",
    ),
}


@pytest.mark.parametrize("name", UNCLEAR)
def test_what_could_matter_is_asked_and_never_guessed(tmp_path: Path, name: str) -> None:
    content, message, option = UNCLEAR[name]
    js([{key: value for key, value in row.items() if value is not None} for row in content])(tmp_path)
    for path in (tmp_path, tmp_path / "labels.json"):
        for read in (
            load_labels,
            lambda p: check_paths([p], "auto", False, False),
            lambda p: convert([p], tmp_path / "x"),
        ):
            with pytest.raises(UserError, match=message):
                read(path)  # type: ignore[operator]
    labels = load_labels(tmp_path, f"auto,{option}")
    assert labels.teacher.shape == (N, K, 64, 4)
    assert np.abs(labels.teacher[..., :2].numpy() - XYZ[..., :2]).max() < 1e-5


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "points that say more": (
        js(rows(pred_xyz=lambda i: [[{"x": 1.0, "y": 2.0, "t": 0.1}] * 64])),
        "pred_xyz of clip .* is not a regular array of numbers",
    ),
    "no trajectory": (
        js({"clip_id": "a", "cot": "go", "pred_xyz_shape": [1, 1, 1, 64, 3]}),
        "holds no trajectories, only",
    ),
    "actions": (js(rows(pred_actions=lambda i: XYZ[i, ..., :2])), "holds no trajectories, only the keys clip_id"),
    "normalised": (js(rows(normalized=True, pred_xyz=lambda i: XYZ[i] / 50)), "says that its numbers are normalised"),
    "centimetres": (js(rows(units="cm", pred_xyz=lambda i: XYZ[i] * 100)), "units of clip clip-0 says 'cm'"),
    "clips or sets": (npz(pred_xyz=XYZ), r"has axes \(4, 3, 64, 3\): clips or sets\?"),
    "rows that do not fit": (npz(clip_id=np.array(CLIPS), pred_xyz=XYZ[:3]), "4 clip_id but 3 rows in pred_xyz"),
    "flat without counts": (js(rows(pred_xy=lambda i: XYZ[i, :, :, :2].ravel())), r"must have shape \[K\]\[T\]\[3\]"),
    "a bare array": (lambda folder: np.save(folder / "foo.npy", XYZ[0]), "--map teacher=foo"),
    "two predictions of one clip": (
        js({"clip_id": "a", "pred_xyz": XYZ[0], "samples": [{"pred_xyz": XYZ[1]}]}),
        r"samples \(a second prediction\) of clip a could matter",
    ),
    "a sample twice": (
        js([*samples(), {**samples()[1], "pred_xyz": XYZ[2, 0]}]),
        "clip clip-0 has sample 1 at t0 0 us twice",
    ),
    "no clips": (js([]), "holds no clips"),
    "a rate of nothing": (
        js(rows(hz=1e-9, pred_xyz=lambda i: XYZ[i])),
        "hz of clip clip-0 must be one number of steps",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, name: str) -> None:
    write, message = REFUSED[name]
    write(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        load_labels(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_arrays_that_rows_name_are_read_by_the_rows(tmp_path: Path) -> None:
    named_arrays(tmp_path)
    with pytest.raises(UserError, match="holds arrays that a file of rows beside it names; name that file"):
        load_labels(tmp_path / "trajectories.npz")
    check_clips(load_labels(tmp_path / "rows.jsonl"), {"truth", "texts"}, "rows")


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("auto,teachr=x", "map: there is no field teachr; known: teacher, rotation, ground_truth"),
        ("auto,teacher", "map: teacher must be field=key, such as teacher=my_key or dt=0.5"),
        ("auto,dt=0", "map: dt=0 must be above 0"),
        ("auto,fps=-1", "map: fps=-1 must be above 0"),
    ],
)
def test_a_map_that_says_nothing_is_one_line(tmp_path: Path, told: str, message: str) -> None:
    js(rows(pred_xyz=lambda i: XYZ[i]))(tmp_path)
    with pytest.raises(UserError, match=message):
        load_labels(tmp_path, told)


def test_what_encloses_a_list_names_no_clip_of_it(tmp_path: Path) -> None:
    js({"name": "run 7", "id": 3, "results": [{"pred_xyz": XYZ[i, :1]} for i in range(N)]})(tmp_path)
    assert load_labels(tmp_path).clip_id.tolist() == [f"labels-{i}" for i in range(N)]
    moments = [{"frame_idx": 10 * i, "pred_xyz": XYZ[i, :1]} for i in range(N)]
    js({"clip_id": "a", "frames": moments})(tmp_path)  # moments of a clip are no samples of one
    with pytest.raises(UserError, match="clip a at t0 0 us comes twice with different trajectories"):
        load_labels(tmp_path)


def test_failed_rows_are_named_and_left_out(tmp_path: Path) -> None:
    content = [
        *rows(pred_xyz=lambda i: XYZ[i]),
        {"clip_id": "bad", "t0_us": 1, "pred_xyz": None, "error": "out of memory"},
    ]
    js(content)(tmp_path)
    with pytest.warns(UserWarning, match=r"clip bad has no pred_xyz \(out of memory\) and is left out"):
        assert load_labels(tmp_path).clip_id.tolist() == CLIPS
    report = check_paths([tmp_path], "auto", False, False)[2]["files"][0]
    assert "clip bad has no pred_xyz (out of memory)" in report["errors"]["unreadable"]["clips"][0]
    assert sum(split_set(tmp_path, tmp_path / "split", "auto", ByHash(0.3, 0.2)).values()) == N
    js(content[-1:])(tmp_path)
    with pytest.raises(UserError, match="clip bad has no pred_xyz"):
        load_labels(tmp_path / "labels.json")


def test_unread_names_and_missing_times_are_said_once(tmp_path: Path) -> None:
    js([{**row, "score": 1.0, "extra": {"seed": 3}} for row in rows(t0_us=None, pred_xyz=lambda i: XYZ[i])])(tmp_path)
    text = check_paths([tmp_path], "auto", False, False)[1]
    assert "  not read: extra.seed, score\n" in text
    assert "  no time of t0 is said: 0 is taken\n" in text


def test_lists_are_numbered_alike(tmp_path: Path) -> None:
    content = [{"pred_xyz": XYZ[i]} for i in range(N)]
    wanted = [f"labels-{i}" for i in range(N)]
    for write in (js(content), lines(content), pt(content), parquet(pred_xyz=XYZ.tolist())):
        for old in tmp_path.iterdir():
            old.unlink()
        write(tmp_path)
        assert load_labels(tmp_path).clip_id.tolist() == wanted
