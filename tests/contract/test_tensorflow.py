"""The TensorFlow backend keeps the contract."""

from tests.contract.contract import BackendContract


class TestTensorFlowBackend(BackendContract):
    backend_name = "tensorflow"
