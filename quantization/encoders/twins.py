"""What firmware layers and words cost trained encoders, step by step (quantization/encoders/_twins.py)."""

from codae_l1.quantization.encoders._comparing import compared
from codae_l1.quantization.encoders._twins import EncoderTwins, swapped

__all__ = ["EncoderTwins", "compared", "swapped"]
