"""One synthetic rollout, no training: python scripts/rollout.py scenario=LEFT plot=false"""

import hydra
from omegaconf import DictConfig

from alpamayo_toy.commands.launch import one_line_errors, output_folder, run
from alpamayo_toy.config import register, validate
from alpamayo_toy.evaluation.config import RolloutConfig


@hydra.main(version_base="1.3", config_path="../configs", config_name="rollout")
@one_line_errors
def main(config: DictConfig) -> None:
    checked = validate(config, RolloutConfig)
    from alpamayo_toy.evaluation.describe import UNITS
    from alpamayo_toy.evaluation.rollout import roll_out

    folder = output_folder()
    metrics = roll_out(checked, folder)
    for name in metrics["summary"]:
        print(f"{name:<24}{metrics[name]:>10.4f} {UNITS[name]}")
    print(f"metrics: {folder / 'metrics.json'}" + (f"\nlook: {folder / 'figures'}" if checked.plot else ""))


if __name__ == "__main__":
    register()
    run(main)
