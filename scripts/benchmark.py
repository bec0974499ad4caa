"""Ratios against the plain loop and the dense inverse, or how things grow: python scripts/benchmark.py [growth]"""

from alpamayo_toy.commands.measuring import main

if __name__ == "__main__":
    main()
