"""The trigger network: QKeras twin, precision per layer, calibration of ranges, weights file."""
