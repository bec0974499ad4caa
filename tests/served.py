"""A fixture for files whose laws hold for the compiled library and for PyTorch's operations alike."""

from collections.abc import Iterator
from types import ModuleType

import pytest

from alpamayo_toy.kinematics.native.library import library


def by_both(*modules: ModuleType) -> object:
    """Every test of a file twice: with the library, then with modules that may not ask it."""

    @pytest.fixture(scope="module", params=["native", "pytorch"], autouse=True)
    def which(request: pytest.FixtureRequest) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            if request.param == "pytorch":
                for module in modules:
                    patch.setattr(module, "serves", lambda *tensors: False)
            elif library() is None:
                pytest.skip("there is no C compiler here")
            yield

    return which
