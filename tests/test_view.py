"""``itertl view``: what its server answers, what it refuses, and how it starts and ends."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import answer_builder as build
from itertl.errors import DataError, UsageError
from itertl.report import serve, write
from itertl.report.serve import ReportServer, search
from test_answers import data_of


@contextmanager
def serving(*folders: Path) -> Iterator[ReportServer]:
    with ReportServer(folders, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReportServer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serve, "draw", lambda runs: {})  # figures are tested elsewhere, and take seconds
        with serving(build.build(tmp_path_factory.mktemp("view") / "run", candidates=40)) as made:
            yield made


def ask(
    server: ReportServer, path: str, method: str = "GET", host: str | None = None
) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", f"127.0.0.1:{server.server_port}" if host is None else host)
    connection.endheaders()
    response = connection.getresponse()
    found = response.status, response.read(), dict(response.getheaders())
    connection.close()
    return found


def test_the_page_lists_all_and_asks_for_texts_of_its_own_server_alone(server: ReportServer) -> None:
    status, body, headers = ask(server, "/")
    data = data_of(body.decode())
    assert status == 200 and data["served"] and data["details"] == {} and len(data["rows"]["run"]) == 4 * 24 + 40
    assert "connect-src 'self'" in body.decode().split("</head>")[0]
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in headers


def test_an_item_is_the_answer_of_that_number(server: ReportServer) -> None:
    status, body, headers = ask(server, "/api/item?n=100")
    got = json.loads(body)
    assert status == 200 and headers["Content-Type"] == "application/json"
    assert got["detail"] == json.loads(json.dumps(server.catalogue.detail(100)))
    assert got["problem"]["reference"].startswith("module mux")


@pytest.mark.parametrize("n", ["", "-1", "136", "9" * 400, "0x1", "1.5", "٣", "%00", "../1"])
def test_a_number_that_is_none_is_refused(server: ReportServer, n: str) -> None:
    status, body, _ = ask(server, f"/api/item?n={n.encode().hex() if not n.isascii() else n}")
    assert status == 404 and "from 0 to 135" in json.loads(body)["error"]


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/api", "/api/item/../../recipe.yaml",
             "/recipe.yaml", "/report.html", "/?x=/etc/passwd&" + "a=1&" * 50],
)  # fmt: skip
def test_no_path_reaches_a_file(server: ReportServer, path: str) -> None:
    status, body, _ = ask(server, path)
    assert status in (404, 400) and b"root:" not in body and b"iterations:" not in body


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost:1", "", "127.0.0.1.evil.example:{port}"])
def test_another_hosts_name_is_refused(server: ReportServer, host: str) -> None:
    status, body, _ = ask(server, "/api/item?n=0", host=host.format(port=server.server_port))
    assert status == 403 and b"module" not in body
    assert ask(server, "/api/item?n=0", host=f"localhost:{server.server_port}")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_nothing_can_be_written(server: ReportServer, method: str) -> None:
    assert ask(server, "/", method)[0] == 501
    status, body, headers = ask(server, "/", "HEAD")
    assert status == 200 and body == b"" and int(headers["Content-Length"]) > 10_000


def test_search_finds_every_word_in_problem_or_answer(server: ReportServer) -> None:
    def brute(words: list[str]) -> list[int]:
        found = []
        for n, answer in enumerate(server.catalogue.answers):
            task, detail = server.catalogue.tasks[answer.task], server.catalogue.detail(n)
            texts = [task.group, task.name, task.problem.instruction, task.problem.header] if task.problem else []
            texts += [detail["text"], detail["code"], detail["message"]]
            texts += [f"{s['scorer']} {s['detail']}" for s in detail["scores"]]
            if all(any(word in text.lower() for text in texts) for word in words):
                found.append(n)
        return found

    for query in ("DIFFERS from", "task3 wrong_output", "nothing-has-this", "mux2"):
        _, body, _ = ask(server, f"/api/search?q={query.replace(' ', '%20')}")
        assert json.loads(body)["answers"] == brute(query.lower().split()) == search(server.catalogue, query), query


def test_a_file_that_was_written_anew_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "draw", lambda runs: {})
    folder = build.build(tmp_path / "run", candidates=6)
    with serving(folder) as server:
        (folder / "base/samples-synth-heldout.jsonl").write_text('{"x": 1}\n')
        status, body, _ = ask(server, "/api/item?n=1")
    assert status == 409 and "start itertl view again" in json.loads(body)["error"]


def test_a_taken_port_no_run_and_a_run_without_answers_are_one_line_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "draw", lambda runs: {})
    folder = build.build(tmp_path / "run", candidates=6)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match=r"port \d+ is taken by another program; give another with --port, or 0"):
            ReportServer([folder], taken.getsockname()[1])
    with pytest.raises(DataError, match="no such folder"):
        ReportServer([tmp_path / "none"], 0)
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "recipe.yaml").write_bytes((folder / "recipe.yaml").read_bytes())
    with pytest.raises(DataError, match="no answers yet"):
        ReportServer([empty], 0)
    assert write.make_report([empty]).page.exists()


def test_the_command_ends_cleanly_at_ctrl_c(tmp_path: Path) -> None:
    folder = build.build(tmp_path / "run", candidates=6)
    code = "from itertl.report import serve; serve.draw = lambda runs: {}; from itertl.cli import main; main()"
    command = [sys.executable, "-c", code, "view", str(folder), "--port", "0", "--no-browser"]
    done = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    try:
        assert done.stdout is not None
        first = done.stdout.readline()
        assert first.startswith("http://127.0.0.1:") and "102 answers" in first
        os.kill(done.pid, signal.SIGINT)
        out, err = done.communicate(timeout=30)
    finally:
        done.kill()
        done.wait()
    assert (done.returncode, out, err) == (0, "stopped\n", "")
