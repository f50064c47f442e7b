"""Trainings and reconstructions from scans to results: what the command line, Python and Ptychodus call."""
