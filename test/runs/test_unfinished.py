# SPDX-License-Identifier: Apache-2.0
"""What becomes of unfinished work, and when it may be gone on with."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from flowcam_ros.errors import OutputError, SequenceError, UnavailableError, UsageError
from flowcam_ros.runs.refine_config import RefineRunConfig
from flowcam_ros.runs.run_identity import run_identity
from flowcam_ros.runs.unfinished import Keeping, unfinished_folder, unfinished_work
from flowcam_ros.sequences import SequenceOptions
from flowcam_ros.settings import build

IDENTITY = {'versions': {'a': '1'}, 'input': {'path': 'x'}, 'options': {'o': 1.5}}


class Place:
    """Work for one output that ends as it is told to."""

    def __init__(self, folder: Path) -> None:
        self.output = folder / 'out'
        self.folder = folder / 'out.unfinished'
        self.kept: list[Path] = []

    def work(
        self,
        error: BaseException | None = None,
        *,
        resume: bool = False,
        read: bool = False,
        identity: dict[str, dict[str, object]] = IDENTITY,
    ) -> None:
        with unfinished_work(self.output, identity, Keeping(resume, 5, self.kept.append)) as work:
            assert work.folder == self.folder and work.checkpoints is not None
            assert work.checkpoints.every == 5
            if read:
                (self.folder / 'frames').mkdir()
                (self.folder / 'frames/records.json').write_text('[]')
            if error is not None:
                raise error


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / 'new')


def test_work_that_ends_well_is_gone(place: Place) -> None:
    place.work(read=True)
    assert not place.folder.exists() and not place.kept


@pytest.mark.parametrize(
    ('error', 'read', 'kept'),
    [
        (KeyboardInterrupt(), False, True),
        (KeyboardInterrupt(), True, True),
        (OutputError('full'), False, False),
        (OutputError('full'), True, True),
        (SequenceError('no parallax'), True, False),
        (UsageError('no'), True, False),
        (UnavailableError('no cluster'), True, True),
        (MemoryError(), False, False),
        (MemoryError(), True, True),
    ],
)
def test_work_is_kept_where_that_helps(
    place: Place, error: BaseException, read: bool, kept: bool
) -> None:
    with pytest.raises(type(error)):
        place.work(error, read=read)
    assert place.folder.exists() == kept == bool(place.kept)
    if kept:
        assert place.kept == [place.folder]
        place.work(resume=True)
        assert not place.folder.exists()


def test_work_that_is_there_is_not_overwritten(place: Place) -> None:
    with pytest.raises(KeyboardInterrupt):
        place.work(KeyboardInterrupt(), read=True)
    with pytest.raises(UsageError, match=r'go on with it by --resume, or delete it'):
        place.work()
    assert (place.folder / 'frames/records.json').exists()


def test_what_is_not_there_cannot_be_resumed(place: Place) -> None:
    with pytest.raises(UsageError, match='nothing to resume'):
        place.work(resume=True)
    assert not place.folder.exists()


@pytest.mark.parametrize('content', ['', '[]', 'no JSON', '{"versions": 3}'])
def test_a_folder_without_its_facts_cannot_be_resumed(place: Place, content: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        place.work(KeyboardInterrupt())
    (place.folder / 'begun.json').write_text(content)
    with pytest.raises(UsageError, match='holds no work that can be resumed; delete it'):
        place.work(resume=True)


def test_differences_are_named(place: Place) -> None:
    with pytest.raises(KeyboardInterrupt):
        place.work(KeyboardInterrupt())
    other = {**IDENTITY, 'options': {'o': 1.5, 'new': True}, 'versions': {'a': '2'}}
    with pytest.raises(UsageError) as caught:
        place.work(resume=True, identity=other)
    assert 'other versions (a: was 1, is 2) and options (new: was None, is True)' in str(
        caught.value
    )
    place.work(resume=True)


def test_two_processes_do_not_work_in_one_folder(place: Place) -> None:
    with unfinished_work(place.output, IDENTITY, Keeping(False, 5, place.kept.append)):
        with pytest.raises(OutputError, match='another process is working in'):
            place.work(resume=True)
        assert place.folder.exists() and not place.kept


def test_a_place_that_cannot_be_written_is_named(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, 'mkdir', refused)
    with pytest.raises(OutputError, match=r'out\.unfinished: cannot be made \(Read-only'):
        place.work()


def test_a_link_leads_beside_its_target(tmp_path: Path) -> None:
    (tmp_path / 'disk').mkdir()
    (tmp_path / 'link').symlink_to(tmp_path / 'disk')
    assert unfinished_folder(tmp_path / 'link') == tmp_path / 'disk.unfinished'


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    folder = tmp_path / 'recording'
    (folder / 'rgb').mkdir(parents=True)
    for name in ('times.txt', 'rgb/0.png', 'camera.yaml'):
        (folder / name).write_text(name)
    return folder


def identity_of(folder: Path, camera: Path | None = None, **options: object) -> object:
    config = build(RefineRunConfig, options)
    found = run_identity(str(folder), folder / 'out', SequenceOptions(camera=camera), config)
    return json.loads(json.dumps(found, default=str))


def test_the_identity_follows_input_and_options(recording: Path, tmp_path: Path) -> None:
    camera = tmp_path / 'camera.yaml'
    camera.write_text('fx: 1')
    before = identity_of(recording, camera)
    for name in ('out/report.html', 'out.unfinished/begun.json', '.hidden/x'):
        (recording / name).parent.mkdir()
        (recording / name).write_text('x')
    assert identity_of(recording, camera) == before, 'what it writes itself does not count'
    free = {'export.pictures': False, 'cache.folder': '/elsewhere', 'cache.max_gb': 1.0}
    assert identity_of(recording, camera, **free) == before
    assert identity_of(recording, camera, **{'optimizer.steps': 3}) != before
    assert identity_of(recording, camera, seed=3) != before
    assert identity_of(recording) != before
    camera.write_text('fx: 2')
    assert identity_of(recording, camera) != before
    camera.write_text('fx: 1')
    assert identity_of(recording, camera) == before
    moved = tmp_path / 'moved'
    recording.rename(moved)
    camera.rename(tmp_path / 'moved.yaml')
    assert identity_of(moved, tmp_path / 'moved.yaml') == before
    (moved / 'rgb/0.png').write_text('other')
    assert identity_of(moved, tmp_path / 'moved.yaml') != before
