"""The published models with their weights: `read_published` (models/codae/_published.py)."""

from codae_l1.models.codae._published import Imported, Kind, read_published

__all__ = ["Imported", "Kind", "read_published"]
