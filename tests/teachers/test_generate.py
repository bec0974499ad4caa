"""Labels made by running a teacher: the synthetic one, a stand-in for NVIDIA's model, and what a killed run leaves."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from places import Command
from stand_in import CLIPS, Recorded
from written import driven

from alpamayo_toy import load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.teachers import generate
from alpamayo_toy.teachers.generate import by_model, listed, synthetic
from alpamayo_toy.teachers.synthetic import SyntheticTeacher


def test_a_models_answers_become_a_set(tmp_path: Path) -> None:
    model = Recorded()
    made = by_model(model, "Recorded", CLIPS, 2, 0, tmp_path / "set", (1, 1))
    labels = load_labels(tmp_path / "set")
    assert made is not None
    assert len(made) == 4
    assert list(labels.clip_id) == [name for name, _ in CLIPS]
    assert labels.t0_us.tolist() == [t0 for _, t0 in CLIPS]
    assert labels.teacher.shape == (4, 2, 64, 4)
    assert np.abs(labels.teacher[..., :2].numpy() - driven()[0][:, :2, :, :2]).max() < 1e-5
    assert labels.ground_truth is not None
    assert labels.history is not None
    assert labels.text is not None
    assert list(labels.text) == ["text 0", "text 1", "text 2", "text 3"]
    (source,) = made.facts["sources"]
    assert {**source, "list": ""} == {"name": "Recorded", "seed": 0, "samples": 2, "list": "", "clips": 4, "kept": 4}


def test_what_a_stopped_run_has_asked_is_not_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "MODEL_CLIPS", 1)
    with pytest.raises(KeyboardInterrupt):
        by_model(Recorded(fails_at=3), "Recorded", CLIPS, 2, 0, tmp_path / "set", (1, 1))
    model = Recorded()
    by_model(model, "Recorded", CLIPS, 2, 0, tmp_path / "set", (1, 1))
    assert model.asked == ["clip-3"]
    with pytest.raises(KeyboardInterrupt):
        by_model(Recorded(fails_at=3), "Recorded", CLIPS, 2, 0, tmp_path / "other", (1, 1))
    anew = Recorded()
    by_model(anew, "Recorded", CLIPS, 2, 7, tmp_path / "other", (1, 1))  # of another seed all are asked again
    assert anew.asked == ["clip-0", "clip-1", "clip-2", "clip-3"]
    by_model(Recorded(), "Recorded", CLIPS, 2, 0, tmp_path / "whole", (1, 1))
    files = [sorted(p.relative_to(f) for p in f.rglob("*")) for f in (tmp_path / "set", tmp_path / "whole")]
    assert files[0] == files[1]
    assert (tmp_path / "set" / "labels.json").read_bytes() == (tmp_path / "whole" / "labels.json").read_bytes()


class Failing(Recorded):
    """Answers NaN for one clip and raises at another."""

    def predict(self, clip_id: str, t0_us: int, samples: int, seed: int) -> dict[str, Any]:
        answer = super().predict(clip_id, t0_us, samples, seed)
        if clip_id == "clip-1":
            answer["pred_xyz"][..., 5, 0] = torch.nan
        if clip_id == "clip-2":
            raise RuntimeError("CUDA out of memory")
        return answer


def test_a_clip_that_the_model_fails_at_is_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):  # the second run asks for the two again
        made = by_model(Failing(), "Failing", CLIPS, 2, 0, tmp_path / "set", (1, 1))
        assert made is not None
        assert made.facts["dropped"] == {"failed": 2}
        assert [(source["clips"], source["kept"]) for source in made.facts["sources"]] == [(4, 2)]
    said = capsys.readouterr().err
    assert "left out: Failing: teacher of clip clip-1 holds NaN" in said
    assert "left out: Failing: clip clip-2 at t0 5100002 us: RuntimeError: CUDA out of memory" in said
    assert list(load_labels(tmp_path / "set").clip_id) == ["clip-0", "clip-3"]
    monkeypatch.setattr(generate, "MODEL_CLIPS", 1)
    with pytest.raises(UserError, match="CUDA out of memory"):
        by_model(Failing(), "Failing", CLIPS[2:3], 2, 0, tmp_path / "none", (1, 1))
    assert len(by_model(Failing(), "Failing", CLIPS[2:], 2, 0, tmp_path / "none", (1, 1)) or []) == 1
    with pytest.raises(UserError, match="is a set of other clips"):
        by_model(Recorded(), "Recorded", CLIPS, 2, 0, tmp_path / "set", (1, 1))


def test_a_model_without_a_recording_is_one_line(tmp_path: Path) -> None:
    class Bare(Recorded):
        def predict(self, clip_id: str, t0_us: int, samples: int, seed: int) -> dict[str, Any]:
            return {"pred_xyz": super().predict(clip_id, t0_us, samples, seed)["pred_xyz"]}

    with pytest.raises(UserError, match="its answers hold no ego_history_xyz"):
        by_model(Bare(), "Bare", CLIPS, 2, 0, tmp_path / "set", (1, 1))


def test_shares_of_a_model_are_its_clips(tmp_path: Path) -> None:
    for i in (1, 2):
        by_model(Recorded(), "Recorded", CLIPS, 1, 0, tmp_path / str(i), (i, 2))
    assert list(load_labels(tmp_path / "1").clip_id) == ["clip-0", "clip-2"]
    assert list(load_labels(tmp_path / "2").clip_id) == ["clip-1", "clip-3"]


@pytest.mark.slow
def test_a_missing_package_or_list_is_one_line(tmp_path: Path, command: Command) -> None:
    (tmp_path / "clips.txt").write_text("# my clips\nabc 5100000\n\ndef\n")
    assert listed(tmp_path / "clips.txt") == [("abc", 5_100_000), ("def", 5_100_000)]
    (tmp_path / "bad.txt").write_text("abc noon\n")
    with pytest.raises(UserError, match="line 1: must be"):
        listed(tmp_path / "bad.txt")
    result = command("labels", "generate", "out", "--teacher", "alpamayo", "--clip-list", "clips.txt")
    assert result.returncode == 2
    assert "needs NVIDIA's package alpamayo_r1" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "needs --clip-list" in command("labels", "generate", "out", "--teacher", "alpamayo").stderr
    assert "MINE" in command("labels", "generate", "out", "--scenario", "MINE").stderr
    result = command("labels", "generate", "out", "--clip-list", "clips.txt")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "error: --clip-list is for --teacher alpamayo, which is not given\n"


def test_synthetic_labels_go_on_where_they_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "SHARD_BYTES", 100 * 64 * 16)
    monkeypatch.setattr(generate, "SYNTHETIC_TRAJECTORIES", 60)
    synthetic("LEFT", 350, 1, 0, tmp_path / "whole", (1, 1))
    made, labels = SyntheticTeacher.labels, 0

    def interrupted(*arguments: Any) -> Any:
        nonlocal labels
        labels += 1
        if labels == 4:
            raise KeyboardInterrupt
        return made(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(SyntheticTeacher, "labels", interrupted)
        with pytest.raises(KeyboardInterrupt):
            synthetic("LEFT", 350, 1, 0, tmp_path / "cut", (1, 1))
    assert not (tmp_path / "cut" / "labels.json").exists()
    synthetic("LEFT", 350, 1, 0, tmp_path / "cut", (1, 1))
    trees = [
        {str(p.relative_to(tmp_path / n)): p.read_bytes() for p in sorted((tmp_path / n).rglob("*")) if p.is_file()}
        for n in ("cut", "whole")
    ]
    assert trees[0] == trees[1]
    labels_of_all = load_labels(tmp_path / "whole")
    assert len(set(labels_of_all.clip_id)) == 350
    assert len(set(labels_of_all.v0.tolist())) > 300


def test_sets_of_two_seeds_have_no_shard_in_common(tmp_path: Path) -> None:
    """They are merged, and a killed run takes nothing of another seed's."""
    for seed in (0, 1):
        synthetic("LEFT", 20, 1, seed, tmp_path / str(seed), (1, 1))
    zero, one = ({path.name for path in (tmp_path / seed / "shards").iterdir()} for seed in ("0", "1"))
    assert zero
    assert not zero & one


