"""NVIDIA's model as a teacher. Needs its package, physical_ai_av, gated weights and a GPU of 24 GB or more.

Anything else with predict() can take its place; `labels.py generate` uses nothing more of it.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

import torch

from alpamayo_toy.errors import UserError

# Weights whose name holds the first are loaded by that package, module and class (NVlabs/alpamayo, NVlabs/alpamayo1.5).
PACKAGES = {
    "Alpamayo-1.5": ("alpamayo1_5", "models.alpamayo1_5", "Alpamayo1_5"),
    "Alpamayo-R1": ("alpamayo_r1", "models.alpamayo_r1", "AlpamayoR1"),
}
TOP_P, TEMPERATURE, MAX_TOKENS = 0.98, 0.6, 256  # NVIDIA's own example's


class Model(Protocol):
    """What a teacher must be able to do."""

    def predict(self, clip_id: str, t0_us: int, samples: int, seed: int) -> dict[str, Any]:
        """The teacher's answer for a clip at t0, arrays or tensors, leading axes of length 1 allowed.

        pred_xyz (K, T, 3); where there are: pred_rot (K, T, 3, 3), cot, and from the recording ego_history_xyz (H, 3),
        ego_history_rot, ego_future_xyz (T, 3), ego_future_rot. All in the ego frame at t0, T steps of 0.1 s after it.
        """
        ...


class AlpamayoModel:
    """Alpamayo R1 or 1.5, chosen by the name of the weights. Raises UserError where its package is not installed."""

    def __init__(self, weights: str) -> None:
        found = [names for mark, names in PACKAGES.items() if mark in weights]
        if not found:
            raise UserError(f"--model {weights}: the name must hold one of {', '.join(PACKAGES)}")
        package, module, name = found[0]
        try:
            self._helper = import_module(f"{package}.helper")
            self._load: Callable[..., dict[str, Any]] = import_module(
                f"{package}.load_physical_aiavdataset"
            ).load_physical_aiavdataset
            kind = getattr(import_module(f"{package}.{module}"), name)
        except ImportError as error:
            raise UserError(
                f"--teacher alpamayo needs NVIDIA's package {package} and physical_ai_av: {error}"
            ) from None
        if not torch.cuda.is_available():
            raise UserError("--teacher alpamayo needs a CUDA device with 24 GB of memory or more")
        self._shows_cameras = package == "alpamayo1_5"
        self._model = kind.from_pretrained(weights, dtype=torch.bfloat16).to("cuda")
        self._processor = self._helper.get_processor(self._model.tokenizer)

    def predict(self, clip_id: str, t0_us: int, samples: int, seed: int) -> dict[str, Any]:
        """One call of the model; the recorded drive comes along."""
        data = self._load(clip_id, t0_us=t0_us)
        cameras = {"camera_indices": data["camera_indices"]} if self._shows_cameras else {}
        tokens = self._processor.apply_chat_template(
            self._helper.create_message(data["image_frames"].flatten(0, 1), **cameras),
            tokenize=True,
            add_generation_prompt=False,
            continue_final_message=True,
            return_dict=True,
            return_tensors="pt",
        )
        past = {name: data[name] for name in ("ego_history_xyz", "ego_history_rot")}
        inputs = self._helper.to_device({"tokenized_data": tokens, **past}, "cuda")
        torch.cuda.manual_seed_all(seed)
        with torch.no_grad(), torch.autocast("cuda", torch.bfloat16):
            xyz, rotation, extra = self._model.sample_trajectories_from_data_with_vlm_rollout(
                data=inputs,
                top_p=TOP_P,
                temperature=TEMPERATURE,
                num_traj_samples=samples,
                max_generation_length=MAX_TOKENS,
                return_extra=True,
            )
        future = {name: data[name].cpu() for name in ("ego_future_xyz", "ego_future_rot")}
        past = {name: value.cpu() for name, value in past.items()}
        words = [str(text) for text in extra["cot"].ravel()] if hasattr(extra["cot"], "ravel") else extra["cot"]
        return {"pred_xyz": xyz.float().cpu(), "pred_rot": rotation.float().cpu(), "cot": words, **past, **future}
