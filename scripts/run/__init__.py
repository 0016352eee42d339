"""The run folder: config, stages, events and executors of a run, and what every command shares."""
