"""The way out: a student where this project is not, one file a target."""
