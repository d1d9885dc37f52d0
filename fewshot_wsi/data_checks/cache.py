"""Measurements kept between runs in one SQLite file, keyed by path, size and time of last change.

A file that was changed in place with the same size and the same time stamp (to the nanosecond) is not noticed; --fresh
measures everything. Each entry carries a checksum: a damaged entry is measured anew, a damaged file is started anew.
"""

import logging
import sqlite3
import zlib
from pathlib import Path

import numpy as np

from fewshot_wsi.data_checks.measure import RECORD, VERSION
from fewshot_wsi.foundation.archived import stamp_of
from fewshot_wsi.foundation.errors import one_line

logger = logging.getLogger(__name__)

_TABLE = ("CREATE TABLE IF NOT EXISTS measured (path TEXT PRIMARY KEY, size INTEGER, changed INTEGER, "
          "version INTEGER, checksum INTEGER, record BLOB)")


class Cache:
    """`get` and `put` by absolute path; `put` reaches the disk every few hundred entries and on `close`."""

    def __init__(self, path):
        self.path, self._unsaved = Path(path), 0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._open_whole()
        except (sqlite3.OperationalError, OSError) as error:
            self._forget(error)

    def _open_whole(self):
        try:
            self._open(self.path)
        except sqlite3.OperationalError:  # no place for it, while DatabaseError is a fault of its content
            raise
        except sqlite3.DatabaseError as error:
            logger.warning(f"{self.path}: damaged ({error}); started anew")
            self.path.unlink(missing_ok=True)
            self._open(self.path)

    def _forget(self, error):
        """From here on measurements are kept in memory: the disk is full, read-only or not ours."""
        logger.warning(f"{self.path}: measurements cannot be kept there ({one_line(error)}); the next run makes them "
                       "again, unless --cache names another place")
        self._open(":memory:")

    def _open(self, place):
        self.base = sqlite3.connect(place, timeout=60)
        self.base.execute(_TABLE)
        self.base.execute("SELECT count(*) FROM measured").fetchone()

    def get(self, path):
        """RECORD scalar, or None where the file is unknown or has changed."""
        size, changed = _state(path)
        try:
            row = self.base.execute("SELECT checksum, record FROM measured WHERE path=? AND size=? AND changed=? AND "
                                    "version=?", (str(path), size, changed, VERSION)).fetchone()
        except sqlite3.DatabaseError:
            return None
        if row is None or len(row[1]) != RECORD.itemsize or zlib.crc32(row[1]) != row[0]:
            return None
        return np.frombuffer(row[1], RECORD)[0]

    def put(self, path, record):
        try:
            self._put(path, record.tobytes())
        except sqlite3.OperationalError as error:
            self._forget(error)

    def _put(self, path, data):
        self.base.execute("INSERT OR REPLACE INTO measured VALUES (?,?,?,?,?,?)",
                          (str(path), *_state(path), VERSION, zlib.crc32(data), data))
        self._unsaved += 1
        if self._unsaved >= 500:
            self.base.commit()
            self._unsaved = 0

    def close(self):
        try:
            self.base.commit()
        except sqlite3.OperationalError as error:
            self._forget(error)
        self.base.close()


def _state(path):
    try:
        size, *changed = stamp_of(path)
    except OSError:
        return -1, -1
    return size, changed[0]
