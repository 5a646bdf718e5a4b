"""The one error tree of the project.

    OnlookerError                exit 1   something failed while running
    ├── TrainingError            exit 1   a run went wrong (NaN loss, adapters that do not merge)
    ├── ExportError              exit 1   an exported file does not do what the model does
    ├── SourceError              exit 1   a camera or another source gives no pictures; has a ``kind``
    ├── MissingExtraError        exit 2   an optional dependency is not installed        (also ImportError)
    └── InputError               exit 2   what the user gave cannot be used              (also ValueError)
        ├── ConfigError                   a setting, a recipe key, a command line value
        ├── DataError                     an annotation file, a manifest
        ├── PictureError                  a picture that cannot be read
        ├── VideoError                    a video that cannot be read
        ├── BundleError                   a bundle that is missing, damaged or of another format
        ├── ProviderError                 an execution provider that is not there
        ├── GalleryError                  a gallery file that cannot be used
        └── QueryError                    a query or filter that cannot be answered

Libraries raise these; only ``onlooker.cli`` prints them and exits with ``exit_code``. A message is one sentence that
names the file, line, key or value, and says what to do.
"""

from __future__ import annotations


class OnlookerError(Exception):
    """Something failed while running; base of every error that Onlooker raises on purpose."""

    exit_code = 1


class TrainingError(OnlookerError):
    """A training run cannot go on: a NaN loss, adapters that do not merge, no trainable parameter."""


class ExportError(OnlookerError):
    """An exported file does not reproduce the model it came from."""


class SourceError(OnlookerError):
    """A camera or another source gives no pictures; the message holds no secret.

    Attributes:
        kind: "unreachable" (nobody answers, or there is no such stream), "refused" (sign-in), "codec" (something that
            cannot be decoded), "frozen" (nothing comes any more), "ended" (the connection or the file is at its end) or
            "garbage" (what comes is damaged).
    """

    def __init__(self, message: str, kind: str = "unreachable") -> None:
        super().__init__(message)
        self.kind = kind


class MissingExtraError(OnlookerError, ImportError):
    """An optional dependency is not installed; the message holds the install line."""

    exit_code = 2


class InputError(OnlookerError, ValueError):
    """What the user gave cannot be used."""

    exit_code = 2


class ConfigError(InputError):
    """A setting, a recipe key or a command line value is wrong."""


class DataError(InputError):
    """An annotation file or a manifest is broken or does not fit the pictures."""


class PictureError(InputError):
    """A picture cannot be read."""


class VideoError(InputError):
    """A video cannot be read."""


class BundleError(InputError):
    """A bundle is missing, damaged, or of a format this version does not know."""


class ProviderError(InputError):
    """The execution provider that was asked for is not available on this machine."""


class GalleryError(InputError):
    """A gallery file cannot be opened, is of a newer format, or was made with another bundle."""


class QueryError(InputError):
    """A query or a filter cannot be answered: empty text, unknown camera, empty gallery."""
