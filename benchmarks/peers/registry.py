# SPDX-License-Identifier: Apache-2.0
"""The systems that are compared, by name."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from benchmarks.peers.system import System


@dataclass(frozen=True)
class Entry:
    """A system of the benchmark.

    Attributes:
        title: its name in the tables.
        modes: how it can be run: ``depth``, ``mono`` or both.
        maker: ``module:class``; imported only in the process that runs it.
        in_own_environment: whether it needs the peers' packages instead of this project's.
        by_default: whether it runs when no systems are named.
    """

    title: str
    modes: tuple[str, ...]
    maker: str
    in_own_environment: bool = True
    by_default: bool = True

    def make(self, mode: str, settings: list[str]) -> System:
        """Make the system for one run.

        Raises:
            ImportError: a package it needs is not installed.
        """
        module, _, name = self.maker.partition(':')
        system = getattr(importlib.import_module(f'benchmarks.peers.{module}'), name)
        made = system(mode, settings)
        assert isinstance(made, System)
        return made


SYSTEMS = {
    'flowcam': Entry('flowcam_ros', ('depth', 'mono'), 'ours:Flowcam', in_own_environment=False),
    'opencv_rgbd': Entry('OpenCV 5 Odometry, RGB-D', ('depth',), 'opencv_rgbd:OpencvOdometry'),
    'open3d_hybrid': Entry('Open3D tensor hybrid', ('depth',), 'open3d_rgbd:TensorHybrid'),
    'open3d_colour': Entry(
        'Open3D colour', ('depth',), 'open3d_rgbd:LegacyColour', by_default=False
    ),
    'klt_pnp': Entry('KLT + PnP', ('depth',), 'klt_pnp:KltPnp'),
    'klt_five_point': Entry('KLT + five-point', ('mono',), 'klt_five_point:KltFivePoint'),
}
MODES = {'depth': 'With depth', 'mono': 'Without depth'}
# This project's option depth.source in each mode.
DEPTH_SOURCES = {'depth': 'sensor', 'mono': 'none'}
