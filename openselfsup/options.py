"""Values of a config on the command line: --cfg-options KEY=VALUE …"""

import argparse
import ast

_WORDS = {"true": True, "false": False, "none": None}


def add_launch_options(add):
    """How the processes of a command were started. add: `add_argument` of a parser."""
    add("--launcher", choices=("none", "pytorch", "slurm", "mpi"), default="none",
        help="who started the processes, for the dist and srun scripts (default: there is only this one)")
    add("--port", type=int, help="of the first node, for slurm and mpi, where MASTER_PORT is not set")
    add("--local_rank", "--local-rank", type=int, help="set by older launchers; LOCAL_RANK goes first")


def add_config_options(add, example):
    """add: `add_argument` of a parser. example: of a KEY=VALUE that the command has a use for."""
    add("--cfg-options", nargs="+", action=ConfigOptions, default={}, metavar="KEY=VALUE",
        help=f"replace values of the config, such as {example}")


class ConfigOptions(argparse.Action):
    """Collects KEY=VALUE words in a dict. See `value_of` for what a VALUE may be."""

    def __call__(self, parser, namespace, words, option_string=None):
        options = dict(getattr(namespace, self.dest) or {})
        for word in words:
            key, sign, text = word.partition("=")
            if not (key and sign):
                parser.error(f"{option_string} {word}: expected KEY=VALUE, such as optimizer.lr=0.1")
            options[key] = value_of(text)
        setattr(namespace, self.dest, options)


def value_of(text):
    """A Python literal (number, True, None, list, tuple, dict, 'quoted') as its value; anything else is a string as it
    stands, whatever spaces and commas are in it. Numbers with commas between them are a list: '0.1,0.2'."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    bare = isinstance(value, tuple) and not text.lstrip().startswith("(")
    return list(value) if bare else value
