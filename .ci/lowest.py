"""The lower ends in pyproject.toml as constraints for pip, of what tests need: torch>=2.6 becomes torch==2.6."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
for extra in (project["dependencies"], *(project["optional-dependencies"][name] for name in ("test", "labels"))):
    for needed in extra:
        print(re.sub(r">=([\d.]+).*", r"==\1", needed))
