"""What to type instead: unknown_option(), what was probably meant; command_line(), a command that can be pasted."""

import re
import shlex
import shutil
import sys
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

_INSIDE = Path(__file__).parent / "configs"  # of an installed wheel; in a checkout they lie beside the package
CONFIGS = _INSIDE if _INSIDE.is_dir() else Path(__file__).parents[1] / "configs"
SHOWN = 3  # choices that are named
LATEST = "latest"
"""A run's name on the command line, and the file in outputs/<job> with a line for each run there, the last one last."""
CONSOLE = "alpamayo-toy"  # the script that an installation puts beside python
CLOSE = 0.7  # of difflib's likeness, from which on a word is taken for another one misspelt
MANY = 2  # letters, from which on a word inside of another one says something
TIMES = {"k": 1e3, "m": 1e6}  # 1k, 2M
LOOKED_AT = 1000  # files in a folder, among which one of nearly the same name is looked for
OTHER_WORDS = {
    "batch": ("trainer.batch_size",),
    "checkpoint": ("trainer.resume", "trainer.init_from"),
    "epochs": ("trainer.steps",),
    "gpu": ("trainer.device", "device"),
    "labels": ("teacher.path",),
    "learning_rate": ("optimizer.lr",),
    "output": ("name",),
    "plot": ("trainer.pictures=0",),
    "steps": ("horizon",),
}
"""What options are called elsewhere."""


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


def program(name: str) -> str:
    """One that was installed beside this Python, as it is typed here: by its path where it is not on PATH, quoted."""
    beside = Path(sys.executable).with_name(name)
    return name if shutil.which(name) == str(beside) or not beside.is_file() else shlex.quote(str(beside))


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
    group = key.partition(".")[0]
    if key in mine:
        return f"{said} where {group} is not chosen, or is another one; add {_listed(_choices(key, schemas))}"
    meant = _named(key, mine)
    owners = [command_name(name) for name in commands if key in options[name]]
    if owners:
        meant = meant if "." in key else _elsewhere(key, mine)  # student.output is no place to write to
        said += f" in {command_name(command)}; {_all_of(owners)} {'has' if len(owners) == 1 else 'have'} it"
        return f"{said}; here it is {_listed(meant)}" if meant else said
    if meant := meant or _nearly(key, mine):
        return f"{said}; did you mean {_listed(meant)}?"
    inside = [option.rpartition(".")[2] for option in mine if option.startswith(f"{group}.")]
    if inside and "." in key:
        return f"{said}; {group} has {', '.join(dict.fromkeys(inside))}"
    return f"{said}; {command_name(command)} --help shows all" if command in commands else said


def no_flag(words: list[str], command: str, schemas: dict[str, Any]) -> str:
    """One line on words that begin like flags, as other programs' options do: --steps 5, --lr=1e-3."""
    flag, _, value = words[0].partition("=")
    key = flag.strip("-").replace("-", "_")
    mine = _options(schemas[command], schemas)
    meant = [key] if key in mine else _named(key, mine) or _nearly(key, mine)
    given = value or next((word for word in words[1:2] if not word.startswith("-")), "...")
    said = f"there is no flag {flag}; options are given as name=value"
    return f"{said}: {meant[0]}={given}" if meant else f"{said}, and {command_name(command)} --help shows all"


def without_value(words: list[str], command: str, schemas: dict[str, Any], before: str) -> str:
    """One line on words of which the first should have been name=value: LEFT, a folder, trainer.steps 5.

    before: the word that stands before them, of which the first may be the value: trainer.steps= 5.
    """
    word, *rest = words
    rest = [word for word in (word.removeprefix("=") for word in rest) if word]  # trainer.steps = 5
    mine = _options(schemas[command], schemas)
    groups = [option for option in mine if (CONFIGS / option / f"{word}.yaml").is_file()]
    if before.endswith("="):
        meant = f"{before}{word}"
    elif word in mine:
        meant = f"{word}={rest[0] if rest and '=' not in rest[0] else '...'}"
    elif groups:
        meant = f"{groups[0]}={word}"
    elif "checkpoint" in mine and (Path(word).exists() or "/" in word):
        meant = f"checkpoint={word}"
    else:
        meant = f"{command_name(command)} --help shows all"
    return f"{word}: options are given as name=value; {'' if 'shows' in meant else 'write '}{meant}"


def several_values(key: str, values: str, command: str, schemas: dict[str, Any]) -> str:
    """One line on values with commas where a command runs once: a list, a sweep, thousands, or a decimal comma."""
    meant = []
    if re.fullmatch(r"[1-9]\d{0,2}(,\d{3})+", values):
        meant.append(f"{key}={values.replace(',', '')} as a number")
    elif re.fullmatch(r"\d+,\d+", values):
        meant.append(f"{key}={values.replace(',', '.')} as a number")
    elif not (CONFIGS / key).is_dir() and not _is_plain(key, command, schemas):
        meant.append(f"'{key}=[{values}]' as a list")
    meant.append(f"-m {key}={values} to run each")
    return f"{key}={values} is several values; write {' or '.join(meant)}"


def unreadable(words: list[str], command: str, schemas: dict[str, Any], before: str) -> str:
    """One line on words of which Hydra's grammar does not take the first: ~, a folder, several options in quotes.

    before: the word that stands before them.
    """
    word = words[0]
    key, equals, value = word.partition("=")
    if not equals:
        return without_value(words, command, schemas, before)
    if re.fullmatch(r"[\w.]+=\S+( [\w.]+=\S+)+", word):
        return f"'{word}' is several options in one pair of quotes; write each by itself: {word}"
    if value.startswith(("[", "(", "{")):
        return f"{word} cannot be read; a list or a text with spaces stands in quotes: 'name=[1,2]', 'name=\"a, b\"'"
    value = value.lstrip("=")
    whole = str(Path(value).expanduser()) if value.startswith("~") else value
    return f"{word} cannot be read; write {shlex.quote(f'{key}={_hydra(whole)}')}"


