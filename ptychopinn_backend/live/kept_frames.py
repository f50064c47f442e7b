"""The used frames on disk. They are written when they arrive, and become a scan file for `infer` at the end."""

from __future__ import annotations

import json
import logging
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray, BoolArray, Complex64Array, Float64Array, IntArray
from ptychopinn_backend.files.atomic_file import atomic_file, writing
from ptychopinn_backend.files.npz import METADATA_KEY

logger = logging.getLogger(__name__)

NAME: Final = "frames.npz"
_GROWING: Final = ".frames.growing"
_PIECE_BYTES: Final = 1 << 24


class PairLog:
    """Numbers and positions of the frames of an object, 24 bytes per frame, in arrays that double."""

    def __init__(self) -> None:
        """Start without a frame."""
        self._rows = np.empty((1024, 3))
        self._count = 0

    def add(self, numbers: Sequence[float], positions_xy: Float64Array) -> None:
        """Add frames.

        Args:
            numbers: numbers by which the frames are sorted at the end.
            positions_xy: positions (frame, 2), axis 1 = (x, y), object pixels.
        """
        end = self._count + len(numbers)
        if end > len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        self._rows[self._count : end, 0] = numbers
        self._rows[self._count : end, 1:] = positions_xy
        self._count = end

    @property
    def numbers(self) -> Float64Array:
        """Numbers of the frames (frame,), in the order in which they were added."""
        return self._rows[: self._count, 0]

    @property
    def positions_xy(self) -> Float64Array:
        """Positions (frame, 2), axis 1 = (x, y), object pixels, in the order in which they were added."""
        return self._rows[: self._count, 1:]

    def in_order(self) -> IntArray:
        """Return the rows sorted by number (frame,)."""
        return np.argsort(self.numbers, kind="stable")


class KeptFrames:
    """Writes frames one after another into a growing file. If the disk is full, it stops, but the stream goes on."""

    def __init__(self, folder: Path) -> None:
        """Open the growing file.

        Args:
            folder: folder of the results; it is made if it is missing. A growing file that a killed receiver has left
                there is replaced.

        Raises:
            OutputError: the folder cannot be written.
        """
        self._path = folder / _GROWING
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._stream: IO[bytes] | None = self._path.open("wb")
        self._shape: tuple[int, ...] = ()
        self._dtype = np.dtype(np.float32)
        self._count = 0

    @property
    def is_complete(self) -> bool:
        """Whether every frame was written."""
        return self._stream is not None

    def add(self, frames: AnyArray) -> None:
        """Write frames.

        Args:
            frames: values of the frames (frame, N, N) as the detector gave them, all of one type.
        """
        if self._stream is None:
            return
        self._shape, self._dtype = frames.shape[1:], frames.dtype
        try:
            self._stream.write(np.ascontiguousarray(frames).data)
        except OSError as error:
            logger.warning(
                "Frames are not kept any more (%s): the object that grew with the stream will be the result. Free "
                "space for the next scan.",
                error.strerror or error,
            )
            self.discard()
        self._count += len(frames)

    def discard(self) -> None:
        """Remove the growing file."""
        # A full disk refuses once more what the stream still holds; there is nothing left to lose.
        with suppress(OSError):
            if self._stream is not None:
                self._stream.close()
        self._stream = None
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def finish(
        self,
        folder: Path,
        log: PairLog,
        probe: Complex64Array,
        bad_pixels: BoolArray | None,
        measurement: str,
    ) -> Path:
        """Write the scan file with the frames sorted by number, and remove the growing file.

        Until the scan file is complete, the disk holds both files.

        Args:
            folder: folder of the scan file.
            log: numbers and positions of the frames.
            probe: modes of the object's probe (mode, N, N).
            bad_pixels: mask (N, N), True for bad pixels; None if all are good.
            measurement: content of the frames, 'counts' or 'amplitudes'.

        Returns:
            Path of the file.

        Raises:
            OutputError: the file cannot be written.
        """
        assert self._stream is not None
        path, order = folder / NAME, log.in_order()
        with writing(path):
            self._stream.close()
        frames = np.memmap(self._path, self._dtype, "r", shape=(self._count, *self._shape))
        positions = log.positions_xy[order]
        described = {"measurement": measurement, "pattern_axis": 0, "scan_index": "objects"}
        members: dict[str, Any] = {
            "xcoords": positions[:, 0],
            "ycoords": positions[:, 1],
            "probeGuess": probe,
            METADATA_KEY: np.array(json.dumps(described)),
        }
        if bad_pixels is not None:
            members["bad_pixels"] = bad_pixels
        with atomic_file(path) as stream, zipfile.ZipFile(stream, "w", allowZip64=True) as archive:
            for name, values in members.items():
                with archive.open(f"{name}.npy", "w") as member:
                    np.lib.format.write_array(member, np.asanyarray(values), allow_pickle=False)
            with archive.open("diffraction.npy", "w", force_zip64=True) as member:
                _write_sorted(member, frames, order)
        del frames
        self._path.unlink(missing_ok=True)
        self._stream = None
        return path


def _write_sorted(member: IO[bytes], frames: AnyArray, order: IntArray) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(frames.dtype), "fortran_order": False, "shape": frames.shape}
    np.lib.format.write_array_header_2_0(member, header)
    step = max(1, _PIECE_BYTES // max(1, frames[0].nbytes))
    for start in range(0, len(order), step):
        member.write(np.ascontiguousarray(frames[order[start : start + step]]).data)
