"""Values of a config on the command line: --cfg-options KEY=VALUE …"""

import argparse
import ast

_WORDS = {"true": True, "false": False, "none": None}


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
