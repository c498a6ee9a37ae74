# SPDX-License-Identifier: Apache-2.0
"""Depth of key frames from the motion of the camera alone."""

from __future__ import annotations

import dataclasses

import numpy as np

from flowcam_ros.correspondence.flow import Flow, FlowEstimator, estimate_flow
from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.depth.motion import MotionDepth
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.prepare import PreparedFrame
from flowcam_ros.geometry.se3 import Matrix4, Vector3
from flowcam_ros.odometry.alignment import Alignment
from flowcam_ros.odometry.keyframe import Keyframe, PointDepths
from flowcam_ros.odometry.point_depths import carry_points, learn_points
from flowcam_ros.odometry.pose_solver import fit_rotation

# Less parallax than this does not tell a translation from an error of flow and rotation.
_MIN_PARALLAX_PX = 1.0
# A translation known to this share of that is known, however small it is.
_KNOWN_SMALL = 0.25
# A map whose scale is less known says nothing of small translations.
_KEPT_SCALE = 0.2
# Dense flow, which costs most, tells news once parallax has grown by this factor: depth gets as
# much better with parallax, and errors of neighbouring frames are alike.
_NEWS = 1.5
# The first map is built once the translation explains this much.
_START_PARALLAX_PX = 5.0
# The first map defines the unit of length; one built after a loss can only guess it.
_FIRST_UNIT_SIGMA = 1e-3
_GUESSED_UNIT_SIGMA = 0.7


class MotionMapper:
    """Depth from motion alone; poses are up to scale."""

    measures = False
    # new views have to become part of the map before the old ones are gone
    patience = 1.0

    def __init__(self, flow: FlowEstimator) -> None:
        self._flow = flow
        self._filter = MotionDepth()
        self._ready = False
        self.unit_sigma = _FIRST_UNIT_SIGMA
        self.scale_source = self._filter.scale_source

    @property
    def ready(self) -> bool:
        """See Mapper."""
        return self._ready

    @property
    def seeds(self) -> list[Vector3]:
        """Small translations along each axis: from rest, the fit may fall either way."""
        if self._ready:
            return []
        return [0.05 * axis for axis in np.vstack([np.eye(3), -np.eye(3)])]

    def measure(self, frame: PreparedFrame) -> DepthEstimate | None:
        """See Mapper; nothing is measured."""
        return None

    def begin(
        self,
        frame: PreparedFrame,
        measured: DepthEstimate | None,
        before: Keyframe | None,
    ) -> DepthEstimate | None:
        """See Mapper; the scale of the map before is kept as well as a guess can."""
        if before is None:
            return self._filter.start(frame)
        return self._filter.start(frame, float(np.median(before.depth.inverse_depth)))

    def follow(
        self,
        keyframe: Keyframe,
        frame: PreparedFrame,
        measured: DepthEstimate | None,
        new_from_old: Matrix4,
    ) -> DepthEstimate | None:
        """See Mapper."""
        back = estimate_flow(self._flow, frame.even.broad, keyframe.frame.even.broad)
        return self._filter.carry(keyframe.depth, frame, back, new_from_old)

    def followed(self, keyframe: Keyframe, alignment: Alignment) -> PointDepths | None:
        """See Mapper; points keep what many frames taught about them."""
        if alignment.explained is None:
            return None
        return carry_points(keyframe, alignment)

    def constrain(self, alignment: Alignment, keyframe: Keyframe, expected: Matrix4) -> Alignment:
        """See Mapper; with hardly any parallax only the rotation is taken."""
        if alignment.covariance is None:
            return alignment
        depth = 1.0 / max(float(np.median(keyframe.depth.inverse_depth)), 1e-3)
        unseen = _MIN_PARALLAX_PX * depth / keyframe.frame.camera.fx
        distance = float(np.linalg.norm(alignment.target_from_source[:3, 3]))
        told = alignment.translation_sigma < 0.5 * distance
        # near a key frame with a map, a small translation is known as such
        mapped = self._ready and keyframe.scale.variance < _KEPT_SCALE**2
        small = mapped and alignment.translation_sigma < _KNOWN_SMALL * unseen
        if small or (alignment.parallax_px >= _MIN_PARALLAX_PX and told):
            return alignment
        centre = se3.inverse(expected)[:3, 3]
        rotation = fit_rotation(
            alignment.points, keyframe.frame.camera, alignment.target_from_source, centre
        )
        pose = se3.from_rotation_translation(rotation, -rotation @ centre)
        covariance = alignment.covariance.copy()
        covariance[:3, 3:] = covariance[3:, :3] = 0.0
        covariance[:3, :3] = np.eye(3) * unseen**2
        return dataclasses.replace(
            alignment,
            target_from_source=pose,
            covariance=covariance,
            translation_sigma=unseen,
            holds_translation=True,
        )

    def restart(self) -> None:
        """See Mapper; the map has to be built anew, and its scale is a guess."""
        self._ready = False
        self.unit_sigma = _GUESSED_UNIT_SIGMA

    def learn(self, keyframe: Keyframe, frame: PreparedFrame, alignment: Alignment) -> Keyframe:
        """See Mapper."""
        if alignment.holds_translation or alignment.inlier_ratio < 0.5:
            return keyframe
        # depth learnt from a short first step would hold the pose in whatever minimum it fell
        least = _MIN_PARALLAX_PX if self._ready else _START_PARALLAX_PX
        if alignment.parallax_px < least:
            return keyframe
        if alignment.parallax_px > _NEWS * keyframe.learnt_px:
            keyframe = self._learn_densely(keyframe, frame, alignment)
        self._ready = True
        points = learn_points(keyframe, alignment)
        before = keyframe.variance_before
        before = keyframe.points.variance if before is None else before
        return dataclasses.replace(keyframe, points=points, variance_before=before)

    def _learn_densely(
        self, keyframe: Keyframe, frame: PreparedFrame, alignment: Alignment
    ) -> Keyframe:
        source, displacement = keyframe.frame.even.broad, alignment.displacement
        confidence = self._flow.confidence(source, frame.even.broad, displacement)
        depth = self._filter.update(
            keyframe.depth,
            Flow(displacement, confidence),
            alignment.target_from_source,
            alignment.translation_sigma,
        )
        return dataclasses.replace(keyframe, depth=depth, learnt_px=alignment.parallax_px)
