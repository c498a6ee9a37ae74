# SPDX-License-Identifier: Apache-2.0
"""The cache of correspondences that the user's refinements share."""

from __future__ import annotations

import os
from pathlib import Path

from flowcam_ros.correspondence.cache import ResultCache
from flowcam_ros.errors import ConfigError
from flowcam_ros.runs.refine_config import AUTO, CacheConfig


def open_cache(config: CacheConfig) -> ResultCache | None:
    """Return the cache; None if there shall be none.

    Raises:
        ConfigError: the folder is that of a user who is not there, or of none.
        OutputError: a file has its name.
    """
    if not config.folder:
        return None
    try:
        folder = _users() if config.folder == AUTO else Path(config.folder).expanduser()
    except RuntimeError as error:
        raise ConfigError(
            f'cache.folder: {config.folder!r} cannot be found ({error}); name a folder'
        ) from error
    return ResultCache(folder, int(config.max_gb * 1e9))


def _users() -> Path:
    """Return the folder by the XDG Base Directory Specification."""
    base = os.environ.get('XDG_CACHE_HOME', '')
    # a relative path is to be ignored
    parent = Path(base) if os.path.isabs(base) else Path('~/.cache').expanduser()
    return parent / 'flowcam_ros'
