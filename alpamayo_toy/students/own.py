"""own_object(): a class or function of the user's own, from a file that was named on the command line."""

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

from alpamayo_toy.errors import UserError


def own_class(config: Any) -> Any:
    """The class that config.module names, None where it names none."""
    return own_object(config.module, "student.module") if config.module else None


def own_object(module: str, option: str) -> Any:
    """What module, FILE.py:NAME, names. The file is executed, so it is one that the user has named, never a checkpoint.

    Raises UserError, naming the option, where there is no such file or name, or where the file is not Python.
    """
    path, _, name = module.rpartition(":")
    if not path or not name:
        raise UserError(
            f"{option} must name a file and what is in it: {option}=mine.py:NAME (got {module!r});"
            " that of a run's folder or checkpoint is never taken"
        )
    if not Path(path).is_file():
        raise UserError(f"{option}: there is no file {path}")
    called = re.sub(r"\W", "_", f"_own_{Path(path).resolve()}")
    spec = importlib.util.spec_from_file_location(called, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{option}: {path} is no Python file")
    made = importlib.util.module_from_spec(spec)
    sys.modules[called] = made  # dataclasses look there for the names in their annotations
    try:
        spec.loader.exec_module(made)
    except BaseException as error:
        sys.modules.pop(called, None)
        if isinstance(error, SyntaxError):
            raise UserError(f"{option}: {path}, line {error.lineno}: {error.msg}") from None
        raise
    if not hasattr(made, name):
        known = ", ".join(sorted(key for key in vars(made) if not key.startswith("_")))
        raise UserError(f"{option}: {path} has no {name}; it has {known}")
    return getattr(made, name)
