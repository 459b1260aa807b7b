"""Local diffusers pipelines: which folders are accepted, what prompts say, and how an image gets its seed."""

import builtins
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from augury.errors import DataError, MissingExtraError, SettingsError, TrainingError, WeightsError
from augury.networks import KEEP, PIPELINES, PipelineSettings, build_generator
from augury.networks.pipeline_folder import (
    INDEX,
    check_folder,
    folder_digest,
    load_pipeline,
    native_size,
    object_digest,
    pipeline_class,
)
from augury.networks.pipelines import settled
from augury.networks.prompts import check_condition, filled, placeholders
from tests.helpers.pipelines import (
    DiffusionPipeline,
    LabelPipeline,
    PaintImg2ImgPipeline,
    PaintPipeline,
    folder_of,
    stand_in,
)

COLUMNS = {"columns": ["label", "pose"], "values": [["cat", "dog"], ["left", "right"]]}
PROMPTED = {"prompt": None}


def test_a_folder_is_read_and_identified_by_its_content(tmp_path: Path) -> None:
    folder, copy = folder_of(tmp_path / "a"), folder_of(tmp_path / "b")
    assert check_folder(folder)["_class_name"] == "PaintPipeline"
    assert folder_digest(folder) == folder_digest(copy)  # not by its place
    (copy / "README.md").write_text("words")
    (copy / ".cache").mkdir()
    (copy / ".cache" / "x.json").write_text("{}")
    assert folder_digest(folder) == folder_digest(copy)
    (copy / "unet" / "config.json").write_text(json.dumps({"sample_size": 9}))
    assert folder_digest(folder) != folder_digest(copy)
    assert native_size(folder) == 16 and native_size(copy) == 18  # latent side times the reduction of the vae
    (copy / "unet" / "config.json").unlink()
    assert native_size(copy) == 0


@pytest.mark.parametrize("name", ["unet/pytorch_model.bin", "model.ckpt", "vae/x.pt", "x.pkl"])
def test_pickled_weights_are_refused(name: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "p")
    (folder / name).write_bytes(b"\x80\x04.")
    with pytest.raises(WeightsError, match=f"{re.escape(name)}: a pickled file.*safe_serialization=True"):
        check_folder(folder)


def test_other_folders_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no model_index\.json.*Nothing is downloaded"):
        check_folder(tmp_path)
    folder = folder_of(tmp_path / "p")
    (folder / "pipeline.py").write_text("raise SystemExit")
    with pytest.raises(WeightsError, match="code in a pipeline's folder is not executed"):
        check_folder(folder)
    (folder / "pipeline.py").unlink()
    for index, words in (
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"_class_name": ["my_code", "Mine"]}', "names code of its own"),
        ('{"_class_name": "P", "unet": ["os.path", "X"]}', "component unet is from 'os.path'"),
    ):
        (folder / INDEX).write_text(index)
        with pytest.raises(WeightsError, match=words):
            check_folder(folder)
    (folder / INDEX).write_text('{"_class_name": "P"}')
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"has no \.safetensors file"):
        check_folder(folder)


def test_without_diffusers_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "diffusers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'augury\[diffusers\]'"):
        pipeline_class("StableDiffusionPipeline", translates=False)


def test_the_class_of_a_translator_takes_images(monkeypatch: pytest.MonkeyPatch) -> None:
    module = stand_in(monkeypatch)
    assert pipeline_class("PaintPipeline", translates=False) is PaintPipeline
    assert pipeline_class("PaintPipeline", translates=True) is PaintImg2ImgPipeline
    assert pipeline_class("PaintImg2ImgPipeline", translates=True) is PaintImg2ImgPipeline
    with pytest.raises(SettingsError, match="has no class NoPipeline"):
        pipeline_class("NoPipeline", translates=False)
    module.load = print  # type: ignore[attr-defined]
    with pytest.raises(SettingsError, match="no pipeline of diffusers"):
        pipeline_class("load", translates=False)
    needs_more = type("TextPipeline", (), {"__module__": "diffusers.utils.dummy_torch_and_transformers_objects"})
    module.TextPipeline = needs_more  # type: ignore[attr-defined]
    with pytest.raises(MissingExtraError, match="needs transformers"):
        pipeline_class("TextPipeline", translates=False)


