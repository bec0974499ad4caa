"""How a command starts and ends: its folder, its one-line errors, its exit code."""

import functools
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alpamayo_toy.config import LATEST, foreign, one_line
from alpamayo_toy.errors import Interrupted, UserError
from alpamayo_toy.training.config import OWN, RESUMABLE, TrainConfig, from_dict, given_again

LOWER = "trainer.batch_size, teacher.scenes, student.modes, student.width, horizon, drive.scenes or crowd"
"""What takes memory in proportion."""


def one_line_errors(job: Callable[[Any], None]) -> Callable[[Any], None]:
    """Decorator of a Hydra job: the user's mistakes end in one line and exit code 1, and leave no empty folder."""

    @functools.wraps(job)
    def guarded(config: Any) -> None:
        try:
            job(config)
        except UserError as error:
            _forget(output_folder())
            sys.exit(f"error: {error}")
        except OSError as error:
            if error.strerror is None:
                raise
            sys.exit(f"error: {error.filename or 'a file'}: {error.strerror}")
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            sys.exit(f"error: out of memory; lower {LOWER}")
        except Interrupted as stop:
            print(stop, file=sys.stderr)
            sys.exit(stop.exit_code)
        except KeyboardInterrupt:  # before the first step there is nothing to save
            sys.exit(130)

    return guarded


def out_of_memory(error: Exception) -> bool:
    """Python's, a GPU's, or that of PyTorch's allocator on a CPU, which has no type of its own."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in ("out of memory", "can't allocate"))


def run(main: Callable[[], Any]) -> None:
    """Call a Hydra main function; what Hydra itself finds wrong on the command line is one line as well."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # let exceptions through to here instead of Hydra's own report
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        main()
    except (HydraException, OmegaConfBaseException) as error:
        sys.exit(f"error: {one_line(error)}")
    except (ValueError, OverflowError) as error:
        if not foreign(error):
            raise
        sys.exit(f"error: {one_line(error)}")
    except OSError as error:
        if error.strerror is None:
            raise
        sys.exit(f"error: {error.filename or 'a file'}: {error.strerror}")


def output_folder() -> Path:
    """The folder that Hydra made for this run."""
    from hydra.core.hydra_config import HydraConfig

    return Path(HydraConfig.get().runtime.output_dir)


def noted(folder: Path) -> Path:
    """The folder, after a line in outputs/<job>/latest where it lies below outputs/<job>: what `latest` names then."""
    from hydra.core.hydra_config import HydraConfig

    jobs = Path("outputs", HydraConfig.get().job.name).absolute()
    if folder.absolute().is_relative_to(jobs):
        with (jobs / LATEST).open("a", encoding="utf-8") as file:  # no link: TensorBoard would show the run twice
            file.write(f"{folder.absolute().relative_to(jobs)}\n")
    return folder


def resumed(config: TrainConfig) -> TrainConfig:
    """With trainer.resume the run's saved config, changed only where that keeps the weights to come the same."""
    if config.trainer.resume is None:
        return config
    from hydra.core.hydra_config import HydraConfig

    from alpamayo_toy.students import checkpoint

    saved = from_dict(checkpoint.load(config.trainer.resume, "last")["config"])
    given = [override.partition("=")[0].lstrip("+~") for override in HydraConfig.get().overrides.task]
    given_again(saved, config, given)
    for key in given:
        if key in OWN:
            continue
        if key not in RESUMABLE:
            raise UserError(f"{key} cannot change when a run is continued; only {', '.join(RESUMABLE)} can")
        name = key.removeprefix("trainer.")
        setattr(saved.trainer, name, getattr(config.trainer, name))
    return saved


def _forget(folder: Path) -> None:
    """Remove a folder that holds nothing but Hydra's notes of a run that never was, and parents left empty."""
    if any(not entry.name.startswith(".hydra") for entry in folder.iterdir()):
        return
    shutil.rmtree(folder)
    for file in (parent / LATEST for parent in folder.parents[:4] if (parent / LATEST).is_file()):
        lines = file.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if file.parent / line != folder]
        file.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8") if kept else file.unlink()
    for parent in folder.parents[:2]:
        if parent.exists() and not any(parent.iterdir()):
            parent.rmdir()
