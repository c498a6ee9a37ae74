# SPDX-License-Identifier: Apache-2.0
"""The online estimator: frames in, poses out (FlowCam, section 3, made classical and robust).

A frame is undistorted; the key frame's points are found in it, where expected or along dense
flow; the pose is fitted robustly to them, to their depth at both ends (scene flow) and to the
surfaces. Then the depth learns from the frame, and the frame may become the next key frame.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from flowcam_ros.correspondence.registry import make_flow
from flowcam_ros.depth.estimate import DepthEstimate
from flowcam_ros.depth.registry import choose_source
from flowcam_ros.geometry import se3
from flowcam_ros.geometry.covariance import Matrix6
from flowcam_ros.geometry.frame import Frame
from flowcam_ros.geometry.prepare import FramePreparer, PreparedFrame
from flowcam_ros.geometry.se3 import Matrix4
from flowcam_ros.odometry.aligner import Aligner
from flowcam_ros.odometry.alignment import Alignment
from flowcam_ros.odometry.config import OdometryConfig
from flowcam_ros.odometry.device import choose_device, use_threads
from flowcam_ros.odometry.diagnosis import Diagnosis
from flowcam_ros.odometry.estimate import PoseEstimate, TrackingState
from flowcam_ros.odometry.fitted_pose import fitted_pose
from flowcam_ros.odometry.health import Verdict, judge, lack
from flowcam_ros.odometry.keyframe import Keyframe, make_keyframe
from flowcam_ros.odometry.map_scale import MapScale
from flowcam_ros.odometry.mapping import Mapper, make_mapper
from flowcam_ros.odometry.motion import MotionModel
from flowcam_ros.odometry.stamps import StampWatch, Step
from flowcam_ros.odometry.stopwatch import Stopwatch
from flowcam_ros.odometry.succession import is_due, succeed
from flowcam_ros.odometry.window import SlidingWindow

# No pose is perfect, not even the first: (10 micrometres)^2 and (10 microradians)^2.
_FLOOR = 1e-10 * np.eye(6)


class VisualOdometry:
    """FlowCam online; knows nothing of ROS or files.

    Making one sets torch's thread count of the process to ``config.threads``.
    """

    def __init__(self, config: OdometryConfig | None = None) -> None:
        self._config = config or OdometryConfig()
        self._device = choose_device(self._config.device)
        use_threads(self._config.threads)
        self._epoch = -1
        self._build()
        self.reset()

    def _build(self) -> None:
        self._flow = make_flow(self._config.flow, self._device)
        self._aligner = Aligner(self._config, self._flow, self._device)
        self._window = SlidingWindow(
            self._config.window, self._config.flow.max_inconsistency, self._device
        )
        self._preparer = FramePreparer(self._config.max_image_pixels)

    def reset(self) -> None:
        """Forget everything; the next frame begins a new epoch at the origin."""
        tracking = self._config.tracking
        self._epoch += 1
        self._stamps = StampWatch(tracking.max_gap)
        self._motion = MotionModel(tracking.linear_sigma, tracking.angular_sigma)
        self._mapper: Mapper | None = None
        self._keyframe: Keyframe | None = None
        self._recovery: Keyframe | None = None
        self._window.clear()
        self._aligner.forget()
        self._fit_before: Matrix6 = np.zeros((6, 6))
        self._measured: DepthEstimate | None = None
        self._diagnosis: Diagnosis | None = None
        self._attempt: tuple[Keyframe, Alignment] | None = None

    def reconfigure(self, config: OdometryConfig) -> None:
        """Take over changed options that are declared dynamic; nothing is forgotten."""
        self._config = config
        self._aligner.reconfigure(config)

    def latest_depth(self) -> DepthEstimate | None:
        """Return the newest depth: of the last frame when measured, else of the key frame."""
        if self._measured is not None:
            return self._measured
        return self._keyframe.depth if self._keyframe is not None else None

    def diagnosis(self) -> Diagnosis | None:
        """Return the inner workings of the last processed frame; None before the first."""
        return self._diagnosis

    def process(self, frame: Frame) -> PoseEstimate:
        """Estimate the pose of one frame; always answers for every accepted frame.

        Raises:
            FrameRejected: the stamp does not increase (a duplicate), the image is too small, or
                the frame lacks what ``depth.source`` requires; the state is unchanged.
        """
        watch = Stopwatch()
        step = self._stamps.step_to(frame.stamp_ns)
        ends_epoch = self._ends_epoch(step, frame)
        mapper = None if ends_epoch else self._mapper
        mapper = mapper or make_mapper(choose_source(self._config.depth, frame), self._flow)
        with watch.step('prepare'):
            prepared = self._preparer.prepare(frame)
        with watch.step('measure'):
            measured = mapper.measure(prepared)
        if ends_epoch:
            self.reset()
        self._mapper, self._measured = mapper, measured
        self._attempt = None
        estimate = self._estimate(mapper, prepared, measured, step, watch)
        keyframe, alignment = self._attempt or (None, None)
        self._diagnosis = Diagnosis(prepared, estimate, keyframe, alignment, self.latest_depth())
        self._stamps.take(frame.stamp_ns, step)
        estimate.timings_ms.update(watch.finish())
        return estimate

    def _ends_epoch(self, step: Step, frame: Frame) -> bool:
        """Whether the frame cannot be joined to the path so far.

        Time went back; or ``auto`` began with motion alone because the first pictures of a
        recording came without the depth that the others have: a path has one scale.
        """
        if step is Step.JUMP_BACK and self._config.tracking.on_time_jump == 'new_epoch':
            return True
        if self._mapper is None or self._mapper.measures:
            return False
        return choose_source(self._config.depth, frame) is not None

    def _estimate(
        self,
        mapper: Mapper,
        frame: PreparedFrame,
        measured: DepthEstimate | None,
        step: Step,
        watch: Stopwatch,
    ) -> PoseEstimate:
        if step is Step.JUMP_BACK:
            self._motion.restart_at(frame.stamp_ns)
        elif step is Step.GAP:
            self._motion.halt()
        keyframe = self._keyframe
        same_camera = keyframe is not None and keyframe.frame.camera == frame.camera
        if keyframe is None or step is Step.JUMP_BACK or not same_camera:
            return self._begin(mapper, frame, measured)
        return self._track(mapper, keyframe, frame, measured, watch)

    def _begin(
        self, mapper: Mapper, frame: PreparedFrame, measured: DepthEstimate | None
    ) -> PoseEstimate:
        """Make a key frame that nothing joins to an earlier one, or say what it lacks."""
        pose = self._motion.predict(frame.stamp_ns, self._stamps.bridge())
        covariance = self._motion.predicted_covariance(frame.stamp_ns) + _FLOOR
        if self._keyframe is not None:
            mapper.restart()
        depth = mapper.begin(frame, measured, self._keyframe)
        keyframe = self._candidate(mapper, depth, frame, pose, covariance)
        self._recovery = None
        reason = lack(depth, keyframe, self._config)
        if reason:
            self._keyframe = None
            verdict = Verdict(TrackingState.INITIALISING, reason)
            return self._answer(mapper, frame, verdict, pose, covariance)
        self._keyframe = keyframe
        self._window.clear()
        self._fit_before = np.zeros((6, 6))
        self._motion.accept(frame.stamp_ns, pose, covariance, covariance)
        verdict = self._while_starting(mapper, Verdict(TrackingState.TRACKING))
        return self._answer(mapper, frame, verdict, pose, covariance, is_keyframe=True)

    def _candidate(
        self,
        mapper: Mapper,
        depth: DepthEstimate | None,
        frame: PreparedFrame,
        pose: Matrix4,
        covariance: Matrix6,
    ) -> Keyframe | None:
        """Return the frame as a key frame, good or bad; None without depth."""
        if depth is None:
            return None
        count = self._config.pose.points
        scale = MapScale(mapper.unit_sigma**2)
        return make_keyframe(frame, depth, None, pose, covariance, count, scale)

    @staticmethod
    def _while_starting(mapper: Mapper, verdict: Verdict) -> Verdict:
        """No pose is believed before there is a map."""
        return verdict if mapper.ready else Verdict(TrackingState.INITIALISING, 'parallax')

    def _track(
        self,
        mapper: Mapper,
        keyframe: Keyframe,
        frame: PreparedFrame,
        measured: DepthEstimate | None,
        watch: Stopwatch,
    ) -> PoseEstimate:
        """Fit a frame to the key frame, or else to the one made when tracking was lost."""
        predicted = self._motion.predict(frame.stamp_ns, self._stamps.bridge())
        verdicts = []
        for candidate in (keyframe, self._recovery):
            if candidate is None:
                continue
            with watch.step('align'):
                alignment = self._align(mapper, candidate, frame, measured, predicted)
            self._attempt = self._attempt or (candidate, alignment)
            verdict = judge(alignment, len(candidate), measured, self._config)
            if verdict.believed:
                self._attempt = candidate, alignment
                return self._accept(mapper, candidate, frame, measured, alignment, verdict, watch)
            verdicts.append(verdict)
        return self._lose(mapper, frame, measured, predicted, verdicts[0])

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
        coasted = se3.inverse(self._motion.coast(frame.stamp_ns)) @ keyframe.world_from_camera
        starts = [expected, held]
        alignment = self._aligner.align(keyframe, frame, measured, starts, mapper.seeds)
        return mapper.constrain(alignment, keyframe, coasted)

    def _accept(
        self,
        mapper: Mapper,
        keyframe: Keyframe,
        frame: PreparedFrame,
        measured: DepthEstimate | None,
        alignment: Alignment,
        verdict: Verdict,
        watch: Stopwatch,
    ) -> PoseEstimate:
        """Believe a fit: pose, covariance, velocity; let depth learn; perhaps a new key frame."""
        if keyframe is not self._keyframe:
            self._window.clear()
            mapper.restart()
            keyframe = dataclasses.replace(keyframe, scale=MapScale(mapper.unit_sigma**2))
            self._fit_before = np.zeros((6, 6))
        fitted = fitted_pose(keyframe, alignment, self._fit_before, self._motion.last_pose[:3, 3])
        pose, covariance = fitted.world_from_camera, fitted.covariance + _FLOOR
        self._fit_before = fitted.fit
        tells = not alignment.holds_translation
        self._motion.accept(frame.stamp_ns, pose, covariance, fitted.step, tells)
        with watch.step('learn'):
            keyframe = mapper.learn(keyframe, frame, alignment)
        successor = None
        if is_due(keyframe, frame, alignment, mapper.patience, self._config.keyframe):
            with watch.step('keyframe'):
                succession = succeed(
                    self._window,
                    mapper,
                    keyframe,
                    frame,
                    measured,
                    alignment,
                    pose,
                    covariance,
                    self._config,
                )
            pose, covariance = succession.world_from_camera, succession.covariance + _FLOOR
            successor = succession.keyframe
            if successor is not None:
                self._fit_before = np.zeros((6, 6))
        self._keyframe, self._recovery = successor or keyframe, None
        self._motion.correct(pose, covariance)
        verdict = self._while_starting(mapper, verdict)
        is_new = successor is not None
        return self._answer(mapper, frame, verdict, pose, covariance, is_new, alignment)

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
        recovery = self._candidate(mapper, depth, frame, predicted, covariance)
        reason = lack(depth, recovery, self._config)
        self._recovery = None if reason else recovery
        verdict = Verdict(TrackingState.LOST, reason or verdict.reason)
        return self._answer(mapper, frame, verdict, predicted, covariance)

    def _answer(
        self,
        mapper: Mapper,
        frame: PreparedFrame,
        verdict: Verdict,
        pose: Matrix4,
        covariance: Matrix6,
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
            twist_covariance=self._motion.twist_covariance + _FLOOR,
            epoch=self._epoch,
            scale_source=mapper.scale_source,
            is_keyframe=is_keyframe,
            points=fit.matched if fit else 0,
            inlier_ratio=fit.inlier_ratio if fit else 0.0,
            residual_px=fit.residual_px if fit else 0.0,
            condition=fit.condition if fit else float('inf'),
        )
