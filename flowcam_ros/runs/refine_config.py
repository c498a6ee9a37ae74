# SPDX-License-Identifier: Apache-2.0
"""Options of a whole refinement: of the optimiser, and of the files it ends in."""

from __future__ import annotations

from dataclasses import dataclass

from flowcam_ros.export.config import ExportConfig
from flowcam_ros.flowmap.refine_config import RefineConfig
from flowcam_ros.settings import group, option


@dataclass(frozen=True)
class RefineRunConfig(RefineConfig):
    """All options of ``flowcam refine``."""

    odometry: str = option(
        '', 'Folder written by `flowcam odometry` for the same recording, to start from.'
    )
    export: ExportConfig = group(ExportConfig)
