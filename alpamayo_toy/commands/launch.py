"""How a command starts and ends: its folder, its one-line errors, its exit code."""

import functools
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, NoReturn

from alpamayo_toy.commands.ending import UNREAD, ending
from alpamayo_toy.commands.options import help_text
from alpamayo_toy.commands.sweep import Swept, joint_table
from alpamayo_toy.config import SCHEMAS, foreign, one_line, register
from alpamayo_toy.errors import Interrupted, UserError, out_of_memory
from alpamayo_toy.files import locked
from alpamayo_toy.hints import LATEST, no_flag, program
from alpamayo_toy.ranks import Ranks, launched
from alpamayo_toy.training.config import OWN, RESUMABLE, TrainConfig, from_dict, given_again

TO_LOWER = {
    "train": "trainer.batch_size, loss.samples or student.modes",
    "batch": "workers, trainer.batch_size, loss.samples or student.modes",
    "eval": "crowd, or score fewer clips at once (labels.py split)",
    "drive": "drive.scenes or drive.seconds",
    "rollout": "horizon",
    "export": "the width or modes of the student, and train it again",
}
"""What the memory of a command grows with."""


def command(name: str) -> Callable[[Callable[[Any], None]], Callable[[], None]]:
    """Decorator of a Hydra job, a script's main(config): with it, main() composes configs/<name>.yaml and runs it.

    What the user or Hydra finds wrong is one line and exit code 1, Ctrl-C no more than exit code 130.
    """

    def decorated(job: Callable[[Any], None]) -> Callable[[], None]:
        def main() -> None:
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored
                signal.signal(signal.SIGINT, _ctrl_c)
            os.environ["MPLBACKEND"] = "agg"  # pictures are files; another one may not be installed
            with ending():  # before the first step there is nothing to save
                _composed(name, job)

        return main

    return decorated


def _ctrl_c(number: int, frame: FrameType | None) -> None:
    """KeyboardInterrupt, but in the middle of an import, which may swallow it or call it an ImportError, the end."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os._exit(128 + number)
        frame = frame.f_back
    raise KeyboardInterrupt


def _one_line_errors(job: Callable[[Any], None]) -> Callable[[Any], None]:
    """The user's mistakes end in one line and exit code 1, and leave no empty folder."""

    @functools.wraps(job)
    def guarded(config: Any) -> None:
        try:
            job(config)
        except UserError as error:
            _forget(output_folder())
            _end(str(error))
        except BrokenPipeError:  # Hydra would say that the job failed
            sys.exit(UNREAD)
        except OSError as error:
            if error.strerror is None:
                raise
            _end(f"{error.filename or 'a file'}: {error.strerror}")
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            _end(f"out of memory; lower {TO_LOWER[Path(sys.argv[0]).stem]}")
        except Interrupted as stop:
            if launched().local == 0:
                print(stop, file=sys.stderr)
            sys.exit(stop.exit_code)

    return guarded


def _composed(name: str, job: Callable[[Any], None]) -> None:
    """Let Hydra run it; what Hydra itself finds wrong on the command line is one line as well."""
    verb, ranks = Path(sys.argv[0]).stem, launched()
    if {"-h", "--help"} & set(sys.argv[1:]):
        return print(help_text(verb))
    if not ranks.alone and (verb != "train" or {"-m", "--multirun"} & set(sys.argv[1:])):
        _exit(f"torchrun is for one run of train.py; start {verb}.py without it")
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # let exceptions through to here instead of Hydra's own report
    import hydra
    from hydra._internal.utils import get_args_parser
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    _, unknown = get_args_parser().parse_known_args()
    if flags := [i for i, word in enumerate(sys.argv) if word in unknown and word.startswith("-")]:
        _exit(no_flag(sys.argv[flags[0] :], verb, SCHEMAS))
    register()
    try:
        with _folder_of_one(ranks):
            hydra.main(version_base="1.3", config_path="../configs", config_name=name)(_one_line_errors(job))()
    except (HydraException, OmegaConfBaseException) as error:
        _exit(one_line(error))
    except (ValueError, OverflowError, TypeError) as error:
        if not foreign(error):
            raise
        _exit(one_line(error))
    except OSError as error:
        if error.strerror is None or isinstance(error, BrokenPipeError):
            raise
        _exit(f"{error.filename or 'a file'}: {error.strerror}")
    finally:
        if Swept.folder is not None and Swept.folder.is_dir():
            print(joint_table(Swept.folder))


