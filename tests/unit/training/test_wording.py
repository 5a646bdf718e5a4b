from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the training extra")

from onlooker.encoders.config import Region  # noqa: E402
from onlooker.encoders.dual import build  # noqa: E402
from onlooker.encoders.text_towers import tokenizer_file  # noqa: E402
from onlooker.training.recipes import load_recipe  # noqa: E402
from onlooker.training.wording import WORN, _description, _targets, aim_at_words  # noqa: E402

pytestmark = pytest.mark.train

BASE = load_recipe(Path(__file__).resolve().parents[3] / "recipes" / "base.toml").model


def test_phrases_are_where_they_are_said_to_be() -> None:
    for seed in range(50):
        text, spans = _description(np.random.default_rng(seed))
        assert 2 <= len(spans) <= 5
        for start, end, regions in spans:
            assert text[start:end].split()[-1] in WORN[regions]
            assert set(regions) <= set(get_args(Region))


def test_words_of_a_phrase_belong_to_its_regions() -> None:
    spans = [(0, 8, ("upper",)), (10, 20, ("upper", "lower"))]
    offsets = [(0, 0), (0, 3), (4, 8), (8, 9), (10, 20)]
    wanted = _targets(offsets, spans, ("lower", "upper"))  # type: ignore[arg-type]
    assert wanted.tolist() == [[0, 0], [0, 1], [0, 1], [0, 0], [1, 1]]


@pytest.mark.slow
def test_attention_begins_at_what_is_worn_there() -> None:
    torch.manual_seed(0)
    model = build(BASE.model_copy(update={"lora": None}))
    tokenizer = tokenizer_file(BASE.text)
    found = aim_at_words(model, tokenizer)
    assert found > 0.6
    from tokenizers import Tokenizer

    reader = Tokenizer.from_file(str(tokenizer))
    reader.no_padding()
    encoding = reader.encode("Woman in a red coat, yellow trousers and black boots, carrying a green backpack.")
    ids = torch.tensor([encoding.ids])
    assert model.text_parts is not None
    assert BASE.parts is not None
    with torch.inference_mode():
        low, _ = model.eval().text_tower.layers(ids, torch.ones_like(ids), BASE.parts.text_layer)  # type: ignore[operator]
        scores = model.text_parts.scores(low)[0]
    best = {region: encoding.tokens[int(scores[:, place].argmax())] for place, region in enumerate(BASE.parts.regions)}
    assert best["upper"] == "coat"
    assert best["lower"] == "trousers"
    assert best["feet"] == "boots"
    assert best["carried"] == "backpack"
