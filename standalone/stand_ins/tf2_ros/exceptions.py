# SPDX-License-Identifier: Apache-2.0
"""The errors of tf2."""


class TransformException(Exception):
    """Root of all errors of tf2."""


class ConnectivityException(TransformException):
    """The frames are known, but no chain of transforms connects them."""


class ExtrapolationException(TransformException):
    """The frames are connected, but not at the requested time."""


class InvalidArgumentException(TransformException):
    """A frame name is empty or begins with a slash."""


class LookupException(TransformException):
    """A frame is not known."""


class TimeoutException(TransformException):
    """An answer did not come in time."""
