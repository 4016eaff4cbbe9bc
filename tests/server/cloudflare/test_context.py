"""The state that all endpoints of the dialect share."""

from __future__ import annotations

from typing import Any, cast

from secondpass.server.cloudflare.context import AppContext
from secondpass.server.settings import ServerSettings
from secondpass.server.state import ServerState


class _Llm:
    closed = False

    def close(self) -> None:
        self.closed = True


def test_the_language_model_is_the_one_of_the_server() -> None:
    # A name that cannot be loaded: the dialect must not load a model of its own.
    state = ServerState(ServerSettings(llm="no-such-provider/model"))
    app = AppContext(state)
    assert app.llm is None
    llm = _Llm()
    state.llm = cast(Any, llm)
    assert app.llm is cast(Any, llm)
    app.start()
    app.stop()
    assert not llm.closed
    state.close()
    assert llm.closed
