"""Make the sample data that travels with the package: one clip and a few photos, with their attribution.

    .venv/bin/python scripts/make_samples.py ../shared/data

The clip is cut from Intel's one-by-one video (CC BY 4.0): every frame in which one of the six people is visible stays, the
empty stretches between them shrink to about a second and a half, size and frame rate stay. The photos are copied byte for
byte from COCO 2017; only pictures whose licence id allows redistribution and change are taken.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from fractions import Fraction
from pathlib import Path

import av

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "src" / "onlooker" / "samples"

VIDEO = "video/one-by-one-person-detection.mp4"
RANGES = "video/one-by-one_people.json"
MARGIN_FRAMES = 8
"""Frames kept before and after each person: the ranges were sampled every five frames, and the scene should be empty
for a moment between two people."""
CRF = "23"

FREE_LICENCES = {4, 5, 7, 8}
PHOTOS = (
    433998, 129648, 790, 442450, 234748, 174375, 397133, 349860, 165518, 183709, 434204, 214753, 519208, 423617,
)  # fmt: skip

PEOPLE = (
    "woman with long fair hair, long open grey cardigan, grey patterned dress, dark tights and boots, seen from behind",
    "man with short dark hair, black jacket with the collar up, black trousers and shoes, seen from behind",
    "woman with long wavy fair hair, black top, black trousers, light open shoes, seen from behind",
    "man with short dark hair and glasses, black T-shirt, black trousers and shoes, seen from behind",
    "woman with long black hair, long grey flecked sweater, dark blue jeans, black shoes, seen from behind",
    "man with short curly hair, light grey short-sleeved shirt, blue jeans, black and white sneakers, seen from behind",
)


def main() -> None:
    """Write the clip, people.json, the photos and ATTRIBUTION.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path, help="the folder that holds video/ and coco_mini_person/")
    arguments = parser.parse_args()
    SAMPLES.mkdir(parents=True, exist_ok=True)
    cut_clip(arguments.shared)
    photos = copy_photos(arguments.shared / "coco_mini_person")
    write_attribution(photos)


def cut_clip(shared: Path) -> None:
    """Re-encode the frames around the six people and write where each of them is in the clip."""
    ranges = [tuple(person["frames"]) for person in json.loads((shared / RANGES).read_text())["people"]]
    keep: list[int] = []
    for first, last in ranges:
        start = max(first - MARGIN_FRAMES, keep[-1] + 1 if keep else 0)
        keep.extend(range(start, last + MARGIN_FRAMES + 1))
    place = {source: position for position, source in enumerate(keep)}
    fps = Fraction(10)
    with av.open(str(shared / VIDEO)) as source, av.open(str(SAMPLES / "clip.mp4"), "w") as target:
        video = source.streams.video[0]
        stream = target.add_stream("libx264", rate=fps, options={"crf": CRF, "preset": "veryslow", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
        stream.time_base = 1 / fps
        for number, frame in enumerate(source.decode(video)):
            if number in place:
                frame.pts, frame.time_base, frame.pict_type = place[number], 1 / fps, av.video.frame.PictureType.NONE
                target.mux(stream.encode(frame))
        target.mux(stream.encode())
    people = [
        {
            "id": person,
            "frames": [place[first], place[last]],
            "seconds": [float(place[first] / fps), float(place[last] / fps)],
            "source_frames": [first, last],
            "description": PEOPLE[person],
        }
        for person, (first, last) in enumerate(ranges)
    ]
    facts = {
        "clip": "clip.mp4",
        "fps": int(fps),
        "size": [768, 432],
        "frames": len(keep),
        "note": "first and last frame in which each person is visible, known to about five frames",
        "people": people,
    }
    (SAMPLES / "people.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(f"clip.mp4: {len(keep)} frames, {(SAMPLES / 'clip.mp4').stat().st_size / 1e6:.2f} MB")


def copy_photos(coco: Path) -> list[dict[str, str]]:
    """Copy the chosen photos and return name, address and licence of each."""
    found: dict[int, tuple[Path, dict[str, object], dict[str, str]]] = {}
    for split in ("train2017", "val2017"):
        annotations = json.loads((coco / "annotations" / f"instances_{split}.json").read_text())
        licences = {licence["id"]: licence for licence in annotations["licenses"]}
        for image in annotations["images"]:
            if image["license"] in FREE_LICENCES:
                found[image["id"]] = (coco / split / image["file_name"], image, licences[image["license"]])
    missing = set(PHOTOS) - set(found)
    if missing:
        sys.exit(f"not in {coco}, or not under a free licence: {sorted(missing)}")
    folder = SAMPLES / "photos"
    folder.mkdir(exist_ok=True)
    rows = []
    for number in sorted(PHOTOS):
        path, image, licence = found[number]
        shutil.copyfile(path, folder / path.name)
        rows.append(
            {
                "file": path.name,
                "id": str(number),
                "flickr": str(image["flickr_url"]),
                "licence": licence["name"],
                "url": licence["url"],
            }
        )
    return rows


def write_attribution(photos: list[dict[str, str]]) -> None:
    """Write ATTRIBUTION.md from the annotation file's own words."""
    rows = [f"| {row['file']} | {row['id']} | {row['flickr']} | [{row['licence']}]({row['url']}) |" for row in photos]
    text = "\n".join(
        [
            "# Where the sample data comes from",
            "",
            "## clip.mp4",
            "",
            "Cut from `one-by-one-person-detection.mp4` of Intel's sample videos",
            "(https://github.com/intel-iot-devkit/sample-videos), (c) Intel Corporation, licensed under the Creative Commons",
            "Attribution 4.0 International Licence (https://creativecommons.org/licenses/by/4.0/). Changed: the empty stretches",
            "between people are shortened, the frames are encoded again. `people.json` says where each person is.",
            "",
            "## photos/",
            "",
            "Pictures of the COCO 2017 data set (https://cocodataset.org), unchanged. Each belongs to its photographer on Flickr;",
            "id, address and licence are those of COCO's annotation files.",
            "",
            "| file | COCO id | source | licence |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )
    (SAMPLES / "ATTRIBUTION.md").write_text(text)
    print(f"photos: {len(photos)}")


if __name__ == "__main__":
    main()
