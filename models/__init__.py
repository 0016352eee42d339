"""Keras models of the CoDAE family, their losses, scores, training and evaluation."""
