# SPDX-License-Identifier: Apache-2.0
"""The flowcam command, one file a subcommand."""
