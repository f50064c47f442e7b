"""A scan looked at in full before anything is trained on it: what is odd, what it costs, and how it is mended."""
