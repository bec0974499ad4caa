"""Parser: argparse with a mistake in one line, for the commands whose options are flags."""

import argparse
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """argparse.ArgumentParser, but that a mistake ends in one line with what was meant, and exit code 2."""

    def error(self, message: str) -> NoReturn:
        flags = [flag for action in self._actions for flag in action.option_strings]
        unknown = message.removeprefix("unrecognized arguments: ").split()[0] if "unrecognized" in message else ""
        close = get_close_matches(unknown.partition("=")[0], flags, n=1) if unknown else []
        if "invalid choice: " in message:
            given, *known = (word.strip("'") for word in message.partition("invalid choice: ")[2].split("'")[1::2])
            close = get_close_matches(given, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"{self.prog} --help shows all"
        self.exit(2, f"error: {self.prog}: {message}; {hint}\n")

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As argparse's, but that a subcommand's own unknown flag is told of by its own parser."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            getattr(found, "parser", self).error(f"unrecognized arguments: {' '.join(unknown)}")
        return found


class Layouts(argparse.Action):
    """--format: the layout that is told; without one all of them are listed, and that is all."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        if values is not None:
            setattr(namespace, self.dest, values)
            return
        from alpamayo_toy.labels.formats.layouts import FORMATS

        print("\n".join(f"{name:<16}{what}" for name, what in FORMATS.items()))
        parser.exit()
