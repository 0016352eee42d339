"""Vendor tools: Vitis HLS and Vivado steps, their reports, and place and route on Lattice ECP5."""
