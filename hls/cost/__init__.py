"""Resources: open synthesis, estimates with error bands, and the LUT model of the search."""
