# SPDX-License-Identifier: Apache-2.0
"""Subscriptions: images, paired with their partner where there is one, and what goes with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from message_filters import Subscriber
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from flowcam_ros.odometry.node_options import OdometryNodeConfig
from flowcam_ros.ros.conversions import stamp_ns
from flowcam_ros.ros.health import Health
from flowcam_ros.ros.pairing import Pairing
from flowcam_ros.ros.partner import DEPTH, NONE, RIGHT, PartnerChoice
from flowcam_ros.ros.qos import NO_SUBSCRIPTION_EVENTS, QosReporter, input_qos
from flowcam_ros.ros.rate_limit import RateLimit

IMAGE, MASK = 'image', 'mask'
CAMERA_INFO = 'camera_info'
DEPTH_INFO, RIGHT_INFO = 'depth/camera_info', 'right/camera_info'
_INFO_OF = {DEPTH: DEPTH_INFO, RIGHT: RIGHT_INFO}


@dataclass(frozen=True)
class Packet:
    """One image message and its partner, as they came in."""

    image: Any
    depth: Any | None = None
    right: Any | None = None


def topic_names(node: Node, config: OdometryNodeConfig) -> dict[str, str]:
    """Return the full topic of each input role, remappings and transports included."""
    raw = [IMAGE, CAMERA_INFO, DEPTH, DEPTH_INFO, RIGHT, RIGHT_INFO, MASK]
    names = {role: node.resolve_topic_name(role) for role in raw}
    if config.image_transport == 'compressed':
        names[IMAGE] += '/compressed'
        names[RIGHT] += '/compressed'
    if config.depth_transport == 'compressedDepth':
        names[DEPTH] += '/compressedDepth'
    return names


class Inputs:
    """Listens while it lives; :meth:`close` ends all subscriptions.

    Args:
        node: the node to subscribe with.
        config: what to listen to, and how.
        health: is told of every arrival.
        reporter: is told of qualities of service that do not fit.
        latest: where the newest camera_info messages and mask go, by role; others read it.
        deliver: gets each packet that is to be worked on.
    """

    def __init__(
        self,
        node: Node,
        config: OdometryNodeConfig,
        health: Health,
        reporter: QosReporter,
        latest: dict[str, Any],
        deliver: Callable[[Packet], None],
    ) -> None:
        self._node, self._config, self._health = node, config, health
        self._reporter, self._latest, self._deliver = reporter, latest, deliver
        self._topics = topic_names(node, config)
        self._subscribers: dict[str, Subscriber] = {}
        self._choice = PartnerChoice(config.depth.source, self._count_publishers)
        self._pairings: dict[str, Pairing] = {}
        self._limit = RateLimit()
        self._subscribe(CAMERA_INFO).registerCallback(self._keep, CAMERA_INFO)
        self._subscribe(MASK).registerCallback(self._keep, MASK)
        for role in self._choice.candidates():
            self._add_partner(role)
        self._health.partner = self._choice.chosen
        self._subscribe(IMAGE).registerCallback(self._on_image)

    def close(self) -> None:
        """Unsubscribe from everything."""
        for role in list(self._subscribers):
            self._unsubscribe(role)

    def reconfigure(self, config: OdometryNodeConfig) -> None:
        """Take over the options that may change (max_rate)."""
        self._config = config

    def choose_again(self) -> None:
        """Look anew for depth or right images, from the next image on."""
        for pairing in self._pairings.values():
            pairing.clear()
        self._choice.again()
        for role in self._choice.candidates():
            if role not in self._pairings:
                self._add_partner(role)
        self._health.partner = self._choice.chosen

    def _count_publishers(self, role: str) -> int:
        return self._node.count_publishers(self._topics[role])

    def _on_image(self, image: Any) -> None:
        self._health.arrived(IMAGE)
        if self._health.paused:
            return
        if self._choice.chosen is None:
            self._settle(self._choice.choose())
        if self._choice.chosen == NONE:
            self._take_up(Packet(image))
        for pairing in list(self._pairings.values()):
            pairing.add_image(image)
        self._health.unpaired = sum(pairing.unpaired for pairing in self._pairings.values())

    def _settle(self, role: str | None) -> None:
        """Listen to the chosen partner alone; None: no choice was made yet."""
        if role is None:
            return
        self._health.partner = role
        for other in [candidate for candidate in self._pairings if candidate != role]:
            del self._pairings[other]
            self._unsubscribe(other)
            self._unsubscribe(_INFO_OF[other])

    def _add_partner(self, role: str) -> None:
        config = self._config
        interval = config.approx_sync_max_interval if config.approx_sync else 0.0
        self._pairings[role] = Pairing(interval, config.sync_queue_size)
        self._pairings[role].registerCallback(self._on_pair, role)
        info = _INFO_OF[role]
        self._subscribe(info).registerCallback(self._keep, info)
        self._subscribe(role).registerCallback(self._on_partner, role)

    def _on_partner(self, message: Any, role: str) -> None:
        self._health.arrived(role)
        if role in self._pairings and not self._health.paused:
            self._pairings[role].add_partner(message)

    def _on_pair(self, image: Any, partner: Any, role: str) -> None:
        self._health.arrived('pairs')
        if self._choice.chosen is None:
            self._choice.chosen = role
            self._settle(role)
        if role == DEPTH:
            self._take_up(Packet(image, depth=partner))
        else:
            self._take_up(Packet(image, right=partner))

    def _take_up(self, packet: Packet) -> None:
        known = CAMERA_INFO in self._latest
        self._health.camera_known(known)
        if not known:
            return
        if not self._limit.passes(stamp_ns(packet.image.header.stamp), self._config.max_rate):
            self._health.skipped += 1
            return
        self._deliver(packet)

    def _keep(self, message: Any, role: str) -> None:
        self._health.arrived(role)
        self._latest[role] = message

    def _subscribe(self, role: str) -> Subscriber:
        topic, kind = self._topics[role], self._type(role)
        qos, parameter = self._profile(role)
        self._reporter.watch_input(topic, kind, qos, parameter)
        subscriber = Subscriber(
            self._node, kind, topic, qos_profile=qos, event_callbacks=NO_SUBSCRIPTION_EVENTS
        )
        self._subscribers[role] = subscriber
        return subscriber

    def _unsubscribe(self, role: str) -> None:
        subscriber = self._subscribers.pop(role, None)
        if subscriber is not None:
            self._node.destroy_subscription(subscriber.sub)
        self._reporter.forget_input(self._topics[role])
        self._latest.pop(role, None)

    def _profile(self, role: str) -> tuple[QoSProfile, str]:
        size = self._config.topic_queue_size
        if role in (CAMERA_INFO, DEPTH_INFO, RIGHT_INFO):
            return input_qos(self._config.qos_camera_info, size), 'qos_camera_info'
        return input_qos(self._config.qos_image, size), 'qos_image'

    def _type(self, role: str) -> type:
        if role in (CAMERA_INFO, DEPTH_INFO, RIGHT_INFO):
            return CameraInfo
        if role in (IMAGE, RIGHT) and self._config.image_transport == 'compressed':
            return CompressedImage
        if role == DEPTH and self._config.depth_transport == 'compressedDepth':
            return CompressedImage
        return Image
