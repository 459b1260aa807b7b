"""The stored results of a trial, from which it resumes, and its earlier interim looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from augury import proof
from augury.errors import RunFolderError
from augury.files import digest, write_json
from augury.images import LabelledImages
from augury.pipeline.inputs import Callbacks
from augury.pipeline.run_folder import Run
from augury.settings import ProveSettings
from augury.validation import StrictSettings, parsed
from augury.verdict import Verdict

Look = tuple[int, str]
"""(seeds, outcome) of an interim look at a test split, as in `Verdict.look`."""
LASTING = {"seeds", "max_seeds", "margin", "max_class_loss", "arms", "ratios", "others"}
"""Settings of a trial that do not change its trainings."""


class _StoredTrial(StrictSettings):
    """trial.json."""

    inputs: str
    tested: str = ""
    measured: int = 0
    look: tuple[int, str] = (0, "")
    stale: str | None = None
    results: dict[Annotated[str, Field(pattern="/")], dict[str, Any]]
    others: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class TrialCache:
    """Stored results of a trial.

    `results` are those of the trainings so far. Call `store` after each further training. `before` is the earlier verdict on
    these results. `look` is the first interim look of a trial with other settings at the same test split.
    """

    results: dict[str, Any]
    store: Callable[[int, int, str], None]
    before: Verdict | None
    look: Look

    def with_earlier_look(self, verdict: Verdict) -> Verdict:
        """The verdict of these results, marked with the earlier interim look."""
        return verdict.after(self.before, self.look)


def load_cache(
    file: Path,
    run_inputs: list[Any],
    prove: ProveSettings,
    test: LabelledImages,
    callbacks: Callbacks,
    others: dict[str, str] | None = None,
    aside: Callable[[], None] = lambda: None,
) -> TrialCache:
    """The results of trainings that `file`, beside verdict.json, holds for the same inputs.

    More seeds, arms or ratios, and another margin, reuse the same trainings. Trainings that use another generator's images or a
    discriminator are reused only while `others` (name -> digest) stays the same.

    With other inputs there are no results, and `aside` is called before the first new result replaces the old ones. A verdict
    of the old inputs on the same `test` split still counts as an interim look. Every retry with other settings or another
    generator is a further chance of a false positive.
    """
    lasting = prove.model_dump(exclude=LASTING)
    seen = [code for name in (prove.classifier, *prove.candidates) if (code := proof.code_of(name))]
    inputs, tested = (
        digest([*run_inputs, lasting, proof.MEASURED, *seen]),
        digest(proof.image_hashes(test.images).tolist()),
    )
    stored, verdict = _read(file), verdict_before(Run(file.parent))
    same, mark = stored.get("inputs") == inputs, None if verdict is None else digest(verdict.as_dict())
    results: dict[str, Any] = stored["results"] if same else {}
    stale = stored.get("stale") if same else mark
    other = verdict if not same and stored.get("measured") == proof.MEASURED else None
    look = first_look(stored, other) if stored.get("tested") == tested else (0, "")
    before, now = stored.get("others", {}), others or {}
    needs = {name: proof.LAYERS if arm.trained_weights else arm.source for name, arm in proof.ARMS.items()}
    old = {name for name, need in needs.items() if before.get(need) != now.get(need)}
    results = {name: result for name, result in results.items() if proof.arm_of(name) not in old}
    header = {"inputs": inputs, "tested": tested, "measured": proof.MEASURED, "look": look, "stale": stale}

    displaced = [aside] if stored and not same else []

    def store(done: int, total: int, name: str) -> None:
        while displaced:
            displaced.pop()()
        write_json(file, header | {"results": results} | ({"others": now} if now else {}))
        callbacks.amount("trainings", done, total)

    return TrialCache(results, store, verdict if results and mark != stale else None, look)


def trial_results(run: Run) -> dict[str, Any]:
    """The results of the trainings of a finished trial; raises RunFolderError when they are damaged."""
    _ = run.read("trial")  # raises where there is none
    results: dict[str, Any] = _read(run / "trial.json")["results"]
    return results


def _read(file: Path) -> dict[str, Any]:
    """The contents of trial.json, which are checked; empty without that file."""
    if not file.exists():
        return {}
    remedy = "delete it and run the same command again, which repeats its trainings"
    return parsed(_StoredTrial, file.read_bytes(), str(file), remedy).model_dump(exclude_unset=True)


def first_look(stored: dict[str, Any], other: Verdict | None) -> Look:
    """The first interim look at a test split: the one in `stored`, else that of the verdict `other` of other trainings."""
    number, outcome = stored.get("look", (0, ""))
    return other.look if other is not None and not number else (int(number), str(outcome))


def verdict_before(run: Run) -> Verdict | None:
    """The verdict in the folder; None where there is none that this version can read."""
    try:
        return run.verdict if (run / "verdict.json").exists() else None
    except RunFolderError:
        return None
