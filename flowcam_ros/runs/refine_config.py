# SPDX-License-Identifier: Apache-2.0
"""Options of a whole refinement: of the optimiser, and of the files it ends in."""

from __future__ import annotations

from dataclasses import dataclass

from flowcam_ros.export.config import ExportConfig
from flowcam_ros.flowmap.refine_config import RefineConfig
from flowcam_ros.settings import group, option

AUTO = 'auto'


@dataclass(frozen=True)
class CacheConfig:
    """Where correspondences are kept from run to run."""

    folder: str = option(
        AUTO,
        'Folder of correspondences, which a second run with the same pictures and options finds '
        'there; auto: flowcam_ros in $XDG_CACHE_HOME (~/.cache); empty: none.',
    )
    max_gb: float = option(
        2.0,
        'Most that it may hold; what was not used for longest goes first.',
        unit='GB',
        ge=0.0,
        le=100_000.0,
    )


@dataclass(frozen=True)
class RefineRunConfig(RefineConfig):
    """All options of ``flowcam refine``."""

    odometry: str = option(
        '', 'Folder written by `flowcam odometry` for the same recording, to start from.'
    )
    export: ExportConfig = group(ExportConfig)
    cache: CacheConfig = group(CacheConfig)
