"""What every backend must do: one suite, subclassed once per backend."""

import pytest

pytest.register_assert_rewrite("tests.contract.contract", "tests.contract.prediction", "tests.contract.numbers")
