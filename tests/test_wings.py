"""Wings import only what stands below them, options import nothing but options, and no module imports itself."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from places import ROOT

PACKAGE = ROOT / "alpamayo_toy"
WINGS = (
    "kinematics",
    "metrics",
    "views",
    "labels",
    "students",
    "teachers",
    "evaluation",
    "training",
    "integrations",
    "commands",
)
"""From the ground up. Options, every config.py, lie below all of them, and so do these files of the package itself."""
GROUND = ("errors", "failures", "files", "hints", "processes", "ranks")


def modules(package: Path) -> dict[str, Path]:
    """Every module's dotted name below the package, "" for the package itself."""
    names = {path: path.relative_to(package).with_suffix("").parts for path in package.rglob("*.py")}
    return {".".join(parts[:-1] if parts[-1] == "__init__" else parts): path for path, parts in names.items()}


def imports(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """The package's modules that a file imports, wherever in it; imports for type checkers do not run."""
    tree = ast.parse(path.read_text())
    unseen = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports name the whole way"
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        found = [name.removeprefix("alpamayo_toy").lstrip(".") for name in names if name.startswith("alpamayo_toy")]
        yield from (name for name in found if name and name in known)


def is_option(module: str) -> bool:
    return module == "config" or module.endswith(".config")


def wing(module: str) -> str:
    return module.partition(".")[0]


def runs_up(module: str, imported: str) -> bool:
    """Whether an import goes where it may not."""
    if is_option(imported):
        return module in GROUND
    if is_option(module):
        return imported not in ("errors", "hints") and imported not in WINGS
    if wing(imported) not in WINGS:
        return False
    return wing(module) not in WINGS or WINGS.index(wing(imported)) > WINGS.index(wing(module))


def faults(package: Path) -> list[str]:
    """The imports that run up, then a circle where there is one."""
    known = modules(package)
    graph = {module: set(imports(path, known)) for module, path in known.items() if module != ""}
    found = [f"{module} imports {name}" for module, names in sorted(graph.items()) for name in sorted(names)]
    found = [text for text in found if runs_up(*text.split(" imports "))]
    # a wing's own __init__ runs before its modules, and may import them
    circles = {m: {n for n in names if not m.startswith(f"{n}.")} for m, names in graph.items()}
    try:
        TopologicalSorter(circles).prepare()
    except CycleError as error:
        found.append(f"a circle: {' imports '.join(reversed(error.args[1]))}")
    return found


def test_imports_run_down() -> None:
    assert faults(PACKAGE) == []


def test_every_module_stands_in_a_wing() -> None:
    assert {wing(module) for module in modules(PACKAGE)} <= {"", "config", *GROUND, *WINGS}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "line", "named"),
    [
        ("kinematics/rollout.py", "from alpamayo_toy.students.student import Student", "students.student"),
        ("labels/loading.py", "def f():\n    from alpamayo_toy.teachers import files", "teachers.files"),
        ("teachers/config.py", "import alpamayo_toy.kinematics.rollout", "kinematics.rollout"),
        ("files.py", "from alpamayo_toy.metrics import ade", "metrics"),
        ("kinematics/trajectory.py", "from alpamayo_toy.kinematics import rollout, inverse", "a circle"),
    ],
)
def test_a_planted_import_is_named(file: str, line: str, named: str, tmp_path: Path) -> None:
    for path in modules(PACKAGE).values():
        copy = tmp_path / path.relative_to(PACKAGE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text())
    (tmp_path / file).write_text(f"{(tmp_path / file).read_text()}\n{line}\n")
    module = file.removesuffix(".py").replace("/", ".")
    assert any(named in fault and (module in fault or named == "a circle") for fault in faults(tmp_path))


def test_options_import_neither_torch_nor_hydra() -> None:
    code = "import sys, alpamayo_toy.config, alpamayo_toy.commands.labels, alpamayo_toy.commands.launch\n"
    code += (
        "print([name for name in ('torch', 'numpy', 'hydra', 'scipy', 'jinja2', 'matplotlib') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.strip() == "[]"


def test_hydra_is_imported_where_options_are_composed_and_nowhere_else() -> None:
    users = {
        module
        for module, path in modules(PACKAGE).items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom | ast.Import)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
        if name.partition(".")[0] in ("hydra", "omegaconf")
    }
    assert users == {"config", "commands.launch"}


def test_modules_that_are_named_in_texts_are_there() -> None:
    known = modules(PACKAGE)
    texts = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.md"), *(ROOT / "scripts").glob("*.py"), ROOT / "README.md"]
    for path in [*texts, *(ROOT / "configs").rglob("*.*"), *(ROOT / ".github").glob("*.md")]:
        if path.suffix not in (".py", ".md", ".yaml"):
            continue
        text = path.read_text()
        named = set(re.findall(r"(?:from|import) alpamayo_toy\.([\w.]+)", text))
        named |= {name.replace("/", ".") for name in re.findall(r"alpamayo_toy/([\w/]+)\.py", text)}
        for name in named:
            assert name.removesuffix(".__init__") in known, f"{path}: {name}"


def test_no_file_is_longer_than_450_lines() -> None:
    files = [*PACKAGE.rglob("*.py"), *(ROOT / "scripts").glob("*.py")]
    assert [str(path) for path in files if len(path.read_text().splitlines()) > 450] == []
