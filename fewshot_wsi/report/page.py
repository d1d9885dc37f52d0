"""The page: everything in one file, nothing fetched, every name escaped."""

from datetime import UTC, datetime
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from fewshot_wsi import __version__
from fewshot_wsi.foundation.names import visible
from fewshot_wsi.meta_test.protocol import DEFAULT
from fewshot_wsi.report.commands import command_of
from fewshot_wsi.report.overview import percent
from fewshot_wsi.report.published import published
from fewshot_wsi.report.tables import APART, DAGGER, MARKS
from fewshot_wsi.report.tiles import PER_CLASS

SECTIONS = (("short", "In short"), ("results", "Results"), ("compared", "Comparisons"),
            ("narrow", "What would narrow the intervals"), ("inside", "Classes and tasks"),
            ("ablation", "Ablations"), ("paper", "Against the paper"), ("sound", "Leakage and sanity"),
            ("tiles", "Tiles"), ("seen", "What encoders see"), ("every", "Every run"), ("made", "What was run"),
            ("repeat", "How to repeat"))


def _asset(name):
    return files("fewshot_wsi.report").joinpath(name).read_text(encoding="utf-8")


def _shown(value):
    """What a template gets, before it is escaped: text without hidden characters."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else visible(value)


def render(content, *, title, protocol=None, report_command="", refresh=None, live=None):
    """HTML text. content: `writing.Content`; refresh: seconds between reloads of a live page, or None;
    live: a line about the run in progress, or None."""
    environment = Environment(loader=FunctionLoader(_asset), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True, finalize=_shown)
    environment.filters["percent"] = percent
    environment.filters["shorten"] = lambda value: f"{value:.6g}" if isinstance(value, float) else value
    runs = content.evidence.each
    absent = {"narrow": not content.components.rows, "ablation": not content.ablations.rows,
              "tiles": not content.shown_tasks, "seen": not content.pictures}
    classes_of = [tuple(map(visible, run.classes)) for run in runs]
    classes = list(dict.fromkeys(classes_of))
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return environment.get_template("page.html.j2").render(
        **vars(content), title=title, lead=_lead(runs), refresh=refresh, live=live, dagger=DAGGER, apart=APART,
        marks=MARKS, per_class=PER_CLASS,
        style=Markup(_asset("style.css")), script=Markup(_asset("script.js")),
        sections=[(key, label) for key, label in SECTIONS if not absent.get(key)],
        notices=content.evidence.notices, said=" ".join(figure.caption for figure in content.figures["first"]),
        published_source=published()["source"],
        confusion_labels=[run.label for run in runs],
        confusion_data={"classes": classes, "runs": [[classes.index(own), run.statistics["confusion"]]
                                                     for own, run in zip(classes_of, runs, strict=True)]},
        commands=[(run.label, run.path, command_of(run.config, protocol)) for run in runs],
        protocol=protocol, assumed=DEFAULT, report_command=report_command,
        made=f"Written {now} by Few-shot-WSI {__version__}")


def _lead(runs):
    tasks = sum(len(run.f1) for run in runs)
    evaluations = list(dict.fromkeys(run.evaluation for run in runs))
    models = list(dict.fromkeys(run.config["model"] for run in runs))
    return (f"{len(runs)} runs of {len(models)} {'encoder' if len(models) == 1 else 'encoders'} on "
            f"{', '.join(evaluations)}: {tasks:,} tasks scored.")
