"""Whether two commits compute the same: a small protocol in both, and every file that it leaves, byte by byte.

    python benchmarks/compare_commits.py COMMIT_A [COMMIT_B]

The quick start in small: drawn tiles, encoders pre-trained for an epoch and without training, every kind of task, mode
and classifier. Compared are weights, features, task files, dictionaries, result files and printed blocks; not what
names times, hosts or versions (`*.meta.json`, `records/`, logs, the report). COMMIT_B: default HEAD. Exit code 1 where
something differs.
"""

import argparse
import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROTOCOL = """
_base_ = '../configs/protocols/quickstart.py'
name, workdir = 'compare', 'compare/work'
images = dict(size=48, train=24, test=12, groups=6, per_slide=12)
models = {name: dict(options={'total_epochs': 1}) for name in ('fsp', 'clp', 'fsp_wo_8', 'clp_wo_8')}
dictionary = dict(num_prototypes=4, num_shift_vectors=60)
tasks = {name: dict(num_tasks=20, shots=(1, 5)) for name in ('near', 'mixture', 'out', 'out_homo')}
"""
META_TESTS = [("--task", "mixture", "--model", "clp", "--mode", mode, "--clf", "Ridge", "--num_shots", 5,
               "--num_task", 20, "--num_prototypes", 4) for mode in ("linear", "latent_aug")]
KINDS = {"weights": "pretrained_weights/**/*.pth", "features": "extracted_feats/**/*.npy",
         "provenance": "extracted_feats/**/*.json", "tasks": "tasks/**/*.npz", "dictionaries": "dict/**/*.npy",
         "results": "results/**/*.json"}


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("a")
    p.add_argument("b", nargs="?", default="HEAD")
    args = p.parse_args(argv)
    found = [outputs(commit) for commit in (args.a, args.b)]
    print("| what | files | equal | only in one |\n| --- | --- | --- | --- |")
    kinds = [*KINDS, "printed"]
    for kind in kinds:
        one, other = (side[kind] for side in found)
        both = one.keys() & other.keys()
        equal = [name for name in both if one[name] == other[name]]
        print(f"| {kind} | {len(one | other)} | {len(equal)} | {len(one.keys() ^ other.keys())} |")
        for name in sorted(one.keys() ^ other.keys() | (both - set(equal)))[:5]:
            print(f"  {name}", file=sys.stderr)
    return int(any(found[0][kind] != found[1][kind] for kind in kinds))


def outputs(commit):
    """dict from kind to {name: hash} of what `commit` makes."""
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch, "tree")
        git("worktree", "add", "--detach", "--quiet", tree, commit)
        try:
            protocol = tree / "compare/protocol.py"
            protocol.parent.mkdir()
            protocol.write_text(PROTOCOL)
            run(tree, "wsi_workdir/run_protocol.py", "--workers", 2, "--quiet")
            printed = {" ".join(map(str, words)): hashed(steady(run(
                tree, "wsi_workdir/distributed_meta_test.py", *words)).encode()) for words in META_TESTS}
            work = tree / "compare/work"
            return {kind: {str(path.relative_to(work)): hashed(content(path)) for path in sorted(work.glob(pattern))
                           if not path.name.endswith(".meta.json")} for kind, pattern in KINDS.items()} | {
                               "printed": printed}
        finally:
            git("worktree", "remove", "--force", tree)


def run(tree, script, *words):
    command = [sys.executable, script, "--protocol", "compare/protocol.py", *map(str, words)]
    done = subprocess.run(command, cwd=tree, text=True, capture_output=True)
    if done.returncode:
        raise SystemExit(f"error: {' '.join(command[1:])} ends with {done.returncode}\n{done.stdout[-3000:]}"
                         f"{done.stderr[-3000:]}")
    return done.stdout


def content(path):
    """Bytes of a file, without the version of the code that made the features."""
    return re.sub(rb'("code_version": ?)"[^"]*"', rb"\1null", path.read_bytes()) if path.suffix == ".json" else \
        path.read_bytes()


def steady(text):
    """A printed block without its time stamps."""
    return re.sub(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?|\d+(\.\d+)? s\b", "", text)


def hashed(data):
    return hashlib.sha256(data).hexdigest()


def git(*words):
    subprocess.run(["git", "-C", ROOT, *words], check=True)


if __name__ == "__main__":
    sys.exit(main())
