from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from onlooker.errors import ConfigError
from onlooker.evaluation.misses import page, save_misses, worst_misses
from onlooker.evaluation.runner import Evaluation, evaluate
from onlooker.runtime.fake import FakeEncoder
from onlooker.runtime.pictures import decode_picture, encode_jpeg
from tests.unit.evaluation.painted import BentEncoder, paint, painted

VOID = {"meta", "img", "br", "link", "input"}


class Balance(HTMLParser):
    """Fails where tags do not close in order; keeps tags and visible text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)


def backwards(vectors: np.ndarray) -> np.ndarray:
    return -vectors


@pytest.fixture
def wrong(tmp_path: Path) -> Evaluation:
    """Everything is found last."""
    return evaluate(BentEncoder(texts=backwards), painted(tmp_path), bootstrap=0)


def test_worst_come_first_and_hits_are_no_misses(tmp_path: Path) -> None:
    manifest = painted(tmp_path)
    records = manifest.records
    records[0] = records[0].model_copy(update={"captions": ["purple jacket, white trousers"]})
    evaluation = evaluate(FakeEncoder(), manifest, bootstrap=0)
    misses = worst_misses(evaluation)
    assert [miss.text for miss in misses] == ["purple jacket, white trousers"]
    assert misses[0].wanted.record.id == "0_0"
    assert misses[0].wanted.right
    assert misses[0].preferred[0].record.id == "4_0"
    assert misses[0].rank == 1 + [shown.right for shown in misses[0].preferred].index(True)


def test_count_and_order(wrong: Evaluation) -> None:
    misses = worst_misses(wrong, count=4)
    assert [miss.rank for miss in misses] == [5, 5, 5, 5]
    assert all(len(miss.preferred) == 5 and miss.others == 0 for miss in misses)
    similarities = [shown.similarity for shown in misses[0].preferred]
    assert similarities == sorted(similarities, reverse=True)


def test_other_pictures_of_the_person_are_counted(tmp_path: Path) -> None:
    evaluation = evaluate(BentEncoder(texts=backwards), painted(tmp_path, persons=True), bootstrap=0)
    assert worst_misses(evaluation)[0].others == 1
    assert "the nearest of 2 right pictures" in page(evaluation, worst_misses(evaluation))


def test_page_is_whole_and_loads_nothing(wrong: Evaluation, tmp_path: Path) -> None:
    assert save_misses(wrong, tmp_path / "m.html", count=3) == 3
    html = (tmp_path / "m.html").read_text(encoding="utf-8")
    parser = Balance()
    parser.feed(html)
    assert parser.open == []
    assert "script" not in parser.tags
    assert parser.tags.count("article") == 3
    assert parser.tags.count("img") == 3 * 6
    assert not re.search(r"(src|href)=\"(?!data:)|url\(|@import", html)
    assert "default-src 'none'" in html
    assert "prefers-color-scheme: dark" in html
    picture = base64.b64decode(re.findall(r"data:image/jpeg;base64,([^\"]+)", html)[0])
    assert decode_picture(picture, "embedded").shape == (60, 30, 3)
    shown = " ".join(parser.text)
    for words in ("Worst misses", "made by a test, free for all", "rank 5", "R@1", "0.0 %"):
        assert words in shown


def test_large_pictures_are_embedded_small(tmp_path: Path) -> None:
    manifest = painted(tmp_path)
    for record in manifest.records:
        manifest.path(record).write_bytes(encode_jpeg(paint("red", "blue", 2000, 1000)))
    evaluation = evaluate(FakeEncoder(), manifest, bootstrap=0)
    html = page(evaluation, worst_misses(evaluation, count=1))
    sizes = [
        decode_picture(base64.b64decode(data), "embedded").shape
        for data in re.findall(r"data:image/jpeg;base64,([^\"]+)", html)
    ]
    assert set(sizes) == {(288, 144, 3)}


def test_texts_cannot_become_markup(tmp_path: Path) -> None:
    manifest = painted(tmp_path)
    evil = "<script>alert('x')</script> & \"quoted\" <img src=x>"
    records = manifest.records
    records[0] = records[0].model_copy(update={"captions": [evil], "id": "<b>id</b>"})
    evaluation = evaluate(BentEncoder(texts=backwards), manifest, bootstrap=0, model="<i>m</i>")
    html = page(evaluation, worst_misses(evaluation))
    parser = Balance()
    parser.feed(html)
    assert {"script", "i"}.isdisjoint(parser.tags)
    assert evil in parser.text
    assert "<b>id" not in html


def test_nothing_missed(tmp_path: Path) -> None:
    evaluation = evaluate(FakeEncoder(), painted(tmp_path), bootstrap=0)
    assert worst_misses(evaluation) == []
    assert "there is no miss to show" in page(evaluation, [])


def test_a_picture_that_has_gone_since_leaves_a_note(wrong: Evaluation) -> None:
    misses = worst_misses(wrong)
    wrong.manifest.path(wrong.manifest.records[0]).unlink()
    assert 'class="gone"' in page(wrong, misses)


def test_bad_arguments_are_refused(wrong: Evaluation, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        worst_misses(wrong, count=0)
    other = evaluate(FakeEncoder(), wrong.manifest, directions=["image-to-text"], bootstrap=0)
    with pytest.raises(ConfigError, match="text to image, which was not measured"):
        save_misses(other, tmp_path / "m.html")
