# SPDX-License-Identifier: Apache-2.0
"""Python programs that run beside this one and never outlive it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

STOP_TIMEOUT_S = 5.0


class ChildProcess:
    """``python -m module arguments``, stopped when the block ends, however it ends.

    Attributes:
        name: what it is called in messages.
        process: the running process; its output goes to files.
    """

    def __init__(self, name: str, module: str, arguments: Sequence[str], folder: Path) -> None:
        """Start it; its stdout goes to ``folder/name.out``, its stderr to ``folder/name.log``."""
        self.name = name
        self._output, self._log = folder / f'{name}.out', folder / f'{name}.log'
        with self._output.open('wb') as output, self._log.open('wb') as log:
            self.process = subprocess.Popen(
                [sys.executable, '-m', module, *arguments], stdout=output, stderr=log
            )

    def __enter__(self) -> ChildProcess:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the process."""
        self.stop()

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self.process.poll() is not None

    def stop(self) -> int:
        """Ask it to end, insist after some seconds, and return its exit code.

        Ctrl-C is not heard meanwhile: it often comes twice, and must not leave the process behind.
        """
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGINT)
            try:
                return self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                return self.process.wait()
        finally:
            signal.signal(signal.SIGINT, before)

    def output(self) -> str:
        """Return what it has written to stdout so far."""
        return self._output.read_text(encoding='utf-8', errors='replace')

    def last_words(self, lines: int = 3) -> str:
        """Return the last lines it has written to stderr, in one."""
        text = self._log.read_text(encoding='utf-8', errors='replace').strip()
        return ' / '.join(text.splitlines()[-lines:]) or 'it said nothing'
