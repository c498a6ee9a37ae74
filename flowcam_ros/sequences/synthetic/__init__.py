# SPDX-License-Identifier: Apache-2.0
"""A furnished room rendered along smooth camera paths, with everything that is true of it."""

from flowcam_ros.sequences.synthetic.options import TRAJECTORIES, SyntheticOptions
from flowcam_ros.sequences.synthetic.parse import parse_synthetic
from flowcam_ros.sequences.synthetic.sequence import SyntheticSequence
from flowcam_ros.sequences.synthetic.views import View, flow_between

__all__ = [
    'TRAJECTORIES',
    'SyntheticOptions',
    'SyntheticSequence',
    'View',
    'flow_between',
    'parse_synthetic',
]
