"""Options that several commands share, so that they read and behave alike."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

BundleOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        metavar="NAME|DIR",
        help="The name of a bundle of the package (base; small: faster, a little less exact), the folder of another "
        'one, or "fake" (colours of clothes, without a model).  [default: base]',
        show_default=False,
    ),
]
ThreadsOption = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(metavar="N", min=1, help="Threads to use.  [default: one a core]", show_default=False),
]
