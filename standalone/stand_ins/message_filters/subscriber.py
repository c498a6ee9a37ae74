# SPDX-License-Identifier: Apache-2.0
"""The filter that messages come in by."""

from __future__ import annotations

from typing import Any

from message_filters.simple_filter import SimpleFilter


class Subscriber(SimpleFilter):
    """A subscription; its attributes can be read from here."""

    def __init__(
        self, node: Any, msg_type: type, topic: str, /, *, qos_profile: Any = 10, **kwargs: Any
    ) -> None:
        """Subscribe; keywords as of ``Node.create_subscription``."""
        super().__init__()
        self.node = node
        self.topic = topic
        self.sub = node.create_subscription(
            msg_type, topic, self.callback, qos_profile=qos_profile, **kwargs
        )

    def callback(self, msg: Any) -> None:
        """Take a message from the subscription."""
        self.signalMessage(msg)

    def getTopic(self) -> str:
        """Return the name the topic was subscribed by."""
        return self.topic

    def __getattr__(self, key: str) -> Any:
        """Return an attribute of the subscription."""
        return getattr(self.__dict__['sub'], key)
