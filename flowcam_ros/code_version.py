# SPDX-License-Identifier: Apache-2.0
"""Tells one state of the program from another, for what is kept from run to run."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib import resources


@lru_cache(maxsize=8)
def code_version(*packages: str) -> str:
    """Return a text that differs when a source file of one of the packages does.

    A version number would not do: who works from a checkout has many states of one version.

    Args:
        packages: such as ``flowcam_ros.geometry``; what lies in folders below does not count.
    """
    digest = hashlib.blake2b(digest_size=16)
    for package in packages:
        for file in sorted(resources.files(package).iterdir(), key=lambda f: f.name):
            if file.name.endswith('.py'):
                content = file.read_bytes()
                digest.update(f'{package}/{file.name} {len(content)}\n'.encode())
                digest.update(content)
    return digest.hexdigest()
