"""penin: evolve a production LLM configuration, safely, with evidence and with plugins.

Everything that a plugin may import is in this namespace or in ``penin_core.testing``. Names are
imported on first use, so that ``penin --help`` loads neither NumPy nor pydantic.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .battery import TaskBattery
    from .builtin.mutators import generate_param_sweeps, generate_prompt_variants
    from .chat_completions import ChatCompletionsProvider
    from .cli.shared import place_options
    from .contracts import (
        Component,
        ComponentOptions,
        Evaluator,
        FineTuner,
        Guard,
        HttpFineTuner,
        HttpProvider,
        LocalFineTuner,
        LocalProvider,
        Mutator,
        Provider,
        Steps,
    )
    from .errors import (
        BudgetExceeded,
        EvaluationFailed,
        FineTuningUnavailable,
        LedgerInvalid,
        PeninError,
        PluginConflict,
        PluginError,
        PluginInvalid,
        PluginNotFound,
        PromotionRefused,
        ProviderAuthError,
        ProviderBadReply,
        ProviderError,
        ProviderRateLimited,
        ProviderRefused,
        ProviderUnavailable,
        SettingsError,
        StateError,
        SuiteError,
        TrainingFailed,
        TrainingStopped,
    )
    from .finetuning import finetune_and_evolve
    from .hookspecs import PLUGIN_API, hookimpl
    from .league.decision import decide_promotion
    from .league.promotion import LeagueOrchestrator
    from .ledger.store import WORMLedger
    from .omega.caos import caos_plus
    from .omega.ethics_metrics import compute_ethics_attestation
    from .omega.guards import ir_to_ic_contractive, sigma_guard
    from .omega.scoring import ema, linf_harmonic, normalize_series, score_gate
    from .omega.sr import sr_omega
    from .omega.tuner import OnlineTuner
    from .pages.site import Page, Views
    from .records import (
        AxisResult,
        Call,
        Candidate,
        Capabilities,
        Completion,
        Configuration,
        Confirmation,
        CycleReport,
        Decision,
        EthicsEvidence,
        Evaluation,
        Example,
        FilePart,
        GuardEvidence,
        GuardResult,
        JobState,
        Measurement,
        Message,
        PluginFailure,
        Price,
        Progress,
        Record,
        Reply,
        Request,
        RunRecord,
        RunSummary,
        Task,
        TaskRow,
        TrainedCheckpoint,
        TrainedModel,
        TrainingCapabilities,
        TrainingExample,
        TrainingJob,
        TrainingProgress,
        Wait,
    )
    from .responses_api import decode_response, decode_response_event, encode_response
    from .runners import evolve_one_cycle
    from .serving.deployment import Deployment
    from .serving.questions import Question
    from .serving.refusals import Refusal
    from .suites import Suite, example_of

_HOME = {
    name: module
    for module, names in {
        "battery": "TaskBattery",
        "builtin.mutators": "generate_param_sweeps generate_prompt_variants",
        "chat_completions": "ChatCompletionsProvider",
        "cli.shared": "place_options",
        "contracts": "Component ComponentOptions Evaluator FineTuner Guard "
        "HttpFineTuner HttpProvider LocalFineTuner LocalProvider Mutator Provider Steps",
        "errors": "BudgetExceeded EvaluationFailed FineTuningUnavailable LedgerInvalid PeninError "
        "PluginConflict PluginError PluginInvalid PluginNotFound PromotionRefused "
        "ProviderAuthError ProviderBadReply ProviderError ProviderRateLimited ProviderRefused "
        "ProviderUnavailable SettingsError StateError SuiteError TrainingFailed TrainingStopped",
        "finetuning": "finetune_and_evolve",
        "hookspecs": "PLUGIN_API hookimpl",
        "league.decision": "decide_promotion",
        "league.promotion": "LeagueOrchestrator",
        "ledger.store": "WORMLedger",
        "omega.caos": "caos_plus",
        "omega.ethics_metrics": "compute_ethics_attestation",
        "omega.guards": "ir_to_ic_contractive sigma_guard",
        "omega.scoring": "ema linf_harmonic normalize_series score_gate",
        "omega.sr": "sr_omega",
        "omega.tuner": "OnlineTuner",
        "pages.site": "Page Views",
        "records": "AxisResult Call Candidate Capabilities Completion Configuration Confirmation "
        "CycleReport Decision EthicsEvidence Evaluation Example FilePart GuardEvidence GuardResult "
        "JobState Measurement Message PluginFailure Price Progress Record Reply Request RunRecord "
        "RunSummary Task TaskRow TrainedCheckpoint TrainedModel TrainingCapabilities "
        "TrainingExample TrainingJob TrainingProgress Wait",
        "responses_api": "decode_response decode_response_event encode_response",
        "runners": "evolve_one_cycle",
        "serving.deployment": "Deployment",
        "serving.questions": "Question",
        "serving.refusals": "Refusal",
        "suites": "Suite example_of",
    }.items()
    for name in names.split()
}

__all__ = [
    "PLUGIN_API",
    "AxisResult",
    "BudgetExceeded",
    "Call",
    "Candidate",
    "Capabilities",
    "ChatCompletionsProvider",
    "Completion",
    "Component",
    "ComponentOptions",
    "Configuration",
    "Confirmation",
    "CycleReport",
    "Decision",
    "Deployment",
    "EthicsEvidence",
    "Evaluation",
    "EvaluationFailed",
    "Evaluator",
    "Example",
    "FilePart",
    "FineTuner",
    "FineTuningUnavailable",
    "Guard",
    "GuardEvidence",
    "GuardResult",
    "HttpFineTuner",
    "HttpProvider",
    "JobState",
    "LeagueOrchestrator",
    "LedgerInvalid",
    "LocalFineTuner",
    "LocalProvider",
    "Measurement",
    "Message",
    "Mutator",
    "OnlineTuner",
    "Page",
    "PeninError",
    "PluginConflict",
    "PluginError",
    "PluginFailure",
    "PluginInvalid",
    "PluginNotFound",
    "Price",
    "Progress",
    "PromotionRefused",
    "Provider",
    "ProviderAuthError",
    "ProviderBadReply",
    "ProviderError",
    "ProviderRateLimited",
    "ProviderRefused",
    "ProviderUnavailable",
    "Question",
    "Record",
    "Refusal",
    "Reply",
    "Request",
    "RunRecord",
    "RunSummary",
    "SettingsError",
    "StateError",
    "Steps",
    "Suite",
    "SuiteError",
    "Task",
    "TaskBattery",
    "TaskRow",
    "TrainedCheckpoint",
    "TrainedModel",
    "TrainingCapabilities",
    "TrainingExample",
    "TrainingFailed",
    "TrainingJob",
    "TrainingProgress",
    "TrainingStopped",
    "Views",
    "WORMLedger",
    "Wait",
    "caos_plus",
    "compute_ethics_attestation",
    "decide_promotion",
    "decode_response",
    "decode_response_event",
    "ema",
    "encode_response",
    "evolve_one_cycle",
    "example_of",
    "finetune_and_evolve",
    "generate_param_sweeps",
    "generate_prompt_variants",
    "hookimpl",
    "ir_to_ic_contractive",
    "linf_harmonic",
    "normalize_series",
    "place_options",
    "score_gate",
    "sigma_guard",
    "sr_omega",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
