"""The object of a scan, stitched from the centres of the groups' objects, in the frame that existing scripts use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptychopinn_backend.arrays import Complex64Array
from ptychopinn_backend.config.checks import require_bool
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.networks.weights import LOG_SCALE
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.stitching.assembly import ObjectAssembler, ObjectFrame, central_weight
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction


@dataclass(frozen=True)
class CentralStitching:
    """Options for stitching the objects of groups."""

    M: int = 20
    """Side of the centre that is kept of each object, pixels."""
    flip_x: bool = False
    """True if positions run in the opposite direction along x."""
    flip_y: bool = False
    """True if positions run in the opposite direction along y."""
    transpose: bool = False
    """True if rows and columns of each object are exchanged."""

    def __post_init__(self) -> None:
        """Check the flags; `require_fitting` checks M.

        Raises:
            ConfigError: a flag is neither True nor False.
        """
        for name in ("flip_x", "flip_y", "transpose"):
            require_bool(name, getattr(self, name))

    def require_fitting(self, N: int) -> None:
        """Raise unless patches have a centre of M pixels.

        Args:
            N: patch side in pixels.

        Raises:
            ConfigError: M is not in 1..N.
        """
        central_weight(N, self.M)


def stitched_groups(
    model: TrainedModel, groups: PtychoDataContainer, objects: Complex64Array, how: CentralStitching
) -> Reconstruction:
    """Stitch the objects of groups. Phases are aligned, and pixels that several objects share are averaged.

    Args:
        model: the model that predicted the objects.
        groups: groups of one scan with one object.
        objects: predicted objects (group, N, N, 1), see `group_objects.predict_groups`.
        how: the part that is kept of each object, and the direction of the axes.

    Returns:
        The object in the frame of `reassemble_position`. Its probe times the object gives the measured counts.

    Raises:
        DataError: the groups show several objects.
        ConfigError: M is not in 1..N.
    """
    shown = np.unique(np.stack([groups.scan_index, groups.object_index]), axis=1).shape[1]
    if shown > 1:
        raise DataError(
            f"The groups show {shown} objects, which cannot share one array. Give the scan of each by itself, as in "
            "scan.by_object().values()."
        )
    N = groups.N
    patches, probe = objects[..., 0], groups.probe
    if how.transpose:
        patches, probe = np.swapaxes(patches, 1, 2), np.swapaxes(probe, 1, 2)
    positions = groups.global_offsets[:, 0, :, 0] * np.array([-1.0 if how.flip_x else 1.0, -1.0 if how.flip_y else 1.0])
    frame = ObjectFrame.centred(positions, how.M)
    assembler = ObjectAssembler(frame, N, central_weight(N, how.M))
    assembler.add(patches, positions)
    stitched = assembler.result()
    learnt = float(np.exp(model.backend.dump_weights()[LOG_SCALE])) / model.intensity_scale
    return Reconstruction(
        object=stitched.object,
        origin_rc=frame.origin_rc,
        probe=np.asarray(probe * (learnt * groups.intensity_counts_factor), np.complex64),
        weight=stitched.weight,
        backend=model.backend_name,
        positions_xy=positions,
        info={"assembly": f"central {how.M} pixels", "n_patterns": groups.n_groups},
    )
