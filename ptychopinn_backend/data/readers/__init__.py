"""Scan files of every known format: one small module each, one table that tells them apart by what they hold.

`door.open_scan` is the door: it returns a scan's positions in object pixels, its probe and object, and its patterns as
something that is read piece by piece.
"""
