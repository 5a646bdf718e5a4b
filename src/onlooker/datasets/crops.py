"""The training data as a map-style dataset: pictures cut, resized and augmented, with their texts.

Torch-free: an object with ``__len__`` and ``__getitem__`` serves ``torch.utils.data.DataLoader`` as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing.sharedctypes import RawValue
from typing import Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from onlooker.datasets.manifest import Manifest, Record
from onlooker.datasets.masks import read_mask
from onlooker.datasets.regions import segment_shares
from onlooker.datasets.samples import Augment, Sample, cut, grow, sample_of, shrink
from onlooker.errors import ConfigError, DataError
from onlooker.runtime.pictures import read_picture
from onlooker.runtime.preprocessing import ImageSpec, resize

TextKind = Literal["captions", "phrases", "all"]

WORKING_SCALE = 1.25
"""Size of the cached pictures relative to the tower's input: room for a crop to move without being enlarged."""


class Item(TypedDict):
    """One element of a ``CropDataset``.

    Keys:
        pixels: uint8 (spec.height, spec.width, 3) RGB.
        texts: The captions or phrases that were chosen, different ones.
        record: Index into the manifest's records.
        person: A number shared by all records of one person; another for every record whose person is unknown.
        seed: A number for random choices about this item outside the dataset, by seed, epoch and index alone.
        segments: float32 (segments, rows, columns), how much of each cell each segment covers (see
            ``onlooker.datasets.regions``); None without a mask or where no grid was asked for.
        garments: Of a twin, the labels of the two garments that exchange their colours; of others empty.
    """

    pixels: NDArray[np.uint8]
    texts: list[str]
    record: int
    person: int
    seed: int
    segments: NDArray[np.float32] | None
    garments: tuple[str, ...]


