"""Several seeds of one configuration: python scripts/batch.py scenario=LEFT seeds=8"""

from typing import Any

from alpamayo_toy.commands.launch import command, noted, output_folder
from alpamayo_toy.config import validate
from alpamayo_toy.training.config import BatchConfig


@command("batch")
def main(config: Any) -> None:
    checked = validate(config, BatchConfig)
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException

    from alpamayo_toy.training.seeds import continued, run_batch, table

    folder = noted(output_folder())
    summary = run_batch(continued(checked, HydraConfig.get().overrides.task), folder)
    print(f"{table(summary)}\nsummary: {folder / 'summary.json'}")
    if summary["failed"]:  # Hydra's own exception: the other jobs of a sweep go on, and the exit code is 1
        raise HydraException(f"{len(summary['failed'])} of {summary['seeds']} seeds failed")


if __name__ == "__main__":
    main()
