"""The pages: what they say is what was recorded, and nothing that was recorded becomes a page."""

import json
import math
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from penin_core import Configuration, Views, WORMLedger
from penin_core.cli import penin
from penin_core.engine.budget import Budget
from penin_core.ledger.artifacts import write_run
from penin_core.ledger.checkpoints import read_kept, seal
from penin_core.ledger.proofs import TlogProof
from penin_core.live.experiment import Experiment
from penin_core.omega.evidence import log_e_path
from penin_core.omega.tuner import DEFAULTS
from penin_core.pages import charts, shell
from penin_core.pages.difference import configurations
from penin_core.pages.evidence import calibration, e_value
from penin_core.pages.markup import Markup, address, clipped, element, text
from penin_core.pages.money import spend, spent
from penin_core.pages.needs import needs
from penin_core.pages.reading import Run
from penin_core.pages.report import report
from penin_core.pages.style import STYLE

HOSTILE = (
    "\"'><img src=x onerror=alert(1)></pre></script><script>alert(1)</script>javascript:alert(1)"
)
ELEMENTS = """html head meta link title body main header nav a footer section div h1 h2 h3 p pre
code strong span ul ol li details summary dl dt dd table caption thead tbody tr th td ins del
figure figcaption svg desc rect line text polyline circle path style"""
ATTRIBUTES = """lang charset name content rel href http-equiv id class role aria-label tabindex
scope aria-labelledby aria-current aria-hidden data-label viewbox x y x1 x2 y1 y2 cx cy r rx d dy
points width height"""


class Outline(HTMLParser):
    """The elements of a page, the names of their attributes, links, text, and what is open."""

    def __init__(self, page):
        super().__init__()
        self.found, self.links, self.words, self.open = [], [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, tuple(sorted(name for name, _ in attrs))))
        self.links += [value for name, value in attrs if name in ("href", "src")]
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in ("meta", "link"):
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


class Recorded:
    """A state directory with one cycle in which every text is ``words``."""

    def __init__(self, state, words="plain"):
        self.state, self.words = state, words
        state.mkdir(parents=True, exist_ok=True)
        self.old = Configuration(provider="p", model="m", system=words, extra={words: words})
        self.new = self.old.model_copy(
            update={"prompt": f"{words} {{{{input}}}}", "adapter": words}
        )
        with self.ledger() as ledger:
            body = {"config": self.old.model_dump(mode="json"), "config_hash": self.old.hash}
            steps = {"param_version": 0, "params": dict(DEFAULTS), "reason": words}
            ledger.record_event("BOOTSTRAP", {**body, "run_id": None, **steps})
            ledger.record_event(
                "TUNE", {"param_version": 1, "params": dict(DEFAULTS), "objective": 0.2}
            )
            self.record(ledger, "base-0001", "baseline", self.old, 0.0)
            self.record(ledger, "chal-0001", "challenger", self.new, 1.0, self.detail())
            about = {"experiment": words, "champion": words, "challenger": words, "fraction": 0.25}
            levels = {words: 0.001, "utility": 0.002}
            ledger.record_event("CANARY_START", {**about, "levels": levels})
            found = {"log_e": {"utility": 3.0, words: -1.0, "no_worse": 9.0}, "reason": words}
            asked = {"champion_requests": 300, "challenger_requests": 100}
            end = {**about, **asked, "levels": levels, **found, "verdict": words}
            ledger.record_event("CANARY_STOP", end)

    def ledger(self):
        return WORMLedger(self.state / "ledger.db")

    def views(self):
        views = Views(self.state, 5.0)
        views.overview()
        views.checker.wait()
        return views

    def detail(self):
        words = self.words
        return {
            "champion": self.old.hash,
            "axes": ["U", "C"],
            "origin": words,
            "note": words,
            "before": {"U": 0.5, "S": 0.5, "C": 0.4, "L": None},
            "worst_axis": "axis C",
            "params": {"tau": 0.6, "beta_min": 0.02},
            "raw": {"S": {"ece": 0.125}},
            "not_applied": [words],
            "guards": [{"guard": words, "ok": False, "measured": True, "reason": words}],
            "confirmation": {
                "claim": "better",
                "mode": "anytime",
                "t": 1,
                "alpha": 0.025,
                "n": 6,
                "log_e": 1.0,
                "proved": False,
                "gain": 0.5,
                "interval": [-0.1, 0.9],
                "wins": 4,
                "losses": 1,
                "errors": 0,
                "further": None,
            },
        }

    def record(self, ledger, run_id, kind, config, utility, detail=None, **row):
        rows = [
            {
                "task": f"{self.words} {n}",
                "split": "confirm",
                "utility": utility if n else None,
                "confidence": 0.1 * n,
                "text": f"{run_id} says {self.words}",
                "error": None if n else self.words,
            }
            for n in range(6)
        ]
        pairs = [
            {"task": str(n), "champion": 0, "challenger": 1, "difference": d, "saving": 0.0}
            for n, d in enumerate((1, 1, -1, 1, 0, 1))
        ]
        files = {"config.json": json.dumps(config.model_dump(mode="json"))}
        files["responses.jsonl"] = "\n".join(map(json.dumps, rows))
        if detail:
            files["pairs.jsonl"] = "\n".join(map(json.dumps, pairs))
            champion = {"U": 0.5, "C": 0.4, "groups": {self.words: 0.9}}
            margins = {"U": 0.05, "S": 0.05, "C": 0.2, "L": 0.05, "group": 0.05}
            trial = {"champion": champion, "margins": margins, "lost": 0.0}
            measured = {"U": utility, "C": 0.45, "groups": {self.words: 0.8}}
            gate = {"ok": True, "reason": self.words, "value": 0.125, "threshold": 0.1}
            files["trial.json"], files["evaluation.json"] = map(json.dumps, (trial, measured))
            files["gates.json"] = json.dumps([{"guard": self.words, "details": {self.words: gate}}])
        manifest = write_run(self.state, run_id, {n: t.encode() for n, t in files.items()})
        ledger.record_run(
            {
                "id": run_id,
                "cycle_id": "one",
                "kind": kind,
                "provider_id": self.words,
                "candidate_cfg_hash": config.hash,
                "config_hash": config.hash,
                "u_score": utility,
                "c_score": 0.45,
                "verdict": "rollback",
                "reason": self.words,
                "dry_run": False,
                "delta_linf": 0.125,
                "score": 0.55,
                "seed": 1,
                "n_tasks": 6,
                "cost_micro_usd": 1250,
                "artifacts_path": f"runs/{run_id}",
                "manifest_sha256": manifest,
                "detail": detail or {},
                **row,
            }
        )


