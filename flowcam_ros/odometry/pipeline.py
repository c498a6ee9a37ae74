# SPDX-License-Identifier: Apache-2.0
"""The online estimator: frames in, poses out (FlowCam, section 3, made classical and robust).

A frame is undistorted; dense flow carries the key frame's points into it; flow and depth of both
ends make scene flow; its closed-form rigid fit, refined robustly, is the pose. Then the depth
learns from the frame, and the frame may become the next key frame.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from jaxtyping import Float

from flowcam_ros.correspondence.registry import make_flow
from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.depth.registry import choose_source
from flowcam_ros.errors import FrameRejected
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.covariance import Matrix6, of_product, rotated
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.prepare import FramePreparer, PreparedFrame
from flowcam_ros.geometry.se3 import Matrix4
from flowcam_ros.odometry.alignment import Aligner, Alignment
from flowcam_ros.odometry.config import OdometryConfig
from flowcam_ros.odometry.device import choose_device
from flowcam_ros.odometry.estimate import PoseEstimate, TrackingState
from flowcam_ros.odometry.health import Verdict, judge
from flowcam_ros.odometry.keyframe import Keyframe, PointDepths, make_keyframe
from flowcam_ros.odometry.mapping import Mapper, make_mapper
from flowcam_ros.odometry.motion import MotionModel

# No fit is perfect: the covariance of the first pose, and a floor for later ones.
_FLOOR = np.diag([1e-10] * 3 + [1e-10] * 3)


class VisualOdometry:
    """FlowCam online; knows nothing of ROS, files or threads."""

    def __init__(self, config: OdometryConfig | None = None) -> None:
        self._config = config or OdometryConfig()
        self._device = choose_device(self._config.device)
        self._epoch = -1
        self._build()
        self.reset()

    def _build(self) -> None:
        config = self._config
        self._flow = make_flow(config.flow)
        self._aligner = Aligner(config, self._flow, self._device)
        self._preparer = FramePreparer(config.max_image_pixels)

    def reset(self) -> None:
        """Forget everything; the next frame begins a new epoch at the origin."""
        tracking = self._config.tracking
        self._epoch += 1
        self._motion = MotionModel(tracking.max_gap, tracking.linear_sigma, tracking.angular_sigma)
        self._mapper: Mapper | None = None
        self._forget_pictures()

    def _forget_pictures(self) -> None:
        self._keyframe: Keyframe | None = None
        self._recovery: Keyframe | None = None
        self._stamp_ns: int | None = None
        self._last_flow: Float[np.ndarray, 'height width 2'] | None = None
        self._last_alignment: Alignment | None = None
        self._measured: DepthEstimate | None = None

    def reconfigure(self, config: OdometryConfig) -> None:
        """Take over changed options that are declared dynamic."""
        self._config = config
        self._build()

    def latest_depth(self) -> DepthEstimate | None:
        """Return the newest depth: of the last frame when measured, else of the key frame."""
        if self._measured is not None:
            return self._measured
        return self._keyframe.depth if self._keyframe is not None else None

    def process(self, frame: Frame) -> PoseEstimate:
        """Estimate the pose of one frame; always answers for every accepted frame.

        Raises:
            FrameRejected: the stamp does not increase (a duplicate), the image is too small, or
                the frame lacks what ``depth.source`` requires; the state is unchanged.

        """
        watch = _Stopwatch()
        self._check_stamp(frame.stamp_ns)
        mapper = self._mapper or make_mapper(choose_source(self._config.depth, frame), self._flow)
        with watch.step('prepare'):
            prepared = self._preparer.prepare(frame)
        with watch.step('measure'):
            measured = mapper.measure(prepared)
        self._mapper = mapper
        if self._keyframe is None or self._keyframe.frame.camera != prepared.camera:
            estimate = self._begin(mapper, prepared, measured)
        else:
            estimate = self._track(mapper, self._keyframe, prepared, measured, watch)
        self._stamp_ns = frame.stamp_ns
        self._measured = measured
        watch.finish()
        estimate.timings_ms.update(watch.milliseconds)
        return estimate

    def _check_stamp(self, stamp_ns: int) -> None:
        """Reject a stamp that does not increase; meet a jump of time itself."""
        last = self._stamp_ns
        if last is None or stamp_ns > last:
            if last is not None:
                self._check_gap(last, stamp_ns)
            return
        if stamp_ns == last:
            raise FrameRejected('duplicate', f'stamp {stamp_ns} ns came twice; ignored')
        if not self._motion.is_far_back(last, stamp_ns):
            raise FrameRejected(
                'out_of_order',
                f'stamp {stamp_ns} ns is older than the last one, {last} ns; ignored',
            )
        if self._config.tracking.on_time_jump == 'new_epoch':
            self.reset()
        else:
            pose, covariance = (
                self._motion.last_pose,
                self._motion.predicted_covariance(last),
            )
            tracking = self._config.tracking
            self._motion = MotionModel(
                tracking.max_gap, tracking.linear_sigma, tracking.angular_sigma
            )
            self._motion.accept(stamp_ns - 1, pose, covariance, np.zeros((6, 6)))
            self._forget_pictures()

    def _check_gap(self, last_ns: int, stamp_ns: int) -> None:
        if self._motion.is_gap(last_ns, stamp_ns):
            self._motion.halt()
            self._last_flow = None
        else:
            self._motion.observe_stamp(last_ns, stamp_ns)

    def _begin(
        self, mapper: Mapper, frame: PreparedFrame, measured: DepthEstimate | None
    ) -> PoseEstimate:
        """Make the first key frame, or say what it lacks."""
        pose = self._motion.predict(frame.stamp_ns)
        covariance = self._motion.predicted_covariance(frame.stamp_ns) + _FLOOR
        keyframe = self._new_keyframe(
            mapper.begin(frame, measured, None), None, frame, pose, covariance
        )
        self._forget_pictures()
        if keyframe is None:
            reason = 'texture' if measured is None else 'depth_or_texture'
            return self._estimate(
                mapper,
                frame,
                Verdict(TrackingState.INITIALISING, reason),
                pose,
                covariance,
            )
        self._keyframe = keyframe
        self._motion.accept(frame.stamp_ns, pose, covariance, covariance)
        verdict = Verdict(TrackingState.TRACKING)
        if not mapper.ready:
            verdict = Verdict(TrackingState.INITIALISING, 'parallax')
        return self._estimate(mapper, frame, verdict, pose, covariance, is_keyframe=True)

    def _new_keyframe(
        self,
        depth: DepthEstimate | None,
        followed: PointDepths | None,
        frame: PreparedFrame,
        pose: Matrix4,
        covariance: Matrix6,
    ) -> Keyframe | None:
        """Return a key frame if the frame has depth and texture enough to be one."""
        if depth is None:
            return None
        keyframe = make_keyframe(
            frame, depth, followed, pose, covariance, self._config.pose.points
        )
        enough = len(keyframe) >= self._config.tracking.min_points
        return (
            keyframe if enough and keyframe.depth_share >= self._config.depth.min_valid else None
        )

    def _track(
        self,
        mapper: Mapper,
        keyframe: Keyframe,
        frame: PreparedFrame,
        measured: DepthEstimate | None,
        watch: _Stopwatch,
    ) -> PoseEstimate:
        """Fit a frame to the key frame, or else to the one made when tracking was lost."""
        predicted = self._motion.predict(frame.stamp_ns)
        for candidate in (keyframe, self._recovery):
            if candidate is None:
                continue
            with watch.step('align'):
                alignment = self._align(mapper, candidate, frame, measured, predicted)
            verdict = judge(alignment, candidate, self._config)
            if verdict.believed:
                return self._accept(mapper, candidate, frame, measured, alignment, verdict, watch)
            if candidate is keyframe:
                failed = verdict
        return self._lose(mapper, frame, measured, predicted, failed)

    def _align(
        self,
        mapper: Mapper,
        keyframe: Keyframe,
        frame: PreparedFrame,
        measured: DepthEstimate | None,
        predicted: Matrix4,
    ) -> Alignment:
        expected = se3.inverse(predicted) @ keyframe.world_from_camera
        held = se3.inverse(self._motion.last_pose) @ keyframe.world_from_camera
        starts = [expected, held, *mapper.seeds]
        start_flow = self._last_flow if keyframe is self._keyframe else None
        refined = 1 if mapper.ready else len(starts)
        alignment = self._aligner.align(keyframe, frame, measured, starts, refined, start_flow)
        return mapper.constrain(alignment, keyframe, held)

    def _accept(
        self,
        mapper: Mapper,
        keyframe: Keyframe,
        frame: PreparedFrame,
        measured: DepthEstimate | None,
        alignment: Alignment,
        verdict: Verdict,
        watch: _Stopwatch,
    ) -> PoseEstimate:
        """Believe a fit: pose, covariance, velocity; let depth learn; perhaps a new key frame."""
        source_from_target = se3.inverse(alignment.target_from_source)
        pose = keyframe.world_from_camera @ source_from_target
        fit_covariance = alignment.covariance
        assert fit_covariance is not None  # a believed fit has one
        covariance = of_product(
            keyframe.world_from_camera,
            keyframe.covariance,
            source_from_target,
            fit_covariance,
        )
        step = rotated(fit_covariance, keyframe.world_from_camera[:3, :3])
        self._motion.accept(frame.stamp_ns, pose, covariance + _FLOOR, 2.0 * step)
        with watch.step('learn'):
            keyframe = mapper.learn(keyframe, alignment)
        is_new = self._is_due(keyframe, alignment)
        if is_new:
            with watch.step('keyframe'):
                depth = mapper.follow(keyframe, frame, measured, alignment)
            pose = se3.orthonormalized(pose)
            successor = self._new_keyframe(
                depth, mapper.followed(keyframe, alignment), frame, pose, covariance
            )
            is_new = successor is not None
            keyframe = successor or keyframe
        self._keyframe, self._recovery = keyframe, None
        self._last_flow = None if is_new else alignment.flow.displacement
        if not mapper.ready:
            verdict = Verdict(TrackingState.INITIALISING, 'parallax')
        return self._estimate(
            mapper,
            frame,
            verdict,
            pose,
            covariance + _FLOOR,
            is_keyframe=is_new,
            fit=alignment,
        )

    def _is_due(self, keyframe: Keyframe, alignment: Alignment) -> bool:
        """Whether the picture has changed so much that the next frames want a newer key frame."""
        limit = self._config.keyframe.max_flow * keyframe.frame.camera.width
        overlap = alignment.matched / max(len(keyframe), 1)
        return alignment.median_flow_px > limit or overlap < self._config.keyframe.min_overlap

    def _lose(
        self,
        mapper: Mapper,
        frame: PreparedFrame,
        measured: DepthEstimate | None,
        predicted: Matrix4,
        verdict: Verdict,
    ) -> PoseEstimate:
        """Predict, and offer this frame as a key frame to recover from."""
        covariance = self._motion.predicted_covariance(frame.stamp_ns) + _FLOOR
        depth = mapper.begin(frame, measured, self._keyframe)
        self._recovery = self._new_keyframe(depth, None, frame, predicted, covariance)
        self._last_flow = None
        return self._estimate(mapper, frame, verdict, predicted, covariance)

    def _estimate(
        self,
        mapper: Mapper,
        frame: PreparedFrame,
        verdict: Verdict,
        pose: Matrix4,
        covariance: Matrix6,
        *,
        is_keyframe: bool = False,
        fit: Alignment | None = None,
    ) -> PoseEstimate:
        return PoseEstimate(
            stamp_ns=frame.stamp_ns,
            state=verdict.state,
            reason=verdict.reason,
            world_from_camera=pose,
            covariance=covariance,
            twist=self._motion.twist,
            twist_covariance=self._motion.twist_covariance,
            epoch=self._epoch,
            scale_source=mapper.scale_source,
            is_keyframe=is_keyframe,
            points=fit.matched if fit else 0,
            inlier_ratio=fit.inlier_ratio if fit else 0.0,
            residual_px=fit.residual_px if fit else 0.0,
            condition=fit.condition if fit else float('inf'),
        )


class _Stopwatch:
    """Wall time of the steps of one frame."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self.milliseconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add the time spent inside to a step."""
        begin = time.perf_counter()
        yield
        spent = (time.perf_counter() - begin) * 1e3
        self.milliseconds[name] = self.milliseconds.get(name, 0.0) + spent

    def finish(self) -> None:
        """Note the time since the frame came."""
        self.milliseconds['total'] = (time.perf_counter() - self._begin) * 1e3
