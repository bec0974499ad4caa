"""What kill -9 costs: commands killed at random moments of their lives, and run again as one goes on.

python tests/killed.py [COUNT] [SEED]: so many kills, over the commands in turn, and a table in Markdown. Half of the
reruns begin at once, beside whatever the killed command left behind. They must reach the files of a run that nothing
disturbed; a rerun is refused where it says why it does not.
"""

import itertools
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from typing import Any

import shorter  # noqa: F401
import torch
from batches import SMALL
from command_line import ended, start_script
from label_sets import odd_clips, pieces
from limited import show

from alpamayo_toy.labels.stored import building, convert
from alpamayo_toy.teachers import generate

Words = tuple[str, ...]
COMMANDS: dict[str, Words] = {
    "train": ("train", *SMALL, "trainer.val_every=10", "hydra.run.dir=out"),
    "batch workers=2": ("batch", *SMALL, "seeds=2", "workers=2", "hydra.run.dir=out"),
    "eval": ("eval", "checkpoint=given", "hydra.run.dir=out", "plot=false"),
    "labels convert --workers 2": ("labels", "convert", "pieces", "out", "--workers", "2"),
    "labels convert to .npz": ("labels", "convert", "pieces", "out.npz"),
    "labels generate": ("labels", "generate", "out", "--clips", "60", "--samples", "3", "--scenario", "ALL"),
    "labels merge": ("labels", "merge", "parts/0", "parts/1", "out"),
    "labels split": ("labels", "split", "whole", "out", "--val", "0.3", "--test", "0.3"),
}
AGAIN = {  # how one goes on where such a file is there, in all else by the same command
    "train": ("out/checkpoints/last.pt", ("train", "trainer.resume=out")),
    "batch workers=2": ("out/config.json", ("batch", "resume=out")),
}
ORPHANS, LONGEST = 5, 10  # s until none may be there; that a rerun may take beyond three times an undisturbed run


def small_steps() -> None:
    """For a command's own process: many small files, so that a kill falls between two of them."""
    convert.UNIT_FILES, building.SHARD_BYTES, generate.SHARD_BYTES = 1, 10_000, 10_000


def prepared(folder: Path) -> None:
    """All that the commands are given."""
    labels = odd_clips()
    pieces(folder / "pieces", labels, 12)
    for name, paths in (("parts/0", slice(6)), ("parts/1", slice(6, 12)), ("whole", slice(12))):
        convert.convert(sorted((folder / "pieces").iterdir())[paths], folder / name)
    ran(("train", *SMALL, "hydra.run.dir=given"), folder)


def ran(words: Words, folder: Path, timeout: float = 300) -> CompletedProcess[str]:
    return ended(start_script(words[0], words[1:], folder, small_steps), folder, timeout)


def outlived(folder: Path) -> int:
    """How many processes still work in a folder some seconds later."""
    deadline = time.monotonic() + ORPHANS
    while left := [path for path in Path("/proc").glob("[0-9]*/cwd") if path.resolve() == folder]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return len([os.kill(int(path.parent.name), signal.SIGKILL) for path in left])


def plain(content: Any) -> Any:
    """Of a checkpoint, but for the options, which say that it was continued."""
    if isinstance(content, dict):
        return {key: plain(value) for key, value in content.items() if key != "config"}
    return (content.shape, content.flatten().tolist()) if isinstance(content, torch.Tensor) else content


def contents(folder: Path) -> dict[str, Any]:
    """All files that a command has made, by name, but for what holds a date."""

    def content(path: Path) -> Any:
        if path.suffix == ".pt":
            return repr(plain(torch.load(path, weights_only=True)))
        return path.name if path.name == "config.json" else path.read_bytes()

    made = [path for path in folder.rglob("*") if path.is_file() and ".hydra" not in str(path)]
    dated = ("events.", "run.json")
    return {str(path.relative_to(folder)): content(path) for path in made if not path.name.startswith(dated)}


def killed(command: str, given: Path, whole: dict[str, Any], took: float, draw: random.Random) -> Counter[str]:
    """What became of one kill; nothing where the command had ended before it."""
    folder = given.with_name("killed")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(given, folder)
    words = COMMANDS[command]
    process = start_script(words[0], words[1:], folder, small_steps)
    process.join(draw.uniform(0, took))
    process.kill()
    process.join()
    if process.exitcode != -signal.SIGKILL:
        return Counter()
    found = Counter({"kills": 1, "orphans": outlived(folder) if draw.random() < 0.5 else 0})
    begun, anew = AGAIN.get(command, ("", words))
    try:
        again = ran(anew if (folder / begun).exists() else words, folder, 3 * took + LONGEST)
    except TimeoutExpired:
        found["hangs"] += 1
    else:
        found["tracebacks"] += "Traceback" in again.stderr
        made = contents(folder)
        other = sorted(name for name in {**made, **whole} if made.get(name) != whole.get(name))
        found["refused" if again.returncode else "damaged or lost"] += bool(other)
        if found.total() > 1:
            print(f"{command}: exit code {again.returncode}; {other} {again.stderr[-600:]}", file=sys.stderr)
    found["orphans"] += outlived(folder)
    return found


def main(count: int, seed: int) -> None:
    draw, heads = random.Random(seed), ("kills", "tracebacks", "refused", "damaged or lost", "orphans", "hangs")
    found: dict[str, Counter[str]] = {command: Counter() for command in COMMANDS}
    with tempfile.TemporaryDirectory() as room:
        given = Path(room, "given")
        given.mkdir()
        prepared(given)
        whole = {}
        for command, words in COMMANDS.items():
            folder = given.with_name(command.replace(" ", "-"))
            shutil.copytree(given, folder)
            start = time.monotonic()
            result = ran(words, folder)
            assert result.returncode == 0, result.stderr
            whole[command] = (contents(folder), time.monotonic() - start)
        for command in itertools.cycle(COMMANDS):
            if sum(one["kills"] for one in found.values()) == count:
                break
            found[command] += killed(command, given, *whole[command], draw)
    show("command", found, heads)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100, int(sys.argv[2]) if len(sys.argv) > 2 else 0)
