"""The errors a user can cause. Each message names the file, key or value and what was expected."""


class PipelineError(Exception):
    """Root of every error that a user can cause; stages print it as one message and exit with status 1."""

    exit_status = 1


class ConfigError(PipelineError):
    """A configuration key or value that cannot be used."""


class StaleParamsError(ConfigError):
    """params.yaml was not composed from the configs/ at hand."""


class BadPhotoError(PipelineError):
    """Photos that cannot be used, each with its reason."""


class NotAFileError(PipelineError):
    """A pipe, a device, a socket or a folder where a file must be; reading some of them never ends."""


class EmptyDatasetError(PipelineError):
    """A folder or table that must hold something holds nothing."""


class CaptionError(PipelineError):
    """A caption without the rare token, with it twice, or over the model's limit."""


class MissingModelError(PipelineError):
    """Weights that are not on this machine; the message names the command that fetches them."""


class ModelMismatchError(PipelineError):
    """Weights that are not what the configuration says: wrong hash, wrong keys, wrong shapes."""


class NonFiniteError(PipelineError):
    """A loss, gradient, weight or score became NaN or infinite."""

    exit_status = 3


class StateLockedError(PipelineError):
    """Another process uses, or may use, what this one needs for itself."""


class TrackerError(PipelineError):
    """An experiment tracker that was asked for cannot be used."""


class MetricError(PipelineError):
    """A metric that cannot be computed from what is there."""


class WorkerError(PipelineError):
    """A call in a process of its own that took more time or memory than it may, or crashed."""