def test_clips_without_history_are_not_lost_when_a_run_is_repeated(tmp_path: Path) -> None:
    class Patchy(Recorded):
        def predict(self, clip_id: str, t0_us: int, samples: int, seed: int) -> dict[str, Any]:
            answer = super().predict(clip_id, t0_us, samples, seed)
            if t0_us % 2:
                answer["ego_history_xyz"] *= 0
                answer["ego_history_rot"] *= 0
            return answer

    assert len(by_model(Patchy(), "Patchy", CLIPS, 1, 0, tmp_path / "set", (1, 1))) == 4
    again = Patchy()
    assert len(by_model(again, "Patchy", CLIPS, 1, 0, tmp_path / "set", (1, 1))) == 4
    assert again.asked == []


def test_a_set_of_an_earlier_teacher_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alpamayo_toy.teachers.generate.DRIVEN", 1)
    synthetic("LEFT", 4, 2, 0, tmp_path / "set", (1, 1))
    monkeypatch.undo()
    with pytest.raises(UserError, match="is a set of other clips; name another folder"):
        synthetic("LEFT", 4, 2, 0, tmp_path / "set", (1, 1))


def test_shares_of_the_synthetic_teacher_are_its_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "SHARD_BYTES", 4 * 64 * 16)
    for i in (1, 2):
        synthetic("LEFT", 10, 1, 0, tmp_path / str(i), (i, 2))
    synthetic("LEFT", 10, 1, 0, tmp_path / "whole", (1, 1))
    first, second, whole = (load_labels(tmp_path / name) for name in ("1", "2", "whole"))
    assert (len(first), len(second)) == (6, 4)
    assert set(first.clip_id) | set(second.clip_id) == set(whole.clip_id)
    assert len(set(whole.clip_id)) == len(set(whole.teacher[:, 0, -1, 0].tolist())) == 10
    with pytest.raises(UserError, match="is a set of other clips; name another folder for 8 of synthetic LEFT"):
        synthetic("LEFT", 8, 1, 0, tmp_path / "whole", (1, 1))


