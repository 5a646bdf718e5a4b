"""``onlooker search`` from the command line to the files it writes, with the fake encoder and on a real tiny bundle."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from onlooker.cli import main
from onlooker.gallery.store import Gallery
from onlooker.runtime.encoder import bundle_name_of, open_encoder
from onlooker.runtime.pictures import read_picture
from onlooker.samples import PHOTOS
from tests.tiny_bundle import give_confidences, give_words, write_tiny_bundle
from tests.unit.gallery.makers import jpeg, new_gallery, people_gallery, person, sighting, update


@pytest.fixture(autouse=True)
def _threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command sets these for its process; here that is the one of all tests."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, os.environ.get(name, "1"))


@pytest.fixture
def people(tmp_path: Path) -> Path:
    return people_gallery(tmp_path / "people.db")


def search(*arguments: str | Path) -> int:
    return main(["search", *map(str, arguments), "--bundle", "fake"])


def test_a_table_for_people(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert search("red jacket, blue jeans", "--gallery", people, "--top", 2) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines[0] == "red jacket, blue jeans"
    assert lines[1].split() == ["#", "similarity", "sighting", "camera", "time", "at", "file"]
    assert lines[2].split()[:4] == ["1", lines[2].split()[1], "1", "entrance"]
    assert lines[2].endswith("0.jpg")
    assert len(lines) == 4
    assert shown.err == ""


def test_a_table_that_fits_the_terminal(
    people: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    assert search("red [jacket], blue jeans", "-g", people) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == "red [jacket], blue jeans"
    assert all(len(line) <= 80 for line in lines)
    assert any(line.split()[-1:] == ["0.jpg"] for line in lines)


def test_the_json_of_one_query(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert search("green coat, blue jeans", "-g", people, "--top", 1, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    (match,) = answer["matches"]
    assert 0.5 < match.pop("similarity") <= 1.001
    assert answer == {
        "query": "green coat, blue jeans",
        "mended": [],
        "nobody": {"probability": None, "threshold": None, "verdict": False},
        "matches": [
            {
                "rank": 1,
                "confidence": None,
                "sighting": 3,
                "camera": "car park",
                "source": "footage/2.mp4",
                "time": "2026-05-17T10:00:00.250000+00:00",
                "time_s": 61.5,
                "box": [1, 2, 30, 60],
            }
        ],
    }


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--camera", "car park"], {3, 4}),
        (["--camera", "car park", "--camera", "entrance"], {1, 2, 3, 4}),
        (["--since", "2026-05-17T09:00Z"], {2, 3}),
        (["--since", "2026-05-17T09:00Z", "--until", "2026-05-17T09:30Z"], {2}),
        (["--since", "2026-05-16", "--until", "2026-05-18"], {1, 2, 3}),
        (["--since", "1min"], set()),
        (["--source", "3.mp4"], {4}),
    ],
)
def test_filters(people: Path, capsys: pytest.CaptureFixture[str], options: list[str], wanted: set[int]) -> None:
    assert search("red jacket", "-g", people, "--json", *options) == 0
    answer = json.loads(capsys.readouterr().out)
    assert {match["sighting"] for match in answer["matches"]} == wanted
    assert answer["nobody"]["verdict"] == (not wanted)


def test_nobody_passes_the_filters(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert search("red jacket", "-g", people, "--since", "1h") == 0
    assert "Nobody: no sighting in" in capsys.readouterr().out


def test_csv_and_sheet(people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, sheet = tmp_path / "new" / "matches.csv", tmp_path / "new" / "matches.png"
    assert search("red jacket", "-g", people, "--csv", table, "--sheet", sheet, "--json") == 0
    shown = capsys.readouterr()
    with table.open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    matches = json.loads(shown.out)["matches"]
    assert [int(row["sighting"]) for row in rows] == [match["sighting"] for match in matches]
    assert [float(row["similarity"]) for row in rows] == [match["similarity"] for match in matches]
    assert rows[0]["image"] in {"0.jpg", "1.jpg"}
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"
    assert f"{table}: 4 rows" in shown.err
    assert sorted(path.name for path in table.parent.iterdir()) == ["matches.csv", "matches.png"]


def test_many_queries_at_once(people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    queries = tmp_path / "queries.jsonl"
    queries.write_text('{"query": "red jacket"}\n"green coat"\nwhite shirt, black trousers\n', encoding="utf-8")
    table, sheet = tmp_path / "all.csv", tmp_path / "all.png"
    options = ["--queries", queries, "-g", people, "--top", 2, "--csv", table, "--sheet", sheet]
    assert search(*options, "--json") == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["query"] for answer in answers] == ["red jacket", "green coat", "white shirt, black trousers"]
    assert [answer["matches"][0]["sighting"] for answer in answers][1:] == [3, 4]
    assert len(table.read_text(encoding="utf-8").splitlines()) == 7
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["all-1.png", "all-2.png", "all-3.png"]
    assert search(*options) == 0
    blocks = capsys.readouterr().out.strip().split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == [answer["query"] for answer in answers]


def found_by(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[str, list[int]]:
    """The query as the answer names it, and the sightings found, best first."""
    assert search(*arguments, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert all(match["confidence"] is None for match in answer["matches"])
    assert [match["rank"] for match in answer["matches"]] == list(range(1, len(answer["matches"]) + 1))
    return answer["query"], [match["sighting"] for match in answer["matches"]]


def test_a_picture_a_sighting_and_what_is_not_wanted(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "seen.jpg"
    picture.write_bytes(jpeg(person("red", "black")))
    of_picture = ("--image", picture, "--whole", "-g", people)
    label, ids = found_by(capsys, *of_picture)
    assert (label, ids[0], len(ids)) == ("like seen.jpg", 2, 4)
    assert found_by(capsys, "white jacket", *of_picture)[1][0] == 4
    assert found_by(capsys, *of_picture, "--not", "red jacket")[1][:2] == [2, 4]
    assert found_by(capsys, *of_picture, "--not", "black jeans")[1][:2] == [2, 1]
    label, ids = found_by(capsys, "--like", "3", "-g", people, "--top", "3")
    assert (label, ids[0], sorted(ids)) == ("like sighting 3", 1, [1, 2, 4])
    assert found_by(capsys, "red jacket", "-g", people, "--not", "blue jeans")[1][:2] == [2, 1]
    assert found_by(capsys, "red jacket", "-g", people, "--not", "black jeans")[1][:2] == [1, 2]
    label, ids = found_by(capsys, "red jacket", "--like", "3", "-g", people, "--not", "hat", "--not", "bag")
    assert (label, ids[0]) == ("like sighting 3; red jacket; not hat; not bag", 1)


def test_composed_queries_of_a_file(people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "wanted"
    folder.mkdir()
    (folder / "seen.jpg").write_bytes(jpeg(person("red", "black")))
    lines = ['{"query": "green coat"}', '{"image": "seen.jpg"}', '{"like": 4}', '{"query": "red top", "not": "jeans"}']
    (folder / "queries.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert search("--queries", folder / "queries.jsonl", "--whole", "-g", people, "--json", "--top", "2") == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["query"] for answer in answers] == [
        "green coat",
        "like seen.jpg",
        "like sighting 4",
        "red top; not jeans",
    ]
    assert [len(answer["matches"]) for answer in answers] == [2, 2, 2, 2]
    assert [answer["matches"][0]["sighting"] for answer in answers][:2] == [3, 2]


def test_the_largest_person_of_a_picture(people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The person is found wherever she stands in the picture: what is around her changes the answer little."""
    photo = read_picture(sorted(PHOTOS.iterdir())[0])
    wide = np.full((photo.shape[0] + 80, photo.shape[1] * 2 + 80, 3), 127, np.uint8)
    wide[40:-40, 40 : 40 + photo.shape[1]] = photo
    similarities = []
    for name, rgb in (("close", photo), ("wide", wide)):
        (tmp_path / f"{name}.png").write_bytes(b"")
        Image.fromarray(rgb).save(tmp_path / f"{name}.png")
        assert search("--image", tmp_path / f"{name}.png", "-g", people, "--json") == 0
        matches = json.loads(capsys.readouterr().out)["matches"]
        similarities.append([match["similarity"] for match in sorted(matches, key=lambda match: match["sighting"])])
    assert np.abs(np.subtract(*similarities)).max() < 0.1


