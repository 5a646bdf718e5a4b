"""The datasets that ``onlooker prepare`` knows, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from onlooker.datasets.readers import coco, flickr, generic, person_search, reidentification, street
from onlooker.datasets.reading import Reading, ReadOptions
from onlooker.errors import ConfigError


@dataclass(frozen=True)
class Dataset:
    """One dataset that can be read.

    Attributes:
        name: What the user types.
        title: Its published name and size.
        layout: What its top folder holds, one line.
        terms: The conditions of use, one sentence; stored in every manifest.
        read: Reads the annotation files of a top folder.
        default_val: How many records go into a validation split that is made here, where the publisher made no split
            at all and the user says nothing; 0 for none.
        texts: Whether it has texts at all.
    """

    name: str
    title: str
    layout: str
    terms: str
    read: Callable[[Path, ReadOptions], Reading]
    default_val: int = 0
    texts: bool = True


_FLICKR_TERMS = "Pictures belong to Flickr users; non-commercial research only: ship no weights trained on them."

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            "flickr30k",
            "Flickr30k: 31,783 pictures, five captions each",
            "results_20130124.token (or .gz) or results.csv, train.txt, val.txt, test.txt; or dataset_flickr30k.json; "
            "flickr30k-images/",
            _FLICKR_TERMS,
            flickr.read_flickr30k,
        ),
        Dataset(
            "flickr8k",
            "Flickr8k: 8,091 pictures, five captions each",
            "Flickr8k.token.txt, Flickr_8k.{train,dev,test}Images.txt; or captions.txt; Flicker8k_Dataset/ or Images/",
            _FLICKR_TERMS,
            flickr.read_flickr8k,
        ),
        Dataset(
            "cuhk-pedes",
            "CUHK-PEDES: 40,206 pictures of 13,003 people, about two captions each",
            "reid_raw.json (or caption_all.json, *_new.json, caption_{val,test}.json), imgs/",
            "Research only, by agreement with the publisher (CUHK).",
            person_search.read_cuhk,
        ),
        Dataset(
            "icfg-pedes",
            "ICFG-PEDES: 54,522 pictures of 4,102 people, one caption each",
            "ICFG-PEDES.json, imgs/",
            "Research only, by the licence agreement of MSMT17, where the pictures come from.",
            person_search.read_icfg,
        ),
        Dataset(
            "rstpreid",
            "RSTPReid: 20,505 pictures of 4,101 people, two captions each",
            "data_captions.json, imgs/",
            "Research only, by the licence agreement of MSMT17, where the pictures come from.",
            person_search.read_rstp,
        ),
        Dataset(
            "coco",
            "COCO 2014 or 2017: captions per picture, or with --people a record per person box",
            "annotations/captions_<part>.json, annotations/instances_<part>.json, <part>/",
            "Annotations CC BY 4.0; each picture has the licence that its annotation file names.",
            coco.read_coco,
        ),
        Dataset(
            "street",
            "Street photographs: 1,798 full-body photos, a caption and a phrase each",
            "captions.jsonl, garments.json, photos/, masks/",
            "Clothing Co-Parsing, Apache-2.0; faces are visible: publish no picture.",
            street.read_street,
            default_val=300,
        ),
        Dataset(
            "pedestrians",
            "Penn-Fudan pedestrian crops: 145, a caption and a phrase each",
            "captions.jsonl, crops/",
            "Penn-Fudan, no licence stated: measure with it, ship no weights trained on it, publish no picture.",
            street.read_pedestrians,
        ),
        Dataset(
            "market1501",
            "Market-1501: 32,217 pictures of 1,501 people from six cameras, no texts",
            "query/, bounding_box_test/, bounding_box_train/",
            "Research only, by the terms of its publisher (Tsinghua University).",
            reidentification.read_market,
            texts=False,
        ),
        Dataset(
            "dukemtmc-reid",
            "DukeMTMC-reID: 36,411 pictures of 1,812 people from eight cameras, no texts",
            "query/, bounding_box_test/, bounding_box_train/",
            "Withdrawn by its publisher in 2019: compare with older figures only, train and ship nothing.",
            reidentification.read_duke,
            texts=False,
        ),
        Dataset(
            "cuhk03-np",
            "CUHK03, newer protocol: about 14,100 pictures of 1,467 people from two cameras each, no texts",
            "query/, bounding_box_test/, bounding_box_train/",
            "Research only, by agreement with the publisher (CUHK).",
            reidentification.read_cuhk03_np,
            texts=False,
        ),
        Dataset(
            "cuhk03",
            "CUHK03 as a folder of pictures, without splits or texts",
            "images_labeled/ or images_detected/",
            "Research only, by agreement with the publisher (CUHK).",
            reidentification.read_cuhk03,
            texts=False,
        ),
        Dataset(
            "generic",
            "Your own pictures with a table of captions",
            "captions.jsonl, captions.csv or captions.tsv, and the pictures",
            "As the owner of the pictures allows.",
            generic.read_generic,
        ),
    )
}
"""Every dataset by name, in the order of ``onlooker prepare --list``."""


def find_dataset(name: str) -> Dataset:
    """Return a dataset by name.

    Raises:
        ConfigError: If the name is unknown; the message lists the known ones.
    """
    if name not in DATASETS:
        raise ConfigError(f"there is no dataset {name!r}; known are {', '.join(DATASETS)}")
    return DATASETS[name]
