"""The known failures of hls4ml and of the tools behind it, predicted from a network's records before conversion.

A finding is fatal (the conversion, the vendor's tool or the machine would stop, or a layer would silently be left out)
or a note (hls4ml would use something other than requested). Each says what to do.
"""

from dataclasses import dataclass, replace

from codae_l1.data.base.errors import InputError
from codae_l1.hls.hls4ml._products import Product, largest_reuse, products, right_reuse
from codae_l1.hls.hls4ml._taken import known_classes
from codae_l1.hls.hls4ml.backends import BACKENDS
from codae_l1.hls.hls4ml.prediction import LARGEST_PRODUCT, PredictedProject, predict_project
from codae_l1.hls.layers import KINDS, Activation
from codae_l1.hls.network.records import Network
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.target.parts import PARTS, part
from codae_l1.hls.target.size import check_part


@dataclass(frozen=True)
class _Finding:
    """One predicted trouble, in the words of an InputError."""

    received: str
    expected: str
    remedy: str
    fatal: bool

    def __str__(self) -> str:
        return f"{self.received}; expected {self.expected}; {self.remedy}"


def check_project(network: Network, config: HlsConfig) -> tuple[_Finding, ...]:
    """Refuse with InputError what would fail; return the notes."""
    notes = []
    for finding in _findings(network, config):
        if finding.fatal:
            raise InputError(finding.received, finding.expected, finding.remedy)
        notes.append(finding)
    predicted = predict_project(network, config)
    if config.part.startswith(tuple(PARTS)):
        check_part(predicted, config)
        _check_blocks(predicted, config)
    return tuple(notes)


def _findings(network: Network, config: HlsConfig) -> list[_Finding]:
    """All that is predicted from backend, io_type, strategy and reuse factors, fatal ones first."""
    backend, rows = BACKENDS[config.backend], products(network, config)
    found = [*_refused(config, rows), *_unknown_layers(network, config), *_wrong_layers(network, config)]
    for row in rows:
        found += [*_unrolled(row, config), *_wrong(row, config), *_changed(row, config)]
    named = {row.name for row in rows}
    found += [
        _Finding(f"hls.layer_reuse.{name}", f"one of {', '.join(sorted(named))}", "rename or remove it", True)
        for name in config.layer_reuse
        if name not in named
    ]
    if backend.needs:
        found.append(_Finding(f"backend {backend.name}", backend.needs, "without it nothing is compiled", False))
    return sorted(found, key=lambda finding: not finding.fatal)


def _refused(config: HlsConfig, rows: list[Product]) -> list[_Finding]:
    backend, found = BACKENDS[config.backend], []
    if config.io_type not in backend.io_types:
        others = ", ".join(name for name, row in BACKENDS.items() if config.io_type in row.io_types)
        found.append(
            _Finding(
                f"backend {backend.name} with {config.io_type}, which hls4ml 1.3 cannot write",
                " or ".join(backend.io_types),
                f"change hls.io_type, or hls.backend to one of {others}",
                True,
            )
        )
    shared = [row for row in rows if row.strategy == "distributed_arithmetic" and row.reuse != 1]
    if shared:
        found.append(
            _Finding(
                f"distributed arithmetic with reuse factor {shared[0].reuse} in layer {shared[0].name}",
                "reuse factor 1, for adders are not shared",
                "set it to 1, or hls.strategy to resource",
                True,
            )
        )
    return found


def _unknown_layers(network: Network, config: HlsConfig) -> list[_Finding]:
    known = known_classes(config.backend)
    unknown = [layer for layer in network.layers if layer.hls4ml_class not in {None, *known}]
    if not unknown:
        return []
    names = ", ".join(f"{layer.name} ({layer.hls4ml_class})" for layer in unknown)
    return [
        _Finding(
            f"backend {config.backend}, which has no code for {names} and would leave it out",
            f"layers of {', '.join(sorted(known & {str(cls.hls4ml_class) for cls in KINDS.values()}))}",
            "take another backend, or a network of these",
            True,
        )
    ]


