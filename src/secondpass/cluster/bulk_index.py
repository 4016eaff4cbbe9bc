"""Indexing with Ray: actors read files and make passages, this process stores them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from secondpass.cluster.actor_pool import ActorPool, Task
from secondpass.cluster.bulk_worker import (
    FileContent,
    MadePassages,
    PassageWork,
    PassageWorker,
    WorkerAbout,
)
from secondpass.cluster.ray_runtime import RayRuntime
from secondpass.errors import InputError, ReadError
from secondpass.index.index import Index
from secondpass.index.precompute import RecordingEmbedder
from secondpass.retrieve.ingest_report import IngestReport, Progress
from secondpass.retrieve.loaders import FileRead, SourceFile, is_one_document, read_file
from secondpass.retrieve.loaders.base import Batch
from secondpass.retrieve.loaders.sandbox import ReadLimits
from secondpass.retrieve.store_protocol import Passage
from secondpass.types import Document

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import TextEncoder

# Of small files, so many are one task; a task may hold the text of as many bytes.
_FILES_EACH = 16
_BYTES_EACH = 8_000_000
# So many tasks of reading may be ahead for each actor: their texts are in memory.
_READS_EACH = 2
# And so many batches of passages, of 64 documents each.
_BATCHES_EACH = 2


class RayMaker:
    """A `PassageMaker` whose work is done by the actors of a pool.

    Files that are one document each are read by actors, and must be under the same path on
    their machines; rows of tables are read here, and their passages are made by actors.
    `encoder` is that of this process, whose store of states takes in what actors return.
    """

    def __init__(
        self, pool: ActorPool, encoder: TextEncoder, fields: Sequence[str] | None
    ) -> None:
        self.ahead = _BATCHES_EACH * pool.size
        self._pool, self._encoder = pool, encoder
        self._fields = None if fields is None else list(fields)
        self._limits = ReadLimits.from_environment()
        self._groups: Iterator[list[SourceFile]] = iter(())
        self._tasks: deque[tuple[list[SourceFile], Task]] = deque()
        self._contents: dict[Path, FileContent] = {}

    def expect(self, files: Sequence[SourceFile]) -> None:
        """Begin to read files, in this order."""
        self._groups = group_files(files)
        self._read_ahead()

    def _read_ahead(self) -> None:
        while len(self._tasks) < _READS_EACH * self._pool.size:
            group = next(self._groups, None)
            if group is None:
                return
            task = self._pool.submit("read", group, self._fields, self._limits)
            self._tasks.append((group, task))

    def read(
        self,
        file: SourceFile,
        fields: Sequence[str] | None,
        *,
        kinds: Mapping[str, str] | None,
        strict: bool,
    ) -> FileRead:
        """Return the documents of a file: those that an actor has read, or the rows of a table.

        Raises, as it is iterated, ReadError for a file that cannot be read, or that the machine
        of the actor does not have.
        """
        if not is_one_document(file.path):
            return read_file(file, fields, kinds=kinds, strict=strict)
        content = self._wait_for(file)
        if content is None or (content.absent and not file.path.exists()):
            # Deleted since it was listed: the error is that of one machine.
            return read_file(file, fields, kinds=kinds, strict=strict)
        return FileRead(_batches(file, content))

    def _wait_for(self, file: SourceFile) -> FileContent | None:
        while file.path not in self._contents and self._tasks:
            group, task = self._tasks.popleft()
            contents: list[FileContent] = self._pool.result(task)
            self._read_ahead()
            self._contents |= {f.path: c for f, c in zip(group, contents, strict=True)}
        return self._contents.pop(file.path, None)

    def start(
        self, documents: Sequence[tuple[str, Document]]
    ) -> Callable[[], Mapping[str, Sequence[Passage]]]:
        """Have the passages of documents made."""
        if not documents:
            return dict
        task = self._pool.submit("make", list(documents))
        return lambda: self._receive(task)

    def _receive(self, task: Task) -> Mapping[str, Sequence[Passage]]:
        made: MadePassages = self._pool.result(task)
        if isinstance(self._encoder, RecordingEmbedder):
            self._encoder.keep(made.records.items(), made.segments)
        return made.passages


def _batches(file: SourceFile, content: FileContent) -> Iterator[Batch]:
    if content.absent:
        raise ReadError(
            "the file cannot be read",
            where=str(file.path),
            why=f"the machine {content.machine}, where an actor of Ray reads it, does not have "
            "it",
            fix="Keep the files where all machines have them under the same path.",
        )
    yield from content.batches
    if content.error is not None:
        raise content.error


def group_files(files: Sequence[SourceFile]) -> Iterator[list[SourceFile]]:
    """Yield files in groups that are read in one task each: few, or a few megabytes."""
    group: list[SourceFile] = []
    size = 0
    for file in files:
        try:
            length = file.path.stat().st_size
        except OSError:
            length = 0
        if group and (len(group) >= _FILES_EACH or size + length > _BYTES_EACH):
            yield group
            group, size = [], 0
        group.append(file)
        size += length
    if group:
        yield group


def index_files(
    paths: Iterable[str | Path],
    index: Index,
    runtime: RayRuntime,
    *,
    actors: int | None = None,
    fields: Sequence[str] | None = None,
    prefix_ids: bool = False,
    strict: bool = True,
    progress: Progress | None = None,
    on_error: Callable[[ReadError], None] | None = None,
) -> IngestReport:
    """Read files and folders into an index as `ingest` does, with actors of Ray.

    The index is the same, passage for passage, as without Ray, and what is stored survives
    whatever is killed. `runtime`: of `ray_runtime`, which a program enters before it imports
    lancedb, because Ray forks; `actors`: how many, by default one for each CPU that is free.
    `IngestReport.differences` names documents of which the index has another number of passages
    at the end than were stored.

    Raises what `ingest` and `ActorPool` raise; InputError if actors have other
    models than this process, or the index another embedder than the bundled one.
    """
    settings = index.settings
    work = PassageWork(
        settings.chunk_tokens,
        settings.overlap,
        vectors=index.dimension > 0,
        keep_states=settings.keep_states,
    )
    encoder = index.ingest_embedder()
    with ActorPool(runtime, PassageWorker, [work], actors=actors) as pool:
        states = encoder.states_digest if isinstance(encoder, RecordingEmbedder) else ""
        check_models(pool.about, encoder.digest, states)
        return index.ingest(
            paths,
            encoder,
            RayMaker(pool, encoder, fields),
            fields=fields,
            prefix_ids=prefix_ids,
            strict=strict,
            progress=progress,
            on_error=on_error,
        )


def check_models(about: Iterable[WorkerAbout], embedder: str, states: str = "") -> None:
    """Raise InputError if an actor has other models than this process."""
    for worker in about:
        if (worker.embedder, worker.states) != (embedder, states):
            raise InputError(
                "An actor of Ray has another model than this process",
                where=worker.machine,
                why="the digests of the files of their models differ",
                fix="Install the same version of secondpass on all machines.",
            )
