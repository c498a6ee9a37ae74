# SPDX-License-Identifier: Apache-2.0
"""The process around a node: arguments, signals and exit code."""

from __future__ import annotations

import gc
import signal
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from flowcam_ros.errors import ConfigError, FlowcamError
from flowcam_ros.threads import calm_threads

if TYPE_CHECKING:
    from rclpy.executors import Executor
    from rclpy.impl.rcutils_logger import RcutilsLogger
    from rclpy.node import Node


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@runtime_checkable
class LiveNode(Protocol):
    """A node that a process is made for; also an rclpy node.

    Attributes:
        ended: set once the process shall end.
        failure: why, if what it was started for failed.
    """

    ended: threading.Event
    failure: FlowcamError | None

    def start_if_wanted(self) -> None:
        """Begin, before the executor spins; FlowcamError if that fails."""
        ...

    def end(self) -> None:
        """Stop and take everything down, from whatever state."""
        ...

    def get_logger(self) -> RcutilsLogger:
        """See rclpy."""
        ...

    def destroy_node(self) -> None:
        """See rclpy."""
        ...


def run_node(name: str, load: Callable[[], type[LiveNode]], args: list[str] | None = None) -> int:
    """Run a node until Ctrl-C, SIGTERM or its own end; ends the process.

    Args:
        name: of the node, for messages.
        load: imports its class, which takes a second in which Ctrl-C must already end cleanly.
        args: command line, ``sys.argv`` if None.

    Returns:
        Exit code: 0 ended as asked, 1 failure, 2 bad arguments or parameters.
    """
    stop = threading.Event()
    # Own handlers, because Python's raise KeyboardInterrupt wherever the program is, and ROS's
    # chain to them: a second Ctrl-C would then end clean-up with a traceback.
    for number in _SIGNALS:
        signal.signal(number, lambda _number, _frame: stop.set())
    try:
        return _run(sys.argv if args is None else args, load, stop)
    except FlowcamError as error:
        print(f'{name}: {error}', file=sys.stderr)
        return error.exit_code
    finally:
        # Python gives signals back their deadly default while it takes itself down.
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def _run(args: list[str], load: Callable[[], type[LiveNode]], stop: threading.Event) -> int:
    calm_threads()
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from flowcam_ros.ros.arguments import check_no_other_arguments, check_parameter_files
    from flowcam_ros.ros.transport import use_image_transport_profile

    node_class = load()
    check_parameter_files(args)
    use_image_transport_profile()
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:  # rclpy has no common class of errors for bad arguments
        text = str(error)
        if type(error).__name__ == 'UnknownROSArgsError':  # says nothing but the list of them
            text = f'unknown ROS arguments {text}'
        raise ConfigError(' '.join(text.split(', at ')[0].split())) from error
    try:
        check_no_other_arguments(args)
        return _live(_made(node_class), stop)
    finally:
        rclpy.try_shutdown()


def _made(node_class: type[LiveNode]) -> LiveNode:
    """Make the node; wrong values of rclpy's own parameters are told like those of ours."""
    from rclpy.exceptions import ParameterException

    try:
        return node_class()
    except ParameterException as error:
        raise ConfigError(' '.join(str(error).split())) from error


def _live(node: LiveNode, stop: threading.Event) -> int:
    """Start the node, let it spin in a thread, and take it down when asked to."""
    from rclpy.executors import SingleThreadedExecutor

    from flowcam_ros.ros.log_bridge import bridge_logs

    bridge_logs(node.get_logger())
    executor = SingleThreadedExecutor()
    executor.add_node(cast('Node', node))
    faults: list[Exception] = []
    spinner = threading.Thread(target=_spin, args=(executor, faults), name='executor', daemon=True)
    try:
        node.start_if_wanted()
        # What the imports made stays; going through it again would cost 0.2 s amid the frames.
        gc.collect()
        gc.freeze()
        spinner.start()
        # Signals reach the main thread only, so it waits here and does nothing else.
        while not (stop.wait(0.2) or node.ended.is_set() or not spinner.is_alive()):
            pass
    finally:
        executor.shutdown(timeout_sec=1.0)
        if spinner.ident is not None:
            spinner.join(1.0)
        node.end()
        node.destroy_node()
    if faults:
        raise FlowcamError(f'{type(faults[0]).__name__}: {faults[0]}') from faults[0]
    if node.failure is not None:
        raise node.failure
    return 0


def _spin(executor: Executor, faults: list[Exception]) -> None:
    from rclpy.executors import ExternalShutdownException, ShutdownException

    try:
        executor.spin()
    except (ExternalShutdownException, ShutdownException):
        pass
    except Exception as error:
        faults.append(error)
