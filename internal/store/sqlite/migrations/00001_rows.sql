-- +goose Up
PRAGMA application_id = 1346459219; -- "PAVS": tells the file from other programs'
CREATE TABLE row (
	tbl      TEXT    NOT NULL,
	id       TEXT    NOT NULL,
	version  INTEGER NOT NULL CHECK (version > 0),
	revision INTEGER NOT NULL,
	body     BLOB,
	PRIMARY KEY (tbl, id)
) WITHOUT ROWID;
CREATE INDEX row_by_revision ON row (revision);
CREATE TABLE revision (value INTEGER NOT NULL);
INSERT INTO revision (value) VALUES (0);

-- +goose Down
DROP TABLE revision;
DROP TABLE row;
