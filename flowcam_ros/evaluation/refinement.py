# SPDX-License-Identifier: Apache-2.0
"""The focal length and the depth of a refined recording, held against those of the recording."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from flowcam_ros.errors import EvaluationError
from flowcam_ros.evaluation.depth import DepthError, DepthPair, depth_error
from flowcam_ros.evaluation.depth_truth import true_depths
from flowcam_ros.evaluation.focal import FocalError, focal_error
from flowcam_ros.evaluation.refined_folder import RefinedFolder, read_stamp, read_stored_depth
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.sequences.sequence import Sequence


def evaluate_focal(refined: RefinedFolder, sequence: Sequence) -> FocalError | None:
    """Compare with the calibration of the recording; None if the result tells no camera.

    Raises:
        EvaluationError: the two are not for one picture.
        FlowcamError: the recording cannot be read.
    """
    if refined.camera is None:
        return None
    frame = next(iter(sequence), None)
    return None if frame is None else focal_error(refined.camera, frame.camera)


def evaluate_depth(
    refined: RefinedFolder, sequence: Sequence, *, fit_scale: bool
) -> DepthError | None:
    """Compare with the measured or exact depth of the recording.

    Depths are scaled by one factor first if ``fit_scale``, or if the result says that its scale
    is arbitrary.

    Returns:
        The errors; None if the result has no depth maps, or the recording no depth of the same
        frames.

    Raises:
        EvaluationError: a depth map cannot be read, the camera is not known, or true and
            estimated depth have no pixel in common.
        FlowcamError: the recording cannot be read.
    """
    if not refined.depth:
        return None
    if refined.camera is None:
        raise EvaluationError(
            f'{refined.depth[0].parent}: depth maps without the camera of the pictures; expected '
            'run.json with camera, or sparse/0/cameras.bin, beside the folder'
        )
    pairs = _pairs(refined.depth, refined.camera, sequence)
    first = next(pairs, None)
    if first is None:
        return None
    scaled = fit_scale or refined.scale_source == 'none'
    return depth_error(chain([first], pairs), fit_scale=scaled)


def _pairs(files: tuple[Path, ...], lens: CameraModel, sequence: Sequence) -> Iterator[DepthPair]:
    by_stamp = sorted((read_stamp(path), path) for path in files)
    stamps = np.array([stamp for stamp, _ in by_stamp], np.int64)
    repeated = np.flatnonzero(np.diff(stamps) == 0)
    if len(repeated):
        _, path = by_stamp[repeated[0]]
        raise EvaluationError(f'{path}: another depth map has the same stamp')
    for index, true in true_depths(sequence, stamps):
        stored = read_stored_depth(by_stamp[index][1])
        truth = true.seen_by(stored.camera, lens)
        yield DepthPair(stored.inverse_depth, stored.variance, truth)
