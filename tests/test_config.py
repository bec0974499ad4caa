"""The YAML and its schema: every group composes, a copied scenario works, and what is checked is checked."""

import shutil
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import pytest
from composed import composed, scenario_config, train_config
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from places import ROOT

from alpamayo_toy import config
from alpamayo_toy.config import register, validate
from alpamayo_toy.errors import UserError
from alpamayo_toy.evaluation.config import EvalConfig
from alpamayo_toy.integrations.config import ExportConfig
from alpamayo_toy.kinematics.manoeuvres import Scenario
from alpamayo_toy.students.config import LossConfig, OwnLossConfig, OwnStudentConfig, StudentConfig
from alpamayo_toy.teachers.config import FileConfig, MixtureConfig, ScenarioConfig, SyntheticConfig
from alpamayo_toy.teachers.scenarios import PARAMETERS
from alpamayo_toy.training.config import (
    RESUMABLE,
    BatchConfig,
    OptimizerConfig,
    TrainConfig,
    TrainerConfig,
    from_dict,
    to_dict,
)

CONFIGS = ROOT / "configs"


def test_the_yaml_the_enum_and_the_schema_know_the_same_scenarios() -> None:
    names = {scenario.name for scenario in Scenario}
    assert {p.stem for p in (CONFIGS / "scenario").glob("*.yaml")} == {*names, "ALL", "ROAD"}
    assert set(train_config("scenario=ALL").scenario.parts) == names
    assert [name for name in vars(ScenarioConfig("LEFT")) if name not in ("name", "weight")] == list(PARAMETERS)


TURN = {"speed_mps": (4.5, 7.5), "final_speed_mps": (4.0, 6.5), "speed_onset_s": (0.0, 0.5), "speed_change_s": (3, 5)}
TURN |= {"steer_onset_s": (0.2, 1.5), "steer_s": (3.6, 4.6)}
STEADY = {"speed_onset_s": (0.0, 1.0), "speed_change_s": (4.8, 6.0)}
LANE = {"speed_mps": (6, 12), "final_speed_mps": (6, 12), **STEADY, "steer_onset_s": (0.2, 1.0), "steer_s": (3.4, 4.2)}
RANGES: dict[str, dict[str, tuple[float, float]]] = {
    "STRAIGHT": {
        "speed_mps": (5, 12),
        "final_speed_mps": (5, 12),
        **STEADY,
        "turn_angle_deg": (-1.5, 1.5),
        "steer_onset_s": (0.0, 1.0),
        "steer_s": (4.0, 5.0),
    },
    "LEFT": {**TURN, "turn_angle_deg": (60, 100)},
    "RIGHT": {**TURN, "turn_angle_deg": (-100, -60)},
    "STOP": {"speed_mps": (4, 10), "final_speed_mps": (0, 0), "speed_onset_s": (0, 0.5), "speed_change_s": (4.2, 5)},
    "START": {
        "speed_mps": (0, 0),
        "final_speed_mps": (3.5, 8),
        "speed_onset_s": (0.2, 1.2),
        "speed_change_s": (5.2, 6.5),
    },
    "LANE_CHANGE_LEFT": {**LANE, "lane_offset_m": (3.4, 4.0)},
    "LANE_CHANGE_RIGHT": {**LANE, "lane_offset_m": (-4.0, -3.4)},
    "U_TURN": {
        "speed_mps": (3.9, 4.5),
        "final_speed_mps": (3.9, 4.5),
        "speed_onset_s": (0, 0.5),
        "speed_change_s": (3, 5),
        "turn_angle_deg": (165, 180),
        "steer_onset_s": (0, 0.3),
        "steer_s": (5.4, 5.8),
    },
}


@pytest.mark.parametrize("name", RANGES)
def test_a_manoeuvre_is_driven_as_the_figures_were(name: str) -> None:
    """What a file does not name has the schema's own range."""
    found, plain = scenario_config(name), ScenarioConfig(name)
    assert isinstance(found, ScenarioConfig)
    assert (found.name, found.weight) == (name, 1.0)
    for option in PARAMETERS:
        assert found.range(option) == RANGES[name].get(option, plain.range(option)), option


