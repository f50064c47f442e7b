"""What a child process does until its first patches are there; arguments are archive, scan and backend."""

import sys

from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.reconstruct import reconstruct
from ptychopinn_backend.trained_model import TrainedModel

if __name__ == "__main__":
    archive, scan, backend = sys.argv[1:]
    model = TrainedModel.load(archive, backend=backend)
    reconstruct(model, RawData.from_file(scan), batch_size=16)
