"""The page and the figures of trigger rates on streamed crossings."""

from codae_l1.scripts.reports._rates_page import write_rates

__all__ = ["write_rates"]
