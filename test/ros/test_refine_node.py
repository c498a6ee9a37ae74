# SPDX-License-Identifier: Apache-2.0
"""The node `refine` over DDS: goals, progress, cancelling, and what RViz gets to see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')

from action_msgs.msg import GoalStatus
from nav_msgs.msg import Path as PathMsg
from rclpy.action import ActionClient
from sensor_msgs.msg import PointCloud2
from small_refinements import FRAMES, OPTIONS, write_small_bag
from tf2_msgs.msg import TFMessage

from flowcam_ros.action import RefineBag
from flowcam_ros.ros.qos import output_qos

LATCHED = output_qos(10, latched=True)


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('recorded') / 'bag'
    write_small_bag(folder, turn=0.01)
    return folder


class Client:
    """Sends goals and hears what comes back.

    Args:
        probe: to spin.
    """

    def __init__(self, probe: Any) -> None:
        self.probe = probe
        self._client = ActionClient(probe.node, RefineBag, 'refine/refine_bag')
        self.feedback: list[RefineBag.Feedback] = []
        probe.until(self._client.server_is_ready, 'the action')

    def send(self, bag: Path, output: Path, *options: str, **fields: object) -> Any:
        """Send a goal; return its handle, which says whether it was accepted."""
        self.feedback = []
        small = [f'{name}={value}' for name, value in OPTIONS.items()]
        goal = RefineBag.Goal(
            bag=str(bag), output=str(output), options=[*small, *options], **fields
        )
        future = self._client.send_goal_async(goal, self._hear)
        self.probe.until(future.done, 'the answer to the goal')
        return future.result()

    def end(self, handle: Any) -> tuple[int, RefineBag.Result]:
        """Wait for the end of a goal; return status and result."""
        future = handle.get_result_async()
        self.probe.until(future.done, 'the result', 60.0)
        return future.result().status, future.result().result

    def latched(self, kind: type, topic: str) -> Any:
        """Return the newest message that a late subscriber gets."""
        heard: list[Any] = []
        subscription = self.probe.listen(kind, topic, heard.append, LATCHED)
        self.probe.until(lambda: heard, f'a latched message on {topic}')
        self.probe.spin(0.2)
        self.probe.node.destroy_subscription(subscription)
        return heard[-1]

    def _hear(self, message: Any) -> None:
        self.feedback.append(message.feedback)


@pytest.fixture(scope='module')
def client(run_node: Callable[..., Any]) -> Iterator[Client]:
    with run_node(module='refine_node', feedback_rate=20.0) as (_, probe):
        yield Client(probe)


def test_a_goal_ends_in_a_result_and_files(client: Client, bag: Path, tmp_path: Path) -> None:
    output = tmp_path / 'out'
    status, result = client.end(client.send(bag, output, intrinsics='known'))
    assert status == GoalStatus.STATUS_SUCCEEDED and result.success, result.message
    assert result.output == str(output) and str(output) in result.message
    assert result.frames == FRAMES and result.verdict in ('good', 'warning', 'bad')
    assert result.scale_source == 'odometry'
    assert result.focal_px == pytest.approx(184.8, abs=0.1)
    for name in ('trajectory.tum', 'cloud.ply', 'report.html', 'run.json', 'sparse/0'):
        assert (output / name).exists(), name
    stages = list(dict.fromkeys(f.stage for f in client.feedback if f.stage))
    assert stages[:3] == ['reading', 'matching', 'optimising'] and stages[-1] == 'writing'
    assert any(f.steps == 10 and 0 < f.step <= 10 and f.loss > 0 for f in client.feedback)
    elapsed = [f.elapsed_s for f in client.feedback]
    assert elapsed == sorted(elapsed) and elapsed[-1] > 0.5


def test_who_comes_late_still_sees_path_and_cloud(client: Client) -> None:
    path = client.latched(PathMsg, 'refined/path')
    assert path.header.frame_id == 'map' and len(path.poses) == FRAMES
    first = path.poses[0].pose
    assert abs(first.orientation.w) > 0.9  # the body is level, as is the map
    cloud = client.latched(PointCloud2, 'refined/points')
    assert cloud.header.frame_id == 'map' and cloud.width > 1000
    assert [field.name for field in cloud.fields] == ['x', 'y', 'z', 'rgb']
    points = np.frombuffer(cloud.data, np.float32).reshape(-1, 4)
    assert np.isfinite(points[:, :3]).all()
    assert points[:, 0].mean() > 0.1  # ahead of a camera that looks forward


def test_tf_leads_from_the_map_to_the_recording_s_odometry_only(client: Client) -> None:
    static = client.latched(TFMessage, '/tf_static')
    edges = {(t.header.frame_id, t.child_frame_id) for t in static.transforms}
    assert edges == {('map', 'wheels')}
    assert client.probe.transforms == []  # nothing moves on /tf


def test_progress_is_in_diagnostics(client: Client) -> None:
    def told() -> list[Any]:
        return [d for d in client.probe.diagnostics if d.name == 'refine: refine']

    client.probe.until(lambda: any('verdict' in d.message for d in told()), 'the last result')
    assert all(d.level == b'\x00' for d in told())


@pytest.mark.parametrize('stage', ['matching', 'depth'])
def test_a_cancelled_goal_leaves_nothing(
    client: Client, bag: Path, tmp_path: Path, stage: str
) -> None:
    handle = client.send(bag, tmp_path / 'out', 'dense.pixels=300000')
    reached = {'matching': ('matching',), 'depth': ('depth', 'placing')}[stage]
    client.probe.until(lambda: any(f.stage in reached for f in client.feedback), stage, 60.0)
    assert not client.send(bag, tmp_path / 'other').accepted  # one at a time
    future = handle.cancel_goal_async()
    client.probe.until(future.done, 'the answer to the cancelling')
    status, result = client.end(handle)
    assert status == GoalStatus.STATUS_CANCELED and not result.success
    assert result.message == f'cancelled; nothing was written to {tmp_path / "out"}'
    assert list(tmp_path.iterdir()) == []
    # a preview goes with its goal; what was shown before stays where there was none
    poses = len(client.latched(PathMsg, 'refined/path').poses)
    width = client.latched(PointCloud2, 'refined/points').width
    assert (poses > 0, width > 0) == ((stage == 'matching'),) * 2


@pytest.mark.parametrize(
    ('name', 'options', 'fields', 'words'),
    [
        ('none', [], {}, '/none does not exist'),
        ('', ['optimizer.stepz=3'], {}, 'unknown option optimizer.stepz; did you mean'),
        ('', ['optimizer.steps'], {}, "options: 'optimizer.steps': expected key=value"),
        ('', ['map_frame=x'], {}, 'unknown option map_frame'),
        ('', [], {'intrinsics': 'unknown'}, 'intrinsics.mode=known contradict'),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    client: Client,
    bag: Path,
    tmp_path: Path,
    name: str,
    options: list[str],
    fields: dict[str, object],
    words: str,
) -> None:
    source = tmp_path / name if name else bag
    status, result = client.end(client.send(source, tmp_path / 'out', *options, **fields))
    assert status == GoalStatus.STATUS_ABORTED and not result.success
    assert words in result.message and '\n' not in result.message
    assert list(tmp_path.iterdir()) == []


def parameters(**own: object) -> dict[str, object]:
    return {**{name.replace('.', '__'): value for name, value in OPTIONS.items()}, **own}


def test_with_a_bag_it_starts_at_once_and_ends_when_told(
    run_node: Callable[..., Any], bag: Path, tmp_path: Path
) -> None:
    given = parameters(bag=str(bag), output_dir=str(tmp_path), exit_when_done=True)
    with run_node(module='refine_node', **given) as (node, _):
        assert node.process.wait(60.0) == 0, node.log
        (folder,) = tmp_path.iterdir()
        assert folder.name.startswith('refined_') and (folder / 'report.html').is_file()
        assert f'{folder}: {FRAMES} frames' in node.log and 'Traceback' not in node.log


def test_a_bag_that_is_not_there_ends_it_with_one_line(
    run_node: Callable[..., Any], tmp_path: Path
) -> None:
    with run_node(module='refine_node', bag=str(tmp_path / 'none')) as (node, _):
        assert node.process.wait(60.0) == 2
        errors = [line for line in node.log.splitlines() if '[INFO]' not in line]
        assert errors == [f'refine: {tmp_path / "none"} does not exist']


def test_ctrl_c_cancels_and_leaves_nothing(
    run_node: Callable[..., Any], bag: Path, tmp_path: Path
) -> None:
    given = parameters(bag=str(bag), output=str(tmp_path / 'out'), optimizer__steps=2000)
    with run_node(module='refine_node', **given) as (node, probe):
        probe.until(
            lambda: any('optimising' in d.message for d in probe.diagnostics), 'the optimisation'
        )
        code, seconds = node.interrupt(times=2)
        assert code == 0 and seconds < 10, node.log
        assert list(tmp_path.iterdir()) == []
        assert 'Traceback' not in node.log


def test_a_misspelt_parameter_is_named(run_node: Callable[..., Any]) -> None:
    with run_node(module='refine_node', optimizer__stepz=3) as (node, _):
        assert node.process.wait(60.0) == 2
        assert 'did you mean optimizer.steps?' in node.log
