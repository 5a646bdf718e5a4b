"""``onlooker evaluate``: how well a model finds pictures by text, with numbers, intervals and the worst misses."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from onlooker.datasets.manifest import Manifest
    from onlooker.evaluation.paraphrases import Robustness
    from onlooker.evaluation.reliability import Reliability
    from onlooker.evaluation.runner import Evaluation
    from onlooker.runtime.calibration import Calibration
    from onlooker.runtime.encoder import EncoderLike

SHIPPED = "shipped"
"""The word for the bundle that comes with the package."""


class SplitChoice(str, Enum):
    """The part of a manifest to measure on."""

    train = "train"
    val = "val"
    test = "test"
    all = "all"


class TextsChoice(str, Enum):
    """The texts that ask."""

    captions = "captions"
    phrases = "phrases"
    all = "all"


class ProtocolChoice(str, Enum):
    """Which picture is right for which text."""

    image = "image"
    person = "person"
    auto = "auto"


class DirectionChoice(str, Enum):
    """Which side asks."""

    text_to_image = "text-to-image"
    image_to_text = "image-to-text"
    both = "both"


def run(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help='A bundle or checkpoint folder, the name of a bundle of the package (base, small), or "shipped".',
            show_default=False,
        ),
    ],
    data: Annotated[
        Path,
        typer.Option("--data", metavar="MANIFEST", help="The manifest, from onlooker prepare.", show_default=False),
    ],
    split: Annotated[SplitChoice, typer.Option(help="The part to measure on; keep test for the very end.")] = (
        SplitChoice.val
    ),
    texts: Annotated[
        TextsChoice, typer.Option(help="Descriptions, short search phrases, or both.")
    ] = TextsChoice.captions,
    protocol: Annotated[
        ProtocolChoice,
        typer.Option(help="Right is a text's own picture, or all pictures of the person; auto looks for person ids."),
    ] = ProtocolChoice.auto,
    direction: Annotated[DirectionChoice, typer.Option(help="Which side asks.")] = DirectionChoice.both,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write report.json, report.md, misses.html and curve.png into this folder.",
            show_default=False,
        ),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the first pictures of every text with their similarities: .csv or .json.",
            show_default=False,
        ),
    ] = None,
    paraphrases: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also measure the same texts in other words, kind by kind: .jsonl with id, kind, text and of.",
            show_default=False,
        ),
    ] = None,
    confidence: Annotated[
        bool,
        typer.Option(
            "--confidence",
            help="Also measure the bundle's confidences: calibration error, and who is found to be nobody.",
        ),
    ] = False,
    twins: Annotated[
        bool,
        typer.Option(
            "--twins",
            help="Also run the swap test: the photograph or its twin whose two garment colours are exchanged "
            "(needs garment masks).",
        ),
    ] = False,
    reid: Annotated[
        bool,
        typer.Option(
            "--reid",
            help="Measure re-identification instead: pictures find other cameras' pictures of the same person "
            "(needs person ids; no texts).",
        ),
    ] = False,
    top: Annotated[int, typer.Option(min=1, metavar="K", help="Pictures per text in --results.")] = 10,
    misses: Annotated[int, typer.Option(min=1, metavar="N", help="Texts on the page of the worst misses.")] = 24,
    bootstrap: Annotated[
        int, typer.Option(min=0, metavar="N", help="Draws for the 95 % intervals; 0 for none.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the draws.")] = 0,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Take the first N records only: a quick look, no result.", show_default=False),
    ] = None,
    save_vectors: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the vectors of pictures and texts: .npz.", show_default=False),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, metavar="N", help="Pictures or texts encoded together.")] = 32,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Measure the retrieval quality of a bundle or checkpoint on a manifest.

    R@1, R@5, R@10, mAP, mINP, median and mean rank, text to image and image to text, with 95 % bootstrap intervals that
    draw whole pictures (image protocol) or persons (person protocol). Ties count against the model. Texts without a
    right picture are left out of the means and counted. With --reid pictures ask, and pictures from other cameras are
    to be found.

    \b
    Examples:
      onlooker evaluate shipped --data street.jsonl
      onlooker evaluate runs/base --data street.jsonl --texts phrases --out report/
      onlooker evaluate bundle/ --data cuhk.jsonl --split test --protocol person --json
      onlooker evaluate runs/seed --data flickr8k.jsonl --results retrieval_results.csv
      onlooker evaluate shipped --data street.jsonl --paraphrases benchmarks/paraphrases.jsonl
      onlooker evaluate shipped --data street.jsonl --texts all --confidence --out report/
      onlooker evaluate base --data street.jsonl --twins
      onlooker evaluate base --data market.jsonl --split test --reid
    """  # noqa: D301
    from onlooker.cli.console import note, progress
    from onlooker.datasets.manifest import Manifest
    from onlooker.errors import ConfigError
    from onlooker.evaluation import encoding
    from onlooker.evaluation import paraphrases as wording
    from onlooker.evaluation import reliability as trust
    from onlooker.evaluation.report import DIRECTIONS, to_text
    from onlooker.evaluation.results import check_path, save_results
    from onlooker.evaluation.runner import evaluate
    from onlooker.evaluation.twins import measure_twins
    from onlooker.evaluation.twins import to_text as swap_to_text
    from onlooker.files import write_json

    # Whatever is wrong with the command itself is said before the minutes of encoding.
    if results is not None:
        check_path(results)
        if direction is DirectionChoice.image_to_text:
            raise ConfigError("--results are of text to image: leave --direction image-to-text away")
    if paraphrases is not None:
        if direction is DirectionChoice.image_to_text:
            raise ConfigError("--paraphrases are of text to image: leave --direction image-to-text away")
        if limit is not None:
            raise ConfigError("--paraphrases are measured among all records: leave --limit away")
    if save_vectors is not None:
        encoding.check_vectors_path(save_vectors)
    if out is not None and out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file; --out wants a folder")

    if reid:
        texts_only = {
            "--results": results,
            "--paraphrases": paraphrases,
            "--confidence": confidence,
            "--twins": twins,
            "--limit": limit,
            "--save-vectors": save_vectors,
        }
        given = [name for name, value in texts_only.items() if value]
        if given:
            raise ConfigError(f"--reid measures pictures against pictures: leave {' and '.join(given)} away")

    manifest = Manifest.load(data)
    if split is not SplitChoice.all:
        manifest = manifest.split(split.value)
    if reid:
        _measure_reid(model, manifest, split, out=out, bootstrap=bootstrap, seed=seed, batch_size=batch_size, json=json)
        return
    other_words = wording.load(paraphrases, manifest) if paraphrases is not None else []
    encoder = open_model(model)
    calibration = _calibration_of(encoder, model) if confidence else None
    measured = manifest.records[:limit] if limit else manifest.records
    total = encoding.steps(measured, texts.value) + wording.steps(other_words, manifest)
    with progress("Encoding", total, unit="pictures and texts") as advance:
        evaluation = evaluate(
            encoder,
            manifest,
            protocol=protocol.value,
            texts=texts.value,
            directions=DIRECTIONS if direction is DirectionChoice.both else (direction.value,),
            bootstrap=bootstrap,
            seed=seed,
            limit=limit,
            batch_size=batch_size,
            model=_name(model),
            advance=advance,
        )
        robustness = None
        if paraphrases is not None:
            robustness = wording.measure(
                encoder,
                evaluation.encoded,
                other_words,
                protocol=evaluation.report.protocol,
                source=paraphrases.name,
                bootstrap=bootstrap,
                seed=seed,
                batch_size=batch_size,
                advance=advance,
            )
    reliability = None
    if calibration is not None:
        here = {"dataset": manifest.dataset, "split": split.value}.items() <= calibration.data.items()
        reliability = trust.measure_encoded(evaluation.encoded, calibration, fitted_here=here, seed=seed)
    swap = measure_twins(encoder, manifest, seed=seed, bootstrap=max(2, bootstrap)) if twins else None
    for skipped in evaluation.report.skipped:
        note(f"skipped {skipped.id}: {skipped.reason}")

    if out is not None:
        _write_report(evaluation, robustness, reliability, out, misses)
        if swap is not None:
            write_json(out / "twins.json", swap.to_dict())
            note(f"wrote {out / 'twins.json'}")
    if results is not None:
        save_results(evaluation, results, top)
        note(f"wrote {results}")
    if save_vectors is not None:
        evaluation.encoded.save(save_vectors, model=encoder.bundle_id)
        note(f"wrote {save_vectors}")
    if json:
        from json import dumps

        printed = evaluation.report.to_dict()
        if robustness is not None:
            printed["paraphrases"] = robustness.to_dict()
        if reliability is not None:
            printed["confidence"] = reliability.to_dict()
        if swap is not None:
            printed["twins"] = swap.to_dict()
        print(dumps(printed, indent=2, ensure_ascii=False))
    else:
        print(to_text(evaluation.report))
        if robustness is not None:
            print(f"\n{wording.to_text(robustness)}")
        if reliability is not None:
            print(f"\n{trust.to_text(reliability)}")
        if swap is not None:
            print(f"\n{swap_to_text(swap)}")


