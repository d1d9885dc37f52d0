"""XML of unknown origin: entities and document types are refused, points are checked."""

import math

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, parse

from fewshot_wsi.foundation.errors import UserError, one_line


def read_root(path):
    """Root element of an XML file. UserError: not XML, or entities or a document type, which are never resolved."""
    try:
        return parse(path, forbid_dtd=True).getroot()
    except (ParseError, DefusedXmlException, UnicodeDecodeError, LookupError, ValueError) as error:
        raise UserError(f"{path.name} is not usable XML ({one_line(error)})") from None
    except OSError as error:
        raise UserError(f"{path.name} is not readable ({one_line(error)})") from None


def checked_point(path, x, y):
    """(x, y) as floats; UserError unless both are finite numbers. path: of the file, for the message."""
    try:
        point = float(x), float(y)
    except (TypeError, ValueError):
        point = (math.nan, math.nan)
    if not all(math.isfinite(value) and abs(value) < 1e9 for value in point):
        raise UserError(f"{path.name}: a vertex is no point: X={x!r} Y={y!r}")
    return point
