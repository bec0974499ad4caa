"""How good a student is."""
