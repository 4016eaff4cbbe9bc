from __future__ import annotations

import errno

from secondpass.errors import IndexStoreError
from secondpass.server.http_errors import internal_error, to_http_error


def test_a_full_disk_is_507_and_a_closed_folder_503() -> None:
    for number, status in (
        (errno.ENOSPC, 507),
        (errno.EROFS, 503),
        (errno.EACCES, 503),
        (None, 500),
    ):
        failed = IndexStoreError("not stored", where="/secret/folder", why="y", errno=number)
        error = to_http_error(failed)
        assert error.status == status
        assert "not stored" in error.message
        assert "/secret" not in error.message
    assert internal_error(OSError(errno.ENOSPC, "no space", "/secret/file")).status == 507
    assert internal_error(OSError(errno.EROFS, "read-only", "/secret/file")).status == 503
    assert internal_error(KeyError("x")).status == 500
