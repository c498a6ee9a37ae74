# SPDX-License-Identifier: Apache-2.0
"""What the node knows about its own work: counters, rates and latencies; knows nothing of ROS."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field

import numpy as np

from flowcam_ros.odometry.estimate import PoseEstimate

# Recent means this many seconds, for warnings that shall fade once the cause is gone.
RECENT_S = 10.0


@dataclass
class Stream:
    """Arrivals on one topic, in seconds of the monotonic clock."""

    topic: str
    count: int = 0
    times: deque[float] = field(default_factory=lambda: deque(maxlen=64))

    def arrive(self, now: float) -> None:
        """Note a message."""
        self.count += 1
        self.times.append(now)

    def age(self, now: float) -> float | None:
        """Return the seconds since the last message; None if there was none."""
        return now - self.times[-1] if self.times else None

    def rate(self, now: float) -> float:
        """Return the messages per second of late; 0 when nothing came for two seconds."""
        if len(self.times) < 2 or now - self.times[-1] > 2.0:
            return 0.0
        return (len(self.times) - 1) / max(self.times[-1] - self.times[0], 1e-6)


class Recent:
    """Counts events, in all and of late."""

    def __init__(self) -> None:
        self.total: Counter[str] = Counter()
        self._events: deque[tuple[float, str]] = deque(maxlen=2000)

    def add(self, key: str, now: float, count: int = 1) -> None:
        """Note ``count`` events of a kind."""
        self.total[key] += count
        self._events.extend([(now, key)] * count)

    def recent(self, now: float) -> Counter[str]:
        """Return the events of the last RECENT_S seconds by kind."""
        while self._events and self._events[0][0] < now - RECENT_S:
            self._events.popleft()
        return Counter(key for _, key in self._events)


class Health:
    """Counters and the last word on each input; every method may be called from any thread.

    Attributes:
        streams: arrivals by role, e.g. 'image' or 'depth/image'.
        partner: the role an image is paired with, '' if none, None while that is undecided.
        lock: held while several values are read together.
    """

    def __init__(self, topics: dict[str, str]) -> None:
        self.lock = threading.RLock()
        self.started = time.monotonic()
        self.streams = {role: Stream(topic) for role, topic in topics.items()}
        self.partner: str | None = ''
        self.paused = False
        self.rejected = Recent()
        self.dropped = Recent()
        self.skipped = 0
        self.unpaired = 0
        self.processed = 0
        self.last_rejection = ''
        self.missing_transform: str | None = None
        self.camera_missing_since: float | None = None
        self.unanswered_since: float | None = None
        self.estimate: PoseEstimate | None = None
        self.latencies_ms: deque[float] = deque(maxlen=300)
        self.processing_ms: deque[float] = deque(maxlen=300)
        self.qos: dict[str, str] = {}

    def restart(self) -> None:
        """The node begins to listen: what was missing before counts no more."""
        with self.lock:
            self.started = time.monotonic()
            self.camera_missing_since = self.unanswered_since = self.missing_transform = None
            for stream in self.streams.values():
                stream.times.clear()

    def arrived(self, role: str) -> None:
        """A message came."""
        with self.lock:
            self.streams[role].arrive(time.monotonic())

    def pause(self, paused: bool) -> None:
        """The node was paused or resumed."""
        with self.lock:
            self.paused = paused
            self.unanswered_since = None

    def camera_known(self, known: bool) -> None:
        """An image came while camera_info was, or was not, known."""
        with self.lock:
            if known:
                self.camera_missing_since = None
            elif self.camera_missing_since is None:
                self.camera_missing_since = time.monotonic()

    def offered(self, dropped: int) -> None:
        """An image was put before the worker, and took the place of ``dropped`` others."""
        with self.lock:
            now = time.monotonic()
            if self.unanswered_since is None:
                self.unanswered_since = now
            if dropped:
                self.dropped.add('overload', now, dropped)

    def rejected_because(self, reason: str, message: str) -> None:
        """An image was unusable."""
        with self.lock:
            self.rejected.add(reason, time.monotonic())
            self.last_rejection = message

    def waits_for_transform(self, message: str) -> None:
        """An image was left because a transform is not known."""
        with self.lock:
            self.missing_transform = message

    def answered(self, estimate: PoseEstimate, processing_ms: float, latency_ms: float) -> None:
        """An image was answered."""
        with self.lock:
            self.missing_transform = None
            self.unanswered_since = None
            self.estimate = estimate
            self.processed += 1
            self.processing_ms.append(processing_ms)
            self.latencies_ms.append(latency_ms)

    def qos_misfits(self, sentences: dict[str, str]) -> None:
        """Those are, by topic, the publishers and subscribers that cannot be heard or reached."""
        with self.lock:
            self.qos = sentences

    def values(self) -> dict[str, str]:
        """Return every number for /diagnostics, as text by name."""
        with self.lock:
            now = time.monotonic()
            values: dict[str, object] = {
                'frames received': self.streams['image'].count,
                'frames processed': self.processed,
                'frames dropped': self.dropped.total.total(),
                'frames rejected': self.rejected.total.total(),
                'frames skipped by max_rate': self.skipped,
                'frames without partner': self.unpaired,
            }
            for role, stream in self.streams.items():
                if stream.count:
                    values[f'{role} rate (Hz)'] = f'{stream.rate(now):.1f}'
            for name, samples in (
                ('latency', self.latencies_ms),
                ('processing', self.processing_ms),
            ):
                if samples:
                    p50, p95 = np.percentile(samples, (50, 95))
                    values[f'{name} p50 (ms)'] = f'{p50:.1f}'
                    values[f'{name} p95 (ms)'] = f'{p95:.1f}'
            for reason, count in sorted(self.rejected.total.items()):
                values[f'rejected: {reason}'] = count
            return {name: str(value) for name, value in values.items()}
