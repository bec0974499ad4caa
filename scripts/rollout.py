"""One synthetic rollout, no training: python scripts/rollout.py scenario=LEFT plot=false"""

from typing import Any

from alpamayo_toy.commands.launch import command, output_folder
from alpamayo_toy.config import validate
from alpamayo_toy.evaluation.config import RolloutConfig


@command("rollout")
def main(config: Any) -> None:
    checked = validate(config, RolloutConfig)
    from alpamayo_toy.evaluation.describe import UNITS
    from alpamayo_toy.evaluation.rollout import roll_out

    folder = output_folder()
    metrics = roll_out(checked, folder)
    for name in metrics["summary"]:
        print(f"{name:<24}{metrics[name]:>10.4f} {UNITS[name]}")
    print(f"metrics: {folder / 'metrics.json'}" + (f"\nlook: {folder / 'figures'}" if checked.plot else ""))


if __name__ == "__main__":
    main()
