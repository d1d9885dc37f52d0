"""What an encoder was trained on, beside the tiles that it is tested on."""


def origin_warnings(model, encoder, sets):
    """Lines about an encoder that saw the source of the tiles, or saw tissue at another magnification.

    Parameters
    ----------
    model : str
        Its name, for the lines.
    encoder : dict or None
        Provenance of its features; `pretraining_data` and `mpp` are known of encoders with a preset.
    sets : dict
        The entry `sets` of a result: <side>, <side>_source and <side>_mpp for the sides support and query.
    """
    data_of, own_mpp = (encoder or {}).get("pretraining_data"), _number((encoder or {}).get("mpp"))
    lines = []
    for side in ("support", "query"):
        name, source, mpp = sets[side], sets.get(f"{side}_source"), _number(sets.get(f"{side}_mpp"))
        seen = [data for data in (data_of if isinstance(data_of, list) else ()) if _same_source(data, source)]
        if seen:
            lines.append(f"{model} was pre-trained on {', '.join(seen)}, where the tiles of {name} come from "
                         f"({source}): its figures can be optimistic")
        if mpp and own_mpp and abs(mpp / own_mpp - 1) > 0.1:
            lines.append(f"{model} was pre-trained at {own_mpp:g} microns per pixel, the tiles of {name} have {mpp:g}")
    return list(dict.fromkeys(lines))


def _number(value):
    """`value` where it is a positive number, else None: results may come from elsewhere."""
    return value if isinstance(value, int | float) and value > 0 else None


def _same_source(data, source):
    """Whether one name is part of the other: 'TCGA' and 'TCGA-CRC-DX'."""
    if not isinstance(data, str) or not isinstance(source, str) or not source:
        return False
    one, other = data.casefold(), source.casefold()
    return one in other or other in one
