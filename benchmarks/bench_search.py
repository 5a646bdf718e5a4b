"""Where the time and memory of ``onlooker search`` go, over galleries of several sizes.

    python benchmarks/bench_search.py
    python benchmarks/bench_search.py --sizes 10000 --runs 20 --bundle fake --json search.json

For each size it makes a gallery of random vectors and small crops, then measures

* the whole process, as a user starts it: wall time, processor time (steadier on a busy machine) and peak memory;
* its phases, timed inside a process of their own;
* the scan against a full float32 product with a full sort in NumPy, each run in turn with the other.

Times are medians with the smallest and the largest; the page cache is warm, since one run goes before. The table of
imports comes from ``python -X importtime`` and adds up each package's own modules; that way of running makes imports
slower, so its figures are shares rather than times.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

QUERY = "woman in a long grey cardigan and dark boots, carrying a red bag"
PHASES = ("interpreter", "command line", "imports", "bundle", "gallery", "text vector", "load and scan", "output")
FEW = 10
"""Sightings that the narrow filter of the scan comparison lets through."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure onlooker search.", epilog=__doc__.split("\n\n", 2)[1])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="sightings in a gallery")
    parser.add_argument("--runs", type=int, default=9, help="repetitions")
    parser.add_argument("--bundle", help='bundle folder, or "fake"; the shipped one where there is one, else "fake"')
    parser.add_argument("--folder", type=Path, help="where the galleries are kept; a temporary folder otherwise")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--phases-of", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    bundle = options.bundle or default_bundle()
    if options.phases_of:
        print(json.dumps(time_phases(options.phases_of, bundle)))
        return
    # As the command itself does for one query, and before NumPy is imported here or in a child.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        report = {"machine": machine(), "bundle": bundle, "sizes": []}
        print(f"{report['machine']}; bundle {bundle}; median [smallest..largest] of {options.runs} runs")
        for size in options.sizes:
            path = folder / f"bench-{size}-{Path(bundle).name}.db"
            make_gallery(path, size, bundle)
            report["sizes"].append(measure(path, size, bundle, options.runs))
        report["imports"] = import_shares(folder / f"bench-{options.sizes[0]}-{Path(bundle).name}.db", bundle)
        show_imports(report["imports"])
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def default_bundle() -> str:
    from onlooker.runtime.bundle import SHIPPED, shipped_names

    names = shipped_names()
    return str(SHIPPED / names[0]) if names else "fake"


def machine() -> str:
    import numpy

    return (
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, NumPy {numpy.__version__}, "
        f"load {os.getloadavg()[0]:.1f}"
    )


