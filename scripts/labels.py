"""Make sound sets of label files: python scripts/labels.py check|convert|merge|split|report|generate"""

import sys

from alpamayo_toy.commands.labels import main

if __name__ == "__main__":
    sys.exit(main())
