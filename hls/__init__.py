"""Firmware: hls4ml project, RTL, simulation, synthesis, and the proof that all executors agree bit for bit."""
