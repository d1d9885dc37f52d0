"""Every text that the code can print, from its source: constants, f-strings and sums of them, with placeholders."""

import ast
import functools
import importlib
import re
from dataclasses import dataclass
from pathlib import Path

from conftest import ROOT

PACKAGES = ("fewshot_wsi", "lowshot", "openselfsup")
VALUE = "\ue000"  # stands for what is not known before the program runs


@dataclass(frozen=True)
class Text:
    """A text, the module that holds it, and its line."""
    module: str
    line: int
    text: str


def module_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@functools.cache
def sources():
    """{module: its syntax tree}."""
    return {module_of(path): ast.parse(path.read_bytes())
            for package in PACKAGES for path in sorted(Path(ROOT, package).rglob("*.py"))}


@functools.cache
def texts():
    """All Texts of the packages; docstrings are none, but those of commands, which are their help."""
    return [Text(module, node.lineno, text) for module, tree in sources().items()
            for node, text in _texts_of(module, tree)]


def _texts_of(module, tree):
    silent = {id(node.body[0].value) for node in ast.walk(tree)
              if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module)
              and ast.get_docstring(node) and not (isinstance(node, ast.Module) and ".commands." in module)}
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        text = _text(module, node)
        if text is None:
            waiting += ast.iter_child_nodes(node)
        elif id(node) not in silent:
            yield node, text
            waiting += [inner for part in ast.walk(node) if isinstance(part, ast.FormattedValue)
                        for inner in [part.value]]


def _text(module, node):
    """The text of an expression, or None where it is none."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(one.value if isinstance(one, ast.Constant) else _value(module, one.value) for one in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        sides = [_text(module, side) for side in (node.left, node.right)]
        return None if sides == [None, None] else "".join(
            _value(module, side) if text is None else text for side, text in zip((node.left, node.right), sides,
                                                                                 strict=True))
    return None


def _value(module, node):
    """What an expression inside a text becomes: a constant of its module, or VALUE."""
    if isinstance(node, ast.Name):
        found = getattr(importlib.import_module(module), node.id, None)
        if isinstance(found, str):
            return found
    return VALUE


@functools.cache
def reached_by(command):
    """Modules that a command imports, through others too."""
    found, waiting = set(), [f"fewshot_wsi.commands.{command}"]
    while waiting:
        module = waiting.pop()
        if module not in found and module in sources():
            found.add(module)
            waiting += _imports(sources()[module])
    return found


def _imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{one.name}" for one in node.names)
        elif isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "importlib.import_module":
            yield from _named(node.args[0])


def _named(node):
    """Modules of a name that is put together when the program runs: all that its text fits."""
    pattern = "".join(re.escape(one.value) if isinstance(one, ast.Constant) else r"\w+"
                      for one in getattr(node, "values", [node]) if isinstance(one, ast.Constant | ast.FormattedValue))
    return [name for name in sources() if re.fullmatch(pattern, name)] if pattern else []
