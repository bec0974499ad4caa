"""compare(): runs paired clip by clip, batches seed by seed; what cannot be put side by side."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from clip_tables import N, write_run

from alpamayo_toy.errors import UserError
from alpamayo_toy.evaluation.comparison import compare
from alpamayo_toy.evaluation.results import read_clips, write_clips


def test_runs_side_by_side_are_paired_by_clip(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "a", 0.0), write_run(tmp_path / "b", 0.05), write_run(tmp_path / "c", 0.0, seed=1)]
    text = compare(runs, tmp_path / "out")
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())
    first, better, other = content["metrics"]["teacher.student.ade"]
    assert (content["clips"], content["units"]) == (N, N)
    assert first["difference"]["mean"] == 0
    assert better["difference"]["mean"] == pytest.approx(0.05)
    assert better["difference"]["decided"] is True  # far below the spread of the clips, but the same on each
    assert other["difference"]["decided"] is False
    assert "B - A: +0.050 [0.050, 0.050]  differ on these clips; one seed says nothing of the method" in text
    assert "teacher.ade [m]" in text
    assert "teacher.miss [%]" in text
    shares = [f"{100 * np.mean(read_clips(Path(run) / 'clips.csv')['teacher.student.miss']):.1f}" for run in runs]
    assert re.search(rf"teacher\.miss \[%\] +{' +'.join(map(re.escape, shares))}\n", text)
    assert [line[4:9] for line in text.splitlines() if " - A: " in line] == ["B - A", "C - A"] * 2  # none with itself


def test_one_trajectory_beside_several_and_what_all_are_beside(tmp_path: Path) -> None:
    """minADE of one trajectory is its ADE; baselines stand below with the interval of their own mean."""
    single, several = Path(write_run(tmp_path / "a", 0.0)), Path(write_run(tmp_path / "b", 0.0, seed=1))
    table = read_clips(several / "clips.csv")
    write_clips(several / "clips.csv", {**table, "teacher.student_modes.min_ade": [0.5] * N})
    text = compare([str(single), str(several)], tmp_path / "out")
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())["metrics"]
    alone, modes = content["teacher.student_modes.min_ade"]
    assert alone["mean"] == content["teacher.student.ade"][0]["mean"]
    assert modes["mean"] == 0.5
    assert re.search(r"teacher.modes_min_ade \[m\] +1\.\d+ +0\.500\n +B - A: -", text)
    assert re.search(r"teacher.stationary.ade \[m\] +(\d+\.000) +\1  \[\1, \1\]\n", text + "\n")
    stands = content["teacher.stationary.ade"]
    for run, ade in zip(stands, content["teacher.student.ade"], strict=True):
        assert run["difference"]["mean"] == pytest.approx(ade["mean"] - run["mean"])
    assert re.search(r"    A - it: -8\.\d+ \[-8\.\d+, -8\.\d+\]  differ on these clips; one seed says nothing", text)


def test_the_folds_of_a_run_are_one_run(tmp_path: Path) -> None:
    """Two halves of a run's clips, side by side with the whole of it."""
    whole = read_clips(Path(write_run(tmp_path / "whole", 0.0)) / "clips.csv")
    for half, rows in (("0", slice(0, 20)), ("1", slice(20, N))):
        (tmp_path / "folds" / half).mkdir(parents=True)
        write_clips(tmp_path / "folds" / half / "clips.csv", {name: column[rows] for name, column in whole.items()})
    (tmp_path / "folds" / "notes.yaml").write_text("of a sweep")
    compare([str(tmp_path / "folds" / "*"), str(tmp_path / "whole")], tmp_path / "out")
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())
    first, second = content["metrics"]["teacher.student.ade"]
    assert (content["clips"], content["units"]) == (N, N)
    assert first["mean"] == second["mean"]
    assert second["difference"]["mean"] == 0
    shutil.copytree(tmp_path / "folds" / "1", tmp_path / "folds" / "2")
    with pytest.raises(UserError, match="some of its folders were scored on the same clips"):
        compare([str(tmp_path / "folds" / "*"), str(tmp_path / "whole")], tmp_path / "out")
    with pytest.raises(UserError, match=r"there is no folder .*nothing"):
        compare([str(tmp_path / "nothing*"), str(tmp_path / "whole")], tmp_path / "out")


