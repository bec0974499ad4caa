"""One configuration with several seeds, and what the seeds agree on."""

import csv
import io
import json
import signal
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from alpamayo_toy.errors import Interrupted, UserError
from alpamayo_toy.evaluation.config import RolloutConfig
from alpamayo_toy.evaluation.describe import FORMAT, origin
from alpamayo_toy.evaluation.rollout import roll_out
from alpamayo_toy.files import replacing, write_json
from alpamayo_toy.hints import command_line
from alpamayo_toy.kinematics.device import choose_device
from alpamayo_toy.metrics.intervals import students_t
from alpamayo_toy.processes import Killed, in_processes
from alpamayo_toy.students import checkpoint
from alpamayo_toy.teachers.synthetic import SyntheticTeacher
from alpamayo_toy.teachers.teacher import build_teacher
from alpamayo_toy.training.config import (
    OWN,
    RESUMABLE,
    TAKEN_OUT,
    BatchConfig,
    TrainConfig,
    from_dict,
    given_again,
    lacking,
    to_dict,
)
from alpamayo_toy.training.loop import NEEDS, fit
from alpamayo_toy.views.progress import Bar
from alpamayo_toy.views.tensorboard import Logger

TRAINED = {
    "floor.ade": "floor ADE [m]",
    "student.ade": "student ADE [m]",
    "ade_over_floor": "ADE / floor",
    "excess_over_floor": "excess / floor",
}
ROLLED_OUT = {
    "final_speed": "final speed [m/s]",
    "min_speed": "min speed [m/s]",
    "max_abs_accel": "max abs a [m/s^2]",
    "max_abs_curvature": "max abs kappa [1/m]",
    "max_abs_jerk": "max abs da/dt [m/s^3]",
    "max_abs_curvature_rate": "max abs dkappa/dt [1/m/s]",
}
LEFT_OUT = ("format", "seed", "worst", "typical", "horizon_errors", "low", "high", "units")
"""Of metrics.json: what no mean over seeds is taken of, a seed's own intervals and lists among it."""
FAILURES = (UserError, OSError)
"""What ends a seed and not the batch."""
FREE = tuple(key for key in RESUMABLE if key not in ("trainer.resume", "trainer.steps"))
"""What may differ between the seeds of a batch: nothing that a result depends on."""


def run_batch(config: BatchConfig, output_dir: Path) -> dict[str, Any]:
    """Seeds config.seed, config.seed + 1, ... in output_dir/seed-N; returns what summary.json holds.

    config.workers of them at a time, each in a process of its own; one worker is this process. Writes config.json,
    summary.json, summary.csv and an event file. A seed that is finished is not done again, one that was stopped goes
    on, one that fails is named with its reason under "failed" while the others go on. Raises UserError where all of
    them fail or a folder holds another configuration's run, Interrupted after SIGINT or SIGTERM.
    """
    jobs = {seed: _job(config, seed) for seed in range(config.seed, config.seed + config.seeds)}
    folders = {seed: output_dir / f"seed-{seed}" for seed in jobs}
    for seed, job in jobs.items():
        _require_same(job, folders[seed])
    choose_device(config.trainer.device)  # mistakes that every seed would make end here, before there is a folder
    teacher = build_teacher(config)
    begun = next((folder for folder in folders.values() if _last(folder).exists()), None)
    if begun is not None and not isinstance(teacher, SyntheticTeacher):  # others were given up, or begin now
        checkpoint.require_same_labels(checkpoint.load(begun, "last"), teacher.fingerprint, begun)
    write_json(output_dir / "config.json", to_dict(config))
    results: dict[int, dict[str, Any] | Exception] = {
        seed: _read(folder / "metrics.json") for seed, folder in folders.items() if (folder / "metrics.json").exists()
    }
    left = [seed for seed in jobs if seed not in results]
    again = command_line("batch", resume=output_dir)
    try:
        for seed, result in zip(left, _results([(jobs[n], folders[n]) for n in left], config.workers), strict=True):
            results[seed] = UserError(f"{result}; continue: {again}") if isinstance(result, Killed) else result
    except (Interrupted, KeyboardInterrupt) as stop:
        number = stop.exit_code - 128 if isinstance(stop, Interrupted) else signal.SIGINT
        raise Interrupted(f"stopped; continue: {again}", number) from None
    return _summarised(config, [(seed, results[seed]) for seed in jobs], output_dir)


