"""The filter language as a tree: parsed once, then translated for each engine.

A filter is one SQL condition over the fields of a source: comparisons (`=`, `!=`, `<>`, `<`,
`<=`, `>`, `>=`), `IN`, `BETWEEN`, `LIKE`, `ILIKE`, `IS NULL`, `AND`, `OR`, `NOT` and
parentheses. Text is in single quotes, dates are written `date '2024-12-31'` and times
`timestamp '2024-12-31 23:59:59'` (UTC where they name no zone). Names are plain, or in double
quotes or backticks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal, get_args

from secondpass.errors import FilterError, nearest
from secondpass.inference.unicode import clean
from secondpass.retrieve.json_filter import Value
from secondpass.retrieve.metadata import check_shape, list_fields

Comparator = Literal["=", "!=", "<", "<=", ">", ">="]
_COMPARATORS: Mapping[str, Comparator] = {
    **{"=": "=", "==": "=", "!=": "!=", "<>": "!="},
    **{name: name for name in get_args(Comparator)},
}
_MIRRORED: Mapping[Comparator, Comparator] = {
    **{"=": "=", "!=": "!="},
    **{"<": ">", "<=": ">=", ">": "<", ">=": "<="},
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field compared with a value; unknown where the field is NULL."""

    field: str
    operator: Comparator
    value: Value


@dataclass(frozen=True, slots=True)
class OneOf:
    """A field that has one of some values; unknown where the field is NULL."""

    field: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Like:
    """A text that matches a pattern: `%` any characters, `_` one, a backslash escapes."""

    field: str
    pattern: str
    ignore_case: bool = False


@dataclass(frozen=True, slots=True)
class IsNull:
    """A field that a row has no value in; never unknown."""

    field: str


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite; unknown stays unknown."""

    part: Filter


@dataclass(frozen=True, slots=True)
class All:
    """All parts hold."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part holds."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Constant:
    """`true` or `false`, for all rows."""

    value: bool


Filter = Comparison | OneOf | Like | IsNull | Not | All | AnyOf | Constant

