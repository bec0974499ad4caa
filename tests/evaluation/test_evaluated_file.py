"""What is said of a student that is scored on a file: every number a second time, out of its own predictions."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from places import DATA
from taught import built, stirred

from alpamayo_toy import ActionSpace, Labels, load_labels
from alpamayo_toy.evaluation.distribution import leave_one_out
from alpamayo_toy.evaluation.evaluate import Evaluation, evaluate, scores, yardsticks
from alpamayo_toy.evaluation.reference import Reference, file_reference
from alpamayo_toy.metrics.displacement import distance
from alpamayo_toy.metrics.distribution import medoid
from alpamayo_toy.students.config import StudentConfig


def clips() -> Labels:
    """24 windows of two drives, a second apart, and of each what was driven: 1 m beside the second sample."""
    labels = load_labels(DATA / "labels.npz")
    truth = labels.teacher[:, 1].clone()
    truth[..., 1] += 1
    scenario = labels.scenario.clone()
    scenario[0] = -1
    drives, seconds = np.repeat(["a", "b"], 12), torch.arange(12).repeat(2)
    return replace(labels, clip_id=drives, t0_us=seconds * 1_000_000, ground_truth=truth, scenario=scenario)


@pytest.fixture(scope="module")
def reference() -> Reference:
    return file_reference(clips(), True, "clip", None)


@pytest.fixture(scope="module")
def found(reference: Reference) -> Evaluation:
    return evaluate(stirred(built(labels=reference.labels)), reference)


def test_scores_are_the_means_of_distances(reference: Reference, found: Evaluation) -> None:
    mine, labels, said = found.prediction.trajectories, reference.labels, found.metrics["scores"]
    assert labels.ground_truth is not None
    truth = labels.ground_truth.float().unsqueeze(1)
    theirs, first = distance(mine, labels.teacher).mean(1), distance(mine, truth)[:, 0]
    assert said["teacher"]["student"]["ade"]["mean"] == pytest.approx(float(theirs.mean()), rel=1e-5)
    assert said["ground_truth"]["student"]["ade"]["mean"] == pytest.approx(float(first.mean()), rel=1e-5)
    assert said["ground_truth"]["student"]["fde"]["mean"] == pytest.approx(float(first[:, -1].mean()), rel=1e-5)
    each = distance(labels.teacher, truth).mean(-1)
    rows = torch.arange(24)
    own = {"first_sample": each[:, 0], "medoid": each[rows, medoid(labels.teacher)], "each_sample": each.mean(1)}
    for name, errors in own.items():
        ade = said["ground_truth"][f"teacher_{name}"]["ade"]["mean"]
        assert ade == pytest.approx(float(errors.mean()), rel=1e-5), name
    best = said["ground_truth"]["teacher_samples"]["min_ade"]["mean"]
    assert best == pytest.approx(float(each.amin(1).mean()), rel=1e-5)
    mean = distance(labels.teacher.mean(1, keepdim=True), truth).mean()
    assert said["ground_truth"]["teacher_mean"]["ade"]["mean"] == pytest.approx(float(mean), rel=1e-4)
    floor = float(reference.floor.mean())
    assert found.metrics["ade_over_floor"] == pytest.approx(float(theirs.mean()) / floor, rel=1e-5)
    excess = float(distance(mine[:, 0], reference.center).mean())
    assert found.metrics["excess"] == pytest.approx(excess, rel=1e-5)
    assert found.metrics["excess_over_floor"] == pytest.approx(excess / floor, rel=1e-5)


def test_a_pair_is_the_student_less_the_other_one(found: Evaluation) -> None:
    for target, rows in found.metrics["paired"].items():
        scores = found.metrics["scores"][target]
        for name in ("stationary", "constant_velocity"):
            less = scores["student"]["ade"]["mean"] - scores[name]["ade"]["mean"]
            assert rows[name]["mean"] == pytest.approx(less, abs=1e-6)
            assert rows[name]["decided"] is None  # of two blocks nobody can say
    assert found.metrics["units"] == {"count": 2, "kind": "30 s blocks of drives"}


def test_the_teachers_own_energy_is_that_of_each_sample_against_the_others(
    reference: Reference, found: Evaluation
) -> None:
    energy = found.metrics["distribution"]["energy"]
    assert energy["teacher"]["mean"] == pytest.approx(float(leave_one_out(reference.labels.teacher).mean()), rel=1e-5)
    times = energy["student"]["mean"] / energy["teacher"]["mean"]
    assert found.metrics["energy_over_teacher"] == pytest.approx(times)


def test_the_worst_are_furthest_above_the_floor_and_the_typical_ones_in_the_middle(
    reference: Reference, found: Evaluation
) -> None:
    above = torch.tensor(found.clips["teacher.student.ade"]) - reference.floor.mean(-1)
    order = above.argsort(descending=True)
    driven = found.clips["ground_truth.student.ade"]
    for name, rows in (("worst", order[:8]), ("typical", order[10:14])):
        entries = found.metrics[name]
        keys = [(reference.labels.clip_id[i], int(reference.labels.t0_us[i])) for i in rows]
        assert [(entry["clip_id"], entry["t0_us"]) for entry in entries] == keys
        assert [entry["ade"] for entry in entries] == pytest.approx([driven[i] for i in rows], rel=1e-5)
        assert [entry["above_floor"] for entry in entries] == pytest.approx(above[rows].tolist(), rel=1e-4)
        assert [entry["v0"] for entry in entries] == pytest.approx(reference.scene.v0[rows].tolist())


@pytest.mark.parametrize(("n", "worst", "typical"), [(1, 1, 0), (5, 2, 3), (11, 4, 4), (24, 8, 4)])
def test_of_a_few_clips_none_is_among_the_worst_and_typical(n: int, worst: int, typical: int) -> None:
    labels = clips().select(torch.arange(n))
    metrics = evaluate(stirred(built(labels=clips())), file_reference(labels, True, "clip", None)).metrics
    places = [[(clip["clip_id"], clip["t0_us"]) for clip in metrics[name]] for name in ("worst", "typical")]
    assert [len(each) for each in places] == [worst, typical]
    assert not set(places[0]) & set(places[1])


def test_what_is_said_of_the_labels_is_theirs(reference: Reference, found: Evaluation) -> None:
    metrics, labels = found.metrics, reference.labels
    assert metrics["breakdown_against"] == "ground_truth"
    assert sum(group["clips"] for group in metrics["breakdown"]["scenario"].values()) == 24
    assert metrics["breakdown"]["scenario"]["UNKNOWN"]["clips"] == 1
    (alone,) = (group for name, group in metrics["breakdown"]["scenario"].items() if name == "UNKNOWN")
    assert alone["ade"]["student"] == pytest.approx(found.clips["ground_truth.student.ade"][0], rel=1e-5)
    assert metrics["action_std"]["labels"] == pytest.approx(ActionSpace.fit(labels).std.tolist())
    assert metrics["horizon_errors"]["seconds"] == pytest.approx([0.1 * i for i in range(1, 65)])
    assert metrics["scenario_source"] == "file"
    assert sum(metrics["v0_sources"].values()) == 24
    assert metrics["not_available"]["six_residuals"] == "needs a history, which these labels do not have"
    student = stirred(built(labels=labels.with_teacher(labels.teacher * 0.5)))  # its own statistics are others
    blind = replace(reference, scene=replace(reference.scene, scenario=torch.full((24,), -1)))
    few = replace(blind, labels=replace(labels, scenario_source="future"))
    other = evaluate(student, few).metrics
    assert other["scenario_source"] == "unknown"
    assert other["action_std"]["labels"] == metrics["action_std"]["labels"] != other["action_std"]["student"]
    assert other["action_std"]["student"] == student.action_space.std.tolist()


def test_a_baseline_that_leaves_a_clip_out_has_its_scores_but_no_place_among_the_baselines() -> None:
    """Its mean is of other clips than the student's."""
    v0 = clips().v0.float()
    history = torch.zeros(24, 16, 4)
    history[..., 0] = v0[:, None] * torch.linspace(-1.5, 0, 16)
    history[..., 3] = v0[:, None]
    student = stirred(built(labels=replace(clips(), history=history)))
    for there in (True, False):
        history[0] = history[0] if there else torch.nan
        labels = replace(clips(), history=history)
        metrics = evaluate(student, file_reference(labels, True, "clip", None)).metrics
        assert metrics["scores"]["teacher"]["hold_last_action"]["ade"]["clips"] == (24 if there else 23)
        assert ("hold_last_action" in metrics["baselines"]) == there
        assert ("hold_last_action" in metrics["horizon_errors"]["teacher"]) == there
        assert "constant_velocity" in metrics["baselines"]


