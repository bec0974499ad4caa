"""Options of scripts/export.py."""

import re
from dataclasses import dataclass

from alpamayo_toy.errors import require
from alpamayo_toy.students.config import HUB_NAME


@dataclass
class ExportConfig:
    """python scripts/export.py"""

    checkpoint: str = ""  # a run's folder, a checkpoint file, or latest; with push= alone a released folder
    output: str = ""  # the released folder to be written
    navsim: str = ""  # or a folder with a NAVSIM agent, in its place
    push: str = ""  # user/name on the hub, where the released folder goes as well

    def __post_init__(self) -> None:
        require(self.checkpoint != "", "checkpoint", "a run's folder (checkpoint=outputs/...)", self.checkpoint)
        given = self.output + self.navsim + self.push != ""
        require(given, "output", "the folder to write (output=released)", self.output)
        beside = self.output + self.push == ""
        require(self.navsim == "" or beside, "navsim", "left out beside output= and push=", self.navsim)
        named = self.push == "" or re.fullmatch(HUB_NAME, self.push, re.ASCII) is not None
        require(named, "push", "user/name on the hub", self.push)


SCHEMAS = {"export": ExportConfig}
"""What the YAML of this command may fill."""
