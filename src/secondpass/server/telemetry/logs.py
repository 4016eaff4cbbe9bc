"""Logs of a server: one line an event on standard error, as JSON or as text."""

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
from secondpass.server.request_context import current_record

FORMS = ("json", "text", "off")
LEVELS = ("debug", "info", "warning", "error")
_OWN_LOGGERS = ("secondpass", "uvicorn")
_PLAIN = re.compile(r"[\w./:@+-]+", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@contextmanager
def configure_logging(
    form: str | None, level: str, stream: TextIO | None = None
) -> Iterator[None]:
    """Write the logs of this process to a stream, standard error by default.

    `form` is one of FORMS; None is "text" on a terminal and "json" elsewhere. `level` is one
    of LEVELS, for the server's own lines; other packages log from warnings up. Raises
    InputError for anything else.
    """
    stream = sys.stderr if stream is None else stream
    form = ("text" if stream.isatty() else "json") if form is None else form
    _check("log format", form, FORMS)
    _check("log level", level, LEVELS)
    handler: logging.Handler = logging.NullHandler()
    if form != "off":
        handler = logging.StreamHandler(stream)
        handler.setFormatter(LogFormatter(as_json=form == "json", messages=level == "debug"))
    number = logging.getLevelNamesMapping()[level.upper()]
    root = logging.getLogger()
    before = (root.handlers[:], root.level, threading.excepthook)
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.WARNING))
    for name in _OWN_LOGGERS:
        logging.getLogger(name).setLevel(number)
    logging.captureWarnings(True)
    threading.excepthook = _log_thread_error
    try:
        yield
    finally:
        root.handlers[:], root.level, threading.excepthook = before
        for name in _OWN_LOGGERS:
            logging.getLogger(name).setLevel(logging.NOTSET)
        logging.captureWarnings(False)


class LogFormatter(logging.Formatter):
    """Formats a record as one line; fields besides the message are in `record.fields`.

    The messages of exceptions are left out unless `messages` is True, as they may quote what a
    client sent. Of the package's own errors, what failed and where is kept.
    """

    def __init__(self, *, as_json: bool, messages: bool) -> None:
        super().__init__()
        self._as_json, self._messages = as_json, messages

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without a line break."""
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(
                timespec="milliseconds"
            ),
            "level": record.levelname.lower(),
            "message": record.getMessage().strip(),
        }
        fields |= getattr(record, "fields", {})
        request = current_record()
        if request is not None:
            fields |= {"request_id": request.id, "trace_id": request.trace}
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            fields["traceback"] = format_traceback(error, messages=self._messages)
        fields = {name: value for name, value in fields.items() if value is not None}
        return json.dumps(fields) if self._as_json else _text_line(fields)


def format_traceback(error: BaseException, *, messages: bool) -> str:
    """Return the traceback of an error and its causes, with or without their messages."""
    if messages:
        return "".join(traceback.format_exception(error))
    lines = [*traceback.format_tb(error.__traceback__), f"{_name(error)}\n"]
    cause = error.__context__ if error.__cause__ is None else error.__cause__
    if cause is not None and (error.__cause__ is not None or not error.__suppress_context__):
        lines += ["Caused by:\n", format_traceback(cause, messages=False)]
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            lines += ["In a group:\n", format_traceback(member, messages=False)]
    return "".join(lines)


def _name(error: BaseException) -> str:
    kind = type(error)
    name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
    if not isinstance(error, SecondpassError):
        return name
    return f"{name}: {error.what}" + ("" if error.where is None else f" ({error.where})")


def _text_line(fields: dict[str, Any]) -> str:
    head = f"{fields.pop('time')} {fields.pop('level'):7} {_escape(fields.pop('message'))}"
    trace = fields.pop("traceback", None)
    rest = "".join(f" {name}={_value(value)}" for name, value in fields.items())
    return head + rest + ("" if trace is None else "\n" + trace.rstrip())


def _value(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    return json.dumps(value)


def _escape(text: str) -> str:
    return _CONTROL.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def _check(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(f"There is no {option} {value!r}", fix=nearest(value, known))


def _log_thread_error(args: threading.ExceptHookArgs) -> None:
    error = args.exc_value
    if error is not None and not isinstance(error, SystemExit):
        logging.getLogger("secondpass.server").error("a thread failed", exc_info=error)
