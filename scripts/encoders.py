"""Train f_m and f_R of a run's full model in QKeras, in situ; compare them with the float model, size them for hls4ml.

    python scripts/encoders.py --run runs/demo --encoders f_m f_r --pooling strided

Reads the run's events and train/codae.keras. Writes f_m.npz and f_r.npz (QKeras, weights as integer words),
encoders.json and encoders.md into --out, here runs/demo/encoders. --hls converts what hls4ml can take and compares
words.

    python scripts/encoders.py --run runs/published --costs --bits 8 6 5 4 --files TEST/*.npz

--costs: what each swap of layers, all of them and each width cost, on the same events. Nothing is trained in situ; the
encoders in firmware layers are fitted to the float ones on QCD. Writes costs.json and costs.md into --out.

    python scripts/encoders.py --size paper --untrained --out runs/f_m

--untrained needs no run: f_m of an untrained CoDAE, quantized, as an io_stream hls4ml project, since what it costs
depends on shapes and widths alone; --of RUN takes the f_m of a run's full model. Writes published.json and the
project, which scripts/vendor.py can synthesise. --reuse 0 looks for the shortest interval that fits the part. Events
that differ end the command with status 1.
"""

import dataclasses
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.data.base.config import dump
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import whole_file, write_json
from codae_l1.scripts._seeds import require_seeds
from codae_l1.scripts.run import cli, stage
from codae_l1.scripts.run.options import Companions
from codae_l1.scripts.studies.projects import fail_where_different
from codae_l1.scripts.studies.published import SIZES, published_f_m, published_table

if TYPE_CHECKING:
    from codae_l1.scripts.run.run import Run


# Scores in the table; the JSON has them all.
SHOWN = ("mse", "invented", "block_power", "z0")


def command() -> None:
    """Parse the arguments, train and validate, or take f_m as it is; write."""
    arguments = _parse()
    cli.output("--out", arguments.out, "folder of encoders", run=arguments.run)
    if arguments.untrained:
        _untrained(arguments)
        return
    if arguments.run is None:
        raise InputError("no --run", "a run folder whose full model is trained", "name one, or add --untrained")
    if arguments.hls:
        from codae_l1.hls.target.compiler import find_compiler

        # Said before hours of training, not behind them.
        find_compiler()
    run = stage.open_run(arguments.run, None)
    cli.import_tensorflow(run.config.training.deterministic)
    run.require("train")
    if arguments.costs:
        from codae_l1.scripts.studies.costs import costs_table, encoder_costs

        print(costs_table(encoder_costs(run, arguments, arguments.out or run.path("encoders"))), flush=True)
        return
    print(table(work(run, arguments, arguments.out or run.path("encoders"))), flush=True)


def _parse() -> Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("--untrained", action="store_true", help="what f_m would cost, without a training here")
    parser.add_argument("--out", type=Path, help="folder to write (default: encoders in the run folder)")
    parser.add_argument("--weight-bits", type=int, help="width of the weights (8; 6 with --untrained)")
    parser.add_argument("--word-bits", type=int, help="width of the layers' results (8)")
    parser.add_argument("--events", type=int, help="QCD events per epoch (2048); test events to compare (8)")
    training, published = Companions(parser, "--untrained", present=False), Companions(parser, "--untrained")
    parser.add_argument("--costs", action="store_true", help="what swaps and widths cost, without training in situ")
    costs = Companions(parser, "--costs")
    costs.add("--bits", "widths of weights and words", (8, 6, 5, 4), nargs="+", type=int)
    costs.add("--qat-steps", "steps of quantization-aware training of each width", 20, type=int)
    costs.add("--files", "events to compare on, besides the run's test events", (), nargs="+", type=Path)
    costs.add("--most", "test events of each signal, and five times as many of QCD; 0: all", 0, type=int)
    encoders = ("f_m", "f_r")
    training.add("--run", "run folder whose full model is trained", type=Path)
    training.add("--encoders", "which of the two", encoders, nargs="+", choices=encoders)
    training.add("--slope", "slope of the ReLU below zero: 0 or a power of two", 0.0, type=float)
    training.add("--pooling", "how f_m halves its grid", "strided", choices=("strided", "2x2"))
    training.add("--warm-up-steps", "steps of the float version, before quantization", 1000, type=int)
    training.add("--epochs", "epochs of quantization-aware training in situ", 2, type=int)
    training.add("--warm-up-rate", "learning rate of these steps", 0.005, type=float)
    training.add("--hls", "convert with hls4ml (io_stream) and compare words", False, action="store_true")
    published.add("--size", "of the CoDAE", "paper", choices=tuple(SIZES))
    published.add("--seed", "of the CoDAE", 1, type=int)
    published.add("--of", "run folder whose full model's f_m is taken, in place of an untrained one", type=Path)
    published.add("--reuse", "reuse factor of all layers; 0: the fastest that fits", 0, type=int)
    published.add("--part", "FPGA", "xcvu13p-flga2577-2-e")
    published.add("--clock", "clock period in ns", 5.0, type=float)
    published.add("--forecast-only", "neither convert nor compile", False, action="store_true")
    published.add("--jobs", "files compiled at once", 2, type=int)
    arguments = parser.parse_args()
    _check_given(arguments)
    costs.settle(arguments)
    training.settle(arguments)
    published.settle(arguments)
    for name, value in {"weight_bits": (8, 6), "word_bits": (8, 8), "events": (2048, 8)}.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value[arguments.untrained])
    return arguments