def _measure_reid(
    model: str,
    manifest: Manifest,
    split: SplitChoice,
    *,
    out: Path | None,
    bootstrap: int,
    seed: int,
    batch_size: int,
    json: bool,
) -> None:
    from onlooker.cli.console import note, progress
    from onlooker.evaluation.reidentification import measure, to_text

    encoder = open_model(model)
    with progress("Encoding", len(manifest), unit="pictures") as advance:
        found = measure(
            encoder,
            manifest,
            bootstrap=bootstrap,
            seed=seed,
            batch_size=batch_size,
            model=_name(model),
            split=split.value,
            advance=advance,
        )
    for skipped in found.skipped:
        note(f"skipped {skipped.id}: {skipped.reason}")
    if out is not None:
        note(f"wrote {found.save(out)}")
    if json:
        from json import dumps

        print(dumps(found.to_dict(), indent=2, ensure_ascii=False))
    else:
        print(to_text(found))


def open_model(model: str) -> EncoderLike:
    """Open what MODEL names.

    Args:
        model: "shipped", the name of a shipped bundle, a bundle folder (it holds ``model.json``), or a checkpoint
            folder; a folder comes before a name.

    Raises:
        ConfigError: If there is no such folder.
        BundleError: If the bundle is damaged.
        DataError: If the folder is neither a bundle nor a checkpoint.
        MissingExtraError: If it is a checkpoint and the training extra is not installed.
    """
    from onlooker.errors import ConfigError, MissingExtraError
    from onlooker.runtime.bundle import MODEL_JSON, Bundle, open_bundle, shipped_names

    folder = Path(model)
    named = not folder.exists() and model in shipped_names()
    if named or model == SHIPPED or (folder / MODEL_JSON).is_file():
        from onlooker.runtime.encoder import Encoder

        return Encoder.open(Bundle.shipped() if model == SHIPPED else open_bundle(folder))
    if not folder.is_dir():
        raise ConfigError(f'there is no folder {model}; give a bundle, a checkpoint, or the word "{SHIPPED}"')
    try:
        from onlooker.encoders.checkpoint import open_encoder
    except ImportError as error:
        raise MissingExtraError(
            f"{model} holds no {MODEL_JSON}, so it would be a checkpoint, and opening one needs the training extra "
            f"({error}): pip install 'onlooker[train]'"
        ) from error
    return open_encoder(folder)