@contextmanager
def _folder_of_one(ranks: Ranks) -> Iterator[None]:
    """The first rank makes the run's folder; Hydra gives each of the others one that is thrown away."""
    if ranks.leads:
        yield
        return
    with TemporaryDirectory() as folder:
        sys.argv += [f"hydra.run.dir={folder}/run", "hydra.output_subdir=null"]
        yield


def _end(error: str) -> NoReturn:
    """End the command with one line, or of a sweep this job alone, whose exit code is 1 in the end."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from hydra.types import RunMode

    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        _exit(error)
    number = HydraConfig.get().job.num
    print(f"job {number}: {error}", file=sys.stderr)
    raise HydraException(f"job {number} failed, as said above; the others of the sweep were done")


def _exit(error: str) -> NoReturn:
    """End the process; among ranks the first one of each machine says why."""
    sys.exit(f"error: {error}" if launched().local == 0 else 1)


def output_folder() -> Path:
    """The folder that Hydra made for this run."""
    from hydra.core.hydra_config import HydraConfig

    return Path(HydraConfig.get().runtime.output_dir)


def noted(folder: Path) -> Path:
    """The folder, after a line in outputs/<job>/latest where it lies below outputs/<job>: what `latest` names then."""
    from hydra.core.hydra_config import HydraConfig

    jobs = Path("outputs", HydraConfig.get().job.name).absolute()
    if folder.absolute().is_relative_to(jobs):
        # no link: TensorBoard would show the run twice
        with locked(jobs, seconds=5), (jobs / LATEST).open("a", encoding="utf-8") as file:
            file.write(f"{folder.absolute().relative_to(jobs)}\n")
    return folder


def curves(folder: Path) -> str:
    """The command that shows the curves of a run beside those of its sweep, else of all runs of its job."""
    beside = folder.parents[1] if Swept.folder is None else Swept.folder.absolute()
    return f"{program('tensorboard')} --logdir {shlex.quote(str(beside))}"


def resumed(config: TrainConfig) -> TrainConfig:
    """With trainer.resume the run's saved config, changed only where that keeps the weights to come the same."""
    if config.trainer.resume is None:
        return config
    from hydra.core.hydra_config import HydraConfig

    from alpamayo_toy.students import checkpoint

    content = checkpoint.load(config.trainer.resume, "last")
    saved = from_dict(content["config"])
    given = [override.partition("=")[0].lstrip("+~") for override in HydraConfig.get().overrides.task]
    given_again(saved, config, given)
    for key in given:
        if key in OWN:
            continue
        if key not in RESUMABLE:
            raise UserError(f"{key} cannot change when a run is continued; only {', '.join(RESUMABLE)} can")
        name = key.removeprefix("trainer.")
        setattr(saved.trainer, name, getattr(config.trainer, name))
    if "trainer.steps" in given and "training" in content:
        saved.trainer.steps = _steps(saved.trainer.steps, content["step"], checkpoint.ends_of(content)[-1])
    return saved


def _steps(wanted: int, reached: int, planned: int) -> int:
    """The steps of a run that is continued, after a line that says what becomes of its learning rates."""
    said = ""
    if wanted > planned:
        said = f": learning rates are as planned until step {planned}, where they warm up and fall to 0 again"
    elif wanted < reached:
        said = f" is below step {reached}, where the run is: it ends there"
    elif wanted < planned:
        said = f": with the learning rates of {planned} steps, the run ends there"
    if said and launched().local == 0:
        print(f"trainer.steps={wanted}{said}", file=sys.stderr)
    return max(wanted, reached)


def _forget(folder: Path) -> None:
    """Remove a folder that holds nothing but Hydra's notes of a run that never was, and parents left empty."""
    if any(not entry.name.startswith(".hydra") for entry in folder.iterdir()):
        return
    shutil.rmtree(folder)
    for file in (parent / LATEST for parent in folder.parents[:4] if (parent / LATEST).is_file()):
        with locked(file.parent, seconds=5):  # another run may add its line
            lines = file.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if file.parent / line != folder]
            file.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8") if kept else file.unlink()
    for parent in folder.absolute().parents[:2]:
        if parent.exists() and not any(parent.iterdir()) and not Path.cwd().is_relative_to(parent):
            parent.rmdir()
