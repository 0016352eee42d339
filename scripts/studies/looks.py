"""What a distance looks at on a run's crossings (scripts/studies/_looks.py)."""

from codae_l1.scripts.studies._looks import Network, looks_section

__all__ = ["Network", "looks_section"]