def _check_given(arguments: Namespace) -> None:
    """Refuse what --costs and --of do not read; before defaults are filled in."""
    unread = {"--epochs": hasattr(arguments, "epochs"), "--hls": hasattr(arguments, "hls")}
    unread |= {"--untrained": arguments.untrained, "--weight-bits": arguments.weight_bits is not None}
    unread |= {"--word-bits": arguments.word_bits is not None}
    if arguments.costs and any(unread.values()):
        given = ", ".join(option for option, found in unread.items() if found)
        raise InputError(f"{given} with --costs", "--bits for the widths, no training in situ", f"leave {given} out")
    if hasattr(arguments, "of") and (hasattr(arguments, "size") or hasattr(arguments, "seed")):
        raise InputError("--size or --seed with --of", "the sizes and seed of the run", "leave them out")


def _untrained(arguments: Namespace) -> None:
    if arguments.out is None:
        raise InputError("--untrained", "--out beside it", "name a folder to write")
    if arguments.events < 1 or arguments.reuse < 0:
        raise InputError(f"--events {arguments.events} --reuse {arguments.reuse}", "at least 1 and 0", "correct them")
    if arguments.of is not None:
        cli.output("--out", arguments.out, "folder of encoders", run=arguments.of)
    require_seeds("--seed", [arguments.seed])
    cli.import_tensorflow()
    content = published_f_m(arguments)
    print(published_table(content), flush=True)
    fail_where_different([content])


def work(run: "Run", arguments: Namespace, out: Path) -> dict[str, Any]:
    """Quantize, validate, save; what encoders.json holds."""
    from codae_l1.data.pooling import track_mask
    from codae_l1.hls.hls4ml.encoders import predict_encoder
    from codae_l1.models.codae.codvae import load_codae
    from codae_l1.models.codae.scores import codae_scores, orientations
    from codae_l1.quantization.config import Training
    from codae_l1.quantization.encoders.config import EncoderConfig
    from codae_l1.quantization.encoders.in_situ import train_encoders, validate
    from codae_l1.scripts.run.events import read_each
    from codae_l1.scripts.run.folder import stamp

    names = ("weight_bits", "word_bits", "slope", "pooling", "warm_up_steps", "warm_up_rate")
    config = EncoderConfig(tuple(arguments.encoders), **{name: getattr(arguments, name) for name in names})
    in_situ = dataclasses.replace(run.config.in_situ, epochs=arguments.epochs, events=arguments.events)
    codae = load_codae(run.path("train", "codae.keras"))
    masks = {s: read_each(run, s, track_mask)[0] for s in ("train", "validation", "calibration")}
    test, signal = read_each(run, "test", track_mask, background_only=False)
    with cli.Progress("encoders") as progress:
        training = Training(in_situ=in_situ, seed=run.config.seed, progress=progress)
        trained = train_encoders(codae, masks["train"], masks["calibration"], config, training)
    signs = orientations(codae_scores(codae, masks["validation"]))
    content = {"config": dump(config), "in_situ": dump(in_situ), "history": trained.history}
    content["scores"] = validate(codae, trained.model, test, signal, signs)
    content["forecast"] = {
        part: {io: predict_encoder(part, codae.config, config, io).as_dict() for io in ("io_parallel", "io_stream")}
        for part in config.encoders
    }
    content["stamp"] = stamp(run.config.seed)
    write_json(out / "encoders.json", content)
    for part, encoder in trained.encoders.items():
        encoder.save(out / f"{part}.npz")
    if arguments.hls:
        content["hls4ml"] = _hls(trained.encoders, run.config.hls, test, out)
        write_json(out / "encoders.json", content)
    with whole_file(out / "encoders.md") as temporary:
        temporary.write_text(table(content) + "\n")
    return content


def _hls(encoders: dict[Any, Any], config: Any, masks: np.ndarray, out: Path) -> dict[str, Any]:
    """Encoder -> events compared and words that differ, or why hls4ml cannot take it."""
    from codae_l1.hls.hls4ml.encoders import convert_encoder

    found: dict[str, Any] = {}
    for part, encoder in encoders.items():
        try:
            project = convert_encoder(encoder, config, out / f"hls4ml_{part}")
        except InputError as error:
            found[part] = {"refused": str(error)}
            continue
        different = project.predict_words(masks) != encoder.predict_words(masks)[0].reshape(len(masks), -1)
        found[part] = {"events": len(masks), "different": int(different.any(axis=1).sum())}
    return found


def table(content: dict[str, Any]) -> str:
    """Markdown: AUC in % of the quantized model, what changed, rank correlation on QCD; then sizes."""
    signals = list(content["scores"]["mse"]["auc"])
    lines = [["score", "rank correlation", *signals], ["---"] * (2 + len(signals))]
    for score in SHOWN:
        entry, cells = content["scores"][score], []
        for signal in signals:
            auc = entry["auc"][signal]
            cells.append(f"{100 * auc['quantized']:.1f} ({-100 * auc['difference']:+.1f} ± {100 * auc['error']:.1f})")
        lines.append([score, f"{entry['rank_correlation']:.3f}", *cells])
    text = ["| " + " | ".join(line) + " |" for line in lines]
    text += ["", "AUC in % with QKeras encoders; in brackets what swaps and words changed [points], paired."]
    for part, sizes in content["forecast"].items():
        for io, size in sizes.items():
            at_once = f"{size['multiplications']:,} multiplications at once, largest array {size['largest_array']:,}"
            text.append(
                f"{part}, {io}: {size['parameters']:,} parameters, {at_once}, about {size['lut']:,} LUT predicted"
            )
    for part, result in content.get("hls4ml", {}).items():
        different = f"{result.get('different')} of {result.get('events')} events differ from QKeras"
        text.append(f"{part} in hls4ml: {result.get('refused', different)}")
    return "\n".join(text)


if __name__ == "__main__":
    cli.run(command)
