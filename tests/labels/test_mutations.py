"""Broken label files, by the hundred: each loads or ends in one line that names the file, whatever reads it.

ALPAMAYO_TOY_MUTATIONS=500 tries that many of each form in place of 40.
"""

import copy
import json
import os
import re
import shutil
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from alterations import deep
from broken_files import FORMS, as_json, as_npz, as_parquet, broken, flat, own, whole_set
from effort import loop
from written import K, N

from alpamayo_toy import Labels, load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.soundness.checking import check_paths
from alpamayo_toy.labels.stored.convert import convert

MUTATIONS = int(os.environ.get("ALPAMAYO_TOY_MUTATIONS", "40"))
SLOWEST = 200  # loops of a million numbers, some 5 s


def check_sound(labels: Labels) -> None:
    """What Labels itself does not look at."""
    n = len(labels)
    assert n > 0
    assert labels.t0_us.dtype == torch.int64
    assert labels.scenario.dtype == torch.int64
    assert np.isfinite(labels.dt)
    assert labels.dt > 0
    assert int(labels.scenario.min()) >= -1
    assert labels.text is None or labels.text.shape in ((n,), (n, labels.teacher.shape[1]))
    for strings in (labels.clip_id, labels.source, labels.v0_source, labels.text):
        assert strings is None or (len(strings) == n and all(isinstance(text, str) for text in strings.ravel()))
        assert strings is None or strings.dtype.kind in "UO"
    for numbers in (labels.teacher, labels.v0, labels.ground_truth, labels.history, labels.context):
        assert numbers is None or (numbers.is_floating_point() and len(numbers) == n)
        assert numbers is None or not bool(numbers.isinf().any())


def stated(error: UserError, path: Path) -> str | None:
    """What is wrong with a message, or None."""
    text = str(error)
    files = [path, *path.parent.rglob("*")] if path.is_dir() else [path, *path.parent.iterdir()]
    if not any(file.name in text for file in files):
        return f"names no file: {text!r}"
    if len(text.splitlines()) != 1 or not text.isprintable():
        return f"is no line of its own: {text!r:.500}"
    return None if len(text) - len(str(path.parent)) * text.count(str(path.parent)) < 1000 else f"too long: {len(text)}"


def tried(path: Path) -> tuple[str, str | None, float]:
    """loaded or refused; what should not have happened, or None; seconds that the slowest reader took."""
    out, slowest, loaded = path.parent.parent / "made", 0.0, []
    jobs: dict[str, Callable[[], Any]] = {
        "load_labels": lambda: check_sound(load_labels(path)),
        "check": lambda: json.dumps(check_paths([path], "auto", False, False)[2], allow_nan=False),
        "convert": lambda: check_sound(next(iter(convert([path], out).batches()))),
    }
    for name, job in jobs.items():
        start = time.process_time()
        wrong = None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.filterwarnings("ignore", f"{re.escape(str(path))}: .* is left out, not all clips have it")
                job()
            loaded.append(name)
        except UserError as error:
            wrong = stated(error, path)
        except Exception:
            wrong = traceback.format_exc(limit=-4)
        finally:
            shutil.rmtree(out, ignore_errors=True)
        slowest = max(slowest, time.process_time() - start)
        if wrong or (slowest > 2 and slowest > SLOWEST * loop()):
            return "fault", f"{name}: {wrong or f'{slowest:.1f} s'}", slowest
    return "loaded" if "load_labels" in loaded else "refused", None, slowest


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FORMS, "set"])
def test_whatever_is_broken_ends_in_a_line(tmp_path: Path, name: str) -> None:
    if name in ("flat_parquet", "rows_parquet", "egomotion"):
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    outcomes = set()
    for seed in range(MUTATIONS):
        folder = tmp_path / str(seed)
        outcome, wrong, _ = tried(broken(name, seed, folder))
        assert wrong is None, f"seed {seed} ({folder}): {wrong}"
        shutil.rmtree(folder)
        outcomes.add(outcome)
    assert outcomes == {"loaded", "refused"}


