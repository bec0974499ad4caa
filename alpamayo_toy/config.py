"""Options composed by Hydra and checked: YAML in configs/ picks and fills, the schemas are in each wing's config.py.

Hydra is imported where it is registered and read, so that importing a config needs none.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import datetime
from difflib import get_close_matches
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from alpamayo_toy.errors import UserError
from alpamayo_toy.evaluation import config as evaluation
from alpamayo_toy.evaluation.config import RolloutConfig
from alpamayo_toy.hints import CONFIGS, command_name, unknown_option
from alpamayo_toy.students import config as students
from alpamayo_toy.students.config import StudentConfig as StudentConfig
from alpamayo_toy.teachers import config as teachers
from alpamayo_toy.teachers.config import MixtureConfig, RoadConfig, ScenarioConfig
from alpamayo_toy.training import config as training

SCHEMAS: dict[str, Any] = {
    **teachers.SCHEMAS,
    **students.SCHEMAS,
    **training.SCHEMAS,
    **evaluation.SCHEMAS,
}
"""Every dataclass that YAML fills: of a command, or of a choice as group/name."""

Config = TypeVar("Config")
LATEST = "latest"
"""A run's name on the command line, and the file in outputs/<job> with a line for each run there, the last one last."""
ASKED = ".hydra-asked"
"""In an evaluation's folder: the options that it answers."""
APART = ("output", "device", "plot", "predictions", "student.module")
"""Options that do not change what an evaluation says."""
_RUNS = {"checkpoint": "train", "trainer.resume": "train", "resume": "batch"}  # options that name one, and its job


def latest_run(job: str) -> str | None:
    """The last folder that a command made in outputs/<job> and that is still there, seen from here."""
    folder = Path("outputs") / job
    names = (folder / LATEST).read_text(encoding="utf-8").splitlines() if (folder / LATEST).is_file() else []
    return next((str(folder / name) for name in reversed(names) if (folder / name).is_dir()), None)


def _run(given: str | None, job: str) -> str | None:
    """A run's folder as given, or what `latest` stands for; None where there is none."""
    return latest_run(job) if given == LATEST else given


def _run_folder(job: str, teacher: str, scenario: str, resume: str | None) -> str:
    """outputs/<job>/<scenario>/<time>, FILE for a label file's run; a continued run stays in its folder."""
    name = "FILE" if teacher == "file" else scenario
    return _run(resume, job) or _new_folder(f"outputs/{job}/{name}")


