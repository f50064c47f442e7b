"""The interface between the engine and a backend, and what both backends share of a training."""
