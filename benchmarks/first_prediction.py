"""What a child process does until its first pattern is predicted; arguments are archive, scan and backend."""

import sys

from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.runs.trained_model import TrainedModel

if __name__ == "__main__":
    archive, scan, backend = sys.argv[1:]
    model = TrainedModel.load(archive, backend=backend).one_by_one()
    source = PtychoDataContainer.from_raw_data(RawData.from_file(scan), model.model, seed=0)
    next(model.backend.predict(source, 1))