@pytest.mark.parametrize(
    "group", [pytest.param("scenario", marks=pytest.mark.slow), "student", "loss", "optimizer", "trainer"]
)
def test_every_choice_composes(group: str) -> None:
    for path in (CONFIGS / group).glob("*.yaml"):
        assert isinstance(train_config(f"{group}={path.stem}"), TrainConfig)


def test_every_command_composes() -> None:
    assert isinstance(composed("eval", EvalConfig, "checkpoint=x", "scenario=LEFT").scenario, ScenarioConfig)
    assert composed("batch", BatchConfig, "seeds=3").seeds == 3
    assert composed("export", ExportConfig, "checkpoint=x", "output=out").output == "out"
    experiment = train_config("experiment=label_file", "teacher.path=x.json")
    assert isinstance(experiment.teacher, FileConfig)
    assert experiment.trainer.steps == 600


def test_a_copied_scenario_file_is_a_new_scenario(tmp_path: Path) -> None:
    shutil.copytree(CONFIGS, tmp_path / "configs")
    text = (CONFIGS / "scenario" / "LEFT.yaml").read_text().replace("[60.0, 100.0]", "[20.0, 30.0]")
    (tmp_path / "configs" / "scenario" / "GENTLE.yaml").write_text(text)
    register()
    with initialize_config_dir(str(tmp_path / "configs"), version_base="1.3"):
        config = validate(compose("train", overrides=["scenario=GENTLE"]), TrainConfig)
    assert config.scenario.range("turn_angle_deg") == (20.0, 30.0)


def test_who_says_nothing_gets_what_the_figures_were_made_with() -> None:
    saved = to_dict(train_config())
    assert saved["student"] == {
        "embedding": 128,
        "width": 256,
        "layers": 2,
        "modes": 1,
        "spread": False,
        "hide": 0.05,
        "inputs": ["scenario", "v0", "history", "context", "route"],
        "output": "actions",
    }
    assert saved["loss"] == {"position": 1.0, "action": 1.0, "winner": 0.5, "samples": 2, "horizon": [1.0]}
    assert saved["optimizer"] == {
        "lr": 5e-3,
        "weight_decay": 1e-4,
        "warmup_steps": 100,
        "beta2": 0.999,
        "clip_norm": 1.0,
        "ema_decay": 0.995,
    }
    assert saved["trainer"] == {
        "steps": 4000,
        "batch_size": 256,
        "val_every": 500,
        "log_every": 25,
        "best": "ade",
        "pictures": 6,
        "device": "auto",
        "threads": 1,
        "bf16": False,
        "init_from": None,
        "processes": 1,
        "resume": None,
    }
    assert {name: saved[name] for name in ("horizon", "dt", "seed", "name")} == {
        "horizon": 64,
        "dt": 0.1,
        "seed": 0,
        "name": "",
    }
    batch = composed("batch", BatchConfig)
    assert (batch.seeds, batch.train, batch.workers, batch.resume) == (8, True, 1, None)


FROM_A_FILE = ("teacher=file", "teacher.path=x.json", "optimizer.lr=2e-3")
EXPERIMENTS = {
    "drives": (*FROM_A_FILE, "trainer.steps=1000", "trainer.val_every=1000", "loss.action=0.1"),
    "hidden": ("scenario=ALL", "teacher.reveal=speed", "student.modes=6", "student.spread=true"),
    "label_file": (*FROM_A_FILE, "trainer.steps=600", "trainer.val_every=50", "loss.action=0.1"),
    "short": (
        "trainer.steps=1600",
        "trainer.val_every=800",
        "teacher.scenes=16384",
        "optimizer.lr=1e-2",
        "optimizer.beta2=0.95",
        "student.hide=0.02",
    ),
    "waypoints": (
        *FROM_A_FILE,
        "trainer.steps=1000",
        "trainer.val_every=50",
        "loss.action=0",
        "student.output=waypoints",
    ),
}


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONFIGS / "experiment").glob("*.yaml")))
def test_an_experiment_is_the_defaults_but_for_what_it_is_about(name: str) -> None:
    """On a drive that was left out no step is chosen: it is validated at the end alone."""
    told = [option for option in EXPERIMENTS[name] if option == "teacher.path=x.json"]
    assert train_config(f"experiment={name}", *told) == train_config(*EXPERIMENTS[name])