def _calibration_of(encoder: EncoderLike, model: str) -> Calibration:
    from onlooker.errors import ConfigError
    from onlooker.runtime.calibration import calibration_of

    calibration = calibration_of(encoder)
    if calibration is None:
        raise ConfigError(
            f"--confidence: {model} has no confidences to measure; export a bundle with --data and a training split"
        )
    return calibration


def _name(model: str) -> str:
    return model if model == SHIPPED else Path(model).resolve().name


def _write_report(
    evaluation: Evaluation, robustness: Robustness | None, reliability: Reliability | None, out: Path, misses: int
) -> None:
    from onlooker.cli.console import note
    from onlooker.errors import MissingExtraError
    from onlooker.evaluation.misses import save_misses
    from onlooker.evaluation.plots import save_curve
    from onlooker.evaluation.reliability import save_reliability

    written = evaluation.report.save(out)
    if robustness is not None:
        written += robustness.save(out)
    if reliability is not None:
        written += save_reliability(reliability, out)
    if "text-to-image" in evaluation.rankings:
        save_misses(evaluation, out / "misses.html", misses)
        written.append(out / "misses.html")
    try:
        save_curve(evaluation, out / "curve.png")
        written.append(out / "curve.png")
    except MissingExtraError as error:
        note(f"no curve.png: {error}")
    note("wrote " + ", ".join(str(path) for path in written))