PAGES = {
    "overview": lambda views: views.overview(),
    "runs": lambda views: views.runs(),
    "run": lambda views: views.run("chal-0001"),
    "baseline": lambda views: views.run("base-0001"),
    "compare": lambda views: views.compare("base-0001", "chal-0001"),
    "lineage": lambda views: views.lineage(),
    "canary": lambda views: views.canary(),
    "tuner": lambda views: views.tuner(),
    "ledger": lambda views: views.ledger(),
    "missing": lambda views: views.missing(),
}
each_page = pytest.mark.parametrize("name", PAGES)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return Recorded(tmp_path_factory.mktemp("plain") / ".penin")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    return Recorded(tmp_path_factory.mktemp("hostile") / ".penin", HOSTILE)


def whole_report(recorded, run_id="chal-0001"):
    with recorded.ledger() as ledger:
        return report(recorded.state, ledger, run_id)


def said(page):
    return re.sub(r"\s+", " ", " ".join(Outline(page).words))


def structure(page):
    """Elements and attributes, without the marks of what differs between two texts."""
    return [part for part in Outline(page).found if part[0] not in ("ins", "del")]


# Nothing is born from data


@each_page
def test_hostile_text_changes_no_element_and_no_attribute(name, plain, hostile):
    before, after = (PAGES[name](recorded.views()).body for recorded in (plain, hostile))
    assert structure(after) == structure(before)


@each_page
def test_pages_are_made_of_known_pieces_only(name, hostile):
    outline = Outline(PAGES[name](hostile.views()).body)
    assert outline.open == []
    assert {tag for tag, _ in outline.found} <= set(ELEMENTS.split())
    assert {attribute for _, names in outline.found for attribute in names} <= set(
        ATTRIBUTES.split()
    )
    assert all(re.match(r"/(?!/)|#", target) for target in outline.links)


def test_hostile_text_of_a_run_is_read_as_it_is(hostile):
    words = said(hostile.views().run("chal-0001").body)
    assert words.count("<img src=x onerror=alert(1)>") > 10
    assert f"chal-0001 says {HOSTILE}" in words