def test_a_smoke_run_is_over_in_seconds() -> None:
    told = ("steps=40", "batch_size=32", "val_every=20", "log_every=5", "pictures=1")
    assert train_config("trainer=smoke") == train_config(*(f"trainer.{option}" for option in told))


@pytest.mark.slow
def test_ranges_inside_a_mixture_can_be_set() -> None:
    config = train_config("scenario=ALL", "scenario.parts.LEFT.turn_angle_deg=[20,30]", "scenario.parts.STOP.weight=5")
    assert isinstance(config.scenario, MixtureConfig)
    assert config.scenario.parts["LEFT"].range("turn_angle_deg") == (20.0, 30.0)
    assert config.scenario.parts["STOP"].weight == 5
    with pytest.raises(UserError, match=r"there is no option scenario\.parts\.LEFT\.colour"):
        train_config("scenario=ALL", "+scenario.parts.LEFT.colour=red")


def test_checks_hold_without_hydra() -> None:
    with pytest.raises(UserError, match=r"optimizer\.ema_decay must be in"):
        OptimizerConfig(ema_decay=1.0)
    with pytest.raises(UserError, match="at least one weight > 0"):
        LossConfig(position=0, action=0)
    with pytest.raises(UserError, match=r"loss\.samples must be >= 2"):
        LossConfig(samples=1)
    with pytest.raises(UserError, match=r"loss\.horizon must be weights >= 0"):
        LossConfig(horizon=[1.0, -1.0])
    with pytest.raises(UserError, match=r"loss\.horizon must be weights >= 0"):
        LossConfig(horizon=[])
    with pytest.raises(UserError, match=r"loss\.horizon must be of at most 8 stretches, one a step \(got 9\)"):
        train_config("scenario=LEFT", "horizon=8", "loss.horizon=[1,1,1,1,1,1,1,1,2]")
    with pytest.raises(UserError, match=r"student\.modes must be <= 64"):
        StudentConfig(modes=65)
    with pytest.raises(UserError, match=r"scenario\.parts must be at least one scenario"):
        MixtureConfig({})
    with pytest.raises(UserError, match=r"teacher\.reveal must be one of all, scene, none, speed"):
        SyntheticConfig(reveal="some")
    with pytest.raises(UserError, match=r"teacher\.fold must be between 0 and 4, whole shares of the clips \(got 5\)"):
        FileConfig("x.json", fold=5)
    assert FileConfig("x.json", val_fraction=0.25, fold=3).fold == 3
    with pytest.raises(UserError, match="a number or a range"):
        ScenarioConfig("LEFT", speed_mps=[1, 2, 3])
    with pytest.raises(UserError, match=r"scenario\.turn_angle_deg must be <= 720"):
        ScenarioConfig("LEFT", turn_angle_deg=1e39)
    with pytest.raises(UserError, match=r"scenario\.speed_change_s must be >= 0\.1"):
        ScenarioConfig("LEFT", speed_change_s=1e-46)
    for fast, slow in ((10, 0), (0, 10)):  # too hard to brake, and to speed up
        with pytest.raises(
            UserError, match=r"speed_change_s must be long enough for 4 m/s\^2 at most \(got '15\.0 m/s\^2'\)"
        ):
            ScenarioConfig("STOP", speed_mps=fast, final_speed_mps=slow, speed_change_s=1)


@pytest.mark.parametrize(
    ("kind", "option", "least", "most"),
    [
        *((TrainerConfig, name, 1, 10**9) for name in ("steps", "val_every", "log_every")),
        (TrainerConfig, "batch_size", 1, 10**6),
        *((TrainerConfig, name, 1, 256) for name in ("threads", "processes")),
        (TrainerConfig, "pictures", 0, 1000),
        (OptimizerConfig, "warmup_steps", 0, 10**9),
        *((StudentConfig, name, 1, 8192) for name in ("embedding", "width")),
        *((StudentConfig, name, 1, 64) for name in ("layers", "modes")),
        *((kind, "samples", 2, 1024) for kind in (LossConfig, OwnLossConfig)),
        (BatchConfig, "seeds", 1, 10_000),
        (BatchConfig, "workers", 1, 256),
    ],
)
def test_whole_numbers_have_two_ends(kind: Any, option: str, least: int, most: int) -> None:
    for taken in (least, most):
        assert getattr(kind(**{option: taken}), option) == taken
    for refused in (least - 1, most + 1):
        with pytest.raises(UserError, match=rf"{option} must be .*\(got {refused}\)"):
            kind(**{option: refused})


