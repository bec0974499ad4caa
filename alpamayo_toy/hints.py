"""unknown_option(): what was probably meant by an option that there is not, and what would make it one."""

from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

_INSIDE = Path(__file__).parent / "configs"  # of an installed wheel; in a checkout they lie beside the package
CONFIGS = _INSIDE if _INSIDE.is_dir() else Path(__file__).parents[1] / "configs"
SHOWN = 3  # choices that are named


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
    owners = [f"{name}.py" for name in commands if key in options[name]]
    if owners:
        return f"{said} in {command}.py; {' and '.join(owners)} {'has' if len(owners) == 1 else 'have'} it"
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
