"""Novel classes, which pre-training has left out: as a protocol, a file name and a command line write them."""

from fewshot_wsi.foundation.errors import UserError


def classes_in(entry):
    """The classes of an entry of `novel_classes`, ascending: 7 -> (7,), (8, 7) -> (7, 8)."""
    return tuple(sorted(entry)) if isinstance(entry, tuple) else (entry,)


def novel_tag(novel):
    """The part of a file or model name that stands for left-out classes: 7 -> '7', (7, 8) and (8, 7) -> '78'.
    Labels of two digits are joined by '_', so that (1, 12) and (11, 2) differ."""
    classes = classes_in(novel)
    return ("" if all(c < 10 for c in classes) else "_").join(str(c) for c in classes)


def parse_novel(text, num_classes):
    """The other way, for `--novel_class`, ascending: '7' -> (7,), '78' and '87' -> (7, 8) where there are at most 78
    classes. Raises UserError for classes that do not exist."""
    text = str(text)
    parts = text.replace(",", "_").split("_")
    if not all(part.isdigit() for part in parts):
        raise UserError(f"novel class {text!r}: give a class number, or several as 7,8")
    classes = tuple(int(part) for part in parts)
    if len(parts) == 1 and classes[0] >= num_classes:
        classes = tuple(int(digit) for digit in text)
    if len(set(classes)) != len(classes) or max(classes) >= num_classes:
        raise UserError(f"novel class {text!r}: the classes are 0 … {num_classes - 1}, each named once")
    if len(classes) == num_classes:
        raise UserError(f"novel class {text!r}: these are all {num_classes} classes, none is left to be a base class")
    return classes_in(classes)


def models_of(pattern, family):
    """Names that the model of a method stands for: '{novel}' takes each novel class of the TaskFamily."""
    return [pattern.replace("{novel}", novel_tag(novel)) for novel in family.novel_classes] or [
        pattern.replace("{novel}", "")]


def novel_of(protocol, task, model=None, asked=None):
    """Classes left out, for a task of `protocol`: what was `asked` for, else the only choice, else the model's own.

    asked: tuple of classes or None. UserError where the task has no novel classes but some are asked for, or where
    nothing says which.
    """
    family = protocol.family(task)
    entries = [classes_in(entry) for entry in family.novel_classes]
    if not entries:
        if asked:
            raise UserError(f"task {task!r} of {protocol.path} has no novel classes; leave --novel_class out")
        return ()
    if asked:
        return asked
    if len(entries) == 1:
        return entries[0]
    if model in protocol.models and protocol.models[model].novel:
        return protocol.models[model].novel
    raise UserError(f"task {task!r} has a novel class: give --novel_class, one of "
                    f"{', '.join(novel_tag(entry) for entry in entries)}")
