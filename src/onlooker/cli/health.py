"""``onlooker health``: tell a supervisor whether ``onlooker watch`` is going well."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer


def run(
    config: Annotated[
        Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration that is watched.")
    ] = Path("onlooker.toml"),
    state: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="The state file, instead of the configuration.", show_default=False),
    ] = None,
    every_camera: Annotated[
        bool, typer.Option("--every-camera", help="Let a single camera that gives no pictures count as not healthy.")
    ] = False,
    stale: Annotated[
        float, typer.Option(metavar="SECONDS", min=6, help="After so long without news it hangs or is gone.")
    ] = 30.0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say whether onlooker watch is going well, and why not.

    It is not when it was stopped, has said nothing for a while, cannot store anything (a full disk), or no camera at
    all gives pictures. Cameras that are down while others run are named; starting anew would not mend them.

    \b
    Examples:
      onlooker health
      onlooker health --state /data/people.db.watch.json --json
      HEALTHCHECK CMD ["onlooker", "health", "--state", "/data/people.db.watch.json"]

    \b
    Exit codes:
      0  it is going well
      1  it is not; the reasons are printed
      2  the configuration or the state file cannot be read
    """  # noqa: D301
    from onlooker.footage.live import utc_now
    from onlooker.footage.status import read_health, state_file

    if state is None:
        from onlooker.footage.cameras import load_configuration

        state = state_file(load_configuration(config).gallery)
    health = read_health(state, utc_now(), every_camera=every_camera, stale_s=stale)
    if json:
        from json import dumps

        values = {"healthy": health.well, "reasons": list(health.reasons), "remarks": list(health.remarks)}
        print(dumps(values, ensure_ascii=False))
    else:
        for line in health.reasons or ("healthy",):
            print(line)
        for line in health.remarks:
            print(f"note: {line}")
    if not health.well:
        raise typer.Exit(1)
