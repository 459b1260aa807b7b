"""Parts of the networks against independent computations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from augury.errors import SettingsError
from augury.networks import NETWORKS, ConditionEmbedding, ProjectionHead, autoencoder, build, r3gan, stylegan
from augury.networks.resample import doubled, halved, raised
from tests.helpers.training_data import trainable

TINY = stylegan.StyleGANSettings(latent=16, width=8, widest=16)


@pytest.mark.parametrize("demodulate", [True, False])
def test_modulated_convolution_is_a_convolution_with_weights_of_each_image(demodulate: bool) -> None:
    layer = stylegan.ModulatedConv(3, 5, 3, 4, demodulate).double()
    x, w = torch.randn(2, 3, 6, 6, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
    for i in range(2):
        weight = layer.weight * layer.scale * layer.style(w[i : i + 1])[0][None, :, None, None]
        if demodulate:
            weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        torch.testing.assert_close(layer(x, w)[i : i + 1], F.conv2d(x[i : i + 1], weight, padding=1))


@pytest.mark.parametrize("demodulate", [True, False])
def test_a_modulated_convolution_that_doubles_is_one_of_each_doubled_image_within_the_border(demodulate: bool) -> None:
    layer = stylegan.ModulatedConv(3, 5, 3, 4, demodulate, up=True).double()
    x, w = torch.randn(2, 3, 6, 6, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
    for i in range(2):
        weight = layer.weight * layer.scale * layer.style(w[i : i + 1])[0][None, :, None, None]
        if demodulate:
            weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        expected = F.conv2d(doubled(x[i : i + 1]), weight, padding=1)
        actual = layer(x, w)[i : i + 1]
        assert actual.shape == expected.shape == (1, 5, 12, 12)
        torch.testing.assert_close(actual[:, :, 3:-3, 3:-3], expected[:, :, 3:-3, 3:-3])


def test_demodulated_output_has_unit_variance() -> None:
    layer = stylegan.ModulatedConv(64, 32, 3, 8)
    y = layer(torch.randn(16, 64, 16, 16), 3 * torch.randn(16, 8))[:, :, 2:-2, 2:-2]
    assert y.var(dim=(0, 2, 3)).mean().item() == pytest.approx(1, abs=0.05)


def test_resampling_is_the_filter_1331() -> None:
    x = torch.rand(1, 1, 8, 8, dtype=torch.float64)
    down = np.zeros((4, 8))
    for i in range(4):
        for tap, weight in zip(range(2 * i - 1, 2 * i + 3), (1, 3, 3, 1), strict=True):
            down[i, min(max(tap, 0), 7)] += weight / 8
    np.testing.assert_allclose(halved(x)[0, 0].numpy(), down @ x[0, 0].numpy() @ down.T)
    np.testing.assert_allclose(
        doubled(x)[0, 0].numpy()[1:-1, 1:-1], (4 * _up() @ x[0, 0].numpy() @ _up().T)[1:-1, 1:-1]
    )


def test_raising_is_the_convolution_of_the_doubled_image_within_the_border() -> None:
    x, weight = torch.randn(2, 3, 6, 5), torch.randn(4, 3, 3, 3)
    expected, actual = F.conv2d(doubled(x), weight, padding=1), raised(x, weight)
    assert actual.shape == expected.shape
    torch.testing.assert_close(actual[:, :, 3:-3, 3:-3], expected[:, :, 3:-3, 3:-3], rtol=1e-4, atol=1e-5)


def _up() -> np.ndarray:
    """Zeros between the samples, then [1, 3, 3, 1] / 8: [16, 8]."""
    matrix = np.zeros((16, 8))
    for i in range(8):
        for position, weight in zip(range(2 * i - 1, 2 * i + 3), (1, 3, 3, 1), strict=True):
            if 0 <= position < 16:
                matrix[position, i] += weight / 8
    return matrix


def test_a_style_image_is_a_function_of_its_own_noise_and_styles_can_be_truncated() -> None:
    generator = stylegan.Generator(TINY, (1, 16, 16), (3,)).eval()
    with torch.no_grad():
        for layer in generator.layers:
            layer.strength.fill_(0.5)
    noise, conditions = torch.randn(4, generator.latent), torch.tensor([[0], [1], [2], [1]])
    batch = generator(noise, conditions)
    torch.testing.assert_close(generator(noise[2:3], conditions[2:3]), batch[2:3], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(generator.truncated(noise, conditions, 1.0), batch)
    nearly_truncated = generator.truncated(noise, conditions, 1e-9)
    other = torch.cat([torch.randn(4, generator.mapped), noise[:, generator.mapped :]], dim=1)
    torch.testing.assert_close(generator.truncated(other, conditions, 1e-9), nearly_truncated, rtol=1e-3, atol=1e-4)
    pixels = noise.clone()
    pixels[:, generator.mapped :] += 1
    assert not torch.allclose(generator(pixels, conditions), batch)


def test_truncation_pulls_toward_the_mean_style_of_the_class_in_any_company() -> None:
    generator = stylegan.Generator(TINY, (1, 16, 16), (3,)).eval()
    conditions = torch.tensor([[2], [0], [2]])
    centres = generator.centres(conditions)
    assert torch.equal(centres[0], centres[2]) and torch.equal(generator.centres(conditions[:1])[0], centres[0])
    styles = generator.mapping(torch.randn(20000, generator.mapped), torch.full((20000, 1), 2))
    assert (styles.mean(0) - centres[0]).norm() < 0.2 * (styles.mean(0) - centres[1]).norm()
    noise = torch.randn(3, generator.latent)
    truncated = generator.truncated(noise, conditions, 0.0)
    torch.testing.assert_close(truncated, generator.synthesise(centres[:, None].expand(-1, 6, -1), noise))


def test_the_minibatch_deviation_sees_a_lack_of_variety() -> None:
    same = torch.ones(8, 2, 4, 4)
    assert stylegan.deviation(same, 4)[:, 2].max() < 1e-3
    varied = torch.randn(8, 2, 4, 4)
    deviations = stylegan.deviation(varied, 4)
    assert deviations.shape == (8, 3, 4, 4)
    by_hand = varied[:4].numpy().std(0).mean()
    assert deviations[0, 2, 0, 0].item() == pytest.approx(by_hand, rel=1e-4)
    without_partner = stylegan.deviation(varied[:7], 4)  # the last three are seen with the one before them
    assert without_partner.shape == (7, 3, 4, 4)
    assert without_partner[:4, 2, 0, 0].tolist() == pytest.approx([by_hand] * 4, rel=1e-4)
    assert without_partner[4:, 2, 0, 0].tolist() == pytest.approx([varied[3:7].numpy().std(0).mean()] * 3, rel=1e-4)
    assert stylegan.deviation(varied[:3], 4)[0, 2, 0, 0].item() == pytest.approx(
        varied[:3].numpy().std(0).mean(), rel=1e-4
    )


@pytest.mark.parametrize("batch", [4, 6, 7])
def test_a_batch_that_is_compared_is_seen_alike_alone_and_beside_another(batch: int) -> None:
    _, judge = build("stylegan", {"width": 8}, (1, 16, 16), (2,))
    assert judge.compares and not build("dcgan", {}, (1, 16, 16), (2,))[1].compares
    real, fake = torch.rand(batch, 1, 16, 16), torch.zeros(batch, 1, 16, 16)
    beside = judge.features(torch.cat([real, fake]), 2)[0]
    torch.testing.assert_close(beside[:batch], judge.features(real)[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(beside[batch:], judge.features(fake)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", trainable(n for n, parts in NETWORKS.items() if parts.method == "adversarial"))
def test_what_a_condition_does_grows_with_its_strength(name: str) -> None:
    torch.manual_seed(0)
    generator, judge = (network.eval() for network in build(name, {}, (1, 16, 16), (5, 2)))
    noise, images = torch.randn(12, generator.latent), torch.rand(12, 1, 16, 16)
    conditions = [torch.tensor([codes]).expand(12, -1) for codes in ([0, 0], [1, 0], [2, 1], [3, 1], [4, 0])]
    differences: dict[str, list[float]] = {"generator": [], "discriminator": []}
    for strength in (0.0, 0.1, 0.4, 1.0):
        for network in (generator, judge):
            for part in network.modules():
                if isinstance(part, ConditionEmbedding):
                    part.strength.fill_(strength)
        with torch.no_grad():
            outputs, scores = (
                torch.stack([network(x, codes) for codes in conditions])
                for network, x in ((generator, noise), (judge, images))
            )
        differences["generator"].append(float(outputs.var(0).mean().sqrt()))
        differences["discriminator"].append(float(scores.var(0).mean().sqrt()))
    for growth in differences.values():
        assert growth[0] < 1e-5 * growth[-1]
        assert all(a < b for a, b in itertools.pairwise(growth)) and growth[1] < 0.5 * growth[-1]


def test_a_normal_embedding_has_mean_square_1_and_begins_at_the_mean_condition() -> None:
    embedding, conditions = ConditionEmbedding((3, 2), 8, normal=True).double(), torch.tensor([[0, 1], [2, 0]])
    first, second = (table.weight.detach().numpy() for table in embedding.tables)
    summed = np.stack([first[0] + second[1], first[2] + second[0]])
    expected = summed / np.sqrt((summed**2).mean(1, keepdims=True) + 1e-8)
    np.testing.assert_allclose(embedding(conditions).detach().numpy(), expected)
    embedding.strength.fill_(0.25)
    mean_style = first.mean(0) + second.mean(0)
    mean_style /= np.sqrt((mean_style**2).mean() + 1e-8)
    np.testing.assert_allclose(embedding(conditions).detach().numpy(), 0.75 * mean_style + 0.25 * expected)


def test_a_projection_head_by_hand() -> None:
    head = ProjectionHead(4, (3, 2))
    features, conditions = torch.randn(2, 5, 4), torch.tensor([[2, 0], [1, 1]])
    weight, bias = head.score.weight.detach().numpy()[0], float(head.score.bias.detach())
    first, second = (table.weight.detach().numpy() for table in head.embedding.tables)
    for i, (a, b) in enumerate(conditions.tolist()):
        for position in range(5):
            x = features[i, position].numpy()
            by_hand = x @ weight + bias + x @ (first[a] + second[b])
            assert head(features, conditions)[i, position].item() == pytest.approx(float(by_hand), rel=1e-4, abs=1e-5)


def test_a_residual_block_begins_as_the_identity() -> None:
    block = r3gan.Block(32, group=16, depth=4)
    x = torch.randn(2, 32, 5, 5)
    torch.testing.assert_close(block(x), x)


def test_groups_that_do_not_divide_the_channels_are_refused() -> None:
    with pytest.raises(SettingsError, match="multiples of 16"):
        build("r3gan", {"width": 28}, (1, 16, 16), (2,))


def test_r3gan_weights_have_the_papers_deviation() -> None:
    block = r3gan.Block(128, group=16, depth=4)
    gain = (2 / 1.04) ** 0.5 * 4**-0.25
    assert block.enter.weight.std().item() == pytest.approx(gain / 128**0.5, rel=0.05)
    assert block.mix.weight.std().item() == pytest.approx(gain / (16 * 9) ** 0.5, rel=0.05)


def test_a_decoder_draws_codes_as_it_has_observed_them() -> None:
    decoder = autoencoder.Generator(autoencoder.AutoencoderSettings(latent=2), (1, 8, 8), (2,)).eval()
    root = torch.tensor([[2.0, 0.0], [1.0, 0.5]])
    labels = torch.arange(4000)[:, None] % 2
    codes = torch.randn(4000, 2) @ root.t() + torch.tensor([[5.0, 0.0], [-5.0, 1.0]])[labels[:, 0]]
    decoder.observe(codes, labels, 1.0)
    torch.testing.assert_close(decoder.covariance, root @ root.t(), atol=0.2, rtol=0.1)
    inputs = []
    decoder.decode.register_forward_pre_hook(lambda module, arguments: inputs.append(arguments[0]))
    decoder(torch.randn(3000, 2), torch.zeros(3000, 1, dtype=torch.long))
    torch.testing.assert_close(inputs[0].mean(0), torch.tensor([5.0, 0.0]), atol=0.2, rtol=0.1)
    torch.testing.assert_close(inputs[0].t().cov(), root @ root.t(), atol=0.3, rtol=0.15)
