"""The command line: one verb for each stage, and `run` for the whole way."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from augury.errors import AuguryError, SettingsError

if TYPE_CHECKING:
    from augury.pipeline import Watcher
    from augury.runfolder import Run
    from augury.training import Progress

app = typer.Typer(
    help="Images for the classes that lack them, and proof whether they help a classifier.",
    epilog="Begin with: augury run photos/ -o runs/photos    (photos/<class>/*.jpg; without a path, the embedded sample)",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Data = Annotated[Path | None, typer.Argument(help="Folder of class folders, or .npz; none: the embedded sample.")]
Folder = Annotated[Path, typer.Option("-o", "--output", help="The run folder.")]
Seed = Annotated[int, typer.Option(help="Decides every random number of the run.", min=0)]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, only results.")]
Json = Annotated[
    bool, typer.Option("--json", help="Results as JSON on standard output; progress goes to standard error.")
]
Size = Annotated[int | None, typer.Option(help="Height and width in px; default: native up to 64, else 64.", min=4)]
Fit = Annotated[str, typer.Option(help="crop (cover, cut the middle) or pad (fit inside).")]
OnBad = Annotated[str, typer.Option(help="error, or skip: leave unreadable files out, counted and listed.")]
Recipe = Annotated[str, typer.Option(help="gan (fully connected) or dcgan.")]
Steps = Annotated[int | None, typer.Option(help="Training steps.", min=1)]
Budget = Annotated[str | None, typer.Option(help="Training time instead of steps: 90s, 5m, 1h.")]
Precision = Annotated[str, typer.Option(help="auto (measured), fp32 or bf16.")]
Condition = Annotated[str | None, typer.Option(help="Condition on these too: label,pose (attribute names).")]
Strategy = Annotated[
    str, typer.Option("--sampling-strategy", help='balance, a ratio (0.5), a number, or {"class": n}.')
]
Set = Annotated[list[str] | None, typer.Option("--set", help="Any other setting: prove.steps=600, train.batch=32.")]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _settings(extra: list[str] | None, **rooms: dict[str, Any]) -> Any:
    """RunSettings from the options given, then from every --set room.name=value."""
    from augury.settings import RunSettings, validated

    values: dict[str, Any] = {k: {n: v for n, v in room.items() if v is not None} for k, room in rooms.items()}
    values |= values.pop("top", {})
    for text in extra or []:
        name, equals, value = text.partition("=")
        room, dot, key = name.partition(".")
        if not (equals and dot):
            raise SettingsError(f"--set {text}: write it as room.name=value, for example --set prove.steps=600")
        values.setdefault(room, {})[key] = _value(value)
    return validated(RunSettings, values)


def _watcher(quiet: bool) -> Watcher:
    """Progress on standard error: a line a stage, and within a stage a line that rewrites itself on a terminal."""
    from augury.pipeline import Watcher

    if quiet:
        return Watcher()
    live, begun, told = sys.stderr.isatty(), [0.0], [0.0]

    def say(text: str, force: bool = False) -> None:
        now = time.monotonic()
        if force or now - told[0] > (0.2 if live else 15):
            told[0] = now
            sys.stderr.write(f"\r\033[K  {text}" if live else f"  {text}\n")
            sys.stderr.flush()

    def begin(stage: str, cached: bool) -> None:
        begun[0] = told[0] = time.monotonic()
        sys.stderr.write(f"{stage}{' (done before)' if cached else ''}\n")

    def training(p: Progress) -> None:
        losses = "  ".join(f"{k} {v:+.3f}" for k, v in p.losses.items())
        say(f"step {p.step}/{p.steps}  {losses}  {p.images_per_second:.0f} img/s  {_clock(p.seconds_left)} left")

    def amount(what: str, done: int, total: int) -> None:
        left = (time.monotonic() - begun[0]) / max(done, 1) * (total - done)
        say(f"{done}/{total} {what}  {_clock(left)} left", force=done == total)

    def end(stage: str, summary: str) -> None:
        sys.stderr.write(f"{chr(13)}{chr(27)}[K" if live else "")

    return Watcher(begin, training, amount, end)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _tell(run: Run, as_json: bool) -> None:
    verdict = run.verdict
    if as_json:
        typer.echo(json.dumps({"run": str(run.path), "verdict": verdict.as_dict()}))
        return
    typer.echo(f"\n{verdict.word.upper()}. {verdict.sentence}\n")
    for name, values in verdict.arms.items():
        mean = sum(values["balanced_accuracy"]) / len(values["balanced_accuracy"])
        typer.echo(f"  {name:<14} balanced accuracy {mean:.3f}")
    typer.echo(f"\n  data set  {run / 'dataset'}\n  report    {run / 'report.html'}")


@app.command(epilog="Example: augury run photos/ -o runs/photos --budget 10m")
def run(
    path: Data = None,
    output: Folder = Path("runs/augury"),
    seed: Seed = 0,
    device: Device = "auto",
    size: Size = None,
    fit: Fit = "crop",
    on_bad: OnBad = "error",
    recipe: Recipe = "dcgan",
    steps: Steps = None,
    budget: Budget = None,
    precision: Precision = "auto",
    condition: Condition = None,
    sampling_strategy: Strategy = "balance",
    extra: Set = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """The whole way: train, generate, filter, score, prove, export, report. Run it again to go on after an interruption."""
    _go(**{k: v for k, v in locals().items() if k != "as_json"}, until="report")
    from augury.runfolder import Run

    _tell(Run(output), as_json)


@app.command(epilog="Example: augury train photos/ -o runs/photos --steps 4000")
def train(
    path: Data = None,
    output: Folder = Path("runs/augury"),
    seed: Seed = 0,
    device: Device = "auto",
    size: Size = None,
    fit: Fit = "crop",
    on_bad: OnBad = "error",
    recipe: Recipe = "dcgan",
    steps: Steps = None,
    budget: Budget = None,
    precision: Precision = "auto",
    condition: Condition = None,
    extra: Set = None,
    quiet: Quiet = False,
) -> None:
    """Split the data and train the generator; `augury run` with the same options goes on from here."""
    _go(**locals(), sampling_strategy="balance", until="train")
    typer.echo(str(output / "synthesizer"))


def _go(
    *,
    path: Path | None,
    output: Path,
    seed: int,
    device: str,
    size: int | None,
    fit: str,
    on_bad: str,
    recipe: str,
    steps: int | None,
    budget: str | None,
    precision: str,
    condition: str | None,
    sampling_strategy: str,
    extra: list[str] | None,
    quiet: bool,
    until: str,
) -> None:
    """Collect the settings and run the pipeline up to a stage."""
    if steps is not None and budget is not None:
        raise SettingsError("--steps and --budget both say how long to train; give one of them")
    names = None if condition is None else tuple(n for n in condition.split(",") if n and n != "label")
    settings = _settings(
        extra,
        top={"seed": seed, "device": device},
        data={"size": size, "fit": fit, "on_bad": on_bad},
        train={"recipe": recipe, "steps": steps, "budget": budget, "precision": precision, "condition": names},
        generate={"sampling_strategy": _value(sampling_strategy)},
    )
    from augury.pipeline import SAMPLE
    from augury.pipeline import run as pipeline

    if path is None and not quiet:
        typer.echo(f"No path given: using {SAMPLE}.", err=True)
    pipeline(path, output, settings=settings, until=until, watch=_watcher(quiet))


@app.command(epilog="Example: augury inspect photos/ -o sheet.png")
def inspect(
    path: Data = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write a picture sheet here (PNG).")] = None,
    as_json: Json = False,
) -> None:
    """Count classes, sizes, modes, unreadable files and duplicates; draw a picture sheet."""
    from augury import data
    from augury.files import atomic_path

    images, census = data.inspect(path)
    if output is not None:
        with atomic_path(output) as temporary:
            data.picture_sheet(images).save(temporary, format="PNG")
    if as_json:
        typer.echo(json.dumps(census.as_dict()))
        return
    for name, value in census.as_dict().items():
        if name != "advice":
            typer.echo(f"{name:<12} {json.dumps(value, ensure_ascii=False)}")
    for line in census.advice:
        typer.echo(f"- {line}")


@app.command(epilog="Example: augury generate runs/photos -o more --label disgust --number 50 --seed 7")
def generate(
    source: Annotated[Path, typer.Argument(help="A run folder.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the PNG files.")],
    label: Annotated[str, typer.Option(help="The class to draw.")],
    number: Annotated[int, typer.Option(help="How many.", min=1)] = 16,
    start: Annotated[int, typer.Option(help="Index of the first image.", min=0)] = 0,
    seed: Seed = 0,
    truncation: Annotated[float, typer.Option(help="Below 1: more typical, less varied.")] = 1.0,
    device: Device = "cpu",
) -> None:
    """Draw images of one class from a trained run; (seed, index) always gives the same image."""
    from PIL import Image

    from augury.files import atomic_path
    from augury.training import Synthesizer, choose_device

    synthesizer = Synthesizer.load(source / "synthesizer", choose_device(device))
    if synthesizer.card.condition_names:
        raise SettingsError(
            "this generator also wants attributes; draw from it in Python: synthesizer.sample(conditions)"
        )
    drawn = synthesizer.sample([label] * number, seed=seed, start=start, truncation=truncation)
    for index, image in zip(drawn.indices, drawn.images, strict=True):
        with atomic_path(output / f"seed{seed}-{int(index):06d}.png") as temporary:
            Image.fromarray(image.transpose(1, 2, 0).squeeze()).save(temporary, format="PNG")
    typer.echo(f"{number} images in {output}")


def _again(source: Path, extra: list[str] | None, until: str, quiet: bool) -> Run:
    """Take a run folder up with its own data and settings, changed by --set, up to a stage."""
    from augury.pipeline import SAMPLE
    from augury.pipeline import run as pipeline
    from augury.runfolder import Run

    place = Run(source)
    about = place.about
    stored = {k: v for k, v in about["settings"].items() if not isinstance(v, dict)}
    rooms = {k: v for k, v in about["settings"].items() if isinstance(v, dict)}
    settings = _settings(extra, top=stored, **rooms)
    path = None if about["source"] == SAMPLE else about["source"]
    return pipeline(path, source, settings=settings, until=until, watch=_watcher(quiet))


RunFolder = Annotated[Path, typer.Argument(help="A run folder.")]


@app.command(epilog="Example: augury evaluate runs/photos --set score.features=classifier")
def evaluate(source: RunFolder, extra: Set = None, quiet: Quiet = False, as_json: Json = False) -> None:
    """Score a run's images: FD and KID with interval, N, features, and the real-against-real baseline."""
    card = _again(source, extra, "score", quiet).read("scores")
    if as_json:
        typer.echo(json.dumps(card))
        return
    for s in card["scores"]:
        typer.echo(
            f"{s['name']}  {s['value']:.4g}  [{s['low']:.4g}, {s['high']:.4g}]  N {s['n']}  real {s['baseline']:.4g}"
        )
        if s["note"]:
            typer.echo(f"  {s['note']}")