def no_choice(group: str, given: str, choices: list[str]) -> str:
    """What was probably meant by a choice that a group does not have, in a question; empty where nothing is near."""
    if group == "teacher" and Path(given).suffix:
        return f"did you mean teacher=file teacher.path={given}?"
    word, names = given.upper(), {name.upper(): name for name in choices}
    whole = [name for name in names if name == word] or [name for name in names if name in word]
    around = [name for name in names if len(word) > MANY and word in name]
    near = whole or around or get_close_matches(word, names, n=1)
    return f"did you mean {_listed([f'{group}={names[name]}' for name in near])}?" if near else ""


def lying_near(path: Path, *others: str) -> str:
    """What was probably meant by a path where nothing lies, as the end of a sentence: what has nearly its name."""
    if re.match(r"[a-z0-9]{2,}:/", str(path)):  # a path has lost the second slash
        return "; what lies elsewhere is downloaded first"
    behind = str(path).partition("=")[2]
    if behind and Path(behind).exists():
        return f"; did you mean {behind}?"
    lying = islice(path.parent.iterdir(), LOOKED_AT) if path.parent.is_dir() else ()
    names = [*others, *(entry.name for entry in lying if entry.name.isprintable())]
    close = get_close_matches(path.name, names, n=1, cutoff=CLOSE)
    if close:
        return f"; did you mean {close[0] if close[0] in others else path.with_name(close[0])}?"
    return ""


def last_run_in(folder: Path) -> str:
    """The newest run in a folder that is none itself, as the end of a sentence: of a scenario, of a batch's seeds."""
    found = [best for depth in ("*", "*/*") for best in folder.glob(f"{depth}/checkpoints/best.pt")]
    last = max(found, key=lambda best: best.stat().st_mtime).parents[1] if found else None
    return f"; the last run in {folder} is {last}" if last else ""


def of_another_type(given: str, why: str) -> str:
    """Why a value is not taken, and how it would be."""
    key, _, value = given.partition("=")
    if "is not a ListConfig" in why:
        return f"must be a list, '{key}=[{value}]'"
    number = re.fullmatch(r"(\d+\.?\d*(?:e\+?\d+)?)([km]?)", value.lower())
    whole = float(number[1]) * TIMES.get(number[2], 1) if number and "to Integer" in why else 0.5
    if whole.is_integer():
        return f"{why}; write {key}={whole:.0f}"
    return f"{why}; true or false" if "bool" in why else why


def _named(key: str, mine: list[str]) -> list[str]:
    """The options of a command that have an unknown one's last name, or are called so elsewhere."""
    last = key.rpartition(".")[2]
    same = [option for option in mine if option.rpartition(".")[2] == last]
    return same or _elsewhere(last, mine)


def _elsewhere(word: str, mine: list[str]) -> list[str]:
    """The options of a command that are called so elsewhere."""
    return [option for option in OTHER_WORDS.get(word, ()) if option.partition("=")[0] in mine]


def _nearly(key: str, mine: list[str]) -> list[str]:
    """The options of a command that are spelt nearly like an unknown one.

    In a group that there is, by their last names alone: the group's name would make all in it alike.
    """
    group, _, last = key.rpartition(".")
    within = [option for option in mine if group and option.startswith(f"{group}.")]
    bare = dict.fromkeys(option.rpartition(".")[2] for option in mine)
    names = [*bare] if within else mine if group else [*mine, *bare]
    close = get_close_matches(last if within else key, names, n=1, cutoff=CLOSE)
    if close and close[0] in mine:
        return close
    found = [option for option in mine if close and option.rpartition(".")[2] == close[0]]
    return [option for option in found if option in within] or found


def _options(kind: Any, schemas: dict[str, Any]) -> list[str]:
    """Every option of a command, dotted as on the command line."""
    found = []
    for field in fields(kind):
        inner = (f"{field.name}.{option.name}" for group in schemas_of(field, schemas) for option in fields(group))
        found += [field.name, *inner]
    return list(dict.fromkeys(found))


def schemas_of(field: Any, schemas: dict[str, Any]) -> list[Any]:
    """The dataclasses that a field of a command may hold: its own, or that of each choice."""
    if isinstance(field.type, type) and is_dataclass(field.type):
        return [field.type]
    return [kind for name, kind in schemas.items() if name.startswith(f"{field.name}/")]


def _is_plain(key: str, command: str, schemas: dict[str, Any]) -> bool:
    """Whether an option is one number, text or truth in all of its group's choices, never a list."""
    own = {field.name: field for field in fields(schemas[command])} if command in schemas else {}
    group, _, name = key.partition(".")
    inner = schemas_of(own[group], schemas) if name and group in own else []
    found = [own[key]] if key in own else [field for kind in inner for field in fields(kind) if field.name == name]
    return bool(found) and all(field.type in (bool, int, float, str) for field in found)


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
        if any(re.search(rf"/schema/{group}@_here_: {leaf}\b", file.read_text()) for leaf in leaves)
    ] or [f"{group}=..."]


def _all_of(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _listed(names: list[str]) -> str:
    if len(names) > SHOWN:
        return f"{', '.join(names[:SHOWN])} or another"
    return " or ".join(names)
