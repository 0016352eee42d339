"""The firmware network as records, the comparison of executors bit for bit, and profiles of every word."""
