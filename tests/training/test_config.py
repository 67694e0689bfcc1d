"""The configuration: a searched parameter acts on its own layer, a mistake names its key."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from hpsearch.configfile import parse_yaml
from hpsearch.errors import InputError
from hpsearch.network.initialisation import initialise
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.space.space import SearchSpace
from hpsearch.training.config import TrialConfig
from hpsearch.training.optimiser import LayerwiseOptimiser
from tests.support.trainings import as_bytes, tiny_config

SPACE = SearchSpace.from_yaml("koch2015").parameters
SIZES = [name for name in SPACE if name.endswith(("filter_size", "filter_count", "width"))]
RATES = [name for name in SPACE if name not in SIZES]


def narrow_paper() -> TrialConfig:
    """Return the paper's best network with few units, whose layers all fit 105 x 105."""
    sizes, pools = (10, 7, 4, 4), (True, True, True, False)
    layers: dict[str, Any] = {
        f"conv{k}": {"filter_size": size, "filter_count": 16, "pool": pool}
        for k, (size, pool) in enumerate(zip(sizes, pools, strict=True), start=1)
    }
    return TrialConfig.from_values({"layers": {**layers, "fc": {"width": 128}}, "max_epochs": 9})


def two_configs(name: str) -> list[TrialConfig]:
    """Return two values' configurations: the ends of the range, or sizes that fit."""
    values = (3, 6) if name.endswith("filter_size") else SPACE[name].extremes
    base = narrow_paper()
    configs = [base.with_parameters({name: value}) for value in values]
    assert [config.value(name) for config in configs] == list(values)
    return configs


def shapes(config: TrialConfig) -> dict[str, tuple[int, ...]]:
    network = SiameseNetwork(config.shape(), device="meta")
    return {name: tuple(p.shape) for name, p in network.named_parameters()}


def trained(config: TrialConfig) -> dict[str, bytes]:
    """Take two steps of constant gradients in the last epoch, where momenta are final."""
    network = SiameseNetwork(config.shape())
    initialise(network, "koch", torch.Generator().manual_seed(0))
    optimiser = LayerwiseOptimiser(network, config)
    optimiser.set_position(config.max_epochs)
    for _ in range(2):
        for parameter in network.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimiser.step()
    return as_bytes({name: p.detach() for name, p in network.named_parameters()})


def test_the_space_is_the_papers_27_parameters() -> None:
    assert (len(SIZES), len(RATES)) == (9, 18)


@pytest.mark.parametrize("name", SIZES)
def test_a_searched_size_changes_its_layer(name: str) -> None:
    one, other = two_configs(name)
    assert one != other
    layer, key = name.split(".")
    before, after = shapes(one)[f"{layer}.weight"], shapes(other)[f"{layer}.weight"]
    axis = {"filter_size": 2, "filter_count": 0, "width": 0}[key]
    assert (before[axis], after[axis]) == (one.value(name), other.value(name))
    for above in [n for n in shapes(one) if n < f"{layer}." and n.startswith("conv")]:
        assert shapes(one)[above] == shapes(other)[above]


@pytest.mark.parametrize("name", RATES)
def test_a_searched_rate_changes_how_its_layer_trains_and_no_other(name: str) -> None:
    one, other = two_configs(name)
    assert one != other
    before, after = trained(one), trained(other)
    changed = {n.split(".")[0] for n in before if before[n] != after[n]}
    assert changed == {name.split(".")[0]}


def test_settings_beside_the_layers_have_paths_too() -> None:
    config = tiny_config().with_parameters(
        {"distortion.shear": 0.1, "pairs": "batch", "fc.width": 9, "output.bias": True}
    )
    assert config.distortion.shear == 0.1
    assert config.pairs == "batch"
    assert config.layers.fc.width == 9
    assert config.layers.output.bias
    assert config.distortion.angle_deg == tiny_config().distortion.angle_deg


