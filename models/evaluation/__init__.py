"""Evaluation: ROC curves, rates, uncertainties, two-sample tests, operation counts, TF-Lite timing."""