def _new_folder(parent: str) -> str:
    """<parent>/<time>, made here: of two runs that start in one second, the second one gets <time>_2."""
    for folder in _numbered(Path(parent) / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"):
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return str(folder)
    raise AssertionError


def _numbered(folder: Path) -> Iterator[Path]:
    """The folder, <folder>_2, <folder>_3, ..."""
    return (folder if i == 1 else folder.with_name(f"{folder.name}_{i}") for i in count(1))


def _folder_of(folder: Path, asked: str) -> str:
    """The folder for what is asked, so that it is found again and another question does not overwrite it."""
    for one in _numbered(folder):
        noted = one / ASKED
        if not noted.exists() and not (one / "metrics.json").exists():
            one.mkdir(parents=True, exist_ok=True)
            noted.write_text(asked, encoding="utf-8")
        if noted.exists() and noted.read_text(encoding="utf-8") == asked:
            return str(one)
    raise AssertionError


def _eval_folder(
    checkpoint: str,
    scenario: str | None,
    labels: str | None,
    seed: int | None,
    output: str | None,
    overrides: Any = (),
) -> str:
    """<run>/eval/<what it is scored on>, or where told; outputs/eval/<time> where there is no such run.

    <name>_2 where <name> holds what came of other options, of a file of the same name elsewhere or of last.pt.
    """
    if output:
        return output
    checkpoint = _run(checkpoint, "train") or ""
    path = Path(checkpoint)
    run = path.parent.parent if path.is_file() else path
    if not checkpoint or not path.exists():
        return _new_folder("outputs/eval")
    name = Path(labels).stem if labels else scenario or "held_out"
    asked = [word for word in overrides if word.partition("=")[0] not in ("checkpoint", "teacher.path", *APART)]
    asked += [
        f"checkpoint={path.stem if path.is_file() else 'best'}",
        f"teacher.path={labels and Path(labels).absolute()}",
    ]
    return _folder_of(run / "eval" / (name if seed is None else f"{name}_seed{seed}"), "\n".join(sorted(asked)))


def _drive_folder(checkpoint: str, overrides: Any, output: str | None) -> str:
    """<run>/eval/drive, and in its name what differs from the defaults, so that a fault does not overwrite another."""
    words = sorted(
        re.sub(r"[^\w.=,-]", "", word.removeprefix("drive."))
        for word in overrides
        if word.partition("=")[0] not in ("checkpoint", *APART)
    )
    return _eval_folder(checkpoint, "_".join(["drive", *words]), None, None, output)


def register() -> None:
    """Make the schemas known to Hydra, under schema/..., where they do not show up as choices."""
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    # cached, so that one run has one folder, in every job of a sweep too
    OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("new_folder", _new_folder, replace=True, use_cache=True)
    OmegaConf.register_new_resolver(
        "hydra_notes", lambda resume: ".hydra-resumed" if resume else ".hydra", replace=True
    )
    OmegaConf.register_new_resolver("eval_folder", _eval_folder, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("drive_folder", _drive_folder, replace=True)
    store = ConfigStore.instance()
    for name, node in SCHEMAS.items():
        group, _, leaf = f"schema/{name}".rpartition("/")
        store.store(group=group, name=leaf, node=node)


def scenario_named(name: str) -> ScenarioConfig | MixtureConfig | RoadConfig:
    """What configs/scenario/<name>.yaml describes. Raises UserError with one line."""
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException

    register()
    try:
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            composed = compose("rollout", overrides=[f"scenario={name}"])
    except HydraException as error:
        raise UserError(one_line(error)) from None
    scenario: ScenarioConfig | MixtureConfig | RoadConfig = validate(composed, RolloutConfig).scenario
    return scenario


def validate(config: Any, schema: type[Config]) -> Config:
    """A composed Hydra config as its dataclass, every check passed. Raises UserError with one line, naming the key."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    _refuse_unknown_keys(config, "")
    _find_latest(config)
    try:
        made = OmegaConf.to_object(config)
    except OmegaConfBaseException as error:
        raise UserError(one_line(error)) from None
    assert isinstance(made, schema)
    return made


def _find_latest(config: Any) -> None:
    """Put a folder in place of `latest`. Raises UserError where there is none."""
    from omegaconf import OmegaConf

    for key, job in _RUNS.items():
        if OmegaConf.select(config, key) == LATEST:
            found = latest_run(job)
            if found is None:
                raise UserError(f"{key}={LATEST}: {command_name(job)} has made no run in outputs/{job}; name a folder")
            OmegaConf.update(config, key, found)


def _refuse_unknown_keys(node: Any, prefix: str) -> None:
    """`+scenrio=LEFT` and `++optimizer.lrr=1` add keys that a structured config would silently carry along."""
    from omegaconf import DictConfig, OmegaConf

    if not isinstance(node, DictConfig) or node._is_none() or node._is_missing():
        return
    kind = OmegaConf.get_type(node)
    known = [f.name for f in fields(kind)] if isinstance(kind, type) and is_dataclass(kind) else None
    for key in map(str, node):
        if known is not None and key not in known:
            if f"{prefix}{key}" in training.TAKEN_OUT:
                raise UserError(training.TAKEN_OUT[key])
            close = get_close_matches(key, known, n=1)
            hint = f"did you mean {prefix}{close[0]}?" if close else f"known here: {', '.join(known)}"
            raise UserError(f"there is no option {prefix}{key}; {hint}")
        if not OmegaConf.is_missing(node, key):
            _refuse_unknown_keys(node[key], f"{prefix}{key}.")


def one_line(error: Exception) -> str:
    """What a Hydra or OmegaConf exception says, in one line, with the option that was probably meant."""
    text = str(error)
    if text.startswith("Could not override '"):
        key = text.split("'")[1]
        if key in training.TAKEN_OUT:
            return training.TAKEN_OUT[key]
        return unknown_option(key, Path(sys.argv[0]).stem, SCHEMAS)
    if text.startswith("Error merging override ") and error.__cause__ is not None:
        return f"{text.removeprefix('Error merging override ')}: {str(error.__cause__).splitlines()[0]}"
    return " ".join(text.partition("Config search path")[0].split())
