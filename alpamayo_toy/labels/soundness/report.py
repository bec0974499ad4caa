"""What a label set holds: report.json for programs, report.html for people with the same numbers and with pictures."""

import base64
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alpamayo_toy.files import replacing, write_json
from alpamayo_toy.kinematics.manoeuvres import STANDSTILL, WAYMO, Scenario, waymo_bucket
from alpamayo_toy.kinematics.recovery import label_actions
from alpamayo_toy.kinematics.trajectory import Labels
from alpamayo_toy.labels.soundness.check import ROUTES
from alpamayo_toy.labels.soundness.report_page import ADE, PERCENTILES, QUANTITIES, VALUES, page
from alpamayo_toy.metrics.displacement import distance, horizons, min_ade
from alpamayo_toy.metrics.distribution import medoid
from alpamayo_toy.views.web_page import written

FORMAT = 1  # of report.json
MOVING = 2.0  # m/s, below it a curvature is mostly noise divided by a small speed
REVERSING = -5e-3  # m/s
SIDE, SIDE_SECONDS = 2.0, 3.0  # m, s: UniAD's left and right
MISS = 2.0  # m, Argoverse 2's miss
SCORE_SECONDS = (1.0, 3.0, 5.0)
PAIRS = 2**20  # distances between samples held at once
SORTED = 10**6  # values that percentiles and histograms are taken of
LISTED = 8  # clips in a list and in its picture
DRAWN_SAMPLES = 12
TEXT = 200  # characters of a clip's text
ACTIONS = "label_actions of every sample from the labels' v0 as a trapezoid rollout, in float64, not clipped"
HISTOGRAMS = ("speed", "acceleration", "curvature_moving", "jerk")
WITH = ("ground_truth", "history", "route", "text")
SUMMARISED = ("v0", "speed", "acceleration", "curvature_moving", "jerk")


