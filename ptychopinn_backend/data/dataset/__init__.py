"""Data sets on disk: many scans, larger than memory, patterns stored once and read batch by batch."""

from __future__ import annotations

from ptychopinn_backend.data.dataset.build import create_dataset
from ptychopinn_backend.data.dataset.options import DatasetOptions
from ptychopinn_backend.data.dataset.scan_dataset import ScanDataset, open_dataset

__all__ = ["DatasetOptions", "ScanDataset", "create_dataset", "open_dataset"]
