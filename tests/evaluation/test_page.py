"""The page of an evaluation against metrics.json: every number exact, every word escaped, nothing from outside."""

import base64
import copy
import math
import re
from typing import Any

import pytest
from jinja2 import UndefinedError
from pages import HOSTILE, Page, numbers

from alpamayo_toy.evaluation.page import page
from alpamayo_toy.metrics.comfort import LIMITS
from alpamayo_toy.views.web_page import About

SINGLE = {
    "student": 1.873,
    "stationary": 24.31,
    "constant_velocity": 2.734,
    "constant_turn_rate": 2.412,
    "constant_acceleration": 3.051,
    "hold_last_action": 2.877,
    "decaying_hold": 2.203,
    "ridge": 2.085,
}
TEACHERS_OWN = {"teacher_first_sample": 1.777, "teacher_medoid": 1.402, "teacher_mean": 1.355}
HISTORY = [name for name in SINGLE if name not in ("student", "stationary", "constant_velocity")]
ROUNDING = 0.0123456789  # so that no number of the file is one that is easily written
CLIPS = 57


def estimate(mean: float, units: int = CLIPS, clips: int = CLIPS) -> dict[str, Any]:
    enough = units >= 20
    low, high = (mean - 0.13, mean + 0.151) if enough else (None, None)
    return {"mean": mean, "low": low, "high": high, "units": units, "clips": clips}


def plain(mean: float | None, clips: int = CLIPS) -> dict[str, Any]:
    return {"mean": mean, "clips": clips}


def of_one(ade: float, units: int) -> dict[str, Any]:
    ade += ROUNDING
    return {
        "ade": estimate(ade, units),
        **{f"fde_{s:.1f}": plain(ade * s**1.6 / 8) for s in (1, 2, 3, 4, 5)},
        "fde": estimate(2.6 * ade, units),
        "miss": plain(1 - math.exp(-ade)),
        "waymo_miss_3.0": plain(1 - math.exp(-ade / 2)),
        "waymo_miss_5.0": plain(1 - math.exp(-ade / 1.5), CLIPS - 1),
        "heading_error": plain(ade / 40),
        "speed_error": plain(ade / 2.3),
        "final_longitudinal_error": plain(2.2 * ade),
        "final_lateral_error": plain(0.8 * ade),
        "corner_distance": plain(1.02 * ade),
    }


def of_several(ade: float, units: int) -> dict[str, Any]:
    ade += ROUNDING
    seconds = (0.5, 1.0, 3.0, 5.0)
    return {
        "min_ade": estimate(ade, units),
        **{f"min_ade_{s:.1f}": plain(ade * (s / 6.4) ** 1.5) for s in seconds},
        **{f"min_ade_horizon_{s:.1f}": plain(0.8 * ade * (s / 6.4) ** 1.5) for s in seconds},
        "min_fde": estimate(2 * ade, units),
        "miss": plain(0.6 * ade),
        "waymo_miss_3.0": plain(0.3 * ade),
        "waymo_miss_5.0": plain(0.4 * ade),
        "corner_distance": plain(0.9 * ade),
        "spread": plain(2.1 * ade),
        "energy_score": plain(1.2 * ade),
    }


def passed(worst: float) -> dict[str, float]:
    return {name: worst + (1 - worst) * i / len(LIMITS) for i, name in enumerate([*LIMITS, "all"][::-1])}


def distribution(units: int) -> dict[str, Any]:
    """Of a student of six modes with a spread."""
    both = {"1.0": 0.0611, "3.0": 0.6123, "6.4": 2.7031}
    return {
        "energy": {"student": estimate(1.2345, units), "teacher": estimate(0.8219, units)},
        "min_ade_of_likeliest": {str(k): 1.9 - 0.1234 * k for k in range(1, 7)},
        "manoeuvres": {
            "student": {"STRAIGHT": 0.61, "LEFT": 0.39},
            "teacher": {"STRAIGHT": 0.52, "LEFT": 0.48},
            "total_variation": 0.0912,
            "teacher_total_variation": None,
        },
        "calibration_error": 0.0231,
        "regions": {"0.5": 0.4711, "0.9": 0.8123},
        "comfort": {"student": 0.9712, "teacher": 0.9523},
        "jerk_p95": {"student": 1.7123, "teacher": 2.1034},
        "spread": {"student": both, "teacher": both},
        "modes": 6,
        "samples": 64,
        "crowd": {
            "clips": 57,
            "drivers": 512,
            "nobody_drives_there": {"samples": 0.2211, "modes": 0.0812, "teacher": 0.0103},
            "min_ade": {"modes": 1.4661, "six_medoids_of_the_teacher": 1.3262},
        },
    }


