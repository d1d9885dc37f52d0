"""XML of unknown origin: entities and document types are refused, depth and size are bounded, points are checked."""

import io
import math

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, iterparse

from fewshot_wsi.foundation.bounded import MIB, read_bounded
from fewshot_wsi.foundation.errors import UserError, one_line

SIZE_LIMIT = 256 * MIB  # bytes of a file
DEPTH_LIMIT = 64        # elements inside each other; the tools that are read nest them six deep
ELEMENTS_LIMIT = 2_000_000  # of one file: a vertex each


def read_root(path):
    """Root element of an XML file. UserError: not XML, or entities or a document type, which are never resolved; no
    regular file, too large, nested too deep, or too many elements, found while it is read."""
    try:
        return _parsed(io.BytesIO(read_bounded(path, SIZE_LIMIT)))
    except (ParseError, DefusedXmlException, UnicodeDecodeError, LookupError, ValueError) as error:
        raise UserError(f"{path.name} is not usable XML ({one_line(error)})") from None
    except OSError as error:
        raise UserError(f"{path.name} is not readable ({one_line(error)})") from None


def _parsed(stream):
    depth, count = 0, 0
    events = iterparse(stream, events=("start", "end"), forbid_dtd=True)
    for event, _ in events:
        depth += 1 if event == "start" else -1
        count += event == "start"
        if depth > DEPTH_LIMIT or count > ELEMENTS_LIMIT:
            raise ValueError(f"elements nested more than {DEPTH_LIMIT} deep" if depth > DEPTH_LIMIT else
                             f"more than {ELEMENTS_LIMIT:,} elements")
    return events.root


def checked_point(path, x, y):
    """(x, y) as floats; UserError unless both are finite numbers. path: of the file, for the message."""
    try:
        point = float(x), float(y)
    except (TypeError, ValueError):
        point = (math.nan, math.nan)
    if not all(math.isfinite(value) and abs(value) < 1e9 for value in point):
        raise UserError(f"{path.name}: a vertex is no point: X={x!r} Y={y!r}")
    return point
