"""Traffic becomes tasks: with consent, by user, and with every skipped request counted."""

import json
import time

import pytest

from penin_core.cli import run
from penin_core.live.content import kept
from penin_core.live.served import PLAIN, Served
from penin_core.live.store import KEPT_REQUESTS, Kept, LiveStore, Pass, Row
from penin_core.live.tasks import as_row, harvested
from penin_core.suites import read_tasks

COLOURS = ("red", "green", "blue", "white", "black", "brown", "grey", "pink", "gold", "lime")


def one(number, *, user="ann", question=None, answer="yes", score=1.0, system="", **more):
    """Return a request that was kept."""
    first, second = COLOURS[number % 10], COLOURS[number // 10 % 10]
    asked = question or f"What about {first} and {second} {number}?"
    content = {
        "system": system,
        "messages": [{"role": "user", "content": asked}],
        "answer": answer,
        "cut": more.get("cut", False),
        **more.get("told", {}),
    }
    return Kept(f"r{number}", more.get("at", 0.0), user, content, score)


def test_what_users_rated_well_is_expected():
    (task,) = harvested([one(1, system="Be kind.")], 0.5).tasks
    assert (task.id, task.expected, task.system, task.consent) == ("r1", "yes", "Be kind.", True)
    assert task.fields == {"user": "ann"}


def test_what_came_with_a_request_is_a_column_of_its_task(tmp_path):
    told = {"columns": {"plan": "pro"}, "tags": ["billing"]}
    (task,) = harvested([one(1, told=told)], 0.5).tasks
    assert (task.fields, task.tags) == ({"plan": "pro", "user": "ann"}, ("billing",))
    (tmp_path / "tasks.jsonl").write_text(json.dumps(as_row(task)))
    assert read_tasks(tmp_path / "tasks.jsonl") == [task]


def test_one_question_with_other_columns_or_tags_is_another_task():
    ways = [{}, {"columns": {"plan": "pro"}}, {"columns": {"plan": "free"}}, {"tags": ["billing"]}]
    same = [one(n, question="May I?", told=told) for n, told in enumerate((*ways, ways[1]))]
    found = harvested(same, 0.5)
    assert len(found.tasks) == 4
    assert found.skipped == {"merged with an equal question": 1}


def test_the_order_of_the_metadata_makes_no_other_question():
    long = {"note": "a guest of the house since May", "plan": "all that there is to have"}
    found = []
    for number, told in enumerate((long, dict(reversed(long.items())))):
        asked = [{"role": "user", "content": "May I?"}]
        request = Served(f"r{number}", "ann", PLAIN, messages=asked, text="yes", metadata=told)
        found.append(Kept(request.request_id, 0.0, "ann", kept(request, str, long), 1.0))
    assert len(harvested(found, 0.5).tasks) == 1


def test_an_answer_that_is_an_object_is_expected_as_one():
    (task,) = harvested([one(1, answer='{"a": 1}')], 0.5).tasks
    assert task.expected == {"a": 1}


def test_every_skipped_request_is_counted_with_its_reason():
    found = harvested(
        [
            one(1, score=None),
            one(2, score=0.4),
            one(3, cut=True),
            one(4, question="  "),
            one(5),
            one(6, question="What about red?", answer="a"),
            one(7, question="what ABOUT red?!", answer="b"),
            *(one(20 + n, question="Any number?", answer=f"{n} it is") for n in range(9)),
        ],
        0.5,
    )
    assert found.skipped == {
        "no feedback": 1,
        "feedback below 0.5": 1,
        "something was taken out of the answer": 1,
        "an empty question": 1,
        "merged with an equal question": 9,
        "more than 8 different good answers": 1,
    }
    assert {task.id: task.expected for task in found.tasks} == {"r5": "yes", "r6": ("a", "b")}


def test_the_same_question_under_other_instructions_is_another():
    asked = [one(1, question="Who?", system="a"), one(2, question="Who?", system="b")]
    assert len(harvested(asked, 0.5).tasks) == 2


def test_a_users_requests_stand_in_one_split():
    tasks = harvested([one(n, user=f"u{n % 40}") for n in range(400)], 0.5).tasks
    splits = {}
    for task in tasks:
        splits.setdefault(task.fields["user"], set()).add(task.split)
    assert {len(found) for found in splits.values()} == {1}
    assert {split for found in splits.values() for split in found} == {"select", "confirm"}


def test_the_least_feedback_is_a_share():
    with pytest.raises(ValueError, match="min_feedback"):
        harvested([], 1.5)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A working directory with a state directory that traffic was kept in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".penin").mkdir()
    store = LiveStore(tmp_path / ".penin")
    yield store
    store.close()


