"""alpamayo-toy VERB ...: what python scripts/VERB.py does, from any folder."""

import runpy
import sys
from difflib import get_close_matches

from alpamayo_toy.commands.ending import ending
from alpamayo_toy.hints import CONFIGS, CONSOLE


@ending()
def main() -> None:
    """Run the script that the first word names. One line and exit code 1 for a verb that there is not."""
    scripts = {path.stem: path for path in sorted(CONFIGS.with_name("scripts").glob("*.py"))}
    usage = f"alpamayo-toy {'|'.join(scripts)} ..."
    verb = sys.argv[1] if len(sys.argv) > 1 else ""
    if verb in ("-h", "--help"):
        print(f"{usage}\noptions of one: alpamayo-toy train --help")
        return
    if verb not in scripts:
        close = get_close_matches(verb.removesuffix(".py"), scripts, n=1)
        said = f"there is no command {verb}" if verb else "no command given"
        sys.exit(f"error: {said}; {f'did you mean {CONSOLE} {close[0]}?' if close else f'use {usage}'}")
    sys.argv[:] = [str(scripts[verb]), *sys.argv[2:]]
    runpy.run_path(str(scripts[verb]), run_name="__main__")


if __name__ == "__main__":
    main()
