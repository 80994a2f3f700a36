"""Every error that penin raises on purpose.

::

    PeninError                       exit code 1
    ├── SettingsError                2  penin.toml, a flag or an environment variable is wrong
    │   └── SuiteError               2  a suite or a task file is wrong
    ├── PluginError                  2
    │   ├── PluginNotFound           2  nothing installed has that name
    │   ├── PluginConflict           2  two plugins claim the same name
    │   └── PluginInvalid            2  a plugin breaks the contract that it claims to follow
    ├── ProviderError                1  a model did not answer
    │   ├── ProviderAuthError        1  the key is missing or refused (401, 403)
    │   ├── ProviderRateLimited      1  try again later (429)
    │   ├── ProviderUnavailable      1  time-out, connection trouble, 5xx
    │   ├── ProviderRefused          1  can never succeed as it stands (4xx, context limit)
    │   │   └── FineTuningUnavailable  1  this model, or any model there, cannot be fine-tuned
    │   └── ProviderBadReply         1  the service answered something that cannot be read
    ├── EvaluationFailed             1  too little could be measured to say anything
    ├── TrainingFailed               1  a training ended without a model
    ├── TrainingStopped              1  a training was interrupted or cancelled on request
    ├── StateError                   1  the state directory cannot be used
    ├── PromotionRefused             3  a gate or the evidence says no
    ├── BudgetExceeded               4  money or time is used up
    └── LedgerInvalid                5  the ledger does not verify

A message says what happened, with name and value; ``hint`` says what to do about it. Whatever
is raised outside this tree is a bug and keeps its traceback. This module imports nothing of penin.
"""

from __future__ import annotations

from typing import ClassVar


class PeninError(Exception):
    """Base of the tree; the command line prints it as two lines, never as a traceback."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class SettingsError(PeninError):
    """A setting, flag or environment variable is wrong."""

    exit_code = 2


class SuiteError(SettingsError):
    """A suite or a task file is wrong."""


class PluginError(PeninError):
    """Something about a plugin is wrong."""

    exit_code = 2


class PluginNotFound(PluginError):
    """Nothing that is installed has that name."""


class PluginConflict(PluginError):
    """Two plugins claim the same name."""


class PluginInvalid(PluginError):
    """A plugin breaks the contract that it claims to follow."""


class ProviderError(PeninError):
    """A model did not answer."""

    #: Whether the same request may succeed when it is sent again.
    transient: ClassVar[bool] = False
    #: Seconds that the service asked to wait (``Retry-After``), if it said so.
    retry_after: float | None = None
    #: What the service itself calls the error, if it said so.
    code: str = ""
    #: Which parameter it says the error is about.
    param: str = ""
    #: The HTTP status of its answer, if there was one.
    status: int | None = None


class ProviderAuthError(ProviderError):
    """The key is missing or refused."""


class ProviderRateLimited(ProviderError):
    """The service asked to slow down."""

    transient = True


class ProviderUnavailable(ProviderError):
    """Time-out, connection trouble or a server error."""

    transient = True


class ProviderRefused(ProviderError):
    """The request can never succeed as it stands."""


class FineTuningUnavailable(ProviderRefused):
    """This model, or any model of this provider, cannot be fine-tuned."""


class ProviderBadReply(ProviderError):
    """The service answered something that cannot be read."""


class EvaluationFailed(PeninError):
    """Too little could be measured to say anything."""


class TrainingFailed(PeninError):
    """A training ended without a model."""


class TrainingStopped(PeninError):
    """A training was interrupted or cancelled on request."""


class StateError(PeninError):
    """The state directory cannot be used."""


class PromotionRefused(PeninError):
    """A gate or the evidence says no."""

    exit_code = 3


class BudgetExceeded(PeninError):
    """Money or time is used up."""

    exit_code = 4


class LedgerInvalid(PeninError):
    """The ledger does not verify."""

    exit_code = 5
