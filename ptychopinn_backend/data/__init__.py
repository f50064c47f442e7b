"""Scan data: reading, grouping, scaling, containers, simulation."""
