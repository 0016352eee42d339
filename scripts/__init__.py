"""One stage each, thin; run_chain walks them in order."""
