"""One encoder of a protocol: from its training config and images to backbone weights."""

import logging
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fewshot_wsi.foundation.archived import check_present
from fewshot_wsi.foundation.files import file_sha256, json_sha256, read_json, work_dir_of, write_json
from fewshot_wsi.foundation.lists import read_list
from fewshot_wsi.foundation.python_config import read_python_config
from fewshot_wsi.meta_test.protocol import Protocol
from fewshot_wsi.pipeline.children import call, training_command
from fewshot_wsi.pipeline.records import ImageHashes, Step

logger = logging.getLogger(__name__)

INPUTS = "inputs.json"  # in a work dir: what the checkpoints there were trained on


def resolved_config(path, options=None):
    """A config file with its bases and `options` ('a.b': value) merged, as plain dicts; UserError if unreadable."""
    return read_python_config(path, "config; the protocol names it", options)


@dataclass(frozen=True)
class Pretraining:
    protocol: Protocol
    model: str
    hashes: ImageHashes
    processes: int = 1

    @property
    def spec(self):
        return self.protocol.models[self.model]

    @property
    def seed(self):
        return self.protocol.seed if self.spec.pretrain_seed is None else self.spec.pretrain_seed

    @property
    def weights(self):
        return self.protocol.weights_file(self.model)

    @cached_property
    def config(self):
        return resolved_config(self.spec.config, self.spec.options)

    @property
    def work_dir(self):
        """As published for a config as it is; below the protocol's workdir where options or a seed of its own change
        it."""
        if self.spec.options or self.spec.pretrain_seed is not None:
            return Path(self.protocol.workdir, "work_dirs", self.model)
        return Path(work_dir_of(self.spec.config))

    @property
    def last_checkpoint(self):
        return self.work_dir / f"epoch_{self.config['total_epochs']}.pth"

    def step(self):
        return Step("pretrain", self.model, self.run, self.inputs, (self.weights,), self._accept, self._clear)

    def inputs(self):
        source = self.config["data"]["train"]["data_source"]
        names = read_list(source["list_file"]).names
        check_present(source["list_file"], source["root"], names, "correct the list or data_source.root")
        return {"config": json_sha256(self.config), "list": file_sha256(source["list_file"]),
                "images": self.hashes.of(source["root"], names), "seed": self.seed}

    def run(self, again):
        inputs = self.inputs()
        self._begin(inputs)
        options = [f"{key}={value!r}" for key, value in self.spec.options.items()]
        started = (self.work_dir / "latest.pth").exists()
        call(*training_command(self.processes, self.spec.config, "--seed", self.seed, "--work_dir", self.work_dir,
                               *(["--continue_training"] if started else []),
                               *(["--cfg-options", *options] if options else [])))
        if not self.last_checkpoint.is_file():
            logger.error(f"pre-training of {self.model} stopped before its last epoch; the same command continues "
                         "from there")
            raise SystemExit(143)
        from openselfsup.checkpoint import extract_backbone  # here, not above: it imports torch
        state = extract_backbone(self.last_checkpoint, self.weights)
        logger.info(f"{self.weights}: {len(state)} tensors of the backbone")

    def _begin(self, inputs):
        """Checkpoints of other inputs are moved aside; training continues from those of the same inputs or commands."""
        record = self.work_dir / INPUTS
        if record.is_file() and read_json(record)["inputs"] != inputs:
            self._set_aside("was trained on other inputs")
        write_json(record, {"inputs": inputs})

    def _clear(self):
        if self.work_dir.is_dir():
            self._set_aside("a fresh start was asked for")
        self.weights.unlink(missing_ok=True)

    def _set_aside(self, why):
        """Checkpoints may be the work of days: the last ones are kept under another name."""
        old = self.work_dir.with_name(f"{self.work_dir.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        self.work_dir.rename(old)
        logger.warning(f"{self.work_dir}: {why}; moved to {old}")

    def _accept(self):
        return "its weights are user-provided" if self.weights.is_file() else ""
