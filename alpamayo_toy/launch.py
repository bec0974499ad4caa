"""How a command starts and ends: its folder, its one-line errors, its exit code."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alpamayo_toy.config import RESUMABLE, TrainConfig, from_dict, one_line
from alpamayo_toy.errors import Interrupted, UserError


def run(main: Callable[[], Any]) -> None:
    """Call a Hydra main function; the user's mistakes end in one line and exit code 1, never a traceback."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # let exceptions through to here instead of Hydra's own report
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        main()
    except UserError as error:
        _fail(str(error))
    except (HydraException, OmegaConfBaseException) as error:
        _fail(one_line(error))
    except OSError as error:
        if error.filename is None and error.strerror is None:
            raise
        _fail(f"{error.filename or 'a file'}: {error.strerror}")
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        sys.exit(stop.exit_code)


def _fail(message: str) -> None:
    sys.exit(f"error: {message}")


def output_folder() -> Path:
    """The folder that Hydra made for this run."""
    from hydra.core.hydra_config import HydraConfig

    return Path(HydraConfig.get().runtime.output_dir)


def resumed(config: TrainConfig) -> TrainConfig:
    """With trainer.resume the run's saved config, changed only where that keeps the weights to come the same."""
    if config.trainer.resume is None:
        return config
    from hydra.core.hydra_config import HydraConfig

    from alpamayo_toy import checkpoint

    saved = from_dict(checkpoint.load(config.trainer.resume, "last")["config"])
    given = [override.partition("=")[0].lstrip("+~") for override in HydraConfig.get().overrides.task]
    for key in given:
        if key not in RESUMABLE:
            raise UserError(f"{key} cannot change when a run is continued; only {', '.join(RESUMABLE)} can")
        name = key.removeprefix("trainer.")
        setattr(saved.trainer, name, getattr(config.trainer, name))
    return saved
