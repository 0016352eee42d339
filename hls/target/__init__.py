"""The target: clock and part, the resources of the part, and whether a network can fit."""
