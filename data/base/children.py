"""Processes that end with the command that started them, however it ends (data/base/_children.py)."""

from codae_l1.data.base._children import PRELOAD, child, run, threads, undisturbed

__all__ = ["PRELOAD", "child", "run", "threads", "undisturbed"]