def test_a_folder_is_loaded_without_pickles_and_downloads_and_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch)
    folder = folder_of(tmp_path / "p")
    digest = folder_digest(folder)
    pipeline = load_pipeline(folder, "PaintPipeline", digest, "bf16")
    assert pipeline.options == {
        "dtype": torch.bfloat16, "variant": None, "use_safetensors": True, "local_files_only": True,
    }  # fmt: skip
    assert pipeline.folder == folder.resolve() and pipeline.bars == {"disable": True}
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(WeightsError, match="has changed since this run began"):
        load_pipeline(folder, "PaintPipeline", digest, "fp32")
    weights.rename(weights.with_name("diffusion_pytorch_model.fp16.safetensors"))
    assert load_pipeline(folder, "PaintPipeline", folder_digest(folder), "fp32").options["variant"] == "fp16"

    def fail(folder: str, **options: object) -> None:
        raise OSError("no file named unet")

    monkeypatch.setattr(PaintPipeline, "from_pretrained", fail)
    with pytest.raises(WeightsError, match=r"cannot load it \(no file named unet"):
        load_pipeline(folder, "PaintPipeline", folder_digest(folder), "fp32")


def test_placeholders_are_plain_names() -> None:
    assert placeholders("a {class}, {hair colour}, {{braces}}") == ["class", "hair colour"]
    assert filled("{class} {pose} {{x}}", {"label": "cat", "pose": "a.b[0]"}) == "cat a.b[0] {x}"
    assert filled({"cat": "felis, {pose}", "dog": ""}, {"label": "cat", "pose": "left"}) == "felis, left"
    for template in ("{class", "{class!r}", "{class:5}"):
        with pytest.raises(SettingsError, match="prompt"):
            placeholders(template)
    with pytest.raises(DataError, match="--change label=VALUE"):
        filled("{class}", {"pose": "left"})
    with pytest.raises(DataError, match="--change pose=VALUE"):
        filled("{pose}", {"label": "cat"})
    with pytest.raises(DataError, match="--change label=CLASS"):
        filled({"cat": "x", "dog": "y"}, {"pose": "left"})


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("", "needs a prompt"),
        ("a {class}", "does not name {pose}"),
        ("a {pose}", "does not name {class}"),
        ("a {class}, {pose}, {age}", r"no {age}; there are: {class}, {pose}"),
        ("a {class.__class__}, {pose}", "no {class.__class__}"),
        ({"cat": "x {pose}"}, "no entry for the class 'dog'"),
        ({"cat": "x {pose}", "dog": "y {pose}", "cow": "z {pose}"}, "names 'cow'"),
        ({"cat": "x {pose}", "dog": "x {pose}"}, "two classes the same text"),
        ({"cat": "x {pose}", "dog": "y"}, "'y' does not name {pose}"),
    ],
)
def test_prompts_that_cannot_tell_cells_apart_are_refused(prompt: str | dict[str, str], words: str) -> None:
    settings = PipelineSettings(prompt=prompt, **COLUMNS)
    with pytest.raises(SettingsError, match=words):
        check_condition(settings, ["label", "pose"], PROMPTED)


def test_prompts_that_can_are_accepted() -> None:
    for prompt, requirement in (
        ("a {class}, {pose}", ["label", "pose"]),
        ("a {label}, {pose}", ["label", "pose"]),
        ("turned to the {pose}", ["pose"]),
        ({"cat": "x {pose}", "dog": "y {pose}"}, ["label", "pose"]),
        ({"cat": "{class} {pose}", "dog": "{class} {pose}"}, ["label", "pose"]),
    ):
        check_condition(PipelineSettings(prompt=prompt, **COLUMNS), requirement, PROMPTED)


def test_labels_are_checked_like_prompts() -> None:
    one = {"columns": ["label"], "values": [["cat", "dog"]]}
    check_condition(PipelineSettings(class_labels={"cat": 3, "dog": 4}, **one), ["label"], {"class_labels": None})
    for values, requirement, accepted, words in (
        ({"class_labels": {"cat": 3}}, ["label"], {"class_labels": None}, "no entry for the class 'dog'"),
        ({"class_labels": {"cat": 3, "dog": 3}}, ["label"], {"class_labels": None}, "the same label"),
        ({"class_labels": {"cat": 3, "dog": 4}, "prompt": "x"}, ["label"], {"class_labels": None}, "leave prompt"),
        ({"class_labels": {"cat": 3, "dog": 4}}, ["label"], {"prompt": None}, "a prompt and no class_labels"),
        ({}, ["label"], {"generator": None}, "neither a prompt nor class_labels"),
    ):
        with pytest.raises(SettingsError, match=words):
            check_condition(PipelineSettings(**values, **one), requirement, accepted)


