"""The HTML report: whole without a network, harmless whatever names it is given, fit to be read."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from history_rows import (
    Row,
    cell_row,
    embeddings,
    engine_failed,
    eventful,
    hung,
    put,
    reason,
    run_row,
    sweep,
)
from plotly.offline import get_plotlyjs

from tidemark.history.html import html_report
from tidemark.history.report import five_lines

VOID = {"meta", "link", "br", "img", "input", "hr"}
PAYLOADS = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "javascript:alert(1)//'\"",
    "{{ 7 * 7 }}{% raw %}",
    "<a href='http://evil.example'>x</a>",
    "\u2028]]>--><!--",
)


class Page(HTMLParser):
    """Elements with their attributes, text by element, and whether tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        inside = self.open[-1] if self.open else ""
        if inside == "script":
            self.scripts.append(data)
        elif inside != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def without_plotly(text: str) -> str:
    return text.replace(get_plotlyjs(), "")


def page_of(run: Row, cells: list[Row]) -> Page:
    return Page(without_plotly(html_report(run, cells)))


def figures_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="figures">(.*?)</script>', text)
    assert found is not None
    figures = json.loads(found[1])
    assert isinstance(figures, dict)
    return figures


@pytest.fixture(scope="module")
def eventful_text() -> str:
    return html_report(run_row(outcome="partial"), eventful())


@pytest.fixture(scope="module")
def eventful_page(eventful_text: str) -> Page:
    return Page(without_plotly(eventful_text))


def test_the_five_lines_come_first(eventful_page: Page) -> None:
    text = eventful_page.text
    places = [text.index(line.partition(": ")[2]) for line in five_lines(run_row(), eventful())]
    assert places == sorted(places)
    assert places[-1] < text.index("Latency against throughput")


def test_the_file_is_whole_and_asks_nothing_of_a_network(eventful_text: str) -> None:
    assert eventful_text.count(get_plotlyjs()) == 1
    page = Page(without_plotly(eventful_text))
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        for name in ("src", "href", "action", "srcset", "data"):
            assert (attributes.get(name) or "#").startswith("#")
    assert "url(" not in without_plotly(eventful_text)
    assert "@import" not in without_plotly(eventful_text)
    (policy,) = [a["content"] for a in page.all("meta") if a.get("http-equiv")]
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_tags_are_balanced_and_ids_unique(eventful_page: Page) -> None:
    assert eventful_page.open == []
    ids = [a["id"] for _, a in eventful_page.elements if "id" in a]
    assert len(ids) == len(set(ids))


def test_references_within_the_page_lead_somewhere(eventful_page: Page) -> None:
    ids = {a["id"] for _, a in eventful_page.elements if "id" in a}
    for _, attributes in eventful_page.elements:
        for name in ("href", "aria-labelledby"):
            target = attributes.get(name)
            assert target is None or target.removeprefix("#") in ids


def test_tables_and_charts_can_be_read_without_eyes(eventful_page: Page) -> None:
    assert len(eventful_page.all("caption")) == len(eventful_page.all("table"))
    assert all(a.get("scope") in ("col", "row") for a in eventful_page.all("th"))
    plots = [a for a in eventful_page.all("div") if a.get("role") == "img"]
    assert len(plots) == 4
    labels = {a["id"]: a.get("aria-label") or "" for a in plots}
    assert "D(100,100): 1: 250 ms, 2: 250 ms, 4: 250 ms (inconclusive)" in labels["plot-ttft"]
    assert "http_429 80" in labels["plot-errors"]
    assert eventful_page.all("html")[0]["lang"] == "en"


def test_reasons_advice_and_the_command_are_with_the_cell(eventful_page: Page) -> None:
    text = eventful_page.text
    assert "server_hung 16 requests were silent for 60 s" in text
    assert "What to do: Look whether the server hangs" in text
    assert "tidemark sweep nightly.yaml --only 16" in text
    assert sum("data-copy" in a for a in eventful_page.all("button")) == 11


def test_cells_with_something_to_read_are_open_and_the_others_closed(eventful_page: Page) -> None:
    opened = ["open" in a for a in eventful_page.all("details")]
    assert opened == [False, False, True, False, True, False, False, False, False, True]


def test_where_the_numbers_come_from_is_told(eventful_page: Page) -> None:
    for known in ("ab" * 32, "genai-bench", "0.0.5", "http://127.0.0.1:8000", "2 cores, 8 GiB"):
        assert known in eventful_page.text
    assert "n 400, machine 2 cores" in eventful_page.text


def test_cells_that_are_not_believed_are_never_joined_into_a_line(eventful_text: str) -> None:
    figures = figures_of(eventful_text)
    for name in ("ttft", "tpot", "tradeoff"):
        traces = figures[name]["data"]
        line = next(t for t in traces if t.get("name") == "D(100,100)")
        assert line["connectgaps"] is False if name != "tradeoff" else True
        assert line["y"][2] is None
        assert line["y"][4] is None
        apart = [t for t in traces if t.get("name", "").startswith(("cell ", "client"))]
        assert apart
        assert all(t["mode"] == "markers" for t in apart)
        assert all(t["marker"]["color"] == apart[0]["marker"]["color"] for t in apart)
    symbols = {
        t["marker"]["symbol"] for t in figures["ttft"]["data"] if "cell" in t.get("name", "")
    }
    assert symbols == {"x", "circle-open"}