def test_the_report_is_no_other_than_its_run_and_asks_for_nothing(hostile, plain):
    page = whole_report(hostile)
    outline = Outline(page)
    assert structure(page) == structure(whole_report(plain))
    assert {tag for tag, _ in outline.found} <= set(ELEMENTS.split())
    assert outline.links == []
    assert not re.search(r"url\(|@import|https?://", page.replace(HOSTILE, ""))
    assert "default-src 'none'" in text(shell.ALONE).replace("&#x27;", "'")


def test_the_policy_of_the_report_lets_exactly_its_own_style_through(plain):
    from base64 import b64encode
    from hashlib import sha256

    page = whole_report(plain)
    (inline,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert inline == STYLE
    digest = b64encode(sha256(inline.encode()).digest()).decode()
    assert f"style-src &#x27;sha256-{digest}&#x27;" in page
    assert "<" not in STYLE


@pytest.mark.parametrize("mark", ["\x00", "\x1b", "\u202e", "\u2066", "\ud800", "\x85"])
def test_what_could_drive_a_terminal_or_turn_the_text_is_replaced(mark):
    assert text(f"a{mark}b") == "a\ufffdb"
    assert mark not in address("run", f"a{mark}b")


def test_text_is_escaped_once_and_attributes_too():
    inner = element("b", "<&>", title='"x"')
    assert inner == '<b title="&quot;x&quot;">&lt;&amp;&gt;</b>'
    assert element("p", inner) == f"<p>{inner}</p>"
    assert isinstance(inner, Markup)


def test_an_address_keeps_every_part_in_its_place():
    assert address("run", "../a/b?c#d") == "/run/..%2Fa%2Fb%3Fc%23d"


def test_long_text_is_cut_and_says_so():
    assert clipped("x" * 20, 10) == "x" * 10 + "… (20 characters)"


# What they say


def test_the_page_of_a_run_says_why(plain):
    page = said(plain.views().run("chal-0001").body)
    assert "Not promoted: the champion stays plain" in page
    assert "worst axis C (cost)" in page
    assert "score no 0.550 at least τ = 0.600" in page
    assert "gain in L∞ yes +0.125 at least β_min = 0.020" in page
    assert "guard plain no veto: plain agrees" in page
    assert "evidence no not proved on 6 tasks proof of “better”, at error 0.025" in page
    assert "no axis or group much worse no group 'plain': loses 0.100 loses at most 0.05" in page
    assert "1 of 5 conditions hold" in page
    assert "plain: plain yes 0.125 plain" in page
    assert "U utility 0.500 1.000 +0.500" in page
    assert "4 won, 1 lost, 0 with an error" in page
    assert "-0.100 to +0.900" in page
    assert "plain veto plain" in page


@pytest.mark.parametrize(
    ("utility", "lost", "shown"),
    [
        (0.48, 0.0, "yes axis U: loses 0.020 loses at most 0.05"),
        (0.48, 0.04, "no axis U: loses 0.020 loses at most 0.01"),
        (0.58, 0.9, "yes axis U: gains 0.080 loses at most 0"),
    ],
)
def test_what_earlier_champions_lost_is_taken_off_the_margin(utility, lost, shown):
    case = {
        "champion": {"U": 0.5},
        "margins": {"U": 0.05, "S": 0.05, "C": 0.2, "L": 0.05, "group": 0.05},
        "lost": lost,
    }
    files = {"trial.json": json.dumps(case), "evaluation.json": json.dumps({"U": utility})}
    row = {"kind": "challenger", "score": 0.7, "delta_linf": 0.1}
    run = Run(row, "", {"axes": ["U"]}, {name: text.encode() for name, text in files.items()})
    assert f"no axis or group much worse {shown}" in said(needs(run))


def test_the_evidence_is_drawn_as_the_kernel_computes_it(plain):
    page = plain.views().run("chal-0001").body
    e_value = math.exp(log_e_path((1, 1, -1, 1, 0, 1))[-1])
    assert f"After 6 tasks the e-value is {e_value:.3g}; 40 has to be reached once." in page
    drawn = re.search(r'<polyline points="([^"]+)" class="new"/>', page)[1]
    assert len(drawn.split()) == 7


def test_answers_that_moved_stand_side_by_side(plain):
    page = said(plain.views().compare("base-0001", "chal-0001").body)
    assert "Of 6 tasks asked of both, 5 went better and 0 worse" in page
    assert "0.00 → 1.00 base-0001 says plain chal-0001 says plain" in page


def test_calibration_is_drawn_where_there_is_confidence(plain):
    page = said(plain.views().run("chal-0001").body)
    assert "Calibration error of this run: 0.125" in page


def test_calibration_is_drawn_without_the_splits_that_its_error_leaves_out():
    def drawn(*splits):
        rows = [
            {"task": n, "split": split, "confidence": 0.8, "utility": float(split == "confirm")}
            for n, split in enumerate(splits)
        ]
        lines = "\n".join(map(json.dumps, rows))
        return calibration(Run({}, "", {}, {"responses.jsonl": lines.encode()}), None)

    assert 'class="new"' in str(drawn("confirm"))
    assert drawn("confirm", "ood", "composed") == drawn("confirm")
    assert drawn("ood", "composed") == []


def test_the_overview_says_who_is_champion_and_what_the_last_cycle_did(plain):
    page = said(plain.views().overview().body)
    assert "model p:m" in page
    assert "made champion by BOOTSTRAP because plain" in page
    assert "rollback +0.125 C (cost) plain" in page
    assert "limit of the day $5.00" in page
    assert "The ledger verifies: 6 entries" in page


def test_three_clicks_lead_from_the_first_page_to_why(plain):
    views = plain.views()
    assert "/run/chal-0001" in Outline(views.overview().body).links
    assert "/compare/base-0001/chal-0001" in Outline(views.run("chal-0001").body).links


def test_a_run_is_compared_with_the_champion_of_now_where_that_is_another_one(tmp_path):
    recorded = Recorded(tmp_path)
    with recorded.ledger() as ledger:
        recorded.record(ledger, "late-0001", "challenger", recorded.new, 0.9)
        body = {"config": recorded.new.model_dump(mode="json"), "config_hash": recorded.new.hash}
        ledger.record_event("PROMOTE", {**body, "run_id": "late-0001", "reason": "better"})
    views = recorded.views()
    assert "/compare/late-0001/chal-0001" in Outline(views.run("chal-0001").body).links
    assert not any("now" in word for word in Outline(views.run("late-0001").body).words)


def test_a_part_of_an_id_is_enough(plain):
    assert plain.views().run("chal").body == plain.views().run("chal-0001").body


def test_older_runs_are_a_page_of_their_own(tmp_path):
    recorded = Recorded(tmp_path)
    with recorded.ledger() as ledger:
        bare = {"kind": "challenger", "candidate_cfg_hash": "c", "verdict": "fail", "dry_run": True}
        ledger.record_many([("RUN", {"id": f"r{n:04}", **bare}) for n in range(150)])
    views = recorded.views()
    first = views.runs()
    (older,) = [target for target in Outline(first.body).links if "before=" in target]
    rest = views.runs(int(older.partition("=")[2]))
    shown = [set(re.findall(r"/run/(\S+?)\"", page.body)) for page in (first, rest)]
    assert len(shown[0]) == 100
    assert len(shown[1]) == 52
    assert not shown[0] & shown[1]
    assert views.run("r0000").status == 200


def test_a_rollback_is_drawn_as_an_arc_and_told_in_the_table(tmp_path):
    recorded = Recorded(tmp_path)
    with recorded.ledger() as ledger:
        for kind, config in (("PROMOTE", recorded.new), ("ROLLBACK", recorded.old)):
            body = {"config": config.model_dump(mode="json"), "config_hash": config.hash}
            ledger.record_event(kind, {**body, "run_id": "chal-0001", "reason": "it was worse"})
    page = recorded.views().lineage().body
    assert page.count('class="new"') == 2
    assert page.count("(taken back later)") == 1
    assert "PROMOTE: prompt, adapter changed (taken back later)" in said(page)
    assert re.search(r"ROLLBACK: back to the champion of \d{4}-\d\d-\d\d", said(page))
    assert "/run/chal-0001" in Outline(page).links


@each_page
def test_every_page_is_far_below_300_kb_and_has_one_main_heading(name, plain):
    page = PAGES[name](plain.views()).body
    assert len(page.encode()) < 100_000
    assert page.count("<h1") == 1


@each_page
def test_every_table_and_drawing_says_what_it_is(name, plain):
    page = PAGES[name](plain.views()).body
    assert page.count("<table") == page.count("<caption>")
    told = page.count("<svg") - page.count('aria-hidden="true"')
    assert told < page.count("<title")
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    named = " ".join(re.findall(r'aria-labelledby="([^"]+)"', page)).split()
    assert set(named) <= set(ids)


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        ("be kind", "be very kind", ["be kind", "be [very ]kind"]),
        ("a b", "a b c", ["a b", "a b[ c]"]),
        ("a x c", "a y c", ["a [x] c", "a [y] c"]),
        ("1.25", "1.5", ["1.25", "1.5"]),
        ("w " * 9000 + "old" + " w" * 9000, "w " * 9000 + "new" + " w" * 9000, ["[old]", "[new]"]),
    ],
)
def test_what_changed_in_a_text_is_marked_however_long_it_is(old, new, shown):
    before, after = (Configuration(provider="p", model="m", prompt=text) for text in (old, new))
    page = configurations(before, after, ("old", "new"))
    cells = re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL)
    plain = [re.sub("<(ins|del)>", "[", cell) for cell in cells]
    for cell, wanted in zip(plain, shown, strict=True):
        assert wanted in re.sub("</(ins|del)>", "]", cell)
        assert len(cell) < 1000


