from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from secondpass.server.settings import ServerSettings
from tests.server.conftest import serving


@dataclass
class Database:
    """A client of the database over plain HTTP."""

    url: str
    http: httpx2.Client

    def send(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        """Send a request, check the status, and return the JSON of the response, if any."""
        # Not `json=`, which cannot send what a client in another language can.
        content = None if body is None else json.dumps(body)
        response = self.http.request(method, f"/v1{path}", content=content)
        assert response.status_code == status, response.text
        return response.json() if response.content else None

    def error(self, method: str, path: str, body: Any = None, status: int = 422) -> str:
        """Send a request that fails and return the message of the error."""
        (error,) = self.send(method, path, body, status)["error"]
        assert error.keys() == {"message"}
        return str(error["message"])

    def query(self, query: str, **more: Any) -> Any:
        """Return the whole response to a query."""
        return self.send("POST", "/graphql", {"query": query, **more})

    def get(self, query: str, **more: Any) -> Any:
        """Return the rows of a `Get` query over one class."""
        answer = self.query("{Get{" + query + "}}", **more)
        assert "errors" not in answer, answer
        (rows,) = answer["data"]["Get"].values()
        return rows

    def query_error(self, query: str, **more: Any) -> str:
        """Return the message of the only error of a `Get` query."""
        answer = self.query("{Get{" + query + "}}", **more)
        (error,) = answer["errors"]
        assert error.keys() == {"locations", "message", "path"}
        return str(error["message"])

    def create_class(self, **declaration: Any) -> str:
        """Create a class with a new name and return the name."""
        name = f"C{uuid.uuid4().hex[:12]}"
        self.send("POST", "/schema", {"class": name, **declaration})
        return name

    def store(self, name: str, *objects: dict[str, Any]) -> list[str]:
        """Store objects in one batch and return their ids."""
        batch = [{"class": name, **one} for one in objects]
        answer = self.send("POST", "/batch/objects", {"fields": ["ALL"], "objects": batch})
        assert [one["result"] for one in answer] == [{"status": "SUCCESS"}] * len(batch)
        return [one["id"] for one in answer]


@pytest.fixture(scope="session")
def database(model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    data = tmp_path_factory.mktemp("data")
    with (
        serving(ServerSettings(models=[model], data=data)) as url,
        httpx2.Client(base_url=url, timeout=60) as http,
    ):
        yield Database(url, http)


def settings(model: str, tmp_path: Path, **more: Any) -> ServerSettings:
    return ServerSettings(models=[model], data=tmp_path / "data", **more)


def text_property(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "dataType": ["text"], **more}