@app.command(epilog="Example: augury prove runs/photos --set prove.seeds=12")
def prove(source: RunFolder, extra: Set = None, quiet: Quiet = False, as_json: Json = False) -> None:
    """Do the trial of a run, again with other settings if you like, up to the report."""
    _tell(_again(source, extra, "report", quiet), as_json)


@app.command(epilog="Example: augury export runs/photos")
def export(source: RunFolder, quiet: Quiet = False) -> None:
    """Write a run's augmented data set, as class folders with a manifest."""
    typer.echo(str(_again(source, None, "export", quiet) / "dataset"))


@app.command(epilog="Example: augury report runs/photos --json")
def report(source: Annotated[Path, typer.Argument(help="A finished run folder.")], as_json: Json = False) -> None:
    """Tell a finished run's verdict again, and where its report lies."""
    from augury.runfolder import Run

    place = Run(source)
    _ = place.about
    _tell(place, as_json)


@app.command(epilog="Example: augury doctor --json")
def doctor(as_json: Json = False) -> None:
    """Versions, devices, optional extras, and a short training as a self-test."""
    import numpy as np
    import torch

    from augury import data, metrics, training
    from augury.machine import machine, versions
    from augury.settings import TrainSettings

    device = training.choose_device("auto")
    begun = time.monotonic()
    synthesizer = training.train(data.sample(), settings=TrainSettings(steps=20), device=device.type)
    seconds = time.monotonic() - begun
    same = np.array_equal(
        synthesizer.sample([0, 1], seed=1).images[1:], synthesizer.sample([1], seed=1, start=1).images
    )
    facts = {
        "versions": versions(),
        "machine": machine(),
        "device": device.type,
        "precision": training.choose_precision(device),
        "threads": torch.get_num_threads(),
        "extras": {"features": metrics.lite0_installed()},
        "self_test": {"passed": bool(same), "training_images_per_second": round(20 * 64 / seconds, 1)},
    }
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        for name, value in facts.items():
            typer.echo(f"{name:<10} {value}")
    if not same:
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; errors of ours are told in words and end with status 1."""
    try:
        app()
    except AuguryError as error:
        typer.echo(f"augury: {error}", err=True)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        typer.echo("\naugury: interrupted; the same command goes on from here", err=True)
        raise SystemExit(130) from None
