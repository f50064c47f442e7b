"""Choice of the probe for a reconstruction: the scan's own, the one refined in training, or the one of the archive.

The choice compares probes by their mutual intensity, J = sum over modes of P P^H. J does not depend on a global phase
or on the mixing of incoherent modes, and the comparison divides the scale out. For two single modes the agreement is
the squared modulus of their normalised inner product.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import Complex64Array, ComplexArray
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.physics.probe import as_mode_stack, normalised_for
from ptychopinn_backend.runs.trained_model import TrainedModel

logger = logging.getLogger(__name__)

MIN_AGREEMENT: Final = 0.98
"""Two probes with less agreement belong to two instruments. If one replaced the other, every far-field amplitude
would be wrong by a tenth or more."""
OWN: Final = "of the scan"
REFINED: Final = "refined in training"
ARCHIVED: Final = "of the archive"


@dataclass(frozen=True, eq=False)
class ProbeChoice:
    """The probe of a reconstruction."""

    scan: RawData
    """The scan with the probe that the network sees."""
    probe: Complex64Array
    """Probe (mode, N, N) that belongs to the object, in the scale of counts."""
    origin: str
    """Origin of the probe: 'of the scan', 'refined in training' or 'of the archive'."""
    agreement: float | None = None
    """Agreement of the scan's own probe with the archive's, 0 to 1; None if they were not compared."""
    words: str = ""
    """The choice and its reason in one line; empty if there was no choice."""


def probe_agreement(first: Complex64Array, second: Complex64Array) -> float:
    """Return how much two probes have in common: <J_1, J_2> / (|J_1| |J_2|).

    Args:
        first: a probe (mode, N, N).
        second: another probe (mode, N, N); the number of modes may differ.

    Returns:
        1 for probes that are equal up to scale, phase and mixing of modes; 0 for probes that share no light.
    """
    a, b = (probe.reshape(len(probe), -1).astype(np.complex128) for probe in (first, second))
    return _overlap(a, b) / float(np.sqrt(_overlap(a, a) * _overlap(b, b)))


def choose_probe(model: TrainedModel, scan: RawData) -> ProbeChoice:
    """Choose the probe for a scan, and report the choice if there was one.

    Args:
        model: a trained model.
        scan: the scan, with or without a probe.

    Returns:
        The choice. A probe that training refined replaces the scan's own probe only if the own probe agrees with it, or
        with the probe from which it was refined, up to scale, phase and mixing of modes.

    Raises:
        DataError: the scan has no probe, and the archive has none that could replace it.

    Warns:
        UserWarning: the scan has no probe, or its own probe does not agree with the refined one.
    """
    own = scan.probeGuess
    choice = _of_archive(model, scan) if own is None else _refined_or_own(model, scan, as_mode_stack(own))
    if choice.origin == REFINED:
        logger.info("%s", choice.words)
    elif choice.words:
        warnings.warn(f"{scan.heading}{choice.words}", UserWarning, stacklevel=3)
    return choice


def _refined_or_own(model: TrainedModel, scan: RawData, own: Complex64Array) -> ProbeChoice:
    refined, given = model.trained_probes, model.given_probes
    if refined is None or refined.shape[-1] != own.shape[-1]:
        return ProbeChoice(scan, own, OWN)
    started = [] if given is None else [probe_agreement(probe, own) for probe in given]
    ended = [probe_agreement(probe, own) for probe in refined]
    index = int(np.argmax(np.maximum(started, ended) if started else ended))
    agreement = max(ended[index], started[index] if started else 0.0)
    percent = f"{100 * agreement:.1f} %"
    if agreement < MIN_AGREEMENT:
        words = (
            "The probe that training refined belongs to another instrument: the scan's own agrees with it to "
            f"{percent}, and at least {100 * MIN_AGREEMENT:.0f} % are needed. The scan's own is used as it is; train "
            "on this scan to refine it."
        )
        return ProbeChoice(scan, own, OWN, agreement, words)
    start = normalised_for(model.model, own) if given is None else given[index]
    scale = np.sqrt(_power(own) / _power(start))
    words = f"The probe that training refined is used; the scan's own agrees with it, or with its start, to {percent}."
    if started and started[index] >= MIN_AGREEMENT:
        # The network knows this probe. The same light in other modes would look different to it.
        scan = replace(scan, probeGuess=np.asarray(start * scale, np.complex64))
    return ProbeChoice(scan, np.asarray(refined[index] * scale, np.complex64), REFINED, agreement, words)


def _of_archive(model: TrainedModel, scan: RawData) -> ProbeChoice:
    shown = model.given_probes
    shown = model.trained_probes if shown is None else shown
    if shown is None or shown.shape[-1] != scan.N:
        raise DataError(
            "The scan has no probe (probeGuess), and the archive holds none that could stand in for it. Add one: the "
            "object is defined relative to it."
        )
    unlike = [index for index, probe in enumerate(shown) if probe_agreement(probe, shown[0]) < MIN_AGREEMENT]
    if unlike:
        raise DataError(
            f"The scan has no probe (probeGuess), and the archive holds {len(shown)}, which differ. Add the one that "
            "belongs to this scan."
        )
    scale = np.sqrt(scan.mean_photons / _power(shown[0]))
    used = shown if model.trained_probes is None else model.trained_probes
    words = (
        "The scan has no probe (probeGuess); that of the archive is used, brought to the mean counts of a pattern. Add "
        "the scan's own if its instrument is another one."
    )
    shown_to_network = replace(scan, probeGuess=np.asarray(shown[0] * scale, np.complex64))
    return ProbeChoice(shown_to_network, np.asarray(used[0] * scale, np.complex64), ARCHIVED, None, words)


def _overlap(a: ComplexArray, b: ComplexArray) -> float:
    return float(np.sum(np.abs(a.conj() @ b.T) ** 2))


def _power(probe: Complex64Array) -> float:
    return float(np.sum(np.abs(probe.astype(np.complex128)) ** 2))
