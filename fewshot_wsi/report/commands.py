"""The command that repeats a run, from what its result says about it."""

import shlex

from fewshot_wsi.meta_test.protocol import DEFAULT
from lowshot.classifiers import uses_base

FLAGS = (("latent", "sampled"), ("solver", "batched"), ("sampling", None), ("seed", None))  # usual value: left out


def command_of(config, protocol=None):
    """Command line of one run. config: Result.config; protocol: path of the protocol file, DEFAULT where not known.

    What a protocol may set otherwise (sampling, seed) is always written out.
    """
    script = "distributed_meta_test_wt_aug.py" if config["aug_times"] else "distributed_meta_test.py"
    parts = ["python", f"wsi_workdir/{script}"]
    for name in ("task", "num_task", "num_shots", "mode", "model", "clf"):
        parts += [f"--{name}", config[name]]
    if config["novel_class"] is not None:
        parts += ["--novel_class", config["novel_class"]]
    if config["mode"] != "linear":
        parts += ["--num_aug_shots", config["num_aug_shots"]]
    if config["mode"] != "linear" or uses_base(config["clf"]):
        parts += ["--num_prototypes", config["num_prototypes"]]
    if config["aug_times"]:
        parts += ["--aug_times", config["aug_times"]]
    for name, usual in FLAGS:
        if config.get(name, usual) != usual:
            parts += [f"--{name}", config[name]]
    if protocol and protocol != DEFAULT:
        parts += ["--protocol", protocol]
    return shlex.join(map(str, parts))
