# SPDX-License-Identifier: Apache-2.0
"""Input: recordings, folders, videos and the synthetic world, as streams of frames."""

from flowcam_ros.sequences.open import open_sequence
from flowcam_ros.sequences.options import SequenceOptions

__all__ = ['SequenceOptions', 'open_sequence']
