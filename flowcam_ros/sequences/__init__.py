# SPDX-License-Identifier: Apache-2.0
"""Input: recordings, folders, videos and the synthetic world, as streams of frames."""
