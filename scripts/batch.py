"""Several seeds of one configuration: python scripts/batch.py scenario=LEFT seeds=8"""

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig

from alpamayo_toy.commands.launch import noted, one_line_errors, output_folder, run
from alpamayo_toy.config import register, validate
from alpamayo_toy.training.config import BatchConfig


@hydra.main(version_base="1.3", config_path="../configs", config_name="batch")
@one_line_errors
def main(config: DictConfig) -> None:
    checked = validate(config, BatchConfig)
    from alpamayo_toy.training.seeds import continued, run_batch, table

    folder = noted(output_folder())
    summary = run_batch(continued(checked, HydraConfig.get().overrides.task), folder)
    print(f"{table(summary)}\nsummary: {folder / 'summary.json'}")
    if summary["failed"]:  # Hydra's own exception: the other jobs of a sweep go on, and the exit code is 1
        raise HydraException(f"{len(summary['failed'])} of {summary['seeds']} seeds failed")


if __name__ == "__main__":
    register()
    run(main)