def _wrong_layers(network: Network, config: HlsConfig) -> list[_Finding]:
    backend, found = BACKENDS[config.backend], []
    for layer in network.layers:
        where = f"backend {config.backend} with layer {layer.name} ({layer.kind})"
        if layer.kind in backend.wrong:
            others = " or ".join(n for n, row in BACKENDS.items() if not row.wrong and not row.needs)
            expected, remedy = f"no layer of {', '.join(backend.wrong)}", f"take hls.backend {others}"
            found.append(_Finding(f"{where}, whose words hls4ml 1.3 computes wrong", expected, remedy, True))
        if isinstance(layer, Activation) and layer.word.width < backend.narrowest:
            others = " or ".join(n for n, row in BACKENDS.items() if row.narrowest == 1 and not row.needs)
            expected, remedy = f"{backend.narrowest} bits and more", f"take more bits, or hls.backend {others}"
            found.append(
                _Finding(f"{where}, a word of {layer.word.width} bit, which it widens", expected, remedy, True)
            )
    return found


def _unrolled(row: Product, config: HlsConfig) -> list[_Finding]:
    if row.multipliers <= LARGEST_PRODUCT:
        return []
    return [
        _Finding(
            f"layer {row.name} unrolls {row.multipliers:,} products ({row.n_in:,} x {row.n_out:,}, reuse factor "
            f"{row.reuse}, {row.at_once} pixels at once)",
            f"at most {LARGEST_PRODUCT:,}, beyond which HLS compilers stop unrolling or run out of memory",
            _share_more(row, config),
            True,
        )
    ]


def _share_more(row: Product, config: HlsConfig) -> str:
    """What makes a layer's products few enough: the smallest reuse factor that does, of those that hls4ml takes."""
    for factor in right_reuse(row, config):
        if replace(row, reuse=factor).multipliers <= LARGEST_PRODUCT:
            return f"set hls.strategy to resource, hls.layer_reuse.{row.name} = {factor}"
    return "take fewer filters or units"


def _wrong(row: Product, config: HlsConfig) -> list[_Finding]:
    if row.strategy != "resource" or row.reuse <= largest_reuse(row, config):
        return []
    return [
        _Finding(
            f"reuse factor {row.reuse} of the convolution {row.name}, beyond its kernel of {row.n_in} values: hls4ml "
            f"takes it, and {config.backend} computes wrong words",
            f"at most {row.n_in}, or io_stream",
            f"set hls.layer_reuse.{row.name} = {max(right_reuse(row, config))}, or hls.io_type to io_stream",
            True,
        )
    ]


def _changed(row: Product, config: HlsConfig) -> list[_Finding]:
    found, asked = [], config.reuse(row.name)
    if row.strategy != config.strategy:
        given = f"{config.backend} has no strategy {config.strategy} and takes {row.strategy} in layer {row.name}"
        followers = [name for name, backend in BACKENDS.items() if config.strategy in backend.strategies]
        found.append(
            _Finding(
                given,
                f"one of {', '.join(BACKENDS[config.backend].strategies)}",
                f"change it, or the backend to {' or '.join(followers)}",
                False,
            )
        )
    if row.reuse != asked:
        found.append(
            _Finding(
                f"reuse factor {asked} does not divide the {row.n_in} x {row.n_out} products of layer {row.name}",
                f"{row.reuse}, which hls4ml takes",
                f"set hls.layer_reuse.{row.name} = {row.reuse}",
                False,
            )
        )
    if row.pixels > 1 and config.io_type == "io_parallel" and row.at_once != (config.parallel_pixels or row.pixels):
        found.append(
            _Finding(
                f"parallel_pixels = {config.parallel_pixels} does not divide the {row.pixels} pixels of {row.name}",
                f"{row.at_once}, which hls4ml takes",
                f"set hls.parallel_pixels = {row.at_once}, or 0 for all",
                False,
            )
        )
    return found


def _check_blocks(predicted: PredictedProject, config: HlsConfig) -> None:
    """Refuse more block RAM than the part has, and more multipliers than its DSPs or its LUTs make."""
    chip = part(config.part)
    few = "take a larger reuse factor, fewer filters or fewer bits"
    if predicted.dsp > chip.dsp and predicted.lut_without_dsp > chip.lut:
        raise InputError(
            f"the network is too large for the part: about {predicted.dsp:,} DSP predicted, or "
            f"{predicted.lut_without_dsp:,} LUT without",
            f"at most the {chip.dsp:,} DSP or {chip.lut:,} LUT of {config.part}",
            few,
        )
    if predicted.bram_18k > chip.bram_18k:
        raise InputError(
            f"the network is too large for the part: about {predicted.bram_18k:,} BRAM_18K predicted",
            f"at most the {chip.bram_18k:,} BRAM_18K of {config.part}",
            few,
        )
