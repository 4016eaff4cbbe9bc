"""What a server writes to standard error: one line an event, as JSON or as text."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TextIO

from secondpass.errors import InputError, SecondpassError, nearest
from secondpass.server.request_context import current

FORMS = ("json", "text", "off")
LEVELS = ("debug", "info", "warning", "error")
_OURS = ("secondpass", "uvicorn")
_PLAIN = re.compile(r"[\w./:@+-]+", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@contextmanager
def logging_as(form: str | None, level: str, stream: TextIO | None = None) -> Iterator[None]:
    """Write the logs of this process to a stream, standard error by default.

    `form` is one of FORMS; None is "text" on a terminal and "json" elsewhere. `level` is one
    of LEVELS, for the server's own lines; other packages are heard from warnings up. Raises
    InputError for anything else.
    """
    stream = sys.stderr if stream is None else stream
    form = ("text" if stream.isatty() else "json") if form is None else form
    _check("form of logs", form, FORMS)
    _check("level of logs", level, LEVELS)
    handler: logging.Handler = logging.NullHandler()
    if form != "off":
        handler = logging.StreamHandler(stream)
        handler.setFormatter(LogFormatter(as_json=form == "json", messages=level == "debug"))
    number = logging.getLevelNamesMapping()[level.upper()]
    root = logging.getLogger()
    before = (root.handlers[:], root.level, threading.excepthook)
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.WARNING))
    for name in _OURS:
        logging.getLogger(name).setLevel(number)
    logging.captureWarnings(True)
    threading.excepthook = _thread_ended
    try:
        yield
    finally:
        root.handlers[:], root.level, threading.excepthook = before
        for name in _OURS:
            logging.getLogger(name).setLevel(logging.NOTSET)
        logging.captureWarnings(False)


class LogFormatter(logging.Formatter):
    """Makes one line of a record; what it tells besides its message is in `record.fields`.

    The messages of exceptions are left out unless `messages` is True: they may quote what a
    client sent. Of our own errors, what failed and where stays.
    """

    def __init__(self, *, as_json: bool, messages: bool) -> None:
        super().__init__()
        self._as_json, self._messages = as_json, messages

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(
                timespec="milliseconds"
            ),
            "level": record.levelname.lower(),
            "message": record.getMessage().strip(),
        }
        told |= getattr(record, "fields", {})
        seen = current()
        if seen is not None:
            told |= {"request_id": seen.id, "trace_id": seen.trace}
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            told["traceback"] = traceback_of(error, messages=self._messages)
        told = {name: value for name, value in told.items() if value is not None}
        return json.dumps(told) if self._as_json else _text(told)


def traceback_of(error: BaseException, *, messages: bool) -> str:
    """Return where an error came from; its message and those of its causes on request."""
    if messages:
        return "".join(traceback.format_exception(error))
    lines = [*traceback.format_tb(error.__traceback__), f"{_name(error)}\n"]
    cause = error.__context__ if error.__cause__ is None else error.__cause__
    if cause is not None and (error.__cause__ is not None or not error.__suppress_context__):
        lines += ["Came of:\n", traceback_of(cause, messages=False)]
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            lines += ["One of several:\n", traceback_of(one, messages=False)]
    return "".join(lines)


def _name(error: BaseException) -> str:
    kind = type(error)
    name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
    if not isinstance(error, SecondpassError):
        return name
    return f"{name}: {error.what}" + ("" if error.where is None else f" ({error.where})")


def _text(told: dict[str, Any]) -> str:
    head = f"{told.pop('time')} {told.pop('level'):7} {_escaped(told.pop('message'))}"
    trace = told.pop("traceback", None)
    rest = "".join(f" {name}={_value(value)}" for name, value in told.items())
    return head + rest + ("" if trace is None else "\n" + trace.rstrip())


def _value(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    return json.dumps(value)


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _check(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(f"There is no {what} {value!r}", fix=nearest(value, known))


def _thread_ended(args: threading.ExceptHookArgs) -> None:
    error = args.exc_value
    if error is not None and not isinstance(error, SystemExit):
        logging.getLogger("secondpass.server").error("a thread ended", exc_info=error)
