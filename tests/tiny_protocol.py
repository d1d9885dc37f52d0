"""A protocol that takes seconds: small drawn tiles, two trained encoders and a fixed one."""
import json
from pathlib import Path

from fewshot_wsi.foundation.files import file_sha256
from fewshot_wsi.pipeline.drawn import TISSUES

ROOT = Path(__file__).resolve().parents[1]
STAGES = "data,pretrain,extract,tasks,dictionary,meta_test"
TRAINING = """_base_ = {base!r}
_crop = [dict(type='RandomResizedCrop', size=32), dict(type='ToTensor'),
         dict(type='Normalize', mean=[0.5, 0.5, 0.5], std=[0.2, 0.2, 0.2])]
data = dict(imgs_per_gpu=32, workers_per_gpu=0,
            train=dict(data_source=dict(list_file={list!r}, root={root!r}), pipeline=_crop[:{operations}]))
total_epochs = 1
"""
EXTRACTION = """_base_ = {base!r}
data = dict(extract=dict(pipeline=[
    dict(type='Resize', size=32), dict(type='CenterCrop', size=32), dict(type='ToTensor'),
    dict(type='Normalize', mean=[0.5, 0.5, 0.5], std=[0.2, 0.2, 0.2])]))
"""


def write_protocol(folder, **changes):
    """A protocol of seconds below `folder`: drawn tiles of 32 pixels, two trained encoders and a fixed one."""
    folder.mkdir(parents=True, exist_ok=True)
    tiles = folder / "tiles"
    training = dict(list=str(tiles / "NCT/meta/train_labeled.txt"), root=str(tiles / "NCT/data"))
    quick = ROOT / "configs/quickstart"
    (folder / "fsp.py").write_text(TRAINING.format(base=str(quick / "fsp.py"), operations=3, **training))
    (folder / "clp.py").write_text(TRAINING.format(base=str(quick / "clp.py"), operations=1, **training))
    (folder / "extract.py").write_text(EXTRACTION.format(base=str(quick / "extract.py")))

    def image_set(data, name, **more):
        return dict(list=str(tiles / data / "meta" / f"{name}_labeled.txt"), root=str(tiles / data / "data"),
                    classes=data, config=str(folder / "extract.py"), **more)

    protocol = dict(
        name="tiny", workdir=str(folder / "workdir"),
        images=dict(made_by="drawn", folder=str(tiles), size=32, train=8, test=6, groups=4, siblings=2, slides=2,
                    per_slide=6),
        classes=dict(NCT=list(TISSUES["NCT"]),
                     LC25000=list(TISSUES["LC25000"]),
                     PAIP19=["outside", "whole", "viable"]),
        sets=dict(NCT_train=image_set("NCT", "train"), NCT_test=image_set("NCT", "test"),
                  LC=image_set("LC25000", "img_list"), PAIP_train=image_set("PAIP19", "paip_train", slide=0),
                  PAIP_test=image_set("PAIP19", "paip_test", slide=0)),
        models=dict(clp=dict(config=str(folder / "clp.py"), options={"optimizer.lr": 0.5}),
                    fsp_wo_8=dict(config=str(folder / "fsp.py"), novel=[8], options={
                        "data.train.data_source.list_file": str(folder / "workdir/meta/wo_8_NCT_train.txt")}),
                    mean_rgb=dict(encoder="mean_rgb")),
        dictionary=dict(set="NCT_train", prefix="NCT", num_prototypes=3, num_shift_vectors=20),
        tasks=dict(
            near=dict(support="NCT_train", query="NCT_test", shots=[1, 2], num_tasks=6, novel_classes=[8],
                      num_aug_shots=5, repeat_support=True,
                      methods=[["fsp_wo_{novel}", "linear", "Ridge"], ["fsp_wo_{novel}", "latent_aug", "Ridge"]]),
            mixture=dict(support="LC", query="LC", shots=[1], num_tasks=6, groups=dict(colon=[0, 1], lung=[2, 3, 4]),
                         num_aug_shots=5, methods=[["clp", "linear", "logistic_regression"],
                                                   ["clp", "latent_aug", "logistic_regression"],
                                                   ["mean_rgb", "linear", "nearest_centroid"]]),
            out_homo=dict(support="PAIP_train", query="PAIP_test", shots=[3], num_tasks=6, same_slide=True,
                          methods=[["clp", "linear", "Ridge"]])))
    protocol.update(changes)
    path = folder / "protocol.json"
    path.write_text(json.dumps(protocol))
    return path


def contents(folder, suffixes=(".json", ".npy", ".npz", ".pth")):
    """Hash of every file that a run leaves, but the records of when and where."""
    return {str(path.relative_to(folder)): file_sha256(path) for path in Path(folder).rglob("*")
            if path.suffix in suffixes and path.is_file() and not path.name.endswith(".meta.json")}
