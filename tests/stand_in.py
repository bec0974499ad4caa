"""Stand-ins for NVIDIA's models, recordings and packages: nothing of them is real but names, signatures and shapes."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from written import driven, past

CLIPS = [(f"clip-{i}", 5_100_000 + i) for i in range(4)]
CAMERAS = {"alpamayo_r1": (0, 1, 2, 6), "alpamayo1_5": (0, 1, 2, 6), "alpamayo2_super": (0, 1, 2, 3, 4, 5, 6)}
TASK_CAMERAS = (0, 1, 2, 3, 5, 6)


class Recorded:
    """A model of the documented interface that gives recorded answers, and counts how often it is asked."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.asked: list[str] = []
        self.fails_at = fails_at

    def predict(self, clip_id: str, t0_us: int, samples: int, seed: int) -> dict[str, Any]:
        if self.fails_at == len(self.asked):
            raise KeyboardInterrupt
        self.asked.append(clip_id)
        xyz, rotation, v0 = driven()
        history, turned = past(v0)
        i = t0_us - CLIPS[0][1]
        return {
            "pred_xyz": torch.tensor(xyz[i])[None, None, :samples],
            "pred_rot": torch.tensor(rotation[i])[None, None, :samples],
            "cot": [[f"text {i}"]],
            "ego_history_xyz": torch.tensor(history[i])[None, None],
            "ego_history_rot": torch.tensor(turned[i])[None, None],
            "ego_future_xyz": torch.tensor(xyz[i, 0])[None, None],
            "ego_future_rot": torch.tensor(rotation[i, 0])[None, None],
        }


def straight(speeds: Tensor, first: int, last: int) -> Tensor:
    """Straight on (..., steps, 3) at speeds (...), steps of 0.1 s."""
    x = speeds[..., None] * torch.arange(first, last) * 0.1
    return torch.stack([x, x * 0, x * 0], -1)


