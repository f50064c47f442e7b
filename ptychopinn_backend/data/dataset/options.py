"""How the groups of a data set are drawn and normalised."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.checks import (
    require_bool,
    require_choice,
    require_non_negative_integer,
    require_positive_integer,
)
from ptychopinn_backend.config.reading import ASK_THE_FILE, Reading
from ptychopinn_backend.data.grouping import GroupingOptions
from ptychopinn_backend.errors import UnsupportedOptionError
from ptychopinn_backend.physics.losses import loss_weights

if TYPE_CHECKING:
    from ptychopinn_backend.legacy.option_sets import DataConfig

NORMALISATIONS: Final = ("Batch", "Group", None)


@dataclass(frozen=True)
class DatasetOptions:
    """Options of `create_dataset`; the same for every scan."""

    grouping: GroupingOptions = field(default_factory=GroupingOptions)
    """How groups are drawn from each scan; gridsize follows the model, and no neighbour cache is kept."""
    normalize: str | None = "Batch"
    """'Batch': one factor a scan, so that its patterns have (N/2)^2 photons on average. 'Group': one factor a group.
    None: patterns are taken as they are."""
    measurement: str | None = None
    """'counts' or 'amplitudes'; None asks `reading` and each file, then looks at its values."""
    with_labels: bool = False
    """Keep ground-truth patches too, for supervised training."""
    n_subsample: int | None = None
    """Scan points kept of each scan before neighbours are sought; None keeps all."""
    subsample_seed: int | None = None
    """Seed of that choice."""
    probe_normalize: bool = True
    """Normalise probes as specs/data.md says; False takes them in the scale they were given in."""
    phase_subtraction: bool = False
    """Turn the labels of each group by one phase, so that their mean phase is 0."""
    reading: Reading = ASK_THE_FILE
    """What the user states about all the files."""

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ConfigError: one breaks its rule.
        """
        require_choice("normalize", self.normalize, NORMALISATIONS)
        for name in ("with_labels", "probe_normalize", "phase_subtraction"):
            require_bool(name, getattr(self, name))
        if self.n_subsample is not None:
            require_positive_integer("n_subsample", self.n_subsample)
        if self.subsample_seed is not None:
            require_non_negative_integer("subsample_seed", self.subsample_seed)

    @classmethod
    def from_training(
        cls,
        config: TrainingConfig,
        seed: int,
        *,
        every_point: bool = False,
        measurement: str | None = None,
        reading: Reading = ASK_THE_FILE,
        **grouping: Any,
    ) -> DatasetOptions:
        """Return what a training configuration asks for; the groups are those training in memory would draw.

        Args:
            config: the configuration.
            seed: of the run; draws groups unless the configuration has a seed of its own.
            every_point: one group for each scan point, whatever `config.n_groups` says.
            measurement: 'counts', 'amplitudes' or None.
            reading: what the user states about the files.
            **grouping: further fields of `GroupingOptions`.

        Returns:
            The options.
        """
        chosen: dict[str, Any] = {
            "n_groups": None if every_point else config.n_groups,
            "gridsize": config.model.gridsize,
            "neighbor_count": config.neighbor_count,
            "seed": seed if config.subsample_seed is None else config.subsample_seed,
            "sequential_sampling": config.sequential_sampling,
            "enable_oversampling": config.enable_oversampling,
            "neighbor_pool_size": config.neighbor_pool_size,
        }
        return cls(
            grouping=GroupingOptions(**{**chosen, **grouping}),
            measurement=measurement,
            reading=reading,
            with_labels=loss_weights(config).needs_labels,
            n_subsample=config.n_subsample,
            subsample_seed=config.subsample_seed,
        )

    @classmethod
    def from_data_config(cls, data: DataConfig, *, with_labels: bool = False) -> DatasetOptions:
        """Return what a PyTorch-native option set asks for.

        Args:
            data: its neighbour, bound, draw and normalisation options are taken; n_subsample is the number of groups
                drawn around each scan point.
            with_labels: keep ground-truth patches too.

        Returns:
            The options.

        Raises:
            UnsupportedOptionError: an option asks for what data sets do not do.
        """
        _refuse_unsupported(data)
        grouping = GroupingOptions(
            gridsize=data.grid_size[0],
            neighbor_count=data.K,
            seed=data.subsample_seed,
            groups_per_point=data.n_subsample,
            enable_oversampling=data.n_subsample > 1,
            neighbor_function=data.neighbor_function,
            min_neighbor_distance=data.min_neighbor_distance,
            max_neighbor_distance=data.max_neighbor_distance,
            quadrant_neighbor_count=data.K_quadrant,
            x_bounds=data.x_bounds,
            y_bounds=data.y_bounds,
        )
        return cls(
            grouping,
            data.normalize,
            data.measurement_domain,
            with_labels,
            probe_normalize=data.probe_normalize,
            phase_subtraction=data.phase_subtraction and with_labels,
        )

    def for_model(self, model: ModelConfig) -> DatasetOptions:
        """Return the options with the gridsize of a model and without a neighbour cache."""
        return replace(self, grouping=replace(self.grouping, gridsize=model.gridsize, dataset_path=None))


def _refuse_unsupported(data: DataConfig) -> None:
    if data.data_scaling != "Parseval":
        raise UnsupportedOptionError(
            f"data_scaling = '{data.data_scaling}' is not offered: the losses count photons, and patterns divided by "
            "their largest value have no set number of them. Set data_scaling to 'Parseval'."
        )
    if data.scan_pattern != "Isotropic":
        raise UnsupportedOptionError(
            f"scan_pattern = '{data.scan_pattern}' is not offered: neighbours are sought by their distance in pixels, "
            "the same along both axes. Set scan_pattern to 'Isotropic', and neighbor_function to '4_quadrant' where "
            "the steps of the two axes differ."
        )
    if data.grid_size[0] != data.grid_size[1]:
        raise UnsupportedOptionError(
            f"grid_size = {data.grid_size} is not square, but groups are. Use {(data.grid_size[0],) * 2}."
        )
