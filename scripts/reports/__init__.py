"""Figures and pages, rendered from JSON alone."""
