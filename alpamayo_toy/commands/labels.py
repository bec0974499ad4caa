"""python scripts/labels.py: the subcommands, their options, what they print and their exit codes."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from alpamayo_toy.commands.ending import ending
from alpamayo_toy.commands.parser import Layouts, Parser
from alpamayo_toy.errors import Interrupted, UserError
from alpamayo_toy.hints import command_name
from alpamayo_toy.labels.formats.layouts import SUFFIXES

NO_FOLDER = (*SUFFIXES, ".csv", ".tsv", ".txt", ".xlsx")  # none is meant by such a name
SAMPLED = 20_000  # clips that a report looks at
UNREADABLE = 5  # files that are named


@ending()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; its exit code. A mistake of the user is one line and 2."""
    options = _parser().parse_args(arguments)
    if getattr(options, "map", ""):
        options.told += f",{options.map}"
    job: Callable[[argparse.Namespace], int] = options.job
    for stream in (sys.stdout, sys.stderr):  # a clip id or path may hold what no terminal shows
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return job(options)
    except BrokenPipeError:
        raise
    except UserError as error:
        from alpamayo_toy.labels.untrusted.texts import one_line

        print(f"error: {one_line(str(error))}", file=sys.stderr)
    except OSError as error:
        print(f"error: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
    except (KeyboardInterrupt, Interrupted) as stop:
        goes_on = getattr(options, "goes_on", False) and not _is_one_file(options.out)
        print("stopped" + ("; the same command goes on from here" if goes_on else ""), file=sys.stderr)
        return stop.exit_code if isinstance(stop, Interrupted) else 130
    return 2


def _parser() -> argparse.ArgumentParser:
    description = "Look at label files, and make sound sets of them."
    parser = Parser(prog=command_name("labels"), description=description)
    commands = parser.add_subparsers(required=True, metavar="check|convert|merge|split|report|generate")

    check = commands.add_parser("check", help="is a label file sound? exit code 0 yes, 1 with warnings, 2 unusable")
    check.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    check.add_argument("--json", type=Path, help="write the report there as well")
    check.add_argument("--splits", action="store_true", help="the paths are splits: no clip may be in two of them")
    _reading(check)
    check.set_defaults(job=_check)

    convert = commands.add_parser("convert", help="many files or folders into one set on disk")
    convert.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    convert.add_argument("out", type=Path, metavar="OUT", help="a folder; X.npz or X.parquet for one file")
    convert.add_argument("--workers", type=_positive, default=1, help="processes")
    convert.add_argument(
        "--shard",
        type=_share,
        metavar="i/n",
        help="do the i-th of n shares (default: a SLURM array's own)",
    )
    convert.add_argument(
        "--routes",
        nargs="?",
        const="recorded",
        default="",
        choices=("recorded", "future"),
        help="give each clip the 80 m that its recorded drive goes on, an oracle of where; or its own future alone",
    )
    _reading(convert)
    convert.set_defaults(job=_convert, goes_on=True)

    merge = commands.add_parser("merge", help="several sets as one, without copying")
    merge.add_argument("paths", nargs="+", type=Path, metavar="SET")
    merge.add_argument("out", type=Path, metavar="OUT")
    merge.set_defaults(job=_merge)

    split = commands.add_parser("split", help="OUT/train, OUT/val, OUT/test, by a hash of the clip id or by patterns")
    split.add_argument("path", type=Path, metavar="PATH")
    split.add_argument("out", type=Path, metavar="OUT")
    split.add_argument("--val", type=_fraction, help="of the clips, by the hash of their ids (default: 0.1)")
    split.add_argument("--test", type=_fraction, help="likewise")
    split.add_argument("--val-clips", action="append", metavar="PATTERN", help="of clip ids, such as 'drive_05'")
    split.add_argument("--test-clips", action="append", metavar="PATTERN", help="likewise; may be repeated")
    _told(split)
    split.set_defaults(job=_split)

    report = commands.add_parser("report", help="what the teacher is like: report.html and report.json")
    report.add_argument("path", type=Path, metavar="PATH")
    report.add_argument("out", type=Path, metavar="OUT", nargs="?", help="a folder (default: outputs/report/<name>)")
    _told(report)
    report.set_defaults(job=_report)

    generate = commands.add_parser("generate", help="run a teacher over clips and write a set as it goes")
    generate.add_argument("out", type=Path, metavar="OUT")
    generate.add_argument("--teacher", choices=("synthetic", "alpamayo"), default="synthetic")
    generate.add_argument("--scenario", default="ALL", help="of the synthetic teacher: a file of configs/scenario")
    generate.add_argument("--clips", type=_positive, default=8192, help="of the synthetic teacher")
    generate.add_argument("--samples", type=_positive, default=6, help="per clip")
    generate.add_argument("--seed", type=int, default=0)
    generate.add_argument("--shard", type=_share, metavar="i/n", help="as for convert")
    _asking(generate)
    generate.set_defaults(job=_generate, goes_on=True)
    return parser


def _asking(parser: argparse.ArgumentParser) -> None:
    """How a large model is loaded and asked."""
    group = parser.add_argument_group("of alpamayo, NVIDIA's models")
    group.add_argument("--clip-list", type=Path, metavar="FILE", help="a text file, 'clip_id t0_us' per line")
    group.add_argument(
        "--model", metavar="WEIGHTS", help="of a name on the hub, or a folder (default: Alpamayo-R1-10B)"
    )
    packages = ("alpamayo_r1", "alpamayo1_5", "alpamayo2_super")
    group.add_argument("--package", choices=packages, help="whose code they need, where their name does not say")
    attention = ("sdpa", "flash_attention_2", "eager")
    group.add_argument("--attention", choices=attention, help="(default: sdpa where flash-attn is not installed)")
    group.add_argument("--revision", help="of the weights on the hub")
    group.add_argument("--data-revision", help="of the recordings on the hub")
    group.add_argument("--cache", type=Path, metavar="FOLDER", help="the hub's cache (default: its own)")
    group.add_argument("--offline", action="store_true", help="read nothing but that cache")
    group.add_argument("--at-once", type=_positive, metavar="K", help="samples in a call (default: all, or what fits)")
    group.add_argument("--retry", type=_positive, metavar="N", help="ask a failed clip N times more")
    group.add_argument("--stop-after", type=_positive, metavar="N", help="failures in a row (default: 20)")


def _told(parser: argparse.ArgumentParser) -> None:
    told = "the layout, where it should not be guessed; without one: list them"
    parser.add_argument("--format", nargs="?", action=Layouts, default="auto", dest="told", help=told, metavar="LAYOUT")
    parser.add_argument("--map", default="", help="what names mean by hand, such as teacher=my_key,dt=0.5")


def _reading(parser: argparse.ArgumentParser) -> None:
    _told(parser)
    parser.add_argument("--strict", action="store_true", help="stop at the first clip with an error")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number >= 1 (got {text})")
    return int(text)


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be a fraction in [0, 1) (got {text})")
    return value


def _share(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError(f"must be i/n with 1 <= i <= n (got {text})")
    return int(found[1]), int(found[2])


def _slurm_share() -> tuple[int, int]:
    """This task's place in a SLURM array, where there is one. Raises UserError for an array with gaps."""
    names = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT")
    numbers = [os.environ.get(name, "") for name in names]
    if not all(number.isdecimal() for number in numbers):
        return 1, 1
    task, first, count = map(int, numbers)
    if task - first >= count:
        raise UserError("this SLURM array has gaps or a step; give --shard i/n")
    print(f"share {task - first + 1} of {count}, by the SLURM array")
    return task - first + 1, count


def _part(out: Path, share: tuple[int, int]) -> Path:
    """The folder of a share, or of the whole."""
    return out if share == (1, 1) else out / f"part-{share[0]:05d}-of-{share[1]:05d}"


def _is_one_file(out: Path) -> bool:
    return out.suffix.lower() in (".npz", ".parquet")


def _require_folder(out: Path) -> None:
    if _is_one_file(out):
        raise UserError(f"{out} must be a folder; convert makes one file of a set")
    if out.is_file():
        raise UserError(f"{out} is a file that is there; name a folder for a set, or FILE.npz or FILE.parquet")
    if out.suffix.lower() in NO_FOLDER and not out.is_dir():
        raise UserError(f"{out} would be a folder; one file is FILE.npz or FILE.parquet")


def _check(options: argparse.Namespace) -> int:
    from alpamayo_toy.labels.soundness.checking import check_paths

    code, text, report = check_paths(options.paths, options.told, options.strict, options.splits)
    print(text)
    if options.json:
        from alpamayo_toy.files import write_json

        write_json(options.json, report)
    return code


def _convert(options: argparse.Namespace) -> int:
    from alpamayo_toy.labels.stored.convert import convert, write_one_file

    share = options.shard or _slurm_share()
    if _is_one_file(options.out):
        if share != (1, 1):
            raise UserError(f"shares make sets that merge puts together; {options.out.name} is one file")
        reading = options.told, options.strict, options.workers, options.routes
        facts = write_one_file(options.paths, options.out, *reading)
        _say_made(facts, options.out)
        if options.out.suffix.lower() == ".parquet":
            lost = [words for what, words in (("context", "context"), ("route", "routes")) if what in facts["fields"]]
            lost += ["the file's own scenarios"] if facts["scenario_source"] == "file" else []
            print(f"left out: {' and '.join(lost)}, which are not read from Parquet" if lost else "nothing left out")
        return 0
    _require_folder(options.out)
    out = _part(options.out, share)
    how = options.told, options.strict, share, options.workers, options.out, options.routes
    made = convert(options.paths, out, *how)
    if made is None:
        print(f"share {share[0]} of {share[1]} is empty: there are fewer files than shares")
    else:
        _say_made(made.facts, out)
    return 0


def _merge(options: argparse.Namespace) -> int:
    from alpamayo_toy.labels.stored.building import merge

    _require_folder(options.out)
    _say_made(merge(options.paths, options.out).facts, options.out)
    return 0


def _say_made(facts: dict[str, Any], out: Path) -> None:
    """What was made, and what was left behind and why."""
    from alpamayo_toy.labels.soundness.check import ERRORS, WARNINGS
    from alpamayo_toy.labels.untrusted.texts import one_line

    print(f"{facts['clips']} clips of {facts['samples']} samples, {facts['horizon']} steps of {facts['dt']} s: {out}")
    says = {**ERRORS, **WARNINGS, "samples": f"has another number of samples than the first clip's {facts['samples']}"}
    says |= {"failed": "the model failed at it, as said above; the same command asks for it again"}
    for code, count in facts["dropped"].items():
        print(f"dropped {count:>8}  {code}: {says[code]}")
    aside = [source["name"] for source in facts["sources"] if "aside" in source]
    if aside:
        more = f" and {len(aside) - UNREADABLE} more" if len(aside) > UNREADABLE else ""
        print(f"left aside, no labels of their own: {', '.join(map(one_line, aside[:UNREADABLE]))}{more}")
    unreadable = [source["unreadable"] for source in facts["sources"] if "unreadable" in source]
    for why in unreadable[:UNREADABLE]:
        print(f"not read: {one_line(why)}")
    if len(unreadable) > UNREADABLE:
        print(f"not read: {len(unreadable) - UNREADABLE} files more, see labels.json")
    for name in facts["left_out"]:
        print(f"left out: {name}, which not all of these clips have, or not in one shape")


def _split(options: argparse.Namespace) -> int:
    from alpamayo_toy.labels.stored.splitting import ByHash, ByPattern, split_set

    patterns = [tuple(given or ()) for given in (options.val_clips, options.test_clips)]
    shares = [0.1 if share is None else share for share in (options.val, options.test)]
    if any(patterns) and (options.val is not None or options.test is not None):
        raise UserError("give either shares (--val, --test) or patterns (--val-clips, --test-clips)")
    if sum(shares) >= 1:
        raise UserError(f"--val {shares[0]} and --test {shares[1]} leave nothing to train on")
    rule = ByPattern(patterns[0], patterns[1]) if any(patterns) else ByHash(*shares)
    _require_folder(options.out)
    counts = split_set(options.path, options.out, options.told, rule)
    for side, count in counts.items():
        print(f"{side:<6}{count:>10} clips" + (f"  {options.out / side}" if count else ""))
    return 0


def _report(options: argparse.Namespace) -> int:
    from alpamayo_toy.evaluation.baselines import baselines
    from alpamayo_toy.labels.soundness.checking import sampled
    from alpamayo_toy.labels.soundness.report import report, summary

    out = options.out or Path("outputs") / "report" / options.path.stem
    _require_folder(out)
    labels, total = sampled(options.path, options.told, SAMPLED)
    learning = ("ridge", "ridge_route")
    simple = {name: made for name, made in baselines(labels, None).items() if name not in learning}
    print(summary(report(labels, simple, out, options.path.name, total)))
    print(f"look: {out / 'report.html'}")
    return 0


def _generate(options: argparse.Namespace) -> int:
    from alpamayo_toy.teachers.generate import generate

    _require_folder(options.out)
    share = options.shard or _slurm_share()
    out = _part(options.out, share)
    made = generate(options, out, share)
    if made is None:
        print(f"share {share[0]} of {share[1]} is empty: there is less to do than shares")
    else:
        _say_made(made.facts, out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
