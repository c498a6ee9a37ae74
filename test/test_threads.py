# SPDX-License-Identifier: Apache-2.0
"""The programs keep one core busy, not all of them by waiting."""

from __future__ import annotations

import subprocess
import sys

import pytest

SEEN = (
    'import os, sys; from flowcam_ros.cli.main import main; main(["version"]);'
    'print(os.environ["OPENBLAS_NUM_THREADS"], os.environ["OMP_WAIT_POLICY"])'
)


@pytest.mark.parametrize(
    ('own', 'expected'),
    [({}, '1 PASSIVE'), ({'OPENBLAS_NUM_THREADS': '3'}, '3 PASSIVE')],
    ids=['default', 'set by the user'],
)
def test_threads_wait_asleep_unless_the_user_says_otherwise(
    own: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ('OPENBLAS_NUM_THREADS', 'OMP_WAIT_POLICY'):
        monkeypatch.delenv(name, raising=False)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    result = subprocess.run(
        [sys.executable, '-c', SEEN], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == expected


def test_numpy_is_not_loaded_before_threads_are_calmed() -> None:
    code = 'import sys; import flowcam_ros.cli.main; print("numpy" in sys.modules)'
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == 'False'
