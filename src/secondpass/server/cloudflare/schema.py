"""The tables of an instance's files and jobs."""

from __future__ import annotations

import sqlite3

_VERSION = 1
_TABLES = """
CREATE TABLE items (
    id TEXT PRIMARY KEY, key TEXT NOT NULL, file TEXT NOT NULL, content_type TEXT NOT NULL,
    checksum TEXT NOT NULL, size INTEGER NOT NULL, metadata TEXT NOT NULL,
    status TEXT NOT NULL, next_action TEXT, error TEXT, job TEXT,
    created_at INTEGER NOT NULL, modified_at INTEGER NOT NULL, seen_at INTEGER NOT NULL,
    revision INTEGER NOT NULL, attempts INTEGER NOT NULL,
    documents INTEGER NOT NULL, chunks INTEGER);
CREATE UNIQUE INDEX live_keys ON items (key) WHERE next_action IS NOT 'DELETE';
CREATE INDEX waiting ON items (next_action, status, seen_at);
CREATE TABLE item_logs (
    number INTEGER PRIMARY KEY, item TEXT NOT NULL, at INTEGER NOT NULL, action TEXT NOT NULL,
    message TEXT, chunks INTEGER, error TEXT, milliseconds INTEGER);
CREATE INDEX logs_of_item ON item_logs (item);
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, source TEXT NOT NULL,
    description TEXT, started_at INTEGER NOT NULL, ended_at INTEGER, seen_at INTEGER,
    end_reason TEXT);
CREATE TABLE job_logs (
    number INTEGER PRIMARY KEY, job TEXT NOT NULL, at INTEGER NOT NULL, message TEXT NOT NULL,
    kind INTEGER NOT NULL);
CREATE INDEX logs_of_job ON job_logs (job);
"""


def prepare(connection: sqlite3.Connection) -> None:
    """Make the tables in an empty file; raises sqlite3.DatabaseError for another version."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            for statement in _TABLES.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        elif version != _VERSION:
            raise sqlite3.DatabaseError(f"it is of version {version}, not {_VERSION}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
