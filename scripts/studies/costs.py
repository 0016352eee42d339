"""What firmware layers and words cost the encoders of a run (scripts/studies/_costs.py)."""

from codae_l1.scripts.studies._costs import costs_table, encoder_costs

__all__ = ["costs_table", "encoder_costs"]
