# SPDX-License-Identifier: Apache-2.0
"""From counters to a verdict a user can act on: state, level, reason and a sentence."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import IntEnum

from flowcam_ros.odometry.estimate import TrackingState
from flowcam_ros.odometry.node_options import OdometryNodeConfig
from flowcam_ros.ros.health import RECENT_S, Health

# Silence on a topic that is needed is worth a warning after this long.
STALL_S = 5.0


class NodeState(IntEnum):
    """States of the node; the numbers are those of flowcam_ros/msg/OdometryStatus."""

    WAITING_INPUT = 0
    WAITING_TF = 1
    INITIALISING = 2
    TRACKING = 3
    DEGRADED = 4
    LOST = 5
    PAUSED = 6


class Level(IntEnum):
    """Levels of diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2


@dataclass(frozen=True)
class Finding:
    """One thing worth saying."""

    level: Level
    reason: str
    message: str


@dataclass(frozen=True)
class Assessment:
    """The node's state, and all findings, the gravest first."""

    state: NodeState
    reason: str
    message: str
    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """The gravest level."""
        return self.findings[0].level if self.findings else Level.OK


_STATES = {
    TrackingState.WAITING: NodeState.WAITING_INPUT,
    TrackingState.INITIALISING: NodeState.INITIALISING,
    TrackingState.TRACKING: NodeState.TRACKING,
    TrackingState.DEGRADED: NodeState.DEGRADED,
    TrackingState.LOST: NodeState.LOST,
    TrackingState.PAUSED: NodeState.PAUSED,
}

# What the estimator's short reasons mean, and what helps.
_REASONS = {
    'texture': 'too little texture in the image; show the camera more structure or light',
    'depth_missing': 'no depth for the image yet; check the depth or right image',
    'depth_invalid': 'too few pixels have depth; check the depth image and depth.max_range',
    'overlap': 'too little of the last key frame is still in view; move or turn more slowly',
    'flow': 'the image does not match the one before; blur, a jump, or too fast a motion',
    'outliers': 'most matched points disagree with one rigid motion; moving objects or bad depth',
    'geometry': 'the points hardly fix the motion; too flat or too narrow a scene',
    'parallax': 'waiting for the camera to move sideways, so that depth can be found from motion',
}


def explain(reason: str) -> str:
    """Return the sentence for one of the estimator's reasons."""
    return _REASONS.get(reason, reason)


def assess(health: Health, config: OdometryNodeConfig, busy_s: float = 0.0) -> Assessment:
    """Judge the node; ``busy_s`` is how long the image at hand has been worked on."""
    with health.lock:
        now = time.monotonic()
        if health.paused:
            return Assessment(NodeState.PAUSED, 'paused', 'paused; ~/resume goes on', ())
        stuck = _watchdog(health, config, busy_s, now)
        state, main = _main_state(health, stuck, now)
        findings = [
            *main,
            *(finding for finding in stuck if finding not in main),
            *_misfits(health, now),
            *_quality(health, config, now),
        ]
    findings.sort(key=lambda finding: -finding.level)
    if main:
        return Assessment(state, main[0].reason, main[0].message, tuple(findings))
    return Assessment(state, '', '', tuple(findings))


def _main_state(
    health: Health, stuck: list[Finding], now: float
) -> tuple[NodeState, list[Finding]]:
    """Return the state and the finding that explains it, if it needs one."""
    silent = _silence(health, now)
    if silent is not None:
        return NodeState.WAITING_INPUT, [silent]
    if health.missing_transform is not None:
        finding = Finding(Level.ERROR, 'tf', health.missing_transform)
        return NodeState.WAITING_TF, [finding]
    estimate = health.estimate
    if stuck:  # the last answer is too old to speak for the present
        return NodeState.WAITING_INPUT if estimate is None else NodeState.LOST, stuck
    if estimate is None:
        return NodeState.WAITING_INPUT, [
            Finding(Level.OK, 'starting', 'the first image is being worked on')
        ]
    state = _STATES[estimate.state]
    if state is NodeState.TRACKING:
        return state, []
    level = {NodeState.LOST: Level.ERROR, NodeState.DEGRADED: Level.WARN}.get(state, Level.OK)
    return state, [Finding(level, estimate.reason, explain(estimate.reason))]