MAX_DEPTH = 64
"""How deep parentheses and NOT may be nested."""
_KINDS: Mapping[str, tuple[type, ...]] = {
    "text": (str,),
    "uuid": (str,),
    "integer": (int, float),
    "number": (int, float),
    "boolean": (bool,),
    "date": (date,),
    "datetime": (date,),
}
_TOKEN = re.compile(
    r"""(?P<space>\s++)
    | (?P<text>'(?:[^']|'')*+')
    | (?P<name>"(?:[^"]|"")*+"|`(?:[^`]|``)*+`)
    | (?P<number>(?:\d++(?:\.\d*+)?+|\.\d++)(?:[eE][+-]?+\d++)?+)
    | (?P<word>[^\W\d]\w*+(?:\.\w++)*+)
    | (?P<symbol><=|>=|<>|!=|==|[=<>(),+-])""",
    re.VERBOSE,
)
_WORDS = frozenset(
    (
        *("and", "between", "date", "escape", "false", "ilike", "in", "is"),
        *("like", "not", "null", "or", "timestamp", "true"),
    )
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int


def parse_filter(condition: str | None, fields: Mapping[str, str]) -> Filter | None:
    """Return the tree of a filter over fields of these kinds; None for None.

    Names are those of `fields`; where none is spelled that way, upper and lower case do not
    matter. Raises FilterError, with the part that is wrong, for what is not one condition, an
    unknown field, and a value that the field's kind cannot be compared with.
    """
    if condition is None:
        return None
    check_shape(condition, fields)
    return _Parser(clean(condition), fields).parse()


class _Parser:
    def __init__(self, condition: str, fields: Mapping[str, str]) -> None:
        self.condition = condition
        self.fields = fields
        self.folded: dict[str, str] = {}
        for name in fields:
            self.folded.setdefault(name.lower(), name)
        self.tokens = list(self.split())
        self.position = 0

    def split(self) -> Iterator[_Token]:
        start, end = 0, len(self.condition.rstrip())
        while start < end:
            match = _TOKEN.match(self.condition, start, end)
            if match is None or match.lastgroup is None:
                raise self.error(f"{self.condition[start:].strip()[:40]!r} is not understood")
            if match.lastgroup != "space":
                yield _Token(match.lastgroup, match[0], start)
            start = match.end()

    def parse(self) -> Filter:
        tree = self.any_of(0)
        if self.peek() is not None:
            raise self.unexpected("AND, OR or the end")
        return tree

    def peek(self) -> _Token | None:
        return self.tokens[self.position] if self.position < len(self.tokens) else None

    def take(self, *texts: str) -> str | None:
        """Take the next token if it is one of these words or symbols; return it."""
        token = self.peek()
        if token is None or token.kind not in ("word", "symbol"):
            return None
        text = token.text.lower()
        if text not in texts:
            return None
        self.position += 1
        return text

    def expect(self, text: str) -> None:
        if self.take(text) is None:
            raise self.unexpected(repr(text.upper()))

    def any_of(self, depth: int) -> Filter:
        parts = [self.all_of(depth)]
        while self.take("or"):
            parts.append(self.all_of(depth))
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def all_of(self, depth: int) -> Filter:
        parts = [self.inverse(depth)]
        while self.take("and"):
            parts.append(self.inverse(depth))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def inverse(self, depth: int) -> Filter:
        if depth > MAX_DEPTH:
            raise self.error(f"it is nested more than {MAX_DEPTH} deep")
        if self.take("not"):
            return Not(self.inverse(depth + 1))
        if self.take("("):
            tree = self.any_of(depth + 1)
            self.expect(")")
            return tree
        return self.predicate()

    def predicate(self) -> Filter:
        token = self.peek()
        if token is None:
            raise self.unexpected("a condition")
        if self.is_value(token):
            return self.value_first()
        field = self.field()
        negated = self.take("not") is not None
        tree = self.test(field, negated)
        return Not(tree) if negated else tree

    def is_value(self, token: _Token) -> bool:
        if token.kind in ("text", "number"):
            return True
        word = token.text.lower()
        if word in ("date", "timestamp"):
            following = self.tokens[self.position + 1 : self.position + 2]
            return bool(following) and following[0].kind == "text"
        return word in ("-", "+") or (word in ("true", "false") and word not in self.folded)

    def value_first(self) -> Filter:
        """Read `2015 <= year`, or `true` alone."""
        value = self.value()
        operator = self.take(*_COMPARATORS)
        if operator is None:
            if isinstance(value, bool):
                return Constant(value)
            raise self.unexpected("a comparison")
        mirrored = _MIRRORED[_COMPARATORS[operator]]
        return self.compare(self.field(), mirrored, value)

    def test(self, field: str, negated: bool) -> Filter:
        if self.take("in"):
            return OneOf(field, self.values(field))
        if self.take("between"):
            low = self.compare(field, ">=", self.value())
            self.expect("and")
            return All((low, self.compare(field, "<=", self.value())))
        if (like := self.take("like", "ilike")) is not None:
            pattern = self.value()
            if self.fields[field] != "text" or not isinstance(pattern, str):
                raise self.error(
                    f"{like.upper()} compares texts, and {field} is {self.kind(field)}"
                )
            return Like(field, pattern, like == "ilike")
        if negated:
            raise self.unexpected("IN, BETWEEN or LIKE")
        if self.take("is"):
            return self.is_test(field)
        operator = self.take(*_COMPARATORS)
        if operator is not None:
            return self.compare(field, _COMPARATORS[operator], self.value())
        if self.fields[field] == "boolean":
            return Comparison(field, "=", True)
        raise self.unexpected("a comparison")

    def is_test(self, field: str) -> Filter:
        inverse = self.take("not") is not None
        word = self.take("null", "true", "false")
        if word is None:
            raise self.unexpected("NULL, TRUE or FALSE")
        tree: Filter = IsNull(field)
        if word != "null":
            equal = self.compare(field, "=", word == "true")
            tree = All((Not(tree), equal))
        return Not(tree) if inverse else tree

    def values(self, field: str) -> tuple[Value, ...]:
        self.expect("(")
        values = [self.fitting(field, self.value())]
        while self.take(","):
            values.append(self.fitting(field, self.value()))
        self.expect(")")
        return tuple(values)

    def compare(self, field: str, operator: Comparator, value: Value) -> Filter:
        return Comparison(field, operator, self.fitting(field, value))

    def field(self) -> str:
        token = self.peek()
        if token is None or token.kind not in ("word", "name"):
            raise self.unexpected("the name of a field")
        self.position += 1
        name = token.text
        if token.kind == "name":
            quote = name[0]
            name = name[1:-1].replace(quote * 2, quote)
        elif name.lower() in _WORDS and name.lower() not in self.folded:
            self.position -= 1
            raise self.unexpected("the name of a field")
        found = name if name in self.fields else self.folded.get(name.lower())
        if found is None:
            raise FilterError(
                "the filter names an unknown field",
                where=self.condition,
                why=f"there is no field {name!r} that can be filtered on",
                fix=f"{nearest(name, self.fields)} {list_fields(self.fields)}".strip(),
            )
        return found

    def value(self) -> Value:
        negative = False
        while (sign := self.take("-", "+")) is not None:
            negative ^= sign == "-"
        token = self.peek()
        if token is None:
            raise self.unexpected("a value")
        self.position += 1
        word = token.text.lower()
        if token.kind == "number":
            # Engines have integers of 64 bits.
            whole = token.text.isdigit() and len(token.text) < 19
            number = int(token.text) if whole else float(token.text)
            return -number if negative else number
        if token.kind == "text":
            return token.text[1:-1].replace("''", "'")
        if word in ("true", "false") and token.kind == "word":
            return word == "true"
        if word in ("date", "timestamp") and token.kind == "word":
            return self.moment(word)
        if word == "null":
            raise self.error("nothing is equal to NULL; write IS NULL or IS NOT NULL")
        self.position -= 1
        if token.kind == "name":
            raise self.error(f"{token.text} is a field; write text in single quotes")
        raise self.unexpected("a value (text is in single quotes)")

    def moment(self, word: str) -> date:
        token = self.peek()
        if token is None or token.kind != "text":
            raise self.unexpected(f"a text in single quotes after {word}")
        self.position += 1
        text = token.text[1:-1].strip()
        try:
            if word == "date":
                return date.fromisoformat(text)
            return utc(datetime.fromisoformat(text))
        except ValueError:
            example = "'2024-12-31'" if word == "date" else "'2024-12-31 23:59:59'"
            raise self.error(f"{token.text} is not a {word} such as {word} {example}") from None

    def fitting(self, field: str, value: Value) -> Value:
        """Return the value as the field's kind has it, or raise FilterError."""
        kind = self.fields[field]
        allowed = _KINDS.get(kind)
        if kind == "date" and isinstance(value, datetime) and value == _day(value):
            return value.date()
        if kind == "datetime" and isinstance(value, date) and not isinstance(value, datetime):
            return datetime(value.year, value.month, value.day)
        fits = allowed is None or (
            isinstance(value, allowed)
            and (kind == "boolean" or not isinstance(value, bool))
            and (kind != "date" or not isinstance(value, datetime))
        )
        if not fits:
            hint = {
                "text": "write text in single quotes",
                "boolean": "write true or false",
                "date": "write dates as date '2024-12-31'",
                "datetime": "write times as timestamp '2024-12-31 23:59:59'",
            }.get(kind, "write numbers without quotes")
            shown = str(value) if isinstance(value, date | bool) else repr(value)
            raise self.error(f"{field} is {self.kind(field)}, and {shown} is not; {hint}")
        return value

    def kind(self, field: str) -> str:
        kind = self.fields[field]
        return f"an {kind}" if kind[:1] in "aeiou" else f"a {kind}"

    def unexpected(self, wanted: str) -> FilterError:
        token = self.peek()
        if token is None:
            return self.error(f"it ends where {wanted} must follow")
        return self.error(f"{token.text!r} at character {token.start + 1} is not {wanted}")

    def error(self, why: str) -> FilterError:
        return FilterError(
            "the filter cannot be used",
            where=self.condition[:200],
            why=why,
            fix=list_fields(self.fields),
        )


def utc(moment: datetime) -> datetime:
    """Return a time in UTC, without its zone; one without a zone is in UTC already."""
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def _day(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def filter_holds(tree: Filter, row: Mapping[str, Value | None]) -> bool | None:
    """Return whether a filter holds for a row, None where that is unknown, as SQL has it.

    Texts compare by code points.
    """
    match tree:
        case Constant(value):
            return value
        case IsNull(field):
            return row.get(field) is None
        case Not(part):
            held = filter_holds(part, row)
            return None if held is None else not held
        case All(parts) | AnyOf(parts):
            decisive = isinstance(tree, AnyOf)
            results = [filter_holds(part, row) for part in parts]
            if decisive in results:
                return decisive
            return None if None in results else not decisive
    actual = row.get(tree.field)
    if actual is None:
        return None
    if isinstance(actual, datetime):
        actual = utc(actual)
    match tree:
        case OneOf(_, values):
            return actual in values
        case Like(_, pattern, ignore_case):
            return like_pattern(pattern, ignore_case).fullmatch(str(actual)) is not None
        case Comparison(_, operator, operand):
            return _compare(actual, operator, operand)


def _compare(actual: Value, operator: Comparator, value: Value) -> bool:
    if operator == "=":
        return actual == value
    if operator == "!=":
        return actual != value
    less, equal = actual < value, actual == value  # type: ignore[operator]
    if operator in ("<", "<="):
        return less or (equal and operator == "<=")
    return equal and operator == ">=" if less or equal else True


def like_pattern(pattern: str, ignore_case: bool = False) -> re.Pattern[str]:
    """Return the regular expression of a LIKE pattern."""
    flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
    parts = [
        re.escape(text) if literal else {"%": ".*", "_": "."}[text]
        for text, literal in like_parts(pattern)
    ]
    return re.compile("".join(parts), flags)


def like_parts(pattern: str) -> Iterator[tuple[str, bool]]:
    """Yield the characters of a LIKE pattern, each with whether it stands for itself."""
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            yield next(characters, "\\"), True
        else:
            yield character, character not in "%_"