def metrics_of(clips: int = CLIPS, units: int = CLIPS, history: bool = True, truth: bool = True) -> dict[str, Any]:
    """What scripts/eval.py writes of a student on a file of so many clips."""
    single = {name: ade for name, ade in SINGLE.items() if history or name not in HISTORY}
    teacher = {name: of_one(ade, units) for name, ade in single.items()}
    teacher["floor"] = {"ade": estimate(1.31, units), "fde": estimate(3.11, units)}
    driven = {name: of_one(1.07 * ade, units) for name, ade in (single | TEACHERS_OWN).items()}
    driven["teacher_each_sample"] = {"ade": estimate(1.70951, units), "fde": estimate(4.13, units)}
    driven["teacher_samples"] = of_several(0.85569, units)
    if history:
        teacher["six_residuals"] = of_several(1.21, units)
        driven["six_residuals"] = of_several(1.33, units)
    scores = {"teacher": teacher, **({"ground_truth": driven} if truth else {})}
    paired: dict[str, Any] = {target: {} for target in scores}
    for target, rows in scores.items():
        for name, row in rows.items():
            if name != "student" and "ade" in row:
                found = estimate(rows["student"]["ade"]["mean"] - row["ade"]["mean"], units)
                decided = None if found["low"] is None else not found["low"] <= 0 <= found["high"]
                paired[target][name] = {**found, "decided": decided}
    ade = {name: row["ade"]["mean"] for name, row in scores[list(scores)[-1]].items() if "ade" in row}

    def group(count: int, factor: float) -> dict[str, Any]:
        return {"clips": count, "ade": {name: factor * value for name, value in ade.items()}}

    needs = "needs a history, which these labels do not have"
    return {
        "command": "eval",
        "scenario": "FILE",
        "teacher": "alpamayo_results.json",
        "seed": 0,
        "clips": clips,
        "samples": 6,
        "horizon": 64,
        "dt": 0.1,
        "split": "clip",
        "route_source": "recorded",
        "integrator": "trapezoid",
        "units": {"count": units, "kind": "30 s blocks of drives"},
        "scores": scores,
        "not_available": {} if history else {**dict.fromkeys(HISTORY, needs), "six_residuals": "needs training labels"},
        "paired": paired,
        "breakdown_against": list(scores)[-1],
        "breakdown": {
            "scenario": {"STRAIGHT": group(31, 0.8), "LEFT": group(15, 1.2), "STOP": group(11, 0.6123)},
            "waymo": {"STRAIGHT": group(40, 0.91), "LEFT_TURN": group(17, 1.31)},
            "phase": {"before": group(20, 0.9), "in": group(25, 1.1), "after": group(12, 1.01)},
            "v0": {"below 0.6 m/s": group(3, 0.2), "0.6 to 5 m/s": group(20, 0.9), "15 m/s and more": group(34, 1.4)},
        },
        "quality": {
            "student": {
                "comfort_actions": passed(0.91228),
                "comfort_positions": passed(0.9474),
                "feasible": {"within_bounds": 1.0, "speed_non_negative": None, "no_teleport": 0.98245},
            },
            "teacher_first_sample": {"comfort_positions": passed(0.8771)},
            "ground_truth": {"comfort_positions": passed(0.89473)},
        },
        **{
            name: [
                {
                    "clip_id": f"{i:04d}e1d0-7b3a-4f52-9c1e-{i:012d}",
                    "t0_us": 5_100_000 + i,
                    "scenario": ("STRAIGHT", "LEFT", "STOP")[i % 3],
                    "v0": 0.3 + 1.37 * i,
                    "ade": 9.123 - 0.4567 * i,
                    "above_floor": 5.123 - 0.4567 * i,
                }
                for i in range(count)
            ]
            for name, count in (("worst", 8), ("typical", 4))
        },
        "ade_over_floor": 1.429771,
        "excess_over_floor": 1.02236,
        "energy_over_teacher": 1.5021,
        "distribution": distribution(units),
        "floor": {"kind": "leave_one_out_median"},
    }


