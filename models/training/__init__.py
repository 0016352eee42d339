"""Training: the resumable loop, distribution strategies, saved networks."""
