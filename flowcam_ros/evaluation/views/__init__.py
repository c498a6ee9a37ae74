# SPDX-License-Identifier: Apache-2.0
"""View synthesis: 3-D Gaussians fitted to most frames of a result, scored on the others."""