def test_the_page_of_canaries_says_how_far_each_harm_came(plain):
    page = said(plain.views().canary().body)
    assert "verdict plain" in page
    assert "300 by the champion and 100 by the challenger" in page
    assert "worse answers 20.1 500" in page
    assert "no worse answers 8,103 200" in page
    assert page.index("worse answers 20.1") < page.index("plain 0.368 1,000")


def test_a_canary_without_an_end_runs(tmp_path):
    recorded = Recorded(tmp_path)
    with recorded.ledger() as ledger:
        hashes = {"champion": recorded.old.hash, "challenger": recorded.new.hash}
        plan = {"ramp": (0.05, 0.5), "step_requests": 200, "duration_s": 60.0}
        late = Experiment(id="late", run_id="chal-0001", mode="canary", **hashes, **plan)
        ledger.record_event("CANARY_START", late.declaration())
    found = recorded.views().canary().body
    page = said(found)
    assert "verdict running kind canary challenger hal-0001" in page
    assert "share of the traffic 5 %, step 1 of 2" in page
    assert "requests answered 0 by the champion and 0 by the challenger" in page
    assert page.index("verdict running") < page.index("verdict plain")
    assert "/run/chal-0001" in Outline(found).links


def test_a_canary_that_cannot_be_read_hides_no_other(tmp_path):
    recorded = Recorded(tmp_path)
    with recorded.ledger() as ledger:
        ledger.record_event("CANARY_START", {"experiment": "odd", "mode": "canary", "ramp": 3})
    page = said(recorded.views().canary().body)
    assert "Canary of entry 6" in page
    assert "verdict plain" in page


