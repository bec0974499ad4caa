"""Whether labels are sound, and what they hold."""
