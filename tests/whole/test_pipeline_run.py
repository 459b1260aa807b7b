"""Whole runs with a local diffusers pipeline: a stand-in always, a tiny random one of diffusers where it is installed."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import augury
from augury.errors import SettingsError, WeightsError
from augury.files import read_json
from augury.images import LabelledImages
from augury.pipeline import session
from augury.pipeline.file_generation import generate_files
from augury.sentences import PRETRAINED
from augury.settings import RunSettings, TrainSettings
from augury.training import Synthesizer
from tests.helpers.pipelines import PaintPipeline, folder_of, stand_in

pytestmark = pytest.mark.slow

SHORT = {
    "score": {"features": "pixels", "limit": 16},
    "prove": {"seeds": 2, "steps": 2, "classifier": "cnn", "ratios": (0.5,), "arms": ("classical", "gan")},
}


@pytest.fixture(autouse=True)
def briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "CLASSIFIER_STEPS", 3)


def photos(number: int = 120) -> LabelledImages:
    """Noise of two classes, two to one, the second brighter."""
    labels = (np.arange(number) % 3 // 2).astype(np.int64)
    images = np.random.default_rng(0).normal(90 + 60 * labels[:, None, None, None], 30, (number, 3, 16, 16))
    return LabelledImages(images.clip(0, 255).astype(np.uint8), labels, ("cat", "dog"), fingerprint="photos")


def settings(folder: Path, **overrides: object) -> dict[str, object]:
    values = {"pipeline": str(folder), "prompt": "a photo of a {class}", "num_inference_steps": 2, **overrides}
    train = {"recipe": "diffusers", "overrides": values}
    return {**SHORT, "train": train, "generate": {"filters": ("near_copy",)}}


def test_a_run_draws_filters_tries_exports_and_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    folder = folder_of(tmp_path / "pipe")
    notes: list[str] = []
    callbacks = augury.Callbacks(note=notes.append)
    run = augury.run(photos(), tmp_path / "r", settings=settings(folder), callbacks=callbacks)
    assert any(note.startswith("Nothing is trained: PaintPipeline of") and PRETRAINED in note for note in notes)
    assert run.synthesizer.card.recipe == "diffusers" and len(run.synthetic) and run.dataset.exists()
    image = run.synthetic.take(np.array([0]))
    redrawn = run.synthesizer.sample(image.conditions, seed=run.synthetic.seed, indices=image.indices)
    assert np.array_equal(redrawn.images, image.images)

    assert run.verdict.leaks is not None and run.verdict.leaks["pretrained"] is True
    assert any(name.startswith("generator (images of the model") for name in run.verdict.leaks["test_not_seen_by"])
    assert run.verdict.sentence.endswith(PRETRAINED)
    page = re.sub(r"\s+", " ", run.report.read_text(encoding="utf-8"))
    assert page.count(PRETRAINED) >= 2 and "Nothing was trained. A local diffusers pipeline" in page
    assert "The training log is empty" not in page and "chosen on the validation split" not in page
    assert "--steps" not in re.search(r"augury run .*?--precision", page)[0]  # type: ignore[index]

    repeated = augury.run(photos(), tmp_path / "again", settings=run.settings, until="generate")
    assert np.array_equal(repeated.synthetic.images, run.synthetic.images)
    folder.rename(tmp_path / "away")  # finished stages do not need it
    proved = augury.run(photos(), tmp_path / "r", settings={**run.settings, "prove": {**SHORT["prove"], "steps": 3}})
    assert proved.settings["prove"]["steps"] == 3 and proved.verdict.sentence.endswith(PRETRAINED)
    (tmp_path / "away").rename(folder)
    (folder / "unet" / "config.json").write_text("{}")  # another pipeline at the same place
    changed = augury.run(photos(), tmp_path / "r", until="train")
    assert changed.synthesizer.card.settings["digest"] != image.synthesizer
    assert changed.synthesizer.fingerprint != image.synthesizer


def test_an_interrupted_run_draws_only_the_images_that_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch)
    train_settings = settings(folder_of(tmp_path / "pipe"))
    uninterrupted = augury.run(photos(), tmp_path / "whole", settings=train_settings, until="generate")
    paint, calls = PaintPipeline.__call__, []

    def interrupted(self: PaintPipeline, prompt=None, height=16, width=16, num_inference_steps=50, guidance_scale=7.5,
                    negative_prompt=None, generator=None):  # fmt: skip
        calls.append(prompt)
        if len(calls) == 12:
            raise KeyboardInterrupt
        return paint(self, prompt, height, width, generator=generator)

    monkeypatch.setattr(PaintPipeline, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        augury.run(photos(), tmp_path / "r", settings=train_settings, until="generate")
    drawn_before = len(list((tmp_path / "r" / "drawn").glob("*.png")))
    assert drawn_before == 10  # one of the twelve was the check of the pipeline, and one was cut off
    resumed = augury.run(photos(), tmp_path / "r", until="generate")
    assert np.array_equal(resumed.synthetic.images, uninterrupted.synthetic.images)
    assert len(calls) == 12 + len(uninterrupted.synthetic) - drawn_before


def test_settings_are_refused_before_anything_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    folder = folder_of(tmp_path / "pipe")
    for values, words in (
        ({**settings(folder), "generate": {"truncation": 0.5}}, "generate.truncation=0.5 moves in a latent space"),
        ({**settings(folder), "generate": {"sampling": "boundary"}}, "generate.sampling=boundary"),
        (settings(folder, prompt={"cat": "x"}), "no entry for the class 'dog'"),
        (settings(folder, prompt="{breed}"), "there is no {breed}"),
    ):
        with pytest.raises(SettingsError, match=words):
            augury.run(photos(), tmp_path / "r", settings=values)
    with pytest.raises(WeightsError, match="not a diffusers pipeline"):
        augury.run(photos(), tmp_path / "r", settings=settings(tmp_path))
    assert not (tmp_path / "r" / "split.npy").exists()


def test_a_time_for_the_whole_run_goes_to_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    folder = folder_of(tmp_path / "pipe")
    run = augury.run(photos(), tmp_path / "r", settings=settings(folder), until="train", time="10m")
    assert read_json(tmp_path / "r" / "run.json")["time"]["train_steps"] == 0
    RunSettings(**run.settings)  # can be read again


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class-conditional diffusion transformer with random weights; it needs no text encoder."""
    diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed (pip install 'augury[diffusers]')")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = diffusers.DiTTransformer2DModel(
            sample_size=8, num_layers=1, patch_size=4, attention_head_dim=4, num_attention_heads=2, in_channels=4,
            out_channels=8, num_embeds_ada_norm=1000, norm_type="ada_norm_zero", norm_elementwise_affine=False,
        )  # fmt: skip
        vae = diffusers.AutoencoderKL(block_out_channels=(8,), norm_num_groups=4)
    scheduler = diffusers.DDIMScheduler(clip_sample=False, steps_offset=1)
    folder = tmp_path_factory.mktemp("tiny") / "dit"
    diffusers.DiTPipeline(network, vae, scheduler).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tiny_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stable Diffusion with random weights, and a tokenizer of single letters."""
    diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed (pip install 'augury[diffusers]')")
    transformers = pytest.importorskip(
        "transformers", reason="transformers is not installed (pip install 'augury[diffusers]')"
    )
    files = tmp_path_factory.mktemp("tiny_text")
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (files / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (files / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(str(files / "vocab.json"), str(files / "merges.txt"), model_max_length=24)
    text = transformers.CLIPTextConfig(
        vocab_size=len(tokens), hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=24, bos_token_id=len(tokens) - 2, eos_token_id=len(tokens) - 1,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = diffusers.UNet2DConditionModel(
            sample_size=8, block_out_channels=(8, 8), layers_per_block=1, cross_attention_dim=8, attention_head_dim=2,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            norm_num_groups=4,
        )  # fmt: skip
        vae = diffusers.AutoencoderKL(
            block_out_channels=(8, 8), norm_num_groups=4, down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
        )  # fmt: skip
        encoder = transformers.CLIPTextModel(text)
    scheduler = diffusers.DDIMScheduler(clip_sample=False, steps_offset=1)
    diffusers.StableDiffusionPipeline(
        vae, encoder, tokenizer, network, scheduler, None, None, requires_safety_checker=False
    ).save_pretrained(files / "sd")
    return files / "sd"


@pytest.mark.filterwarnings("ignore")  # of diffusers about itself
def test_stable_diffusion_draws_and_translates_by_its_prompt(tiny_text: Path) -> None:
    values = {"pipeline": str(tiny_text), "prompt": "a {class}", "num_inference_steps": 2}
    data = photos()
    synthesizer = augury.train(data, settings=TrainSettings(recipe="diffusers", precision="fp32", overrides=values))
    assert synthesizer.card.settings["class_name"] == "StableDiffusionPipeline"
    batch = synthesizer.sample(["cat", "dog"], seed=1).images
    assert np.array_equal(synthesizer.sample(["dog"], seed=1, indices=[1]).images[0], batch[1])
    assert not np.array_equal(synthesizer.sample(["cat"], seed=1, indices=[1]).images[0], batch[1])  # the prompt counts

    values |= {"strength": 0.5, "num_inference_steps": 4}
    train_settings = TrainSettings(recipe="diffusers_img2img", precision="fp32", overrides=values)
    changed = augury.train(data, settings=train_settings)
    assert changed.card.settings["class_name"] == "StableDiffusionImg2ImgPipeline"
    assert changed.card.settings["size"] == 16  # 8 latents, doubled by the decoder
    targets = 1 - data.conditions()[:3]
    translated = changed.translate(data.images[:3], targets, seed=1)
    single = changed.translate(data.images[2:3], targets[2:3], seed=1, indices=[2])
    assert np.array_equal(single[0], translated[2])
    other = changed.translate(data.images[2:3], 1 - targets[2:3], seed=1, indices=[2])
    assert not np.array_equal(other[0], translated[2])


@pytest.mark.filterwarnings("ignore")  # of diffusers about itself
def test_a_tiny_pipeline_of_diffusers_draws_the_same_bytes_alone_among_others_and_by_hand(
    tiny: Path, tmp_path: Path
) -> None:
    from augury.networks.pipelines import torch_seed_of
    from augury.randomness import image_noise

    overrides = {"pipeline": str(tiny), "class_labels": {"cat": 3, "dog": 5}, "num_inference_steps": 2}
    train_settings = TrainSettings(recipe="diffusers", precision="fp32", overrides=overrides)
    augury.train(photos(), settings=train_settings).save(tmp_path / "s")
    synthesizer = Synthesizer.load(tmp_path / "s")
    batch = synthesizer.sample(["cat", "dog", "dog"], seed=9).images
    assert np.array_equal(synthesizer.sample(["dog"], seed=9, indices=[2]).images[0], batch[2])
    assert not np.array_equal(batch[1], batch[2])

    import diffusers
    from PIL import Image

    pipeline = diffusers.DiTPipeline.from_pretrained(tiny)
    pipeline.set_progress_bar_config(disable=True)
    seed = torch_seed_of(torch.from_numpy(image_noise(9, np.array([2]), 4))[0])
    image = pipeline(class_labels=[5], num_inference_steps=2, generator=torch.Generator().manual_seed(seed)).images[0]
    by_hand = np.asarray(image.resize((16, 16), Image.Resampling.LANCZOS)).transpose(2, 0, 1)
    assert np.array_equal(by_hand, batch[2])

    rows = generate_files(synthesizer, tmp_path / "files", labels=["dog"], number=1, start=2, seed=9)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "files" / rows[0]["file"])).transpose(2, 0, 1), batch[2])