def expected(metrics: dict[str, Any]) -> dict[str, str]:
    """The numbers that the page must show; clips and units of a row stand once."""
    shown = {key: value for key, value in numbers(metrics).items() if value not in ("True", "False")}
    rates = re.compile(r"scores\..*\.(waymo_miss_\d\.\d|miss)\.clips")
    once = re.compile(r"scores\..*\.(clips|units)")
    return {key: value for key, value in shown.items() if not once.fullmatch(key) or rates.fullmatch(key)}


@pytest.mark.parametrize("units", [CLIPS, 9])
@pytest.mark.parametrize("history", [True, False])
@pytest.mark.parametrize("truth", [True, False])
def test_the_page_shows_the_numbers_of_the_json_exactly(units: int, history: bool, truth: bool) -> None:
    metrics = metrics_of(units=units, history=history, truth=truth)
    shown, everything, must = Page(page(metrics, {})).numbers, numbers(metrics), expected(metrics)
    assert shown.items() <= everything.items()
    assert must.keys() <= shown.keys()
    for target in metrics["scores"]:
        assert shown[f"scores.{target}.student.ade.clips"] == str(CLIPS)


def test_a_row_reads_as_mean_and_interval() -> None:
    text = cells(page(metrics_of(), {}))
    assert "student 1.885 [1.755, 2.036] 4.902 [4.772, 5.053] 57 57" in text
    assert "six residuals 1.222 [1.092, 1.373]" in text
    assert "teacher each sample 1.710" in text


def test_pairs_read_as_sentences() -> None:
    metrics = metrics_of()
    metrics["paired"]["teacher"] = {
        "ridge": {**estimate(-0.212), "low": -0.37, "high": -0.05, "decided": True},
        "stationary": {**estimate(-0.1), "low": -0.2502, "high": 0.0497, "decided": False},
        "floor": {**estimate(0.5625), "low": 0.4, "high": 0.7, "decided": True},
        "decaying_hold": {**estimate(0.4, units=12), "decided": None},
    }
    text = cells(page(metrics, {}))
    assert "0.212 [0.050, 0.370] better ridge decided" in text
    assert "0.100 [-0.050, 0.250] better stationary not resolved" in text
    assert "0.562 [0.400, 0.700] worse floor decided" in text
    assert "0.400 too few worse decaying hold too few for an interval" in text


def test_nobody_is_better_than_the_floor_and_decidedly_so() -> None:
    metrics = metrics_of()
    metrics["paired"]["teacher"] = {"floor": {**estimate(-0.01), "low": -0.02, "high": -0.005, "decided": True}}
    assert "0.010 [0.005, 0.020] better floor the floor is an estimate" in cells(page(metrics, {}))


def test_a_page_has_a_list_of_contents_its_run_and_its_options() -> None:
    about = About("outputs/train/LEFT/wide", "2026-11-22 10:00", {"optimizer": {"lr": 0.005}, "seed": 3})
    text = page(metrics_of(), {}, about)
    shown = Page(text)
    assert shown.inside == shown.places != []
    assert len(shown.places) == text.count("<h2")
    assert "outputs/train/LEFT/wide, scored 2026-11-22 10:00" in cells(text)
    assert "optimizer.lr 0.005 seed 3" in cells(text)
    assert not re.search(r"<th(?! scope=)[ >]", text)


def test_the_best_row_compares_over_the_students_clips() -> None:
    metrics = metrics_of(truth=False)
    best = r'<th scope="row" class="([^"]*best)">([^<]*)'
    assert re.findall(best, page(metrics, {})) == [("student best", "student")]
    rows = metrics["scores"]["teacher"]
    rows["ridge"]["ade"] |= {"mean": 1.5}
    rows["decaying_hold"]["ade"] |= {"mean": 0.1, "clips": 3}  # few clips, perhaps the easy ones
    rows["constant_velocity"]["ade"] |= {"mean": None}
    assert re.findall(best, page(metrics, {})) == [("best", "ridge")]


def test_too_few_units_and_missing_predictors_are_told() -> None:
    text = cells(page(metrics_of(units=9, history=False), {}))
    assert "9 independent units (30 s blocks of drives) are too few for an interval" in text
    assert "student 1.885 too few 4.902 too few 57 9" in text
    assert "n/a: needs a history, which these labels do not have" in text
    assert "n/a: needs training labels" in text
    assert text.count("hold last action") == 2  # in the headline of each target
    assert "too few for an interval (" not in cells(page(metrics_of(), {}))


