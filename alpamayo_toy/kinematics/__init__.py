"""The ground: scenes, trajectories, and the way from actions to trajectories and back. No training, no files."""
