"""A student of one's own: the edits that CONTRIBUTING lists, made in a copy of the project, are all that it takes."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import DATA, ROOT

PLACES = ("alpamayo_toy", "configs", "scripts")
RUN = ("trainer=smoke", "trainer.steps=4", "trainer.val_every=4", "trainer.pictures=0")
RUN += ("teacher.scenes=64", "teacher.val_scenes=8", "teacher.reveal=scene")  # which are not driven

OPTIONS = '''
@dataclass
class MineConfig(StudentConfig):
    """One linear layer from the scene to actions."""

    gain: float = 1.0  # of its output

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.gain > 0, "student.gain", "> 0", self.gain)


SCHEMAS = {'''

HEAD = '''"""mine_head(): one linear layer."""

from torch import Tensor, nn

from alpamayo_toy.students.config import MineConfig


class Linear(nn.Linear):
    """The layer, its output times a gain."""

    def __init__(self, config: MineConfig, outputs: int) -> None:
        super().__init__(config.embedding, outputs)
        self.gain = config.gain

    def forward(self, embedding: Tensor) -> Tensor:
        return self.gain * super().forward(embedding)


def mine_head(config: MineConfig, outputs: int) -> nn.Module:
    return Linear(config, outputs)
'''

CASE = """        case MineConfig():
            return mine_head(config, outputs)
        case StudentConfig():"""

YAML = """# One linear layer.
defaults: [/schema/student@_here_: mine, _self_]
"""


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for place in PLACES
        for path in (folder / place).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, f"{path}: {old}"
    path.write_text(text.replace(old, new))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project with a student=mine of one linear layer and an option of its own."""
    copy = tmp_path / "copy"
    for place in PLACES:
        shutil.copytree(ROOT / place, copy / place, ignore=shutil.ignore_patterns("__pycache__"))
    students = copy / "alpamayo_toy" / "students"
    edit(students / "config.py", "\nSCHEMAS = {", OPTIONS)
    edit(
        students / "config.py",
        '"student/mlp": StudentConfig,',
        '"student/mlp": StudentConfig, "student/mine": MineConfig,',
    )
    (students / "heads" / "mine.py").write_text(HEAD)
    edit(students / "student.py", "        case StudentConfig():", CASE)
    edit(students / "student.py", "import StudentConfig\n", "import MineConfig, StudentConfig\n")
    heads = "from alpamayo_toy.students.heads.mlp import mlp_head\n"
    edit(students / "student.py", heads, f"from alpamayo_toy.students.heads.mine import mine_head\n{heads}")
    (copy / "configs" / "student" / "mine.yaml").write_text(YAML)
    return copy


FORKED = """
import json, os, runpy, sys
import alpamayo_toy.evaluation.checkpoint, alpamayo_toy.training.loop, scipy.signal, torch._dynamo  # once
def run(number, script, arguments):
    for stream, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{number}.{name}", os.O_WRONLY | os.O_CREAT), stream)
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")
for number, (script, *arguments) in enumerate(json.loads(sys.argv[1])):
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        run(number, script, arguments)
        sys.exit()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
"""Commands one after the other, each in a process of its own."""


def python(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python with the package of the copy."""
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=copy.parent, env=environment, capture_output=True, text=True, check=False)


def run(copy: Path, *commands: tuple[str, ...]) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of scripts with arguments."""
    words = [(str(copy / "scripts" / f"{name}.py"), *arguments) for name, *arguments in commands]
    result = python(copy, "-c", FORKED, json.dumps(words))
    codes = [int(code) for code in result.stdout.split()]
    assert len(codes) == len(commands), result.stderr
    out, err = ([(copy.parent / f"{i}.{name}").read_text() for i in range(len(codes))] for name in ("out", "err"))
    return list(zip(codes, out, err, strict=True))


def test_it_takes_the_edits_that_are_listed_and_no_others(copy: Path) -> None:
    before, after = files(ROOT), files(copy)
    edited = {name for name in before | after if before.get(name) != after.get(name)}
    section = (
        (ROOT / ".github" / "CONTRIBUTING.md").read_text().partition("\n### A student\n")[2].partition("\n### ")[0]
    )
    named = {name.replace("<name>", "mine") for name in re.findall(r"`((?:alpamayo_toy|configs)/[^`]*)`", section)}
    assert edited == named
    assert len(edited) == 4


def test_runs_of_the_student_that_was_there_stay_its_own(copy: Path) -> None:
    code = "import json, sys; from alpamayo_toy.training.config import from_dict\n"
    code += "print(type(from_dict(json.load(open(sys.argv[1]))).student).__name__)"
    found = python(copy, "-c", code, str(DATA / "format_1" / "synthetic" / "config.json"))
    assert found.stdout == "StudentConfig\n", found.stderr


@pytest.mark.slow
def test_it_is_trained_kept_and_scored_and_its_options_are_known(copy: Path) -> None:
    before = files(copy)
    trained, scored, unknown, refused = run(
        copy,
        ("train", "student=mine", *RUN, "student.gain=2", "hydra.run.dir=run"),
        ("eval", "checkpoint=run", "plot=false", "output=scored"),
        ("train", "student=mine", "student.gian=2"),
        ("train", "student=mine", "student.gain=-1"),
    )
    assert trained[0] == 0, trained
    assert scored[0] == 0, scored
    student = json.loads((copy.parent / "run" / "config.json").read_text())["student"]
    assert (student["gain"], student["width"]) == (2.0, 256)
    metrics = [json.loads((copy.parent / name / "metrics.json").read_text()) for name in ("run", "scored")]
    assert metrics[0]["student"] == metrics[1]["student"]
    assert unknown == (1, "", "error: there is no option student.gian; did you mean student.gain?\n")
    assert refused == (1, "", "error: student.gain must be > 0 (got -1.0)\n")
    assert files(copy) == before
