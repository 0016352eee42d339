"""The trigger network: QKeras network, precision per layer, calibration of ranges, weights file."""
