"""Checkpoints that a stranger altered: one line for each, or a student whose answers are numbers."""

import copy
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from altered_checkpoints import parts, silently_wrong, small, some, whole
from taught import built
from torch import nn

from alpamayo_toy import __version__, load_student
from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.fingerprint import Fingerprint
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
    newer["config"]["optimizer"]["amsgrad"] = True
    torch.save(newer, tmp_path / "x.pt")
    line = used(tmp_path / "x.pt")
    assert f"there is no option optimizer.amsgrad; written by version 99.1.0, newer than {__version__}" in line
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


@pytest.mark.parametrize(
    ("keys", "to", "said"),
    [
        (("step",), 10**9 + 1, "its step must be a whole number from 0 to 1000000000 (got 1000000001)"),
        (("step",), -1, "its step must be a whole number"),
        (("step",), True, "its step must be a whole number from 0 to 1000000000 (got True)"),
        (("shape", "horizon"), 0, "horizon must be a whole number from 1 to 4096 (got 0)"),
        (("shape", "horizon"), 4097, "horizon must be a whole number from 1 to 4096 (got 4097)"),
        (("shape", "horizon"), True, "horizon must be a whole number from 1 to 4096 (got True)"),
        (("shape", "history_steps"), -1, "history_steps must be a whole number from 0 to 4096 (got -1)"),
        (("shape", "dt"), 11.0, "dt must be from 0.001 to 10 s (got 11.0)"),
        (("shape", "dt"), 0.0009, "dt must be from 0.001 to 10 s (got 0.0009)"),
        (("shape", "dt"), True, "dt must be from 0.001 to 10 s (got True)"),
        (("shape", "route_points"), 7, "route_points must be 0 or 20 (got 7)"),
        (("shape", "integrator"), "rk4", "integrator must be euler or trapezoid (got 'rk4')"),
        (("shape", "context_names"), ["a", "a"], "context_names must be different texts (got ['a', 'a'])"),
        (("shape", "context_names"), ["a\nb"], "context_names must be different texts"),
        (("shape", "context_names"), [1], "context_names must be different texts (got [1])"),
        (("shape", "context_names"), [str(i) for i in range(1025)], "context_names must be different texts"),
        (("shape", "wings"), 2, "it must have context_names, dt, history_steps, horizon, integrator"),
        (("training", "averaged", "n_averaged"), torch.tensor(1), "its average is of step 1, all else of step 2"),
        (("training", "best"), -0.5, "its best validation must be a number >= 0 (got -0.5)"),
        (("training", "best"), True, "its best validation must be a number >= 0 (got True)"),
        (("training", "ends"), list(range(2, 5000)), "its learning rates must end at rising steps"),
        (("training", "ends"), [10**9 + 1], "its learning rates must end at rising steps, 2 or later"),
        (("training", "optimizer", "param_groups"), [{}, {}], "its optimizer must have one group of parameters"),
        (("training", "optimizer", "state", 99), {}, "must have its state by the number of the parameter"),
        (("training", "optimizer", "state", 0, "step"), torch.tensor(0.0), "parameter 0 is of step 0, all else of"),
        (("training", "optimizer", "param_groups", 0, "eps"), 0, "its optimizer has eps 0, the config makes it 1e-08"),
        (
            ("training", "optimizer", "param_groups", 0, "fused"),
            1,
            "its optimizer has fused 1, the config makes it True",
        ),
        (("training", "optimizer", "param_groups", 0, "lr"), 1e-9, ""),  # it is planned anew
        (("labels", "trained"), torch.zeros(2, 4, dtype=torch.int32), "another type for trained: torch.int32 in the"),
    ],
)
def test_a_strangers_numbers_are_named(
    keys: tuple[Any, ...], to: Any, said: str, content: dict[str, Any], tmp_path: Path
) -> None:
    found = altered(content, tmp_path, *keys, to=to)
    assert said in found if said else found == ""


def test_the_last_parameter_is_one_and_the_next_is_none(content: dict[str, Any]) -> None:
    student, training = small()[1], copy.deepcopy(content["training"])
    last = len(list(student.parameters())) - 1
    training["optimizer"]["state"][last + 1] = training["optimizer"]["state"][last]
    with pytest.raises(UserError, match="must have its state by the number of the parameter"):
        check_training(training, student, 2, "x.pt")


@pytest.mark.parametrize(
    ("version", "said"),
    [("0.9.0", "read by"), ("0.10.0", "newer than"), ("0.9", "read by"), ("0.9.0.1", "newer than")],
)
def test_versions_are_ordered_by_their_numbers(
    version: str, said: str, content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "__version__", "0.9.0")
    torch.save({**content, "version": version, "step": -1, "format": 7}, tmp_path / "x.pt")
    assert f"written by version {version}, {said} 0.9.0" in used(tmp_path / "x.pt")


def test_a_student_is_loaded_to_be_asked_and_its_class_is_its_own(content: dict[str, Any], tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.pt")
    assert not load_student(tmp_path / "x.pt")[0].training
    with pytest.raises(UserError, match=r"x\.pt holds a student of this project, no Linear$"):
        load_student(tmp_path / "x.pt", nn.Linear)


def test_a_run_goes_on_with_the_labels_that_it_learnt_from(content: dict[str, Any], tmp_path: Path) -> None:
    """The same clips in another order are others: batches are drawn by their numbers."""
    torch.save(content, tmp_path / "x.pt")
    student = small()[1]
    trained, held = content["labels"]["trained"], content["labels"]["held"]
    checkpoint.continue_with(student, *parts(student), str(tmp_path / "x.pt"), Fingerprint(trained, held))
    for other in (trained.flip(0), trained[:2], trained + 1):
        with pytest.raises(UserError, match=r"x\.pt: its labels changed since it learnt from them: "):
            checkpoint.continue_with(student, *parts(student), str(tmp_path / "x.pt"), Fingerprint(other, held))


def test_what_older_versions_did_not_write_may_be_missing(content: dict[str, Any], tmp_path: Path) -> None:
    """Which scenarios were seen, and the steps at which learning rates end: then all, and those of its config."""
    older = copy.deepcopy(content)
    for weights, name in (
        (older["weights"], "encoder.seen"),
        (older["training"]["student"], "encoder.seen"),
        (older["training"]["averaged"], "module.encoder.seen"),
        (older["training"], "ends"),
    ):
        del weights[name]
    torch.save(older, tmp_path / "x.pt")
    assert used(tmp_path / "x.pt") == ""
    assert bool(load_student(tmp_path / "x.pt")[0].encoder.seen.all())
    student = small()[1]
    found = checkpoint.continue_with(student, *parts(student), str(tmp_path / "x.pt"))
    assert found == (2, 1.0, [older["config"]["trainer"]["steps"]])
    del older["weights"]["encoder.v0_std"]
    torch.save(older, tmp_path / "x.pt")
    assert "encoder.v0_std is missing" in used(tmp_path / "x.pt")
