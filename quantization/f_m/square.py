"""The Keras layer that squares each value, for networks outside this room."""

from codae_l1.quantization.f_m._square import Square

__all__ = ["Square"]
