"""One loop, read from top to bottom, and several seeds of it."""
