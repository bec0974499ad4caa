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
from alpamayo_toy.hints import (
    CONFIGS,
    LATEST,
    command_name,
    no_choice,
    of_another_type,
    several_values,
    unknown_option,
    unreadable,
    without_value,
)
from alpamayo_toy.integrations import config as integrations
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
    **integrations.SCHEMAS,
}
"""Every dataclass that YAML fills: of a command, or of a choice as group/name."""

Config = TypeVar("Config")
SEVERAL = r",|^(glob|choice|range|interval|shuffle|sort|tag)\("  # values of a sweep
LONGEST = 200  # characters of a folder's name
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


def _run_folder(job: str, teacher: str, scenario: str, resume: str | None, name: str) -> str:
    """outputs/<job>/<scenario>/<time>, FILE for a label file's run; a continued run stays in its folder.

    With name=wide .../wide, and .../wide-2 where there is one already.
    """
    if name:
        training.check_name(name)
    parent = f"outputs/{job}/{'FILE' if teacher == 'file' else scenario}"
    return _run(resume, job) or _new_folder(parent, name)


def _sweep_folder(number: int, overrides: Any) -> str:
    """Of a sweep's job <number>_<what varies>, as 0_scenario=LEFT: its overrides but those typed with one value."""
    typed = dict(word.partition("=")[::2] for word in sys.argv if "=" in word)
    fixed = {key for key, value in typed.items() if not re.search(SEVERAL, re.sub(r"\[[^]]*\]|'[^']*'", "", value))}
    varied = [re.sub(r"[^\w.=,+-]", "-", word) for word in overrides if word.partition("=")[0] not in fixed]
    return f"{number}_{','.join(varied)}"[:LONGEST].rstrip("_")


def _new_folder(parent: str, name: str = "") -> str:
    """<parent>/<name or time>, made here: of two runs that start in one second, the second one gets <time>-2."""
    for folder in _numbered(Path(parent) / (name or f"{datetime.now():%Y-%m-%d_%H-%M-%S}")):
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return str(folder)
    raise AssertionError


def _numbered(folder: Path) -> Iterator[Path]:
    """The folder, <folder>-2, <folder>-3, ..."""
    return (folder if i == 1 else folder.with_name(f"{folder.name}-{i}") for i in count(1))


def _folder_of(folder: Path, asked: str) -> str:
    """The folder for what is asked, so that it is found again and another question does not overwrite it."""
    passed: list[Path] = []
    for one in _numbered(folder):
        noted = one / ASKED
        if not noted.exists() and not (one / "metrics.json").exists():
            one.mkdir(parents=True, exist_ok=True)
            noted.write_text(asked, encoding="utf-8")
            for older in passed:
                print(
                    f"{older} is of an earlier version and does not say of which options: these results go to {one}",
                    file=sys.stderr,
                )
        elif not noted.exists():
            passed.append(one)
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

    <name>-2 where <name> holds what came of other options, of a file of the same name elsewhere or of last.pt.
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


def _export_folder(output: str, navsim: str) -> str:
    """Where what is exported is written before it gets its name."""
    path = Path(output or navsim or "released")
    return str(path.with_name(f".{path.name}.partial"))


def register() -> None:
    """Make the schemas known to Hydra, under schema/..., where they do not show up as choices."""
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    # cached, so that one run has one folder, in every job of a sweep too
    OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("new_folder", _new_folder, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("sweep_folder", _sweep_folder, replace=True)
    OmegaConf.register_new_resolver(
        "hydra_notes", lambda resume: ".hydra-resumed" if resume else ".hydra", replace=True
    )
    OmegaConf.register_new_resolver("eval_folder", _eval_folder, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("drive_folder", _drive_folder, replace=True)
    OmegaConf.register_new_resolver("export_folder", _export_folder, replace=True)
    store = ConfigStore.instance()
    if "schema" in store.repo:  # they stay
        return
    store.store(
        group="hydra/callbacks", name="swept", node={"swept": {"_target_": "alpamayo_toy.commands.sweep.Swept"}}
    )
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


def foreign(error: Exception) -> bool:
    """Whether Hydra let through what it should have reported: a group of null or of numbers, a number without end."""
    told = "Config group override must be", "argument of type"
    return isinstance(error, OverflowError) or str(error).startswith(told)


def _word(pattern: str) -> str:
    """What on the command line looks like it, shortened."""
    return next((word[:60] for word in sys.argv[1:] if re.search(pattern, word)), "an option")


def _unreadable() -> int:
    """Which word on the command line is the first that Hydra's grammar does not take; 0 where it takes all."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    for i, word in enumerate(sys.argv[1:], 1):
        try:
            OverridesParser.create().parse_override(word)
        except HydraException:
            if not word.startswith("-"):
                return i
    return 0


def one_line(error: Exception) -> str:
    """What a Hydra or OmegaConf exception says, in one line, with what was probably meant."""
    text, command = " ".join(str(error).partition("Config search path")[0].split()), Path(sys.argv[0]).stem
    if isinstance(error, OverflowError):
        return f"{_word(r'[0-9]{300}')}: a number of that many digits is none"
    if text.startswith("argument of type"):
        return _word(r"^[^=]+=\[") + ": a list is none of its choices"
    if text.startswith("Config group override must be"):
        return f"{_word(r'^[^=]+=(null)?$')}: name one of its choices instead, or leave it out"
    if found := re.match("Could not override '(.+?)'", text):
        return training.TAKEN_OUT.get(found[1]) or unknown_option(found[1], command, SCHEMAS)
    if text.startswith("Error merging override ") and error.__cause__ is not None:
        given = text.removeprefix("Error merging override ")
        return f"{given}: {of_another_type(given, str(error.__cause__).splitlines()[0])}"
    if found := re.match(r"Error parsing override '(.+)' missing EQUAL", text):
        at = sys.argv.index(found[1])
        return without_value(sys.argv[at:], command, SCHEMAS, sys.argv[at - 1])
    if found := re.match(r"(?:In '\w+': )?(Could not find '(\w+)/(.+)' Available options in '\w+': (.+))", text):
        meant = no_choice(found[2], found[3], found[4].split())
        return found[1].strip() + (f"; {meant}" if meant else "")
    if found := re.match("UserError raised while resolving interpolation: (.+) full_key: ", text):
        return found[1]
    if found := re.match("Ambiguous value for argument '([^=]+)=(.+?)' 1", text):
        return several_values(found[1], found[2], command, SCHEMAS)
    at = _unreadable() if " See https://hydra.cc" in text else 0
    return unreadable(sys.argv[at:], command, SCHEMAS, sys.argv[at - 1]) if at else text
