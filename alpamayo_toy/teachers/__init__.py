"""Who makes labels: scenarios, somebody else's files, NVIDIA's model."""
