# SPDX-License-Identifier: Apache-2.0
"""Calibration files: the intrinsics of a camera, and how its depth images are stored."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jaxtyping import Float

from flowcam_ros.errors import CameraError, UsageError
from flowcam_ros.geometry.camera import CameraModel

# Names of lens models in files, and in sensor_msgs/CameraInfo.
_MODELS = {
    'none': 'none',
    'radtan': 'plumb_bob',
    'plumb_bob': 'plumb_bob',
    'rational_polynomial': 'rational_polynomial',
    'equidistant': 'equidistant',
}
_REQUIRED = ('fx', 'fy', 'cx', 'cy', 'width', 'height')
_DEPTH_INTRINSICS = ('depth_fx', 'depth_fy', 'depth_cx', 'depth_cy')
_OPTIONAL = (
    'camera_model',
    'distortion_model',
    'distortion',
    'source',
    'fps',
    'depth_scale_units_per_m',
    'depth_invalid',
    'depth_registered_to_rgb',
    'depth_width',
    'depth_height',
    'color_from_depth',
)


@dataclass(frozen=True)
class Calibration:
    """The content of a calibration file.

    Attributes:
        camera: intrinsics of the pictures.
        depth_units_per_m: steps of a 16-bit depth image to a metre; None if not said.
        depth_invalid: raw depth values that mean unknown, beside 0.
        depth_camera: the depth camera's own intrinsics; None when depth is registered to the
            pictures.
        color_from_depth: 4x4 transform from the depth camera to the colour camera.
        fps: pictures per second; None if not said.
    """

    camera: CameraModel
    depth_units_per_m: float | None = None
    depth_invalid: tuple[int, ...] = (0,)
    depth_camera: CameraModel | None = None
    color_from_depth: Float[np.ndarray, '4 4'] = field(default_factory=lambda: np.eye(4))
    fps: float | None = None


def read_calibration(path: Path | str) -> Calibration:
    """Read a calibration file.

    Raises:
        UsageError: the file does not exist or cannot be read.
        CameraError: it is not valid YAML, a key is missing, unknown or wrong; all problems of one
            kind are in one message.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f'calibration {path}: cannot be read ({error})') from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        text = ' '.join(str(error).split())
        raise CameraError(f'calibration {path}: not valid YAML ({text})') from error
    try:
        return _parse(content)
    except CameraError as error:
        raise CameraError(f'calibration {path}: {error}') from error


def _parse(content: object) -> Calibration:
    if not isinstance(content, dict):
        raise CameraError('expected lines of key: value, such as fx: 525.0')
    _check_keys(content)
    if content.get('camera_model', 'pinhole') != 'pinhole':
        raise CameraError(f'camera_model {content["camera_model"]!r}; only pinhole is supported')
    depth = _depth_camera(content)
    return Calibration(
        camera=_camera(content),
        depth_units_per_m=_positive_or_none(content, 'depth_scale_units_per_m'),
        depth_invalid=_invalid_values(content),
        depth_camera=depth,
        color_from_depth=_transform(content),
        fps=_positive_or_none(content, 'fps'),
    )


def _check_keys(content: dict[Any, Any]) -> None:
    known = (*_REQUIRED, *_DEPTH_INTRINSICS, *_OPTIONAL)
    problems = []
    for key in content:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            problems.append(
                f'unknown key {key!r}' + (f', did you mean {near[0]}?' if near else '')
            )
    missing = [key for key in _REQUIRED if key not in content]
    if missing:
        problems.append(f'missing {", ".join(missing)}')
    if problems:
        raise CameraError('; '.join(problems))


def _camera(content: dict[str, Any]) -> CameraModel:
    model = content.get('distortion_model', 'none')
    if not isinstance(model, str) or model not in _MODELS:
        raise CameraError(f'distortion_model {model!r}; known: {", ".join(_MODELS)}')
    distortion = content.get('distortion') or []
    if not isinstance(distortion, list):
        raise CameraError('distortion: expected a list of numbers')
    coefficients = tuple(_as_number('distortion', value) for value in distortion)
    if model == 'none' and any(coefficients):
        raise CameraError('distortion has coefficients but distortion_model is none')
    return CameraModel(
        _integer(content, 'width'),
        _integer(content, 'height'),
        _number(content, 'fx'),
        _number(content, 'fy'),
        _number(content, 'cx'),
        _number(content, 'cy'),
        _MODELS[model],
        coefficients,
    )


