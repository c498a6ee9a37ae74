# SPDX-License-Identifier: Apache-2.0
"""The colours of all pictures."""

ESTIMATE = '#1668dc'
TRUTH = '#9aa4b2'
ERROR = '#d4380d'
INK = '#1f2933'
GRID = '#e4e7eb'
UNKNOWN = (38, 42, 50)  # RGB of pixels without depth
