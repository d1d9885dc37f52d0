"""The scans of a progressive JPEG file: whether all of them are there (ITU-T T.81, G)."""

_PROGRESSIVE = (0xC2, 0xCA)
_ALONE = (0x01, *range(0xD0, 0xD9))  # markers without a length: TEM, RST, SOI
_SCAN, _END = 0xDA, 0xD9


def check_scans(data):
    """ValueError where a progressive JPEG lacks scans: cut between two of them and closed, it decodes without a
    warning, but blurred. Other JPEGs pass."""
    missing, progressive = {}, False  # component: coefficients whose last bit has not come
    for marker, segment in _segments(data):
        if marker in _PROGRESSIVE:
            progressive = True
            missing = {segment[6 + 3 * i]: set(range(64)) for i in range(segment[5])}
        elif marker == _SCAN:
            if not progressive:
                return
            count = segment[0]
            first, last, lowest = segment[1 + 2 * count], segment[2 + 2 * count], segment[3 + 2 * count] & 15
            if lowest == 0:
                for i in range(count):
                    missing[segment[1 + 2 * i]] -= set(range(first, last + 1))
    if any(missing.values()):
        raise ValueError("a progressive JPEG without its last scans: cut, and closed with an end mark")


def _segments(data):
    """(marker, content) of each segment; coded data are passed over."""
    at = 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 4 <= len(data):
        marker = data[at + 1]
        if marker in (0x00, 0xFF) or marker in _ALONE:  # a stuffed byte, padding
            at += 1 + (marker != 0xFF)
            continue
        if marker == _END:
            return
        length = int.from_bytes(data[at + 2:at + 4], "big")
        yield marker, data[at + 4:at + 2 + length]
        at += 2 + length
