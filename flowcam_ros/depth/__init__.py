# SPDX-License-Identifier: Apache-2.0
"""Depth of key frames from whatever there is: a sensor, a stereo pair, or motion."""
