"""python -m alpamayo_toy VERB ...: what alpamayo-toy VERB does."""

from alpamayo_toy.commands.console import main

main()
