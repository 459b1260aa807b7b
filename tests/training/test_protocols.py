"""What trainers require of networks is what every network has, by name and parameters."""

from __future__ import annotations

import inspect

import pytest
from torch import nn

from augury.networks import NETWORKS, build
from augury.training import protocols
from tests.helpers.training_data import trainable

REQUIRED = {
    "adversarial": (protocols.Generator, protocols.AuxiliaryDiscriminator),
    "translation": (protocols.Translator, protocols.AuxiliaryDiscriminator),
    "reconstruction": (protocols.Decoder, object),
    "flow": (protocols.Flow,),
}
OPTIONAL = {
    protocols.Styled: {"stylegan"},
    protocols.ConditionallyNormed: {"dcgan", "projected"},
    protocols.Flow: {"flow"},
}


def members(protocol: type) -> dict[str, object]:
    """Names of a protocol and of those it extends -> methods, or None for attributes."""
    member_values: dict[str, object] = {}
    for base in inspect.getmro(protocol):
        if base.__module__ == protocols.__name__:
            member_values |= dict.fromkeys(inspect.get_annotations(base))
            member_values |= {name: value for name, value in vars(base).items() if inspect.isfunction(value)}
    return {name: value for name, value in member_values.items() if name == "__call__" or not name.startswith("_")}


@pytest.mark.parametrize("name", trainable(NETWORKS))
def test_every_network_has_what_its_trainer_calls(name: str) -> None:
    networks = build(name, {}, (1, 16, 16), (3, 2))
    required_protocols = (
        (protocols.Discriminator,) if NETWORKS[name].discriminator else REQUIRED[NETWORKS[name].method][1:]
    )
    required = [*zip(networks, (REQUIRED[NETWORKS[name].method][0], *required_protocols), strict=True)]
    required += [(networks[0], protocol) for protocol, owners in OPTIONAL.items() if name in owners]
    for network, protocol in required:
        for member, method in members(protocol).items():
            implementation = getattr(network, "forward" if member == "__call__" else member)
            if method is None:
                assert not callable(implementation), member
                continue
            if isinstance(implementation, nn.Module):  # a decoder's `decode` is a network
                implementation = implementation.forward
            expected = list(inspect.signature(method).parameters.values())[1:]
            parameters = list(inspect.signature(implementation).parameters.values())
            for expected_parameter, actual_parameter in zip(expected, parameters, strict=False):
                assert (
                    expected_parameter.kind is expected_parameter.POSITIONAL_ONLY
                    or expected_parameter.name == actual_parameter.name
                ), (name, member)
            assert len(parameters) >= len(expected), (name, member)
            additional = parameters[len(expected) :]
            assert all(parameter.default is not parameter.empty for parameter in additional), (name, member)


@pytest.mark.parametrize("name", trainable(NETWORKS))
def test_optional_abilities_are_recognised(name: str) -> None:
    generator = build(name, {}, (1, 16, 16), (3, 2))[0]
    for protocol, owners in OPTIONAL.items():
        assert isinstance(generator, protocol) == (name in owners)
