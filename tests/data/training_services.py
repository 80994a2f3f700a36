"""Services that train by jobs, in the shapes of OpenAI and Mistral, for tests over real HTTP."""

import json
import uuid
from collections import defaultdict

from penin_core.testing.loopback import Answer

TOKENS = 4321


class Jobs:
    """What both have: files, jobs that go through a list of statuses, and faults on request.

    ``faults["POST jobs"]`` holds what happens to the next such calls, in order: ``None`` for
    nothing, an Answer that is given instead, or a pair for after it was carried out: what is called
    then, and the Answer that is given (None for its own).
    """

    #: Our word for a status, and theirs.
    words = {}

    def __init__(self):
        self.statuses = ["queued", "running", "succeeded"]
        self.faults = defaultdict(list)
        self.files, self.jobs, self.done = {}, {}, []
        self.hidden = False
        self.error = ""

    def respond(self, asked):
        assert asked.headers["authorization"] == "Bearer sk-test-12345678"
        place, name = self.place(asked.path)
        call = f"{asked.method} {place}"
        self.done.append(call)
        fault = self.faults[call].pop(0) if self.faults[call] else None
        if isinstance(fault, Answer):
            return fault
        answer = getattr(self, call.lower().replace(" ", "_"))(asked, name)
        after, instead = fault or (None, None)
        if after is not None:
            after()
        return instead or answer

    def place(self, path):
        """Return what a path names: files, file, jobs, job or what belongs to a job; and whose."""
        parts = path.removeprefix("/v1").strip("/").split("/")
        if parts[0] == "files":
            return ("file", parts[1]) if len(parts) > 1 else ("files", "")
        assert parts[:2] == ["fine_tuning", "jobs"], path
        rest = parts[2:]
        return ("jobs", "") if not rest else (rest[1] if len(rest) > 1 else "job", rest[0])

    def post_files(self, asked, _):
        parts = asked.parts
        assert parts["purpose"] == b"fine-tune"
        rows = [json.loads(line) for line in parts["file"].splitlines()]
        assert all(row["messages"][-1]["role"] == "assistant" for row in rows)
        name = self.new_id("file")
        self.files[name] = parts["file"]
        return Answer(body=self.file(name))

    def delete_file(self, asked, name):
        if self.files.pop(name, None) is None:
            return self.no_such(name)
        return Answer(body={"id": name, "object": "file", "deleted": True})

    def get_job(self, asked, name):
        if name not in self.jobs:
            return self.no_such(name)
        if len(self.statuses) > 1:
            self.jobs[name]["at"] = self.statuses.pop(0)
        else:
            self.jobs[name]["at"] = self.statuses[0]
        return Answer(body=self.job(name))

    def post_cancel(self, asked, name):
        if name not in self.jobs:
            return self.no_such(name)
        if self.jobs[name]["at"] in ("succeeded", "failed", "cancelled"):
            return self.refusal(400, "the job is over", "invalid_request")
        self.statuses = ["cancelled"]
        return Answer(body=self.job(name))

    def word(self, name):
        return self.words.get(self.jobs[name]["at"], self.jobs[name]["at"])

    def created(self):
        return len(self.jobs)