def edit(**changes: Any) -> Callable[[Any], None]:
    return lambda content: content.update(changes)


def wide(key: str, value: Any) -> Callable[[Any], None]:
    """One number of an array, or one text of a column, replaced."""

    def change(content: Any) -> None:
        content[key] = content[key].copy()
        content[key][(0,) * content[key].ndim if isinstance(content[key], np.ndarray) else 0] = value

    return change


FOUND: list[tuple[str, int, Callable[[Any], Any], str]] = [
    ("labels_npz", 0, edit(dt=np.array([0.1, 0.1])), "dt must be one number of seconds"),
    ("labels_npz", 0, edit(dt=np.float64(np.nan)), "dt must be one number of seconds"),
    ("labels_npz", 0, edit(dt=np.float64(1e200)), "dt is 1e.200 s; it must be between"),
    ("labels_npz", 0, edit(clip_id=np.array("c")), "clip_id must be a row of strings"),
    ("labels_npz", 0, edit(context=np.float64(1.0)), "context must have"),
    ("labels_npz", 0, edit(t0_us=np.full(N, 2**63, dtype=np.uint64)), "t0_us must hold integers of 64 bits"),
    ("labels_npz", 0, edit(v0=np.full(N, 1e10)), "v0 of clip synthetic-0-0 holds numbers beyond 1e.09"),
    ("labels_npz", 0, edit(v0=np.full(N, -1e200)), "v0 of clip synthetic-0-0 holds numbers beyond 1e"),
    ("labels_npz", 0, edit(history=np.full((N, 16, 4), np.inf)), "history of clip synthetic-0-0 holds infinite values"),
    ("labels_npz", 0, edit(clip_id=np.array(["x" * 1001] * N)), "clip_id of clip 0 has 1001 characters"),
    ("labels_npz", 1, edit(v0=np.ones((N, 1))), "v0 must have one row for each of 4 clips"),
    ("labels_npz", 1, edit(teacher=np.ones((N, 0, 64, 2))), "teacher must have shape"),
    ("results_json", 0, lambda clips: clips[1].update(clip_id="x" * 10_000), "clip_id of clip 1 has 10000 characters"),
    ("results_json", 0, lambda clips: clips[1].update(clip_id="a\nb", pred_xyz=1), r"clip a\\nb must have shape"),
    ("results_json", 0, lambda clips: clips[1].update(pred_xyz=[[[1e200, 0, 0]] * 64] * K), "holds numbers beyond 1e"),
    ("clip_json", 0, lambda clip: clip["trajectory"].update(duration_sec=1e200), "duration_sec of clip c0 must be"),
    ("clip_json", 0, lambda clip: clip["trajectory"].update(duration_sec=1e6), "it must be between"),
    ("clip_json", 0, lambda clip: clip.update(clip_id=deep(900)), "clip_id|nested too deeply"),
    ("community_npz", 0, edit(clip_ids=np.array("c")), "clip_ids must have one text for each clip"),
    ("community_npz", 0, edit(coc_texts=np.array("go")), "coc_texts must have one text for each clip"),
    ("community_npz", 0, edit(t0_us=np.array(5)), "t0_us must hold integers of 64 bits"),
    ("community_npz", 0, edit(clip_ids=np.array(["c"] * N), t0_us=np.full((N, 1), 5)), "t0_us must hold integers"),
    ("drives_npz", 0, edit(t0_s=np.full(3, 1e308)), "t0_s must hold seconds"),
    ("flat_parquet", 1, wide("v0", float("inf")), "v0 of clip c0 holds NaN or infinite values"),
    ("drives_npz", 0, edit(t0_s=np.full(3, 60_000, dtype=np.float16), dt=np.float64(1e9)), "dt is"),
    ("drives_npz", 0, edit(dt=np.float64(1e-200)), "dt is 0.0 s; it must be between"),
    ("drives_pt", 0, edit(t0_us=[{"a": torch.ones(30, 30)}]), "t0_us must hold integers"),
    ("drives_pt", 0, lambda clip: clip.update({"\x1b": clip.pop("ego_future_xyz")}), r"keys \\x1b, clip_id"),
    ("flat_parquet", 0, wide("clip_id", "x" * 1001), "clip_id of clip 0 has 1001 characters"),
    ("egomotion", 0, wide("qw", 1e200), "row 0 holds numbers beyond 1e"),
    ("set", 0, lambda facts: facts["fields"].remove("v0"), "'v0 is missing or not what it should be'"),
    ("set", 0, edit(dt="fast"), "'dt is missing or not what it should be'"),
    ("set", 0, edit(dt=1e200), "it must be between"),
    ("set", 0, lambda facts: facts.pop("scenario_source"), "no index of a label set"),
    ("set", 0, edit(scenario_source="no"), "scenario_source must be file or future"),
    ("set", 0, lambda facts: facts["shards"][0].update(files=[]), "no index of a label set"),
    ("set", 0, lambda facts: facts["shards"][0].update(files={"../../x": ""}), "lead elsewhere"),
]


