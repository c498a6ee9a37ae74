# SPDX-License-Identifier: Apache-2.0
"""All files of a reconstruction, in one folder."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from flowcam_ros.errors import CameraError, SequenceError
from flowcam_ros.export.bag import RecordedOdometry, write_bag
from flowcam_ros.export.colmap import write_colmap
from flowcam_ros.export.config import ExportConfig
from flowcam_ros.export.depth_maps import DEPTH, write_depth_maps
from flowcam_ros.export.kitti import write_kitti
from flowcam_ros.export.names import check_names
from flowcam_ros.export.nerfstudio import write_nerfstudio
from flowcam_ros.export.pictures import write_pictures
from flowcam_ros.export.ply import write_ply
from flowcam_ros.export.rerun_recording import write_rerun
from flowcam_ros.export.tum import HEADER, write_trajectory
from flowcam_ros.flowmap.fuse import fuse
from flowcam_ros.flowmap.reconstruction import Reconstruction
from flowcam_ros.flowmap.voxels import Cloud
from flowcam_ros.geometry.frame import Frame

TRAJECTORY = 'trajectory.tum'
CLOUD = 'cloud.ply'
BAG = 'refined_bag'
RERUN = 'recording.rrd'


@dataclass
class WrittenFiles:
    """What came of writing a reconstruction.

    Attributes:
        files: what was written, by the name of its option; paths below the folder.
        left_out: what could not be written and why, as sentences.
        cloud: the fused cloud; None if it was not asked for.
    """

    files: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    cloud: Cloud | None = None

    @contextlib.contextmanager
    def unless_unfit(self, name: str, path: str) -> Iterator[None]:
        """Note what the block wrote, or why the format cannot hold this recording."""
        try:
            yield
        except (CameraError, SequenceError) as error:
            self.left_out.append(f'{path} is not written: {error}')
        else:
            self.files[name] = path


def write_reconstruction(
    folder: Path,
    reconstruction: Reconstruction,
    frames: Iterable[Frame] | None = None,
    config: ExportConfig | None = None,
    odometry: RecordedOdometry | None = None,
    map_frame: str = 'map',
    progress: Callable[[str], None] | None = None,
) -> WrittenFiles:
    """Write every chosen format into an existing folder, best one of ``atomic.new_folder``.

    A format that has no words for this recording (a lens COLMAP does not know, stamps no ROS
    message holds) is left out with a sentence, as the others are worth having. Depth maps are
    asked for again by each of depth/, the cloud, the bag and rerun.

    Args:
        folder: where to write; on failure the caller removes it.
        reconstruction: what to write.
        frames: the recording once more, for its pictures; None writes none.
        config: which formats; all but KITTI and rerun by default.
        odometry: of the recording, for the bag.
        map_frame: for the bag; name another one where the recording has a map of its own.
        progress: told each step as it begins, in words.

    Raises:
        OutputError: a file cannot be written, a name is none, or a picture is missing.
        ValueError: a number of the reconstruction is not finite.
    """
    config = config or ExportConfig()
    tell = progress or (lambda step: None)
    check_names(reconstruction.names)
    done = WrittenFiles()
    unit = 'm' if reconstruction.scale_source != 'none' else 'arbitrary unit'
    tell('poses')
    header = HEADER.replace('(s, m;', f'(s, {unit};')
    write_trajectory(folder / TRAJECTORY, reconstruction.trajectory, header)
    done.files['trajectory'] = TRAJECTORY
    if config.kitti:
        write_kitti(folder / 'kitti', reconstruction.trajectory)
        done.files['kitti'] = 'kitti'
    if config.pictures and frames is not None:
        tell('pictures')
        write_pictures(folder, frames, reconstruction)
        done.files['pictures'] = 'images'
    if config.colmap:
        tell('COLMAP model')
        with done.unless_unfit('colmap', 'sparse/0'):
            write_colmap(folder, reconstruction)
    depth = None
    if config.depth:
        tell('depth maps')
        depth = write_depth_maps(folder, reconstruction)
        done.files['depth'] = DEPTH
    if config.nerfstudio:
        tell('nerfstudio')
        with done.unless_unfit('nerfstudio', 'transforms.json'):
            write_nerfstudio(folder, reconstruction, depth)
    cloud = None
    if config.cloud:
        tell('cloud')
        cloud = _write_cloud(folder, reconstruction, config, unit)
        done.files['cloud'], done.cloud = CLOUD, cloud
    if config.bag:
        tell('bag')
        with done.unless_unfit('bag', BAG):
            write_bag(folder / BAG, reconstruction, cloud, odometry, map_frame)
    if config.rerun:
        tell('rerun recording')
        write_rerun(folder / RERUN, reconstruction, cloud)
        done.files['rerun'] = RERUN
    return done


def _write_cloud(
    folder: Path, reconstruction: Reconstruction, config: ExportConfig, unit: str
) -> Cloud:
    cloud = fuse(reconstruction, config.fuse)
    comment = f'world of {TRAJECTORY}, unit: {unit}'
    write_ply(folder / CLOUD, cloud.positions, cloud.colors, cloud.variance, comment)
    return cloud
