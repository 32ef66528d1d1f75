-- What keeps things alive, and what may have become garbage.

-- A link is kept while a version of the package names the blob, or until `pinned_until`: a client that was told that
-- the blob is there may skip sending it, so being told renews the pin. Versions are pinned likewise.
ALTER TABLE package_blobs ADD COLUMN pinned_until {int} NOT NULL DEFAULT 0;
ALTER TABLE versions ADD COLUMN pinned_until {int} NOT NULL DEFAULT 0;
UPDATE package_blobs SET pinned_until = linked_at + 86400000000;
CREATE INDEX package_blobs_unlinked_by_digest ON package_blobs_unlinked (digest);

-- What the versions of a package, deleted ones that can be restored too, name as their config and layers. Beside
-- `manifest_refs`, which all packages share: who names a digest elsewhere must not cost anything here.
CREATE TABLE version_blobs (
    version_id {int} NOT NULL REFERENCES versions (id),
    digest {bytes} NOT NULL,
    package_id {int} NOT NULL REFERENCES packages (id),
    PRIMARY KEY (version_id, digest)
);
CREATE INDEX version_blobs_by_digest ON version_blobs (package_id, digest);
INSERT INTO version_blobs (version_id, digest, package_id)
    SELECT DISTINCT v.id, r.digest, v.package_id FROM versions v
    JOIN manifest_refs r ON r.manifest_id = v.manifest_id AND r.kind IN (1, 2);

-- Things that may be garbage, and when to look at them. Whatever can orphan a thing enqueues it, in its transaction;
-- nothing else is ever looked at. `item` is a version or manifest, `digest` a blob; 0 and empty where there is none.
-- Kinds: 1 package, 2 version, 3 unlinked blob, 4 link, 5 manifest, 6 blob.
CREATE TABLE reviews (
    id {id},
    kind {int} NOT NULL,
    package_id {int} NOT NULL,
    item {int} NOT NULL,
    digest {bytes} NOT NULL,
    due_at {int} NOT NULL,
    UNIQUE (package_id, kind, item, digest)
);
CREATE INDEX reviews_by_time ON reviews (due_at);
INSERT INTO reviews (kind, package_id, item, digest, due_at)
    SELECT 1, id, 0, {empty}, deleted_at FROM packages WHERE deleted_at IS NOT NULL;
INSERT INTO reviews (kind, package_id, item, digest, due_at)
    SELECT 2, package_id, id, {empty}, deleted_at FROM versions WHERE deleted_at IS NOT NULL;
INSERT INTO reviews (kind, package_id, item, digest, due_at)
    SELECT 3, package_id, 0, digest, unlinked_at FROM package_blobs_unlinked;
INSERT INTO reviews (kind, package_id, item, digest, due_at)
    SELECT 4, l.package_id, 0, l.digest, l.pinned_until FROM package_blobs l
    WHERE NOT EXISTS (SELECT 1 FROM version_blobs b WHERE b.package_id = l.package_id AND b.digest = l.digest);
INSERT INTO reviews (kind, package_id, item, digest, due_at)
    SELECT 5, 0, m.id, {empty}, 0 FROM manifests m
    WHERE NOT EXISTS (SELECT 1 FROM versions v WHERE v.manifest_id = m.id);
INSERT INTO reviews (kind, package_id, item, digest, due_at)
    SELECT 6, 0, 0, b.digest, 0 FROM blobs b
    WHERE NOT EXISTS (SELECT 1 FROM package_blobs l WHERE l.digest = b.digest);

-- `trashed_at`: since when nothing names the bytes. `claimed_until`: a worker removes them now.
ALTER TABLE trash ADD COLUMN size {int} NOT NULL DEFAULT 0;
ALTER TABLE trash ADD COLUMN trashed_at {int} NOT NULL DEFAULT 0;
ALTER TABLE trash ADD COLUMN claimed_until {int} NOT NULL DEFAULT 0;

-- A copy of the catalog that somebody keeps or is making, as it was at `since`. What was trashed later is named there,
-- and stays until the hold ends.
CREATE TABLE holds (name {text} PRIMARY KEY, since {int} NOT NULL, until {int} NOT NULL);

-- What was collected since the first start, by kind.
CREATE TABLE collected (name {text} PRIMARY KEY, things {int} NOT NULL, bytes {int} NOT NULL);

-- Rows that name what is removed are found by these; indexes of a part of the rows do not serve the check of a foreign
-- key. Of two that cost the same SQLite takes the one that was made last, and that is to be the smaller.
CREATE INDEX tags_by_version ON tags (version_id);
DROP INDEX tags_open_by_version;
DROP INDEX tags_closed_by_version;
CREATE INDEX tags_open_by_version ON tags (version_id) WHERE valid_to IS NULL;
CREATE INDEX tags_closed_by_version ON tags (version_id, valid_to) WHERE valid_to IS NOT NULL;
CREATE INDEX versions_by_package ON versions (package_id, manifest_id);
DROP INDEX versions_live;
CREATE INDEX versions_live ON versions (package_id, id) WHERE deleted_at IS NULL;
CREATE INDEX uploads_by_package ON uploads (package_id, id);
CREATE INDEX token_limits_by_package ON token_limits (package_id);