class CropDataset:
    """The records of a manifest as crops with a text.

    In training (``every_text=False``) there is one item per record and its text is drawn at random in every epoch; in
    evaluation (``every_text=True``) there is one item per text, in order. The random numbers of an item depend on the
    seed, the epoch and the index alone, so they are the same with any number of workers and after a resume.

    Without ``augment`` the pixels are what serving would see: the box cut out and resized once. With it, the cut keeps
    ``margin`` around the box, for the augmentation to move in.
    """

    def __init__(
        self,
        manifest: Manifest,
        spec: ImageSpec,
        texts: TextKind = "all",
        augment: Augment | None = None,
        seed: int = 0,
        *,
        every_text: bool = False,
        texts_per_item: int = 1,
        margin: float = 0.0,
        masks: bool = False,
        grid: tuple[int, int] | None = None,
        cache: bool = False,
        cache_bytes: int = 2_000_000_000,
    ) -> None:
        """Make the dataset; no picture is read yet.

        Args:
            manifest: The records, for instance ``Manifest.load(path).split("train")``; those without a wanted text are
                left out.
            spec: Size and way of resizing.
            texts: Which texts to use.
            augment: Changes each sample at random, or None.
            seed: Any whole number from 0.
            every_text: One item per text instead of one per record.
            texts_per_item: In training, so many different texts of a record are drawn, or all where it has fewer.
            margin: Share of the box's width and height kept on each side of it (0..1). Augmentation can only show
                surroundings that were kept.
            masks: Read the records' masks for the augmentation (needs SciPy).
            grid: Rows and columns of the segments that items carry (reads masks too); None leaves them out.
            cache: Keep decoded pictures in memory: at the tower's size without ``augment``, else at up to
                ``WORKING_SCALE`` times it.
            cache_bytes: Upper bound for that; pictures beyond it are read from disk each time. Worker processes share
                what ``preload`` has read before they start; what they read themselves each of them keeps.

        Raises:
            ConfigError: If ``margin``, ``seed`` or ``cache_bytes`` is out of range.
            DataError: If no record has such a text.
        """
        if not 0 <= margin <= 1:
            raise ConfigError(f"margin is a share of the box from 0 to 1, got {margin}")
        if seed < 0 or cache_bytes < 0:
            raise ConfigError(f"seed and cache_bytes must be 0 or more, got {seed} and {cache_bytes}")
        self.manifest = manifest
        self.spec = spec
        self.texts: TextKind = texts
        self.augment = augment
        self.seed = seed
        self.margin = margin
        self.masks = masks or grid is not None
        self.grid = grid
        self.texts_per_item = texts_per_item
        self._texts = [record.texts(texts) for record in manifest.records]
        self._items: list[tuple[int, int | None]] = []
        for index, found in enumerate(self._texts):
            if every_text:
                self._items.extend((index, number) for number in range(len(found)))
            elif found:
                self._items.append((index, None))
        if not self._items:
            wanted = "text" if texts == "all" else texts
            raise DataError(f"no record of the manifest of {manifest.dataset} has any {wanted}; choose other texts")
        self._persons = number_persons(manifest.records)
        # In shared memory, so that workers that outlive an epoch hear of the next one.
        self._epoch = RawValue("q", 0)
        self._cache: dict[int, Sample] | None = {} if cache else None
        self._cache_left = cache_bytes

    def __len__(self) -> int:
        return len(self._items)

    @property
    def epoch(self) -> int:
        """The epoch that random numbers are drawn for."""
        return int(self._epoch.value)

    def set_epoch(self, epoch: int) -> None:
        """Draw other random numbers from now on, also in workers that are running already.

        Args:
            epoch: From 0; the same number gives the same samples.
        """
        self._epoch.value = epoch

    def __getitem__(self, index: int) -> Item:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} items")
        index %= len(self)
        record, number = self._items[index]
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, self.epoch, index]))
        texts = self._texts[record]
        if number is None:
            drawn = rng.choice(len(texts), size=min(self.texts_per_item, len(texts)), replace=False)
            chosen = [texts[int(place)] for place in drawn]
        else:
            chosen = [texts[number]]
        sample = replace(self.working(record), texts=tuple(chosen))
        if self.augment is not None:
            sample = self.augment(sample, rng)
        return self.item(sample, record, self._persons[record], rng)

    def item(
        self, sample: Sample, record: int, person: int, rng: np.random.Generator, garments: tuple[str, ...] = ()
    ) -> Item:
        """Make an item of a sample that is ready but for its size."""
        pixels = np.ascontiguousarray(resize(np.ascontiguousarray(sample.rgb), self.spec))
        segments = None
        if self.grid is not None and sample.mask is not None:
            segments = segment_shares(sample.mask, *self.grid)
        return {
            "pixels": pixels,
            "texts": list(sample.texts),
            "record": record,
            "person": person,
            "seed": int(rng.integers(2**62)),
            "segments": segments,
            "garments": garments,
        }

    def pixels(self, record: int) -> NDArray[np.uint8]:
        """Return the picture of one record as serving would see it: never augmented, never from the cache.

        Args:
            record: Index into the manifest's records.

        Returns:
            uint8 (spec.height, spec.width, 3).

        Raises:
            PictureError: If it cannot be read.
        """
        about = self.manifest.records[record]
        sample = sample_of(about, read_picture(self.manifest.path(about)))
        return np.ascontiguousarray(resize(np.ascontiguousarray(cut(sample, sample.box).rgb), self.spec))

    def preload(self, *, workers: int = 2, advance: Callable[[float], None] = lambda steps: None) -> int:
        """Fill the cache now, before worker processes start, so that they share it.

        Args:
            workers: Threads.
            advance: Called with 1 after every record.

        Returns:
            The number of records in the cache.

        Raises:
            PictureError: If a picture cannot be read.
        """
        if self._cache is None:
            return 0
        records = sorted({record for record, _ in self._items} - set(self._cache))
        pool = ThreadPoolExecutor(workers)
        try:
            for record, sample in zip(records, pool.map(self._read, records), strict=True):
                advance(1)
                if not self._keep(record, sample):
                    break
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        return len(self._cache)

    def working(self, record: int) -> Sample:
        """Return the cut of a record, without texts, that augmentation or the final resize starts from."""
        if self._cache is not None and record in self._cache:
            return self._cache[record]
        sample = self._read(record)
        self._keep(record, sample)
        return sample

    def _read(self, record: int) -> Sample:
        about = self.manifest.records[record]
        mask_path = self.manifest.mask_path(about)
        mask = read_mask(mask_path) if self.masks and mask_path is not None else None
        sample = sample_of(about, read_picture(self.manifest.path(about)), mask)
        sample = cut(sample, sample.box if self.augment is None else grow(sample.box, self.margin))
        return sample if self._cache is None else self._for_cache(sample)

    def _keep(self, record: int, sample: Sample) -> bool:
        size = sample.rgb.nbytes + (0 if sample.mask is None else sample.mask.nbytes)
        if self._cache is None or size > self._cache_left:
            return False
        self._cache_left -= size
        self._cache[record] = sample
        return True

    def _for_cache(self, sample: Sample) -> Sample:
        if self.augment is None and not self.masks:
            return replace(
                sample, rgb=np.ascontiguousarray(resize(np.ascontiguousarray(sample.rgb), self.spec)), mask=None
            )
        _, _, width, height = sample.box
        wanted = WORKING_SCALE * max(self.spec.height / height, self.spec.width / width)
        smaller = shrink(sample, wanted)
        # Copies: a view would keep the whole decoded picture alive.
        mask = None if smaller.mask is None else smaller.mask.copy()
        return replace(smaller, rgb=np.ascontiguousarray(smaller.rgb).copy(), mask=mask)


def number_persons(records: Sequence[Record]) -> list[int]:
    """Number the persons of records from 0: one number per person id, and one for every record without an id."""
    numbers: dict[tuple[str, str], int] = {}
    keys = [
        ("person", record.person_id) if record.person_id is not None else ("record", record.id) for record in records
    ]
    return [numbers.setdefault(key, len(numbers)) for key in keys]