def test_the_last_cycles_are_drawn_beside_the_champion(tmp_path):
    recorded = Recorded(tmp_path)
    with recorded.ledger() as ledger:
        row = {"cycle_id": "two", "verdict": "promote"}
        recorded.record(ledger, "base-0002", "baseline", recorded.new, 0.5, cycle_id="two")
        recorded.record(ledger, "chal-0002", "challenger", recorded.new, 0.9, **row)
    page = recorded.views().overview().body
    assert "Utility in the last 2 cycles" in page
    drawn = re.search(r'<svg[^>]*aria-labelledby="cycles-title.*?</svg>', page, re.DOTALL)[0]
    assert [drawn.count(f'circle cx="{x}"') for x in ("202.0", "482.0")] == [2, 2]
    assert re.findall(r'cx="([\d.]+)"[^>]*class="(good|miss)"', drawn) == [
        ("482.0", "good"),
        ("202.0", "miss"),
    ]


def test_money_is_drawn_by_day_under_the_limit(tmp_path):
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    for back, usd in ((0, 1.25), (3, 2.5), (40, 4.0)):
        books = Budget(tmp_path / "budget.db", 5.0, now=lambda at=back: now - timedelta(days=at))
        books.settle(books.reserve(4_000_000, "k"), int(usd * 1e6))
        books.close()
    page = spend(tmp_path, 5.0, now.date())
    assert "$3.750000 on 2 of the last 14 days, at most $2.500000" in page
    drawn = page.partition('viewBox="0 0 640 290"')[2]
    heights = [float(found) for found in re.findall(r'height="([\d.]+)" class="new"', drawn)]
    assert heights == pytest.approx([heights[0], 2 * heights[0]], abs=0.2)


