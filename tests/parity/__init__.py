"""Both backends on the same input: they must give the same numbers, within stated tolerances."""

import pytest

pytest.register_assert_rewrite("tests.parity.comparison")
