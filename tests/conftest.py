"""Shared by all tests: where the real material is, and how to run a command as a user would."""
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fewshot_wsi.foundation.messages import show_messages

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("FEWSHOT_SHARED", ROOT.parent / "shared"))
# A shell's background jobs ignore SIGINT from birth, and so do the commands that they start: tests that interrupt
# commands would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
show_messages()  # as `run_command` does, for tests that call a command's main


def _material(name):
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"real material is absent: {folder} (set FEWSHOT_SHARED to the folder that holds {name}/)")
    return folder


@pytest.fixture(scope="session")
def real_tiles():
    """Folder of real tiles, layout as in its README; the test skips where it is absent."""
    return _material("tiles")


@pytest.fixture(scope="session")
def real_features():
    """Folder of real features (N, 512); the test skips where it is absent."""
    return _material("features")


@pytest.fixture(scope="session")
def reference():
    """Folder of the independent reference and its answers; the test skips where it is absent."""
    return _material("reference")


@pytest.fixture
def run():
    """run('wsi_workdir/extract.py', '--help', cwd=…): CompletedProcess with text output, started from the root."""
    def call(*command, cwd=ROOT, timeout=600, env=None, **options):
        command = [str(part) for part in command]
        if command[0].endswith(".py"):
            command = [sys.executable, str(ROOT / command[0]), *command[1:]]
        return subprocess.run(command, cwd=cwd, timeout=timeout, text=True, capture_output=True,
                              env={**os.environ, **(env or {})}, **options)
    return call
