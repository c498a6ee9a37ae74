# SPDX-License-Identifier: Apache-2.0
"""Shared by the tests of the estimator."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest

from flowcam_ros.sequences.synthetic import sequence as module
from flowcam_ros.sequences.synthetic.room import World


@pytest.fixture(autouse=True, scope='package')
def shared_worlds() -> Iterator[None]:
    """Furnish each synthetic room once, which takes half a second, for all tests of the folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, 'World', functools.lru_cache(maxsize=4)(World))
        yield