def test_what_a_killed_process_left_on_another_day_is_not_reserved_today(tmp_path):
    for back, bound in ((30, 4_000_000), (0, 250_000)):
        at = datetime.now(UTC) - timedelta(days=back)
        books = Budget(tmp_path / "budget.db", 5.0, now=lambda at=at: at)
        books.reserve(bound, "killed")
        books.close()
    # Midnight may come in between: then nothing is reserved any more.
    assert spent(tmp_path, 5.0)["reserved_usd"] in (0.25, 0.0)


def test_a_page_about_money_makes_no_file(tmp_path):
    assert "limit of the day" in spend(tmp_path, 5.0)
    assert list(tmp_path.iterdir()) == []


# Files to take away


@pytest.fixture
def signed(tmp_path):
    recorded = Recorded(tmp_path / "signed")
    with recorded.ledger() as ledger:
        seal(recorded.state, ledger)
        recorded.record(ledger, "late-0001", "challenger", recorded.new, 0.5)
    return recorded


def test_a_proof_is_checked_by_the_policy_and_looking_signs_nothing(signed):
    kept = read_kept(signed.state)
    views = signed.views()
    page = views.proof(3)
    assert (page.status, page.kind, page.name) == (200, "text/plain", "entry-3.tlog-proof")
    with signed.ledger() as ledger:
        (leaf,) = ledger.leaves(3, 4)
    proof = TlogProof.parse(page.body.encode())
    assert proof.verify(leaf, kept.policy).checkpoint.size == 6
    with pytest.raises(ValueError, match="not entry 3"):
        proof.verify(leaf + b" ", kept.policy)
    assert read_kept(signed.state) == kept


def test_what_is_not_signed_has_no_proof_yet(signed):
    views = signed.views()
    page = views.proof(6)
    assert page.status == 404
    assert "entry 6 is under no signed checkpoint yet" in page.body
    assert "penin ledger proof 6" in page.body
    assert views.proof(7).status == 404
    assert "/ledger/proof/3" in Outline(views.run("chal-0001").body).links
    listed = [link for link in Outline(views.ledger().body).links if "proof" in link]
    assert listed == [f"/ledger/proof/{idx}" for idx in (5, 4, 3, 2, 1, 0)]
    assert not any("proof" in link for link in Outline(views.run("late-0001").body).links)


def test_the_checkpoint_is_a_file_to_keep(signed):
    page = signed.views().checkpoint()
    assert (page.status, page.name) == (200, "checkpoint")
    assert page.body == str(read_kept(signed.state).last)


def test_a_run_is_saved_as_its_report(plain):
    page = plain.views().report("chal")
    assert (page.status, page.name) == (200, "penin-chal-0001.html")
    assert page.body == whole_report(plain)
    assert plain.views().report("nobody").status == 404


def test_nothing_to_take_away_is_said_in_an_empty_directory(tmp_path):
    views = Views(tmp_path / "none", 5.0)
    for page in (views.proof(0), views.checkpoint(), views.report("chal-0001")):
        assert (page.status, page.kind) == (404, "text/plain")
        assert "nothing was recorded yet" in page.body


# Bad input


def test_an_empty_state_directory_says_what_to_do(tmp_path):
    views = Views(tmp_path / ".penin", 5.0)
    for make in (views.overview, views.runs, views.lineage, views.tuner, views.ledger):
        page = make()
        assert page.status == 200
        assert "penin evolve" in page.body
        assert page.body.count("<h1") == 1
    assert not (tmp_path / ".penin").exists()


def test_an_unknown_run_is_said_and_leads_on(plain):
    page = plain.views().run("nobody")
    assert page.status == 404
    assert "run &#x27;nobody&#x27; is not in the ledger" in page.body
    assert {"/runs", "/run/chal-0001", "/run/base-0001"} <= set(Outline(page.body).links)


def test_an_id_that_fits_several_runs_leads_to_each(plain):
    page = plain.views().run("-0001")
    assert page.status == 404
    assert {"/run/base-0001", "/run/chal-0001"} <= set(Outline(page.body).links)


def test_a_ledger_that_does_not_verify_is_said_on_every_page_and_still_shown(tmp_path):
    import sqlite3

    recorded = Recorded(tmp_path)
    with sqlite3.connect(tmp_path / "ledger.db", isolation_level=None) as connection:
        connection.execute("DROP TRIGGER runs_no_update")
        connection.execute("UPDATE runs SET verdict = 'promote' WHERE id = 'chal-0001'")
    connection.close()
    views = recorded.views()
    for name in PAGES.keys() - {"missing"}:
        page = PAGES[name](views)
        assert page.status == 200
        assert 'class="bad" role="alert"' in page.body
    assert "runs.verdict differs from the entry" in said(views.overview().body)
    assert "does not verify" in said(whole_report(recorded))


