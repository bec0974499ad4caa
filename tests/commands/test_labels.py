"""scripts/labels.py as a user runs it: what it prints and writes, its exit codes, one line for every mistake."""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from places import DATA, Command
from written import clip_jsons, community, results_json

from alpamayo_toy import load_labels
from alpamayo_toy.commands import labels as command_of_labels
from alpamayo_toy.commands.labels import _fraction, _parser, _positive, _share, _slurm_share, main
from alpamayo_toy.errors import Interrupted, UserError
from alpamayo_toy.labels.formats.labels_npz import write
from alpamayo_toy.labels.stored import splitting
from alpamayo_toy.labels.stored.splitting import ByHash

Labels = Callable[..., CompletedProcess[str]]

LABELS = DATA / "labels.npz"


@pytest.fixture
def labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Labels:
    """labels.py with arguments in an empty folder, in this process: the tests of mistakes run the script itself."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> CompletedProcess[str]:
        capsys.readouterr()
        code = main(arguments)
        out, err = capsys.readouterr()
        return CompletedProcess(arguments, code, out, err)

    return run


def test_check_tells_sound_from_suspicious_from_unusable(tmp_path: Path, labels: Labels) -> None:
    path = results_json(tmp_path)
    clips = json.loads(path.read_text())
    for clip in clips:
        clip["cot"] = "go"
    path.write_text(json.dumps(clips))
    sound = labels("check", "results.json")
    assert sound.returncode == 0, sound.stdout
    assert "sound" in sound.stdout
    clips[1]["pred_xyz"][0][5][0] = float("nan")
    path.write_text(json.dumps(clips))
    some = labels("check", "results.json", "--json", "verdict.json")
    assert some.returncode == 1
    assert "non_finite" in some.stdout
    assert "clip-1" in some.stdout
    verdict = json.loads((tmp_path / "verdict.json").read_text())["files"][0]
    assert verdict["errors"]["non_finite"]["clips"] == ["clip-1 1"]
    assert (verdict["clips"], verdict["kept"]) == (4, 3)
    strict = labels("check", "results.json", "--strict")
    assert strict.returncode == 2
    assert strict.stderr.startswith("error: results.json: clip-1 1: ")
    path.write_text(json.dumps(clips[1:2]))
    assert labels("check", "results.json").returncode == 2


def test_check_finds_clips_in_two_splits_and_changed_bytes(tmp_path: Path, labels: Labels) -> None:
    for name in ("train", "val"):
        assert labels("convert", str(LABELS), name).returncode == 0
    leaking = labels("check", "train", "val", "--splits")
    assert leaking.returncode == 1
    assert "leakage: 24 clips are in more than one split" in leaking.stdout
    file = next((tmp_path / "val").glob("shards/*/teacher.npy"))
    file.write_bytes(file.read_bytes()[:-4] + b"abcd")
    changed = labels("check", "val")
    assert changed.returncode == 2
    assert "teacher.npy" in changed.stdout
    assert "damaged: is no longer the file that labels.json vouches for" in changed.stdout


def test_check_reads_on_behind_a_broken_file(tmp_path: Path, labels: Labels) -> None:
    (tmp_path / "in").mkdir()
    results_json(tmp_path / "in")
    (tmp_path / "in" / "broken.json").write_text("{")
    found = labels("check", "in", "--json", "verdict.json")
    assert found.returncode == 1
    verdict = json.loads((tmp_path / "verdict.json").read_text())["files"][0]
    assert (verdict["clips"], verdict["kept"]) == (5, 4)
    assert "broken.json is not valid JSON" in verdict["errors"]["unreadable"]["clips"][0]
    assert labels("check", "in/broken.json", "in/results.json").returncode == 2
    alone = labels("check", "in/broken.json")
    assert (alone.returncode, alone.stderr[:7]) == (2, "error: ")


def test_a_wrong_speed_in_a_set_is_noticed(tmp_path: Path, labels: Labels) -> None:
    content = load_labels(LABELS)
    write(replace(content, v0=content.v0 + 3), tmp_path / "wrong.npz")
    found = labels("check", "wrong.npz", "--json", "verdict.json")
    assert found.returncode == 1
    assert json.loads((tmp_path / "verdict.json").read_text())["files"][0]["warnings"]["v0_history"]["count"] == 24


def test_convert_drops_what_is_broken_and_says_so(tmp_path: Path, labels: Labels) -> None:
    (tmp_path / "in").mkdir()
    clip_jsons(tmp_path / "in")
    (tmp_path / "in" / "clip-2.json").write_text("{")
    made = labels("convert", "in", "out")
    assert made.returncode == 0
    assert made.stdout.splitlines()[0] == "4 clips of 1 samples, 64 steps of 0.1 s: out"
    assert [line.split(":")[0] for line in made.stdout.splitlines()[1:]] == [
        "dropped        3  repeated",
        "dropped        1  unreadable",
        "not read",
    ]
    assert "clip-2.json is not valid JSON" in made.stdout
    facts = json.loads((tmp_path / "out" / "labels.json").read_text())
    assert facts["dropped"] == {"repeated": 3, "unreadable": 1}
    assert [source["name"] for source in facts["sources"]][:2] == ["in/clip-0.json", "in/clip-1.json"]
    strict = labels("convert", "in", "strict", "--strict")
    assert strict.returncode == 2
    assert "clip-2.json is not valid JSON" in strict.stderr


@pytest.mark.slow
def test_shares_by_option_and_by_a_slurm_array(tmp_path: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    for name in "ab":
        (tmp_path / "in" / name).mkdir()
        results_json(tmp_path / "in" / name)
    clips = json.loads((tmp_path / "in" / "b" / "results.json").read_text())
    for clip in clips:
        clip["clip_id"] += "b"
    (tmp_path / "in" / "b" / "results.json").write_text(json.dumps(clips))
    whole = labels("convert", "in", "whole")
    assert "8 clips" in whole.stdout
    nothing = labels("convert", "in", "out", "--shard", "2/2")
    assert nothing.returncode == 0
    assert nothing.stdout == "share 2 of 2 is empty: there are fewer files than shares\n"
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "4")
    monkeypatch.setenv("SLURM_ARRAY_TASK_MIN", "4")
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "3")
    task = labels("convert", "in", "out")
    assert task.stdout.splitlines()[0] == "share 1 of 3, by the SLURM array"
    assert task.stdout.splitlines()[1].endswith("out/part-00001-of-00003")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "9")
    assert "gaps" in labels("convert", "in", "out").stderr
    none = labels("generate", "made", "--clips", "10", "--shard", "3/3")
    assert (none.returncode, none.stdout) == (0, "share 3 of 3 is empty: there is less to do than shares\n")
    merged = labels("merge", "out/part-00001-of-00003", "merged")
    assert merged.returncode == 0
    assert len(load_labels(tmp_path / "merged")) == 8


def test_one_file_forms(tmp_path: Path, labels: Labels) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs the labels extra")
    results_json(tmp_path)
    before = load_labels(tmp_path / "results.json")
    for name in ("out.npz", "out.parquet"):
        made = labels("convert", "results.json", name)
        assert made.returncode == 0, made.stderr
        after = load_labels(tmp_path / name)
        assert list(after.clip_id) == list(before.clip_id)
        assert np.abs(after.teacher[..., :2].numpy() - before.teacher[..., :2].numpy()).max() < 1e-5
        assert np.abs(after.v0.numpy() - before.v0.numpy()).max() < 1e-6
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.npz", "out.parquet", "results.json"]


def test_names_by_hand(tmp_path: Path, labels: Labels) -> None:
    clips = json.loads(results_json(tmp_path).read_text())
    for clip in clips:
        clip["my_key"] = clip.pop("pred_xyz")
    (tmp_path / "results.json").write_text(json.dumps(clips))
    asked = labels("check", "results.json")
    assert (asked.returncode, asked.stderr.count("\n")) == (2, 1)
    assert "my_key (3, 64, 3) may be trajectories: --map teacher=my_key;" in asked.stderr
    named = ("--map", "teacher=my_key,dt=0.2")
    assert "4 kept, 3 samples a clip, 64 steps of 0.2 s" in labels("check", "results.json", *named).stdout
    assert labels("convert", "results.json", "set", *named).stdout.startswith("4 clips of 3 samples, 64 steps of 0.2 s")
    assert labels("split", "results.json", "splits", *named).returncode == 0
    assert labels("report", "results.json", "seen", *named).returncode == 0
    wrong = labels("check", "results.json", "--map", "teachr=my_key")
    assert wrong.stderr.startswith("error: map: there is no field teachr; known: teacher,")


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt(), 130), (Interrupted("stopped", 15), 143)])
def test_whoever_stops_convert_is_told_how_it_goes_on(
    stop: BaseException, code: int, labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise stop

    monkeypatch.setattr("alpamayo_toy.labels.stored.convert.convert", stopped)
    result = labels("convert", str(LABELS), "set", "--workers", "2")
    assert (result.returncode, result.stderr) == (code, "stopped; the same command goes on from here\n")


@pytest.mark.slow
def test_split_and_report(tmp_path: Path, labels: Labels) -> None:
    community(tmp_path)
    by_name = labels("split", str(LABELS), "by", "--val-clips", "*-1?", "--test-clips", "*-2", "--test-clips", "*-3")
    assert by_name.returncode == 0, by_name.stderr
    names = {side: load_labels(tmp_path / "by" / side).clip_id.tolist() for side in ("train", "val", "test")}
    assert all(len(name.split("-")[-1]) == 2 for name in names["val"])
    assert {name.split("-")[-1] for name in names["test"]} == {"2", "3"}
    typo = labels("split", str(LABELS), "typo", "--val-clips", "drive_05")
    assert (typo.returncode, "no clip fits drive_05" in typo.stderr) == (2, True)
    split = labels("split", str(LABELS), "out", "--val", "0.3", "--test", "0.2")
    assert split.returncode == 0
    assert sum(int(line.split()[1]) for line in split.stdout.splitlines()) == 24
    report = labels("report", "train_labels.npz", "seen")
    assert report.returncode == 0, report.stderr
    assert json.loads((tmp_path / "seen" / "report.json").read_text())["clips"] == 4
    assert (tmp_path / "seen" / "report.html").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "nowhere"], "there is no label file nowhere"),
        (["check", "here", "--format", "parket"], "there is no label format parket; known: auto, set,"),
        (["convert", "here", "out", "--shard", "3/2"], "must be i/n with 1 <= i <= n (got 3/2)"),
        (["convert", "here", "out", "--workers", "0"], "must be a whole number >= 1 (got 0)"),
        (["convert", "here", "out.npz", "--shard", "1/2"], "shares make sets that merge puts together"),
        (["split", "here", "out", "--val", "0.6", "--test", "0.5"], "leave nothing to train on"),
        (["split", "here", "out", "--val", "0.5", "--test", "0.5"], "leave nothing to train on"),
        (["split", "here", "out", "--val", "1.5"], "must be a fraction in [0, 1) (got 1.5)"),
        (
            ["split", "here", "out", "--val", "0.5", "--val-clips", "a"],
            "give either shares (--val, --test) or patterns",
        ),
        (["merge", "here", "out"], "here is no label set; make one of it with labels.py convert"),
        (["generate", "out", "--samples", "100000000"], "--samples must be at most 4096"),
        (["generate", "out.npz"], "out.npz must be a folder; convert makes one file of a set"),
        (["report", "nowhere"], "there is no label file nowhere"),
        (["report", "heer"], "there is no label file heer; did you mean here?"),
        (
            ["check", "https://x.org/a.json"],
            "no label file https:/x.org/a.json; what lies elsewhere is downloaded first",
        ),
        (["check", "teacher.path=here"], "there is no label file teacher.path=here; did you mean here?"),
        (["convert", "here", "labels.json"], "labels.json is a file that is there; name a folder for a set"),
        (["convert", "here", "out.csv"], "out.csv would be a folder; one file is FILE.npz or FILE.parquet"),
        (["report", "here", "labels.json"], "labels.json is a file that is there; name a folder for a set"),
        (["chek", "here"], "invalid choice: 'chek'"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, command: Command, arguments: list[str], message: str) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "labels.json").touch()
    result = command("labels", *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert len([line for line in result.stderr.splitlines() if "error: " in line]) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("reads", "taken", "refused"),
    [
        (_positive, {"1": 1, "20": 20}, ["0", "-1", "1.5", "many", ""]),
        (_fraction, {"0": 0.0, "0.99": 0.99}, ["1", "-0.1", "nan", "some"]),
        (_share, {"1/1": (1, 1), "2/3": (2, 3), "3/3": (3, 3)}, ["0/3", "4/3", "1", "1/2/3", "-1/3"]),
    ],
)
def test_a_flag_takes_what_makes_sense(
    reads: Callable[[str], object], taken: dict[str, object], refused: list[str]
) -> None:
    assert {text: reads(text) for text in taken} == taken
    for text in refused:
        with pytest.raises(argparse.ArgumentTypeError, match="must be"):
            reads(text)


@pytest.mark.parametrize(
    ("task", "first", "count", "share"),
    [("0", "0", "3", (1, 3)), ("2", "0", "3", (3, 3)), ("4", "4", "3", (1, 3)), ("6", "4", "3", (3, 3))],
)
def test_a_task_of_an_array_does_its_own_share(
    task: str, first: str, count: str, share: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("ID", task), ("MIN", first), ("COUNT", count)):
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
    assert _slurm_share() == share
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", str(int(first) + int(count)))
    with pytest.raises(UserError, match="this SLURM array has gaps or a step"):
        _slurm_share()
    monkeypatch.delenv("SLURM_ARRAY_TASK_COUNT")
    assert _slurm_share() == (1, 1)


def test_what_is_not_said_is_as_the_help_has_it(labels: Labels, monkeypatch: pytest.MonkeyPatch) -> None:
    made = _parser().parse_args(["generate", "out"])
    told = {name: getattr(made, name) for name in ("teacher", "scenario", "clips", "samples", "seed", "shard")}
    expected = {"teacher": "synthetic", "scenario": "ALL", "clips": 8192, "samples": 6, "seed": 0, "shard": None}
    assert told == expected
    converted = _parser().parse_args(["convert", "in", "out"])
    assert (converted.workers, converted.routes, converted.strict, converted.told) == (1, "", False, "auto")
    assert _parser().parse_args(["convert", "in", "out", "--routes"]).routes == "recorded"
    rules: list[object] = []

    def noted(path: Path, out: Path, told: str, rule: object) -> dict[str, int]:
        rules.append(rule)
        return {"train": 1}

    monkeypatch.setattr(splitting, "split_set", noted)
    for words in ([], ["--val", "0.3"], ["--test", "0"]):
        assert labels("split", str(LABELS), "out", *words).returncode == 0
    assert rules == [ByHash(0.1, 0.1), ByHash(0.3, 0.1), ByHash(0.1, 0.0)]


def test_five_files_that_cannot_be_read_are_named_and_the_others_counted(tmp_path: Path, labels: Labels) -> None:
    (tmp_path / "in").mkdir()
    results_json(tmp_path / "in")
    for i in range(7):
        (tmp_path / "in" / f"broken-{i}.json").write_text("{")
        (tmp_path / "in" / f"config-{i}.json").write_text("{}")
    made = labels("convert", "in", "out")
    lines = made.stdout.splitlines()
    unread = [line for line in lines if line.startswith("not read: ")]
    assert [f"broken-{i}.json is not valid JSON" in line for i, line in enumerate(unread[:5])] == [True] * 5
    assert unread[5:] == ["not read: 2 files more, see labels.json"]
    (aside,) = (line for line in lines if line.startswith("left aside"))
    assert aside.endswith(f"{', '.join(f'in/config-{i}.json' for i in range(5))} and 2 more")
    assert "dropped        7  unreadable" in made.stdout


def test_a_report_looks_at_so_many_clips_and_lies_in_a_folder_of_the_files_name(
    tmp_path: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command_of_labels.SAMPLED == 20_000
    monkeypatch.setattr(command_of_labels, "SAMPLED", 5)
    said = labels("report", str(LABELS))
    assert "a random sample of 5 of 24 clips" in said.stdout
    assert json.loads((tmp_path / "outputs" / "report" / "labels" / "report.json").read_text())["total"] == 24
