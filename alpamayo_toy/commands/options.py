"""help_text(): what --help shows of a command, each option with its default and the comment that its dataclass has."""

import ast
import inspect
import io
import re
import shutil
import textwrap
import tokenize
from dataclasses import MISSING, fields
from typing import Any

from alpamayo_toy.config import SCHEMAS
from alpamayo_toy.hints import CONFIGS, command_line, schemas_of

ABOUT = {
    "train": "Train a student.",
    "batch": "Train several seeds of one configuration.",
    "eval": "Score a student, or put runs side by side.",
    "drive": "Ask a student again every 0.1 s: does it drive?",
    "rollout": "Roll out one synthetic trajectory, without training.",
    "export": "Release a student: files that run without this project.",
}
EXAMPLES = {
    "train": ("scenario=LEFT", "teacher=file teacher.path=labels.json", "-m scenario=LEFT,RIGHT trainer=smoke"),
    "batch": ("scenario=LEFT seeds=8", "-m 'scenario=glob(*)' seeds=3", "resume=latest workers=2"),
    "eval": (
        "checkpoint=latest",
        "checkpoint=latest teacher=file teacher.path=labels.json",
        "'compare=[BATCH_A,BATCH_B]'",
    ),
    "drive": (
        "checkpoint=latest",
        "checkpoint=latest drive.delay=2 'hide=[history]'",
        "checkpoint=latest scenario=ROAD",
    ),
    "rollout": ("scenario=LEFT", "scenario=LEFT plot=false", "scenario=STOP 'scenario.speed_mps=[3,5]' seed=1"),
    "export": (
        "checkpoint=latest output=released",
        "checkpoint=released push=user/name",
        "checkpoint=latest navsim=agent",
    ),
}
FLAGS = {
    "-m": "run every combination of the values that are listed, as in scenario=LEFT,RIGHT",
    "--cfg job": "show what would be run, and stop",
    "--config-dir FOLDER": "YAML of your own, in the same groups",
}
INDENT = 34  # columns before what an option is


def help_text(verb: str) -> str:
    """What a command does, three examples, and its options with their defaults: those of each group, then its own."""
    lines = [ABOUT[verb], "", *(f"  {command_line(verb)} {words}" for words in EXAMPLES[verb])]
    lines += ["", "Options are given as name=value. Shown are the default of each and what it is."]
    chosen, about = _chosen(verb), comments(SCHEMAS[verb])
    own: list[str] = []
    for option in fields(SCHEMAS[verb]):
        schemas, choices = schemas_of(option, SCHEMAS), _choices(option.name)
        if not schemas:
            own += _columns(f"{option.name}={_shown(_default(option))}", about[option.name])
            continue
        lines += ["", f"{option.name.capitalize()}{': ' if about[option.name] else ''}{about[option.name]}"]
        if option.name in chosen:
            first = chosen.get(option.name, "null")
            lines += _columns(f"{option.name}={first.replace('null', '')}", f"one of {', '.join(choices)}")
        for schema in schemas:
            those = [name for name, (leaf, _) in choices.items() if SCHEMAS[f"{option.name}/{leaf}"] is schema]
            if len(schemas) > 1:
                lines += [
                    "",
                    *textwrap.wrap(f"where {option.name} is {' or '.join(those)}", 2 * INDENT, initial_indent="  "),
                ]
            filled = choices[chosen[option.name]][1] if chosen.get(option.name) in those else {}
            for inner, comment in comments(schema).items():
                default = next(_default(field) for field in fields(schema) if field.name == inner)
                lines += _columns(f"{option.name}.{inner}={filled.get(inner, _shown(default))}", comment)
    if "experiment" in chosen:
        lines += ["", "Experiment: several options under one name"]
        lines += _columns("experiment=", f"one of {', '.join(_choices('experiment'))}")
    lines += ["", "Of its own", *own, "", "Beside options"]
    return "\n".join([*lines, *(line for flag, told in FLAGS.items() for line in _columns(flag, told))])


def comments(kind: type) -> dict[str, str]:
    """Of each field of a dataclass, its parents' first, the comment that stands behind it in its source."""
    found: dict[str, str] = {}
    for parent in reversed(kind.__mro__[:-1]):
        source = textwrap.dedent(inspect.getsource(parent))
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        at = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
        (made,) = ast.parse(source).body
        assert isinstance(made, ast.ClassDef)
        for node in made.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
                found[node.target.id] = " ".join(at[line] for line in lines if line in at)
    return found


def _chosen(verb: str) -> dict[str, str]:
    """Of each group the choice in a command's YAML."""
    return dict(re.findall(r"^  - (\w+): (\w+)$", (CONFIGS / f"{verb}.yaml").read_text(), flags=re.MULTILINE))


def _choices(group: str) -> dict[str, tuple[str, dict[str, str]]]:
    """Of each file of a group its dataclass, as SCHEMAS calls it, and the lines that it fills."""
    found = {}
    for path in sorted((CONFIGS / group).glob("*.yaml")):
        text = path.read_text()
        leaf = re.search(r"/schema/\w+@_here_: (\w+)", text)
        filled = dict(re.findall(r"^(\w+): (.+)$", text, flags=re.MULTILINE))
        found[path.stem] = (leaf[1] if leaf else "", filled)
    return found


def _default(field: Any) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _shown(value: Any) -> str:
    """As it is typed; nothing where there is none."""
    if value in (None, "???", MISSING) or value == {}:
        return ""
    if isinstance(value, list):
        return f"[{','.join(map(_shown, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _columns(left: str, right: str) -> list[str]:
    """An option, and beside it what it is, in lines that fit the terminal."""
    width = max(min(shutil.get_terminal_size().columns, 120), INDENT + 30)
    lines = textwrap.wrap(right, width - INDENT, break_on_hyphens=False)
    beside = lines.pop(0) if lines and len(left) + 4 <= INDENT else ""
    return [f"  {left:<{INDENT - 2}}{beside}".rstrip(), *(f"{'':<{INDENT}}{line}" for line in lines)]
