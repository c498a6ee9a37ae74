# SPDX-License-Identifier: Apache-2.0
"""This project: ``flowcam refine``."""

from __future__ import annotations

import json
import sys
from typing import Any

from benchmarks.refine.system import Answer, Job
from flowcam_ros import __version__
from flowcam_ros.cli.main import main
from flowcam_ros.evaluation.refined_folder import read_refined_folder
from flowcam_ros.sequences.tum_file import read_trajectory


def run(name: str, job: Job) -> Answer:
    """Run the command as a user does.

    Raises:
        SystemExit: it ended without a result, and has told why.
    """
    words = ['refine', job.source, '--output', str(job.output), '--intrinsics', job.intrinsics]
    words += ['--no-cache']  # what an earlier run found must not count as speed
    for setting in job.settings:
        words += ['--set', setting]
    main(words)
    if not (job.output / 'run.json').is_file():  # the exit code of a bad result is not 0, either
        sys.exit(1)
    found: dict[str, Any] = json.loads((job.output / 'run.json').read_text(encoding='utf-8'))
    path = read_trajectory(job.output / 'trajectory.tum')
    return Answer(
        path.stamps_ns.tolist(),
        list(path.world_from_camera),
        len(path) - found['placed'].get('interpolated', 0),
        found['chosen'],
        read_refined_folder(job.output).camera,
        {'flowcam_ros': __version__},
        [(stage['name'], stage['seconds']) for stage in found['stages']],
    )