class Drawn:
    """A model whose samples go straight on at speeds drawn by the seed.

    fails(clip_id, how often it was asked for before) raises what it likes; more than fits samples are out of memory.
    asked counts the calls for each clip, sizes are the samples of every call.
    """

    def __init__(self, fails: Callable[[str, int], None] = lambda clip_id, before: None, fits: int = 4096) -> None:
        self.fails, self.fits = fails, fits
        self.asked: Counter[str] = Counter()
        self.sizes: list[int] = []

    def predict(self, clip_id: str, t0_us: int, samples: int, seed: int) -> dict[str, Any]:
        self.asked[clip_id] += 1
        self.sizes.append(samples)
        self.fails(clip_id, self.asked[clip_id] - 1)
        if samples > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        speeds = 5 + 5 * torch.rand(samples, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        recorded = torch.tensor(8.0, dtype=torch.float64)
        return {
            "pred_xyz": straight(speeds, 1, 65),
            "cot": [f"at {speed:.3f} m/s" for speed in speeds],
            "ego_history_xyz": straight(recorded, -15, 1),
            "ego_future_xyz": straight(recorded, 1, 65),
        }


class Hub(Exception):
    """As a hub's client raises it: with the answer beside it."""

    def __init__(self, status: int, message: str = "", **headers: str) -> None:
        super().__init__(message or f"{status} Client Error\n\n(Request ID: Root=1)")
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.response = SimpleNamespace(status_code=status, headers=headers)


class Machine:
    """A machine with a GPU and NVIDIA's packages: so many samples fit into its memory at once.

    opened, loaded and sampled hold the arguments of every call; a failure of that name is raised in its place. The
    recordings lack one clip.
    """

    def __init__(self, fits: int = 16, missing: str = "", **failures: Exception) -> None:
        self.fits, self.missing, self.failures = fits, missing, failures
        self.opened: list[dict[str, Any]] = []
        self.read: list[tuple[str, int]] = []
        self.loaded: list[tuple[str, dict[str, Any]]] = []
        self.moved: list[str] = []
        self.cast: list[tuple[str, torch.dtype]] = []
        self.sampled: list[tuple[int, dict[str, Any]]] = []
        self.modules = {"physical_ai_av": SimpleNamespace(PhysicalAIAVDatasetInterface=self._recordings())}
        for package, module, model in (
            ("alpamayo_r1", "models.alpamayo_r1", "AlpamayoR1"),
            ("alpamayo1_5", "models.alpamayo1_5", "Alpamayo1_5"),
            ("alpamayo2_super", "models.alpamayo2_super", "Alpamayo2Super"),
        ):
            self.modules[f"{package}.helper"] = self._helper(package)
            self.modules[f"{package}.load_physical_aiavdataset"] = self._loader(package)
            self.modules[f"{package}.{module}"] = SimpleNamespace(**{model: self._model(package)})
        self.modules["alpamayo2_super.input_profiles"] = SimpleNamespace(select_task_input=self._narrowing())

    def installed(self, monkeypatch: pytest.MonkeyPatch) -> "Machine":
        """Python finds its packages, and PyTorch its GPU."""
        from alpamayo_toy.teachers import alpamayo

        def import_module(name: str) -> Any:
            if name not in self.modules:
                raise ModuleNotFoundError(f"No module named '{name}'")
            return self.modules[name]

        monkeypatch.setattr(alpamayo, "import_module", import_module)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch, "autocast", self._cast)
        for name in ("HF_HUB_OFFLINE", "HF_HUB_CACHE"):
            monkeypatch.setenv(name, "")  # as it was, afterwards
        return self

    def _cast(self, device: str, dtype: torch.dtype) -> torch.no_grad:
        self.cast.append((device, dtype))
        return torch.no_grad()

    def _fail(self, where: str) -> None:
        if where in self.failures:
            raise self.failures[where]

    def _recordings(self) -> type:
        machine = self

        class PhysicalAIAVDatasetInterface:
            def __init__(
                self,
                revision: str | None = None,
                *,
                token: str | bool | None = None,
                cache_dir: str | Path | None = None,
                local_dir: str | Path | None = None,
                confirm_download_threshold_gb: float = 10.0,
            ) -> None:
                machine._fail("opened")
                machine.opened.append({"revision": revision, "cache_dir": cache_dir, "local_dir": local_dir})

        return PhysicalAIAVDatasetInterface

    def _recorded(self, clip_id: str, t0_us: int, avdi: Any, package: str) -> dict[str, Any]:
        """What a loader returns, of the one interface that is opened for all clips."""
        self._fail("read")
        if clip_id == self.missing:
            raise KeyError(clip_id)
        assert isinstance(avdi, self.modules["physical_ai_av"].PhysicalAIAVDatasetInterface)
        self.read.append((clip_id, t0_us))
        turns, cameras = torch.eye(3).expand(1, 1, 80, 3, 3), CAMERAS[package]
        return {
            "image_frames": torch.zeros(len(cameras), 4, 3, 2, 2, dtype=torch.uint8),
            "camera_indices": torch.tensor(cameras),
            "ego_history_xyz": straight(torch.full((1, 1), 8.0), -15, 1),
            "ego_history_rot": turns[:, :, :16],
            "ego_future_xyz": straight(torch.full((1, 1), 8.0), 1, 65),
            "ego_future_rot": turns[:, :, 16:],
            "t0_us": t0_us,
            "clip_id": clip_id,
        }

    def _loader(self, package: str) -> SimpleNamespace:
        def load_physical_aiavdataset(
            clip_id: str,
            t0_us: int = 5_100_000,
            avdi: Any = None,
            maybe_stream: bool = True,
            num_history_steps: int = 16,
            num_future_steps: int = 64,
            time_step: float = 0.1,
            camera_features: list[str] | None = None,
            num_frames: int = 4,
        ) -> dict[str, Any]:
            return self._recorded(clip_id, t0_us, avdi, package)

        def load_with_calibration(
            clip_id: str,
            t0_us: int = 5_100_000,
            avdi: Any = None,
            maybe_stream: bool = True,
            num_history_steps: int = 16,
            num_future_steps: int = 64,
            time_step: float = 0.1,
            camera_features: list[str] | None = None,
            num_frames: int = 4,
            include_calibration: bool = True,
        ) -> dict[str, Any]:
            calibrations = {0: {"camera_model": object()}}
            return {**self._recorded(clip_id, t0_us, avdi, package), "camera_calibrations": calibrations}

        loader = load_with_calibration if package == "alpamayo2_super" else load_physical_aiavdataset
        return SimpleNamespace(load_physical_aiavdataset=loader)

    def _narrowing(self) -> Callable[..., dict[str, Any]]:
        def select_task_input(data: dict[str, Any], task: str) -> dict[str, Any]:
            assert task == "trajectory"
            chosen = torch.tensor(TASK_CAMERAS)
            return {**data, "camera_indices": chosen, "image_frames": data["image_frames"][chosen]}

        return select_task_input

    def _helper(self, package: str) -> SimpleNamespace:
        def to_device(data: Any, device: Any = None, dtype: torch.dtype | None = None) -> Any:
            assert dtype is None, "tokens are no floating-point numbers"
            self.moved.append(device)
            return {name: dict(value) if isinstance(value, dict) else value for name, value in data.items()}

        def get_processor(tokenizer: Any) -> Any:
            return Processor()

        class Processor:
            def apply_chat_template(self, conversation: Any, **options: Any) -> dict[str, Any]:
                assert options["return_tensors"] == "pt"
                assert options["continue_final_message"]
                return {"input_ids": torch.zeros(1, 4, dtype=torch.long), "pictures": conversation}

        if package == "alpamayo_r1":

            def create_message(frames: Tensor) -> int:
                assert frames.shape == (16, 3, 2, 2)
                return len(frames)

            return SimpleNamespace(create_message=create_message, get_processor=get_processor, to_device=to_device)
        if package == "alpamayo1_5":

            def create_named_message(
                frames: Tensor,
                camera_indices: Tensor | None = None,
                num_frames_per_camera: int = 4,
                nav_text: str | None = None,
                use_nav_prompt: bool = False,
            ) -> int:
                assert camera_indices is not None
                assert len(frames) == len(camera_indices) * num_frames_per_camera
                return len(frames)

            return SimpleNamespace(
                create_message=create_named_message, get_processor=get_processor, to_device=to_device
            )

        def prepare_model_inputs(data: dict[str, Any], model_config: Any, tokenizer: Any) -> dict[str, Any]:
            assert data["camera_indices"].tolist() == list(TASK_CAMERAS)
            assert (model_config, tokenizer) == ("config", "tokenizer")
            tokens = {"input_ids": torch.zeros(1, 4, dtype=torch.long), "pictures": 24}
            return {"tokenized_data": tokens, **{name: data[name] for name in ("ego_history_xyz", "ego_history_rot")}}

        return SimpleNamespace(prepare_model_inputs=prepare_model_inputs, to_device=to_device)

    def _sample(self, count: int, given: dict[str, Any]) -> tuple[Tensor, Tensor, dict[str, np.ndarray]]:
        self.sampled.append((count, given))
        self._fail("sampled")
        if count > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has 79 GiB")
        xyz = straight(5 + 5 * torch.rand(1, 1, count), 1, 65)
        texts = [f"text {i} of {count}" for i in range(count)]
        return xyz, torch.eye(3).expand(*xyz.shape, 3), {"cot": np.array(texts).reshape(1, 1, count)}

    def _model(self, package: str) -> type:
        machine = self

        class Loaded:
            tokenizer, config = "tokenizer", "config"

            @classmethod
            def from_pretrained(
                cls,
                pretrained_model_name_or_path: str,
                *model_args: Any,
                config: Any = None,
                cache_dir: str | None = None,
                ignore_mismatched_sizes: bool = False,
                force_download: bool = False,
                local_files_only: bool = False,
                token: str | bool | None = None,
                revision: str = "main",
                use_safetensors: bool | None = None,
                weights_only: bool = True,
                **kwargs: Any,
            ) -> "Loaded":
                machine._fail("loaded")
                given = {"cache_dir": cache_dir, "local_files_only": local_files_only, "revision": revision, **kwargs}
                machine.loaded.append((pretrained_model_name_or_path, given))
                return cls()

            def to(self, device: str) -> "Loaded":
                assert device == "cuda"
                return self

        if package == "alpamayo2_super":

            class WithTrajectories(Loaded):
                def sample_trajectories_from_data(
                    self,
                    data: dict[str, Any],
                    top_p: float = 0.98,
                    top_k: int | None = None,
                    temperature: float = 0.6,
                    num_traj_samples: int = 1,
                    num_traj_sets: int = 1,
                    max_generation_length: int | None = None,
                    diffusion_kwargs: dict[str, Any] | None = None,
                    return_extra: bool = False,
                ) -> tuple[Any, ...]:
                    assert set(data) == {"tokenized_data", "ego_history_xyz", "ego_history_rot"}
                    xyz, rotation, extra = machine._sample(
                        num_traj_samples,
                        {"diffusion_kwargs": diffusion_kwargs, "top_p": top_p, "temperature": temperature},
                    )
                    likely = torch.zeros_like(xyz[..., 0])
                    return (xyz, rotation, likely, extra) if return_extra else (xyz, rotation, likely)

            return WithTrajectories

        class WithRollout(Loaded):
            def sample_trajectories_from_data_with_vlm_rollout(
                self,
                data: dict[str, Any],
                top_p: float = 0.98,
                top_k: int | None = None,
                temperature: float = 0.6,
                num_traj_samples: int = 6,
                num_traj_sets: int = 1,
                diffusion_kwargs: dict[str, Any] | None = None,
                *args: Any,
                **kwargs: Any,
            ) -> tuple[Any, ...]:
                assert set(data) == {"tokenized_data", "ego_history_xyz", "ego_history_rot"}
                data["tokenized_data"].pop("input_ids")  # as R1 does
                xyz, rotation, extra = machine._sample(
                    num_traj_samples, {**kwargs, "top_p": top_p, "temperature": temperature}
                )
                return (xyz, rotation, extra) if kwargs.get("return_extra", False) else (xyz, rotation)

        return WithRollout
