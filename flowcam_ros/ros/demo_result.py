# SPDX-License-Identifier: Apache-2.0
"""What the demonstration found: figures, files, and whether it went well."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from sensor_msgs.msg import PointCloud2

from flowcam_ros.cli.evaluate import as_json
from flowcam_ros.cli.run_report import percentiles, versions
from flowcam_ros.evaluation.evaluate import Evaluation, evaluate
from flowcam_ros.export.json_file import write_json
from flowcam_ros.export.tum import write_trajectory
from flowcam_ros.geometry.trajectory import Trajectory
from flowcam_ros.ros.conversions import stamp_ns
from flowcam_ros.ros.witness import Witness
from flowcam_ros.sequences.sequence import Sequence
from flowcam_ros.visualization.demo import plot_overview
from flowcam_ros.visualization.evaluation import length_text

LARGEST_ERROR_PERCENT = 1.0


@dataclass(frozen=True)
class DemoResult:
    """The figures of one demonstration.

    Attributes:
        trajectory: path of the camera in the odometry frame, stamps of the recording.
        evaluation: held against the truth, SE3-aligned.
        sent: images that were played.
        answered: images for which /odom came.
        transforms: images for which /tf came.
        latency_ms: stamp of the image to arrival of its /odom: p50, p95, max.
    """

    trajectory: Trajectory
    evaluation: Evaluation
    sent: int
    answered: int
    transforms: int
    latency_ms: dict[str, float | None]

    @classmethod
    def of(
        cls,
        witness: Witness,
        truth: Trajectory,
        base_from_camera: Float[np.ndarray, '4 4'],
        sent: int,
        stamp_offset_ns: int,
    ) -> DemoResult:
        """Judge what was heard.

        Args:
            witness: what was heard.
            truth: the true path of the camera.
            base_from_camera: where the camera sits on the robot.
            sent: images that were played.
            stamp_offset_ns: by how much their stamps were moved.

        Raises:
            EvaluationError: hardly a pose came.
        """
        stamps = sorted(witness.poses)
        poses = [witness.poses[stamp] @ base_from_camera for stamp in stamps]
        trajectory = Trajectory(
            np.array(stamps, np.int64) - stamp_offset_ns, np.array(poses).reshape(-1, 4, 4)
        )
        return cls(
            trajectory,
            evaluate(trajectory, truth, 'se3', max_difference_ns=1_000_000),
            sent,
            len(stamps),
            len(witness.transforms),
            percentiles(witness.latencies_ms),
        )

    def problems(self) -> list[str]:
        """Return what is not as it should be, with advice; empty if all is well."""
        found = []
        if self.answered < self.sent:
            found.append(
                f'{self.sent - self.answered} of {self.sent} images were not answered: is the '
                'machine busy? Close other programs and try again; node.log says more'
            )
        if not self.evaluation.ate_percent <= LARGEST_ERROR_PERCENT:
            found.append(
                f'the error is {self.evaluation.ate_percent:.2f} % of the path instead of at most '
                f'{LARGEST_ERROR_PERCENT:g} %: unanswered images make it worse; without any, '
                'please report it with summary.json'
            )
        return found

    def lines(self) -> list[str]:
        """Return the figures as sentences, for people."""
        e, latency = self.evaluation, self.latency_ms
        return [
            f'error     {length_text(e.ate.rmse)} RMSE = {e.ate_percent:.2f} % of the '
            f'{length_text(e.path_length)} path',
            f'frames    {self.answered} of {self.sent} answered by odom, {self.transforms} by TF',
            f'latency   {latency["p50"]:.0f} ms median, {latency["p95"]:.0f} ms p95, '
            'from image to odom',
        ]

    def caption(self) -> str:
        """Return the figures in one line, for the picture."""
        e, latency = self.evaluation, self.latency_ms
        return (
            f'error {length_text(e.ate.rmse)} = {e.ate_percent:.2f} % of the path   ·   '
            f'{self.answered} of {self.sent} frames answered   ·   '
            f'{latency["p50"]:.0f} ms from image to odom (median)'
        )

    def write(self, folder: Path, witness: Witness, truth: Trajectory, image: np.ndarray) -> None:
        """Write trajectory.tum, summary.json and demo.png.

        Args:
            folder: where to.
            witness: what was heard; its cloud is drawn.
            truth: the true path of the camera.
            image: BGR or grey picture of the moment of the cloud.
        """
        write_trajectory(folder / 'trajectory.tum', self.trajectory)
        write_json(
            folder / 'summary.json',
            {
                'error': as_json(self.evaluation),
                'sent': self.sent,
                'answered': self.answered,
                'transforms': self.transforms,
                'latency_ms': self.latency_ms,
                'reasons': witness.reasons,
                'problems': self.problems(),
                'versions': versions(),
            },
        )
        depth = cloud_depth(witness.clouds[0]) if witness.clouds else np.zeros((2, 2))
        plot_overview(
            folder / 'demo.png',
            self.evaluation.alignment.apply(self.trajectory),
            truth,
            as_rgb(image),
            depth,
            'flowcam demo: odometry over DDS',
            self.caption(),
        )


def picture_at(sequence: Sequence, when_ns: int) -> np.ndarray:
    """Return the last picture of a sequence that is not later than a stamp, else the first."""
    chosen: np.ndarray | None = None
    for frame in sequence:
        if chosen is not None and frame.stamp_ns > when_ns:
            break
        chosen = frame.image
    assert chosen is not None, 'the bag was played, so it holds pictures'
    return chosen


def cloud_stamp(witness: Witness) -> int:
    """Return the stamp of the cloud that was heard, else of the last pose."""
    if witness.clouds:
        return stamp_ns(witness.clouds[0].header.stamp)
    return max(witness.poses)


def cloud_depth(cloud: PointCloud2) -> Float[np.ndarray, 'height width']:
    """Return the depth image an organised cloud was made of: its z, NaN where unknown."""
    offsets = {field.name: field.offset for field in cloud.fields}
    layout = np.dtype(
        {
            'names': ['z'],
            'formats': ['>f4' if cloud.is_bigendian else '<f4'],
            'offsets': [offsets['z']],
            'itemsize': cloud.point_step,
        }
    )
    points = np.frombuffer(cloud.data, layout, count=cloud.height * cloud.width)
    return points['z'].reshape(cloud.height, cloud.width)


def as_rgb(image: np.ndarray) -> UInt8[np.ndarray, 'height width 3']:
    """Return a grey or BGR picture as RGB."""
    if image.ndim == 2:
        return np.repeat(image[..., None], 3, axis=2)
    return np.ascontiguousarray(image[..., ::-1])
