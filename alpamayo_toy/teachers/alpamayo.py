"""NVIDIA's models as teachers. They need its package, physical_ai_av, gated weights and a GPU.

Anything else with predict() can take their place; `labels.py generate` uses nothing more of them.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from alpamayo_toy.errors import UserError
from alpamayo_toy.failures import why

WEIGHTS = "nvidia/Alpamayo-R1-10B"
TOP_P, TEMPERATURE, MAX_TOKENS, DENOISING_STEPS = 0.98, 0.6, 256, 10  # NVIDIA's own examples'


class Package(NamedTuple):
    """NVIDIA's code for weights whose name looks like a pattern: the module and the class of the model."""

    looks_like: str
    module: str
    model: str


PACKAGES = {
    "alpamayo_r1": Package(r"alpamayo[-_ ]?r1", "models.alpamayo_r1", "AlpamayoR1"),
    "alpamayo1_5": Package(r"alpamayo[-_ ]?1[-_.]5(?!\d)", "models.alpamayo1_5", "Alpamayo1_5"),
    "alpamayo2_super": Package(r"alpamayo[-_ ]?2(?![\da-z.])", "models.alpamayo2_super", "Alpamayo2Super"),
}
Recording = Callable[..., dict[str, Any]]
HISTORY, FUTURE = ("ego_history_xyz", "ego_history_rot"), ("ego_future_xyz", "ego_future_rot")


class Model(Protocol):
    """What a teacher must be able to do."""

    def predict(self, clip_id: str, t0_us: int, samples: int, seed: int) -> dict[str, Any]:
        """The teacher's answer for a clip at t0, arrays or tensors, leading axes of length 1 allowed.

        pred_xyz (K, T, 3); where there are: pred_rot (K, T, 3, 3), cot, and from the recording ego_history_xyz (H, 3),
        ego_history_rot, ego_future_xyz (T, 3), ego_future_rot. All in the ego frame at t0, T steps of 0.1 s after it.
        """
        ...


@dataclass(frozen=True)
class Origin:
    """Where weights and recordings come from: revisions on the hub, its cache's folder, and whether only that is read.

    Raises UserError for offline without the revision of the recordings, which only the hub knows.
    """

    revision: str | None = None
    data_revision: str | None = None
    cache: Path | None = None
    offline: bool = False

    def __post_init__(self) -> None:
        if self.offline and self.data_revision is None:
            raise UserError(
                "--offline needs --data-revision: a folder's name under "
                "datasets--nvidia--PhysicalAI-Autonomous-Vehicles/snapshots in the hub's cache"
            )

    def tell_the_hub(self) -> None:
        """For what NVIDIA's packages load by themselves; it is read when they are imported."""
        if self.offline:
            os.environ["HF_HUB_OFFLINE"] = "1"
        if self.cache is not None:
            os.environ["HF_HUB_CACHE"] = str(self.cache)


