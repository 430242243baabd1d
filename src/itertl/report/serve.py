"""The page of ``itertl view``: the report of runs, with every answer, served to browsers of this machine alone.

The server reads and writes nothing at a client's word: an address is one of three, and an answer is named by its
number. It listens on 127.0.0.1, and refuses a request whose Host is another name, as one has that a page of elsewhere
sends through a name of its own (DNS rebinding).
"""

import errno
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from itertl.errors import DataError, UsageError
from itertl.report import embed, page
from itertl.report.catalogue import Catalogue, read_catalogue
from itertl.report.write import draw
from itertl.runs.read import read_runs

ADDRESS = "127.0.0.1"
_HEADERS = {
    "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin", "X-Frame-Options": "DENY",
}  # fmt: skip
_LONGEST_QUERY = 400  # characters


class ReportServer(ThreadingHTTPServer):
    """Serves the page of ``folders`` until ``shutdown``. ``port`` 0: a free one. Use as a context manager.

    Raises DataError where a folder is not a run or has no answers, UsageError where the port is taken.
    """

    daemon_threads = True

    def __init__(self, folders: Sequence[Path], port: int) -> None:
        runs = read_runs(folders)
        self.catalogue = read_catalogue(runs)
        if not self.catalogue.answers:
            raise DataError(f"{', '.join(map(str, folders))}: no answers yet; wait until the first are judged")
        contents = [page.gather(run) for run in runs]
        self.page = page.render(contents, draw(runs), self.catalogue, is_served=True).encode()
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            what = "is taken by another program" if error.errno == errno.EADDRINUSE else "is not yours to use"
            raise UsageError(f"port {port} {what}; give another with --port, or 0 for any free one") from error

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.server_port}/"

    @property
    def hosts(self) -> frozenset[str]:
        return frozenset(f"{name}:{self.server_port}" for name in (ADDRESS, "localhost"))


def search(catalogue: Catalogue, query: str) -> list[int]:
    """Numbers of the answers in which every word of ``query`` occurs, in the problem or in what was answered, whatever
    its case. As the page searches what it holds."""
    words = query.lower().split()
    asked = [embed.problem_of(catalogue, number) for number in range(len(catalogue.tasks))]
    tasks = [
        "\n".join([task.group, task.name, known["prompt"], known["header"]]).lower()
        for task, known in zip(catalogue.tasks, asked, strict=True)
    ]
    found = []
    for number, answer in enumerate(catalogue.answers):
        missing = [word for word in words if word not in tasks[answer.task]]
        if not missing or _holds(catalogue.detail(number), missing):
            found.append(number)
    return found


def _holds(detail: dict[str, Any], words: Sequence[str]) -> bool:
    said = [f"{score['scorer']} {score['detail']}" for score in detail["scores"]]
    hay = "\n".join([detail["text"], detail["code"], detail["message"], *said]).lower()
    return all(word in hay for word in words)


class _Handler(BaseHTTPRequestHandler):
    server_version, sys_version = "itertl", ""
    timeout = 60

    @property
    def _owner(self) -> ReportServer:
        assert isinstance(self.server, ReportServer)
        return self.server

    def do_GET(self) -> None:
        try:
            self._answer()
        except (BrokenPipeError, ConnectionResetError):  # the reader went on to another answer
            self.close_connection = True
        except DataError as error:
            self._json(HTTPStatus.CONFLICT, {"error": f"{error} (a run that went on? start itertl view again)"})

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self) -> None:
        if self.headers.get("Host", "") not in self._owner.hosts:
            self._json(HTTPStatus.FORBIDDEN, {"error": f"ask for {self._owner.url}"})
            return
        try:
            asked = urlsplit(self.path)
            values = parse_qs(asked.query, max_num_fields=4)
        except ValueError:
            self._json(HTTPStatus.BAD_REQUEST, {"error": "not an address that this server has"})
            return
        if asked.path == "/":
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", self._owner.page)
        elif asked.path == "/api/item":
            self._item(values.get("n", [""])[0])
        elif asked.path == "/api/search":
            query = values.get("q", [""])[0][:_LONGEST_QUERY]
            self._json(HTTPStatus.OK, {"answers": search(self._owner.catalogue, query)})
        else:
            self._json(HTTPStatus.NOT_FOUND, {"error": "there is the page at /, and /api/item and /api/search"})

    def _item(self, text: str) -> None:
        catalogue = self._owner.catalogue
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 12 else -1
        if not 0 <= number < len(catalogue.answers):
            self._json(HTTPStatus.NOT_FOUND, {"error": f"answers have numbers from 0 to {len(catalogue.answers) - 1}"})
            return
        problem = embed.problem_of(catalogue, catalogue.answers[number].task)
        self._json(HTTPStatus.OK, {"detail": catalogue.detail(number), "problem": problem})

    def _json(self, status: HTTPStatus, value: Any) -> None:
        self._send(status, "application/json", embed.escaped(value).encode())

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
