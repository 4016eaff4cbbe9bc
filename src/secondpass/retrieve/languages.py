"""Languages of an index: those with a stemmer, and the English stop words."""

from __future__ import annotations

from collections.abc import Mapping

from secondpass.errors import InputError, nearest

ENGLISH_STOP_WORDS: tuple[str, ...] = (
    *("a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into"),
    *("is", "it", "no", "not", "of", "on", "or", "such", "that", "the", "their", "then"),
    *("there", "these", "they", "this", "to", "was", "will", "with"),
)
"""The stop words of Lucene's English analyzer."""

NO_LANGUAGE = "none"
"""No stemming and no stop words."""

LANGUAGES: Mapping[str, str] = {
    **{"ar": "arabic", "da": "danish", "nl": "dutch", "en": "english", "fi": "finnish"},
    **{"fr": "french", "de": "german", "el": "greek", "hu": "hungarian", "it": "italian"},
    **{"no": "norwegian", "pt": "portuguese", "ro": "romanian", "ru": "russian"},
    **{"es": "spanish", "sv": "swedish", "ta": "tamil", "tr": "turkish"},
}
"""The languages with a stemmer, by their ISO 639-1 code."""


def parse_language(language: str) -> str:
    """Return a language's name in lower case, from its name or its two-letter code.

    Raises InputError for a language that has no stemmer.
    """
    name = language.strip().lower()
    name = LANGUAGES.get(name, name)
    if name == NO_LANGUAGE or name in LANGUAGES.values():
        return name
    raise InputError(
        f"unknown language {language!r}",
        fix=f"{nearest(name, [*LANGUAGES.values(), NO_LANGUAGE])} "
        f"'{NO_LANGUAGE}' indexes any language without stemming.",
    )
