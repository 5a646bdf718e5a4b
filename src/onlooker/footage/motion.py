"""Whether anything moves in front of a camera, so that an empty scene need not be searched for people.

A frame is made small and grey and compared with two means of those before it: a slow one, from which somebody differs
who crosses the picture at leisure, and a quick one, from which a place no longer differs soon after somebody has left
it. It is meant to err on the side of looking.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.float32]


@dataclass(frozen=True)
class MotionOptions:
    """When a frame is worth a look.

    Attributes:
        side_px: A frame is divided by the whole number that brings its longer side to this at most; somebody 40 px tall
            in a frame 1920 wide keeps 7.
        memory_s: Time constant of the slow mean. Who stands still fades into it.
        lately_s: Time constant of the quick mean.
        least_step: A cell has changed where it differs from both means by this much, in grey levels of 0..255,
        noise_factor: and by this many times what cells differ by in the median, but never by more than
        most_step: which suffices for any change.
        least_cells: So many changed cells are a movement.
        staying: While something moves, this part of the least step and of the cells is enough for it to go on
            (hysteresis).
        hold_s: Frames are looked at for this long after the last movement.
        longest_s: Frames are never passed over for longer than this.
        whole: Where this part of all cells has changed, the camera was turned, or somebody fills the picture, and
        light_jump: where the whole became brighter or darker by this factor at once, the light was switched: the frame
            is looked at and the mean begins anew.
    """

    side_px: int = 320
    memory_s: float = 8.0
    lately_s: float = 1.0
    least_step: float = 4.0
    noise_factor: float = 8.0
    most_step: float = 12.0
    least_cells: int = 3
    staying: float = 0.6
    hold_s: float = 1.0
    longest_s: float = 2.0
    whole: float = 0.5
    light_jump: float = 1.2


class MotionGate:
    """Says of each frame of one camera, in order, whether to look for people in it.

    Call ``moved`` for each frame and, when people were found in one, ``seen``: somebody who stands still is looked at
    for as long as the detector finds him or her.

    >>> import numpy as np
    >>> gate = MotionGate()
    >>> empty = np.full((90, 160, 3), 80, np.uint8)
    >>> [gate.moved(empty, time_s / 2) for time_s in range(9)]
    [True, True, True, False, False, False, True, False, False]
    """

    def __init__(self, options: MotionOptions | None = None) -> None:
        """Begin without having seen anything.

        Args:
            options: When a frame is worth a look; the usual where None.
        """
        self._options = options or MotionOptions()
        self._mean: Grey | None = None
        self._lately: Grey | None = None
        self._time_s = 0.0
        self._looked_s = 0.0
        self._until_s = 0.0
        self._moving = False

    def moved(self, rgb: NDArray[np.uint8], time_s: float) -> bool:
        """Take the next frame, and say whether to look for people in it.

        Args:
            rgb: uint8 (h, w, 3).
            time_s: When it was taken, in seconds from any fixed moment; not before that of the last frame (a clock
                that was put back begins anew).

        Returns:
            Whether something moves or has just moved, people were found lately, or it is time for a look anyway.
        """
        grey = self._small(rgb)
        if self._mean is None or self._mean.shape != grey.shape or time_s < self._time_s:
            self._begin(grey, time_s)
        elif self._changed(grey, time_s - self._time_s):
            self._until_s = time_s + self._options.hold_s
        self._time_s = time_s
        # Rounding of times must not turn a gap of exactly longest_s into a longer one.
        look = time_s <= self._until_s or time_s - self._looked_s >= self._options.longest_s - 1e-6
        if look:
            self._looked_s = time_s
        return look

    def seen(self, time_s: float) -> None:
        """Say that people were found in the frame of a time: the following ones are looked at too."""
        self._until_s = max(self._until_s, time_s + self._options.hold_s)

    def _begin(self, grey: Grey, time_s: float) -> None:
        self._mean, self._lately, self._moving = grey, grey, False
        self._looked_s = time_s
        self._until_s = time_s + self._options.hold_s

    def _small(self, rgb: NDArray[np.uint8]) -> Grey:
        """Return a frame small, grey and a little blurred, so that the noise of single pixels is less."""
        height, width = rgb.shape[:2]
        # Whole cells of a whole number of pixels are averaged many times faster than others.
        divisor = max(1, -(-max(height, width) // self._options.side_px))
        wh = (max(1, width // divisor), max(1, height // divisor))
        whole = rgb[: wh[1] * divisor, : wh[0] * divisor]
        small = cv2.resize(np.ascontiguousarray(whole), wh, interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
        return np.asarray(cv2.blur(grey, (3, 3)), np.float32)

    def _changed(self, grey: Grey, passed_s: float) -> bool:
        """Compare a frame with the means and bring them up to it."""
        options, mean, lately = self._options, self._mean, self._lately
        assert mean is not None
        assert lately is not None
        # A cloud or the camera's own exposure brightens everything by one factor; that is no movement.
        level = _median(grey) + 1
        lighter = level / (_median(mean) + 1)
        difference = cv2.absdiff(grey, mean * np.float32(lighter))
        since = np.asarray(cv2.absdiff(grey, lately * np.float32(level / (_median(lately) + 1))), np.float32)
        noise = options.noise_factor * _median(since)
        part = options.staying if self._moving else 1.0
        step = min(max(options.least_step * part, noise), options.most_step)
        switched = not 1 / options.light_jump < lighter < options.light_jump
        if switched or np.count_nonzero(difference > step) > options.whole * difference.size:
            self._mean, self._lately, self._moving = grey, grey, True
            return True
        cells = int(np.count_nonzero(np.minimum(difference, since) > step))
        self._mean = _nearer(mean * np.float32(lighter), grey, passed_s / options.memory_s)
        self._lately = _nearer(lately, grey, passed_s / options.lately_s)
        self._moving = cells >= options.least_cells * part
        return self._moving


def _nearer(mean: Grey, grey: Grey, times: float) -> Grey:
    """Bring a mean nearer to a frame after so many of its time constants."""
    part = float(1 - np.exp(-times))
    return np.asarray(cv2.addWeighted(mean, 1 - part, grey, part, 0), np.float32)


def _median(values: Grey) -> float:
    """Return the median of every fourth cell both ways: exact enough, and a sixteenth of the work."""
    return float(np.median(values[::4, ::4]))
