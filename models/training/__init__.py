"""Training: the resumable loop and saved networks."""
