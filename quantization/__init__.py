"""The firmware encoder f_m: precision per layer, QKeras networks, quantization-aware training in situ and distilled."""
