from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from onlooker.errors import ConfigError
from onlooker.training.catalogue import find_recipe, list_recipes
from onlooker.training.fields import BEGIN, END, keys, table
from onlooker.training.recipes import Recipe, load_recipe, parse_recipe, recipe_json
from tests.tiny_models import recipe_table, write_toml

pytestmark = pytest.mark.train

ROOT = Path(__file__).resolve().parents[3]
RECIPES = sorted((ROOT / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_loads_and_survives_json(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert recipe.description.endswith(".")
    assert parse_recipe(recipe_json(recipe), "json") == recipe


def test_the_three_recipes_say_what_they_promise() -> None:
    seed, compact, clip = (load_recipe(find_recipe(name)) for name in ("seed", "compact", "clip"))
    assert (seed.model.image.kind, seed.model.text.kind) == ("resnet50", "distilbert")
    assert (seed.run.batch_size, seed.run.epochs, seed.schedule.kind, seed.run.choose) == (64, 3, "plateau", "loss")
    assert len({seed.optimiser.image_lr, seed.optimiser.text_lr, seed.optimiser.head_lr}) == 3
    assert seed.model.lora is not None
    assert seed.model.lora.text is not None
    assert seed.model.lora.text.targets == ("q_lin", "v_lin")
    assert (compact.model.image.kind, compact.model.text.kind) == ("efficientnet-lite0", "minilm")
    assert clip.model.lora is not None
    assert clip.model.lora.image is not None
    assert clip.model.lora.image.targets == ("q_proj", "k_proj", "v_proj", "out_proj")


def test_recipes_are_listed_and_found_by_name_or_path(tmp_path: Path) -> None:
    assert {name for name, _ in list_recipes()} == {path.stem for path in RECIPES}
    assert find_recipe("seed").name == "seed.toml"
    own = write_toml(tmp_path / "own.toml", recipe_table(tmp_path))
    assert find_recipe(str(own)) == own
    with pytest.raises(ConfigError, match=r"nothere: .*clip, compact.*seed"):
        find_recipe("nothere")


def test_without_lora_the_adapters_are_left_out() -> None:
    assert load_recipe(find_recipe("seed"), ["use_lora=false"]).effective_model().lora is None
    assert load_recipe(find_recipe("seed")).effective_model().lora is not None


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("run.epochs=1", "run.epochs", 1),
        ("model.image.weights=random", "model.image.weights", "random"),
        ('model.image.weights="random"', "model.image.weights", "random"),
        ("optimiser.clip_norm=2.5", "optimiser.clip_norm", 2.5),
        ("loss.kind = sdm", "loss.kind", "sdm"),
        ("data.augmentation.flip=0", "data.augmentation.flip", 0),
    ],
)
def test_set_changes_one_value(override: str, key: str, value: Any) -> None:
    recipe: Any = load_recipe(find_recipe("clip"), [override])
    for part in key.split("."):
        recipe = getattr(recipe, part)
    assert recipe == value


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("run.epoch=1", "run.epoch"),
        ("run.epochs=many", "run.epochs"),
        ("run.epochs=0", "run.epochs"),
        ("run.epochs=", "run.epochs"),
        ("model.temperature=nan", "model.temperature"),
        ("optimiser.clip_norm=inf", "optimiser.clip_norm"),
        ("model.lora.image.targets=[]", "model.lora.image.targets"),
        ("model.image.kind=vgg", "model.image.kind"),
        ("model.text.kind=minilm", "model"),
        ("model.image.weights=package", "model"),
        ("data.augmentation.flop=1", "data.augmentation.flop"),
        ("name.first=1", "name"),
        ("run.epochs", "run.epochs"),
        ("=1", "=1"),
    ],
)
def test_a_bad_set_names_the_key(override: str, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe(find_recipe("clip"), [override])
    message = str(caught.value)
    assert named in message
    assert "clip.toml" in message or "--set" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"name = ", "not a TOML file"),
        (b"name = 'x'\nname = 'y'", "not a TOML file"),
        (b"\xff\xfe", "not a TOML file"),
        (b"", "name"),
        (b"name = 'x'\n[model.image]\nkind = 'clip'", "model"),
        (b"name = '../x'", "name"),
    ],
)
def test_a_broken_file_is_one_sentence_with_its_name(tmp_path: Path, content: bytes, named: str) -> None:
    (tmp_path / "my.toml").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_recipe(tmp_path / "my.toml")
    assert str(tmp_path / "my.toml") in str(caught.value)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigError, match="cannot read the recipe"):
            load_recipe(path)


def models(model: type[BaseModel] = Recipe) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        for option in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(option, type) and issubclass(option, BaseModel):
                yield from models(option)


def test_every_field_is_described_and_every_table_strict() -> None:
    found = set(models())
    assert len(found) >= 12
    for model in found:
        assert model.model_config.get("extra") == "forbid", model
        for name, field in model.model_fields.items():
            assert (field.description or "").endswith("."), f"{model.__name__}.{name}"


def test_the_table_has_every_key_once() -> None:
    names = [key.name for key in keys()]
    assert len(names) == len(set(names))
    assert {"name", "model.image.height", "model.lora.text.rank", "data.augmentation.flip", "run.max_steps"} <= {*names}
    row = next(key for key in keys() if key.name == "run.epochs")
    assert (row.values, row.default) == ("whole number, >= 1, <= 10000", "`3`")


def test_the_documentation_has_the_table_as_it_is_now() -> None:
    """Write it anew with: python -m onlooker.training.fields docs/training.md."""
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    assert text[text.index(BEGIN) : text.index(END) + len(END)] == table()
