"""The tables of the catalogue's file.

``tally`` counts the projects that are here: counting them anew would take longer than all else that
a run with nothing to do does.
"""

from __future__ import annotations

APPLICATION = 0x62616E64
VERSION = 4
SCHEMA = """
CREATE TABLE project (
    name TEXT PRIMARY KEY, display TEXT NOT NULL, serial INTEGER, reflects INTEGER NOT NULL,
    terms TEXT NOT NULL, etag TEXT NOT NULL, last_modified TEXT NOT NULL, body TEXT NOT NULL,
    status TEXT NOT NULL, reason TEXT NOT NULL, versions TEXT NOT NULL,
    standing TEXT NOT NULL, due INTEGER, size INTEGER NOT NULL, files INTEGER NOT NULL,
    verified INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX due ON project (due) WHERE due IS NOT NULL;
CREATE INDEX scrub ON project (verified, name) WHERE standing <> 'left out';
CREATE TABLE file (
    path TEXT NOT NULL, project TEXT NOT NULL, size INTEGER, modified INTEGER,
    verified INTEGER, hashes TEXT NOT NULL, uploaded TEXT, requires_python TEXT, yanked TEXT,
    core_metadata TEXT, provenance TEXT, PRIMARY KEY (project, path)
) WITHOUT ROWID;
CREATE TABLE unfinished (
    name TEXT PRIMARY KEY, kind TEXT NOT NULL, need INTEGER NOT NULL, lo INTEGER,
    since INTEGER NOT NULL, tried INTEGER NOT NULL, attempts INTEGER NOT NULL,
    fault TEXT NOT NULL, reason TEXT NOT NULL, display TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE removed (
    key TEXT PRIMARY KEY, size INTEGER NOT NULL, sha256 TEXT NOT NULL, at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE tally (projects INTEGER NOT NULL);
INSERT INTO tally VALUES (0);
CREATE TRIGGER came AFTER INSERT ON project WHEN new.standing <> 'left out'
BEGIN UPDATE tally SET projects = projects + 1; END;
CREATE TRIGGER went AFTER DELETE ON project WHEN old.standing <> 'left out'
BEGIN UPDATE tally SET projects = projects - 1; END;
CREATE TRIGGER turned AFTER UPDATE OF standing ON project
BEGIN UPDATE tally SET projects = projects
    + (new.standing <> 'left out') - (old.standing <> 'left out'); END;
CREATE TABLE note (key TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
"""
TABLES = ("project", "file", "unfinished", "removed", "note")
