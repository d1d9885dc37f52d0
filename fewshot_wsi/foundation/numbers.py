"""Numbers of a command line within their bounds: types for argparse."""

import argparse


def natural(text: str) -> int:
    """A whole number from 0. ArgumentTypeError otherwise."""
    return _whole(text, 0)


def positive(text: str) -> int:
    """A whole number from 1. ArgumentTypeError otherwise."""
    return _whole(text, 1)


def above_zero(text: str) -> float:
    """A finite number above 0. ArgumentTypeError otherwise."""
    if not 0 < float(text) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no number above 0")
    return float(text)


def _whole(text, least):
    if int(text) < least:
        raise argparse.ArgumentTypeError(f"{text} is no whole number from {least}")
    return int(text)
