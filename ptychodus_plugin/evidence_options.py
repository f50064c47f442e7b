"""Options of what is kept from the network, so that it can judge or not be learned."""

from __future__ import annotations

from typing import Final

from ptychodus_plugin.options import Option, pinn
from ptychopinn_backend.config.inputs import CALIBRATE

EVIDENCE_OPTIONS: Final = (
    Option(
        "Calibrate",
        "auto",
        "Calibrate:",
        "Probe and positions are refined first: 'auto' takes what explains held-out patterns better than the given "
        "ones, 'always' what calibration believes in, 'never' changes nothing.",
        choices=CALIBRATE,
    ),
    Option(
        "HeldOutFraction",
        0.0,
        "Held-out Fraction:",
        "Part of the patterns, spread evenly, that training never sees and that judge the object; 0 trains on all.",
        config="training.held_out_fraction",
        minimum=0.0,
        maximum=0.5,
    ),
    Option(
        "TargetPhotonFraction",
        0.0,
        "Target Photon Fraction:",
        "Part of the photons that only the loss sees, so that noise cannot be learned; 0 shows the network all.",
        config="training.target_photon_fraction",
        minimum=0.0,
        maximum=0.9,
        applies=pinn,
    ),
)
