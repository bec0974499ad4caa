"""Checkpoints that a stranger altered: one line for each, or a student whose answers are numbers."""

import copy
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from altered_checkpoints import silently_wrong, small, some, whole
from taught import built
from torch import nn

from alpamayo_toy import __version__
from alpamayo_toy.errors import UserError
from alpamayo_toy.students import checkpoint
from alpamayo_toy.students.state import check_training, check_weights


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return whole(tmp_path_factory.mktemp("whole"))


def used(path: Path) -> str:
    """Load a checkpoint, ask its student, continue it by a step; "" or the one line that refuses it."""
    try:
        assert silently_wrong(path) == ""
    except UserError as error:
        said = str(error)
    else:
        said = ""
    assert "\n" not in said
    assert len(said) < 600
    return said


def altered(content: dict[str, Any], folder: Path, *keys: Any, to: Any) -> str:
    """What is said of the content with another value at these keys."""
    place = changed = copy.deepcopy(content)
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = to
    torch.save(changed, folder / "x.pt")
    return used(folder / "x.pt").removeprefix(f"{folder / 'x.pt'}: ")


def test_the_whole_one_goes_on(content: dict[str, Any], tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.pt")
    assert used(tmp_path / "x.pt") == ""
    assert content["version"] == __version__


@pytest.mark.slow
def test_alterations_end_in_one_line_or_in_numbers(content: dict[str, Any], tmp_path: Path) -> None:
    refused = 0
    for _, make in some(content, 60, seed=0):
        torch.save(make(), tmp_path / "x.pt")
        refused += used(tmp_path / "x.pt") != ""
    assert refused > 40


def test_what_does_not_fit_is_named(content: dict[str, Any], tmp_path: Path) -> None:
    def said(*keys: Any, to: Any) -> str:
        return altered(content, tmp_path, *keys, to=to)

    unfit = "the weights do not fit the student that its config describes: "
    bias = content["weights"]["head.0.bias"]
    assert said("weights", "head.0.bias", to=bias.double()).startswith(f"{unfit}another type for head.0.bias")
    assert said("weights", "head.0.bias", to=bias / 0) == f"{unfit}NaN or infinite values for head.0.bias"
    assert said("weights", "action_space.std", to=torch.zeros(2)).endswith(
        "action_space.std holds a number that is not > 0"
    )
    assert said("weights", "more", to=bias) == f"{unfit}there is no 'more'"
    assert said("config", "optimizer", "lr", to="fast").startswith(
        "its config is not of this version: optimizer.lr must be a number (got 'fast'); written by version"
    )
    assert said("config", "trainer", "steps", to=True).count("trainer.steps must be a whole number (got True)")
    assert said("shape", "horizon", to=10**12).count("horizon must be a whole number from 1 to 4096")
    assert said("step", to=3) != ""
    moment = ("training", "optimizer", "state", 1, "exp_avg")
    assert said(*moment, to=torch.zeros(7)).startswith("its optimizer, parameter 1: size mismatch for exp_avg: (7,)")
    assert said(*moment[:-1], "exp_avg_sq", to=-content["training"]["optimizer"]["state"][1]["exp_avg_sq"] - 1) != ""
    assert "its optimizer has eps 0.5, the config makes it 1e-08" in said(
        "training", "optimizer", "param_groups", 0, "eps", to=0.5
    )
    rising = "its learning rates must end at rising steps, 2 or later (got "
    for ends, got in (([], "list of 0"), ([1], "list of 1"), ([3, 3], "list of 2"), ([True, 5], "list of 2"), (2, "2")):
        assert said("training", "ends", to=ends) == f"{rising}{got})"
    for ends in ([2], [1, 4], [5, 10**9]):
        assert said("training", "ends", to=ends) == ""
    rows = torch.zeros(3, 4)
    assert said("labels", "held", to=rows).startswith("the fingerprint of its labels: another type for held: torch.fl")
    assert said("labels", "held", to=rows[:, :3].long()).count(
        "size mismatch for held: (3, 3) in the file, (3, 4) want"
    )
    assert said("labels", to=[]) == "the fingerprint of its labels must have trained and held (got list of 0)"
    assert said("training", "best", to=float("nan")) == "its best validation must be a number >= 0 (got nan)"


def test_moments_are_of_the_same_step_and_of_the_parameters_in_their_order(content: dict[str, Any]) -> None:
    student = small()[1]
    training = copy.deepcopy(content["training"])
    check_training(training, student, 2, "x.pt")
    training["optimizer"]["state"][1]["step"] += 1
    with pytest.raises(UserError, match=r"x\.pt: its optimizer, parameter 1 is of step 3, all else of step 2"):
        check_training(training, student, 2, "x.pt")
    training["optimizer"]["state"][1]["step"] -= 1
    training["optimizer"]["param_groups"][0]["params"].reverse()
    with pytest.raises(UserError, match="its optimizer is of other parameters than the student's"):
        check_training(training, student, 2, "x.pt")


def test_what_a_class_of_ones_own_learns_is_finite_and_what_it_keeps_may_be_anything() -> None:
    student = nn.Module()
    student.own = nn.Linear(2, 1)
    student.own.register_buffer("unknown", torch.tensor(torch.nan))
    weights = student.state_dict()
    check_weights(weights, student, "x.pt")
    weights["own.bias"] = weights["own.bias"] / 0
    with pytest.raises(UserError, match=r"x\.pt: NaN or infinite values for own\.bias"):
        check_weights(weights, student, "x.pt")


def test_a_newer_version_is_said_to_be_newer(content: dict[str, Any], tmp_path: Path) -> None:
    newer = copy.deepcopy(content)
    newer["version"] = "99.1.0"
    newer["config"]["optimizer"]["beta2"] = 0.99
    torch.save(newer, tmp_path / "x.pt")
    line = used(tmp_path / "x.pt")
    assert f"there is no option optimizer.beta2; written by version 99.1.0, newer than {__version__}" in line
    newer["format"] = 3
    torch.save(newer, tmp_path / "x.pt")
    assert f"(got 3, written by version 99.1.0, newer than {__version__})" in used(tmp_path / "x.pt")


def test_options_that_are_missing_are_told(
    content: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older = copy.deepcopy(content)
    del older["version"], older["config"]["loss"]["winner"]
    torch.save(older, tmp_path / "older.pt")
    assert used(tmp_path / "older.pt") == ""
    line = f"{tmp_path / 'older.pt'}: its config lacks loss.winner, which take today's defaults"
    assert capsys.readouterr().err == f"{line}; written by version unknown, read by {__version__}\n"  # once


def test_a_small_file_asks_for_no_large_network(content: dict[str, Any], tmp_path: Path) -> None:
    wide = {"width": 8192, "embedding": 8192, "layers": 64}
    line = altered(content, tmp_path, "config", "student", to={**content["config"]["student"], **wide})
    assert "student must be of 134217728 weights or fewer" in line
    hole = tmp_path / "hole.pt"
    with hole.open("wb") as file:
        file.truncate(10 * checkpoint.MOST_BYTES)
    assert "is no checkpoint: it has more than" in used(hole)


def test_records_that_are_shorter_than_they_say_are_not_read(content: dict[str, Any], tmp_path: Path) -> None:
    torch.save(content, tmp_path / "whole.pt")
    with zipfile.ZipFile(tmp_path / "whole.pt") as whole, zipfile.ZipFile(tmp_path / "x.pt", "w") as short:
        for info in whole.infolist():
            data = whole.read(info)
            short.writestr(info.filename, data[:4] if "/data/" in info.filename else data)
    assert "needs more than the archive holds" in used(tmp_path / "x.pt")


@pytest.mark.parametrize("name", ["action_space.bound", "action_space.std"])
def test_what_is_divided_by_must_be_above_zero(name: str) -> None:
    student = built()
    weights = {key: value.clone() for key, value in student.state_dict().items()}
    weights[name][1] = 0
    with pytest.raises(UserError, match=f"{name} holds a number that is not > 0"):
        check_weights(weights, student, "a.pt")
