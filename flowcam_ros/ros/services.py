# SPDX-License-Identifier: Apache-2.0
"""The node's services: reset, pause, resume, save_trajectory."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

from flowcam_ros.errors import FlowcamError, OutputError
from flowcam_ros.export.tum import write_trajectory
from flowcam_ros.ros.recorder import TrajectoryRecorder
from flowcam_ros.srv import SaveTrajectory


class Services:
    """Offers the services while it lives.

    Args:
        node: the node to offer them with.
        reset: begins a new epoch; called in the executor.
        pause: is told True to pause and False to resume; called in the executor.
        recorder: the poses to save.
        output_dir: where files go that are not named; empty is flowcam_ros in $ROS_HOME.
        header: first line of a saved file.
    """

    def __init__(
        self,
        node: Node,
        reset: Callable[[], None],
        pause: Callable[[bool], None],
        recorder: TrajectoryRecorder,
        output_dir: str,
        header: str,
    ) -> None:
        self._node, self._reset, self._pause = node, reset, pause
        self._recorder, self._header = recorder, header
        self._folder = Path(output_dir).expanduser() if output_dir else default_output_dir()
        self._services = [
            node.create_service(Trigger, '~/reset', self._on_reset),
            node.create_service(Trigger, '~/pause', self._on_pause),
            node.create_service(Trigger, '~/resume', self._on_resume),
            node.create_service(SaveTrajectory, '~/save_trajectory', self._on_save),
        ]

    def close(self) -> None:
        """Withdraw the services."""
        for service in self._services:
            self._node.destroy_service(service)

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._reset()
        return _answer(response, 'the next image begins a new epoch at the origin')

    def _on_pause(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._pause(True)
        return _answer(response, 'paused; ~/resume goes on')

    def _on_resume(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._pause(False)
        return _answer(response, 'going on with the next image')

    async def _on_save(
        self, request: SaveTrajectory.Request, response: SaveTrajectory.Response
    ) -> SaveTrajectory.Response:
        """Save in a thread: hours of poses take seconds, and images must not wait for them."""
        done = Future(executor=self._node.executor)
        thread = threading.Thread(
            target=self._save, args=(request.path, done), name='save_trajectory', daemon=True
        )
        thread.start()
        response.success, response.message = await done
        return response

    def _save(self, path: str, done: Future) -> None:
        try:
            done.set_result((True, self._write(path)))
        except FlowcamError as error:
            done.set_result((False, str(error)))
        except Exception as error:  # without an answer the caller would wait for ever
            done.set_result((False, f'{type(error).__name__}: {error}'))
        executor = self._node.executor
        if executor is not None:
            executor.wake()

    def _write(self, name: str) -> str:
        trajectory = self._recorder.trajectory()
        if not len(trajectory):
            raise OutputError('there is no pose to save yet in this epoch')
        if name:
            path = Path(name).expanduser()
            path = path if path.is_absolute() else self._folder / path
            if not path.parent.is_dir() and path.parent != self._folder:
                raise OutputError(f'{path}: the folder {path.parent} does not exist')
        else:
            path = free_name(self._folder)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f'{self._folder}: cannot be made ({error.strerror})') from error
        write_trajectory(path, trajectory, self._header)
        gone = self._recorder.forgotten
        note = f'; the {gone} oldest were forgotten (trajectory_max_size)' if gone else ''
        return f'{len(trajectory)} poses of this epoch written to {path}{note}'


def default_output_dir() -> Path:
    """Return the folder ROS programs keep their files in, with ours below it."""
    home = os.environ.get('ROS_HOME')
    return (Path(home) if home else Path.home() / '.ros') / 'flowcam_ros'


def free_name(folder: Path) -> Path:
    """Return a new file name made of the time of day (UTC)."""
    stem = datetime.now(timezone.utc).strftime('odometry_%Y%m%dT%H%M%SZ')
    names = [f'{stem}.tum', *(f'{stem}_{i}.tum' for i in range(2, 1000))]
    return next(folder / name for name in names if not os.path.lexists(folder / name))


def _answer(response: Trigger.Response, message: str) -> Trigger.Response:
    response.success, response.message = True, message
    return response
