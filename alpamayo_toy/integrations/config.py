"""Options of scripts/export.py."""

from dataclasses import dataclass

from alpamayo_toy.errors import require


@dataclass
class ExportConfig:
    """python scripts/export.py"""

    checkpoint: str = ""  # a run's folder, a checkpoint file, or latest
    output: str = ""  # the released folder to be written
    navsim: str = ""  # or a folder with a NAVSIM agent, in its place

    def __post_init__(self) -> None:
        require(self.checkpoint != "", "checkpoint", "a run's folder (checkpoint=outputs/...)", self.checkpoint)
        require(self.output + self.navsim != "", "output", "the folder to write (output=released)", self.output)
        require(self.output == "" or self.navsim == "", "navsim", "left out beside output=", self.navsim)


SCHEMAS = {"export": ExportConfig}
"""What the YAML of this command may fill."""