def test_runs_that_cannot_be_compared(tmp_path: Path) -> None:
    one, other = write_run(tmp_path / "a", 0.0), write_run(tmp_path / "b", 0.0, v0=6.0)
    with pytest.raises(UserError, match="name other clips alike"):
        compare([one, other], tmp_path / "out")
    nearly = write_run(tmp_path / "nearly", 0.0, v0=5.01)
    with pytest.raises(UserError, match="name other clips alike"):
        compare([one, nearly], tmp_path / "out")
    with pytest.raises(UserError, match=r"there is no run's folder .*nowhere"):
        compare([one, str(tmp_path / "nowhere")], tmp_path / "out")
    (tmp_path / "old").mkdir()
    with pytest.raises(
        UserError,
        match=r"old holds no clips\.csv; make one, then compare .*held_out: cd \S+ && \S*python\S* scripts/eval\.py ",
    ):
        compare([one, str(tmp_path / "old")], tmp_path / "out")
    whole = (tmp_path / "b" / "clips.csv").read_text()
    for text in ("clip_id,t0_us\na,b,c\n", "clip_id,t0_us\n", "", whole.replace("v0", "w0"), whole + whole[-200:]):
        (tmp_path / "b" / "clips.csv").write_text(text)
        with pytest.raises(UserError, match="is no table of clips"):
            compare([one, other], tmp_path / "out")
    table_of_others = read_clips(Path(one) / "clips.csv")
    write_clips(tmp_path / "c" / "clips.csv", {**table_of_others, "clip_id": ["x"] * N})
    with pytest.raises(UserError, match="have no clip in common"):
        compare([one, str(tmp_path / "c")], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def batch(folder: Path, shift: float, seeds: range, noise: float = 0.05, of: int = 0) -> str:
    """A batch's folder; each seed of it is off by its own amount, drawn anew for each batch."""
    off = np.random.default_rng([of, 7]).normal(0, noise, 100)
    for seed in seeds:
        write_run(folder / f"seed-{seed}", shift + off[seed], seed)
    return str(folder)


def test_a_seed_is_that_of_its_own_folder(tmp_path: Path) -> None:
    """Whatever a folder above it is called."""
    plain, odd = (batch(folder, 0.0, range(4)) for folder in (tmp_path / "a", tmp_path / "seed-1-sweep" / "a"))
    content = found(plain, odd, out=tmp_path / "out")[1]
    assert (content["over"], content["units"]) == ("seeds", 4)


def found(*runs: str, out: Path) -> tuple[str, dict[str, Any]]:
    text = compare(list(runs), out)
    return text, json.loads((out / "comparison.json").read_text())


def test_batches_are_compared_seed_by_seed(tmp_path: Path) -> None:
    """By Student's t over the seeds that both have; a seed that failed is left out."""
    a, b = batch(tmp_path / "a", 0.0, range(5)), batch(tmp_path / "b", 0.5, range(1, 8), of=1)
    (tmp_path / "b" / "seed-9").mkdir()
    text, content = found(a, b, out=tmp_path / "out")
    assert (content["over"], content["units"], content["clips"]) == ("seeds", 4, N)
    first, second = content["metrics"]["teacher.student.ade"]
    ades = [
        [float(np.mean(read_clips(Path(run) / f"seed-{s}" / "clips.csv")["teacher.student.ade"])) for s in range(1, 5)]
        for run in (a, b)
    ]
    for entry, values in (
        (first, ades[0]),
        (second, ades[1]),
        (second["difference"], np.subtract(*ades[::-1]).tolist()),
    ):
        low, high = scipy.stats.t.interval(0.95, 3, np.mean(values), scipy.stats.sem(values))
        assert (entry["mean"], entry["low"], entry["high"]) == pytest.approx((np.mean(values), low, high))
        assert entry["units"] == 4
    assert second["difference"]["decided"] is True
    assert re.search(r"B - A: \+0\.\d+ \[0\.\d+, 0\.\d+\]  a real difference", text)
    assert content["metrics"]["teacher.ridge.ade"][0]["mean"] is None
    of_baselines = {name: rows for name, rows in content["metrics"].items() if ".student" not in name}
    mean = {name: rows[0]["mean"] for name, rows in content["metrics"].items()}
    for name, rows in of_baselines.items():  # the student less the baseline
        if mean[name] is not None and name.endswith(".ade"):
            less = mean["teacher.student.ade"] - mean[name]
            assert rows[0]["difference"]["mean"] == pytest.approx(less), name


def test_of_ten_pairs_of_batches_of_one_method_at_most_one_differs(tmp_path: Path) -> None:
    """Where clips alone would call most of them different: the seeds differ, and on the same clips that is decided."""
    by_seeds = by_clips = 0
    for pair in range(10):
        a, b = (batch(tmp_path / f"{pair}-{i}", 0.0, range(5), of=2 * pair + i) for i in (0, 1))
        by_seeds += found(a, b, out=tmp_path / "out")[1]["metrics"]["teacher.student.ade"][1]["difference"]["decided"]
        one = found(f"{a}/seed-0", f"{b}/seed-0", out=tmp_path / "out")[1]
        by_clips += one["metrics"]["teacher.student.ade"][1]["difference"]["decided"]
    assert by_seeds <= 1
    assert by_clips >= 8


def test_batches_that_share_no_seed_are_compared_all_the_same(tmp_path: Path) -> None:
    """By Welch's t, as of two independent samples, here of one method and of another."""
    a, b = batch(tmp_path / "a", 0.0, range(3)), batch(tmp_path / "b", 0.0, range(5, 9), of=1)
    far = batch(tmp_path / "far", 2.0, range(20, 23), of=2)
    text, content = found(a, b, far, out=tmp_path / "out")
    first, second, third = content["metrics"]["teacher.student.ade"]
    ades = [
        [float(np.mean(read_clips(Path(run) / f"seed-{s}" / "clips.csv")["teacher.student.ade"])) for s in seeds]
        for run, seeds in ((a, range(3)), (b, range(5, 9)))
    ]
    expected = scipy.stats.ttest_ind(ades[1], ades[0], equal_var=False).confidence_interval(0.95)
    assert (second["difference"]["low"], second["difference"]["high"]) == pytest.approx(tuple(expected))
    assert (content["paired"], first["units"], second["units"]) == (False, 3, 4)
    assert second["difference"]["decided"] is False
    assert third["difference"]["decided"] is True
    assert re.search(r"C - A: \+[12]\.\d+ \[.*\]  a real difference", text)


def test_what_rounding_does_is_no_difference(tmp_path: Path) -> None:
    a, b = batch(tmp_path / "a", 0.0, range(5), noise=0), batch(tmp_path / "b", 1e-7, range(5), noise=0)
    text, content = found(a, b, out=tmp_path / "out")
    assert content["metrics"]["teacher.student.ade"][1]["difference"]["decided"] is False
    assert not re.search("B - A: .*a real difference", text)
    text, _ = found(f"{a}/seed-0", f"{b}/seed-0", out=tmp_path / "out")
    assert not re.search("B - A: .*differ on these clips", text)


def test_a_thousandth_is_a_difference_where_the_clips_decide_it(tmp_path: Path) -> None:
    compare([write_run(tmp_path / "a", 0.0), write_run(tmp_path / "b", 0.002)], tmp_path / "out")
    _, other = json.loads((tmp_path / "out" / "comparison.json").read_text())["metrics"]["teacher.student.ade"]
    assert abs(other["difference"]["mean"]) < 0.01 * other["mean"]
    assert other["difference"]["decided"] is True


def test_a_clip_that_a_seed_has_no_number_for_does_not_count(tmp_path: Path) -> None:
    runs = batch(tmp_path / "a", 0.0, range(3)), batch(tmp_path / "b", 0.0, range(3))
    path = Path(runs[0], "seed-1", "clips.csv")
    table = read_clips(path)
    numbers = table["teacher.student.ade"]
    write_clips(path, {**table, "teacher.student.ade": [float("nan"), *numbers[1:]]})
    _, content = found(*runs, out=tmp_path / "out")
    means = [np.mean(read_clips(Path(runs[0], f"seed-{k}", "clips.csv"))["teacher.student.ade"]) for k in (0, 2)]
    wanted = np.mean([means[0], np.mean(numbers[1:]), means[1]])
    assert content["metrics"]["teacher.student.ade"][0]["mean"] == pytest.approx(wanted)


def test_folds_of_batches_and_one_seed_of_each(tmp_path: Path) -> None:
    """Each fold a batch: a seed's clips are those of its folds. A pattern of seeds is a batch as well."""
    whole = batch(tmp_path / "whole", 0.0, range(3))
    for seed in range(3):
        table = read_clips(Path(whole) / f"seed-{seed}" / "clips.csv")
        for half, rows in (("0", slice(0, 20)), ("1", slice(20, N))):
            part = tmp_path / "folds" / half / f"seed-{seed}" / "eval"
            write_clips(part / "clips.csv", {name: column[rows] for name, column in table.items()})
    _, content = found(whole, f"{tmp_path}/folds/*/seed-*/eval", out=tmp_path / "out")
    first, second = content["metrics"]["teacher.student.ade"]
    assert second["mean"] == pytest.approx(first["mean"], abs=1e-12)
    assert (content["over"], content["units"]) == ("seeds", 3)
    with pytest.raises(UserError, match=r"whole is a batch and .*seed-0 a single run; compare batches with batches"):
        compare([whole, f"{whole}/seed-0"], tmp_path / "out")
    (tmp_path / "empty" / "seed-0").mkdir(parents=True)
    with pytest.raises(UserError, match=r"empty/seed-\*: none of its seeds has a clips.csv"):
        compare([whole, str(tmp_path / "empty")], tmp_path / "out")
    one = batch(tmp_path / "one", 0.5, range(1))
    text, _ = found(whole, one, out=tmp_path / "out")
    assert "too few seeds to say" in text


def test_a_tenth_of_a_thousandth_counts_where_it_is_the_same_on_each_clip(tmp_path: Path) -> None:
    compare([write_run(tmp_path / "a", 0.0), write_run(tmp_path / "b", 1e-4)], tmp_path / "out")
    _, other = json.loads((tmp_path / "out" / "comparison.json").read_text())["metrics"]["teacher.student.ade"]
    assert other["difference"]["decided"] is True


def test_batches_without_a_common_seed_say_of_how_many_seeds_each_is(tmp_path: Path) -> None:
    a, b = batch(tmp_path / "a", 0.0, range(3)), batch(tmp_path / "b", 0.5, range(5, 9), of=1)
    _, content = found(a, b, out=tmp_path / "out")
    first, second = content["metrics"]["teacher.student.ade"]
    assert (first["difference"]["units"], second["difference"]["units"]) == (3, 4)
    assert second["difference"]["mean"] == pytest.approx(second["mean"] - first["mean"])
