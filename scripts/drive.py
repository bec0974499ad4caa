"""Ask a student again every 0.1 s: python scripts/drive.py checkpoint=outputs/train/ROAD/..."""

from typing import Any

from alpamayo_toy.commands.launch import command, output_folder
from alpamayo_toy.config import validate
from alpamayo_toy.evaluation.config import DriveConfig


@command("drive")
def main(config: Any) -> None:
    checked = validate(config, DriveConfig)
    from alpamayo_toy.evaluation.drives import drive_checkpoint, table

    folder = output_folder()
    print(table(drive_checkpoint(checked, folder)))
    print(f"numbers: {folder / 'drive.json'}" + (f"\nlook: {folder / 'drive.html'}" if checked.plot else ""))


if __name__ == "__main__":
    main()
