"""The command line: one command for each stage, and `run` for all of them."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from time import monotonic
from typing import Annotated, Any, NoReturn

import typer

from augury import __version__
from augury.cli import console
from augury.cli.checklist import checklist
from augury.cli.data import augment, export, inspect, split
from augury.cli.evaluate import EXAMPLES, evaluate
from augury.cli.explore import explore
from augury.cli.images import generate, merge, translate
from augury.cli.latent import latent
from augury.cli.options import (
    Config,
    Device,
    Json,
    JudgeSize,
    Quiet,
    Seed,
    Set,
    TrialClassifier,
    VerbGroup,
    classifiers,
    first_process,
    pair,
    processes,
    registers,
    setting,
    settled,
    value,
    without,
    without_none,
    work,
)
from augury.cli.predict import EXAMPLES as PREDICT_EXAMPLES
from augury.cli.predict import predict
from augury.cli.prove import prove
from augury.cli.reading import DataOptions, reads
from augury.cli.settings import settings as show_settings
from augury.cli.track import track as track_run
from augury.cli.tune import EXAMPLES as TUNE_EXAMPLES
from augury.cli.tune import tune
from augury.errors import AuguryError, SettingsError

app = typer.Typer(
    cls=VerbGroup,
    help="Generate images for classes that have few, and test whether they improve a classifier.",
    epilog="Start with: augury run photos/ -o runs/photos    (photos/<class>/*.jpg; without a path, the embedded sample)",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

command = registers(app)
IN_PROCESSES = ("run", "train")
"""Commands that several processes started by torchrun share."""


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"augury {__version__}")
        raise typer.Exit


@app.callback()
def common(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options that come before a command."""
    if context.invoked_subcommand not in IN_PROCESSES and (started := processes()) > 1:
        if (
            os.environ.get("RANK") != "0"
        ):  # torchrun ends all processes as soon as one fails, before the first could say why
            raise SystemExit
        raise SettingsError(
            f"augury {context.invoked_subcommand} works in one process, and torchrun has started {started}; start it without "
            f"torchrun. {' and '.join(IN_PROCESSES)} work in several"
        )


app.add_typer(latent, name="latent")
command(epilog="Example: augury inspect photos/ -o sheet.png")(inspect)
command(
    epilog="Example: augury split photos/ -o splits    then: augury prove splits/ --with synthetic/ -o runs/judged"
)(split)
command(
    epilog="Example: augury augment photos/ --preview sheet.png    then: augury augment photos/ -o more --policy natural --per-image 3"
)(augment)
command(
    epilog="Example: augury generate runs/photos -o more --number 50    or: --label disgust --label fear --number 50 --seed 7    "
    "millions: augury generate runs/photos --count 10000000 -o many"
)(generate)
command(
    epilog="Example: augury translate runs/faces photos/ --change young=no -o older    for several changes: --change young=no --change label=woman"
)(translate)
command(epilog="Example: augury merge many    then: augury evaluate many --reference photos/")(merge)
command(epilog=EXAMPLES)(evaluate)
command(
    epilog="Example: augury prove runs/photos --set prove.max_seeds=24    or: augury prove splits/ --with synthetic/ -o runs/judged"
)(prove)
command(epilog=PREDICT_EXAMPLES)(predict)
command(epilog=TUNE_EXAMPLES)(tune)
command(epilog="Example: augury track runs/photos --to mlflow")(track_run)
command(epilog="Example: augury checklist runs/scans -o checklist.md")(checklist)
command(epilog="Example: augury explore runs/photos    on another machine: augury explore runs/photos --host 0.0.0.0")(
    explore
)
command("settings", epilog="Example: augury settings runs/photos --changed")(show_settings)
command(
    epilog="Example: augury export runs/photos --format parquet -o photos.parquet    or: -o augmented --originals link --size 224"
)(export)

