"""What a distance looks at: its sums as images, the zero bias of the highest score, and how robust its threshold is.

A row u that is squared, of a whitening or a residual of an auto-encoder, is y_u = sum over windows k of W_uk (c_k -
m_k). The score is piecewise linear in the squares (quantization/distance.py): score = sum over rows of g_u y_u^2, with
g_u the product of the weights behind the square along the open ReLUs. Of a crossing's score

    a row contributes    g_u y_u^2                                          y_u: word of the firmware
    a ring contributes   sum over its windows k of (c_k - m_k) sum_u W_uk g_u y_u     y_u: before it is rounded

Both add up to the score, but for rounding. What a ring contributes can be negative: without its deviation from the
mean the others would be further off.

Stability: the same crossings with altered inputs, at the threshold of the unaltered ones.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.data.calorimeter import ETA_MAX, ETA_STEP, N_ETA
from codae_l1.data.events import ZERO_BIAS
from codae_l1.models.evaluation.crossing_rates import Crossings, threshold_at, total_rate
from codae_l1.quantization.f_m.config import FirmwareConfig, output_word
from codae_l1.quantization.f_m.network import saturated
from codae_l1.scripts.run.crossings import RunCrossings
from codae_l1.scripts.run.executors import RunExecutor

if TYPE_CHECKING:
    from codae_l1.quantization.f_m.network import FirmwareModel

# Zero-bias crossings of the highest score that are listed.
HIGHEST = 10
# Share of zero bias at whose threshold the stability is measured, and signals of which the efficiency is.
SHARE = 1e-3
SIGNALS = ("h125", "h200", "svj2100")
# What is altered: share of tracks lost, probability that a silent tower is active, relative change of energies.
TRACKS_LOST, NOISE, ENERGY_SHIFT = 0.05, 1e-3, 0.05
# Towers along each side of a cell of the file.
_SIDE = 4
# Decimals of an image's values in the JSON; a weight's step is no smaller.
_DECIMALS = 6

# Cells (n, phi, eta, inputs) and a generator -> the cells, altered.
_Alteration = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def looks_section(
    network: "Network",
    executor: RunExecutor,
    crossings: RunCrossings,
    read: Mapping[str, Crossings],
    fires: Mapping[str, int],
    seed: int,
) -> dict[str, Any]:
    """The JSON of what a distance looks at: groups (images of the rows), highest, stability.

    executor: of the same network. read: the test split's crossings of zero bias and of signals, with their words.
    fires: thresholds of the menu. seed: of what is drawn at random.
    """
    return {
        "groups": network.groups(),
        "highest": _highest(network, crossings, read[ZERO_BIAS], fires),
        "stability": _stability(executor, crossings, read, seed),
    }


@dataclasses.dataclass(frozen=True)
class Network:
    """A distance as numbers: layer name -> kernel and bias, and the config with its words."""

    config: FirmwareConfig
    weights: Mapping[str, tuple[np.ndarray, np.ndarray]]

    @classmethod
    def of(cls, firmware: "FirmwareModel") -> "Network":
        """The weights of a trained trigger network, on the grids of their words."""
        pairs = {name: firmware.model.get_layer(name).get_weights() for name in firmware.config.layers}
        exact = {name: (kernel.astype(np.float64), bias.astype(np.float64)) for name, (kernel, bias) in pairs.items()}
        return cls(firmware.config, exact)

    @property
    def places(self) -> int:
        """Windows around phi."""
        return self.config.input_shape[0] // self.config.conv[-1].kernel[0]

    @property
    def rings(self) -> int:
        """Windows along eta, and rows of each group that read the sums around phi."""
        return self.config.input_shape[1] // self.config.conv[-1].kernel[1]

    def groups(self) -> list[dict[str, Any]]:
        """Of each group of inputs the rows, those of the rings first: what one more count in a cell adds to y.

        rows: (units, phi, eta), of an input of the group. of_others: largest absolute value that these rows
        have on inputs of other groups. rings, eta_max: panels on a line, and where the outermost cells end.
        """
        config, n = self.config, len(self.config.distance)
        kernel, matrix = self._first_counts(), self._rows()[0]
        matrix = matrix.reshape(self.places, self.rings, n, -1)
        images = np.einsum("abif,prfu->uparbi", kernel, matrix).reshape(-1, *config.input_shape)
        half = config.input_shape[1] * config.pool * ETA_STEP / 2
        found = []
        for g, names in enumerate(config.distance):
            own = np.isin(config.inputs, names)
            # Row r of group g is unit r * n + g.
            rows = images[g::n]
            found.append(
                {
                    "inputs": list(names),
                    "rings": self.rings,
                    "eta_max": half,
                    "rows": np.round(rows[..., own].mean(axis=-1), _DECIMALS).tolist(),
                    "of_others": float(np.abs(rows[..., ~own]).max(initial=0.0)),
                }
            )
        return found

    def contributions(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Counts (N, phi, eta, inputs) -> scores (N,), what rows contribute (N, units), what rings do (N, rings)."""
        config, weights = self.config, self.weights
        *bends, windows = config.layers[: len(config.conv)]
        (kernel, bias), (rows, columns, _) = weights[windows], config.input_shape
        cells = saturated(counts, config).astype(np.float64)
        for name in bends:
            cells = config.layer_output(name).quantize(cells @ weights[name][0][0, 0] + weights[name][1])
        cells = cells.reshape(len(cells), self.places, rows // self.places, self.rings, columns // self.rings, -1)
        sums = config.layer_output(windows).quantize(np.einsum("nparbi,abif->nprf", cells, kernel) + bias)
        (matrix, offset), flat = self._rows(), sums.reshape(len(cells), -1)
        exact, values = flat @ matrix + offset, flat
        at = config.layers.index(str(config.squared))
        for name in config.layers[len(config.conv) : at]:
            values = config.layer_output(name).quantize(values @ weights[name][0] + weights[name][1])
        residual, shift = weights[config.layers[at]]
        y = config.layer_precision(config.layers[at]).output_word.quantize(values @ residual + shift)
        values, behind, gates = np.square(y), config.layers[at + 1 : -1], []
        for name in behind:
            before = values @ weights[name][0] + weights[name][1]
            gates.append(before > 0)
            values = config.layer_output(name).quantize(before)
        last, shift = weights["output"]
        score = output_word(config).quantize(values @ last + shift)[:, 0]
        gain = np.broadcast_to(last[:, 0], values.shape)
        for name, gate in zip(behind[::-1], gates[::-1], strict=True):
            gain = (gain * gate) @ weights[name][0].T
        # The mean that the offset takes away; least squares, as rounded rows need not be independent.
        mean = np.linalg.lstsq(matrix.T, -offset, rcond=None)[0]
        share = (flat - mean) * ((gain * exact) @ matrix.T)
        return score, gain * np.square(y), share.reshape(*sums.shape).sum(axis=(1, 3))

    def _first_counts(self) -> np.ndarray:
        """What the first counts of a cell add to its window, (phi, eta, inputs, groups); more of them may be bent."""
        *bends, windows = (self.weights[name] for name in self.config.layers[: len(self.config.conv)])
        kernel = windows[0]
        for bend, bias in bends:
            kernel = np.einsum("if,abfg->abig", bend[0, 0] * (bias > 0), kernel)
        return kernel

    def _rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Kernel (windows * groups, units) and bias (units,) of the rows; the ReLU of an encoder cuts nothing."""
        kernel, bias = self.weights["dense1"]
        if not self.config.dense:
            return kernel, bias
        decode, offset = self.weights["dense2"]
        return kernel @ decode, bias @ decode + offset

    def ring_eta(self, ring: int) -> tuple[float, float]:
        """Where a ring begins and ends in eta; the empty columns at the edges are left out."""
        towers = N_ETA + self.config.pooling.padding
        low, high = (((ring + k) / self.rings - 0.5) * towers * ETA_STEP for k in (0, 1))
        return max(low, -ETA_MAX), min(high, ETA_MAX)


def _highest(
    network: Network, crossings: RunCrossings, zero_bias: Crossings, fires: Mapping[str, int]
) -> list[dict[str, Any]]:
    """The zero-bias crossings of the highest score, the highest first; of equal ones that which stands first.

    saturated: the score is the largest that the word holds.
    """
    word, order = output_word(network.config), np.argsort(-zero_bias.words["rtl"], kind="stable")[:HIGHEST]
    cells = crossings.cells(ZERO_BIAS)[order]
    _, rows, rings = network.contributions(crossings.counts(cells))
    # A quantity that is 0 in every crossing was not generated for zero bias.
    generated = {name: values if values.any() else None for name, values in crossings.generated(ZERO_BIAS).items()}
    found = []
    for i, of_rows, of_rings in zip(order.tolist(), rows, rings, strict=True):
        facts = {f"{name}_gev": None if values is None else float(values[i]) for name, values in generated.items()}
        found.append(
            {
                "crossing": i,
                "score": float(zero_bias.words["rtl"][i] * word.lsb),
                "saturated": bool(zero_bias.words["rtl"][i] >= word.bounds[1]),
                "pt_hat_gev": _slice(crossings.file.provenance, int(zero_bias.stratum[i])),
                **facts,
                "active_pixels": int(zero_bias.words["active_pixels"][i]),
                "menu": any(bool(zero_bias.words[path][i] >= threshold) for path, threshold in fires.items()),
                "weight": float(zero_bias.weight[i]),
                **_driven_by(network, of_rows, of_rings),
            }
        )
    return found


def _driven_by(network: Network, rows: np.ndarray, rings: np.ndarray) -> dict[str, Any]:
    """Which distance a score is, and the shares of it that rows and rings contribute; None of a score of 0.

    rows: (units,) contributions. The share of a row is of its group's, counted from 0, those of the rings first.
    """
    groups = len(network.config.distance)
    of_groups = rows.reshape(-1, groups)
    total = float(rows.sum())
    if total <= 0:
        keys = ("inputs", "distance", "rows", "row", "row_share", "rings", "ring", "ring_eta", "ring_share")
        return dict.fromkeys(keys)
    group = int(np.argmax(of_groups.sum(axis=0)))
    own, of_rings = of_groups[:, group] / total, rings / rings.sum()
    row, ring = int(np.argmax(own)), int(np.argmax(of_rings))
    return {
        "inputs": list(network.config.distance[group]),
        # Rows behind those of the rings count only where the larger distance is that of the windows.
        "distance": "windows" if (own[network.rings :] > 0).any() else "rings",
        "rows": own.tolist(),
        "row": row,
        "row_share": float(own[row]),
        "rings": of_rings.tolist(),
        "ring": ring,
        "ring_eta": list(network.ring_eta(ring)),
        "ring_share": float(of_rings[ring]),
    }


def _slice(provenance: Mapping[str, Any], stratum: int) -> list[float | None] | None:
    """pT-hat [GeV] of a stratum's hardest scattering, from and to (None: open); None where the file does not say."""
    cuts = provenance.get("config", {}).get("cuts_gev")
    if not cuts or stratum > len(cuts):
        return None
    edges = [None, *map(float, cuts), None]
    return edges[stratum : stratum + 2]


def _stability(
    executor: RunExecutor, crossings: RunCrossings, read: Mapping[str, Crossings], seed: int
) -> dict[str, Any]:
    """Rate and efficiencies at the threshold of SHARE, as they are and with altered inputs.

    A rate or an efficiency on fewer than ten effective crossings is None, and `reason` says why.
    """
    khz = crossings.crossing_khz
    solved = threshold_at(read[ZERO_BIAS], "rtl", SHARE * khz, khz)
    signals = [name for name in SIGNALS if name in read]
    base = {"share": SHARE, "threshold": solved.threshold, "signals": signals}
    if solved.reason or solved.threshold is None:
        return {**base, "rows": [], "reason": solved.reason}
    changes = _alterations(crossings.inputs, seed)
    rows: list[dict[str, Any]] = [{"name": name, "efficiency": {}} for name in changes]
    for p, process in enumerate((ZERO_BIAS, *signals)):
        cells = crossings.cells(process)
        for k, (row, change) in enumerate(zip(rows, changes.values(), strict=True)):
            altered = change(cells, np.random.default_rng([seed, k, p]))
            sample = _rescored(read[process], executor, crossings.counts(altered))
            scale = khz if process == ZERO_BIAS else 1.0
            rate = total_rate(sample, {"rtl": solved.threshold}, scale)
            why = {"reason": rate.reason} if rate.reason else {}
            if process == ZERO_BIAS:
                row |= {"rate_khz": rate.rate_khz, "error_khz": rate.error_khz, **why}
            else:
                row["efficiency"][process] = {"value": rate.rate_khz, "error": rate.error_khz, **why}
    return {**base, "rows": rows}


def _rescored(crossings: Crossings, executor: RunExecutor, counts: np.ndarray) -> Crossings:
    """The crossings with the words that their counts (n, phi, eta, inputs) give now."""
    words = executor.trained.score_words(executor.predict_words(counts))
    return dataclasses.replace(crossings, words={"rtl": words})


def _alterations(inputs: tuple[str, ...], seed: int) -> dict[str, _Alteration]:
    """What is done to cells (n, 18, 15, inputs) of 4 x 4 towers; the dead ones are drawn by the seed."""
    rng = np.random.default_rng(seed)
    row, column = int(rng.integers(18)), int(rng.integers(15))
    low, high = (max(min((k - 7.5) * _SIDE * ETA_STEP, ETA_MAX), -ETA_MAX) for k in (column, column + 1))
    found: dict[str, _Alteration] = {"as they are": lambda cells, rng: cells}
    if "tracks" in inputs:
        of = inputs.index("tracks")
        found[f"{100 * TRACKS_LOST:g} % of tracks lost"] = lambda cells, rng: _lose(cells, of, TRACKS_LOST, rng)
    found[f"dead sector, phi {20 * row - 180} to {20 * row - 160} degrees"] = lambda cells, rng: _silence(cells, 1, row)
    found[f"dead column, eta {low:.2f} to {high:.2f}"] = lambda cells, rng: _silence(cells, 2, column)
    if "tracks" in inputs:
        found[f"noise, {NOISE:g} of silent towers"] = lambda cells, rng: _noise(cells, of, NOISE, rng)
    energies = np.array([name != "tracks" for name in inputs])
    if energies.any():
        for word, factor in (("up", 1 + ENERGY_SHIFT), ("down", 1 - ENERGY_SHIFT)):
            found[f"energies {100 * ENERGY_SHIFT:g} % {word}"] = lambda cells, rng, factor=factor: _scale(
                cells, energies, factor, rng
            )
    return found


def _lose(cells: np.ndarray, of: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Each active pixel is lost with a probability."""
    altered, active = cells.copy(), cells[..., of] > 0
    altered[active, of] = rng.binomial(cells[active, of], 1 - share)
    return altered


def _silence(cells: np.ndarray, axis: int, at: int) -> np.ndarray:
    """A row of cells around phi (axis 1) or along eta (axis 2) gives nothing, whatever the input."""
    altered = cells.copy()
    np.moveaxis(altered, axis, 0)[at] = 0
    return altered


def _noise(cells: np.ndarray, of: int, probability: float, rng: np.random.Generator) -> np.ndarray:
    """Each tower without a track is active with a probability; the empty columns at the edges have no towers."""
    towers = np.full(cells.shape[2], _SIDE * _SIDE)
    towers[[0, -1]] -= _SIDE * (cells.shape[2] * _SIDE - N_ETA) // 2
    altered = cells.copy()
    altered[..., of] += rng.binomial(np.maximum(towers - cells[..., of], 0), probability)
    return altered


def _scale(cells: np.ndarray, energies: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
    """Energy words times a factor, rounded up or down at random so that the mean is exact: steps are coarse."""
    altered, words = cells.copy(), cells[..., energies]
    altered[..., energies] = np.floor(words * factor + rng.random(words.shape)).astype(cells.dtype)
    return altered
