"""What the gallery keeps of the people found: of a track, and of each person in a photo."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from onlooker.footage.views import View, cut
from onlooker.gallery.records import Sighting, SightingView
from onlooker.runtime.pictures import encode_jpeg

if TYPE_CHECKING:
    from onlooker.footage.detections import Detector
    from onlooker.footage.tracks import Track, TrackRules

JPEG_QUALITY = 90


def people_in(rgb: NDArray[np.uint8], detector: Detector, rules: TrackRules) -> list[View]:
    """Return a view of each person in a photo who is tall and sure enough.

    Args:
        rgb: uint8 (h, w, 3).
        detector: Finds them.
        rules: Says what is enough.
    """
    found = detector.detect(rgb)
    tall = found.boxes[:, 3] - found.boxes[:, 1] >= rules.least_height_px
    found = found.take(tall & (found.scores >= rules.least_photo_score))
    views = [cut(rgb, box, float(score)) for box, score in zip(found.boxes, found.scores, strict=True)]
    return [view for view in views if view is not None]


def photo_sightings(
    views: Sequence[View], vectors: NDArray[np.float32], *, camera: str, source: str, time: datetime | None
) -> list[Sighting]:
    """Make of the people in a photo what is stored of them.

    Args:
        views: The people.
        vectors: float32 (n, d), one for each.
        camera: The camera.
        source: The photo.
        time: When it was taken, where that is known.
    """
    return [
        Sighting(
            camera=camera,
            source=source,
            time=time,
            time_s=None,
            end_s=None,
            box=view.box,
            crop=encode_jpeg(view.crop, JPEG_QUALITY),
            vector=vector,
            score=view.score,
        )
        for view, vector in zip(views, vectors, strict=True)
    ]


def track_sighting(
    track: Track,
    *,
    camera: str,
    source: str,
    base: datetime | None,
    offset_s: float = 0.0,
    with_views: bool = True,
) -> Sighting:
    """Make of a track what is stored of it, still without a number.

    Args:
        track: With vectors.
        camera: The camera.
        source: Where it goes.
        base: When the clock of the track was at 0, where that is known.
        offset_s: What is added to the track's times to make them seconds of the source.
        with_views: Keep its views; a whole frame has one look, which its crop and vector are.
    """
    assert track.vector is not None
    views = tuple(
        SightingView(
            time_s=view.time_s + offset_s,
            box=view.box,
            crop=encode_jpeg(view.crop, JPEG_QUALITY),
            vector=track.vector if view.vector is None else view.vector,
        )
        for view in track.views
    )
    best = track.views[0]
    return Sighting(
        camera=camera,
        source=source,
        time=None if base is None else base + timedelta(seconds=best.time_s),
        time_s=best.time_s + offset_s,
        start_s=track.start_s + offset_s,
        end_s=track.end_s + offset_s,
        box=best.box,
        crop=views[0].crop,
        vector=track.vector,
        score=best.score,
        views=views if with_views else (),
    )
