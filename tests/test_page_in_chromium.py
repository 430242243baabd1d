"""The page in a browser: filters, keyboard, waveform, hostile texts, speed, and that nothing is asked of anyone."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import answer_builder as build
import chromium
from chromium import Chromium
from itertl.report import serve
from itertl.report.serve import ReportServer
from itertl.runs import storage
from test_answers import HOSTILE, page_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium.program() is None, reason="Chromium is not installed: apt-get install chromium"),
]
OPTIONS = "[...document.querySelectorAll('#list [role=option]')]"
COUNT = "document.getElementById('count').textContent"
EVIL = HOSTILE + "<img src=x onerror=\"window.hurt=1\"><svg onload='window.hurt=1'>`${window.hurt=1}`\"'&lt;"


def choose(page: Chromium, name: str, label: str) -> None:
    """Pick an option of a filter by what it says, or type into it."""
    told = page.js(
        f"(() => {{ const f = document.getElementById('f-{name}');"
        f"if (f.tagName === 'INPUT') f.value = {json.dumps(label)};"
        f"else f.value = [...f.options].find((o) => o.text === {json.dumps(label)}).value;"
        "f.dispatchEvent(new Event(f.tagName === 'INPUT' ? 'input' : 'change')); return true; })()"
    )
    assert told is True


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("chromium")) as made:
        yield made


@pytest.fixture
def page(browser: Chromium, tmp_path: Path) -> Chromium:
    """The page of one run of 24 tasks under 4 models, and 240 candidates, opened as a file."""
    browser.events.clear()
    folder = build.build(tmp_path / "run", candidates=240)
    (folder / "report.html").write_text(page_of(folder), encoding="utf-8")
    browser.open((folder / "report.html").as_uri() + "#browse")
    browser.until(f"{OPTIONS}.length > 5")
    return browser


def test_filters_narrow_the_list_and_are_cleared(page: Chromium) -> None:
    assert page.js(COUNT) == "336 of 336 answers"
    choose(page, "group", "synth-heldout")
    assert page.js(COUNT) == "96 of 336 answers"
    choose(page, "model", "after 3")
    choose(page, "verdict", "wrong output")
    assert page.js(COUNT) == "6 of 336 answers" and page.js(f"{OPTIONS}.length") == 6
    choose(page, "text", "MUX14 swapped")
    assert page.js(COUNT) == "0 of 336 answers"
    assert "No answer" in page.js("document.getElementById('list').textContent")
    choose(page, "text", "MUX14")
    assert page.js(COUNT) == "1 of 336 answers"
    page.js("document.getElementById('clear').click()")
    assert page.js(COUNT) == "336 of 336 answers"
    choose(page, "rung", "elaboration")
    choose(page, "task", "mux")
    assert page.js(f"{OPTIONS}.every((o) => o.getAttribute('aria-label').includes('wrong output'))")
    assert page.complaints() == []


def test_a_wrong_answer_shows_its_first_mismatch_its_difference_and_its_history(page: Chromium) -> None:
    choose(page, "group", "synth-heldout")
    choose(page, "verdict", "wrong output")
    choose(page, "model", "after 3")
    page.js(f"{OPTIONS}[0].click()")
    page.until("document.querySelector('#detail svg.wave')")
    assert page.js("document.querySelector('#detail svg.wave').getBoundingClientRect().height") > 100
    assert page.js("document.querySelectorAll('#detail svg.wave path.bad').length") >= 1
    marked = page.js("document.querySelector('#detail .mismatch').textContent")
    assert marked.startswith("Step 3: y is ") and page.js("document.querySelectorAll('.mismatch mark').length") == 2
    page.js("[...document.querySelectorAll('.segments button')].find((b) => b.textContent === 'Difference').click()")
    assert page.js("[...document.querySelectorAll('.diff .gone mark')].map((m) => m.textContent).join()") == "b,a"
    assert page.js("[...document.querySelectorAll('.diff .come mark')].map((m) => m.textContent).join()") == "a,b"
    assert page.js("document.querySelectorAll('.timeline button.mark').length") == 4
    page.js("document.querySelectorAll('.timeline button.mark')[0].click()")
    assert page.js("document.querySelectorAll('.timeline button.mark')[0].getAttribute('aria-current')") == "true"
    assert "untouched" in page.js("document.querySelector('#answer header').textContent")
    page.js("document.querySelector('[data-mode=problems]').click()")
    assert page.js(COUNT).endswith("of 32 problems")
    assert page.complaints() == []


def test_the_keyboard_does_all(page: Chromium) -> None:
    page.press("/")
    assert page.js("document.activeElement.id") == "f-text"
    for letter in "mux2":
        page.press(letter)
    narrowed = page.js(COUNT)
    assert narrowed != "336 of 336 answers"
    page.press("Enter")
    assert page.js("document.activeElement.id") == "list"
    page.press("ArrowDown")
    page.press("j")
    page.press("k")
    chosen = "document.getElementById(document.getElementById('list').getAttribute('aria-activedescendant'))"
    assert page.js(f"{chosen}.getAttribute('aria-posinset')") == "2"
    assert page.js(f"{chosen}.getAttribute('aria-selected')") == "true"
    page.press("Enter")
    assert page.js("document.activeElement.id") == "detail"
    page.press("Escape")
    assert page.js("document.activeElement.id") == "list"
    assert page.js("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.press("/")
    page.press("Escape")
    assert page.js(COUNT) == "336 of 336 answers"
    assert page.js("document.getElementById('count').getAttribute('aria-live')") == "polite"
    assert page.complaints() == []


def test_hostile_texts_do_nothing_and_are_shown(browser: Chromium, tmp_path: Path) -> None:
    browser.events.clear()
    folder = build.build(tmp_path / "run", candidates=24)
    path = folder / "iter-00/scored.jsonl"
    rows = storage.read_records(path, build.Scored)
    lines = []
    for row in rows:
        tree = row.model_dump(mode="json")
        tree["candidate"] |= {"text": EVIL, "code": f"module m; // {EVIL}\nendmodule"}
        tree["scores"][0] |= {"detail": EVIL}
        lines.append(json.dumps({"schema": row.schema_name, **tree}) + "\n")
    path.write_text("".join(lines))
    bench = folder / "problems.jsonl"
    every = [json.loads(line) | {"instruction": EVIL, "upstream_id": EVIL} for line in bench.read_text().splitlines()]
    bench.write_text("".join(json.dumps(problem) + "\n" for problem in every))
    (folder / "report.html").write_text(page_of(folder), encoding="utf-8")
    browser.open((folder / "report.html").as_uri() + "#browse")
    choose(browser, "group", "training candidates")
    choose(browser, "model", "untouched")
    for place in range(8):
        browser.js(f"{OPTIONS}[{place}].click()")
        for button in range(3):
            browser.js(f"document.querySelectorAll('#answer .segments button')[{button}]?.click()")
    assert "<img src=x onerror" in browser.js("document.getElementById('answer').textContent")
    assert browser.js("window.hurt") is None
    assert browser.js("document.querySelectorAll('img, iframe, #browse script').length") == 0
    assert browser.js("document.scripts.length") == 2
    assert browser.complaints() == []
    assert [url for url in browser.requests() if not url.startswith(("file:", "about:"))] == []


def test_a_file_asks_nothing_of_anyone_and_its_policy_forbids_it(page: Chromium) -> None:
    """Another script, an inline handler and a request are refused, as the browser itself reports."""
    page.js("history.length")
    assert {url.split(":")[0] for url in page.requests()} <= {"file", "about"}
    assert len([url for url in page.requests() if url.startswith("file")]) == 1
    page.js("const s = document.createElement('script'); s.textContent = 'window.hurt = 1'; document.body.append(s); 0")
    page.js(
        "document.body.insertAdjacentHTML('beforeend', '<img src=\"https://example.com/x\" onerror=\"window.hurt=1\">'); 0"
    )
    assert page.js("fetch('https://example.com/').then(() => 'open', () => 'refused')") == "refused"
    assert page.js("window.hurt") is None
    assert any("Content Security Policy" in said for said in page.complaints())


def test_five_thousand_answers_are_filtered_in_a_moment(
    browser: Chromium, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Measured in the page, drawing of the list included. Asked for: under 200 ms; allowed here, as machines differ: one
    second."""
    browser.events.clear()
    folder = build.build(tmp_path / "run", candidates=4904)
    (folder / "report.html").write_text(page_of(folder), encoding="utf-8")
    browser.open((folder / "report.html").as_uri() + "#browse")
    assert browser.js(COUNT) == "5,000 of 5,000 answers"
    assert browser.js(f"{OPTIONS}.length") < 60, "only what is in sight is drawn"
    timed = (
        "(() => {{ const f = document.getElementById('f-{0}'); f.value = '{1}'; const start = performance.now();"
        "f.dispatchEvent(new Event('{2}')); document.body.offsetHeight; return performance.now() - start; }})()"
    )
    cases = (
        ("text", "differs", "input"),
        ("text", "differs mux3", "input"),
        ("text", "", "input"),
        ("verdict", "1", "change"),
    )
    for name, value, event in cases:
        took = min(browser.js(timed.format(name, value, event)) for _ in range(3))
        record_property(f"{name}={value}", took)
        print(f"filter {name}={value!r}: {took:.1f} ms, {browser.js(COUNT)}")
        assert took < 1000
    assert browser.complaints() == []


