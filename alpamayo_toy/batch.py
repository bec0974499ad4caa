"""One configuration trained with several seeds, and what the seeds agree on."""

import csv
import io
import json
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

from alpamayo_toy.config import BatchConfig, TrainConfig
from alpamayo_toy.evaluation import FORMAT, origin
from alpamayo_toy.files import replacing, write_json
from alpamayo_toy.training import fit

HEADLINE = ("floor.ade", "student.ade", "ade_over_floor", "excess_over_floor")


def run_batch(config: BatchConfig, output_dir: Path) -> dict[str, Any]:
    """Train seeds config.seed, config.seed + 1, ... in output_dir/seed-N; writes summary.json and summary.csv.

    A seed whose metrics.json is there already is not trained again.
    """
    train = TrainConfig(**{name: value for name, value in vars(config).items() if name != "seeds"})
    found = []
    for seed in range(config.seed, config.seed + config.seeds):
        folder = output_dir / f"seed-{seed}"
        done = folder / "metrics.json"
        found.append(json.loads(done.read_text()) if done.exists() else fit(replace(train, seed=seed), folder))
    rows = [_numbers(metrics) for metrics in found]
    shared = [name for name in rows[0] if all(name in row for row in rows)]
    summary = {name: _spread([row[name] for row in rows]) for name in shared}
    what = origin(config.scenario, config.teacher, config.seed)
    content = {"format": FORMAT, "command": "batch", **what, "seeds": config.seeds, "summary": summary}
    write_json(output_dir / "summary.json", content)
    with replacing(output_dir / "summary.csv") as file:
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["metric", "mean", "std", "min", "max", "count"])
        writer.writerows([name, *spread.values()] for name, spread in summary.items())
        file.write(text.getvalue().encode())
    return content


def table(summary: dict[str, Any]) -> str:
    """The headline as a Markdown table of one row: mean and standard deviation over seeds."""
    spreads = [summary["summary"].get(name) for name in HEADLINE]
    cells = [f"{spread['mean']:.3f} ± {spread['std']:.3f}" if spread else "none" for spread in spreads]
    head = "| scenario | seeds | floor ADE [m] | student ADE [m] | ADE / floor | excess / floor |"
    return f"{head}\n{'|---' * 6}|\n| {summary['scenario']} | {summary['seeds']} | {' | '.join(cells)} |"


def _numbers(metrics: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """Every number of a run's metrics.json by its dotted name."""
    flat: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, dict):
            flat |= _numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[prefix + name] = float(value)
    return {name: value for name, value in flat.items() if name not in ("format", "seed")}


def _spread(values: list[float]) -> dict[str, float | int]:
    """std is the sample's own, with n - 1; 0 for a single seed."""
    return {
        "mean": statistics.fmean(values),
        "std": statistics.stdev(values) if len(values) > 1 else 0.0,
        "min": min(values),
        "max": max(values),
        "count": len(values),
    }