Source = Annotated[
    Path | None,
    typer.Argument(
        help="Folder of class folders, .npz, .csv, .parquet, .tar, idx, …; default: the data of the run folder, or the embedded sample."
    ),
]
Folder = Annotated[Path, typer.Option("-o", "--output", help="Run folder; created, or resumed if it exists.")]
Together = Annotated[
    Path,
    typer.Option(
        "-o", "--output", help="Folder for the run folders, one per recipe; created, or resumed if it exists."
    ),
]
Flips = Annotated[bool | None, setting("prove.flips")]
Recipe = Annotated[str | None, setting("train.recipe")]
Loss = Annotated[
    str | None, typer.Option(help="Overrides the recipe's loss: minimax, non_saturating, wasserstein, hinge, ….")
]
Penalty = Annotated[
    list[str] | None,
    typer.Option(help="Overrides the recipe's: r1=1, r2=1, gradient_penalty=10, lecam=.3, clip=.01; repeatable."),
]
Smoothing = Annotated[
    float | None, typer.Option(help="The discriminator's target for real images is 1 minus this.", min=0, max=0.5)
]
StartFrom = Annotated[str | None, setting("train.start_from")]
Unlabelled = Annotated[str | None, setting("train.unlabelled")]
Target = Annotated[str | None, setting("data.target")]
Steps = Annotated[int | None, setting("train.steps")]
Budget = Annotated[str | None, setting("train.budget")]
Precision = Annotated[str | None, setting("train.precision")]
Folds = Annotated[
    int | None,
    typer.Option(
        help="Cross-validation with this many folds: one run per fold, one pooled verdict. For few images or "
        "people. To resume: the same -o and --folds."
    ),
]
Time = Annotated[
    str | None,
    typer.Option(
        help="Time for the whole run, such as 15m or 1h30m: measures the speed, and divides the time between the steps of the generator "
        "and of the trial. The steps are stored, so that the run can be repeated exactly."
    ),
]
Quick = Annotated[
    bool,
    typer.Option(
        "--quick",
        help="A first look in less than three minutes: --time 150s, scores over 200 images, one ratio and the small network in the trial. Where the time does "
        "not suffice, images are used at half their size, or less; the size is stored.",
    ),
]
QUICK: dict[str, dict[str, Any]] = {"score": {"limit": 200}, "prove": {"ratios": (0.5,), "classifier": "cnn"}}
QUICK_TIME = "150s"
TIMED = ("train.steps", "train.budget", "prove.steps")
"""Settings that --time decides."""
Condition = Annotated[str | None, setting("train.condition")]
Strategy = Annotated[str | None, setting("generate.sampling_strategy")]
Track = Annotated[str | None, setting("train.track")]


def _length(steps: int | None, budget: str | None) -> dict[str, Any]:
    """The training length; either option replaces both stored values."""
    if steps is not None and budget is not None:
        raise SettingsError("--steps and --budget both set the training length; give one of them")
    return {} if steps is None and budget is None else {"steps": steps, "budget": budget}


def _time(time: str | None, quick: bool, lengths: dict[str, Any], extra: list[str] | None) -> float | None:
    """The seconds of --time or --quick; raises SettingsError where another option sets the number of steps as well."""
    from augury.durations import duration

    if time is None and not quick:
        return None
    option = "--time" if time is not None else "--quick"
    also = [f"--{name}" for name, length in lengths.items() if length is not None]
    also += [f"--set {name}" for name in TIMED for text in extra or [] if text.partition("=")[0] == name]
    if time is not None and quick:
        also = ["--quick"]
    if also:
        raise SettingsError(
            f"{option} decides how many steps fit into the time, and so does {also[0]}; give one of them"
        )
    return duration(time or QUICK_TIME, option)


