"""Rows that do not stay in memory (data/base/_spool.py)."""

from codae_l1.data.base._spool import Rows, Spool

__all__ = ["Rows", "Spool"]