def test_defaults_of_the_call_are_recorded_and_settings_without_effect_refused() -> None:
    settled_values = settled(PipelineSettings(class_name="Paint"), PaintPipeline.__call__, translates=False)
    assert (settled_values.num_inference_steps, settled_values.guidance_scale, settled_values.strength) == (
        50,
        7.5,
        None,
    )
    settled_values = settled(PipelineSettings(num_inference_steps=4), PaintImg2ImgPipeline.__call__, translates=True)
    assert (settled_values.num_inference_steps, settled_values.guidance_scale, settled_values.strength) == (
        4,
        None,
        0.8,
    )
    for values, call, translates, words in (
        ({"strength": 0.5}, PaintPipeline, False, "strength=0.5 has no effect"),
        ({"guidance_scale": 2.0}, PaintImg2ImgPipeline, True, "guidance_scale=2.0 has no effect"),
        ({}, PaintPipeline, True, "takes no image"),
        ({}, PaintImg2ImgPipeline, False, "use recipe diffusers_img2img"),
        ({"size": 32}, LabelPipeline, False, "one size"),
        ({"strength": 0.1, "num_inference_steps": 5}, PaintImg2ImgPipeline, True, "less than one step"),
    ):
        with pytest.raises(SettingsError, match=words):
            settled(PipelineSettings(**values), call.__call__, translates=translates)


def built(kind: str, pipeline: object, shape: tuple[int, int, int], **values: object) -> torch.nn.Module:
    settings = PipelineSettings(**{"prompt": "a {class}, {pose}", **COLUMNS, **values})
    return PIPELINES[kind](settings, shape, (2, 2), pipeline)


def test_an_image_is_what_the_pipeline_draws_from_its_seed_reduced_to_the_size_of_the_data() -> None:
    noise, codes = torch.randn(3, 4), torch.tensor([[0, 0], [1, 1], [1, 0]])
    pipeline = PaintPipeline()
    images = built("diffusers", pipeline, (3, 8, 12), size=24)(noise, codes)
    assert images.shape == (3, 3, 8, 12) and images.min() >= -1 and images.max() <= 1
    assert [call["prompt"] for call in pipeline.calls] == ["a cat, left", "a dog, right", "a dog, left"]
    assert {call["size"] for call in pipeline.calls} == {(24, 16)}
    single = built("diffusers", PaintPipeline(), (3, 8, 12), size=24)(noise[1:2], codes[1:2])
    assert torch.equal(single[0], images[1])

    import hashlib

    seed = int.from_bytes(hashlib.sha256(noise[1].numpy().tobytes()).digest()[:8], "little") // 2
    by_hand = PaintPipeline()("a dog, right", 16, 24, generator=torch.Generator().manual_seed(seed)).images[0]
    by_hand = np.asarray(by_hand.resize((12, 8), Image.Resampling.LANCZOS))
    assert np.array_equal(np.rint((images[1].permute(1, 2, 0).numpy() + 1) * 127.5), by_hand)


def test_grey_data_get_grey_images_and_another_aspect_is_cut_from_the_middle() -> None:
    images = built("diffusers", PaintPipeline(), (1, 8, 4))(torch.randn(2, 4), torch.zeros(2, 2, dtype=torch.long))
    assert images.shape == (2, 1, 8, 4)


