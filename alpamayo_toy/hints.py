"""What to type instead: unknown_option(), what was probably meant; command_line(), a command that can be pasted."""

import re
import shlex
import shutil
import sys
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

_INSIDE = Path(__file__).parent / "configs"  # of an installed wheel; in a checkout they lie beside the package
CONFIGS = _INSIDE if _INSIDE.is_dir() else Path(__file__).parents[1] / "configs"
SHOWN = 3  # choices that are named
CONSOLE = "alpamayo-toy"  # the script that an installation puts beside python


def command_line(verb: str, **options: object) -> str:
    """A command of scripts/ with Hydra options (trainer__resume for trainer.resume), as this one was called, quoted.

    `alpamayo-toy train ...` where that was typed; else this Python and the script that lies beside the one that runs,
    which a script called by its whole path is found by from its checkout: folders are named in full then.
    """
    called, checkout = _called(verb)
    named = {
        name.replace("__", "."): value.absolute() if isinstance(value, Path) and checkout else value
        for name, value in options.items()
    }
    line = shlex.join([*called, *(f"{name}={_hydra(str(value))}" for name, value in named.items())])
    return f"cd {shlex.quote(str(checkout))} && {line}" if checkout else line


def command_name(verb: str) -> str:
    """As people say it: train.py, or alpamayo-toy train where that was typed."""
    return f"{CONSOLE} {verb}" if _typed_console() else f"{verb}.py"


def _called(verb: str) -> tuple[list[str], Path | None]:
    """The words of a command, and the folder that it is typed in where that may be another than this one."""
    if console := _typed_console():
        return [CONSOLE if shutil.which(CONSOLE) == console else console, verb], None
    script = Path(sys.argv[0]).with_name(f"{verb}.py")
    if not script.is_file():  # called from a notebook or a program of one's own
        script = CONFIGS.with_name("scripts") / script.name
    checkout = script.parents[1] if script.is_absolute() else None
    python = "python" if shutil.which("python") == sys.executable else sys.executable
    return [python, str(script.relative_to(checkout) if checkout else script)], checkout


def _typed_console() -> str:
    """The console script's path where it runs; its verb's script has put itself into sys.argv meanwhile."""
    first = sys.orig_argv[1] if len(sys.orig_argv) > 1 else ""
    return first if Path(first).stem == CONSOLE else ""


def _hydra(value: str) -> str:
    """A value in Hydra's own quotes where it needs them: its grammar knows spaces, commas, brackets and ${}."""
    if re.fullmatch(r"[\w./:@%+-]+", value, re.ASCII):
        return value
    value = re.sub(r"(\\*)(\$\{)", r"\1\1\\\2", value)
    return '"' + re.sub(r'(\\*)("|$)', lambda m: m[1] * 2 + ('\\"' if m[2] else ""), value) + '"'


def unknown_option(key: str, command: str, schemas: dict[str, Any]) -> str:
    """One line on a key that a command (train, batch, ...) does not take; of an unknown command, that none takes.

    schemas: the dataclass of each command, and of each choice as group/name.
    """
    commands = [name for name in schemas if "/" not in name]
    options = {name: _options(schemas[name], schemas) for name in commands}
    mine = options.get(command) or list(dict.fromkeys(option for names in options.values() for option in names))
    said = f"there is no option {key}"
    if key in mine:
        group = key.partition(".")[0]
        return f"{said} where {group} is not chosen, or is another one; add {_listed(_choices(key, schemas))}"
    names = mine if "." not in key else []
    bare: dict[str, list[str]] = {option.rpartition(".")[2]: [] for option in names}
    for option in mine:
        bare.get(option.rpartition(".")[2], []).append(option)
    if key in bare:
        return f"{said}; did you mean {_listed(bare[key])}?"
    owners = [command_name(name) for name in commands if key in options[name]]
    if owners:
        return f"{said} in {command_name(command)}; {' and '.join(owners)} {'has' if len(owners) == 1 else 'have'} it"
    close = get_close_matches(key, [*mine, *bare], n=1)
    meant = close if close and close[0] in mine else [option for name in close for option in bare[name]]
    return said + (f"; did you mean {_listed(meant)}?" if meant else "")


def _options(kind: Any, schemas: dict[str, Any]) -> list[str]:
    """Every option of a command, dotted as on the command line."""
    found = []
    for field in fields(kind):
        own = field.type if isinstance(field.type, type) and is_dataclass(field.type) else None
        kinds = [own] if own else [k for name, k in schemas.items() if name.startswith(f"{field.name}/")]
        found += [field.name, *(f"{field.name}.{option.name}" for group in kinds for option in fields(group))]
    return list(dict.fromkeys(found))


def _choices(key: str, schemas: dict[str, Any]) -> list[str]:
    """The choices of a group that have an option, as on the command line: ["teacher=file"]."""
    group, _, option = key.partition(".")
    leaves = [
        name.partition("/")[2]
        for name, kind in schemas.items()
        if name.startswith(f"{group}/") and option in {field.name for field in fields(kind)}
    ]
    return [
        f"{group}={file.stem}"
        for file in sorted((CONFIGS / group).glob("*.yaml"))
        if any(f"/schema/{group}@_here_: {leaf}," in file.read_text() for leaf in leaves)
    ] or [f"{group}=..."]


def _listed(names: list[str]) -> str:
    if len(names) > SHOWN:
        return f"{', '.join(names[:SHOWN])} or another"
    return " or ".join(names)
