# SPDX-License-Identifier: Apache-2.0
"""``run.json``: what a run did, how fast, with which versions and options."""

from __future__ import annotations

import importlib.metadata
import platform
import resource
import sys
from collections.abc import Sequence

import numpy as np

from flowcam_ros import __version__
from flowcam_ros.cli.tracking_run import TrackingRecord
from flowcam_ros.odometry.config import OdometryConfig
from flowcam_ros.settings import flatten


def run_report(
    record: TrackingRecord,
    config: OdometryConfig,
    source: dict[str, object],
    losses: Sequence[str],
) -> dict[str, object]:
    """Return the contents of ``run.json``.

    ``fps`` counts the estimator alone, ``wall_fps`` reading and decoding, too.
    """
    busy = sum(record.frame_ms) * 1e-3
    wall = record.wall_seconds
    return {
        'input': source,
        'frames': len(record.stamps_ns),
        'tracked': record.tracked,
        'states': record.states,
        'scale_source': record.scale_source,
        'epochs': record.epochs,
        'fps': len(record.frame_ms) / busy if busy > 0 else None,
        'wall_fps': len(record.stamps_ns) / wall if wall > 0 else None,
        'frame_ms': percentiles(record.frame_ms),
        'step_ms': {step: percentiles(values) for step, values in record.step_ms.items()},
        'peak_rss_mb': peak_rss_mb(),
        'reasons': record.reasons,
        'rejected': record.rejected,
        'losses': [*losses, *rejections(record)],
        'versions': versions(),
        'config': flatten(config),
    }


def rejections(record: TrackingRecord) -> list[str]:
    """Return a sentence for each cause for which frames were refused."""
    return [
        f'{count} frame{"s" if count > 1 else ""} rejected ({reason}): {record.examples[reason]}'
        for reason, count in sorted(record.rejected.items())
    ]


def percentiles(values: Sequence[float]) -> dict[str, float | None]:
    """Return median, 95th percentile and largest value; None of nothing."""
    if not values:
        return {'p50': None, 'p95': None, 'max': None}
    p50, p95 = np.percentile(values, [50, 95])
    return {'p50': float(p50), 'p95': float(p95), 'max': max(values)}


def peak_rss_mb() -> float:
    """Return the largest resident memory of this process so far, in units of 10^6 bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts kibibytes, macOS bytes.
    return peak * (1.0 if sys.platform == 'darwin' else 1024.0) * 1e-6


def versions() -> dict[str, str | None]:
    """Return the versions of what the numbers depend on; None where something is missing."""
    import cv2

    try:
        torch = importlib.metadata.version('torch')
    except importlib.metadata.PackageNotFoundError:
        torch = None
    return {
        'flowcam_ros': __version__,
        'python': platform.python_version(),
        'numpy': np.__version__,
        'opencv': cv2.__version__,
        'torch': torch,
        'platform': platform.platform(),
    }
