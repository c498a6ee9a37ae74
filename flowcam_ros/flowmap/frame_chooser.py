# SPDX-License-Identifier: Apache-2.0
"""Chooses frames of a stream so that the picture moves about equally far between them.

FlowMap's own rule (subsample.py of its code) needs the whole video twice and fills up with random
frames. Here each frame is seen once, and at most five are held: the one motion is measured
from, the last that moved, the best near the wanted step, one that may be an accident, and the
newest.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from flowcam_ros.errors import FrameRejected
from flowcam_ros.flowmap.frame_config import FrameChoiceConfig
from flowcam_ros.flowmap.frame_motion import Look, MotionMeter
from flowcam_ros.flowmap.frame_record import Fate, FrameNames, FrameRecord
from flowcam_ros.geometry.camera import CameraModel
from flowcam_ros.geometry.frame import Frame

# In parts of the wanted step: where the sharpest frame is taken from, for the first frame and for
# the others.
_FIRST_UNTIL, _EARLIEST, _LATEST = 0.3, 0.7, 1.3
# How much sharpness a frame at the edge of that range must have in advance of one in the middle.
_OFF_STEP = 0.1
# Motion is measured from a frame up to this part of a step behind.
_LAG = 0.5
# A motion that is less than this share of the width is none: flow of a still picture, with noise.
_STILL = 0.0005
# Parts of the sharpness of its neighbours below which a frame is blurred: 6 pixels of 640.
_BLURRED = 0.75
_NEIGHBOURS = 7
# A still picture is no duplicate but a better one where it is so many times sharper.
_SHARPER = 1.1
# With texture on less than this share of the picture there is nothing to follow.
_MIN_TEXTURED = 0.003
# A step over which nothing can be followed counts as this many wanted ones.
_CUT_STEPS = 3.0


@dataclass(frozen=True)
class Chosen:
    """A frame that takes part in the optimisation.

    Attributes:
        record: what is known of it.
        frame: itself.
    """

    record: FrameRecord
    frame: Frame


@dataclass(frozen=True)
class _Candidate:
    """A frame that could be followed; ``flow`` as in FrameRecord."""

    number: int
    frame: Frame
    look: Look
    flow: float = 0.0


class FrameChooser:
    """Takes the frames of a recording in their order and gives back those to use.

    Attributes:
        records: of all frames so far; a frame may be chosen some frames later.
    """

    def __init__(self, config: FrameChoiceConfig) -> None:
        self.records: list[FrameRecord] = []
        self._step = config.step
        self._meter = MotionMeter()
        self._names = FrameNames()
        self._camera: CameraModel | None = None
        self._stamp_ns: int | None = None
        self._sharpness: deque[float] = deque(maxlen=_NEIGHBOURS)
        self._starting = True
        # what motion is measured from, the last frame that moved, and the best one of those about
        # a step from the last chosen
        self._anchor: _Candidate | None = None
        self._newest: _Candidate | None = None
        self._best: _Candidate | None = None
        # of the blurred frames in a row in which nothing was found again: the sharpest, how many
        self._suspect: _Candidate | None = None
        self._suspects = 0
        self._last: Look | None = None
        self._last_flow = 0.0

    def add(self, frame: Frame) -> list[Chosen]:
        """Take the next frame; return those that are now chosen, in their order."""
        if self._stamp_ns is not None and frame.stamp_ns <= self._stamp_ns:
            problem = f'its stamp {frame.stamp_ns} ns is not later than that of one before'
            self._note(frame, Fate.UNORDERED, problem=problem)
            return []
        self._stamp_ns = frame.stamp_ns
        try:
            self._check_camera(frame)
            look = self._meter.look(frame)
        except FrameRejected as error:
            self._note(frame, Fate.REJECTED, problem=str(error))
            return []
        self._camera = frame.camera
        dark = look.textured < _MIN_TEXTURED
        self._note(frame, Fate.FEATURELESS if dark else Fate.BETWEEN, look.sharpness)
        if dark:
            return []
        return self._follow(_Candidate(len(self.records) - 1, frame, look))

    def finish(self) -> list[Chosen]:
        """Return what is chosen as no more frames come: the last one that can be used."""
        chosen, newest = self._begun(), self._newest
        if newest is not None and self._since(newest) > _STILL:
            best = self._best
            if best is not None and newest.flow - best.flow >= 0.5 * self._step:
                chosen.append(self._take(best))
            chosen.append(self._take(newest))
        return chosen

    def widen(self, step: float) -> None:
        """Choose fewer frames from here on: ``step`` as ``FrameChoiceConfig.step``."""
        self._step = step

    def _check_camera(self, frame: Frame) -> None:
        if self._camera is not None and frame.camera != self._camera:
            raise FrameRejected(
                'camera',
                f'its camera is another ({frame.camera.width}x{frame.camera.height} pixels, focal '
                f'length {frame.camera.fx:g}) than that of the first frame '
                f'({self._camera.width}x{self._camera.height}, {self._camera.fx:g}); refine '
                'recordings of one camera',
            )

    def _note(self, frame: Frame, fate: Fate, sharpness: float = 0.0, problem: str = '') -> None:
        number = len(self.records)
        name = self._names.take(number, frame.name)
        flow = self._newest.flow if self._newest else 0.0
        self.records.append(
            FrameRecord(number, frame.stamp_ns, name, fate, flow, sharpness, problem)
        )

    def _change(self, candidate: _Candidate, fate: Fate) -> FrameRecord:
        before = self.records[candidate.number]
        record = dataclasses.replace(before, fate=fate, flow=candidate.flow)
        self.records[candidate.number] = record
        return record

    def _follow(self, candidate: _Candidate) -> list[Chosen]:
        if self._anchor is None:
            self._anchor = self._newest = self._best = candidate
            self._sharpness.append(candidate.look.sharpness)
            return []
        step = self._meter.step(self._anchor.look, candidate.look)
        if math.isfinite(step):
            self._suspect, self._suspects = None, 0
            return self._moved(dataclasses.replace(candidate, flow=self._anchor.flow + step))
        if self._is_blurred(candidate) and self._suspects < _NEIGHBOURS:
            return self._suspected(candidate)
        suspect, self._suspect, self._suspects = self._suspect, None, 0
        if suspect is None:
            return self._cut(candidate)
        # blurred as it is, nothing else leads over to this one
        return self._cut(suspect) + self._follow(candidate)

    def _suspected(self, candidate: _Candidate) -> list[Chosen]:
        """Put off a blurred frame in which nothing is found again; the sharpest one is held."""
        assert self._newest is not None
        self._change(dataclasses.replace(candidate, flow=self._newest.flow), Fate.BLURRED)
        self._suspects += 1
        held = self._suspect
        if held is None or held.look.sharpness < candidate.look.sharpness:
            self._suspect = candidate
        return []

    def _is_blurred(self, candidate: _Candidate) -> bool:
        return candidate.look.sharpness < _BLURRED * float(np.median(self._sharpness))

    def _moved(self, candidate: _Candidate) -> list[Chosen]:
        """Take a frame in which the anchor's picture is found again."""
        assert self._anchor is not None and self._newest is not None
        step = candidate.flow - self._newest.flow
        sharper = candidate.look.sharpness > _SHARPER * self._newest.look.sharpness
        if abs(step) < _STILL and not sharper:
            self._change(candidate, Fate.DUPLICATE)
            return []
        blurred = self._is_blurred(candidate)
        self._sharpness.append(candidate.look.sharpness)
        if blurred:
            self._change(candidate, Fate.BLURRED)
            return []
        self._change(candidate, Fate.BETWEEN)
        if self._starting and self._stays_at_start(candidate):
            chosen = []
        elif step > self._step:
            chosen = [*self._up_to_newest(), self._take(candidate)]
        else:
            chosen = self._begun() + self._within_steps(candidate)
        self._newest = candidate
        # from farther away motion is measured better, and a tremor is none
        if candidate.flow - self._anchor.flow > _LAG * self._step:
            self._anchor = candidate
        return chosen

    def _stays_at_start(self, candidate: _Candidate) -> bool:
        """Return whether the first frame is still sought: near the start, or instead of a blur."""
        assert self._best is not None
        if self._best.look.sharpness < _BLURRED * candidate.look.sharpness:
            self._change(self._best, Fate.BLURRED)
            self._best, self._last_flow = candidate, candidate.flow
            return True
        return self._since(candidate) <= _FIRST_UNTIL * self._step

    def _within_steps(self, candidate: _Candidate) -> list[Chosen]:
        """Return the best frame about a step from the last one, once none better can come."""
        chosen: list[Chosen] = []
        while self._since(candidate) > _LATEST * self._step:
            next_one = self._best or candidate
            self._best = None
            if not self._came_back(next_one):
                chosen.append(self._take(next_one))
            if next_one is candidate:
                break
        if self._since(candidate) >= _EARLIEST * self._step:
            self._best = max(self._best or candidate, candidate, key=self._worth)
        return chosen

    def _worth(self, candidate: _Candidate) -> float:
        off = abs(self._since(candidate) / self._step - 1.0) / (1.0 - _EARLIEST)
        return candidate.look.sharpness * (1.0 - _OFF_STEP * off)

    def _came_back(self, candidate: _Candidate) -> bool:
        """Find out whether motions since the last chosen frame cancel, as those of a tremor do."""
        assert self._last is not None
        direct = self._meter.step(self._last, candidate.look)
        if direct >= 0.5 * self._step:
            return False
        self._last_flow = candidate.flow - direct
        return True

    def _cut(self, candidate: _Candidate) -> list[Chosen]:
        """Take a frame in which nothing is found again; also the one before, to bridge the gap."""
        assert self._newest is not None
        flow = self._newest.flow + _CUT_STEPS * self._step
        candidate = dataclasses.replace(candidate, flow=flow)
        chosen = [*self._up_to_newest(), self._take(candidate)]
        self._anchor = self._newest = candidate
        self._sharpness.clear()
        self._sharpness.append(candidate.look.sharpness)
        return chosen

    def _up_to_newest(self) -> list[Chosen]:
        """Take what was waiting and the newest: the far side of a gap is matched best with it."""
        chosen = self._begun()
        if self._best is not None:
            chosen.append(self._take(self._best))
        if self._newest is not None and self._since(self._newest) > _STILL:
            chosen.append(self._take(self._newest))
        return chosen

    def _begun(self) -> list[Chosen]:
        """Take the first frame, or the sharper one beside it."""
        if not self._starting or self._best is None:
            return []
        self._starting = False
        return [self._take(self._best)]

    def _since(self, candidate: _Candidate) -> float:
        return candidate.flow - self._last_flow

    def _take(self, candidate: _Candidate) -> Chosen:
        self._last, self._last_flow, self._best = candidate.look, candidate.flow, None
        return Chosen(self._change(candidate, Fate.CHOSEN), candidate.frame)