def test_on_a_phone_the_list_gives_way_to_the_answer(page: Chromium) -> None:
    page.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2, mobile=True)
    try:
        page.until("innerWidth === 390")
        assert page.js("document.documentElement.scrollWidth") <= 390
        assert page.js("document.getElementById('f-verdict').offsetHeight") == 0
        page.js("document.getElementById('more').click()")
        assert page.js("document.getElementById('f-verdict').offsetHeight") > 0
        page.js(f"{OPTIONS}[1].click()")
        assert page.js("document.getElementById('list').offsetHeight") == 0
        assert page.js("document.documentElement.scrollWidth") <= 390
        page.js("document.getElementById('back').click()")
        assert page.js("document.getElementById('list').offsetHeight") > 200
    finally:
        page.call("Emulation.clearDeviceMetricsOverride")


def test_a_served_page_fetches_and_searches(browser: Chromium, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "draw", lambda runs: {})
    browser.events.clear()
    folder = build.build(tmp_path / "run", candidates=24)
    with ReportServer([folder], 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            browser.open(server.url + "#answer-100")
            browser.until("document.querySelector('#answer pre.code')?.textContent.includes('module mux')")
            choose(browser, "text", "task13")
            browser.until(f"{COUNT} === '4 of 120 answers'")
            assert all(url.startswith((server.url, "about:")) for url in browser.requests())
        finally:
            server.shutdown()
            thread.join()
        assert browser.complaints() == []
