"""TaskBattery: asks a candidate all that the evaluators want to know, once, and scores it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np

from .contracts import Evaluator
from .correcting import asked_again, autocorrection, complaints, well_formed
from .errors import ProviderError
from .grading import metric_of, metrics_of, prepare
from .measuring import (
    AXES,
    SPECIAL_SPLITS,
    Answer,
    Blame,
    Probe,
    excess,
    row_of,
    summarize,
    tasks_for,
    unit,
)
from .records import Axis, AxisResult, Candidate, Completion, Measurement, Request, Task, TaskRow
from .rendering import draw_seed, render
from .stated import asking, read_stated
from .suites import Suite

Answers = Mapping[str, Answer]
#: A task, its answer, what grades it, and what that wants to know of a judge.
_Asked = tuple[Task, Completion, Evaluator | None, Sequence[Request]]
#: (id of the task, key of the request) -> the answer, with its utility.
Grades = Mapping[tuple[str, str], Answer]


class Asks(Protocol):
    """What the battery needs of the engine."""

    async def answer(self, requests: Sequence[Request]) -> list[Completion | ProviderError]:
        """Answer all requests in order; a request that failed yields its error."""


class TaskBattery:
    """Composes the selected evaluators; the same question is asked once, whoever wants to know."""

    def __init__(
        self, engine: Asks, suite: Suite, evaluators: Sequence[Evaluator], *, seed: int
    ) -> None:
        self.engine = engine
        self.suite = suite
        self.seed = seed
        self.evaluators = tuple(evaluators)
        self._metrics = metrics_of(self.evaluators)
        #: Which of them ask every task just as it is, for which they need no chance.
        self._plain = {
            id(e) for e in self.evaluators if _is_inherited(e.variants, Evaluator.variants)
        }
        self.stated = suite.definition.calibration == "stated"
        prepare(suite, self.evaluators)
        for task in suite.tasks:
            self.metric_of(task)

    async def evaluate_utility(self, model: Candidate, tasks: Sequence[Task]) -> AxisResult:
        """Measure U: the mean over the families of metrics that the suite names."""
        return await self._axis("U", model, tasks)

    async def evaluate_stability(self, model: Candidate, tasks: Sequence[Task]) -> AxisResult:
        """Measure S: the worst of calibration (1 - ECE) and robustness."""
        return await self._axis("S", model, tasks)

    async def evaluate_cost(self, model: Candidate, tasks: Sequence[Task]) -> AxisResult:
        """Measure C against the frozen baseline; lower is better."""
        return await self._axis("C", model, tasks)

    async def evaluate_learning(self, model: Candidate, tasks: Sequence[Task]) -> AxisResult:
        """Measure L: the mean of reuse and composition, which is learning in context."""
        return await self._axis("L", model, tasks)

    async def _axis(self, axis: Axis, model: Candidate, tasks: Sequence[Task]) -> AxisResult:
        measured = await self.measure(model, tasks, axes=(axis,), deep=tasks)
        return AxisResult(
            axis=axis,
            value=getattr(measured, axis),
            raw=measured.raw.get(axis, {}),
            n_tasks=measured.n_tasks,
            n_errors=measured.n_errors,
        )

    async def measure(
        self,
        model: Candidate,
        tasks: Sequence[Task],
        *,
        axes: Iterable[Axis] = AXES,
        deep: Sequence[Task] = (),
    ) -> Measurement:
        """Measure ``model`` on ``tasks``; evaluators that need several answers see ``deep`` only.

        Raises:
            EvaluationFailed: over 20 % of the calls failed, or an evaluator broke its contract.
            BudgetExceeded: money or time ended first.
        """
        wanted, tasks = set(axes), tuple(tasks)
        evaluators = [e for e in self.evaluators if e.axis in wanted]
        plain = [self._request(model, task) for task in tasks]
        # Most evaluators ask just the task, and a task is written out once.
        written = {id(task): request for task, request in zip(tasks, plain, strict=True)}
        probes = [
            self._probe(evaluator, model, task, written)
            for evaluator in evaluators
            for task in tasks_for(evaluator, deep if evaluator.deep else tasks)
        ]
        answers = await self._ask([*plain, *(r for probe in probes for r in probe.requests)])
        grades = await self._grade(
            [
                *zip(tasks, plain, strict=True),
                *(pair for p in probes for pair in zip(p.variants, p.requests, strict=True)),
            ],
            answers,
        )
        await self._score(probes, grades)
        of: dict[str, list[Probe]] = {}
        for probe in probes:
            of.setdefault(probe.task.id, []).append(probe)
        rows = [
            self._formed(task, grades[task.id, request.key], of.get(task.id, ()))
            for task, request in zip(tasks, plain, strict=True)
        ]
        dropped = {name for r in plain for name in getattr(answers[r.key], "dropped", ())}
        further = excess(rows, model.config.max_tokens)
        if "S" in wanted:
            ordinary = [task for task in deep if task.split not in SPECIAL_SPLITS]
            first = [(t, written.get(id(t)) or self._request(model, t)) for t in ordinary]
            further |= autocorrection(await self._second_tries(first, grades))
        hint = _first_hint(answers[r.key] for r in plain)
        about = tuple(sorted(dropped)), further, hint
        return summarize(rows, probes, evaluators, self.suite.hash, *about)

    async def _score(self, probes: Sequence[Probe], grades: Grades) -> None:
        """Give the probes their answers and what judges say of them, and let them be scored."""
        for probe in probes:
            probe.fill([grades[probe.task.id, request.key] for request in probe.requests])
        await self._judge(probes)
        for probe in probes:
            probe.settle(self._known_score(probe))

    def _formed(self, task: Task, answer: Answer, probes: Sequence[Probe]) -> TaskRow:
        """Return the row of a task, which also says whether the answer has the right form."""
        if isinstance(answer, ProviderError):
            return row_of(task, answer, probes)
        return row_of(task, answer, probes, well_formed(task, answer, self.evaluators))

    async def _second_tries(
        self, first: Sequence[tuple[Task, Request]], grades: Grades
    ) -> list[bool | None]:
        """Ask once more where the first answer had the wrong form, and say what is wrong.

        One entry for each answered task on which a form is demanded: None where the first answer
        had it, else whether the second one did. A second call that fails says nothing.
        """
        mended: list[bool | None] = []
        again: list[tuple[Task, Request]] = []
        for task, request in first:
            answer = grades.get((task.id, request.key))
            if answer is None or isinstance(answer, ProviderError):
                continue
            found = list(complaints(task, answer, self.evaluators))
            if any(found):
                again.append((task, asked_again(request, answer, found)))
            elif found:
                mended.append(None)
        answers = await self._ask([request for _, request in again]) if again else {}
        for task, request in again:
            answer = answers[request.key]
            if not isinstance(answer, ProviderError):
                read = read_stated(answer) if self.stated else answer
                mended.append(well_formed(task, read, self.evaluators))
        return mended

    async def rows(self, model: Candidate, tasks: Sequence[Task]) -> list[TaskRow]:
        """Ask ``tasks`` and grade the answers by the tasks' own metrics; no other evaluator looks.

        Raises:
            EvaluationFailed: a metric broke its contract.
            BudgetExceeded: money or time ended first.
        """
        pairs = [(task, self._request(model, task)) for task in tasks]
        grades = await self._grade(pairs, await self._ask([request for _, request in pairs]))
        return [row_of(task, grades[task.id, request.key], ()) for task, request in pairs]

    def _request(self, model: Candidate, task: Task) -> Request:
        return render(model.config, asking(task) if self.stated else task, self.seed)

    def _probe(
        self, evaluator: Evaluator, model: Candidate, task: Task, written: Mapping[int, Request]
    ) -> Probe:
        """Ask for variants with chance that depends on the task, not on the candidate."""
        variants: Sequence[Task] = (task,)
        if id(evaluator) not in self._plain:
            rng = np.random.default_rng(draw_seed(self.seed, evaluator.name, task.id))
            with Blame(evaluator, task):
                variants = evaluator.variants(task, rng)
        requests = [written.get(id(v)) or self._request(model, v) for v in variants]
        return Probe(evaluator, task, variants, requests)

    async def _ask(self, requests: Sequence[Request]) -> Answers:
        answers = await self.engine.answer(requests)
        return {request.key: answer for request, answer in zip(requests, answers, strict=True)}

    async def _grade(self, pairs: Sequence[tuple[Task, Request]], answers: Answers) -> Grades:
        """Give every answer its utility, by the metric of its task; a metric may ask a judge."""
        grades: dict[tuple[str, str], Answer] = {}
        asked: dict[tuple[str, str], _Asked] = {}
        for task, request in pairs:
            place, answer = (task.id, request.key), answers[request.key]
            if place in grades or place in asked:
                continue
            if isinstance(answer, ProviderError):
                grades[place] = answer
                continue
            answer = read_stated(answer) if self.stated else answer
            metric = self.metric_of(task)
            asked[place] = task, answer, metric, _questions(metric, task, answer)
        verdicts = await self._consult(questions for *_, questions in asked.values())
        for place, (task, answer, metric, questions) in asked.items():
            grades[place] = _graded(metric, task, answer, [verdicts[q.key] for q in questions])
        return grades

    async def _judge(self, probes: Sequence[Probe]) -> None:
        """Put the evaluators' own questions, about answers, to the models that they name."""
        asked: list[tuple[Probe, Sequence[Request]]] = []
        for probe in probes:
            if probe.error is None:
                with Blame(probe.evaluator, probe.task):
                    asked.append((probe, probe.evaluator.judge(probe.task, probe.completions)))
        answers = await self._consult(questions for _, questions in asked)
        for probe, questions in asked:
            for answer in (answers[question.key] for question in questions):
                if isinstance(answer, ProviderError):
                    probe.error = f"judge: {type(answer).__name__}: {answer}"
                    break
                probe.completions.append(answer)

    async def _consult(self, questions: Iterable[Sequence[Request]]) -> Answers:
        """Ask judges; what several tasks want to know is one question."""
        distinct = {request.key: request for requests in questions for request in requests}
        return await self._ask(list(distinct.values())) if distinct else {}

    def metric_of(self, task: Task) -> Evaluator | None:
        """Return the evaluator that decides whether an answer to ``task`` is good."""
        return metric_of(task, self._metrics)

    def _known_score(self, probe: Probe) -> float | None:
        """Return the score of a probe that asks what its task's own metric has graded already."""
        evaluator = probe.evaluator
        alone = id(evaluator) in self._plain and _is_inherited(evaluator.judge, Evaluator.judge)
        if probe.error is None and alone and evaluator is self.metric_of(probe.task):
            return probe.completions[0].utility
        return None


def _first_hint(answers: Iterable[Answer]) -> str:
    """Return what to do about the first call that failed."""
    return next((each.hint for each in answers if isinstance(each, ProviderError)), "")


def _is_inherited(method: Callable[..., object], base: Callable[..., object]) -> bool:
    return getattr(method, "__func__", None) is base


def _questions(metric: Evaluator | None, task: Task, answer: Completion) -> Sequence[Request]:
    """Return what the metric of ``task`` wants to know of a judge."""
    if metric is None:
        return ()
    with Blame(metric, task):
        return metric.judge(task, (answer,))


def _graded(
    metric: Evaluator | None, task: Task, answer: Completion, verdicts: Sequence[Answer]
) -> Answer:
    """Return the answer with its utility; an error where a judge did not give any."""
    if metric is None:
        return answer.model_copy(update={"utility": None})
    read: list[Completion] = [answer]
    for verdict in verdicts:
        if isinstance(verdict, ProviderError):
            return verdict
        read.append(verdict)
    try:
        with Blame(metric, task):
            utility = unit(metric.score(task, read), metric, task)
    except ProviderError as error:
        return error
    return answer.model_copy(update={"utility": utility})
