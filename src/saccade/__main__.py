"""``python -m saccade``: the command line."""

from saccade.cli.main import run

run()
