"""QKeras versions of the full encoders f_m and f_R: folding, quantization-aware training."""
