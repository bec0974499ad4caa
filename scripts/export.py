"""Release a student: python scripts/export.py checkpoint=outputs/train/LEFT/... output=released"""

from typing import Any

from alpamayo_toy.commands.launch import command, output_folder
from alpamayo_toy.config import validate
from alpamayo_toy.integrations.config import ExportConfig


@command("export")
def main(config: Any) -> None:
    checked = validate(config, ExportConfig)
    from alpamayo_toy.integrations.release import export

    print(export(checked, output_folder()))


if __name__ == "__main__":
    main()
