"""Names and whole numbers of other people's tables: exact, or named."""

import numpy as np
import pytest

from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.untrusted.arrays import integers, name_of


def test_a_number_is_a_name_as_long_as_all_of_its_digits_are_kept() -> None:
    """Of a float's 17 digits the last are lost: two clips would become one."""
    assert [name_of("x", name, 0) for name in ("a", 7, 10**18 + 1, 2.0**53 - 1)] == [
        "a",
        "7",
        "1000000000000000001",
        "9007199254740991.0",
    ]
    for lost in (2.0**53, -(2.0**53), 1.2345678901234568e17):
        with pytest.raises(
            UserError, match=r"^x of clip 3 is a number of more digits than are kept; write it in quotes"
        ):
            name_of("x", lost, 3)


def test_whole_numbers_are_of_64_bits() -> None:
    assert integers("x", np.array([2**63 - 1], dtype=np.uint64)).tolist() == [2**63 - 1]
    for other in (np.array([2**63], dtype=np.uint64), np.array([1.0]), np.array([[1]]), np.array(["1"])):
        with pytest.raises(UserError, match=r"^x must hold integers of 64 bits, one for each clip"):
            integers("x", other)
