# SPDX-License-Identifier: Apache-2.0
"""Whole jobs from input to result, the same for the command line and for nodes."""
