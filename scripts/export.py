"""Release a student: python scripts/export.py checkpoint=outputs/train/LEFT/... output=released"""

import hydra
from omegaconf import DictConfig

from alpamayo_toy.commands.launch import one_line_errors, output_folder, run
from alpamayo_toy.config import register, validate
from alpamayo_toy.integrations.config import ExportConfig


@hydra.main(version_base="1.3", config_path="../configs", config_name="export")
@one_line_errors
def main(config: DictConfig) -> None:
    checked = validate(config, ExportConfig)
    from alpamayo_toy.integrations.release import export

    print(export(checked, output_folder()))


if __name__ == "__main__":
    register()
    run(main)
