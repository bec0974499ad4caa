"""Students: scene -> actions -> trajectories, what they are punished for, and how they are kept."""
