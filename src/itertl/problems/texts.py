"""The records of a corpus: its texts, and what is not in it."""

from typing import ClassVar, Literal

from itertl.records import Record


class CorpusText(Record):
    """One text of a corpus: a file, or a passage of a book. Example: ``path`` "uart/rtl/tx.v", ``licence`` "MIT",
    ``evidence`` ("licence file uart/LICENSE: permission is hereby granted, free of charge",)."""

    schema_name: ClassVar[str] = "itertl.text/1"

    id: str  # content hash of ``text``
    text: str  # as it is trained on: LF, UTF-8, without people's names and notices in its comments
    path: str  # in the source, which its first part names; of a passage with its pages: "book.pdf#pages=3-4"
    kind: Literal["file", "passage"] = "file"
    licence: str = "unknown"  # SPDX expression
    evidence: tuple[str, ...] = ()  # where the licence was found, and by which words
    source: str  # address of the clone's origin, or the name of the folder, archive or file
    commit: str | None = None  # of a clone
    sha256: str  # of the bytes that were read
    encoding: str = "utf-8"
    removed: int = 0  # lines or parts of lines with names, addresses or notices
    alike: tuple[str, ...] = ()  # "path: licence" of left-out files under other licences that it is like


class LeftOut(Record):
    """A file, or a passage of a book, that is not in the corpus, and why."""

    schema_name: ClassVar[str] = "itertl.left_out/1"

    path: str
    reason: str
    detail: str = ""