def test_4096_samples_of_a_clip_are_asked_for_and_not_one_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(generate, "synthetic", lambda *given: asked.append(given[2]))
    options = dict.fromkeys(generate.OF_A_MODEL.split()) | {"teacher": "synthetic", "scenario": "LEFT"}
    for samples in (4096, 4097):
        told = Namespace(**options, clips=1, samples=samples, seed=0)
        if samples == 4096:
            generate.generate(told, tmp_path, (1, 1))
        else:
            with pytest.raises(UserError, match=r"--samples must be at most 4096 \(got 4097\)"):
                generate.generate(told, tmp_path, (1, 1))
    assert asked == [4096]


def test_a_list_names_each_clip_once_in_two_words_at_most(tmp_path: Path) -> None:
    path = tmp_path / "clips.txt"
    path.write_text("# my clips\na\n\nb 7\na 5100000\nb 8\n")
    assert listed(path) == [("a", 5_100_000), ("b", 7), ("b", 8)]
    for line, number in (("a 1 2", 1), ("\na 1.5", 2), ("a -1", 1), (f"a {'1' * 5000}", 1)):
        path.write_text(f"{line}\n")
        with pytest.raises(UserError, match=f"line {number}: must be 'clip_id' or 'clip_id t0_us'"):
            listed(path)
    path.write_text("# nothing\n")
    with pytest.raises(UserError, match="lists no clips"):
        listed(path)