def keep(store, kept):
    work = Pass.empty()
    for each in kept:
        work.requests[each.id] = Row(each.id, each.at, None, "champion", each.user)
        work.traffic.append(each)
    store.write(work)


def test_the_file_passes_the_check_of_tasks(project, tmp_path, capsys):
    now = time.time()
    long = "please book a table for two people tomorrow at eight in the quiet corner by the window"
    keep(
        project,
        [
            *(one(n, user=f"u{n % 50}", at=now) for n in range(300)),
            # Near copies of one another, by many users: they may not stand on both sides.
            *(one(400 + n, user=f"v{n}", question=f"{long} {n}", at=now) for n in range(20)),
            one(999, at=now - 90_000),
        ],
    )
    assert run(["tasks", "from-traffic", "out.jsonl", "--since", "1d", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["tasks"] == sum(said["splits"].values()) == 320
    assert run(["tasks", "check", "out.jsonl"]) == 0
    tasks = read_tasks(tmp_path / "out.jsonl", "user")
    assert all(task.consent and task.expected == "yes" for task in tasks)
    # What divides by clusters again finds nothing to move.
    assert run(["tasks", "split", "out.jsonl", "--output", "n.jsonl", "--clusters", "user"]) == 0
    assert (tmp_path / "n.jsonl").read_text() == (tmp_path / "out.jsonl").read_text()


def test_words_say_what_was_written_and_what_was_not(project, capsys):
    keep(project, [one(1), one(2, score=None)])
    assert run(["tasks", "from-traffic", "out.jsonl"]) == 0
    said = capsys.readouterr().out
    assert "out.jsonl, 1 task" in said
    assert "1 no feedback" in said


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ((["--min-feedback", "2"]), "--min-feedback: 2.0"),
        ((["--since", "soon"]), "--since"),
        ([], "no request became a task: 1 no feedback"),
    ],
)
def test_what_gives_no_file_is_one_clear_error(project, tmp_path, capsys, given, why):
    keep(project, [one(1, score=None)])
    assert run(["tasks", "from-traffic", "out.jsonl", *given]) in (1, 2)
    assert why in capsys.readouterr().err
    assert not (tmp_path / "out.jsonl").exists()


def test_without_traffic_nothing_is_made(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["tasks", "from-traffic", "out.jsonl"]) == 1
    assert "no traffic was served" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_row_says_only_what_there_is():
    (task,) = harvested([one(1)], 0.5).tasks
    assert as_row(task).keys() == {"id", "input", "expected", "split", "consent", "user"}


def test_what_is_too_old_or_too_much_is_deleted(project, monkeypatch):
    keep(project, [one(n, at=float(n)) for n in range(20)])
    project.prune(oldest=5.0, most=10)
    assert [kept.id for kept in project.traffic()] == [f"r{n}" for n in range(10, 20)]
    assert project.request("r1") is not None
    assert KEPT_REQUESTS == 1_000_000


def test_feedback_that_comes_later_is_kept_with_the_request(project):
    keep(project, [one(1, score=None)])
    work = Pass.empty()
    work.scores = {"r1": 0.7, "nothing": 1.0}
    project.write(work)
    assert [kept.score for kept in project.traffic()] == [0.7]


def test_a_user_is_a_digest_that_another_directory_makes_differently(project, tmp_path):
    (tmp_path / "other").mkdir()
    other = LiveStore(tmp_path / "other")
    assert project.user_of("ann") == project.user_of("ann") != other.user_of("ann")
    other.close()
