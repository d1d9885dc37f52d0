"""What messages tell a user to type can be typed: every command and option in the texts of the code is parsed."""

import argparse
import contextlib
import functools
import importlib
import io
import re
import shlex

import pytest
from conftest import ROOT
from printed_texts import VALUE, reached_by, texts

from fewshot_wsi.commands import COMMANDS
from fewshot_wsi.meta_test.protocol import load_protocol
from fewshot_wsi.meta_test.remedies import extract_command, list_command, views_command
from fewshot_wsi.meta_test.runs import runs_of, task_files_of
from fewshot_wsi.report.commands import command_of

WORDS = r"(?P<words>(?:\\\n|[^\n;()`'\"#…,]|(?<=[\w]),(?=\w))*)"
COMMAND = re.compile(r"(?:(?P<whole>python )?(?:(?:tools|wsi_workdir)/(?:\w+/)*)?(?P<script>\w+)\.py"
                     r"|(?:python -m fewshot_wsi|fewshot-wsi) (?P<name>\w+))(?= |$)" + WORDS)
OPTION = re.compile(r"(?<![\w\"-])--[a-zA-Z][\w-]*")
FOREIGN = re.compile(r"`(?!python|fewshot-wsi|\w+\.py)[^`]*`")


class _Parser(Exception):
    """Carries a command's parser out of its `main`."""


@functools.cache
def parser_of(command):
    """The ArgumentParser of a command, for which a VALUE is a value of any kind."""
    def caught(parser, *_):
        raise _Parser(parser)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", caught)
        with pytest.raises(_Parser) as found:
            importlib.import_module(f"fewshot_wsi.commands.{command}").main([])
    parser = found.value.args[0]
    for action in parser._actions:
        action.type = functools.partial(_converted, action.type or str)
        action.choices = action.choices and _Choices(action.choices)
    return parser


def _converted(kind, text):
    return text if VALUE in text else kind(text)


class _Choices(list):
    def __contains__(self, value):
        return VALUE in str(value) or list.__contains__(self, value)


def fault(command, words):
    """What argparse says against the words; None where it takes them."""
    if command not in COMMANDS:
        return f"no command {command}"
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.suppress(SystemExit):
        parser_of(command).parse_args(words)
        return None
    return said.getvalue().splitlines()[-1] if said.getvalue() else None  # --help says nothing there


def has(command, option):
    return option in parser_of(command)._option_string_actions


def test_every_command_in_a_text_can_be_run_as_it_is_printed():
    wrong, found = [], 0
    for text in texts():
        for one in COMMAND.finditer(text.text):
            command, words = one["script"] or one["name"], shlex.split(one["words"].replace("\\\n", " "))
            if one["script"] and not one["whole"]:  # a mention: its options are to be there
                said = next((f"no {word}" for word in words if word.startswith("-") and command in COMMANDS
                             and not has(command, word)), None)
            else:
                said, found = fault(command, words), found + 1
            wrong += [f"{text.module}:{text.line}: {one[0]!r}: {said}"] if said else []
    assert not wrong and found > 60, "\n".join(wrong)


def test_every_option_in_a_text_is_one_of_the_command_that_prints_it():
    wrong, found = [], 0
    for text in texts():
        rest = COMMAND.sub("", FOREIGN.sub("", text.text))
        for option in OPTION.findall(rest) if " " in rest.strip() else ():  # one word alone is part of a command line
            found += 1
            own = text.module.rpartition(".")[2]
            able = [own] if own in COMMANDS else [name for name in COMMANDS if text.module in reached_by(name)]
            if not any(has(name, option) for name in able):
                wrong.append(f"{text.module}:{text.line}: no command that prints it has {option}: {text.text[:120]!r}")
    assert not wrong and found > 200, "\n".join(wrong)


def printed_commands(protocol):
    """Command lines that errors and pages put together for a protocol."""
    for model in [*list(protocol.models)[:3], "elsewhere"]:
        for name in protocol.sets:
            yield extract_command(protocol, model, name)
            yield views_command(protocol, model, name, 3, "tasks.npz").partition(" (")[0]
    yield from (list_command(protocol, name) for name in protocol.sets)
    yield from (plan.command for plan in task_files_of(protocol)[:40])
    for run in runs_of(protocol)[:60]:
        yield run.dictionary_command
        yield command_of(run.config | {"novel_class": run.config.get("novel_class")}, "mine.py")


@pytest.mark.parametrize("path", sorted(path.name for path in (ROOT / "configs/protocols").glob("*.py")))
def test_commands_that_are_put_together_for_a_protocol_can_be_run(path):
    tiles = ["tiles"] if path.startswith("tiles") else []
    protocol = load_protocol(str(ROOT / "configs/protocols" / path), *tiles)
    for line in dict.fromkeys(printed_commands(protocol)):
        python, script, *words = shlex.split(line)
        assert python == "python" and (ROOT / script).is_file(), line
        assert fault(script.rpartition("/")[2].removesuffix(".py"), words) is None, line
