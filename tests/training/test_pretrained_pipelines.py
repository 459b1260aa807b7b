"""A pretrained pipeline behaves as any generator or translator: plan, seeds, filters, folder, refusals."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import augury
from augury.cli.settings import override_rows
from augury.errors import DataError, SettingsError, WeightsError
from augury.files import read_json, read_lines
from augury.generation import draw, invert, plan_translations, translate
from augury.networks.pipelines import torch_seed_of
from augury.randomness import image_noise
from augury.settings import TrainSettings
from augury.training import SourceSampler, Synthesizer, from_pipeline, lacks_layers, make_plan, translates
from augury.training.pipelines import BY_THE_RUN, pipeline_digest
from augury.training.recipes import PRETRAINED, recipe
from augury.training.tables import train_table
from tests.helpers import cell_data
from tests.helpers.pipelines import PaintImg2ImgPipeline, PaintPipeline, folder_of, stand_in
from tests.helpers.training_data import CPU, small

PROMPT = "a {class}, {pose}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    stand_in(monkeypatch)
    return folder_of(tmp_path / "pipe")


def settings(folder: Path | str, name: str = "diffusers", **options: object) -> TrainSettings:
    train_options = {name: options.pop(name) for name in list(options) if name in TrainSettings.model_fields}
    overrides = {"pipeline": str(folder), "prompt": PROMPT, **options}
    return TrainSettings(
        recipe=name, overrides=overrides, **{"condition": ("pose",), "precision": "fp32", **train_options}
    )


def test_training_records_what_decides_an_image_and_draws_one(folder: Path, tmp_path: Path) -> None:
    data = small()
    train_settings = settings(folder, num_inference_steps=3)
    synthesizer = augury.train(data, tmp_path / "t", settings=train_settings)
    card = synthesizer.card
    assert (card.network, card.recipe, card.steps, synthesizer.translates) == ("diffusers", "diffusers", 0, False)
    expected = {
        "pipeline": str(folder), "class_name": "PaintPipeline", "prompt": PROMPT, "num_inference_steps": 3,
        "guidance_scale": 7.5, "strength": None, "size": 0, "digest": pipeline_digest(str(folder)), "precision": "fp32",
    }  # fmt: skip
    assert expected.items() <= card.settings.items()
    assert "licence of the pipeline's weights" in card.licence_note and "test images may have been" in card.licence_note
    assert read_lines(tmp_path / "t" / "log.jsonl") == []
    assert [file.name for file in (tmp_path / "t" / "samples").iterdir()] == ["step-000000.png"]

    synthesizer.save(tmp_path / "s")
    reloaded = Synthesizer.load(tmp_path / "s")
    assert reloaded.fingerprint == synthesizer.fingerprint and asdict(reloaded.card) == asdict(card)
    codes = data.conditions(("pose",))[:5]
    batch = synthesizer.sample(codes, seed=4)
    assert np.array_equal(reloaded.sample(codes[[3]], seed=4, indices=[3]).images[0], batch.images[3])
    assert not np.array_equal(reloaded.sample(codes[[3]], seed=5, indices=[3]).images[0], batch.images[3])

    seed = torch_seed_of(torch.from_numpy(image_noise(4, np.array([3]), 4))[0])
    values = [card.classes[codes[3, 0]], card.condition_values[0][codes[3, 1]]]
    picture = PaintPipeline()(f"a {values[0]}, {values[1]}", generator=torch.Generator().manual_seed(seed)).images[0]
    by_hand = np.asarray(picture.resize((12, 12), Image.Resampling.LANCZOS).convert("L"))
    assert np.array_equal(batch.images[3, 0], by_hand)


def test_another_prompt_or_content_is_another_synthesizer(folder: Path) -> None:
    prints = {augury.train(small(), settings=settings(folder)).fingerprint for _ in range(2)}
    prints |= {augury.train(small(), settings=settings(folder, prompt="the {class}, {pose}")).fingerprint}
    (folder / "unet" / "config.json").write_text("{}")
    prints |= {augury.train(small(), settings=settings(folder)).fingerprint}
    assert len(prints) == 3


def test_a_changed_folder_is_noticed_before_anything_is_drawn(folder: Path, tmp_path: Path) -> None:
    augury.train(small(), settings=settings(folder)).save(tmp_path / "s")
    (folder / "unet" / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match="has changed since this run began"):
        Synthesizer.load(tmp_path / "s").sample([[0, 0]])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 5}, "steps=5 has no effect: the recipe diffusers trains nothing"),
        ({"budget": 5.0}, "budget=5.0 has no effect"),
        ({"augment": "ada"}, "augment=ada has no effect"),
        ({"unconditional": True}, "unconditional=True has no effect"),
        ({"r1": 1.0}, "r1=1.0 has no effect: the pipeline is pretrained"),
        ({"class_moves": False}, "only a translator"),
        ({"digest": "x"}, "digest is set by the run itself"),
        ({"pipeline": ""}, "needs the folder of a pipeline"),
        ({"prompt": "a {class}, {pose}, {age}"}, "there is no {age}"),
        ({"condition": ("age",)}, "no attribute 'age'"),
        ({"strength": 0.5}, "PaintPipeline does not take it"),
        ({"num_inference_steps": 0}, "num_inference_steps=0, but it must be at least 1"),
        ({"guidance": 1.0}, "no setting 'guidance'; did you mean guidance_scale"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(options: dict[str, object], words: str, folder: Path) -> None:
    with pytest.raises((SettingsError, DataError), match=words):
        make_plan(small(), settings(folder, **options), seed=0, device=CPU, flips=False)


def test_the_recipes_are_named_where_recipes_are() -> None:
    assert set(PRETRAINED) == {"diffusers", "diffusers_img2img"}
    assert translates(recipe("diffusers_img2img")) and not translates(recipe("diffusers"))
    for name, rule in PRETRAINED.items():
        assert "trains none" in lacks_layers(name, rule)
    with pytest.raises(SettingsError, match=r"choose one of: .*translator, diffusers, diffusers_img2img"):
        recipe("diffuser")
    with pytest.raises(SettingsError, match="for a table use"):
        train_table(np.zeros((8, 2), np.float32), np.zeros(8, np.int64), recipe="diffusers")


def test_settings_that_the_run_sets_are_not_listed() -> None:
    names = {
        row["name"].removeprefix("train.overrides.") for row in override_rows("diffusers", {"prompt": "a {class}"})
    }
    assert {"pipeline", "prompt", "strength", "size"} <= names and not names & {*BY_THE_RUN, "r1", "settings"}


def test_a_pipeline_in_memory_draws_the_images_of_a_plan() -> None:
    data, pipeline = small(), PaintPipeline()
    synthesizer = from_pipeline(pipeline, data, condition=("pose",), prompt=PROMPT, num_inference_steps=2)
    images = draw(synthesizer, np.array([[0, 2], [1, 3]]), seed=3)
    assert np.bincount(images.conditions[:, 0] * 2 + images.conditions[:, 1], minlength=4).tolist() == [0, 2, 1, 3]
    prompts = {"a a, right": 2, "a b, left": 1, "a b, right": 3}
    sent_prompts = [call["prompt"] for call in pipeline.calls]
    assert {prompt: sent_prompts.count(prompt) for prompt in sent_prompts} == prompts
    row = 4
    redrawn = synthesizer.sample(images.conditions[[row]], seed=3, indices=images.indices[[row]])
    assert np.array_equal(redrawn.images[0], images.images[row])
    with pytest.raises(SettingsError, match="digest is not a setting"):
        from_pipeline(pipeline, data, prompt="a {class}", digest="x")


def test_any_callable_of_this_form_is_a_pipeline() -> None:
    def paint(prompt, generator):
        return PaintPipeline().painted((10, 10), prompt, generator)

    images = from_pipeline(paint, small(), prompt="a {class}").sample(["a", "b"])
    assert images.images.shape == (2, 1, 12, 12)


def test_a_translator_gets_the_prompt_of_the_target_and_its_sources_are_recorded(folder: Path) -> None:
    data = cell_data.train(each=24)
    train_settings = settings(
        folder, "diffusers_img2img", strength=0.25, prompt="a {class} bar, {ground}", condition=("ground",)
    )
    synthesizer = augury.train(data, settings=train_settings)
    assert synthesizer.translates and synthesizer.card.settings["strength"] == 0.25
    assert synthesizer.card.settings["class_name"] == "PaintImg2ImgPipeline" and synthesizer.card.settings["size"] == 16
    plan = plan_translations(data, ("ground",), 12)
    images = translate(synthesizer, data, plan, seed=2)
    assert images.sources is not None and len(images) == sum(row.number for row in plan.rows)
    for row in (0, len(images) - 1):
        source = data.images[images.sources[[row]]]
        target = images.conditions[[row]]
        redrawn = synthesizer.translate(source, target, seed=2, indices=images.indices[[row]])
        assert np.array_equal(redrawn[0], images.images[row])
        prompt = synthesizer.generator.pipeline.calls[-1]["prompt"]
        assert prompt == f"a {data.classes[target[0, 0]]} bar, {cell_data.GROUNDS[target[0, 1]]}"
    sampled = SourceSampler(synthesizer, data).sample(data.conditions(("ground",))[:3])
    assert sampled.images.shape == (3, 1, 8, 8)


def test_a_prompt_without_the_class_needs_a_translator_that_keeps_it(folder: Path) -> None:
    with pytest.raises(SettingsError, match="class_moves=false"):
        make_plan(
            small(), settings(folder, "diffusers_img2img", prompt="to the {pose}"), seed=0, device=CPU, flips=False
        )
    train_settings = settings(folder, "diffusers_img2img", prompt="to the {pose}", class_moves=False)
    assert make_plan(small(200), train_settings, seed=0, device=CPU, flips=False).steps == 0
    pipeline = PaintImg2ImgPipeline()
    synthesizer = from_pipeline(
        pipeline, small(), condition=("pose",), translates=True, class_moves=False, prompt="to the {pose}", size=16
    )
    synthesizer.translate(small().images[:1], synthesizer.changes_of({"pose": "left"}))
    assert pipeline.calls[0]["prompt"] == "to the left"
    with pytest.raises(SettingsError, match="give it as size"):
        from_pipeline(pipeline, small(), translates=True, prompt="a {class}")


def test_a_seed_is_no_place_in_a_latent_space() -> None:
    data = small()
    synthesizer = from_pipeline(PaintPipeline(), data, prompt="a {class}")
    one = data.images[:1]
    for call in (
        lambda: synthesizer.sample(["a"], truncation=0.5),
        lambda: synthesizer.interpolate(["a", "b"]),
        lambda: synthesizer.mix(["a"], ["b"]),
        lambda: synthesizer.truncate(["a"]),
        lambda: draw(synthesizer, np.array([1, 1]), sampling="boundary"),
        lambda: invert(synthesizer, one, np.zeros((1, 1), np.int64)),
    ):
        with pytest.raises(SettingsError, match="draws each image from a seed"):
            call()
    assert "<img" not in synthesizer._repr_html_()


def test_the_plan_of_a_run_is_plain_json(folder: Path, tmp_path: Path) -> None:
    augury.train(small(), tmp_path / "t", settings=settings(folder))
    first = read_json(tmp_path / "t" / "plan.json")
    assert first["plan"]["steps"] == 0 and first["plan"]["rule"]["settings"]["values"] == [
        ["a", "b"],
        ["left", "right"],
    ]
    augury.train(small(), tmp_path / "t", settings=settings(folder))  # reads the stored plan
    assert read_json(tmp_path / "t" / "plan.json") == first
