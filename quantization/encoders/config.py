"""How the QKeras twins of the encoders f_m and f_R are made; imports no Keras."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType
from codae_l1.quantization.f_m.precision import MOST_BITS, MOST_OUTPUT_BITS

Part = Literal["f_m", "f_r"]
PARTS: tuple[Part, ...] = ("f_m", "f_r")
# The word of a mask's pixel.
MASK_WORD = WordType(False, 1, 0)
# Last layer of each output; its word is signed.
HEADS = ("z_m", "z_r", "softplus")
# Events a call of a twin; paper-size activations of one event take 4 MB.
BATCH = 128


@dataclass(frozen=True)
class EncoderConfig:
    """How the twins are made.

    encoders: which encoders are quantized. weight_bits: of every kernel. word_bits: of what leaves a hidden layer.
    output_bits: of z_m, z_R. slope: of the ReLU below zero, 0 or a power of two. pooling: how f_m halves its grid.
    margin, output_margin: head room over the largest value on QCD calibration events (quantization/_calibration.py).
    warm_up_steps, warm_up_rate: batches of 128 and rate of the float twin's least-squares training, which makes up for
    the swaps; 0 steps where the float model has them all.
    """

    encoders: tuple[Part, ...] = PARTS
    weight_bits: int = 8
    word_bits: int = 8
    output_bits: int = 12
    slope: float = 0.0
    pooling: Literal["strided", "2x2"] = "strided"
    margin: float = 1.5
    output_margin: float = 2.0
    warm_up_steps: int = 1000
    warm_up_rate: float = 0.005

    def __post_init__(self):
        if not self.encoders or len(set(self.encoders)) < len(self.encoders):
            raise InputError(f"encoders.encoders = {list(self.encoders)}", "f_m, f_r or both", "name one")
        for name, most in (("weight_bits", MOST_BITS), ("word_bits", MOST_BITS), ("output_bits", MOST_OUTPUT_BITS)):
            if not 2 <= getattr(self, name) <= most:
                raise InputError(f"encoders.{name} = {getattr(self, name)}", f"2 to {most} bits", "correct it")
        if self.slope and (not 0 < self.slope < 1 or np.log2(self.slope) % 1):
            raise InputError(
                f"encoders.slope = {self.slope}", "0 or a power of two below 1", "take 0.25, the nearest to 0.2"
            )
        for name in ("margin", "output_margin"):
            if not 1 <= getattr(self, name) < float("inf"):
                raise InputError(f"encoders.{name} = {getattr(self, name)}", "a finite number >= 1", "raise it")
        if self.warm_up_steps < 0 or not 0 < self.warm_up_rate < float("inf"):
            raise InputError(
                f"encoders.warm_up_steps = {self.warm_up_steps}, warm_up_rate = {self.warm_up_rate}",
                "steps >= 0, a finite rate above 0",
                "correct them",
            )
