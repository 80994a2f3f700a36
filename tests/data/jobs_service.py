"""A plugin for tests: a service that serves models and trains them by jobs."""

from penin_core import (
    Call,
    Capabilities,
    ChatCompletionsProvider,
    ComponentOptions,
    FilePart,
    FineTuningUnavailable,
    HttpFineTuner,
    JobState,
    Price,
    TrainingCapabilities,
    TrainingProgress,
    hookimpl,
)

penin_api = 1


class Jobs(ChatCompletionsProvider):
    """Serves models."""

    name = "jobs"
    base_url = "https://jobs.example"

    def capabilities(self, model):
        return Capabilities(price=Price(input_per_million=1.0, output_per_million=1.0))


class JobsTuner(HttpFineTuner):
    """Trains models, for ten dollars a million tokens."""

    name = "jobs"

    class Hyperparams(ComponentOptions):
        n_epochs: int | str = 3

    def capabilities(self, model):
        if model != "base":
            raise FineTuningUnavailable(f"{model!r} cannot be trained")
        return TrainingCapabilities(usd_per_million=10.0)

    def tokens(self, model, example):
        return 1000

    def upload_data(self, train, validation):
        ids = []
        for name, content in (("train", train), ("validation", validation)):
            if content is not None:
                part = FilePart(name="file", filename=f"{name}.jsonl", content=content)
                reply = yield Call(path="/files", files=(part,))
                ids.append(reply.body["id"])
        return tuple(ids)

    def create_job(self, model, files, hyperparams, key):
        body = {"model": model, "files": list(files), "settings": dict(hyperparams), "key": key}
        reply = yield Call(path="/jobs", body=body)
        return reply.body["id"]

    def find_job(self, key):
        reply = yield Call(method="GET", path="/jobs")
        return next((job["id"] for job in reply.body["jobs"] if job["key"] == key), None)

    def get_job(self, job_id):
        reply = yield Call(method="GET", path=f"/jobs/{job_id}")
        body = reply.body
        points = tuple(TrainingProgress(step=n, loss=loss) for n, loss in enumerate(body["losses"]))
        return JobState(
            status=body["status"], message=body["error"], points=points, tokens=body["tokens"]
        )

    def get_model(self, job_id):
        reply = yield Call(method="GET", path=f"/jobs/{job_id}")
        return reply.body["model"]

    def cancel(self, job_id):
        yield Call(path=f"/jobs/{job_id}/cancel")


@hookimpl
def penin_register_providers():
    return [Jobs]


@hookimpl
def penin_register_finetuners():
    return [JobsTuner]
