"""Label files, never executed: read, checked, and kept as sets on disk."""