def _depth_camera(content: dict[str, Any]) -> CameraModel | None:
    given = [key for key in _DEPTH_INTRINSICS if key in content]
    registered = content.get('depth_registered_to_rgb', not given)
    if not isinstance(registered, bool):
        raise CameraError('depth_registered_to_rgb: expected true or false')
    if registered:
        return None
    if len(given) != len(_DEPTH_INTRINSICS):
        raise CameraError(
            'depth is not registered to the pictures, so its own intrinsics '
            f'{", ".join(_DEPTH_INTRINSICS)} are needed'
        )
    return CameraModel(
        _integer(content, 'depth_width' if 'depth_width' in content else 'width'),
        _integer(content, 'depth_height' if 'depth_height' in content else 'height'),
        _number(content, 'depth_fx'),
        _number(content, 'depth_fy'),
        _number(content, 'depth_cx'),
        _number(content, 'depth_cy'),
    )


def _invalid_values(content: dict[str, Any]) -> tuple[int, ...]:
    values = content.get('depth_invalid', [0])
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise CameraError('depth_invalid: expected a list of integers')
    return tuple(values)


def _transform(content: dict[str, Any]) -> Float[np.ndarray, '4 4']:
    if 'color_from_depth' not in content:
        return np.eye(4)
    values = content['color_from_depth']
    if not isinstance(values, list) or len(values) != 16:
        raise CameraError('color_from_depth: expected 16 numbers, a 4x4 transform row by row')
    matrix = np.array([_as_number('color_from_depth', value) for value in values]).reshape(4, 4)
    rotation = matrix[:3, :3]
    rigid = (
        np.allclose(matrix[3], [0, 0, 0, 1])
        and np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3)
        and np.linalg.det(rotation) > 0
    )
    if not rigid:
        raise CameraError('color_from_depth: not a rigid transform')
    return matrix


def _positive_or_none(content: dict[str, Any], key: str) -> float | None:
    if content.get(key) is None:
        return None
    value = _number(content, key)
    if value <= 0:
        raise CameraError(f'{key}: {value:g} is not positive')
    return value


def _integer(content: dict[str, Any], key: str) -> int:
    value = content[key]
    if type(value) is not int:
        raise CameraError(f'{key}: expected a whole number, got {value!r}')
    return value


def _number(content: dict[str, Any], key: str) -> float:
    return _as_number(key, content[key])


def _as_number(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise CameraError(f'{key}: expected a number, got {value!r}')
    try:
        number = float(value)
    except OverflowError as error:
        raise CameraError(f'{key}: too large') from error
    if not math.isfinite(number):
        raise CameraError(f'{key}: {value} is not a finite number')
    return number


def format_calibration(calibration: Calibration) -> str:
    """Return the text of a calibration file that reads back to the same values."""
    camera = calibration.camera
    content: dict[str, Any] = {'camera_model': 'pinhole'}
    content.update(_intrinsics(camera))
    content['distortion_model'] = camera.distortion_model
    content['distortion'] = [float(value) for value in camera.distortion]
    if calibration.fps is not None:
        content['fps'] = calibration.fps
    if calibration.depth_units_per_m is not None:
        content['depth_scale_units_per_m'] = calibration.depth_units_per_m
        content['depth_invalid'] = list(calibration.depth_invalid)
        content['depth_registered_to_rgb'] = calibration.depth_camera is None
    if calibration.depth_camera is not None:
        depth = _intrinsics(calibration.depth_camera)
        content.update({f'depth_{key}': value for key, value in depth.items()})
        content['color_from_depth'] = calibration.color_from_depth.ravel().tolist()
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None)


def _intrinsics(camera: CameraModel) -> dict[str, float]:
    focal = {key: float(getattr(camera, key)) for key in ('fx', 'fy', 'cx', 'cy')}
    return {**focal, 'width': int(camera.width), 'height': int(camera.height)}
