"""Search spaces: what a file may say, what it sets in a recipe, and what is refused before anything is trained."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytest.importorskip("torch", reason="needs the training extra")

from onlooker.errors import ConfigError
from onlooker.export.tuning_space import DEFAULT_SPACE, Space, load_space, parse_space
from onlooker.training.recipes import Recipe, parse_recipe, recipe_json
from tests.tiny_models import recipe_table

pytestmark = pytest.mark.train


def tiny(**changes: Any) -> Recipe:
    return parse_recipe(recipe_table(Path("clip"), **changes), "tiny.toml")


def space(text: str) -> Space:
    return parse_space(tomllib.loads(text), "space.toml")


WHOLE = """
precision = ["half", "int8"]
model.image.size = ["64x32", "32x32"]
"optimiser.image_lr" = { low = 1e-4, high = 1e-2, log = true }
run.batch_size = { low = 2, high = 8, step = 2 }
towers = [
  { "model.projection.dimension" = 16, data.texts = "captions" },
  { "model.projection.dimension" = 32, data.texts = "all" },
]
"""


def test_every_kind_of_parameter_sets_its_keys() -> None:
    found = space(WHOLE)
    params = {
        "precision": "int8",
        "model.image.size": "64x32",
        "optimiser.image_lr": 5e-4,
        "run.batch_size": 6,
        "towers": "model.projection.dimension=32, data.texts=all",
    }
    recipe = found.recipe(tiny(), params, {"run.epochs": 7})
    assert (recipe.model.image.height, recipe.model.image.width) == (64, 32)
    assert (recipe.model.projection.dimension, recipe.data.texts) == (32, "all")
    assert (recipe.optimiser.image_lr, recipe.run.batch_size, recipe.run.epochs) == (5e-4, 6, 7)
    assert found.precision(params, "float32") == "int8"
    assert space("run.batch_size = [2]").precision({}, "float32") == "float32"
    # What the space does not name stays.
    assert recipe.optimiser.text_lr == tiny().optimiser.text_lr


def test_the_recipe_itself_is_in_the_space_where_its_values_are() -> None:
    assert space(WHOLE).start(tiny()) == {
        "model.image.size": "32x32",
        "optimiser.image_lr": 3e-3,
        "run.batch_size": 4,
        "towers": "model.projection.dimension=16, data.texts=captions",
    }
    outside = space(
        'model.image.size = ["64x64"]\nrun.batch_size = {low = 3, high = 9, step = 3}\noptimiser.head_lr = [1.0]'
    )
    assert outside.start(tiny()) == {}


def test_distributions_are_optunas() -> None:
    optuna = pytest.importorskip("optuna")
    found = space(WHOLE).distributions()
    assert found["precision"].choices == ("half", "int8")
    assert found["optimiser.image_lr"] == optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True)
    assert found["run.batch_size"] == optuna.distributions.IntDistribution(2, 8, step=2)


def test_the_default_space_is_read_and_names_its_file() -> None:
    found = load_space()
    assert found.source == str(DEFAULT_SPACE)
    names = [parameter.name for parameter in found.parameters]
    assert {"precision", "model.image.size", "optimiser.image_lr", "loss.parts", "loss.twins"} <= set(names)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no parameter to vary"),
        ("run.batch_size = 4", "run.batch_size = 4: give a list of choices or a range"),
        ("run.batch_size = []", "the list of choices is empty"),
        ("run.batch_size = [4, 4]", "4 is listed twice"),
        ('precision = ["int4"]', "'int4' is not one of float32, half, int8"),
        ('model.image.size = ["192"]', "'192' is no size; write height x width"),
        ('model.image.size = ["64x32"]\nmodel.image.height = [32]', "model.image.height is set by 'model.image.size'"),
        ("run.epochs = [1, 2]", "run.epochs cannot be varied: it is set by --epochs"),
        ("seed = [1, 2]", "seed cannot be varied"),
        ("run.batch_size = {low = 4}", "high is None and no number"),
        ('run.batch_size = {low = 4, high = "9"}', "high is '9' and no number"),
        ("run.batch_size = {low = true, high = 9}", "low is True and no number"),
        ("run.batch_size = {low = 9, high = 4}", "low must be below high, got 9 and 4"),
        ("loss.label_smoothing = {low = 0.0, high = nan}", "low must be below high"),
        ("loss.label_smoothing = {low = 0.0, high = 0.5, log = true}", "a logarithmic range has a low above 0"),
        ("run.batch_size = {low = 2, high = 9, log = true, step = 1}", "a logarithmic range"),
        ("run.batch_size = {low = 2, high = 9, step = 2}", "the step 2 does not lead from 2 to 9"),
        ("run.batch_size = {low = 2, high = 9, step = 0}", "the step 0 does not lead"),
        ("run.batch_size = {low = 2, high = 9, log = 1}", "log is 1; give true or false"),
        ("run.batch_size = {low = 2, high = 9, most = 1}", "'most' is no key of a range"),
        ("w = [{data.texts = 'all'}, {run.batch_size = 2}]", "each choice must set the same keys"),
    ],
)
def test_what_is_no_space_is_one_sentence(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=r"^space\.toml: ") as caught:
        space(text)
    assert said in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the search space"):
        load_space(tmp_path / "nothere.toml")
    (tmp_path / "broken.toml").write_text("a = [")
    with pytest.raises(ConfigError, match=r"broken\.toml: not a TOML file"):
        load_space(tmp_path / "broken.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "optimiser.image_rl = [1e-3]",
            "optimiser.image_rl = 0.001: optimiser.image_rl: Extra inputs are not permitted",
        ),
        (
            "optimiser.image_lr = {low = 0.0, high = 0.5}",
            "optimiser.image_lr = 0.0: optimiser.image_lr: Input should be",
        ),
        ("run.batch_size = {low = 2.0, high = 8.0}", "run.batch_size"),
        ('model.image.kind = ["clip", "vit"]', "model.image.kind = vit: model.image.kind: Input should be"),
        ("name.first = [1]", "name is no table in the recipe"),
    ],
)
def test_what_the_recipe_does_not_take_shows_before_a_trial(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        space(text).alternatives(tiny())
    assert said in str(caught.value)


def test_each_value_is_tried_alone_and_shapes_are_marked() -> None:
    found = space('model.image.size = ["32x32", "64x32"]\noptimiser.image_lr = {low = 1e-4, high = 1e-2}').alternatives(
        tiny()
    )
    assert [each.shapes for each in found] == [True, True, False, False, False]
    sizes = [(each.recipe.model.image.height, each.recipe.optimiser.image_lr) for each in found]
    assert sizes[:2] == [(32, 3e-3), (64, 3e-3)]
    assert [height for height, _ in sizes[2:]] == [32, 32, 32]
    assert sizes[2][1] == 1e-4
    assert sizes[4][1] == 1e-2


def test_a_frozen_text_side_leaves_its_keys_out() -> None:
    text = """
