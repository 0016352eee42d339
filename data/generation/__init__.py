"""Event generation: Pythia 8 processes, SUEP showers, pile-up and the fast detector (extra `generate`)."""
