"""Writes tiny datasets in their true layouts, with the traps that the real files have."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (24, 36)) -> Path:
    """Write a picture (width, height) of coloured blocks that depend on the seed alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST).save(path, quality=95)
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def write_json(path: Path, value: Any) -> Path:
    return write(path, json.dumps(value))


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    return write(path, "".join(json.dumps(row) + "\n" for row in rows))


def flickr8k(root: Path) -> Path:
    """The original form: five pictures, the entry without a picture, official lists, a misspelt folder."""
    names = [f"{number}_abc.jpg" for number in range(5)]
    for number, name in enumerate(names):
        picture(root / "Flicker8k_Dataset" / name, number)
    rows = [
        f"{name}#{k}\tCaption {k} of {name} ." for name in [*names, "2258277193_586949ec62.jpg.1"] for k in range(5)
    ]
    write(root / "Flickr8k.token.txt", "\n".join(rows) + "\n")
    write(root / "Flickr_8k.trainImages.txt", "\n".join(names[:2]) + "\n")
    write(root / "Flickr_8k.devImages.txt", names[2] + "\n")
    write(root / "Flickr_8k.testImages.txt", names[3] + "\n")
    return root


CUHK_ROWS: list[dict[str, Any]] = [
    {
        "split": "train",
        "captions": ["A man in a red coat.", "The man wears a coat."],
        "file_path": "CUHK01/0363004.png",
        "processed_tokens": [["a", "man"], ["the", "man"]],
        "id": 1,
    },
    {
        "split": "train",
        "captions": ["A man in red.", "He walks.", "A third caption."],
        "file_path": "Market/0585_c1s3_039651_00.jpg",
        "processed_tokens": [["a"], ["b"], ["c"]],
        "id": 1,
    },
    {
        "split": "val",
        "captions": ["A woman in blue.", "She walks."],
        "file_path": "test_query/p8848_s17661.jpg",
        "processed_tokens": [["a"], ["b"]],
        "id": 2,
    },
    {
        "split": "test",
        "captions": ["A girl in green.", "She runs."],
        "file_path": "cam_a/000_45.jpg",
        "processed_tokens": [["a"], ["b"]],
        "id": 3,
    },
]


def cuhk(root: Path) -> Path:
    write_json(root / "reid_raw.json", CUHK_ROWS)
    for number, row in enumerate(CUHK_ROWS):
        picture(root / "imgs" / row["file_path"], number)
    return root


def coco(root: Path) -> Path:
    """One training picture with one person, one validation picture with two people and a crowd."""
    person = {"supercategory": "person", "id": 1, "name": "person"}
    for part, image, boxes in (
        ("train2017", 7, [(3, [2.0, 1.0, 10.0, 30.0], 0)]),
        ("val2017", 9, [(4, [0.0, 0.0, 8.0, 30.0], 0), (5, [9.5, 0.0, 8.0, 20.0], 0), (6, [0.0, 0.0, 20.0, 35.0], 1)]),
    ):
        images = [{"id": image, "file_name": f"{image:012}.jpg", "width": 24, "height": 36, "license": 4}]
        captions = [{"image_id": image, "id": k, "caption": f"A person in scene {k}."} for k in range(5)]
        annotations = [
            {"image_id": image, "id": number, "category_id": 1, "bbox": box, "iscrowd": crowd}
            for number, box, crowd in boxes
        ]
        annotations.append({"image_id": image, "id": 99, "category_id": 3, "bbox": [0, 0, 5, 5], "iscrowd": 0})
        picture(root / part / f"{image:012}.jpg", image)
        write_json(root / "annotations" / f"captions_{part}.json", {"images": images, "annotations": captions})
        write_json(
            root / "annotations" / f"instances_{part}.json",
            {"images": images, "annotations": annotations, "categories": [person, {"id": 3, "name": "car"}]},
        )
    return root


def mask_file(path: Path, labels: np.ndarray) -> Path:
    import scipy.io

    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"groundtruth": labels.astype(np.uint8)})
    return path


def street(root: Path, count: int = 12) -> Path:
    """Photos 0001.jpg and on; the last two are one picture at two qualities; the first has a box and a mask."""
    rows = []
    for number in range(1, count + 1):
        name = f"{number:04}.jpg"
        picture(root / "photos" / name, min(number, count - 1), (48, 72))
        rows.append({"file": name, "caption": f"Person {number} in a coat.", "query": f"coat number {number}"})
    twin = Image.open(root / "photos" / f"{count - 1:04}.jpg")
    twin.save(root / "photos" / f"{count:04}.jpg", quality=60)
    write_lines(root / "captions.jsonl", rows)
    colours = [["red", 0.7], ["black", 0.2]]
    garments = [
        {
            "file": "0001.jpg",
            "level": "pixel",
            "person_bbox_xyxy_norm": [0.25, 0.0, 0.75, 1.0],
            "garments": {"coat": {"area": 0.4, "colors": colours}},
        },
        {"file": "0002.jpg", "level": "image", "tags": ["hair", "skirt"]},
        {"file": "0003.jpg", "level": "pixel", "garments": {}},
    ]
    write_json(root / "garments.json", garments)
    write(root / "masks" / "0001.mat", "")
    return root
