# SPDX-License-Identifier: Apache-2.0
"""The type checker behind the shapes that annotations promise; pytest puts it in force."""

from __future__ import annotations

from beartype import BeartypeConf, beartype

# As for mypy, an int will do where a float is asked for.
check = beartype(conf=BeartypeConf(is_pep484_tower=True))