optimiser.image_lr = [1e-3]
optimiser.text_lr = [1e-3]
model.projection.dimension = [16]
model.projection.dropout = [0.0]
model.text.max_tokens = [8]
model.image.size = ["32x32"]
both = [{ model.image.queries = 2, model.text.queries = 2 }]
"""
    kept, left_out = space(text).without_text_side()
    assert [each.name for each in kept.parameters] == [
        "optimiser.image_lr",
        "model.projection.dropout",
        "model.image.size",
    ]
    assert left_out == ["optimiser.text_lr", "model.projection.dimension", "model.text.max_tokens", "both"]


@given(
    low=st.integers(-50, 50),
    length=st.integers(1, 20),
    step=st.integers(1, 7),
    place=st.integers(0, 19),
    off=st.booleans(),
)
def test_a_range_knows_its_own_values(low: int, length: int, step: int, place: int, off: bool) -> None:
    found = parse_space({"x": {"low": low, "high": low + length * step, "step": step}}, "s").parameters[0]
    for value in found.samples():
        assert found.of({"x": value}) == value
        assert found.distribution()._contains(value)  # Optuna has no public form of the question
    value = low + min(place, length) * step + (0.5 if off else 0)
    assert (found.of({"x": value}) is None) == off


def test_a_recipe_keeps_what_it_was_when_nothing_changes() -> None:
    base = tiny()
    assert recipe_json(space("run.batch_size = [4]").recipe(base, {"run.batch_size": 4})) == recipe_json(base)
