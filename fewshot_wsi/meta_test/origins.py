"""What an encoder was trained on, beside the tiles and classes that it is tested on."""

from fewshot_wsi.meta_test.novel_classes import novel_tag

PUBLISHED = ("clp", "fsp")  # encoders that are trained on the base classes; <name>_wo_<classes>: without some


def saw_novel(model, novel, entry=None):
    """Whether a model was trained on a class that a task calls novel.

    model: its name. novel: classes left out, as text ('4', '78') or None. entry: `protocol.ModelEntry`, where at hand:
    it says what a model of any name has not seen. Encoders that no protocol trains and whose names say nothing count
    as not trained on these tiles.
    """
    if novel is None:
        return False
    base, _, tag = model.partition("_wo_")
    if entry is not None and entry.novel:
        tag = novel_tag(entry.novel)
    if tag and _labels(str(novel)) <= _labels(tag):
        return False
    return bool(tag) or base in PUBLISHED or (entry is not None and entry.config is not None)


def _labels(tag):
    """The labels in a tag: '78' and '7_8' -> {'7', '8'}."""
    return set(tag.split("_") if "_" in tag else tag)


def novel_warning(model, task, novel_name):
    """One line about a model that saw the novel class."""
    return (f"{model} was trained on {novel_name}, which {task} calls novel: its figures there are not those of a few "
            "labels; use the model that was trained without it")


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
