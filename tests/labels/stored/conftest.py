"""The clips that the tests of sets store."""

import pytest
from label_sets import odd_clips

from alpamayo_toy import Labels


@pytest.fixture
def labels() -> Labels:
    return odd_clips()
