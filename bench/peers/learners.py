"""Other trainers behind one form: (images uint8 [N, C, S, S], seed, work folder) -> (play a step, draw, parameters).

Each imports its package inside, since each lives in an environment of its own.
"""

from __future__ import annotations

import importlib.util
import re
import types
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from peers import pytorch_gan

Learner = tuple[Callable[[int], object], Callable[[int], np.ndarray], int]
_kept: list[object] = []


def declare_torchvision() -> None:
    """Name the operators that torchvision decorates on import: its build for CUDA lacks them beside a CPU torch."""
    if "+cpu" not in torch.__version__:
        return
    spec = importlib.util.find_spec("torchvision")
    assert spec is not None and spec.submodule_search_locations
    text = (Path(spec.submodule_search_locations[0]) / "_meta_registrations.py").read_text(encoding="utf-8")
    library = torch.library.Library("torchvision", "DEF")
    for name in re.findall(r'register_fake\("torchvision::(\w+)"\)', text):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept.append(library)


def dcgan(images: np.ndarray, seed: int, folder: Path) -> Learner:
    """PyTorch-GAN's dcgan, its design."""
    return pytorch_gan.dcgan(images, seed)


def wgan_gp(images: np.ndarray, seed: int, folder: Path) -> Learner:
    """PyTorch-GAN's wgan_gp, its design."""
    return pytorch_gan.wgan_gp(images, seed)


def torchgan(images: np.ndarray, seed: int, folder: Path) -> Learner:
    """torchgan's DCGAN by its own Trainer, with the numbers of its tutorial: 64 step channels, batch 64, Adam 2e-4."""
    declare_torchvision()
    from torchgan.losses import MinimaxDiscriminatorLoss, MinimaxGeneratorLoss
    from torchgan.models import DCGANDiscriminator, DCGANGenerator
    from torchgan.trainer import Trainer

    torch.manual_seed(seed)
    channels, size = images.shape[1:3]
    adam = {"name": torch.optim.Adam, "args": {"lr": 2e-4, "betas": (0.5, 0.999)}}
    sizes = {"out_size": size, "out_channels": channels}
    models = {
        "generator": {"name": DCGANGenerator, "args": sizes, "optimizer": adam},
        "discriminator": {
            "name": DCGANDiscriminator,
            "args": {"in_size": size, "in_channels": channels},
            "optimizer": adam,
        },
    }
    trainer = Trainer(
        models,
        [MinimaxGeneratorLoss(), MinimaxDiscriminatorLoss()],
        device=torch.device("cpu"),
        checkpoints=str(folder / "model" / "gan"),
        recon=str(folder / "images"),
    )
    trainer.batch_size = 64

    def play(step: int) -> None:
        trainer.real_inputs = pytorch_gan.batch_of(images, 64)
        trainer.train_iter()

    networks = (trainer.generator, trainer.discriminator)
    return play, pytorch_gan.drawer(trainer.generator), sum(p.numel() for n in networks for p in n.parameters())


def lightweight_gan(images: np.ndarray, seed: int, folder: Path) -> Learner:
    """lightweight-gan by its own Trainer with its numbers, but batches of 10 not accumulated over 4, without attention,
    and without saving and sampling: more steps in a short time. Its demand for a GPU is lifted."""
    declare_torchvision()
    with mock.patch("torch.cuda.is_available", lambda: True):
        from lightweight_gan import lightweight_gan as theirs
    from PIL import Image

    class OnCpu(types.ModuleType):
        def __getattr__(self, name: str) -> object:
            return (lambda *words: torch.device("cpu")) if name == "device" else getattr(torch, name)

    theirs.torch = OnCpu("torch")
    torch.Tensor.cuda = torch.nn.Module.cuda = lambda self, *words, **more: self  # type: ignore[method-assign,assignment]
    torch.manual_seed(seed)
    pictures = folder / "pictures"
    pictures.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image.transpose(1, 2, 0).squeeze()).save(pictures / f"{number:05d}.png")
    trainer = theirs.Trainer(
        base_dir=folder, image_size=images.shape[2], greyscale=images.shape[1] == 1, batch_size=10,
        disc_output_size=1, num_workers=0, use_aim=False,
    )  # fmt: skip
    trainer.evaluate = trainer.save = lambda *words, **more: None
    trainer.set_data_src(str(pictures))
    trainer.init_GAN()

    @torch.no_grad()
    def draw(count: int) -> np.ndarray:
        trainer.GAN.eval()
        parts = [trainer.GAN.G(torch.randn(min(10, count - at), 256)) for at in range(0, count, 10)]
        return torch.cat(parts).clamp(0, 1).mul(255).round().to(torch.uint8).numpy()

    count = sum(p.numel() for n in (trainer.GAN.G, trainer.GAN.D) for p in n.parameters())
    return lambda step: trainer.train(), draw, count


LEARNERS: dict[str, Callable[[np.ndarray, int, Path], Learner]] = {
    f.__name__: f for f in (dcgan, wgan_gp, torchgan, lightweight_gan)
}
