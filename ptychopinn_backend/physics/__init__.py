"""NumPy reference of the physics: the oracle both backends are tested against."""