def test_levels_lie_on_a_logarithmic_axis_with_a_tick_each(eventful_text: str) -> None:
    axis = figures_of(eventful_text)["ttft"]["layout"]["xaxis"]
    assert axis["type"] == "log"
    assert axis["ticktext"] == ["1", "2", "4", "8", "16"]


def test_tails_are_drawn_only_where_they_are_admitted() -> None:
    few = figures_of(html_report(run_row(), [cell_row(n=150), cell_row(concurrency=2, n=150)]))
    many = figures_of(html_report(run_row(), [cell_row(n=250), cell_row(concurrency=2, n=1500)]))
    assert not any(t.get("name", "").endswith(("p95", "p99")) for t in few["ttft"]["data"])
    tails = {
        t["name"]: t["y"] for t in many["ttft"]["data"] if t.get("name", "")[-3:] in ("p95", "p99")
    }
    assert tails["D(100,100) p95"] == [375.0, 375.0]
    assert tails["D(100,100) p99"] == [None, 475.0]


def test_no_figure_could_end_the_script_it_stands_in(eventful_text: str) -> None:
    raw = eventful_text.partition('id="figures">')[2].partition("</script>")[0]
    assert "knee" in raw
    assert not set(raw) & set("<>&")


def test_the_operating_point_is_ringed_in_every_scenario() -> None:
    rings = [
        t for t in figures_of(html_report(run_row(), sweep()))["tradeoff"]["data"]
        if t.get("name") == "knee"
    ]  # fmt: skip
    assert [ring["text"] for ring in rings] == [["<b>8</b>"], ["<b>8</b>"]]
    assert [ring["showlegend"] for ring in rings] == [True, False]


def test_each_repeat_is_a_line_of_its_own() -> None:
    cells = [
        cell_row(concurrency=level, ttft=0.2 + repeat / 10, repeat_idx=repeat)
        for repeat in range(3)
        for level in (1, 2)
    ]
    traces = figures_of(html_report(run_row(), cells))["ttft"]["data"]
    lines = [t for t in traces if t.get("name") == "D(100,100)"]
    assert [t["y"] for t in lines] == [pytest.approx([y, y]) for y in (200.0, 300.0, 400.0)]
    assert [t["showlegend"] for t in lines] == [True, False, False]


def test_embeddings_have_charts_by_batch_size_and_none_of_tokens() -> None:
    figures = figures_of(html_report(run_row(), embeddings()))
    assert set(figures) == {"tradeoff", "e2e"}
    assert figures["e2e"]["layout"]["xaxis"]["title"]["text"].startswith("batch size")


@pytest.mark.parametrize("cells", [[], [engine_failed()], [{}]], ids=["none", "failed", "bare"])
def test_with_nothing_to_plot_the_page_stands_without_the_script(cells: list[Row]) -> None:
    text = html_report(run_row(), cells)
    assert len(text) < 60_000
    assert Page(text).open == []


def test_a_single_cell_has_a_page() -> None:
    assert "the one cell is valid" in page_of(run_row(), [cell_row()]).text


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_name_or_message_becomes_code(payload: str) -> None:
    row = hung(payload) | dict.fromkeys(
        ("model_name", "endpoint_url", "reproduce", "client_spec", "evidence_uri", "cell_id",
         "engine_version", "image_digest", "model_revision"), payload
    )  # fmt: skip
    row["reasons"] = [reason(payload, payload, payload, payload)]
    row["failed_by_class"] = [{"kind": payload, "requests": 3}]
    row["notes"] = [payload]
    row["floor_json"] = json.dumps({payload: payload})
    good = put(cell_row(payload, 2, model_name=payload), "e2e_s", 1.0)
    missing = put(cell_row(payload, 4), "tpot_s", None, reason=payload)
    run = run_row(plan_name=payload, round=payload, notes=[payload], reproduce=payload)
    text = html_report(run, [row, good, missing])
    page = Page(without_plotly(text))
    baseline = page_of(run_row(), [hung(), cell_row(concurrency=2), cell_row(concurrency=4)])
    assert page.open == []
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in baseline.elements} | {"ul", "li"}
    assert len(page.all("script")) == 3
    assert not any(name.startswith("on") for _, a in page.elements for name in a)
    assert all((a.get("href") or "#").startswith("#") for _, a in page.elements)
    assert "{{ 7 * 7 }}" in page.text or "7 * 7" not in payload
    figures = json.dumps(figures_of(text))
    allowed = {"<b>", "</b>", "<br>"}
    assert set(re.findall(r"</?[a-z][^>]*>", figures)) <= allowed


def test_the_same_rows_give_the_same_bytes() -> None:
    assert html_report(run_row(), eventful()) == html_report(run_row(), eventful())
