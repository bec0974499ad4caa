"""Several seeds of one configuration: python scripts/batch.py scenario=LEFT seeds=8"""

import hydra
from omegaconf import DictConfig

from alpamayo_toy.config import BatchConfig, register, validate
from alpamayo_toy.launch import one_line_errors, output_folder, run


@hydra.main(version_base="1.3", config_path="../configs", config_name="batch")
@one_line_errors
def main(config: DictConfig) -> None:
    checked = validate(config, BatchConfig)
    from alpamayo_toy.batch import run_batch, table

    folder = output_folder()
    print(table(run_batch(checked, folder)))
    print(f"summary: {folder / 'summary.json'}")


if __name__ == "__main__":
    register()
    run(main)