def test_every_share_stands_beside_its_clips_and_without_an_interval() -> None:
    text = cells(page(metrics_of(), {}))
    shares = re.findall(
        r"\d+\.\d %( \d+ clips)?", text[text.index("misses, share of clips") : text.index("ADE by group")]
    )
    assert len(shares) > 30
    assert all(shares)
    assert "Comfortable, share of 57 clips" in text
    assert "longitudinal acceleration at least -4.05 m/s²" in text
    assert "longitudinal acceleration at most 2.40 m/s²" in text


def test_what_is_not_there_is_a_dash_and_never_nan() -> None:
    metrics = metrics_of(truth=False)
    metrics["ade_over_floor"] = metrics["excess_over_floor"] = None
    rows = metrics["scores"]["teacher"]
    rows["ridge"]["ade"] = {"mean": None, "low": None, "high": None, "units": 0, "clips": 0}
    rows["ridge"]["corner_distance"] = plain(math.nan, 0)
    metrics["breakdown"]["v0"]["below 0.6 m/s"]["ade"]["ridge"] = None
    metrics["paired"]["teacher"]["ridge"] |= {"mean": None, "low": None, "high": None, "units": 0, "decided": None}
    del metrics["paired"]["teacher"]["floor"]
    text = page(metrics, {})
    assert "times the floor" not in text
    assert not re.search(r"\b(nan|none|inf)\b", cells(text), re.IGNORECASE)
    assert "ridge - too few 5.453" in cells(text)


def test_the_page_opens_offline_and_escapes_every_string() -> None:
    metrics = metrics_of()
    hostile = "<script src='http://a'>alert(1)</script>\"&"
    metrics["worst"][0] |= {"clip_id": hostile, "scenario": hostile}
    metrics["teacher"] = metrics["split"] = metrics["integrator"] = metrics["units"]["kind"] = hostile
    metrics["floor"]["kind"] = metrics["not_available"][hostile] = hostile
    for groups in metrics["breakdown"].values():
        groups[hostile] = copy.deepcopy(next(iter(groups.values())))
    for name in ("scores", "paired"):
        metrics[name]["teacher"][hostile] = copy.deepcopy(metrics[name]["teacher"]["ridge"])
    metrics["quality"][hostile] = metrics["quality"]["student"]
    picture = base64.b64encode(b"\x89PNG").decode()
    text = page(metrics, dict.fromkeys(("horizon", "worst", "profiles"), picture))
    shown = Page(text)
    assert not shown.tags & {"script", "link", "iframe"}
    assert shown.addresses == [f"data:image/png;base64,{picture}"] * 3
    assert not re.search(r"url\(|@import", text)
    assert shown.words.count("alert(1)") > 8
    assert shown.numbers.items() <= numbers(metrics).items()
    assert Page(page(metrics, {})).addresses == []


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_shown_as_it_is_and_never_read_as_html_or_as_template(text: str) -> None:
    metrics = metrics_of()
    tags = Page(page(metrics, {})).tags
    metrics["teacher"], metrics["units"]["kind"] = f"teacher {text}", f"units {text}"
    metrics["worst"][0] |= {"clip_id": f"clip {text}", "scenario": f"scenario {text}"}
    shown = Page(page(metrics, {}))
    assert shown.tags == tags
    for named in ("Student evaluated on teacher", "units", "clip", "scenario"):
        assert f"{named} {text}" in shown.words


@pytest.mark.parametrize(
    "place",
    [("split",), ("ade_over_floor",), ("units", "kind"), ("worst", 0, "v0"), ("scores", "teacher", "ridge", "fde")],
)
def test_what_the_page_needs_and_does_not_find_stops_it(place: tuple[str | int, ...]) -> None:
    metrics = metrics_of()
    found: Any = metrics
    for part in place[:-1]:
        found = found[part]
    del found[place[-1]]
    with pytest.raises(UndefinedError, match=str(place[-1])):
        page(metrics, {})


def test_the_title_says_what_was_evaluated_on_what() -> None:
    assert "<h1>Student evaluated on alpamayo_results.json</h1>" in page(metrics_of(), {})
    synthetic = metrics_of(truth=False) | {"scenario": "LEFT", "teacher": "synthetic"}
    assert "<h1>Student evaluated on scenario LEFT, synthetic teacher</h1>" in page(synthetic, {})


def cells(text: str) -> str:
    """The words of a page as they are read, one space between cells."""
    body = text[text.index("</nav>") :].replace("</td>", " ").replace("</th>", " ").replace("</caption>", " ")
    return re.sub(r"\s+", " ", Page(body).words)
