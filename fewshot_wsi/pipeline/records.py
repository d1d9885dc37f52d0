"""What a protocol has finished: a record beside the results, of what went into each step and what came out.

A step is finished where its record names the very inputs of today and its outputs hash to what they hashed to then:
contents decide, never dates. A killed step leaves no record, so it runs again.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fewshot_wsi.foundation.archived import sha256_of, stamp_of
from fewshot_wsi.foundation.files import file_sha256, json_sha256, read_json, write_json

SCHEMA = 1


@dataclass(frozen=True)
class Step:
    """One thing to do in a stage of a protocol."""
    stage: str                    # pretrain, extract, …
    item: str                     # what of it: a model, a task
    run: Callable[[bool], None]   # run(again): whether to replace what is there
    inputs: Callable[[], dict]    # JSON-able facts and hashes; called once everything before it is finished
    outputs: tuple = ()           # files that are there afterwards
    accept: Callable[[], str] = field(default=lambda: "")  # why outputs without a record are good as they are
    clear: Callable[[], None] = field(default=lambda: None)  # for a fresh start: out of the way with unfinished work

    def __str__(self):
        return f"{self.stage} {self.item}"


class Records:
    """The records of one protocol, one JSON a step, below `folder`."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def path(self, step):
        return self.folder / step.stage / f"{step.item}.json"

    def unfinished(self, step, inputs):
        """Why `step` must run, as text; '' where it is finished."""
        path = self.path(step)
        absent = [output for output in step.outputs if not Path(output).is_file()]
        if absent:
            return f"{absent[0]} is missing"
        if not path.is_file():
            return "no record of it"
        record = read_json(path, "record of a finished step")
        if record.get("schema") != SCHEMA:
            return "its record is of another version"
        changed = sorted(key for key in {*record["inputs"], *inputs} if record["inputs"].get(key) != inputs.get(key))
        if changed:
            return f"{', '.join(changed)} changed"
        other = [name for name, digest in record["outputs"].items() if file_sha256(name) != digest]
        return f"{other[0]} is not what it was" if other else ""

    def save(self, step, inputs):
        write_json(self.path(step), {"schema": SCHEMA, "inputs": inputs,
                                     "outputs": {str(output): file_sha256(output) for output in step.outputs}})

    def made(self, step):
        """Whether the outputs of `step` are those that its record names, whatever went into them."""
        path = self.path(step)
        return path.is_file() and all(Path(name).is_file() and file_sha256(name) == digest for name, digest in
                                      read_json(path, "record of a finished step")["outputs"].items())

    def forget(self, step):
        """For a fresh start: neither record nor unfinished work of `step` counts any more."""
        step.clear()
        self.path(step).unlink(missing_ok=True)


class ImageHashes:
    """Hash of all images of a set. Each image is read once; it is read again when its size or times change."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.known = {}  # root: {name: [size, mtime, ctime, sha256]}

    def of(self, root, names):
        """Hash of names and contents of the images `names` below `root`."""
        path = self.folder / f"{json_sha256(str(Path(root).absolute()))[:16]}.json"
        if root not in self.known:
            self.known[root] = read_json(path, "cache of image hashes") if path.is_file() else {}
        known = self.known[root]
        now = {name: self._hash(Path(root, name), known.get(name)) for name in sorted(set(names))}
        if any(known.get(name) != entry for name, entry in now.items()):
            known.update(now)
            write_json(path, known, indent=None)
        return json_sha256([[name, entry[-1]] for name, entry in now.items()])

    @staticmethod
    def _hash(path, known):
        key = stamp_of(path)
        return known if known and known[:-1] == key else [*key, sha256_of(path)]