def report(
    labels: Labels,
    baselines: dict[str, Tensor | str],
    folder: Path,
    name: str,
    total: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Write folder/report.json and folder/report.html of the label file called name, and return what the former says.

    baselines are predictions (N, T, 4) that learn nothing, by name, or why there is none. total is the number of clips
    in the set where labels are a random sample of it; seed draws the clips shown at random. Metres, seconds, m/s;
    averages are over clips; None where a number does not exist.
    """
    clips = _per_clip(labels)
    distributions, values, clips["max_abs_curvature"] = _motion(labels)
    worst_by = "max_abs_curvature" if labels.ground_truth is None else "min_ade"
    groups = _groups(clips[worst_by], clips["ends_mean"], labels.teacher.shape[1] > 1, seed)
    found = {
        **_contents(labels, name, total),
        "buckets": {"scenario": _scenarios(labels), "waymo": _waymo(labels)},
        "actions": ACTIONS,
        "distributions": distributions,
        "shares": {
            "steps_below_0.6_mps": _mean(labels.teacher[..., 3] < STANDSTILL),
            "clips_starting_below_0.6_mps": _mean(labels.v0 < STANDSTILL),
            "samples_reversing": _mean(labels.teacher[..., 3].amin(-1) < REVERSING),
        },
        "spread": _spread(labels, clips),
        "scores": _scores(labels, clips, baselines),
        "worst_by": worst_by,
        **{key: _entries(labels, *group) for key, group in groups.items()},
    }
    write_json(folder / "report.json", found)
    with replacing(folder / "report.html") as file:
        file.write(page(found, _pictures(labels, groups, worst_by, values)).encode(errors="replace"))
    return found


def summary(found: dict[str, Any]) -> str:
    """The main numbers of a report as aligned lines for a terminal."""
    spread, scores, shares = found["spread"] or {}, found["scores"] or {}, found["shares"]
    beside = [f"{written(found[f'with_{what}'])} with {what.replace('_', ' ')}" for what in WITH]
    shown = {
        "file": f"{found['name']}: {found['scope']}",
        "samples": f"{found['samples']} a clip, {found['horizon']} steps of {written(found['dt'])} s",
        "clips": ", ".join(beside),
        "v0 from": _counts(found["v0_source"]),
        f"scenario ({found['scenario_source']})": _counts(found["buckets"]["scenario"]),
        **{QUANTITIES[key][0]: _range(found["distributions"][key]) for key in SUMMARISED},
        "standstill": f"{written(shares['steps_below_0.6_mps'], '%')} of steps below 0.6 m/s, "
        f"{written(shares['clips_starting_below_0.6_mps'], '%')} of clips start there",
        "reversing": f"{written(shares['samples_reversing'], '%')} of samples",
    }
    if found["with_route"]:
        shown["routes"] = ROUTES[found["route_source"]]
    if spread:
        apart = [f"{written(value)} at {seconds} s" for seconds, value in spread["from_mean"].items()]
        ends = [written(spread["pairwise_end_mean"]), written(spread["pairwise_end_max"])]
        side = written(spread["disagreeing_share"], "%")
        shown["spread [m]"] = ", ".join(apart)
        shown["ends apart [m]"] = f"mean {ends[0]}, largest {ends[1]}; {side} of clips disagree on left or right"
    if scores:
        ends = [written(scores["min_fde"]), written(scores["first_sample_fde"])]
        baselines = [f"{key.replace('_', ' ')} {written(entry['ade'])}" for key, entry in scores["baselines"].items()]
        shown["ADE [m]"] = ", ".join(f"{text} {written(scores[key])}" for key, text in ADE.items())
        shown["FDE [m]"] = f"least {ends[0]}, first sample {ends[1]}, {written(scores['miss_rate'], '%')} misses"
        shown["baselines' ADE [m]"] = ", ".join(baselines)
    width = max(len(key) for key in shown) + 2
    return "\n".join(f"{key:<{width}}{text}" for key, text in shown.items())


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{key} {count}" for key, count in counts.items() if count)


def _range(entry: dict[str, Any]) -> str:
    low, middle, high = (written(entry[key]) for key in ("p1", "p50", "p99"))
    return (
        f"{written(entry['mean'])} +- {written(entry['std'])} {entry['unit']}, median {middle}, p1..p99 {low} .. {high}"
    )


def _contents(labels: Labels, name: str, total: int | None) -> dict[str, Any]:
    """What the set is, counted."""
    n = len(labels)
    past, ahead, text = labels.history, labels.route, labels.text
    return {
        "format": FORMAT,
        "name": name,
        "scope": f"all {n} clips" if total in (None, n) else f"a random sample of {n} of {total} clips",
        "clips": n,
        "total": n if total is None else total,
        "samples": labels.teacher.shape[1],
        "horizon": labels.horizon,
        "dt": labels.dt,
        "distinct_clip_ids": len(np.unique(labels.clip_id)),
        "distinct_sources": len(np.unique(labels.source)),
        "with_ground_truth": 0 if labels.ground_truth is None else n,
        "with_history": 0 if past is None else int(past.isfinite().flatten(1).all(1).sum()),
        "with_route": 0 if ahead is None else int(ahead[:, 0].isfinite().all(1).sum()),
        "route_source": labels.route_source,
        "with_text": 0 if text is None else sum(bool(str(words).strip()) for words in text),
        "scenario_source": labels.scenario_source,
        "v0_source": dict(sorted(Counter(str(source) for source in labels.v0_source).items())),
    }


def _scenarios(labels: Labels) -> dict[str, int]:
    counts = {scenario.name: int((labels.scenario == scenario).sum()) for scenario in Scenario}
    return {**counts, "UNKNOWN": len(labels) - sum(counts.values())}


def _waymo(labels: Labels) -> dict[str, int]:
    buckets = waymo_bucket(labels.teacher[:, 0].double(), labels.v0.double())
    return dict(zip(WAYMO, torch.bincount(buckets, minlength=len(WAYMO)).tolist(), strict=True))


def _chunk(labels: Labels) -> int:
    """Clips whose samples are compared at once."""
    _, k, horizon, _ = labels.teacher.shape
    return max(1, PAIRS // (k * k * horizon))


def _actions(labels: Labels) -> Tensor:
    """(N, K, T, 2) in float64."""
    pairs = zip(labels.teacher.split(_chunk(labels)), labels.v0.double().split(_chunk(labels)), strict=True)
    parts = [label_actions(teacher.double(), v0[:, None].expand(teacher.shape[:2]), labels.dt) for teacher, v0 in pairs]
    return torch.cat(parts)


def _moving(labels: Labels) -> Tensor:
    """Whether the speed is above 2 m/s at both ends of a step: (N, K, T) bool."""
    fast = labels.teacher[..., 3] > MOVING
    start = (labels.v0 > MOVING)[:, None, None].expand(*fast.shape[:2], 1)
    return fast & torch.cat([start, fast[..., :-1]], -1)


def _motion(labels: Labels) -> tuple[dict[str, dict[str, Any]], dict[str, Tensor], Tensor]:
    """The distributions, some of the values of each, and the largest |curvature| above 2 m/s of each clip (N,)."""
    actions, moving = _actions(labels), _moving(labels)
    distributions, some = {}, {}
    for key, values in _values(labels, actions, moving):
        flat = values.flatten()
        some[key] = _some(flat)
        distributions[key] = {"unit": QUANTITIES[key][1], **_distribution(flat, some[key])}
    return distributions, some, torch.where(moving, actions[..., 1], 0.0).abs().flatten(1).amax(1)


def _values(labels: Labels, actions: Tensor, moving: Tensor) -> Iterator[tuple[str, Tensor]]:
    """All values of each distribution, one at a time; rates are differences of neighbouring actions."""
    acceleration, curvature = actions.unbind(-1)
    yield "v0", labels.v0.double()
    yield "speed", labels.teacher[..., 3].double()
    yield "acceleration", acceleration
    yield "curvature_moving", curvature[moving]
    yield "curvature", curvature
    yield "jerk", acceleration.diff(dim=-1) / labels.dt
    rate = curvature.diff(dim=-1) / labels.dt
    yield "curvature_rate_moving", rate[moving[..., 1:] & moving[..., :-1]]
    yield "curvature_rate", rate


def _some(flat: Tensor) -> Tensor:
    """At most a million of the values (n,), evenly spread."""
    if len(flat) <= SORTED:
        return flat
    # both ends included, so that the stride is no divisor of a trajectory's steps
    return flat[torch.linspace(0, len(flat) - 1, SORTED, dtype=torch.float64).long()]


def _distribution(flat: Tensor, some: Tensor) -> dict[str, float | int | None]:
    """Moments and extremes of all values (n,), percentiles of some of them."""
    names = ["mean", "std", "min", *(f"p{p}" for p in PERCENTILES), "max"]
    if not len(flat):
        return {"count": 0, **dict.fromkeys(names)}
    marks = torch.quantile(some, torch.tensor(PERCENTILES, dtype=some.dtype) / 100)
    numbers = [flat.mean(), flat.std(correction=0), flat.min(), *marks, flat.max()]
    return {"count": len(flat), **{name: _finite(number) for name, number in zip(names, numbers, strict=True)}}


def _per_clip(labels: Labels) -> dict[str, Tensor]:
    """How far samples are apart and from ground truth: tensors (N, ...) in float64, a chunk of clips at a time."""
    size = _chunk(labels)
    teacher = labels.teacher[..., :2].split(size)
    truth = [None] * len(teacher) if labels.ground_truth is None else labels.ground_truth[..., :2].split(size)
    parts = []
    for samples, driven in zip(teacher, truth, strict=True):
        found = _apart(samples.double(), labels.dt)
        if driven is not None:
            found.update(_off(samples.double(), driven.double(), found["medoid"], labels.dt))
        parts.append(found)
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _apart(samples: Tensor, dt: float) -> dict[str, Tensor]:
    """Of samples (n, K, T, 2): distance from their mean (n, T), between ends (n,), medoid (n,), disagreement (n,).

    The medoid is the sample with the least mean distance to the others, over all steps.
    """
    k, step = samples.shape[1], round(SIDE_SECONDS / dt)
    last = samples[..., -1, :]
    ends = distance(last.unsqueeze(2), last.unsqueeze(1)).flatten(1)
    found = {
        "from_mean": distance(samples, samples.mean(1, keepdim=True)).mean(1),
        "ends_mean": ends.sum(1) / (k * max(k - 1, 1)),
        "ends_max": ends.amax(1),
        "medoid": medoid(samples),
    }
    if step <= samples.shape[2]:
        y = samples[:, :, step - 1, 1]
        side = (y >= SIDE).int() - (y <= -SIDE).int()
        found["disagreeing"] = side.amax(1) != side.amin(1)
    return found


def _off(samples: Tensor, truth: Tensor, medoid: Tensor, dt: float) -> dict[str, Tensor]:
    """Errors of samples (n, K, T, 2) against truth (n, T, 2), metres: (n,), or (n, S) by SCORE_SECONDS."""
    errors = distance(samples, truth.unsqueeze(1))
    steps = _score_steps(samples.shape[2], dt).values()

    def by_time(select: str) -> Tensor:
        return torch.stack([min_ade(samples, truth, step, select) for step in steps], -1) if steps else errors[:, 0, :0]

    ade = errors.mean(-1)
    return {
        "min_ade": min_ade(samples, truth),
        "min_ade_by_t": by_time("full"),
        "min_ade_by_t_horizon": by_time("horizon"),
        "first_sample_ade": ade[:, 0],
        "mean_over_samples_ade": ade.mean(1),
        "medoid_ade": ade.gather(1, medoid[:, None])[:, 0],
        "first_sample_fde": errors[:, 0, -1],
        "min_fde": errors[..., -1].amin(1),
    }


def _score_steps(horizon: int, dt: float) -> dict[str, int]:
    """Seconds that minADE is also given at, as far as the horizon reaches: {"1.0": 10, ...}."""
    steps = {f"{seconds:.1f}": round(seconds / dt) for seconds in SCORE_SECONDS}
    return {seconds: step for seconds, step in steps.items() if 1 <= step <= horizon}


def _spread(labels: Labels, clips: dict[str, Tensor]) -> dict[str, Any] | None:
    """How much a clip's samples differ, metres; None for a single sample."""
    if labels.teacher.shape[1] == 1 or not len(labels):
        return None
    return {
        "from_mean": horizons(clips["from_mean"].mean(0), labels.dt),
        "pairwise_end_mean": _mean(clips["ends_mean"]),
        "pairwise_end_max": _finite(clips["ends_max"].max()),
        "disagreeing_share": _mean(clips["disagreeing"]) if "disagreeing" in clips else None,
    }


def _scores(labels: Labels, clips: dict[str, Tensor], baselines: dict[str, Tensor | str]) -> dict[str, Any] | None:
    """Errors against ground truth, metres; None without one."""
    if labels.ground_truth is None or not len(labels):
        return None
    seconds = list(_score_steps(labels.horizon, labels.dt))

    def by_time(name: str) -> dict[str, float | None]:
        return {key: _mean(column) for key, column in zip(seconds, clips[name].unbind(-1), strict=True)}

    return {
        "min_ade": _mean(clips["min_ade"]),
        "min_ade_by_t": by_time("min_ade_by_t"),
        "min_ade_by_t_horizon": by_time("min_ade_by_t_horizon"),
        **{name: _mean(clips[name]) for name in list(ADE)[1:]},
        "first_sample_fde": _mean(clips["first_sample_fde"]),
        "min_fde": _mean(clips["min_fde"]),
        "miss_rate": _mean(clips["min_fde"] > MISS),
        "baselines": _baselines(baselines, labels.ground_truth.double()),
    }


def _baselines(baselines: dict[str, Tensor | str], truth: Tensor) -> dict[str, dict[str, float | int | None]]:
    """ADE and FDE of each over the clips that have what it needs; None where none."""
    found = {}
    for name, predicted in baselines.items():
        errors = truth.new_zeros(0, truth.shape[1]) if isinstance(predicted, str) else distance(predicted, truth)
        errors = errors[~errors.isnan().any(-1)]
        found[name] = {"ade": _mean(errors.mean(-1)), "fde": _mean(errors[:, -1]), "clips": len(errors)}
    return found


def _finite(number: Tensor) -> float | None:
    return float(number) if bool(number.isfinite()) else None


def _mean(values: Tensor) -> float | None:
    """Mean of numbers or of yes and no; None of nothing."""
    return _finite(values.double().mean())


def _groups(badness: Tensor, apart: Tensor, several: bool, seed: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Indices and values, each (up to 8,), of the clips in each list; disagreeing is empty for a single sample."""
    worst, differing = (values.argsort(descending=True, stable=True) for values in (badness, apart))
    drawn = torch.randperm(len(badness), generator=torch.Generator().manual_seed(seed))
    chosen = {
        "worst": (worst[:LISTED], badness),
        "disagreeing": (differing[: LISTED if several else 0], apart),
        "random": (drawn[:LISTED], badness),
    }
    return {name: (index, values[index]) for name, (index, values) in chosen.items()}


def _entries(labels: Labels, index: Tensor, values: Tensor) -> list[dict[str, Any]]:
    """One object a clip, its text cut to 200 characters."""
    return [
        {
            "clip_id": str(labels.clip_id[i]),
            "t0_us": int(labels.t0_us[i]),
            "text": None
            if labels.text is None
            else _cut(" / ".join(dict.fromkeys(np.atleast_1d(labels.text[i]))), TEXT),
            "value": _finite(value),
        }
        for i, value in zip(index.tolist(), values, strict=True)
    ]


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _pictures(
    labels: Labels, groups: dict[str, tuple[Tensor, Tensor]], worst_by: str, values: dict[str, Tensor]
) -> dict[str, str]:
    """PNG pictures in base64: one of each list of clips that is not empty, and histograms."""
    from alpamayo_toy.views import figures

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        for name, (index, numbers) in groups.items():
            if not len(index):
                continue
            text, unit = VALUES["ends_mean" if name == "disagreeing" else worst_by]
            shown = labels.select(index)
            titles = [
                f"{_plain(str(clip))}\n{text} {written(float(value))} {unit}"
                for clip, value in zip(shown.clip_id, numbers, strict=True)
            ]
            figures.birds_eye(
                path, titles, shown.teacher[:, :DRAWN_SAMPLES], None, ends=True, ground_truth=shown.ground_truth
            )
            found[name] = base64.b64encode(path.read_bytes()).decode()
        figures.histograms(path, {"{} [{}]".format(*QUANTITIES[name]): values[name] for name in HISTOGRAMS})
        found["histograms"] = base64.b64encode(path.read_bytes()).decode()
    return found


def _plain(clip_id: str) -> str:
    """A clip id short enough for a title, in letters that every font has."""
    letters = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in clip_id)
    return letters if len(letters) <= 24 else f"{letters[:12]}...{letters[-9:]}"
