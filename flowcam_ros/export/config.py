# SPDX-License-Identifier: Apache-2.0
"""Which files a reconstruction is written to."""

from __future__ import annotations

from dataclasses import dataclass

from flowcam_ros.flowmap.fuse import FuseConfig
from flowcam_ros.settings import group, option


@dataclass(frozen=True)
class ExportConfig:
    """The files beside the trajectory, which is always written."""

    pictures: bool = option(True, 'The pictures as they came, in images/.')
    colmap: bool = option(True, 'A COLMAP model in sparse/0.')
    nerfstudio: bool = option(True, 'transforms.json of nerfstudio, with sparse_points.ply.')
    kitti: bool = option(False, 'The poses in the format of KITTI, in kitti/.')
    depth: bool = option(True, 'Depth maps as PNG and npz, in depth/.')
    cloud: bool = option(True, 'The depth maps fused into one point cloud, cloud.ply.')
    bag: bool = option(True, 'A ROS 2 bag to be shown beside the recording, refined_bag/.')
    rerun: bool = option(
        False, 'A recording for the rerun viewer, recording.rrd; needs flowcam_ros[rerun].'
    )
    network: bool = option(
        False, 'The trained depth network, network.safetensors; for model.start_weights.'
    )
    fuse: FuseConfig = group(FuseConfig)