def layers_with(**settings: Any) -> dict[str, Any]:
    layers = tiny_config().plain()["layers"]
    for path, value in settings.items():
        layer, key = path.split("__")
        layers[layer] = {**layers[layer], key: value}
    return {"input_size": 20, "layers": layers}


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({**layers_with(), "batch_pear": 3}, "batch_pear: unknown key"),
    "misspelt key": ({**layers_with(), "patence": 3}, "did you mean 'patience'"),
    "unknown key of a layer": (layers_with(fc__depth=3), "layers.fc.depth: unknown key"),
    "unknown key of a convolution": (layers_with(conv1__pol=1), "layers.conv1.pol: unknown key"),
    "NaN rate": (layers_with(conv2__learning_rate=math.nan), "layers.conv2.learning_rate: "),
    "infinite L2": (layers_with(fc__l2=math.inf), "layers.fc.l2: "),
    "zero rate": (layers_with(output__learning_rate=0), "layers.output.learning_rate: "),
    "momentum above 1": (layers_with(fc__momentum=1.01), "layers.fc.momentum: "),
    "negative size": (layers_with(conv1__filter_size=-3), "layers.conv1.filter_size: "),
    "fractional width": (layers_with(fc__width=1.5), "layers.fc.width: "),
    "no fc": ({"input_size": 20, "layers": {}}, "layers.fc: "),
    "aligned without a projection": (
        {**layers_with(), "comparison": "aligned"},
        "layers.projection: missing",
    ),
    "tau of a weighted L1 distance": (
        layers_with(output__tau=3),
        "layers.output.tau: belongs to comparison: aligned",
    ),
    "reach of a weighted L1 distance": (
        layers_with(output__reach=1),
        "layers.output.reach: belongs to comparison: aligned",
    ),
    "a block without padding": (layers_with(conv1__residual=True), "layers.conv1.residual: "),
    "unknown padding": (layers_with(conv1__padding="valid"), "layers.conv1.padding: "),
    "no layers": ({"input_size": 20}, "layers: "),
    "input too large": ({**layers_with(), "input_size": 225}, "input_size: "),
    "unknown pairs": ({**layers_with(), "pairs": "triplets"}, "pairs: "),
    "text for a section": ({**layers_with(), "distortion": "strong"}, "distortion: "),
    "a layer of another name": (
        {"layers": {**layers_with()["layers"], "pool1": {"filter_size": 2, "filter_count": 1}}},
        "layer 'pool1'",
    ),
    "a gap in the convolutions": (
        {"layers": {"conv2": {"filter_size": 2, "filter_count": 1}, "fc": {"width": 3}}},
        "layer 'conv2'",
    ),
    "filters that do not fit": (
        layers_with(conv1__filter_size=16),
        "layers do not fit an input of 20 px: 20 > 5 > 2 > 0 > 0; use smaller filters",
    ),
    "a first filter that does not fit": (
        layers_with(conv1__filter_size=20),
        "layers do not fit an input of 20 px: 20 > 1 > 0; use smaller filters",
    ),
}


@pytest.mark.parametrize(("values", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_named_with_its_file_and_key(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        TrialConfig.from_values(values, "study.yaml: trial")
    text = str(error.value)
    assert text.startswith("study.yaml: trial: ")
    assert message in text
    assert "\n" not in text


@pytest.mark.parametrize(
    "path", ["conv3.filter_size", "conv1.filter", "fc", "", "distortion.tilt", "fc.width.x"]
)
def test_a_wrong_path_is_named(path: str) -> None:
    with pytest.raises(InputError, match="configuration") as error:
        tiny_config().with_parameters({path: 3})
    assert path in str(error.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [("conv1.filter_size", 0), ("fc.l2", -1e-9), ("fc.momentum", math.nan), ("conv2.pool", 7)],
)
def test_a_wrong_value_at_a_path_is_named(path: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"^configuration: layers\.{path}: "):
        tiny_config().with_parameters({path: value})


def test_a_size_at_a_path_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="layers do not fit an input of 20 px"):
        tiny_config().with_parameters({"conv2.filter_size": 9})
    assert tiny_config().with_parameters({"conv2.filter_size": 8}).shape().final_size == 1


def test_with_parameters_leaves_the_original() -> None:
    config = tiny_config()
    config.with_parameters({"conv1.filter_count": 9, "distortion.scale": 0})
    assert config == tiny_config()


def test_yaml_reads_back_as_the_same_configuration_with_layers_in_order() -> None:
    config = tiny_config(
        {"learning_rate": 1 / 3, "l2": 1e-7}, distortion={"shear": 0.1}, pairs="batch"
    )
    values = parse_yaml(config.to_yaml().encode(), "config.yaml")
    assert TrialConfig.from_values(values) == config
    assert list(values["layers"]) == ["conv1", "conv2", "fc", "output"]


@pytest.mark.parametrize(
    ("settings", "images", "steps"),
    [
        ({"batch_pairs": 8, "images_per_epoch": 64}, 16, 4),
        ({"batch_pairs": 8, "images_per_epoch": 65}, 16, 5),
        ({"pairs": "batch", "batch_characters": 5, "batch_drawings": 3}, 15, 5),
    ],
)
def test_steps_of_an_epoch(settings: dict[str, Any], images: int, steps: int) -> None:
    config = tiny_config(**settings)
    assert (config.images_per_step, config.steps_per_epoch) == (images, steps)
    assert config.memory_bytes() == config.shape().memory_bytes(images)


def test_the_papers_settings_are_the_defaults() -> None:
    config = narrow_paper()
    assert (config.input_size, config.batch_pairs, config.drawers) == (105, 128, 12)
    assert (config.images_per_epoch, config.patience) == (300_000, 20)
    assert TrialConfig.model_fields["max_epochs"].default == 200
    assert (config.learning_rate_decay, config.momentum_start) == (0.99, 0.5)
    assert (config.init, config.pairs, config.l2_gradient) == ("koch", "independent", "inside")
    assert (config.decay_biases, config.layers.output.bias) == (False, False)
    distortion = config.distortion
    assert (distortion.probability, distortion.angle_deg, distortion.shear) == (0.5, 10, 0.3)
    assert (distortion.scale, distortion.shift_px) == (0.2, 2)
