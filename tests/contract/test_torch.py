"""The PyTorch backend keeps the contract."""

from tests.contract.contract import BackendContract


class TestTorchBackend(BackendContract):
    backend_name = "pytorch"