def continued(config: BatchConfig, overrides: Sequence[str]) -> BatchConfig:
    """With resume the batch's saved config, changed by the command line's overrides where no result depends on it."""
    if config.resume is None:
        return config
    found = _read(Path(config.resume) / "config.json")
    saved = {name: value for name, value in found.items() if name not in TAKEN_OUT}
    if "seeds" not in saved:
        raise UserError(f"{config.resume} is no batch's folder: its config.json is another command's")
    own = {name: value for name, value in saved.items() if name in _names(BatchConfig) - _names(TrainConfig)}
    try:
        written = {name: value for name, value in saved.items() if name not in own}
        train = from_dict(written)
        batch = BatchConfig(**vars(train), **{**own, "resume": config.resume})
    except TypeError as error:
        raise UserError(f"{config.resume}/config.json was changed: {error}") from None
    if without := lacking(written, train):
        print(f"{config.resume}/config.json lacks {', '.join(without)}, which take today's defaults", file=sys.stderr)
    free = ("seeds", "workers", *FREE)
    keys = [override.partition("=")[0].lstrip("+~") for override in overrides]
    given_again(batch, config, keys)
    for key in keys:
        if key in OWN:
            continue
        if key not in ("resume", *free):
            raise UserError(f"{key} cannot change when a batch is continued; only {', '.join(free)} can")
        mine, theirs = (batch.trainer, config.trainer) if key in FREE else (batch, config)
        name = key.removeprefix("trainer.")
        setattr(mine, name, getattr(theirs, name))
    return batch


def table(summary: dict[str, Any]) -> str:
    """The headline as a Markdown table of one row: mean over seeds, standard deviation, 95 % interval of the mean."""
    headline = heads([summary])
    head = ["scenario", *headline.values()]
    row = [summary["scenario"], *cells(summary, headline)]
    return f"| {' | '.join(head)} |\n{'|---' * len(head)}|\n| {' | '.join(row)} |"


def heads(contents: list[dict[str, Any]]) -> dict[str, str]:
    """The headline's numbers and their headings, of what summary.json or metrics.json hold."""
    seeds = {"seeds": "seeds"} if any("summary" in content and "seeds" in content for content in contents) else {}
    return seeds | (ROLLED_OUT if any(not content.get("train", True) for content in contents) else TRAINED)


def cells(content: dict[str, Any], headline: dict[str, str]) -> list[str]:
    """The headline's numbers: of a batch over its seeds, of a run its own."""
    if "seeds" in content:
        own = {"seeds": str(content["seeds"] - len(content["failed"]))}
        return [own.get(name) or _cell(content["summary"].get(name)) for name in headline]
    numbers = _numbers(content)
    return [f"{numbers[name]:.3f}" if name in numbers else "none" for name in headline]


def _training(config: BatchConfig) -> TrainConfig:
    return TrainConfig(**{name: getattr(config, name) for name in _names(TrainConfig)})


def _names(kind: type[TrainConfig]) -> set[str]:
    return {field.name for field in fields(kind)}


def _job(config: BatchConfig, seed: int) -> TrainConfig | RolloutConfig:
    """What one seed does."""
    if config.train:
        return replace(_training(config), seed=seed)
    return RolloutConfig(config.scenario, config.horizon, config.dt, seed, plot=False)


def _results(jobs: list[tuple[Any, Path]], workers: int) -> Iterator[dict[str, Any] | Exception]:
    """Of each job and folder in turn what its metrics.json holds, or why it failed."""
    if workers == 1 or len(jobs) == 1:
        for job, folder in jobs:
            try:
                result: dict[str, Any] | Exception = _run(job, folder)
            except FAILURES as error:
                result = error
            yield result
        return
    steps = [job.trainer.steps for job, _ in jobs if isinstance(job, TrainConfig)]
    done = [0] * len(jobs)
    with Bar(sum(steps), "step", f"{len(jobs)} seeds", hidden=not steps) as bar:

        def told(number: int, step: int) -> None:
            bar.update(step - done[number])
            done[number] = step

        for result in in_processes(_run, jobs, workers, told, NEEDS):
            if isinstance(result, Exception) and not isinstance(result, (*FAILURES, Interrupted)):
                raise result
            yield result


def _run(job: TrainConfig | RolloutConfig, folder: Path, told: Callable[[int], None] | None = None) -> dict[str, Any]:
    """Roll out, train, or go on training where the folder holds a checkpoint."""
    if isinstance(job, RolloutConfig):
        write_json(folder / "config.json", asdict(job))
        return roll_out(job, folder)
    if _last(folder).exists():
        job = replace(job, trainer=replace(job.trainer, resume=str(folder)))
    return fit(job, folder, told)