def test_a_damaged_file_of_a_run_is_named_in_red_and_not_shown(tmp_path):
    recorded = Recorded(tmp_path)
    path = tmp_path / "runs" / "chal-0001" / "responses.jsonl"
    path.chmod(0o600)
    path.write_text("{}")
    page = recorded.views().run("chal-0001").body
    assert "The files of this run cannot be shown." in page
    assert 'class="bad" role="alert"' in page
    assert "Answers side by side" not in page


def test_what_was_written_after_the_verification_is_not_said_to_be_verified(tmp_path):
    recorded = Recorded(tmp_path)
    views = recorded.views()
    assert "is not verified yet" not in said(views.overview().body)
    views.checker._next = float("inf")
    with recorded.ledger() as ledger:
        ledger.record_event("TUNE", {"param_version": 2, "params": dict(DEFAULTS)})
    page = said(views.overview().body)
    assert "The ledger verifies: 6 entries" in page
    assert "Something was written since then that is not verified yet" in page
    views.checker._next = 0.0
    views.overview()
    views.checker.wait()
    page = said(views.overview().body)
    assert "The ledger verifies: 7 entries" in page
    assert "is not verified yet" not in page


def test_a_file_that_is_no_ledger_leaves_what_the_pointer_says(tmp_path):
    recorded = Recorded(tmp_path)
    (tmp_path / "ledger.db").write_bytes(
        b"no database at all, but long enough to be looked at" * 20
    )
    page = recorded.views().overview()
    assert page.status == 500
    assert 'class="bad" role="alert"' in page.body
    assert "champion.json cannot be read either" in page.body


def test_an_entry_that_cannot_be_read_hides_nothing_else(tmp_path):
    import sqlite3

    recorded = Recorded(tmp_path)
    with sqlite3.connect(tmp_path / "ledger.db", isolation_level=None) as connection:
        connection.execute("DROP TRIGGER entries_no_update")
        connection.execute("UPDATE entries SET leaf = x'00' WHERE idx = 0")
    connection.close()
    views = recorded.views()
    page = said(views.overview().body)
    assert "entry 0 cannot be read" in page
    assert "rollback +0.125 C (cost) plain" in page
    assert "The ledger does not verify: entry 0" in page
    book = said(views.ledger().body)
    assert "entry 0 cannot be read" in book
    assert "The 0 entries before it pass every check" in book
    assert views.run("chal-0001").status == 200


def test_a_directory_that_may_not_be_read_is_a_message(tmp_path, monkeypatch):
    recorded = Recorded(tmp_path)

    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("penin_core.pages.site.is_file", refused)
    page = Views(recorded.state, 5.0).overview()
    assert page.status == 500
    assert "cannot be read: Permission denied" in page.body


def test_an_entry_that_this_version_does_not_write_is_a_message(tmp_path):
    recorded = Recorded(tmp_path)
    with recorded.ledger() as ledger:
        detail = {**recorded.detail(), "confirmation": {"claim": 3}, "params": "none"}
        recorded.record(ledger, "odd-00001", "challenger", recorded.new, 0.5, detail)
    page = recorded.views().run("odd-00001")
    assert page.status == 200
    assert "is not what this version writes" in page.body
    assert "Not promoted: the champion stays" in page.body
    assert "Answers side by side" in page.body


def test_a_run_of_which_almost_nothing_is_known_is_shown(tmp_path):
    recorded = Recorded(tmp_path)
    with recorded.ledger() as ledger:
        bare = {"kind": "challenger", "candidate_cfg_hash": "c", "verdict": "fail", "dry_run": True}
        ledger.record_run({"id": "bare-0001", **bare})
    page = recorded.views().run("bare-0001")
    assert page.status == 200
    assert "Nothing was measured." in page.body
    assert "Failed, in a dry run" in page.body