def test_a_translator_shows_the_pipeline_the_enlarged_source() -> None:
    pipeline = PaintImg2ImgPipeline()
    translate = built("diffusers_img2img", pipeline, (1, 8, 12), size=48, strength=0.5)
    sources, noise = torch.full((2, 1, 8, 12), -1.0), torch.zeros(2, 4)
    sources[1] = 1.0
    images = translate(sources, torch.tensor([[0, 1], [1, 1]]), noise)
    assert [call["prompt"] for call in pipeline.calls] == ["a cat, right", "a dog, right"]
    assert pipeline.calls[0]["size"] == (48, 32) and pipeline.calls[0]["mode"] == "RGB"
    assert pipeline.calls[0]["strength"] == 0.5
    assert images.shape == (2, 1, 8, 12) and images[1].mean() > images[0].mean() + 0.2  # sources of 0 and 255
    attributes_alone = built("diffusers_img2img", pipeline, (1, 8, 12), size=48, prompt="to the {pose}")
    attributes_alone(sources[:1], torch.tensor([[KEEP, 0]]), noise[:1])
    assert pipeline.calls[-1]["prompt"] == "to the left"
    with pytest.raises(DataError, match="--change label=VALUE"):
        translate(sources[:1], torch.tensor([[KEEP, 0]]), noise[:1])


def test_a_pipeline_with_a_size_of_its_own_gets_that_of_the_source() -> None:
    class Sized(PaintImg2ImgPipeline):
        def __call__(self, prompt=None, image=None, height=1024, width=1024, strength=0.6, generator=None):
            assert image.size == (width, height) == (48, 32)
            return super().__call__(prompt, image, strength, generator=generator)

    translate = built("diffusers_img2img", Sized(), (1, 8, 12), size=48)
    assert translate(torch.zeros(1, 1, 8, 12), torch.tensor([[0, 1]]), torch.zeros(1, 4)).shape == (1, 1, 8, 12)


def test_labels_reach_the_pipeline() -> None:
    pipeline = LabelPipeline()
    one = {"columns": ["label"], "values": [["cat", "dog"]], "prompt": "", "class_labels": {"cat": 7, "dog": 2}}
    built("diffusers", pipeline, (3, 8, 8), **one)(torch.randn(2, 4), torch.tensor([[0], [1]]))
    assert [call["class_labels"] for call in pipeline.calls] == [[7], [2]]


def test_images_that_a_pipeline_refuses_fails_or_blanks_are_errors() -> None:
    inputs = torch.randn(1, 4), torch.zeros(1, 2, dtype=torch.long)

    class Failing(DiffusionPipeline):
        def __init__(self, error: Exception) -> None:
            self.error = error

        def __call__(self, prompt=None, generator=None):
            raise self.error

    class Blanking(PaintPipeline):
        def __call__(self, prompt=None, generator=None):
            result = self.painted((8, 8), prompt, generator)
            result.nsfw_content_detected = [True]
            return result

    class Arrays(PaintPipeline):
        def __call__(self, prompt=None, generator=None):
            return (np.zeros((1, 8, 8, 3)),)

    for pipeline, kind, words in (
        (Failing(ValueError("height must be divisible by 8")), SettingsError, "divisible by 8"),
        (Failing(RuntimeError("out of memory")), TrainingError, "smaller size"),
        (Blanking(), TrainingError, "safety checker blanked"),
        (Arrays(), SettingsError, "returns ndarray"),
    ):
        with pytest.raises(kind, match=words):
            built("diffusers", pipeline, (3, 8, 8))(*inputs)


def test_nothing_is_loaded_until_an_image_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *arguments: object) -> object:
        assert name.split(".")[0] != "diffusers"
        return real(name, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", refuse)
    settings = {"prompt": "a {class}", "columns": ["label"], "values": [["cat", "dog"]]}
    generator = build_generator("diffusers", settings, (3, 8, 8), (2,))
    assert [tuple(value.shape) for value in generator.state_dict().values()] == [(0,)]
    with pytest.raises(WeightsError, match="given as an object"):
        generator(torch.randn(1, 4), torch.zeros(1, 1, dtype=torch.long))


def test_a_pipeline_in_memory_is_identified_by_its_weights() -> None:
    one, other = PaintPipeline(), PaintPipeline()
    torch.manual_seed(0)
    one.components, other.components = {"unet": torch.nn.Linear(2, 2)}, {"unet": torch.nn.Linear(2, 2)}
    assert object_digest(one) != object_digest(other)
    other.components["unet"].load_state_dict(one.components["unet"].state_dict())
    assert object_digest(one) == object_digest(other) != object_digest(PaintPipeline())
    other.components["unet"] = other.components["unet"].to(torch.bfloat16)
    assert object_digest(one) != object_digest(other)
