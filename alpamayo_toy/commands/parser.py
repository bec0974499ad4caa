"""Parser: argparse with a mistake in one line, for the commands whose options are flags."""

import argparse
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """argparse.ArgumentParser, but that a mistake ends in one line with what was meant, and exit code 2."""

    def error(self, message: str) -> NoReturn:
        unknown = message.removeprefix("unrecognized arguments: ").split()[0] if "unrecognized" in message else ""
        close = get_close_matches(unknown.partition("=")[0], self.flags(), n=1) if unknown else []
        if "invalid choice: " in message:
            given, *known = (word.strip("'") for word in message.partition("invalid choice: ")[2].split("'")[1::2])
            close = get_close_matches(given, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"{self.prog} --help shows all"
        self.exit(2, f"error: {self.prog}: {message}; {hint}\n")

    def flags(self) -> list[str]:
        """Its own, and those of its subcommands."""
        inner = [action.choices for action in self._actions if isinstance(action.choices, dict)]
        below = [one for choices in inner for one in choices.values() if isinstance(one, Parser)]
        own = [flag for action in self._actions for flag in action.option_strings]
        return own + [flag for one in below for flag in one.flags()]


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
