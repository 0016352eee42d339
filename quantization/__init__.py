"""The firmware encoder f_m: precision per layer, QKeras twins, quantization-aware training in situ and distilled."""
