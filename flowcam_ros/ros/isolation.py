# SPDX-License-Identifier: Apache-2.0
"""Keeps the ROS processes of a demonstration or benchmark among themselves."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Mapping

# RTPS 2.x, 9.6.2.3: the ports of a domain begin at 7400 + 250 * domain. Linux hands out ports from
# 32768 on to others, so domains beyond 101 may clash with any program.
_FIRST_PORT = 7400
_PORTS_PER_DOMAIN = 250
_LAST_DOMAIN = 101


def isolated_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return environment variables with a ROS domain that nobody else uses on this machine.

    What the user has set stays: ROS_DOMAIN_ID and ROS_AUTOMATIC_DISCOVERY_RANGE.
    """
    result = dict(os.environ if environment is None else environment)
    result.setdefault('ROS_DOMAIN_ID', str(free_domain()))
    result.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    return result


def free_domain() -> int:
    """Return a domain whose first participant's ports are free; drawn at random."""
    domains = random.sample(range(1, _LAST_DOMAIN + 1), _LAST_DOMAIN)
    return next((domain for domain in domains if _is_free(domain)), domains[0])


def _is_free(domain: int) -> bool:
    """Return whether the discovery port of the domain's first participant can be bound."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(('', _FIRST_PORT + _PORTS_PER_DOMAIN * domain + 10))
        except OSError:
            return False
    return True
