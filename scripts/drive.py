"""Ask a student again every 0.1 s: python scripts/drive.py checkpoint=outputs/train/ROAD/..."""

import hydra
from omegaconf import DictConfig

from alpamayo_toy.commands.launch import one_line_errors, output_folder, run
from alpamayo_toy.config import register, validate
from alpamayo_toy.evaluation.config import DriveConfig


@hydra.main(version_base="1.3", config_path="../configs", config_name="drive")
@one_line_errors
def main(config: DictConfig) -> None:
    checked = validate(config, DriveConfig)
    from alpamayo_toy.evaluation.drives import drive_checkpoint, table

    folder = output_folder()
    print(table(drive_checkpoint(checked, folder)))
    print(f"numbers: {folder / 'drive.json'}" + (f"\nlook: {folder / 'drive.html'}" if checked.plot else ""))


if __name__ == "__main__":
    register()
    run(main)
