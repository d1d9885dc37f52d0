"""The commands that errors name: each makes what is missing, as it is asked for, and can be pasted into a shell."""

import shlex

from fewshot_wsi.meta_test.views import no_views_config, views_config, views_of


def command_line(script, *words):
    """'python wsi_workdir/<script> <words>', quoted where a shell needs it."""
    return shlex.join(["python", f"wsi_workdir/{script}", *map(str, words)])


def extract_command(protocol, model, name):
    """Makes the features of `model` for the set `name`, and the set's labels."""
    if model in protocol.models and name in protocol.models[model].features:
        return shlex.join(["python", "tools/import_features.py", "IN", "--list", protocol.set(name).list, "--output",
                           str(protocol.features_file(model, name))])
    if model in protocol.models:
        return command_line("extract.py", *_of_protocol(protocol, model, name))
    config = protocol.set(name).config or "CONFIG"
    return command_line("extract.py", *_of_files(protocol, model, name), "--config", config, "--output",
                        protocol.features_file(model, name))


def views_command(protocol, model, name, count, tasks):
    """Makes `count` augmented views of the support tiles of a task file; says so where their config is not there."""
    config, (folder, prefix) = views_config(protocol, name), views_of(protocol, model, name)
    known = model in protocol.models
    words = _of_protocol(protocol, model, name) if known else _of_files(protocol, model, name)
    output = [] if known else ["--output", folder / f"{prefix}.npy"]
    absent = "" if config else f" ({no_views_config(protocol, name)})"
    return command_line("extract.py", *words, *output, "--config", config or "CONFIG", "--views", count, "--rows",
                        tasks) + absent


def _of_protocol(protocol, model, name):
    return "--protocol", protocol.path, "--model", model, "--sets", name


def _of_files(protocol, model, name):
    """For a model that is known by its files alone."""
    image_set = protocol.set(name)
    return "--pretrained", protocol.weights_file(model), "--list", image_set.list, "--root", image_set.root


def list_command(protocol, name):
    """Makes the list of the set `name`."""
    if protocol.images.get("made_by", "commands") != "commands":
        return command_line("run_protocol.py", "--protocol", protocol.path, "--stages", "data")
    return protocol.images.get(name, "python tools/prepare_data/folder.py TILES --name NAME")
