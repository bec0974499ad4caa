"""The adapter of NVIDIA's model speaks the language of its released package."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stand_in import CLIPS, Recorded

from alpamayo_toy import load_labels
from alpamayo_toy.teachers import alpamayo as alpamayo_model
from alpamayo_toy.teachers.alpamayo import AlpamayoModel
from alpamayo_toy.teachers.generate import by_model


class FakePackage:
    """Stands in the place of alpamayo_r1: helper, loader and model with the names of the released package."""

    class Model:
        tokenizer = "tokenizer"

        @classmethod
        def from_pretrained(cls, weights: str, dtype: torch.dtype) -> "FakePackage.Model":
            assert (weights, dtype) == ("nvidia/Alpamayo-R1-10B", torch.bfloat16)
            return cls()

        def to(self, device: str) -> "FakePackage.Model":
            assert device == "cuda"
            return self

        def sample_trajectories_from_data_with_vlm_rollout(self, data: dict[str, Any], **options: Any) -> Any:
            assert options["num_traj_samples"] == 2
            assert set(data) == {"tokenized_data", "ego_history_xyz", "ego_history_rot"}
            answer = Recorded().predict("", CLIPS[1][1], 2, 0)
            return answer["pred_xyz"], answer["pred_rot"], {"cot": np.array([[["text 1"]]])}

    AlpamayoR1 = Model

    class Processor:
        def apply_chat_template(self, messages: Any, **options: Any) -> str:
            assert options["return_tensors"] == "pt"
            return "tokens"

    @staticmethod
    def get_processor(tokenizer: str) -> "FakePackage.Processor":
        return FakePackage.Processor()

    @staticmethod
    def create_message(frames: torch.Tensor) -> str:
        assert frames.shape == (16, 3, 2, 2)
        return "messages"

    @staticmethod
    def to_device(data: Any, device: str) -> Any:
        return data

    @staticmethod
    def load_physical_aiavdataset(clip_id: str, t0_us: int) -> dict[str, Any]:
        answer = Recorded().predict(clip_id, t0_us, 1, 0)
        return {**answer, "image_frames": torch.zeros(4, 4, 3, 2, 2), "camera_indices": torch.arange(4)}


def test_the_adapter_speaks_the_packages_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alpamayo_model, "import_module", lambda name: FakePackage)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: None)
    monkeypatch.setattr(torch, "autocast", lambda *_: torch.no_grad())
    made = by_model(AlpamayoModel("nvidia/Alpamayo-R1-10B"), "R1", CLIPS[1:2], 2, 0, tmp_path / "set", (1, 1))
    assert made.facts["clips"] == 1
    assert list(load_labels(tmp_path / "set").text or []) == ["text 1"]