@pytest.mark.parametrize(
    ("kind", "option", "taken", "refused"),
    [
        (OptimizerConfig, "lr", (1e-300, 1e38), (0.0, 1.1e38)),
        (OptimizerConfig, "weight_decay", (0.0, 1e38), (-1e-300, 1.1e38)),
        (OptimizerConfig, "clip_norm", (1e-300, 1e38), (0.0, 1.1e38)),
        *((OptimizerConfig, name, (0.0, 0.9999), (-0.1, 1.0)) for name in ("beta2", "ema_decay")),
        *((kind, "hide", (0.0, 0.9999), (-0.1, 1.0)) for kind in (StudentConfig, OwnStudentConfig)),
        *((LossConfig, name, (0.0, 1e38), (-1e-300, 1.1e38)) for name in ("position", "action", "winner")),
    ],
)
def test_numbers_have_two_ends_and_nan_is_beyond(
    kind: Any, option: str, taken: tuple[float, ...], refused: tuple[float, ...]
) -> None:
    for value in taken:
        assert getattr(kind(**{option: value}), option) == value
    for value in (*refused, float("nan"), float("inf")):
        with pytest.raises(UserError, match=f"{option} must be "):
            kind(**{option: value})


def test_what_may_change_when_a_run_goes_on_changes_no_weight() -> None:
    free = ("resume", "steps", "device", "threads", "processes", "log_every", "pictures")
    assert tuple(f"trainer.{name}" for name in free) == RESUMABLE


@pytest.mark.parametrize(
    ("batch", "processes", "shared"), [(256, 1, True), (256, 3, False), (6, 3, True), (3, 6, False)]
)
def test_a_batch_is_shared_out_equally_or_not_at_all(batch: int, processes: int, shared: bool) -> None:
    if shared:
        assert TrainerConfig(batch_size=batch, processes=processes).batch_size == batch
    else:
        with pytest.raises(UserError, match=rf"must be a multiple of the {processes} processes, .* \(got {batch}\)"):
            TrainerConfig(batch_size=batch, processes=processes)


@pytest.mark.parametrize("name", ["", "wide", "a.b-c_d", "x" * 80, "Bögen"])
def test_a_name_that_makes_a_folder_is_taken(name: str) -> None:
    assert TrainConfig(name=name).name == name


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "-x", "a b", "x" * 81, "a\n"])
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"name must be letters, digits, '\.', '-' and '_', at most 80"):
        TrainConfig(name=name)


def test_latest_is_the_last_run_that_is_still_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert config.latest_run("train") is None
    runs = Path("outputs/train")
    for name in ("LEFT/a", "LEFT/b"):
        (runs / name).mkdir(parents=True)
    (runs / "latest").write_text("LEFT/a\nLEFT/b\nLEFT/gone\n")
    assert config.latest_run("train") == str(runs / "LEFT/b")
    assert config.latest_run("batch") is None
    made = train_config("trainer.resume=latest")
    assert made.trainer.resume == str(runs / "LEFT/b")
    (runs / "latest").write_text("LEFT/gone\n")
    with pytest.raises(UserError, match=r"^trainer\.resume=latest: train\.py has made no run in outputs/train; name a"):
        train_config("trainer.resume=latest")


def test_no_choice_leads_to_code() -> None:
    for path in CONFIGS.rglob("*.yaml"):
        assert "_target_" not in path.read_text()
        assert OmegaConf.load(path) is not None


def test_two_runs_of_one_second_have_two_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Clock":
            return cls(2026, 1, 2, 3, 4, 5)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(config, "datetime", Clock)
    made = [config._run_folder("train", "synthetic", "LEFT", None, "") for _ in range(3)]
    assert made == [f"outputs/train/LEFT/2026-01-02_03-04-05{end}" for end in ("", "-2", "-3")]
    assert all(Path(folder).is_dir() for folder in made)