class OpenAIJobs(Jobs):
    """OpenAI's."""

    provider, model, key_env = "openai", "gpt-4.1-mini", "OPENAI_API_KEY"
    words = {"validating": "validating_files"}
    unavailable = {
        "message": "OpenAI is winding down the fine-tuning platform and your organization is no "
        "longer able to create new fine-tuning training jobs.",
        "type": "invalid_request_error",
        "param": None,
        "code": "training_not_available",
    }

    def new_id(self, kind):
        return f"{kind}-{len(self.files) + len(self.jobs) + 1}abc"

    def refusal(self, status, message, code, param=None):
        error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
        return Answer(status, {"error": error})

    def no_such(self, name):
        return self.refusal(404, f"Could not find {name}", "not_found")

    def refuse_to_train(self):
        return Answer(403, {"error": self.unavailable})

    def file(self, name):
        size = len(self.files[name])
        return {"id": name, "object": "file", "bytes": size, "created_at": 1, "filename": "t.jsonl",
                "purpose": "fine-tune", "status": "processed"}  # fmt: skip

    def post_jobs(self, asked, _):
        body = asked.json
        known = {"model", "training_file", "validation_file", "method", "metadata"}
        assert {*body} <= known, f"Unrecognized request argument supplied: {body.keys() - known}"
        for param in ("training_file", "validation_file"):
            if param in body and body[param] not in self.files:
                return self.refusal(400, f"{body[param]} does not exist", "invalid_file", param)
        name = self.new_id("ftjob")
        self.jobs[name] = {"at": "validating", **body}
        return Answer(body=self.job(name))

    def get_jobs(self, asked, _):
        wanted = {k[9:-1]: v for k, v in asked.query.items() if k.startswith("metadata[")}
        found = [n for n, job in self.jobs.items() if wanted.items() <= job["metadata"].items()]
        listed = [] if self.hidden else [self.job(name) for name in found[::-1]]
        return Answer(body={"object": "list", "data": listed, "has_more": False})

    def job(self, name):
        job, over = self.jobs[name], self.jobs[name]["at"] == "succeeded"
        problem = {"code": "bad_data", "message": self.error, "param": None} if self.error else {}
        return {
            "id": name,
            "object": "fine_tuning.job",
            "created_at": 1,
            "error": problem,
            "fine_tuned_model": f"ft:{job['model']}:acme::{name}" if over else None,
            "finished_at": 2 if over else None,
            "hyperparameters": None,
            "model": job["model"],
            "organization_id": "org-1",
            "result_files": ["file-results"] if over else [],
            "seed": 1,
            "status": self.word(name),
            "trained_tokens": TOKENS if over else None,
            "training_file": job["training_file"],
            "validation_file": job.get("validation_file"),
            "metadata": job["metadata"],
        }

    def get_events(self, asked, name):
        told = [{"object": "fine_tuning.job.event", "id": f"e{n}", "created_at": n,
                 "level": "info", "type": "metrics", "message": f"Step {n}",
                 "data": {"step": n, "total_steps": 3, "train_loss": 1 / n}}
                for n in (1, 2, 3)]  # fmt: skip
        return Answer(body={"object": "list", "data": told[::-1], "has_more": False})

    def get_checkpoints(self, asked, name):
        found = [{"object": "fine_tuning.job.checkpoint", "id": f"c{n}", "created_at": n,
                  "fine_tuning_job_id": name, "step_number": n,
                  "fine_tuned_model_checkpoint": f"ft:{name}:ckpt-step-{n}",
                  "metrics": {"step": n, "train_loss": 1 / n}} for n in (2, 3)]  # fmt: skip
        return Answer(body={"object": "list", "data": found[::-1], "has_more": False})


class MistralJobs(Jobs):
    """Mistral's, as they were."""

    provider, model, key_env = "mistral", "open-mistral-nemo", "MISTRAL_API_KEY"
    words = {"succeeded": "SUCCESS", "cancelling": "CANCELLATION_REQUESTED"}

    def new_id(self, kind):
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{kind}{len(self.files)}{len(self.jobs)}"))

    def refusal(self, status, message, code, param=None):
        flat = {"object": "error", "message": message, "type": code, "param": param, "code": "1"}
        return Answer(status, flat)

    def no_such(self, name):
        return Answer(404, {"detail": f"{name} not found"})

    def refuse_to_train(self):
        return Answer(404, {"detail": "Not Found"})

    def file(self, name):
        size = len(self.files[name])
        return {"id": name, "object": "file", "bytes": size, "created_at": 1, "filename": "t.jsonl",
                "purpose": "fine-tune", "sample_type": "instruct", "source": "upload"}  # fmt: skip

    def post_jobs(self, asked, _):
        body = asked.json
        for file in [each["file_id"] for each in body["training_files"]] + body["validation_files"]:
            if file not in self.files:
                return self.refusal(400, f"{file} does not exist", "invalid_file")
        assert len(body["suffix"]) <= 18
        name = self.new_id("job")
        self.jobs[name] = {"at": "queued", **body}
        return Answer(body=self.job(name))

    def get_jobs(self, asked, _):
        wanted = asked.query.get("suffix")
        found = [n for n, job in self.jobs.items() if wanted in (None, job["suffix"])]
        listed = [] if self.hidden else [self.job(name) for name in found]
        return Answer(body={"object": "list", "total": len(listed), "data": listed})

    def word(self, name):
        return super().word(name).upper()

    def job(self, name):
        job, status = self.jobs[name], self.word(name)
        over = status == "SUCCESS"
        happened = {"status": status, **({"error": self.error} if self.error else {})}
        losses = [{"metrics": {"train_loss": 1 / n}, "step_number": n, "created_at": n}
                  for n in (3, 2, 1)]  # fmt: skip
        return {
            "id": name,
            "object": "job",
            "job_type": "completion",
            "auto_start": job["auto_start"],
            "model": job["model"],
            "status": status,
            "created_at": 1,
            "modified_at": 2,
            "training_files": [each["file_id"] for each in job["training_files"]],
            "validation_files": job["validation_files"],
            "hyperparameters": job["hyperparameters"],
            "suffix": job["suffix"],
            "fine_tuned_model": f"ft:{job['model']}:acme:{name}" if over else None,
            "trained_tokens": TOKENS if over else None,
            "events": [{"name": "status-updated", "data": happened, "created_at": 2}],
            "checkpoints": losses,
        }
