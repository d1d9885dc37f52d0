"""Images and lists of a protocol: synthetic, listed from folders, or there already and checked."""

import logging
from pathlib import Path

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.meta_test.novel_classes import novel_tag
from fewshot_wsi.pipeline.drawn import Drawing, draw_all
from fewshot_wsi.pipeline.listing import check_set, list_folder, write_if_other, write_without_classes
from fewshot_wsi.pipeline.sizes import check_sizes

logger = logging.getLogger(__name__)

MAKERS = ("drawn", "folders", "commands")


def make_data(plan):
    """Draw or list what the protocol's `images` say, then check that every list and image is there, and images enough.

    images: dict(made_by='drawn', folder=…, options of Drawing), dict(made_by='folders'), or, where lists are made
    beforehand, dict(made_by='commands', <set>='command that makes its list').
    """
    images = dict(plan.protocol.images)
    maker = images.pop("made_by", "commands")
    if maker not in MAKERS:
        raise UserError(f"{plan.protocol.path}: images.made_by {maker!r}; known: {', '.join(MAKERS)}")
    if maker == "commands":
        _need_lists(plan, images)
    elif not plan.dry_run:
        _draw(plan, images) if maker == "drawn" else _list_all(plan)
        _lists_without_novel(plan)
    sets = plan.image_sets  # a task that was asked for and cannot be is an error here
    for name in sets if maker == "commands" or not plan.dry_run else ():
        listed = check_set(plan.protocol.set(name), len(plan.protocol.classes_of(name)))
        logger.info(f"{name}: {len(listed)} images on {listed.path}")
    if not plan.dry_run:
        check_sizes(plan)


def _draw(plan, images):
    folder = images.pop("folder", None)
    try:
        drawing = Drawing(**{"seed": plan.protocol.seed, **images})
    except TypeError as error:
        raise UserError(f"{plan.protocol.path}: images: {error}") from None
    if folder is None:
        raise UserError(f"{plan.protocol.path}: images: the key 'folder' is missing")
    made = draw_all(folder, drawing, plan.workers, plan.quiet, again=plan.fresh)
    logger.info(f"{folder}: tiles {'drawn' if made else 'are there'}")


def _list_all(plan):
    """Lists of all sets first, so that what a folder lacks is said before anything is written."""
    protocol = plan.protocol
    found = {name: list_folder(image_set.root, protocol.classes_of(name)) for name, image_set in protocol.sets.items()}
    for name, (paths, labels) in found.items():
        write_if_other(protocol.sets[name].list, paths, labels)


def _lists_without_novel(plan):
    """Training lists without a model's novel classes, <workdir>/meta/wo_<classes>_<set>.txt."""
    base = plan.protocol.dictionary.set
    for model in plan.protocol.models.values():
        if model.novel and model.config:
            target = Path(plan.protocol.workdir, "meta", f"wo_{novel_tag(model.novel)}_{base}.txt")
            write_without_classes(plan.protocol.set(base).list, model.novel, target)


def _need_lists(plan, commands):
    for name in plan.image_sets:
        path = plan.protocol.set(name).list
        if not Path(path).is_file():
            command = commands.get(name, "tools/prepare_data/folder.py")
            raise UserError(f"{path}: no such list of the set {name}; make it with {command}, or add the features "
                            f"{plan.protocol.features_file('<model>', name)}")
