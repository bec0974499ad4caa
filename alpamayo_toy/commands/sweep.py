"""One table of all jobs of a sweep, after its last one."""

import json
from pathlib import Path
from typing import Any

from alpamayo_toy.files import replacing

TABLE = "table.md"


class Swept:
    """Hydra's callback: it keeps the folder of the sweep that begins, whose table is wanted when it has ended."""

    folder: Path | None = None

    def on_multirun_start(self, config: Any, **_: Any) -> None:
        Swept.folder = Path(str(config.hydra.sweep.dir))

    def __getattr__(self, name: str) -> Any:
        """Hydra tells of every other event as well."""
        if name.startswith("on_"):
            return lambda **_: None
        raise AttributeError(name)


def joint_table(folder: Path) -> str:
    """A Markdown table with a row for each job, by its folder's name: of its seeds, or of its one run.

    Written to table.md in the sweep's folder, and returned with where that is.
    """
    from alpamayo_toy.training.seeds import cells, heads

    jobs = sorted((path for path in folder.iterdir() if path.is_dir()), key=_number)
    found = {job.name: content for job in jobs if (content := _read(job)) is not None}
    columns = heads(list(found.values()))
    rows = [["job", *columns.values()], ["---"] * (len(columns) + 1)]
    for job in jobs:
        rows.append([job.name, *(cells(found[job.name], columns) if job.name in found else ["failed"] * len(columns))])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    with replacing(folder / TABLE) as file:
        file.write(f"{table}\n".encode())
    return f"{table}\ntable: {folder / TABLE}"


def _number(job: Path) -> tuple[int, str]:
    number = job.name.partition("_")[0]
    return (int(number) if number.isdecimal() else 0, job.name)


def _read(job: Path) -> dict[str, Any] | None:
    """What a batch or a run says of itself, None where it has not ended."""
    for name in ("summary.json", "metrics.json"):
        if (job / name).is_file():
            content: dict[str, Any] = json.loads((job / name).read_text())
            return content
    return None
