"""NumPy reference of the physics. Tests compare both backends with it."""