def make_gallery(path: Path, size: int, bundle: str) -> None:
    """Fill a gallery with random sightings; an existing file is kept."""
    import numpy as np
    from PIL import Image

    from onlooker.gallery.records import Sighting, SourceKey, SourceUpdate, from_microseconds
    from onlooker.gallery.store import Gallery
    from onlooker.runtime.encoder import bundle_name_of, open_encoder

    if path.exists():
        return
    encoder = open_encoder(bundle)
    random = np.random.default_rng(size)
    crops = []
    for _ in range(16):
        blob = io.BytesIO()
        noise = random.integers(0, 256, (24, 12, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((96, 192), Image.Resampling.BICUBIC).save(blob, "JPEG", quality=90)
        crops.append(blob.getvalue())
    with Gallery.open(
        path,
        encoder_id=encoder.bundle_id,
        dimension=encoder.dimension,
        bundle_name=bundle_name_of(encoder),
        create=True,
    ) as gallery:
        for start in range(0, size, 1000):
            camera = f"camera {start // 1000 % 20}"
            vectors = random.normal(size=(min(1000, size - start), encoder.dimension)).astype(np.float32)
            source = SourceUpdate(key=SourceKey(f"{start:064d}", camera), name=f"{start}.mp4", complete=True)
            sightings = [
                Sighting(
                    camera=camera,
                    source=source.name,
                    time=from_microseconds(1_700_000_000_000_000 + (start + row) * 1_000_000),
                    time_s=float(row),
                    end_s=float(row) + 2,
                    box=(10, 20, 96, 192),
                    crop=crops[row % len(crops)],
                    vector=vector,
                    score=0.9,
                    track=row,
                )
                for row, vector in enumerate(vectors)
            ]
            gallery.commit(source, sightings)


def measure(path: Path, size: int, bundle: str, runs: int) -> dict[str, Any]:
    """Measure one gallery and print its part of the report."""
    command = [sys.executable, "-m", "onlooker", "search", QUERY, "--gallery", str(path), "--bundle", bundle, "--json"]
    run_child(command)
    walls, busy, peaks = zip(*(run_child(command) for _ in range(runs)), strict=True)
    phases: dict[str, list[float]] = defaultdict(list)
    for _ in range(runs):
        started = time.time()
        child = [sys.executable, __file__, "--phases-of", str(path), "--bundle", bundle]
        found = json.loads(subprocess.run(child, check=True, capture_output=True, text=True).stdout)
        phases["interpreter"].append((found.pop("began") - started) * 1e3)
        for name, value in found.items():
            phases[name].append(value)
    scans = compare_scans(path, runs)

    print(f"\n{size:,} sightings, {path.stat().st_size / 1e6:,.0f} MB on disk")
    print(f"  whole process   {spread(walls)} ms, peak memory {statistics.median(peaks):.0f} MB")
    print(f"    processor     {spread(busy)} ms of user and system time")
    for name in PHASES:
        print(f"    {name:<14}{spread(phases[name])} ms")
    for name, values in scans.items():
        print(f"  {name:<32}{spread(values)} ms")
    return {
        "sightings": size,
        "wall_ms": walls,
        "processor_ms": busy,
        "peak_mb": peaks,
        "phases_ms": dict(phases),
        "scans_ms": scans,
    }


def run_child(command: list[str]) -> tuple[float, float, float]:
    """Run a command; return its wall time and its processor time in ms, and its peak memory in MB."""
    started = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    elapsed = (time.perf_counter() - started) * 1e3
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {child.returncode}")
    return elapsed, (usage.ru_utime + usage.ru_stime) * 1e3, usage.ru_maxrss / 1024


def time_phases(path: Path, bundle: str) -> dict[str, float]:
    """Do what ``onlooker search`` does, step by step; ms of each step, and when this began."""
    began = START
    marks = [time.perf_counter()]

    def mark() -> None:
        marks.append(time.perf_counter())

    from onlooker.cli import load_command

    load_command("search")

    mark()
    from onlooker.gallery.results import to_json
    from onlooker.gallery.search import search
    from onlooker.gallery.store import Gallery
    from onlooker.runtime.encoder import open_encoder

    mark()
    encoder = open_encoder(bundle)
    mark()
    gallery = Gallery.open(path, encoder_id=encoder.bundle_id, dimension=encoder.dimension, read_only=True)
    mark()
    vector = encoder.encode_texts([QUERY])
    mark()
    (matches,) = search(gallery, vector, 10)
    mark()
    to_json(QUERY, matches)
    gallery.close()
    mark()
    steps = [(after - before) * 1e3 for before, after in itertools.pairwise(marks)]
    return {"began": began, **dict(zip(PHASES[1:], steps, strict=True))}


def compare_scans(path: Path, runs: int) -> dict[str, list[float]]:
    """Time the scan in memory against a full NumPy product and sort, in turn, for one query and for a filtered one."""
    import numpy as np

    from onlooker.gallery.scan import VectorScan
    from onlooker.gallery.store import Gallery

    with Gallery.open(path, read_only=True) as gallery:
        scans = {
            "scan, NumPy": VectorScan.load(gallery, faiss_rows=1 << 60),
            "scan, FAISS": VectorScan.load(gallery, faiss_rows=1),
        }
        ids, vectors, _ = gallery.vectors()
        dimension = gallery.info.dimension
    wide = vectors.astype(np.float32)
    random = np.random.default_rng(0)
    narrow, broad = ids[:: max(1, len(ids) // FEW)], ids[::2]
    ways: dict[str, Callable[[Any], Any]] = {
        "full sort, NumPy float32": lambda q: np.argsort(-(q @ wide.T), kind="stable")
    }
    for name, scan in scans.items():
        ways[name] = lambda q, scan=scan: scan.top(q, 10)
        ways[f"{name}, every second allowed"] = lambda q, scan=scan: scan.top(q, 10, broad)
        ways[f"{name}, {len(narrow)} allowed"] = lambda q, scan=scan: scan.top(q, 10, narrow)
    timed: dict[str, list[float]] = {name: [] for name in ways}
    for run in range(runs + 1):
        query = random.normal(size=(1, dimension)).astype(np.float32)
        query /= np.linalg.norm(query)
        for name, way in ways.items():
            started = time.perf_counter()
            way(query)
            if run:
                timed[name].append((time.perf_counter() - started) * 1e3)
    return timed


def import_shares(path: Path, bundle: str) -> dict[str, float]:
    """Return the ms each package's own modules take to import, under ``-X importtime``, largest first."""
    command = [sys.executable, "-X", "importtime", "-m", "onlooker", "search", QUERY, "--gallery", str(path)]
    done = subprocess.run([*command, "--bundle", bundle, "--json"], check=True, capture_output=True, text=True)
    shares: dict[str, float] = defaultdict(float)
    for own_us, name in re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", done.stderr):
        package = name.split(".")[0]
        shares["standard library" if package in sys.stdlib_module_names else package] += int(own_us) / 1e3
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def show_imports(shares: dict[str, float]) -> None:
    print("\nimports of one search, ms of own modules under -X importtime")
    for package, share in list(shares.items())[:12]:
        print(f"  {package:<24}{share:8.1f}")


def spread(values: Any) -> str:
    return f"{statistics.median(values):8.1f} [{min(values):.1f}..{max(values):.1f}]"


START = time.time()

if __name__ == "__main__":
    main()
