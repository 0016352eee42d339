"""The target: clock and part, what the part holds, and whether a network can fit."""