BAD: dict[str, tuple[list[str], str]] = {
    "no query": (["-g", "{people}"], "give one description, or many with --queries"),
    "two kinds of query": (["hat", "--queries", "{queries}", "-g", "{people}"], "exactly one of the two"),
    "an empty query": (["  ", "-g", "{people}"], "the query is empty"),
    "an empty change": (["  ", "--like", "1", "-g", "{people}"], "the query is empty"),
    "nothing wanted": (["--not", "hat", "-g", "{people}"], 'says only what is not wanted ("hat")'),
    "an empty not": (["man", "--not", " ", "-g", "{people}"], 'a text of "not" is empty'),
    "a picture and a file": (
        ["--image", "a.jpg", "--queries", "{queries}", "-g", "{people}"],
        "exactly one of the two",
    ),
    "a not and a file": (["--not", "hat", "--queries", "{queries}", "-g", "{people}"], "exactly one of the two"),
    "whole without a picture": (["man", "--whole", "-g", "{people}"], "--whole says how to take the picture"),
    "a missing picture": (["--image", "{tmp}/none.jpg", "-g", "{people}"], "none.jpg does not exist"),
    "no picture": (["--image", "{queries}", "-g", "{people}"], "is not a picture that can be read"),
    "nobody in the picture": (["--image", "{grey}", "-g", "{people}"], "take all of it with --whole"),
    "an unknown sighting": (["--like", "5", "-g", "{people}"], "there is no sighting 5 in"),
    "top 0": (["hat", "-g", "{people}", "--top", "0"], "--top 0 asks for nothing"),
    "an unknown camera": (["hat", "-g", "{people}", "--camera", "roof"], "it has car park, entrance"),
    "an unknown source": (["hat", "-g", "{people}", "--source", "9.jpg"], "there is no source '9.jpg'"),
    "no time": (["hat", "-g", "{people}", "--since", "soon"], "--since 'soon' is not a time"),
    "no end": (["hat", "-g", "{people}", "--until", "2026-13-01"], "--until '2026-13-01' is not a time that exists"),
    "a span backwards": (["hat", "-g", "{people}", "--since", "1h", "--until", "2h"], "is later than until"),
    "a missing gallery": (["hat", "-g", "{tmp}/none.db"], "there is no gallery"),
    "a folder": (["hat", "-g", "{tmp}"], "there is no gallery"),
    "not a gallery": (["hat", "-g", "{queries}"], "is not a gallery"),
    "an empty gallery": (["hat", "-g", "{empty}"], "holds no sightings"),
    "another bundle's gallery": (["hat", "-g", "{other}"], "made with the bundle tiny (0123456789ab), not with fake"),
    "a broken line": (["--queries", "{queries}", "-g", "{people}"], "queries.jsonl, line 2 is not JSON"),
    "no queries file": (["--queries", "{tmp}/none.jsonl", "-g", "{people}"], "none.jsonl cannot be read"),
    "a sheet that is no PNG": (["hat", "-g", "{people}", "--sheet", "{tmp}/sheet.jpg"], "ends in .png"),
    "a CSV that cannot be written": (["hat", "-g", "{people}", "--csv", "{people}/a.csv"], "a.csv cannot be written"),
    "a sheet that cannot be written": (
        ["hat", "-g", "{people}", "--sheet", "{people}/a.png"],
        "a.png cannot be written",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_answered(case: str, people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, said = BAD[case]
    encoder = open_encoder("fake")
    places = {name: tmp_path / name for name in ("empty", "other")} | {"people": people, "tmp": tmp_path}
    places["grey"] = tmp_path / "grey.png"
    Image.new("RGB", (200, 300), (120, 120, 120)).save(places["grey"])
    places["queries"] = tmp_path / "queries.jsonl"
    places["queries"].write_text('a hat\n{"query": \n', encoding="utf-8")
    Gallery.open(places["empty"], encoder_id=encoder.bundle_id, dimension=encoder.dimension, create=True).close()
    with new_gallery(places["other"]) as gallery:
        gallery.commit(update(), [sighting(update())])
    assert search(*(argument.format(**places) for argument in arguments)) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("error: ")
    assert said in message


def test_usage_errors_are_code_2_too(people: Path) -> None:
    assert search("hat") == 2
    assert search("hat", "-g", people, "--top", "many") == 2
    assert main(["search", "hat", "-g", str(people), "--bundle", str(people)]) == 2
    assert search("hat", "-g", people, "--threads", "0") == 2


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Examples:" in shown
    assert "Exit codes:" in shown
    for option in ("--gallery", "--top", "--camera", "--since", "--until", "--json", "--csv", "--sheet", "--queries"):
        assert option in shown


def test_a_real_bundle_of_a_few_kilobytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "bundle"
    write_tiny_bundle(folder)
    encoder = open_encoder(folder)
    path = tmp_path / "people.db"
    text = "red coat"
    (vector,) = encoder.encode_texts([text])
    random = np.random.default_rng(0)
    with Gallery.open(
        path,
        encoder_id=encoder.bundle_id,
        dimension=encoder.dimension,
        bundle_name=bundle_name_of(encoder),
        create=True,
    ) as gallery:
        source = update()
        others = random.normal(size=(5, encoder.dimension))
        gallery.commit(source, [sighting(source, value) for value in [*others, vector]])
    arguments = ["search", text, "--gallery", str(path), "--json", "--bundle"]
    assert main([*arguments, str(folder)]) == 0
    best: dict[str, Any] = json.loads(capsys.readouterr().out)["matches"][0]
    assert (best["sighting"], round(best["similarity"], 2)) == (6, 1.0)
    assert main([*arguments, "fake"]) == 2
    assert f"made with the bundle {bundle_name_of(encoder)}" in capsys.readouterr().err


HEAVY = ("faiss", "PIL", "cv2", "av", "rich", "torch", "onnxruntime", "onlooker.footage")


@pytest.mark.parametrize("more", [[], ["--not", "hat"], ["--like", "1"]])
def test_a_search_imports_nothing_it_does_not_need(people: Path, more: list[str]) -> None:
    program = (
        "import sys; from onlooker.cli import main\n"
        "code = main(['search', 'red jacket', '--gallery', sys.argv[1], '--bundle', 'fake', '--json', *sys.argv[2:]])\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(people), *more], capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (0, "[]")


def test_a_search_beside_an_index_at_work(people: Path, tmp_path: Path) -> None:
    """Searches by processes of their own while this one goes on committing all succeed."""
    encoder = open_encoder("fake")
    command = [sys.executable, "-m", "onlooker", "search", "red", "-g", str(people), "--bundle", "fake", "--json"]
    with Gallery.open(people, encoder_id=encoder.bundle_id, dimension=encoder.dimension) as gallery:
        # To files: a pipe that nobody reads yet would hold up a search with many matches.
        outputs = [tmp_path / "one.json", tmp_path / "two.json"]
        searches = []
        for output in outputs:
            with output.open("wb") as handle:
                searches.append(subprocess.Popen([*command, "--top", "1000"], stdout=handle))
        number, deadline = 100, time.monotonic() + 60
        while any(process.poll() is None for process in searches):
            source = update(number)
            gallery.commit(source, [sighting(source, np.ones(encoder.dimension))])
            number += 1
            assert time.monotonic() < deadline
        counts = [len(json.loads(output.read_text())["matches"]) for output in outputs]
    assert all(4 <= count <= number for count in counts)
    assert [process.returncode for process in searches] == [0, 0]


@pytest.mark.train
def test_confidences_and_the_verdict_on_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = give_confidences(write_tiny_bundle(tmp_path / "bundle"), limit=-50.0)
    encoder = open_encoder(bundle.path)
    path = tmp_path / "people.db"
    crops = [np.full((40, 20, 3), colour, np.uint8) for colour in ((250, 5, 5), (250, 40, 5), (5, 5, 250))]
    with Gallery.open(path, encoder_id=encoder.bundle_id, dimension=encoder.dimension, create=True) as gallery:
        source = update()
        found = zip(encoder.encode_images(crops), crops, strict=True)
        gallery.commit(source, [sighting(source, vector, crop=jpeg(crop)) for vector, crop in found])
    arguments = ["search", "red", "--gallery", str(path), "--bundle", str(bundle.path)]

    assert main([*arguments, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    confidences = [match["confidence"] for match in answer["matches"]]
    assert confidences == sorted(confidences, reverse=True)
    assert confidences[2] < 0.01 < 0.5 < confidences[0] < 1
    assert answer["nobody"]["probability"] < answer["nobody"]["threshold"]
    assert answer["nobody"]["verdict"] is False
    # How sure the first is does not depend on how many are shown.
    assert main([*arguments, "--json", "--top", "1"]) == 0
    assert [match["confidence"] for match in json.loads(capsys.readouterr().out)["matches"]] == confidences[:1]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "red"
    assert lines[1].split()[:4] == ["#", "similarity", "confidence", "sighting"]
    assert lines[2].split()[2] == f"{confidences[0]:.0%}"
    assert main([*arguments, "--json", "--not", "blue"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["nobody"] == {"probability": None, "threshold": None, "verdict": False}
    assert {match["confidence"] for match in answer["matches"]} == {None}

    give_confidences(bundle, limit=50.0)
    assert main([*arguments, "--sheet", str(tmp_path / "sheet.png")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["red", "Probably nobody here fits; the nearest are:"]
    assert len(lines) == 6
    assert main([*arguments, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["nobody"]["verdict"] is True
    assert len(answer["matches"]) == 3


def test_a_mended_typing_error_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = give_words(write_tiny_bundle(tmp_path / "tiny"))
    encoder = open_encoder(bundle.path)
    path = tmp_path / "people.db"
    source = update()
    with Gallery.open(
        path, encoder_id=encoder.bundle_id, dimension=encoder.dimension, bundle_name="tiny", create=True
    ) as gallery:
        gallery.commit(source, [sighting(source, encoder.encode_texts(["blue"])[0])])
    asked = ["search", "a bleu jakcet", "--not", "gren", "-g", str(path), "--bundle", str(bundle.path)]
    assert main(asked) == 0
    shown = capsys.readouterr().out.splitlines()
    mended = 'Read "bleu" as "blue", "jakcet" as "jacket", "gren" as "green"'
    assert shown[1] == f"{mended}; --as-typed takes the words as they stand."
    assert main([*asked, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mended"][0] == {"typed": "bleu", "read": "blue"}
    assert main([*asked, "--json", "--as-typed"]) == 0
    assert json.loads(capsys.readouterr().out)["mended"] == []
