"""Configurations as the commands compose them from configs/."""

from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir

from alpamayo_toy.config import register, validate
from alpamayo_toy.evaluation.config import RolloutConfig
from alpamayo_toy.teachers.config import MixtureConfig, ScenarioConfig
from alpamayo_toy.training.config import TrainConfig

CONFIGS = str(Path(__file__).parents[1] / "configs")


def composed(job: str, schema: type, *overrides: str) -> Any:
    register()
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        return validate(compose(job, overrides=list(overrides)), schema)


def train_config(*overrides: str) -> TrainConfig:
    config: TrainConfig = composed("train", TrainConfig, *overrides)
    return config


@cache
def scenario_config(name: str) -> ScenarioConfig | MixtureConfig:
    """Composed once and shared: not to be changed."""
    config: ScenarioConfig | MixtureConfig = composed("rollout", RolloutConfig, f"scenario={name}").scenario
    return config