class AlpamayoModel:
    """Alpamayo R1, 1.5 or 2 Super, its package chosen by the name of the weights where it is not given.

    Raises UserError where that says too little, the package is missing, or weights or recordings cannot be had.
    """

    def __init__(
        self, weights: str, package: str | None = None, attention: str | None = None, origin: Origin | None = None
    ) -> None:
        origin = origin or Origin()
        weights = _sought(weights)
        self._package = package or package_of(weights)
        origin.tell_the_hub()
        kind, recordings = self._imported()
        if not torch.cuda.is_available():
            raise UserError("--teacher alpamayo needs a CUDA device with 24 GB of memory or more, 80 GB for Alpamayo 2")
        cached = {} if origin.cache is None else {"cache_dir": str(origin.cache)}
        try:  # one for all clips: each would ask the hub for its revision and its tables
            self._recordings = recordings(origin.data_revision, **cached)
        except Exception as error:
            raise UserError(f"PhysicalAI-Autonomous-Vehicles cannot be opened: {why(error)}") from None
        options: dict[str, Any] = {"dtype": torch.bfloat16, "attn_implementation": attention or default_attention()}
        options |= cached
        options |= {} if origin.revision is None else {"revision": origin.revision}
        options |= {"local_files_only": True} if origin.offline else {}
        try:
            if self._package == "alpamayo2_super":  # 68 GB that need not pass through the main memory
                self._model = kind.from_pretrained(weights, device_map="cuda", **options)
            else:
                self._model = kind.from_pretrained(weights, **options).to("cuda")
                self._processor = self._helper.get_processor(self._model.tokenizer)
        except Exception as error:
            raise UserError(f"--model {weights} cannot be loaded: {why(error)}") from None
        self._recorded = lru_cache(maxsize=1)(self._read)  # a clip's pieces and attempts need it but once

    def _imported(self) -> tuple[Any, Any]:
        """The classes of the model and of the recordings; the package's functions are kept."""
        _, module, model = PACKAGES[self._package]
        try:
            self._helper = self._module("helper")
            self._load: Recording = self._module("load_physical_aiavdataset").load_physical_aiavdataset
            self._narrowed: Recording | None = None
            if self._package == "alpamayo2_super":
                self._narrowed = self._module("input_profiles").select_task_input
            kind = getattr(self._module(module), model)
            return kind, import_module("physical_ai_av").PhysicalAIAVDatasetInterface
        except Exception as error:  # what a package imports may fail in any way
            raise UserError(
                f"--teacher alpamayo needs NVIDIA's package {self._package} and physical_ai_av: {why(error)}"
            ) from None

    def _module(self, name: str) -> Any:
        return import_module(f"{self._package}.{name}")

    def predict(self, clip_id: str, t0_us: int, samples: int, seed: int) -> dict[str, Any]:
        """One call of the model; the recorded drive comes along."""
        data = self._recorded(clip_id, t0_us)
        inputs = self._helper.to_device(self._inputs(data), "cuda")
        torch.manual_seed(seed)
        with torch.no_grad(), torch.autocast("cuda", torch.bfloat16):
            xyz, rotation, extra = self._sampled(inputs, samples)
        recorded = {name: data[name].cpu() for name in (*HISTORY, *FUTURE)}
        said = {"cot": [str(text) for text in np.ravel(extra["cot"])]} if "cot" in extra else {}
        return {"pred_xyz": xyz.float().cpu(), "pred_rot": rotation.float().cpu(), **said, **recorded}

    def _read(self, clip_id: str, t0_us: int) -> dict[str, Any]:
        """What was recorded, the pictures that the model takes among it."""
        data = self._load(clip_id, t0_us=t0_us, avdi=self._recordings)
        return data if self._narrowed is None else self._narrowed(data, "trajectory")

    def _inputs(self, data: dict[str, Any]) -> dict[str, Any]:
        """As the model takes them. Made anew for every call: R1 takes the tokens out of them."""
        if self._package == "alpamayo2_super":
            made: dict[str, Any] = self._helper.prepare_model_inputs(data, self._model.config, self._model.tokenizer)
            return made
        cameras = {"camera_indices": data["camera_indices"]} if self._package == "alpamayo1_5" else {}
        tokens = self._processor.apply_chat_template(
            self._helper.create_message(data["image_frames"].flatten(0, 1), **cameras),
            tokenize=True,
            add_generation_prompt=False,
            continue_final_message=True,
            return_dict=True,
            return_tensors="pt",
        )
        return {"tokenized_data": tokens, **{name: data[name] for name in HISTORY}}

    def _sampled(self, inputs: dict[str, Any], samples: int) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:
        """pred_xyz (1, 1, K, T, 3), pred_rot and the texts; Alpamayo 2 returns log-probabilities between them."""
        options = {"top_p": TOP_P, "temperature": TEMPERATURE, "num_traj_samples": samples, "return_extra": True}
        if self._package == "alpamayo2_super":
            steps = {"inference_step": DENOISING_STEPS}
            xyz, rotation, _, extra = self._model.sample_trajectories_from_data(
                inputs, diffusion_kwargs=steps, **options
            )
        else:
            xyz, rotation, extra = self._model.sample_trajectories_from_data_with_vlm_rollout(
                inputs, max_generation_length=MAX_TOKENS, **options
            )
        return xyz, rotation, extra


def package_of(weights: str) -> str:
    """The package for weights of that name. Raises UserError where it says none or several."""
    found = [name for name, package in PACKAGES.items() if re.search(package.looks_like, weights.lower())]
    if len(found) != 1:
        said = "does not say" if not found else "does not say clearly"
        raise UserError(f"--model {weights}: the name {said} whose code it needs; give --package {'|'.join(PACKAGES)}")
    return found[0]


def default_attention() -> str:
    """PyTorch's own where flash-attn is not installed."""
    return "flash_attention_2" if find_spec("flash_attn") else "sdpa"


def _sought(weights: str) -> str:
    """A name on the hub as it is, or a folder that holds a model. Raises UserError."""
    folder = Path(weights).expanduser()
    if not folder.exists():
        if weights.startswith((".", "/", "~")) or weights.count("/") > 1:
            raise UserError(f"--model {weights}: there is no such folder")
        return weights
    if not (folder / "config.json").is_file():
        raise UserError(f"--model {weights} holds no config.json; name the folder that save_pretrained() wrote")
    return str(folder)
