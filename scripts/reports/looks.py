"""What a distance looks at: figure and tables of the report."""

from codae_l1.scripts.reports._looks import looks_figure, looks_lines, looks_refusal, looks_tables

__all__ = ["looks_figure", "looks_lines", "looks_refusal", "looks_tables"]
