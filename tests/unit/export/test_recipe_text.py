"""A recipe written as TOML reads as the same recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs the training extra")

from onlooker.export.recipe_text import recipe_toml
from onlooker.training.catalogue import find_recipe, list_recipes
from onlooker.training.recipes import load_recipe, parse_recipe, recipe_json
from tests.tiny_models import recipe_table

pytestmark = pytest.mark.train


@pytest.mark.parametrize("name", [name for name, _ in list_recipes()])
def test_the_shipped_recipes_come_back(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(find_recipe(name))
    (tmp_path / "again.toml").write_text(recipe_toml(recipe, ["One line.", "", 'Another: "quoted" = [x]']))
    again = load_recipe(tmp_path / "again.toml")
    assert recipe_json(again) == recipe_json(recipe)
    assert again.model_fields_set == recipe.model_fields_set
    assert (tmp_path / "again.toml").read_text().startswith("# One line.\n#\n# Another")


@given(
    description=st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    rate=st.floats(1e-12, 1),
    targets=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9), min_size=1, max_size=3),
    lora=st.booleans(),
)
def test_every_value_comes_back(
    tmp_path_factory: pytest.TempPathFactory, description: str, rate: float, targets: list[str], lora: bool
) -> None:
    table: dict[str, Any] = recipe_table(Path("clip"), description=description, use_lora=lora)
    table["optimiser"]["image_lr"] = rate
    table["model"]["lora"] = {"image": {"targets": targets}}
    table["data"]["augmentation"] = {}
    recipe = parse_recipe(table, "made")
    path = tmp_path_factory.mktemp("toml") / "again.toml"
    path.write_text(recipe_toml(recipe, []), encoding="utf-8")
    assert load_recipe(path) == recipe