def _silence(health: Health, now: float) -> Finding | None:
    """Return what is missing at the input, if that is why nothing happens."""
    image = health.streams['image']
    age = image.age(now)
    waited = now - health.started if age is None else age
    if age is None or age > STALL_S:
        level = Level.WARN if waited > STALL_S else Level.OK
        since = f'for {waited:.0f} s' if waited > STALL_S else 'yet'
        return Finding(
            level, 'image', f'no image on {image.topic} {since}; is the camera running?'
        )
    if health.camera_missing_since is not None:
        waited = now - health.camera_missing_since
        level = Level.ERROR if waited > STALL_S else Level.OK
        topic = health.streams['camera_info'].topic
        return Finding(
            level,
            'camera_info',
            f'images come, but no camera_info on {topic} for {waited:.0f} s; remap camera_info, '
            'or set qos_camera_info to transient_local if it is latched',
        )
    return _missing_partner(health, now)


def _missing_partner(health: Health, now: float) -> Finding | None:
    if health.partner is None:
        return Finding(
            Level.OK, 'inputs', 'looking for depth/image or right/image beside the images'
        )
    if not health.partner:
        return None
    partner = health.streams[health.partner]
    paired = health.streams['pairs'].age(now)
    waited = now - health.started if paired is None else paired
    if paired is not None and waited <= STALL_S:
        return None
    level = Level.WARN if waited > STALL_S else Level.OK
    age = partner.age(now)
    if age is None or age > STALL_S:
        message = (
            f'images come, but nothing on {partner.topic} for {waited:.0f} s; start it, remap '
            f'{health.partner}, or set depth.source to none'
        )
    else:
        message = (
            f'images and {partner.topic} come, but for {waited:.0f} s no two had stamps within '
            'approx_sync_max_interval; raise it, or set approx_sync if it is false'
        )
    return Finding(level, health.partner, message)


def _watchdog(
    health: Health, config: OdometryNodeConfig, busy_s: float, now: float
) -> list[Finding]:
    since = health.unanswered_since
    waited = max(busy_s, 0.0 if since is None else now - since)
    if waited <= config.watchdog_s or health.missing_transform is not None:
        return []
    last = f'; last: {health.last_rejection}' if health.rejected.recent(now) else ''
    message = f'images come, but none was answered for {waited:.0f} s{last}'
    return [Finding(Level.ERROR, 'watchdog', message)]


def _misfits(health: Health, now: float) -> list[Finding]:
    """Return the inputs that are silent because qualities of service do not fit."""
    ages = {stream.topic: stream.age(now) for stream in health.streams.values()}
    return [
        Finding(Level.WARN, 'qos', f'{topic}: {sentence}')
        for topic, sentence in health.qos.items()
        if (age := ages.get(topic)) is None or age > STALL_S
    ]


def _quality(health: Health, config: OdometryNodeConfig, now: float) -> list[Finding]:
    """Return what is wrong with a stream that runs."""
    findings = []
    rejected = health.rejected.recent(now)
    if rejected:
        causes = ', '.join(f'{count} {reason}' for reason, count in rejected.most_common())
        findings.append(
            Finding(
                Level.WARN,
                'rejected',
                f'images rejected in the last {RECENT_S:.0f} s: {causes}; '
                f'last: {health.last_rejection}',
            )
        )
    dropped = health.dropped.recent(now).total()
    rate = health.streams['image'].rate(now)
    if dropped > 0.1 * rate * RECENT_S and dropped > 3:
        findings.append(
            Finding(
                Level.WARN,
                'overload',
                f'{dropped} images dropped in the last {RECENT_S:.0f} s, because newer ones came '
                'before they were taken up; lower max_image_pixels or max_rate, or flow.preset',
            )
        )
    if config.expected_rate > 0 and 0 < rate < 0.8 * config.expected_rate:
        findings.append(
            Finding(
                Level.WARN,
                'rate',
                f'images come at {rate:.1f} Hz, expected_rate is {config.expected_rate:g} Hz',
            )
        )
    return findings
