"""Examination of a whole scan before any training: what is odd, what a training will need, and how to mend it."""
