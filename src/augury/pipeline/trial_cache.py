"""What a trial leaves on the way: the results of its trainings, with which a stopped one goes on, and the looks it has had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augury import proof
from augury.errors import RunFolderError
from augury.files import digest, read_json, write_json
from augury.images import LabelledImages
from augury.pipeline.inputs import Callbacks
from augury.pipeline.run_folder import Run
from augury.settings import ProveSettings
from augury.verdict import Verdict

Look = tuple[int, str]
"""(seeds, word) of a look at a test part, as `Verdict.look` has it."""
LASTING = {"seeds", "max_seeds", "margin", "arms", "ratios", "others"}
"""Settings of a trial with which its trainings stay the same."""


@dataclass(frozen=True)
class Kept:
    """`results` of trainings so far, `keep` to be called after each further one, the verdict that was given `before` on them,
    and the first `look` that a trial of other settings took at the same test part."""

    results: dict[str, Any]
    keep: Callable[[int, int, str], None]
    before: Verdict | None
    look: Look

    def told(self, verdict: Verdict) -> Verdict:
        """The verdict of these results, told with the look that came before."""
        return verdict.after(self.before, self.look)


def kept_results(
    file: Path,
    run_inputs: list[Any],
    prove: ProveSettings,
    test: LabelledImages,
    callbacks: Callbacks,
    others: dict[str, str] | None = None,
    aside: Callable[[], None] = lambda: None,
) -> Kept:
    """The results of trainings that `file`, beside verdict.json, holds for the same inputs. More seeds, arms or ratios, and
    another margin, are answered by the same trainings; those that showed images of another generator or began with a
    discriminator (`others`, name -> what tells them apart) only while these are the same.

    With other inputs there are none, and `aside` is called before the first result takes their place; but a verdict that they gave on the same `test` part is remembered as a look: who tries
    settings, or generators, until a word comes has given chance as many goes.
    """
    lasting = prove.model_dump(exclude=LASTING)
    seen = [features] if (features := proof.features_of(prove.classifier)) else []  # those installed by now
    inputs, tested = (
        digest([*run_inputs, lasting, proof.MEASURED, *seen]),
        digest(proof.image_hashes(test.images).tolist()),
    )
    stored, verdict = read_json(file) if file.exists() else {}, verdict_before(Run(file.parent))
    same, mark = stored.get("inputs") == inputs, None if verdict is None else digest(verdict.as_dict())
    results: dict[str, Any] = stored["results"] if same else {}
    stale = stored.get("stale") if same else mark
    other = verdict if not same and stored.get("measured") == proof.MEASURED else None
    look = first_look(stored, other) if stored.get("tested") == tested else (0, "")
    before, now = stored.get("others", {}), others or {}
    needs = {name: proof.LAYERS if arm.learnt else arm.source for name, arm in proof.ARMS.items()}
    old = {name for name, need in needs.items() if before.get(need) != now.get(need)}
    results = {name: result for name, result in results.items() if proof.arm_of(name) not in old}
    header = {"inputs": inputs, "tested": tested, "measured": proof.MEASURED, "look": look, "stale": stale}

    displaced = [aside] if stored and not same else []

    def keep(done: int, total: int, name: str) -> None:
        while displaced:
            displaced.pop()()
        write_json(file, header | {"results": results} | ({"others": now} if now else {}))
        callbacks.amount("trainings", done, total)

    return Kept(results, keep, verdict if results and mark != stale else None, look)


def first_look(stored: dict[str, Any], other: Verdict | None) -> Look:
    """The first look at a test part that `stored` remembers; where it does not, that of the verdict of `other` trainings on it."""
    number, said = stored.get("look", (0, ""))
    return other.look if other is not None and not number else (int(number), str(said))


def verdict_before(run: Run) -> Verdict | None:
    """The verdict in the folder, if there is one that this version can read."""
    try:
        return run.verdict if (run / "verdict.json").exists() else None
    except RunFolderError:
        return None
