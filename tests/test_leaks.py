"""A confirm task that was seen before is named; honest recurrence is left alone."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core import Message, Suite, SuiteError, Task
from penin_core.leaks import (
    NEAR,
    PASSAGE,
    Leak,
    find_leaks,
    question_key,
    recurs,
    taught_texts,
    texts_in,
)
from penin_core.omega.metrics import normalize_text
from penin_core.settings import SuiteDefinition
from penin_core.suites import divided, load_suite, read_tasks

LONG = "Please book a table for two people tomorrow at eight in the quiet corner by the window"


def task(text, n=0, split="confirm", **more):
    return Task(id=f"{split}{n}", input=text, expected="x", split=split, **more)


def found(text, *seen, near=NEAR):
    texts = [(f"s{n}", normalize_text(other)) for n, other in enumerate(seen)]
    return [(leak.seen, round(leak.overlap, 3)) for leak in find_leaks([task(text)], texts, near)]


def test_an_equal_question_leaks_whatever_its_case_and_punctuation():
    assert found("Book me a table, please!", "other", "book me  a table please") == [("s1", 1.0)]


@pytest.mark.parametrize("text", ["6 a.m.", "yes please", "我们要两张桌", ""])
def test_short_utterances_recur_and_are_no_leak(text):
    assert found(text, text) == []
    assert recurs(normalize_text(text))


CHINESE = "请告诉我编号为{}的包裹现在到了哪里，为什么还没有送到我家？"
JAPANESE = "注文番号{}の荷物はいつ届きますか、まだ発送されていないようです。"
THAI = "พัสดุหมายเลข{}ของฉันอยู่ที่ไหนและทำไมยังไม่มาถึงบ้านของฉัน"


@pytest.mark.parametrize(
    "text", ["refund for order {}", CHINESE, JAPANESE, THAI, "sorted(range({}))[::-1]"]
)
def test_an_equal_question_leaks_in_any_script_and_in_few_words(text):
    texts = [text.format(n) for n in range(1000, 1120)]
    assert found(texts[0], *texts) == [("s0", 1.0)]
    assert found(texts[0], *texts[1:]) == []
    assert not recurs(normalize_text(texts[0]))


def test_a_near_copy_without_spaces_leaks():
    # 26 letters: 17 runs of ten, of which the last one has the last letter.
    text = CHINESE.format("")
    assert found(text, text.replace("家", "店")) == [("s0", round(16 / 17, 3))]
    assert found(text, text.replace("送", "运")) == []
    assert found("北京明天的天气怎么样", "南京明天的天气怎么样") == []


def test_a_passage_of_letters_is_longer_than_one_of_words():
    said = (
        "昨天我在你们的网站上订了一双鞋子，但是" + CHINESE.format("") + "另外我想换一个更大的尺码。"
    )
    assert found(CHINESE.format(""), said) == []
    assert found(said, f"您好。{said}谢谢您的帮助，祝您工作顺利，希望早日得到回复。" * 2) == [
        ("s0", 1.0)
    ]


def test_short_questions_leak_where_more_than_one_in_twenty_was_seen():
    asked = [task(f"{n} pm", n) for n in range(6)] + [task(f"{LONG} {n}", n) for n in range(6, 100)]
    seen = [(f"s{n}", f"{n} pm") for n in range(6)]
    assert find_leaks(asked, seen[:5]) == []
    leaks = find_leaks(asked, seen)
    assert leaks == [Leak(f"confirm{n}", f"s{n}", 1.0, short=True) for n in range(6)]
    assert str(leaks[0]).startswith("confirm0 ~ s0 (equal, as more than 5% ")


def test_an_instruction_in_few_words_is_no_question_of_its_own():
    def sorting(expected):
        fields = {"title": f"Shoe {expected}"}
        return Task(id=f"c{expected}", input="Sort this article", expected=expected, fields=fields)

    seen = [("s", "sort this article")]
    assert find_leaks([sorting("a"), sorting("b"), sorting("a")], seen) == []
    assert find_leaks([sorting(None).model_copy(update={"id": n}) for n in "ab"], seen) == []
    asked = [task("Sort this article", n, fields={"title": f"Shoe {n}"}) for n in range(3)]
    assert len(find_leaks(asked, seen)) == 3
    assert [leak.task for leak in find_leaks(asked[:1], [("s", "sort this article")])] == [
        "confirm0"
    ]


def test_a_few_words_that_training_data_answer_are_no_question():
    chat = [{"role": "user", "content": "tea?"}, {"role": "assistant", "content": "at eight"}]
    row = {"id": "r 1", "messages": chat, "expected": {"time": "nine"}, "note": LONG, "n": 1}
    assert set(taught_texts(row)) == {"tea", normalize_text(LONG)}
    assert list(taught_texts({"answer": LONG})) == [normalize_text(LONG)]


def test_a_near_copy_leaks():
    # 17 words, 13 5-grams; the last word is in one of them.
    assert found(LONG, LONG.replace("window", "door")) == [("s0", round(12 / 13, 3))]
    assert found(LONG, LONG.replace("people", "guests")) == []


def test_a_short_question_within_a_longer_one_is_another_question():
    short = "Please book a table for two people"
    assert found(short, LONG) == []
    assert found(short, f"{short} now") == []
    assert found(short, f"{short} now", near=0.7) == [("s0", 1.0)]


def test_a_passage_within_a_longer_text_leaks():
    assert len(LONG.split()) - 4 >= PASSAGE
    assert found(LONG, f"Before that. {LONG} {'and so on ' * 40}") == [("s0", 1.0)]


def test_of_several_the_nearest_is_named():
    near, nearer = LONG.replace("by the window", "by a door"), LONG.replace("window", "door")
    assert found(LONG, near, nearer, near=0.5)[0][0] == "s1"


@pytest.mark.parametrize("near", [0.0, -1.0, 1.1])
def test_a_threshold_is_a_share(near):
    with pytest.raises(ValueError, match="near"):
        find_leaks([], [], near)


def test_the_question_has_the_turns_before_it_and_columns_that_are_texts():
    turns = (Message(role="user", content="earlier"),)
    fields = {"source": "row 17", "document": "one two three four five", "n": 3}
    asked = task("Now?", messages=turns, fields=fields)
    assert question_key(asked) == "earlier one two three four five now"


def test_a_column_without_spaces_is_a_text_too():
    fields = {"kind": "电子产品", "article": CHINESE.format(7)}
    asked = question_key(task("请总结这篇文章", fields=fields))
    assert asked == f"{normalize_text(CHINESE.format(7))} 请总结这篇文章"


def test_texts_are_found_however_deep():
    row = {"messages": [{"role": "user", "content": "a"}, {"content": ["b", 1, None]}]}
    assert list(texts_in(row)) == ["user", "a", "b"]


def test_it_takes_a_moment_for_thousands_of_tasks():
    words = [f"w{n * n % 997}" for n in range(40)]
    texts = [" ".join(words[n % 20 : n % 20 + 12]) + f" {n}" for n in range(8000)]
    started = time.process_time()
    find_leaks([task(text, n) for n, text in enumerate(texts[:4000])], enumerate(texts[4000:]))
    assert time.process_time() - started < 5


# Suites


def suite(*confirm, select=(), training=()):
    others = [task(f"an ordinary question of number {n} here", n, "select") for n in range(30)]
    fresh = [task(f"some quite other words come as {n * 7} today", n + 50) for n in range(120)]
    tasks = (*others, *select, *fresh, *confirm)
    return Suite(SuiteDefinition(), tasks, training)


def test_a_suite_whose_confirm_tasks_stand_in_the_pool_is_refused_by_id():
    suite().require_provable()
    leaking = suite(task(LONG, 1), task(LONG, 2), select=[task(LONG, 99, "select")])
    assert leaking.leaks() == [Leak("confirm1", "select99", 1.0), Leak("confirm2", "select99", 1.0)]
    with pytest.raises(
        SuiteError, match=r"2 confirm tasks .*: confirm1 ~ select99 \(equal\), confirm2"
    ):
        leaking.require_provable()


def test_a_refusal_says_how_many_short_questions_may_recur():
    short = [task(f"{n} pm", n) for n in range(8)]
    select = [task(f"{n} pm", n + 99, "select") for n in range(8)]
    with pytest.raises(SuiteError, match=r"8 confirm tasks .* seen before") as caught:
        suite(*short, select=select).require_provable()
    assert "8 have fewer than 12 characters: such ones may recur in up to 5%" in caught.value.hint
    suite(*short[:6], select=select).require_provable()


def test_training_data_may_begin_with_a_mark_of_the_byte_order(tmp_path):
    (tmp_path / "t.jsonl").write_text(task(LONG).model_dump_json(include={"id", "input", "split"}))
    (tmp_path / "train.jsonl").write_bytes(b"\xef\xbb\xbf" + json.dumps([LONG]).encode())
    definition = SuiteDefinition(tasks="t.jsonl", training=("train.jsonl",))
    assert load_suite(definition, tmp_path, {}).leaks() == [Leak("confirm0", "train.jsonl:1", 1.0)]


def test_training_files_are_read_whatever_their_form(tmp_path):
    rows = [{"messages": [{"role": "user", "content": LONG}]}, {"text": "unrelated"}]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    questions = [task(f"a question with the number {n} in it", n) for n in range(3)]
    lines = [
        t.model_dump_json(include={"id", "input", "split"}) for t in [*questions, task(LONG, 9)]
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    definition = SuiteDefinition(tasks="t.jsonl", training=("train.jsonl",))
    loaded = load_suite(definition, tmp_path, {})
    assert loaded.leaks() == [Leak("confirm9", "train.jsonl:1", 1.0)]
    plain = load_suite(SuiteDefinition(tasks="t.jsonl"), tmp_path, {})
    assert plain.leaks() == []
    assert plain.hash == loaded.hash


@pytest.mark.parametrize(
    ("text", "reason"),
    [("{", "line 1"), ("[" * 3000 + "]" * 3000, "line 1"), (None, "cannot be read")],
)
def test_broken_training_data_are_named(tmp_path, text, reason):
    (tmp_path / "t.jsonl").write_text('{"id": "a", "input": "b"}')
    if text is not None:
        (tmp_path / "train.jsonl").write_text(text)
    definition = SuiteDefinition(tasks="t.jsonl", training=("train.jsonl",))
    with pytest.raises(SuiteError, match=rf"train\.jsonl.*{reason}"):
        load_suite(definition, tmp_path, {})


# Dividing a file


def test_equal_questions_stand_in_the_same_half(tmp_path):
    rows = [{"id": f"t{n}", "input": f"{n % 100} a.m."} for n in range(1000)]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    halves = {}
    for one in read_tasks(tmp_path / "t.jsonl"):
        halves.setdefault(one.input, set()).add(one.split)
    assert all(len(splits) == 1 for splits in halves.values())
    assert len({next(iter(splits)) for splits in halves.values()}) == 2


def test_what_a_select_task_nearly_repeats_goes_to_select_and_never_the_reverse():
    originals = [
        Task(id=f"o{n}", input=" ".join(f"w{n}x{k}" for k in range(12))) for n in range(200)
    ]
    copies = [Task(id=f"c{t.id}", input=f"{t.input} too") for t in originals]
    alone = {t.id: t.split for t in [*divided(originals), *divided(copies)]}
    together = {t.id: t.split for t in divided([*originals, *copies])}
    for one in originals:
        pair = {alone[one.id], alone[f"c{one.id}"]}
        wanted = "select" if "select" in pair else "confirm"
        assert {together[one.id], together[f"c{one.id}"]} == {wanted}


def test_a_split_that_the_file_declares_stays_though_it_leaks():
    declared = [task(LONG, 1), task(LONG, 2, "select")]
    assert [t.split for t in divided(declared)] == ["confirm", "select"]


def test_one_instruction_on_chinese_texts_is_divided_by_the_texts():
    tasks = [
        Task(id=f"t{n}", input="请总结这篇文章。", fields={"text": CHINESE.format(n)})
        for n in range(60)
    ]
    assert {one.split for one in divided(tasks)} == {"select", "confirm"}


def test_a_source_is_not_given_away_by_what_many_sources_say():
    tasks = [
        Task(id=f"{n}-{k}", input=text, expected="x", fields={"user": f"u{n}"})
        for n in range(60)
        for k, text in enumerate(["yes", f"what may user number {n} ask us here"])
    ]
    halves = [one.split for one in divided(tasks, "user")]
    assert min(halves.count("select"), halves.count("confirm")) > 30


words = st.sampled_from(["a", "b", "c", "d", "e", "f", "g"])
texts = st.lists(words, min_size=4, max_size=9).map(" ".join)


@given(st.lists(texts, max_size=25))
def test_a_divided_file_never_leaks(inputs):
    tasks = divided([Task(id=f"t{n}", input=text) for n, text in enumerate(inputs)])
    assert Suite(SuiteDefinition(), tuple(tasks)).leaks() == []
