"""What was found, for people (Markdown) and for programs (JSON)."""

from dataclasses import asdict

from fewshot_wsi.foundation.files import write_json, write_text
from fewshot_wsi.foundation.names import markdown as cell

SCHEMA = 1


def write_report(stem, found, facts, sheets):
    """Write `<stem>.md` and `<stem>.json`. sheets: dict from list name to file name of its contact sheet."""
    write_json(f"{stem}.json", {"schema": SCHEMA, "clean": not found, "lists": facts, "sheets": sheets,
                                "findings": [asdict(finding) for finding in found]})
    write_text(f"{stem}.md", markdown(found, facts, sheets))


def markdown(found, facts, sheets):
    lines = ["# Data check", "", f"{len(facts)} lists, {sum(f['images'] for f in facts.values()):,} lines, "
             + (f"{len(found)} findings." if found else "nothing found."), ""]
    if found:
        lines += ["## Findings", "", "| check | lists | what | examples |", "| --- | --- | --- | --- |"]
        lines += [f"| {finding.check} | {cell(', '.join(finding.lists))} | {cell(finding.text)} | "
                  f"{'; '.join(map(cell, finding.examples))} |" for finding in found]
        lines.append("")
    for name, fact in facts.items():
        lines += _list_section(name, fact, sheets[name])
    return "\n".join(lines) + "\n"


def _list_section(name, fact, sheet):
    colours = fact["colour"]
    lines = [f"## {cell(name)}", "", f"{cell(fact['list'])}, images below {cell(fact['root'])}", "",
             "| class | images | mean red, green, blue |", "| --- | ---: | --- |"]
    for label, count in fact["classes"].items():
        mean = colours["mean_rgb"].get(label)
        lines.append(f"| {cell(label)} | {count:,} | {', '.join(map(str, mean)) if mean else '–'} |")
    accuracy = {what: "not estimated (fewer than five images or groups in a class, or one class)" if value is None
                else f"{100 * value:.1f} %" for what, value in colours["balanced_accuracy"].items()}
    lines += ["", f"Colour alone, cross-validated balanced accuracy: mean RGB {accuracy['mean_rgb']}, histogram "
              f"{accuracy['histogram']}; chance {100 * colours['chance']:.1f} %.", "",
              f"{fact['too_uniform_to_compare']} images are too uniform to be compared for near duplicates.", "",
              f"![{cell(name)}](<{sheet}>)", ""]
    return lines
