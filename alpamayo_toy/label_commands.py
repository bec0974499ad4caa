"""python scripts/labels.py: the subcommands, their options, what they print and their exit codes."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from alpamayo_toy.errors import Interrupted, UserError

SAMPLED = 20_000  # clips that a report looks at


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; its exit code. A mistake of the user is one line and 2."""
    options = _parser().parse_args(arguments)
    job: Callable[[argparse.Namespace], int] = options.job
    try:
        return job(options)
    except UserError as error:
        from alpamayo_toy.labels.pickles import one_line

        print(f"error: {one_line(str(error))}", file=sys.stderr)
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        return stop.exit_code
    except OSError as error:
        print(f"error: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="labels.py", description="Look at label files, and make sound sets of them.")
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
        default=_slurm_share(),
        metavar="i/n",
        help="do the i-th of n shares (a SLURM array's own)",
    )
    _reading(convert)
    convert.set_defaults(job=_convert)

    merge = commands.add_parser("merge", help="several sets as one, without copying")
    merge.add_argument("paths", nargs="+", type=Path, metavar="SET")
    merge.add_argument("out", type=Path, metavar="OUT")
    merge.set_defaults(job=_merge)

    split = commands.add_parser("split", help="OUT/train, OUT/val, OUT/test by a hash of the clip id")
    split.add_argument("path", type=Path, metavar="PATH")
    split.add_argument("out", type=Path, metavar="OUT")
    split.add_argument("--val", type=_fraction, default=0.1)
    split.add_argument("--test", type=_fraction, default=0.1)
    split.add_argument("--format", default="auto", dest="told")
    split.set_defaults(job=_split)

    report = commands.add_parser("report", help="what the teacher is like: report.html and report.json")
    report.add_argument("path", type=Path, metavar="PATH")
    report.add_argument("out", type=Path, metavar="OUT", nargs="?", help="a folder (default: outputs/report/<name>)")
    report.add_argument("--format", default="auto", dest="told")
    report.set_defaults(job=_report)

    generate = commands.add_parser("generate", help="run a teacher over clips and write a set as it goes")
    generate.add_argument("out", type=Path, metavar="OUT")
    generate.add_argument("--teacher", choices=("synthetic", "alpamayo"), default="synthetic")
    generate.add_argument("--scenario", default="ALL", help="of the synthetic teacher: a file of configs/scenario")
    generate.add_argument("--clips", type=_positive, default=8192, help="of the synthetic teacher")
    generate.add_argument("--clip-list", type=Path, help="for alpamayo: a text file, 'clip_id t0_us' per line")
    generate.add_argument("--model", default="nvidia/Alpamayo-R1-10B", help="for alpamayo: weights to load")
    generate.add_argument("--samples", type=_positive, default=6, help="per clip")
    generate.add_argument("--seed", type=int, default=0)
    generate.add_argument("--shard", type=_share, default=_slurm_share(), metavar="i/n", help="as for convert")
    generate.set_defaults(job=_generate)
    return parser


def _reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", default="auto", dest="told", help="the layout, where it should not be guessed")
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
    """This task's place in a SLURM array, where there is one."""
    names = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT")
    numbers = [os.environ.get(name, "") for name in names]
    if not all(number.isdecimal() for number in numbers):
        return 1, 1
    task, first, count = map(int, numbers)
    if task - first >= count:  # an array with gaps: its shares cannot be told
        sys.exit("error: this SLURM array has gaps or a step; give --shard i/n")
    return task - first + 1, count


def _check(options: argparse.Namespace) -> int:
    from alpamayo_toy.labels.checking import check_paths

    code, text, report = check_paths(options.paths, options.told, options.strict, options.splits)
    print(text)
    if options.json:
        from alpamayo_toy.files import write_json

        write_json(options.json, report)
    return code


def _convert(options: argparse.Namespace) -> int:
    from alpamayo_toy.labels.convert import convert, write_one_file

    share: tuple[int, int] = options.shard
    if options.out.suffix in (".npz", ".parquet"):
        if share != (1, 1):
            raise UserError(f"--shard makes sets that merge puts together; {options.out.name} is one file")
        count = write_one_file(options.paths, options.out, options.told, options.strict)
        print(f"{count} clips: {options.out}")
        return 0
    out = options.out if share == (1, 1) else options.out / f"part-{share[0]:05d}-of-{share[1]:05d}"
    made = convert(options.paths, out, options.told, options.strict, share, options.workers)
    if made is None:
        print(f"share {share[0]} of {share[1]} is empty: there are fewer files than shares")
    else:
        _say_made(made.facts, out)
    return 0


def _merge(options: argparse.Namespace) -> int:
    from alpamayo_toy.labels.building import merge

    _say_made(merge(options.paths, options.out).facts, options.out)
    return 0


def _say_made(facts: dict[str, object], out: Path) -> None:
    dropped = facts["dropped"]
    left_out = ", ".join(f"{count} {code}" for code, count in dropped.items()) if isinstance(dropped, dict) else ""
    shape = f"{facts['clips']} clips of {facts['samples']} samples, {facts['horizon']} steps of {facts['dt']} s"
    print(f"{shape}: {out}" + (f"\ndropped: {left_out}" if left_out else ""))


def _split(options: argparse.Namespace) -> int:
    from alpamayo_toy.labels.convert import split_set

    if options.val + options.test >= 1:
        raise UserError(f"--val {options.val} and --test {options.test} leave nothing to train on")
    counts = split_set(options.path, options.out, options.told, options.val, options.test)
    for side, count in counts.items():
        print(f"{side:<6}{count:>10} clips" + (f"  {options.out / side}" if count else ""))
    return 0


def _report(options: argparse.Namespace) -> int:
    from alpamayo_toy.labels.checking import sampled
    from alpamayo_toy.labels.report import report, summary

    labels, total = sampled(options.path, options.told, SAMPLED)
    out = options.out or Path("outputs") / "report" / options.path.stem
    print(summary(report(labels, out, options.path.name, total)))
    print(f"look: {out / 'report.html'}")
    return 0


def _generate(options: argparse.Namespace) -> int:
    from alpamayo_toy.labels.generate import generate

    share: tuple[int, int] = options.shard
    out = options.out if share == (1, 1) else options.out / f"part-{share[0]:05d}-of-{share[1]:05d}"
    _say_made(generate(options, out, share).facts, out)
    return 0
