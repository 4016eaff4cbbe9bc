"""Small PDF files, good ones and such that take more than they should."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

WORDS = b"BT /F1 18 Tf 20 100 Td (%s) Tj ET"


def pdf(stream: bytes, more: bytes = b"") -> bytes:
    """Return a file of one page with this content; `more` stands in its dictionary."""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R"
        b"/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d%s>>stream\n%s\nendstream" % (len(stream), more, stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    body, table = b"%PDF-1.4\n", b"0000000000 65535 f \n"
    for number, content in enumerate(objects, 1):
        table += b"%010d 00000 n \n" % len(body)
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    end = b"xref\n0 6\n%strailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF"
    return body + end % (table, len(body))


def with_objects(
    file: bytes, objects: Mapping[int, bytes], catalog: bytes = b"", *, page: bytes = b""
) -> bytes:
    """Return a file of `pdf` with more objects; `catalog` and `page` add to these."""
    file = file.replace(b"<</Type/Catalog", b"<</Type/Catalog" + catalog)
    body = file[: file.index(b"xref\n")].replace(
        b"<</Type/Page/", b"<</Type/Page" + page + b"/"
    )
    body += b"".join(b"%d 0 obj\n%s\nendobj\n" % item for item in objects.items())
    count = 1 + max(5, *objects)
    table = b"".join(
        b"%010d 00000 n \n" % place
        if (place := body.find(b"\n%d 0 obj" % n) + 1)
        else b"0000000000 65535 f \n"
        for n in range(count)
    )
    end = b"xref\n0 %d\n%strailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF"
    return body + end % (count, table, count, len(body))


def swelling(megabytes: int) -> bytes:
    """Return a small file whose page unpacks to so much."""
    return pdf(zlib.compress(bytes(megabytes * 2**20)), b"/Filter/FlateDecode")


def endless() -> bytes:
    """Return a small file whose page takes minutes to read."""
    return pdf(zlib.compress(b"1 0 0 1 0 0 cm " * 50_000_000, 1), b"/Filter/FlateDecode")
