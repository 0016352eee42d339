"""Computations behind the commands that compare systems and search networks."""
