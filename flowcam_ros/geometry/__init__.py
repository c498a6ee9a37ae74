# SPDX-License-Identifier: Apache-2.0
"""Cameras, rigid transforms, projection, weighted fits and their covariance."""