@pytest.mark.parametrize(("name", "which", "change", "message"), FOUND)
def test_what_once_was_found_stays_one_line(
    tmp_path: Path, name: str, which: int, change: Callable[[Any], Any], message: str
) -> None:
    if name in ("flat_parquet", "rows_parquet", "egomotion"):
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    if name == "set":
        path = whole_set(tmp_path)
        content = json.loads((path / "labels.json").read_text())
        change(content)
        as_json(content, path / "labels.json")
    else:
        path = tmp_path / FORMS[name].name
        content = copy.deepcopy(FORMS[name].contents()[which])
        change(content)
        FORMS[name].save(content, path)
    with pytest.raises(UserError, match=message) as caught:
        load_labels(path)
    assert stated(caught.value, path) is None
    assert tried(path)[1] is None


ARRAYS: list[tuple[str, Callable[[bytes], bytes], str]] = [
    ("teacher", lambda data: data[:128] + np.full(N * K * 64 * 16, np.nan, "<f4").tobytes()[: len(data) - 128], "NaN"),
    ("clip_id", lambda data: data[:128] + b"\xff" + data[129:], "does not hold the strings that its ends say"),
    ("clip_id_ends", lambda data: data[:128] + b"\xff" * 8 + data[136:], "does not hold the strings"),
    ("v0", lambda data: data.replace(b", }", b",\0}"), "is no array of a label set"),
    ("scenario", lambda data: data[:-8] + b"\x63" + data[-7:], "scenario must be -1"),
]


@pytest.mark.parametrize(("name", "change", "message"), ARRAYS)
def test_a_damaged_array_of_a_set_is_one_line(
    tmp_path: Path, name: str, change: Callable[[bytes], bytes], message: str
) -> None:
    path = whole_set(tmp_path)
    (array,) = path.glob(f"shards/*/{name}.npy")
    array.write_bytes(change(array.read_bytes()))
    with pytest.raises(UserError, match=message) as caught:
        load_labels(path)
    assert stated(caught.value, path) is None
    assert tried(path)[1] is None


def test_one_long_text_does_not_make_all_of_them_long(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    content = flat()[1]
    content["coc"] = ["x" * 100_000, *content["coc"][1:]]
    as_parquet(content, tmp_path / "flat.parquet")
    text = load_labels(tmp_path / "flat.parquet").text
    assert text is not None
    assert text.dtype == object


def test_a_header_that_looks_like_that_of_python_2_warns_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    as_npz(own()[0], path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["t0_us.npy"] = members["t0_us.npy"].replace(b"(4,), ", b"(4L,),")
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_labels(path).t0_us.tolist() == list(range(N))