def test_an_entry_that_fails_is_named_and_those_before_it_are_called_sound(tmp_path):
    import sqlite3

    recorded = Recorded(tmp_path)
    with sqlite3.connect(tmp_path / "ledger.db", isolation_level=None) as connection:
        connection.execute("DROP TRIGGER entries_no_update")
        connection.execute("UPDATE entries SET leaf = x'00' WHERE idx = 2")
    connection.close()
    page = recorded.views().ledger()
    words = said(page.body)
    assert "entry 2 is the first that fails. The 2 entries before it pass every check" in words
    assert "/ledger?before=3" in Outline(page.body).links
    assert (words.count(" sound "), words.count(" not vouched for ")) == (2, 3)


def test_older_entries_are_a_page_of_their_own(tmp_path):
    recorded = Recorded(tmp_path)
    with recorded.ledger() as ledger:
        ledger.record_many([("BUDGET", {"n": n}) for n in range(60)])
    views = recorded.views()
    (older,) = [link for link in Outline(views.ledger().body).links if "before=" in link]
    assert older == "/ledger?before=36"
    assert "BUDGET" in views.ledger(36).body
    assert "BOOTSTRAP" in views.ledger(6).body
    assert "BUDGET" not in views.ledger(6).body
    assert views.ledger(0).status == views.ledger(10**9).status == 200


def test_pages_are_shown_while_another_connection_holds_the_ledger_for_writing(tmp_path):
    import sqlite3

    recorded = Recorded(tmp_path)
    with sqlite3.connect(tmp_path / "ledger.db", isolation_level=None) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE half_written (a)")
        views = recorded.views()
        assert all(PAGES[name](views).status == 200 for name in PAGES.keys() - {"missing"})
        connection.execute("ROLLBACK")
    connection.close()


def test_pages_follow_another_writer(tmp_path):
    recorded = Recorded(tmp_path)
    views = recorded.views()
    with recorded.ledger() as ledger:
        recorded.record(ledger, "late-0001", "challenger", recorded.new, 0.5)
        assert "/run/late-0001" in views.runs().body


# Charts


def test_a_drawing_holds_the_first_and_the_last_of_many_points():
    points = [(float(n), float(n)) for n in range(10_000)]
    kept = charts.thinned(points)
    assert len(kept) == charts.MOST_POINTS
    assert (kept[0], kept[-1]) == (points[0], points[-1])


@settings(deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e9))
def test_ticks_are_round_lie_inside_and_are_few(low, width):
    found = charts.ticks(low, low + width)
    assert 1 <= len(found) <= 2 * charts.TICKS
    assert all(low - 1e-6 * width <= tick <= low + 1.000001 * width for tick in found)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (-0.36, 6.3, [0, 2, 4, 6]),
        (3, 3, [3]),
    ],
)
def test_ticks_are_those_that_a_person_would_choose(low, high, ticks):
    assert charts.ticks(low, high) == ticks


@pytest.mark.parametrize(
    ("log_e", "words"),
    [(0, "1"), (math.log(39.96), "40"), (-2, "0.135"), (9, "8,103"), (1000, "10⁴³⁴")],
)
def test_an_e_value_is_said_however_large_it_is(log_e, words):
    assert e_value(log_e) == words


@pytest.mark.parametrize("values", [[0.0], [1.0, 1.0], [-3.0, 5.0], [1e-12]])
def test_a_padded_range_holds_its_values_and_is_never_empty(values):
    low, high = charts.padded(values)
    assert low < min(values)
    assert high > max(values)


def test_a_frame_puts_its_corners_into_the_corners():
    frame = charts.Frame((0, 10), (-1, 1), "x", "y")
    (left, bottom), (right, top) = frame.at(0, -1), frame.at(10, 1)
    assert left < right
    assert top < bottom
    assert frame.at(5, 0) == ((left + right) / 2, (top + bottom) / 2)


# The command


def test_penin_report_writes_one_file_and_says_where(plain, tmp_path):
    file = tmp_path / "report.html"
    words = ["report", "chal", "--html", str(file), "--state-dir", str(plain.state), "--json"]
    found = CliRunner().invoke(penin, words, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    assert json.loads(found.output)["run_id"] == "chal-0001"
    assert file.read_text() == whole_report(plain)


def test_penin_report_into_a_folder_that_is_not_there_is_an_error_of_two_lines(plain, tmp_path):
    from penin_core.errors import StateError

    words = ["report", "chal", "--html", str(tmp_path / "no" / "r.html")]
    found = CliRunner().invoke(penin, [*words, "--state-dir", str(plain.state)])
    assert isinstance(found.exception, StateError)
    assert found.exception.hint
