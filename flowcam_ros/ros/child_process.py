# SPDX-License-Identifier: Apache-2.0
"""Python programs that run beside this one and never outlive it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
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
        """Prepare it; its stdout goes to ``folder/NAME.out``, its stderr to ``NAME.log``."""
        self.name = name
        self.process: subprocess.Popen[bytes]
        self._words = [sys.executable, '-m', module, *arguments]
        self._output, self._log = folder / f'{name}.out', folder / f'{name}.log'

    def __enter__(self) -> ChildProcess:
        """Start it; an interrupt that comes meanwhile must not leave it behind."""
        with (
            _deferred_interrupts() as came,
            self._output.open('wb') as output,
            self._log.open('wb') as log,
        ):
            self.process = subprocess.Popen(self._words, stdout=output, stderr=log)
        if came:
            self.stop()
            signal.raise_signal(came[0])
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
        with _deferred_interrupts():
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGINT)
            try:
                return self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                return self.process.wait()

    def output(self) -> str:
        """Return what it has written to stdout so far."""
        return self._output.read_text(encoding='utf-8', errors='replace')

    def last_words(self, lines: int = 3) -> str:
        """Return the last lines it has written to stderr, in one."""
        text = self._log.read_text(encoding='utf-8', errors='replace').strip()
        return ' / '.join(text.splitlines()[-lines:]) or 'it said nothing'


@contextlib.contextmanager
def _deferred_interrupts() -> Iterator[list[int]]:
    """Let no Ctrl-C or SIGTERM break in; give the list of those that came."""
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {n: signal.signal(n, lambda number, _: came.append(number)) for n in numbers}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