@reads
def way(
    context: typer.Context,
    path: Source = None,
    output: Folder = Path("runs/augury"),
    seed: Seed = None,
    device: Device = None,
    data: DataOptions = None,
    recipe: Recipe = None,
    loss: Loss = None,
    penalty: Penalty = None,
    label_smoothing: Smoothing = None,
    start_from: StartFrom = None,
    unlabelled: Unlabelled = None,
    target: Target = None,
    steps: Steps = None,
    budget: Budget = None,
    time: Time = None,
    quick: Quick = False,
    precision: Precision = None,
    condition: Condition = None,
    flips: Flips = None,
    sampling_strategy: Strategy = None,
    classifier: TrialClassifier = None,
    judge_size: JudgeSize = None,
    folds: Folds = None,
    track: Track = None,
    config: Config = None,
    extra: Set = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """`run` and `train`: from the data to the report, or to the synthesizer."""
    with first_process() as first:
        if not first:
            return
        sections = {
            "data": (data or {}) | without_none(target=target and str(Path(target).resolve())),
            "train": without_none(
                recipe=recipe, precision=precision, start_from=start_from, unlabelled=unlabelled, track=track
            )
            | _length(steps, budget),
            "generate": without_none(sampling_strategy=sampling_strategy and value(sampling_strategy)),
            "prove": without_none(flips=flips) | classifiers(classifier, judge_size),
        }
        weights = {name: value(text) for name, text in (pair("--penalty", text) for text in penalty or [])}
        limit = _time(time, quick, {"steps": steps, "budget": budget}, extra)
        if quick:
            sections = {name: QUICK.get(name, {}) | own for name, own in (QUICK | sections).items()}
        overrides = without_none(loss=loss, label_smoothing=label_smoothing) | weights
        if overrides:
            sections["train"] |= {"overrides": overrides}
        if condition is not None:
            sections["train"] |= {"condition": tuple(n for n in condition.split(",") if n and n != "label")}
        until = "train" if context.info_name == "train" else "report"
        top = without_none(seed=seed, device=device)
        if folds is not None:
            _cross_validated(path, output, folds, sections, top, config, extra, limit, quiet, as_json)
            return
        run = work(path, output, until, quiet, extra, sections, top, config, limit, quick)
        if until == "report":
            console.print_result(run, as_json)
        else:
            synthesizer_path = str(run / "synthesizer")
            facts = {"run": str(run.path), "synthesizer": synthesizer_path, **console.skipped(run)}
            typer.echo(json.dumps(facts) if as_json else synthesizer_path)


def _cross_validated(
    path: Path | None,
    output: Path,
    folds: int,
    sections: dict[str, dict[str, Any]],
    top: dict[str, Any],
    config: Path | None,
    extra: list[str] | None,
    time: float | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """`run --folds`. The settings are those stored in the first fold, if any, replaced by those given."""
    from augury.pipeline.cross_validation import cross_validate
    from augury.pipeline.run_folder import Run

    stored = Run(output / "fold-1").settings
    stored.get("data", {}).pop("fold", None)
    settings = settled(stored, extra, sections, top, config)
    verdict = cross_validate(path, output, folds, settings=settings, time=time, callbacks=console.callbacks(quiet))
    if as_json:
        typer.echo(json.dumps({"folder": str(output), "verdict": verdict.as_dict()}))
        return
    console.verdict(verdict)
    typer.echo(f"\n  folds     {output}/fold-1 … fold-{folds}\n  report    {output / 'report.html'}")


command(
    "run",
    help="Run every stage: split, classify, train, generate, score, prove, classifier, export, report. To resume after an interruption, "
    "repeat the command, or give its -o alone.",
    epilog="Example: augury run photos/ -o runs/photos --time 15m",
)(way)
command(
    "train",
    help="Split the data and train the generator. `augury run -o` the same folder continues from there.\n\n"
    "Shown while it trains: loss_d and loss_g are the losses of discriminator and generator. They need not fall; a loss_d that stays near "
    "0 means that the discriminator recognises every generated image. loss, of vae and ae, is the negative log likelihood of the "
    "images; of flow, the mean squared error of the velocity. Warnings in words say what usually helps. All measures, with the quality on validation, are in train/log.jsonl.",
    epilog="Example: augury train photos/ -o runs/photos --steps 4000",
)(without(way, "time", "quick", "folds", "classifier", "judge_size"))


@command(epilog="Example: augury compare photos/ -o runs/compared --recipes stylegan,vae,ae,dcgan --budget 10m")
@reads
def compare(
    path: Source = None,
    output: Together = Path("runs/compared"),
    recipes: Annotated[
        str, typer.Option(help="Comma-separated recipes; see augury run --help.")
    ] = "rpgan,stylegan,vae,ae",
    seed: Seed = None,
    device: Device = None,
    data: DataOptions = None,
    steps: Steps = None,
    budget: Budget = None,
    config: Config = None,
    extra: Set = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train several recipes on the same data and compare quality, variety, reconstruction, speed and size."""
    from augury.pipeline.comparison import compare as compared
    from augury.pipeline.inputs import first_run
    from augury.training.recipes import RECIPES

    sections, first = (
        {"data": data or {}, "train": _length(steps, budget)},
        first_run(output / name for name in RECIPES),
    )
    stored, top = first.settings if first else {}, without_none(seed=seed, device=device)
    settings = settled(stored, extra, sections, top, config)
    names = tuple(name.strip() for name in recipes.split(",") if name.strip())
    rows = compared(path, output, names, settings=settings, callbacks=console.callbacks(quiet))
    if as_json:
        typer.echo(json.dumps({"rows": rows, "pictures": str(output / "comparison.png")}))
    else:
        console.comparison(rows)
        typer.echo(f"\n  pictures  {output / 'comparison.png'}")


@command(epilog="Example: augury report runs/photos --json")
def report(
    source: Annotated[Path, typer.Argument(help="A finished run folder.")], quiet: Quiet = False, as_json: Json = False
) -> None:
    """Print the verdict of a finished run and the path of its report, which is written again if it was removed."""
    from augury.pipeline.run_folder import Run

    run = Run(source)
    _ = run.metadata
    if (run / "verdict.json").exists() and not (run / "report.html").exists():
        from augury.pipeline.stages import rewrite_report

        rewrite_report(source, console.callbacks(quiet))
    console.print_result(run, as_json)


@command(epilog="Example: augury doctor --json")
def doctor(device: Device = None, as_json: Json = False) -> None:
    """Print versions, devices and optional extras, and train twenty steps as a self-test."""
    import numpy as np
    import torch

    from augury import data, training
    from augury.pipeline.environment import extras, machine, versions
    from augury.settings import TrainSettings

    chosen = training.choose_device(device or "auto")
    started = monotonic()
    synthesizer = training.train(data.sample(), settings=TrainSettings(steps=20), device=chosen.type)
    seconds = monotonic() - started
    same = np.array_equal(
        synthesizer.sample([0, 1], seed=1).images[1:], synthesizer.sample([1], seed=1, start=1).images
    )
    facts = {
        "versions": versions(),
        "machine": machine(),
        "devices": [name for name, available in training.devices().items() if available],
        "device": chosen.type,
        "precision": training.choose_precision(chosen),
        "threads": torch.get_num_threads(),
        "extras": extras(),
        "self_test": {"passed": bool(same), "training_images_per_second": round(20 * 64 / seconds, 1)},
    }
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        console.facts(facts)
    if not same:
        raise typer.Exit(1)


INTERRUPTED, TERMINATED = 130, 143
"""Exit statuses after Ctrl-C and SIGTERM; typer turns Ctrl-C into a silent SystemExit with the first."""


def _close_displays() -> None:
    """Remove progress bars from the terminal, where a command has shown some."""
    if display := sys.modules.get("augury.pipeline.display"):
        display.close_displays()


def _leave(status: int) -> NoReturn:
    """End the process; one that still has threads at work ends without awaiting them."""
    if threading.active_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    raise SystemExit(status)


def main() -> None:
    """Run the command line.

    An error of Augury is printed without a traceback and exits with status 1. Ctrl-C exits with INTERRUPTED, and SIGTERM with
    TERMINATED. Then threads that still train a classifier are not awaited: files are written atomically.
    """

    def terminate(number: int, frame: object) -> None:
        raise SystemExit(TERMINATED)

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        try:
            app()
        finally:
            _close_displays()
            signal.signal(signal.SIGTERM, before)
    except AuguryError as error:
        typer.echo(f"augury: {error}", err=True)
        raise SystemExit(1) from None
    except (KeyboardInterrupt, SystemExit) as ended:
        status = ended.code if isinstance(ended, SystemExit) else INTERRUPTED
        if status not in (INTERRUPTED, TERMINATED):
            raise
        typer.echo(
            "\naugury: interrupted; finished work is kept, and the same command resumes a run or a trial",
            err=True,
        )
        _leave(int(status))
    except RuntimeError as error:
        from augury.training import out_of_memory

        if not out_of_memory(error):
            raise
        typer.echo(
            "augury: out of memory. Finished work is kept; run the same command again with smaller images (--size, in a new "
            "folder), --set train.batch=16, --set prove.batch=32 or --set score.limit=200, or on another --device",
            err=True,
        )
        raise SystemExit(1) from None
