# SPDX-License-Identifier: Apache-2.0
"""The process of the node `refine`."""

from __future__ import annotations

import sys

from flowcam_ros.ros.node_process import LiveNode, run_node


def main(args: list[str] | None = None) -> int:
    """Run the node until Ctrl-C, SIGTERM or the end of its bag; ends the process.

    Args:
        args: command line, ``sys.argv`` if None.

    Returns:
        Exit code: 0 ended as asked, 1 failure, 2 bad arguments, parameters or input.
    """
    return run_node('refine', _node_class, args)


def _node_class() -> type[LiveNode]:
    from flowcam_ros.ros.refine import RefineNode

    return RefineNode


if __name__ == '__main__':
    sys.exit(main())
