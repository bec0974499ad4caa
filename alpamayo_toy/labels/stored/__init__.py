"""The label set on disk: made, read, split, merged."""
