"""--help and mistakes, in this process: each option with what it is, and for each mistake a line that helps."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest
from command_line import Said
from composed import composed, train_config

from alpamayo_toy.commands import benchmark, labels
from alpamayo_toy.commands.launch import TO_LOWER, _one_line_errors
from alpamayo_toy.commands.options import ABOUT, EXAMPLES, comments, help_text
from alpamayo_toy.commands.sweep import joint_table
from alpamayo_toy.config import SCHEMAS, _run_folder, _sweep_folder
from alpamayo_toy.evaluation import coverage

SEVERAL = "is several values; write "
QUOTED = "cannot be read; a list or a text with spaces stands in quotes"
MISTAKES = {
    "train plot=false": "have it; here it is trainer.pictures=0",
    "train checkpoint=x": "have it; here it is trainer.resume or trainer.init_from",
    "train output=foo": "drive.py and export.py have it; here it is name",
    "train epochs=5": "there is no option epochs; did you mean trainer.steps?",
    "train batch=64": "there is no option batch; did you mean trainer.batch_size?",
    "train nothing_like_it=1": "there is no option nothing_like_it; train.py --help shows all",
    "train optimizer.momentum=0.9": "; optimizer has lr, weight_decay, warmup_steps, beta2, clip_norm, ema_decay",
    "train optimizer.beta1=0.8": "there is no option optimizer.beta1; did you mean optimizer.beta2?",
    "train trainer.warmup_step=5": "there is no option trainer.warmup_step; did you mean optimizer.warmup_steps?",
    "train traner.stepss=5": "there is no option traner.stepss; did you mean trainer.steps?",
    "train trainersteps=5": "there is no option trainersteps; did you mean trainer.steps?",
    "train scenario=left": "did you mean scenario=LEFT?",
    "train teacher=fil": "did you mean teacher=file?",
    "train student=cnn": "Could not find 'student/cnn' Available options in 'student': custom mlp",
    "train --steps 5": "there is no flag --steps; options are given as name=value: trainer.steps=5",
    "train --learning-rate=1e-3": "options are given as name=value: optimizer.lr=1e-3",
    "train --hepl": "there is no flag --hepl; options are given as name=value, and train.py --help shows all",
    "train trainer.steps 5": "trainer.steps: options are given as name=value; write trainer.steps=5",
    "train LEFT": "LEFT: options are given as name=value; write scenario=LEFT",
    "train scenario LEFT": "write scenario=LEFT",
    "train scenario = LEFT": "scenario: options are given as name=value; write scenario=LEFT",
    "train trainer.steps= 5": "5: options are given as name=value; write trainer.steps=5",
    "train scenario=LEFT_TURN": "did you mean scenario=LEFT?",
    "train scenario=LANE_CHANGE": "did you mean scenario=LANE_CHANGE_LEFT or scenario=LANE_CHANGE_RIGHT?",
    "train teacher=labels.json": "did you mean teacher=file teacher.path=labels.json?",
    "train trainer.steps=1,000": f"{SEVERAL}trainer.steps=1000 as a number or -m trainer.steps=1,000 to run each",
    "train seed=0,1,2": f"{SEVERAL}-m seed=0,1,2 to run each",
    "train seed==3": "seed==3 cannot be read; write seed=3",
    "train 'optimizer.lr=1e-3 trainer.steps=5'": "is several options in one pair of quotes; write each by itself",
    "train 'teacher.path=a (1).json'": """cannot be read; write 'teacher.path="a (1).json"'""",
    "train teacher=file teacher.path=~/x.json": f"~/x.json cannot be read; write teacher.path={Path.home() / 'x.json'}",
    "train scenario=LEFT,RIGHT": f"{SEVERAL}-m scenario=LEFT,RIGHT to run each",
    "train optimizer.lr=0,001": f"{SEVERAL}optimizer.lr=0.001 as a number or -m optimizer.lr=0,001 to run each",
    "train student.inputs=v0": "student.inputs=v0: must be a list, 'student.inputs=[v0]'",
    "train trainer.steps=1e3": "could not be converted to Integer; write trainer.steps=1000",
    "train trainer.steps=2.5K": "could not be converted to Integer; write trainer.steps=2500",
    "train trainer.bf16=ja": "is not a valid bool (type str); true or false",
    "train scenario.speed_mps=[3 5]": f"scenario.speed_mps=[3 {QUOTED}",
    "train 'scenario.speed_mps=(3,5)'": f"scenario.speed_mps=(3,5) {QUOTED}",
    "train --config-dir nowhere": "nowhere' not found",
    "train name=../x": "name must be letters, digits, '.', '-' and '_', at most 80 (got '../x')",
    "rollout trainer.steps=5": "train.py and batch.py have it; here it is horizon",
    "eval trainer.device=cpu": "train.py and batch.py have it; here it is device",
    "eval outputs/train/LEFT": "write checkpoint=outputs/train/LEFT",
    "eval compare=A,B": f"{SEVERAL}'compare=[A,B]' as a list or -m compare=A,B to run each",
    "eval checkpoint=outputs/nowhere": "there is no outputs/nowhere",
    "eval checkpoint=last": "there is no last; did you mean latest?",
    "eval outputs/train/LEFT/2026-11-27_22-36-14": "write checkpoint=outputs/train/LEFT/2026-11-27_22-36-14",
    "labels chekc x": "invalid choice: 'chekc' (choose from 'check'",
    "labels check x --formt npz": "labels.py: unrecognized arguments: --formt npz; did you mean --format?",
    "labels convert a.json": "the following arguments are required: OUT; labels.py convert --help shows all",
    "labels generate out --clips 0": "argument --clips: must be a whole number >= 1 (got 0)",
    "coverage --drws 4": "unrecognized arguments: --drws 4; did you mean --draws?",
    "benchmark --rounds many": "argument --rounds: invalid int value: 'many'",
}
"""What was typed, and the line that came."""


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_one_line_that_says_what_to_type(line: str, said: Said, tmp_path: Path) -> None:
    code, err = said(line)
    assert code in (1, 2)
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert MISTAKES[line] in err
    assert not list(tmp_path.rglob("*.yaml"))


def test_the_folder_where_one_stands_stays(said: Said, tmp_path: Path) -> None:
    assert said("eval checkpoint=nowhere")[0] == 1
    assert Path.cwd() == tmp_path


@pytest.mark.parametrize("verb", ABOUT)
def test_help_shows_every_option_with_what_it_is(verb: str) -> None:
    text = help_text(verb)
    told = {line.partition("=")[0].strip() for line in text.splitlines() if re.match(r"  [\w.]+=", line)}
    assert {name for name in comments(SCHEMAS[verb]) if f"\n{name.capitalize()}: " not in text} <= told
    entries = re.findall(r"^  ([\w.]+=.*(?:\n {4,}.+)?)", text, flags=re.MULTILINE)
    assert [entry for entry in entries if not re.search(r"\S\s{2,}\S", entry)] == []


def test_help_has_the_defaults_that_a_run_has() -> None:
    text = help_text("train")
    for shown in ("optimizer.lr=0.005 ", "scenario.speed_mps=[4.5, 7.5] ", "trainer.device=auto ", "seed=0 "):
        assert f"  {shown}" in text
    assert "clips; each brings all its samples" in text
    assert "one of ALL, LANE_CHANGE_LEFT" in text
    assert "student=custom" not in help_text("eval")


@pytest.mark.parametrize("verb", EXAMPLES)
def test_the_examples_compose(verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "outputs" / "train" / "LEFT"
    run.mkdir(parents=True)
    (run.parent / "latest").write_text("LEFT\n")
    monkeypatch.chdir(tmp_path)
    assert len(EXAMPLES[verb]) == 3
    for example in EXAMPLES[verb]:
        words = [word for word in shlex.split(example) if word != "-m" and not word.startswith("resume=")]
        words = [word.replace("glob(*)", "LEFT").replace("LEFT,RIGHT", "LEFT") for word in words]
        assert isinstance(composed(verb, SCHEMAS[verb], *words), SCHEMAS[verb])


@pytest.mark.parametrize("verb", ABOUT)
@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")]
)
def test_out_of_memory_names_what_to_lower(verb: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def job(_: object) -> None:
        raise error

    monkeypatch.setattr(sys, "argv", [f"scripts/{verb}.py"])
    with pytest.raises(SystemExit) as end:
        _one_line_errors(job)(None)
    assert end.value.code == f"error: out of memory; lower {TO_LOWER[verb]}"
    for option in re.findall(r"\w+\.\w+", TO_LOWER[verb].replace("labels.py", "")):
        assert f"  {option}=" in help_text(verb)


def test_another_error_of_pytorch_is_not_taken_for_it() -> None:
    def job(_: object) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        _one_line_errors(job)(None)


@pytest.mark.parametrize(("verb", "module"), [("benchmark", benchmark), ("coverage", coverage)])
def test_ctrl_c_ends_them_without_a_word(
    verb: str, module: object, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "run", stopped)
    assert said(verb) == (130, "")


def test_format_without_a_layout_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        labels.main(["check", "--format"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith("set             the project's own folder\n")
    assert "flat_parquet    Parquet with a row per clip, t0 and sample" in out


@pytest.mark.parametrize(
    ("typed", "overrides", "folder"),
    [
        ("scenario=LEFT,RIGHT train=false", ["scenario=LEFT", "train=False"], "2_scenario=LEFT"),
        ("scenario=glob(*) seeds=3", ["scenario=STOP", "seeds=3"], "2_scenario=STOP"),
        (
            "optimizer.lr=1e-3 loss.horizon=[1,2],[1]",
            ["optimizer.lr=0.001", "loss.horizon=[1,2]"],
            "2_loss.horizon=-1,2-",
        ),
        ("teacher.path=a/b,c", ["teacher.path=a/b"], "2_teacher.path=a-b"),
        ("seed=1", ["seed=1"], "2"),
        ("scenario.name=A,B", [f"scenario.name={'A' * 300}"], f"2_scenario.name={'A' * 184}"),
    ],
)
def test_a_job_of_a_sweep_is_named_after_what_varies(
    typed: str, overrides: list[str], folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["scripts/train.py", "-m", *typed.split(" ")])
    assert _sweep_folder(2, overrides) == folder


def test_a_named_run_that_is_there_already_gets_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("wide", "wide-2", "wide-3"):
        folder = _run_folder("train", "synthetic", "LEFT", None, "wide")
        assert folder == str(Path("outputs/train/LEFT", name))
    assert _run_folder("train", "file", "LEFT", "outputs/old", "wide") == "outputs/old"
    assert _run_folder("batch", "file", "LEFT", None, "wide") == str(Path("outputs/batch/FILE/wide"))


def test_a_sweep_ends_in_one_table(tmp_path: Path) -> None:
    for number, ade in ((0, 1.5), (10, 0.5), (2, 1.0)):
        (tmp_path / f"{number}_x={number}").mkdir()
        found = {"student": {"ade": ade}, "floor": {"ade": 0.4}, "ade_over_floor": ade / 0.4, "excess_over_floor": None}
        (tmp_path / f"{number}_x={number}" / "metrics.json").write_text(json.dumps(found))
    (tmp_path / "3_x=3").mkdir()
    rows = [line.split(" | ") for line in joint_table(tmp_path).splitlines()]
    assert rows[0] == ["| job", "floor ADE [m]", "student ADE [m]", "ADE / floor", "excess / floor |"]
    assert [row[0] for row in rows[2:6]] == ["| 0_x=0", "| 2_x=2", "| 3_x=3", "| 10_x=10"]
    assert rows[2][1:] == ["0.400", "1.500", "3.750", "none |"]
    assert rows[4][1:] == ["failed"] * 3 + ["failed |"]
    assert rows[6] == [f"table: {tmp_path / 'table.md'}"]
    assert (tmp_path / "table.md").read_text().splitlines() == joint_table(tmp_path).splitlines()[:-1]


def test_on_a_drive_that_is_left_out_no_step_is_chosen() -> None:
    """One validation, at the end: else the drive's score would be that of the step that it was best at."""
    trainer = train_config("experiment=drives", "teacher.path=drives.npz").trainer
    assert trainer.val_every == trainer.steps
