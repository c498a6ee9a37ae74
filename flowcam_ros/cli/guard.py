# SPDX-License-Identifier: Apache-2.0
"""Runs a program and tells the user in one line what went wrong."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from types import FrameType

import typer

from flowcam_ros.errors import FlowcamError, OutputError

INTERRUPTED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# A second signal this soon after one means the same.
_TWICE_S = 1.0
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def run_app(app: typer.Typer, arguments: Sequence[str] | None, name: str) -> int:
    """Run a typer program and return the exit code; a user never sees a traceback.

    Args:
        app: the program; a command may return its exit code.
        arguments: the words after the program's name; None takes those of this process.
        name: the program's name, for its help and messages.
    """
    _mend_streams()
    logging.basicConfig(level=logging.WARNING, format='flowcam: %(levelname)s: %(message)s')
    interrupt = _Interrupter()
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        words = separate_ros_arguments(sys.argv[1:] if arguments is None else arguments)
        result = app(words, prog_name=name, standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()  # whoever read it has gone
        return 1
    except KeyboardInterrupt:
        result = INTERRUPTED
    except SystemExit as request:
        return request.code if isinstance(request.code, int) else 1
    except OSError as error:
        if error.errno not in _DISK_FULL or error.filename is not None:
            return _report(error)
        # Files that are written have errors of their own, so this is standard output.
        _discard_output()
        return _report(OutputError(f'standard output cannot be written ({error.strerror})'))
    except Exception as error:
        return _report(error)
    code = result if isinstance(result, int) else 0
    if code == INTERRUPTED:
        # One more must not break into what libraries do while the interpreter ends.
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        print('flowcam: interrupted', file=sys.stderr)
    return code


def separate_ros_arguments(words: Sequence[str]) -> list[str]:
    """Return the words with ``--`` before ``--ros-args``, so that the rest is left to ROS."""
    result = list(words)
    if '--ros-args' in result:
        at = result.index('--ros-args')
        if '--' not in result[:at]:
            result.insert(at, '--')
    return result


def _mend_streams() -> None:
    """Make output possible where a stream is closed, or a file name is no text."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # Takes the number, which would else be that of the next file and fill it with output.
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or os.fdopen(1, 'w')
    sys.stderr = sys.stderr or os.fdopen(2, 'w')
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors='backslashreplace')


def _discard_output() -> None:
    """Let what is still buffered go nowhere, or the interpreter tries to write it once more."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM; a class of its own because Python ends itself by SIGINT after its own."""


class _Interrupter:
    """Unwinds the program at a signal, so that nothing half-written stays.

    Ctrl-C often comes twice: the second one must not break into the removal of what was begun.
    """

    def __init__(self) -> None:
        self._last = -_TWICE_S

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Raise, unless that was done just now."""
        now = time.monotonic()
        if now - self._last >= _TWICE_S:
            self._last = now
            raise _Interrupted


def _report(error: Exception) -> int:
    """Print one line about an error and return the exit code."""
    if isinstance(error, FlowcamError):
        print(f'flowcam: error: {_one_line(str(error))}', file=sys.stderr)
        return error.exit_code
    # typer has moved the classes of its usage errors about; all of them can format themselves.
    format_message = getattr(error, 'format_message', None)
    if format_message is not None:
        message = _one_line(format_message())
        if message:  # empty when typer has printed the help instead
            context = getattr(error, 'ctx', None)
            command = context.command_path if context is not None else 'flowcam'
            print(f'flowcam: error: {message} (see {command} --help)', file=sys.stderr)
        return 2
    if isinstance(error, MemoryError):
        print('flowcam: error: out of memory; use smaller images', file=sys.stderr)
        return 1
    kind = type(error).__name__
    print(
        f'flowcam: error: unexpected {kind}: {_one_line(str(error))} ({_save_traceback(error)})',
        file=sys.stderr,
    )
    return 1


def _save_traceback(error: Exception) -> str:
    """Write the traceback to a new file in the temporary folder and say where it is."""
    try:
        with tempfile.NamedTemporaryFile(
            'w', prefix='flowcam-', suffix='.log', delete=False, encoding='utf-8'
        ) as file:
            file.write(f'arguments: {sys.argv[1:]}\n')
            traceback.print_exception(error, file=file)
    except OSError:
        return 'the details could not be saved'
    return f'details in {file.name}; please report it'


def _one_line(text: str) -> str:
    return ' '.join(text.split())
