"""What is measured, each with its baselines in the same run."""
