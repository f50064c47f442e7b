"""What is found out about a scan that is wrong or odd, and what is done about it."""

from __future__ import annotations

from typing import Final

EXAMINATION: Final = 2
"""Raised when scans are mended otherwise than before, so that data sets made of them are made anew."""
