-- What holds no live version is but a name, and not listed. Whether it does is kept with the name in the indexes that lists
-- of names are read from: a look at the versions of each package of a page is a place of its own where there are many.
ALTER TABLE packages ADD COLUMN held {int} NOT NULL DEFAULT 0;
UPDATE packages SET held = 1
    WHERE EXISTS (SELECT 1 FROM versions v WHERE v.package_id = packages.id AND v.deleted_at IS NULL);
DROP INDEX packages_live_by_owner;
DROP INDEX packages_live_by_visibility;
DROP INDEX packages_in_namespace;
DROP INDEX packages_inheriting;
CREATE INDEX packages_live_by_owner ON packages (owner_id, path, held) WHERE deleted_at IS NULL;
CREATE INDEX packages_live_by_visibility ON packages (visibility, path, held) WHERE deleted_at IS NULL;
CREATE INDEX packages_in_namespace ON packages (owner_id, visibility, path, held) WHERE deleted_at IS NULL;
CREATE INDEX packages_inheriting ON packages (owner_id, path, held) WHERE deleted_at IS NULL AND inherits = 1;
