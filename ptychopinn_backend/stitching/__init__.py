"""Stitching of patches to one object: assembly, phase alignment, polish, and the files of a reconstruction."""
