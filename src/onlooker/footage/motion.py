"""Whether anything moves in front of a camera, so that an empty scene need not be searched for people.

A frame is made small and grey and compared with a slow mean of those before it. This costs about a hundredth of a
detection and is meant to err on the side of looking.
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
        side_px: The longer side of a frame is brought to this; somebody 40 px tall in a frame 1920 wide keeps 7.
        memory_s: Time constant of the mean that frames are compared with. Who stands still fades into it.
        least_step: A cell has changed where it differs by this much, in grey levels of 0..255,
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
    least_step: float = 4.0
    noise_factor: float = 8.0
    most_step: float = 12.0
    least_cells: int = 3
    staying: float = 0.6
    hold_s: float = 1.5
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
    [True, True, True, True, False, False, False, True, False]
    """

    def __init__(self, options: MotionOptions | None = None) -> None:
        """Begin without having seen anything.

        Args:
            options: When a frame is worth a look; the usual where None.
        """
        self._options = options or MotionOptions()
        self._mean: Grey | None = None
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
        self._mean, self._moving = grey, False
        self._looked_s = time_s
        self._until_s = time_s + self._options.hold_s

    def _small(self, rgb: NDArray[np.uint8]) -> Grey:
        """Return a frame small, grey and a little blurred, so that the noise of single pixels is less."""
        height, width = rgb.shape[:2]
        part = min(1.0, self._options.side_px / max(height, width))
        wh = (max(1, round(width * part)), max(1, round(height * part)))
        small = cv2.resize(np.ascontiguousarray(rgb), wh, interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
        return np.asarray(cv2.blur(grey, (3, 3)), np.float32)

    def _changed(self, grey: Grey, passed_s: float) -> bool:
        """Compare a frame with the mean and bring the mean up to it."""
        options, mean = self._options, self._mean
        assert mean is not None
        # A cloud or the camera's own exposure brightens everything by one factor; that is no movement.
        lighter = (float(np.median(grey)) + 1) / (float(np.median(mean)) + 1)
        mean = mean * np.float32(lighter)
        difference = np.abs(grey - mean)
        noise = options.noise_factor * float(np.median(difference))
        part = options.staying if self._moving else 1.0
        step = min(max(options.least_step * part, noise), options.most_step)
        cells = int(np.count_nonzero(difference > step))
        switched = not 1 / options.light_jump < lighter < options.light_jump
        if switched or cells > options.whole * difference.size:
            self._mean, self._moving = grey, True
            return True
        self._mean = mean + (grey - mean) * np.float32(1 - np.exp(-passed_s / options.memory_s))
        self._moving = cells >= options.least_cells * part
        return self._moving