def _last(folder: Path) -> Path:
    return folder / "checkpoints" / "last.pt"


def _require_same(job: TrainConfig | RolloutConfig, folder: Path) -> None:
    """Raises UserError where a seed's folder holds a run that is not this one."""
    if not any(path.exists() for path in (folder / "config.json", folder / "metrics.json", _last(folder))):
        return
    described = to_dict(job) if isinstance(job, TrainConfig) else json.loads(json.dumps(asdict(job)))
    saved, mine = _flat(_read(folder / "config.json")), _flat(described)
    for key in [*mine, *saved]:
        if saved.get(key) != mine.get(key) and key not in ("trainer.resume", *FREE):
            raise UserError(
                f"{folder} holds a run with {key}={saved.get(key)}, this one has {mine.get(key)}; take another folder"
            )


def _read(path: Path) -> dict[str, Any]:
    """A JSON file that a command wrote. Raises UserError where it is not there or broken."""
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path.parent} has no {path.name}: it is no folder that a batch wrote") from None
    except ValueError:
        raise UserError(f"{path} is not valid JSON; remove {path.parent} to do it again") from None
    return content


def _summarised(
    config: BatchConfig, results: list[tuple[int, dict[str, Any] | Exception]], output_dir: Path
) -> dict[str, Any]:
    """Write summary.json, summary.csv and the event file."""
    failed = {str(seed): _reason(result) for seed, result in results if isinstance(result, Exception)}
    rows = [_numbers(result) for _, result in results if isinstance(result, dict)]
    names = dict.fromkeys(name for row in rows for name in row)
    summary = {name: _spread([row[name] for row in rows if name in row]) for name in names}
    content = {
        "format": FORMAT,
        "command": "batch",
        **origin(config.scenario, config.teacher, config.seed),
        "train": config.train,
        "seeds": config.seeds,
        "failed": failed,
        "summary": summary,
    }
    write_json(output_dir / "summary.json", content)
    with replacing(output_dir / "summary.csv") as file:
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["metric", "mean", "std", "min", "max", "count", "low", "high"])
        writer.writerows([name, *spread.values()] for name, spread in summary.items())
        file.write(text.getvalue().encode())
    if not rows:
        seed, reason = next(iter(failed.items()))
        raise UserError(f"all {len(failed)} seeds failed, seed {seed}: {reason}")
    for seed, reason in failed.items():
        print(f"seed {seed} failed: {reason}", file=sys.stderr)
    for old in output_dir.glob("events.out.tfevents.*"):
        old.unlink()
    log = Logger(output_dir)
    log.markdown("summary", table(content))
    log.close()
    return content


def _numbers(metrics: dict[str, Any]) -> dict[str, float]:
    """Every number of a run's metrics.json by its dotted name, but what belongs to one run alone: LEFT_OUT."""
    kept = {name: value for name, value in metrics.items() if name not in LEFT_OUT}
    return {
        name: float(value)
        for name, value in _flat(kept).items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name.rpartition(".")[2] not in LEFT_OUT
    }


def _flat(content: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dicts and lists by dotted names."""
    if not isinstance(content, dict | list):
        return {prefix[:-1]: content}
    items = content.items() if isinstance(content, dict) else enumerate(content)
    return {name: value for key, inner in items for name, value in _flat(inner, f"{prefix}{key}.").items()}


def _spread(values: list[float]) -> dict[str, float | int | None]:
    """std is the sample's own, with n - 1; 0 for a single seed. low, high: the mean's 95 % interval by Student's t."""
    low, high = students_t(values) or (None, None)
    return {
        "mean": statistics.fmean(values),
        "std": statistics.stdev(values) if len(values) > 1 else 0.0,
        "min": min(values),
        "max": max(values),
        "count": len(values),
        "low": low,
        "high": high,
    }


def _cell(spread: dict[str, Any] | None) -> str:
    if spread is None:
        return "none"
    interval = "" if spread["low"] is None else f" [{spread['low']:.3f}, {spread['high']:.3f}]"
    return f"{spread['mean']:.3f} ± {spread['std']:.3f}{interval}"


def _reason(error: Exception) -> str:
    """In one line."""
    if isinstance(error, OSError) and error.strerror is not None:
        return f"{error.filename or 'a file'}: {error.strerror}"
    return str(error)
