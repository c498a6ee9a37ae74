# SPDX-License-Identifier: Apache-2.0
"""The errors this package raises on purpose; each message is one line a user can act on.

Exit codes of the command line: 0 done, 1 failure, 2 usage error, 3 done with losses.
"""


class FlowcamError(Exception):
    """Root of all errors with a message meant for the user."""

    exit_code = 1


class UsageError(FlowcamError):
    """The caller asked for something that cannot be: an argument, a missing or ambiguous topic."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration value is unknown, of the wrong type or out of range."""


class CameraError(FlowcamError):
    """A camera calibration is missing, contradictory or unsupported."""


class SequenceError(FlowcamError):
    """An input sequence cannot be read."""


class DivergenceError(FlowcamError):
    """An optimisation ran away: its numbers are none any more."""


class UnavailableError(FlowcamError):
    """What is needed beside the input and the options is not there, and may be there later."""


class OutputError(FlowcamError):
    """A result cannot be written, or would overwrite an earlier one."""


class EvaluationError(FlowcamError):
    """A result cannot be held against the truth: nothing matches, or nothing can be aligned."""


class FrameRejected(FlowcamError):
    """One frame or message is unusable; the stream goes on without it.

    Attributes:
        reason: short machine-readable cause, e.g. ``'encoding'``; the key of counters.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
