"""Readers of other people's events: each yields slices, in bounded memory, and names what is wrong with a file."""
