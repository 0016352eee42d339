"""Networks of sets of objects for firmware, their training, and Level-1 words of objects."""

from codae_l1.quantization._deep_set import DeepSet, SetConfig, SetStudent, SetTraining, learn_set
from codae_l1.quantization._set_words import CONSTITUENTS, OBJECTS, SetWords

__all__ = ["CONSTITUENTS", "OBJECTS", "DeepSet", "SetConfig", "SetStudent", "SetTraining", "SetWords", "learn_set"]
