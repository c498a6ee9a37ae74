# SPDX-License-Identifier: Apache-2.0
"""The ``flowcam`` program."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from flowcam_ros.threads import calm_threads

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: the words after ``flowcam``; None takes those of this process.
    """
    # Importing takes a moment, in which Ctrl-C must not show where it struck.
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _leave)
    calm_threads()
    from flowcam_ros.cli.app import app
    from flowcam_ros.cli.guard import run_app

    return run_app(app, arguments, 'flowcam')


def _leave(number: int, frame: object) -> None:
    os.write(2, b'flowcam: interrupted\n')
    os._exit(_INTERRUPTED)


if __name__ == '__main__':
    sys.exit(main())
