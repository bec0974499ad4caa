"""What turns a scene's embedding into raw actions, one a file."""