def test_of_one_sample_there_is_no_floor_and_nothing_above_it() -> None:
    labels = clips()
    reference = file_reference(labels.with_teacher(labels.teacher[:, :1]), True, "clip", None)
    metrics = evaluate(stirred(built(labels=reference.labels)), reference).metrics
    for name in ("excess", "ade_over_floor", "excess_over_floor", "energy_over_teacher"):
        assert metrics[name] is None
    assert {clip["above_floor"] for clip in metrics["worst"]} == {None}
    assert "floor" not in metrics["scores"]["teacher"]
    assert metrics["distribution"]["energy"]["teacher"] is None
    assert "floor" not in yardsticks(reference)


def test_several_modes_stand_beside_six_anchors_or_it_is_said_why_not(reference: Reference) -> None:
    student = stirred(built(StudentConfig(modes=3), reference.labels))
    without, having = (evaluate(student, replace(reference, training=given)) for given in (None, clips()))
    assert without.metrics["not_available"]["six_anchors"] == "needs training labels, and none are given"
    assert having.prediction.trajectories.shape[1] == 3
    scores = having.metrics["scores"]["teacher"]
    assert {"student_modes", "six_anchors"} <= set(scores)
    best = distance(having.prediction.trajectories.unsqueeze(2), reference.labels.teacher.unsqueeze(1)).mean(-1)
    modes = float(best.amin(1).mean())
    assert scores["student_modes"]["min_ade"]["mean"] == pytest.approx(modes, rel=1e-4)
    p = having.prediction.probabilities  # as modes that stand for themselves
    assert float(p.amax(1).min()) > 0.34
    among = distance(having.prediction.trajectories.unsqueeze(2), having.prediction.trajectories.unsqueeze(1)).mean(-1)
    energy = (p * best.mean(2)).sum(1) - (p[:, :, None] * p[:, None] * among).sum((1, 2)) / 2
    assert scores["student_modes"]["energy_score"]["mean"] == pytest.approx(float(energy.mean()), rel=1e-4)


def test_what_is_watched_is_what_is_said_in_the_end(reference: Reference, found: Evaluation) -> None:
    watched = scores(stirred(built(labels=reference.labels)), reference)
    said = found.metrics["scores"]["teacher"]["student"]
    ends = {name: said[name]["mean"] for name in ("ade", "fde")}
    ratios = {name: found.metrics[name] for name in ("ade_over_floor", "excess_over_floor")}
    assert watched == pytest.approx(ends | ratios, rel=1e-5)
    student = stirred(built(StudentConfig(modes=3), reference.labels))
    several, modes = scores(student, reference), evaluate(student, reference).metrics
    least = modes["scores"]["teacher"]["student_modes"]["min_ade"]["mean"]
    energy = modes["distribution"]["energy"]["student"]["mean"]
    assert (several["min_ade"], several["energy"]) == pytest.approx((least, energy), rel=1e-4)
    yard = yardsticks(reference)
    rows = found.metrics["scores"]["teacher"]
    best = min(rows["stationary"]["ade"]["mean"], rows["constant_velocity"]["ade"]["mean"])
    assert yard == pytest.approx({"floor": float(reference.floor.mean()), "constant_velocity": best}, rel=1e-5)
