"""The events that ship with the project; data/sample/README.md says how they were made."""

from pathlib import Path

# Generated QCD and the nine signals, for the demo and the tests.
SAMPLE = Path(__file__).resolve().parent / "sample" / "events.h5"
