"""The events that ship with the project; data/sample/README.md says how they were made."""

from pathlib import Path

# Generated QCD and the nine signals, for the demo and the tests.
SAMPLE = Path(__file__).resolve().parent / "sample" / "events.h5"
# Zero-bias crossings and signals without any selection, for trigger rates; and images of the first 200 of them.
CROSSINGS = SAMPLE.with_name("crossings.h5")
CROSSING_IMAGES = SAMPLE.with_name("crossings_images.h5")
# Mean number of collisions in each of these crossings, and beside each of those events.
SAMPLE_PILEUP = 50.0
# 200 dark-shower jets and 200 QCD jets in the layout of the top-tagging reference set.
DARK_JETS = SAMPLE.with_name("dark_jets.h5")