def test_an_evaluation_beside_one_of_an_earlier_version_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older = tmp_path / "eval" / "held_out"
    older.mkdir(parents=True)
    (older / "metrics.json").write_text("{}")
    for said in (
        f"{older} is of an earlier version and does not say of which options: these results go to {older}-2\n",
        "",
    ):
        assert config._eval_folder(str(tmp_path), None, None, None, None) == f"{older}-2"
        assert capsys.readouterr() == ("", said)


def test_an_evaluation_finds_its_folder_again_and_no_other_one_gets_it(tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    last = tmp_path / "run" / "checkpoints" / "last.pt"
    last.touch()
    run = str(tmp_path / "run")
    asked: list[tuple[str, str | None, list[str]]] = [
        (run, "a/test.npz", []),
        (run, "b/test.npz", []),
        (str(last), "a/test.npz", []),
        (run, "a/test.npz", ["teacher.samples=mean"]),
    ]
    for _ in range(2):
        found = [config._eval_folder(which, None, labels, None, None, words) for which, labels, words in asked]
        assert [Path(folder).name for folder in found] == ["test", "test-2", "test-3", "test-4"]
    again = config._eval_folder(run, None, "a/test.npz", None, None, ["plot=false", f"checkpoint={run}"])
    assert Path(again).name == "test"


def test_an_evaluation_is_named_after_what_it_is_scored_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    last = tmp_path / "run" / "checkpoints" / "last.pt"
    last.touch()
    monkeypatch.chdir(tmp_path)

    def name(scenario: str | None = None, labels: str | None = None, seed: int | None = None, *words: str) -> str:
        found = Path(config._eval_folder("run", scenario, labels, seed, None, words))
        assert found.parent == Path("run/eval")
        return found.name

    assert [name(), name("LEFT"), name("LEFT", "a/test.npz"), name(None, None, 3)] == [
        *("held_out", "LEFT", "test", "held_out_seed3")
    ]
    apart = ("output=x", "device=cuda", "plot=false", "predictions=true", "student.module=a.py:B", "checkpoint=run")
    assert name("LEFT", None, None, *apart) == "LEFT"  # what changes no number
    assert name("LEFT", None, None, "hide=[route]") == "LEFT-2"
    assert config._eval_folder(str(last), "LEFT", None, None, None) == str(tmp_path / "run" / "eval" / "LEFT-3")
    assert config._eval_folder("run", None, None, None, "mine") == "mine"
    assert config._eval_folder("gone", None, None, None, None).startswith("outputs/eval/")
    driven = config._drive_folder("run", ["drive.every=5", "checkpoint=run", "plot=false", "hide=[route]"], None)
    assert Path(driven).name == "drive_every=5_hide=route"
    assert (config._export_folder("a/out", ""), config._export_folder("", "agent")) == (
        "a/.out.partial",
        ".agent.partial",
    )


def test_a_saved_config_is_read_by_the_types_of_its_options() -> None:
    saved = to_dict(train_config("student=custom", "student.module=mine.py:Mine"))
    assert saved["student"]["module"] == "mine.py:Mine"
    assert from_dict(saved).student.module == ""  # nothing that was saved says what is to be executed
    saved = to_dict(train_config())
    assert from_dict({**saved, "optimizer": {**saved["optimizer"], "lr": 1}}).optimizer.lr == 1  # JSON knows no 1.0
    for group, option, value in (
        ("optimizer", "lr", 2**63),
        ("optimizer", "lr", True),
        ("trainer", "steps", 5.0),
        ("student", "inputs", ["v0"] * 4097),
        ("scenario", "speed_mps", [1.0] * 4097),
        ("loss", "horizon", ["1"]),
    ):
        with pytest.raises(UserError, match=f"^{group}.{option} must be "):
            from_dict({**saved, group: {**saved[group], option: value}})


@pytest.mark.parametrize(("told", "reveal"), [({}, "scene"), ({"reveal": "none"}, "none"), ({"history": True}, "all")])
def test_a_synthetic_teacher_of_older_versions_showed_what_it_did(told: dict[str, Any], reveal: str) -> None:
    saved = to_dict(train_config())
    teacher = {name: value for name, value in saved["teacher"].items() if name not in ("history", "reveal")}
    assert from_dict({**saved, "teacher": {**teacher, **told}}).teacher.reveal == reveal
