"""The course projects: each folder is one, and none imports another."""

import shared  # noqa: F401  # first, so that Ctrl-C ends a command that is still importing in one line
