-- What accounts may store and send, and what they store, counted in the transactions that change it.

-- Limits by name, as the configuration has them; none is no limit. `configured`: 0 when only accounts name it still.
CREATE TABLE plans (
    name {text} PRIMARY KEY,
    storage {int},
    private_storage {int},
    transfer {int},
    private_transfer {int},
    configured {int} NOT NULL
);
-- Its plan; none is the one of the setting `default_plan`.
ALTER TABLE accounts ADD COLUMN plan {text};

-- How many live versions of the package name the blob. `counted`: whether the link counts as storage of the owner's. It
-- does from an upload or a mount on, until the last live version that named it is deleted.
ALTER TABLE package_blobs ADD COLUMN named {int} NOT NULL DEFAULT 0;
ALTER TABLE package_blobs ADD COLUMN counted {int} NOT NULL DEFAULT 1;
UPDATE package_blobs SET
    named = (SELECT COUNT(*) FROM (
        SELECT b.version_id FROM version_blobs b JOIN versions v ON v.id = b.version_id
            WHERE b.package_id = package_blobs.package_id AND b.digest = package_blobs.digest AND v.deleted_at IS NULL
        UNION SELECT k.version_id FROM version_children k JOIN versions v ON v.id = k.version_id
            WHERE k.package_id = package_blobs.package_id AND k.digest = package_blobs.digest AND v.deleted_at IS NULL
    ) AS names);
UPDATE package_blobs SET counted = 0 WHERE named = 0
    AND (EXISTS (SELECT 1 FROM version_blobs b
            WHERE b.package_id = package_blobs.package_id AND b.digest = package_blobs.digest)
        OR EXISTS (SELECT 1 FROM version_children k
            WHERE k.package_id = package_blobs.package_id AND k.digest = package_blobs.digest));

-- Blobs that an account's packages have, each once, with how many of its packages, and how many of those that are not
-- public, count it.
CREATE TABLE account_blobs (
    owner_id {int} NOT NULL REFERENCES accounts (id),
    digest {bytes} NOT NULL,
    size {int} NOT NULL,
    links {int} NOT NULL,
    private_links {int} NOT NULL,
    PRIMARY KEY (owner_id, digest)
);
INSERT INTO account_blobs (owner_id, digest, size, links, private_links)
    SELECT p.owner_id, l.digest, MAX(b.size), COUNT(*), SUM(CASE WHEN p.visibility = 2 THEN 0 ELSE 1 END)
    FROM packages p JOIN package_blobs l ON l.package_id = p.id JOIN blobs b ON b.digest = l.digest
    WHERE p.deleted_at IS NULL AND l.counted = 1 GROUP BY p.owner_id, l.digest;

-- Their sums.
CREATE TABLE account_storage (
    owner_id {int} PRIMARY KEY REFERENCES accounts (id),
    bytes {int} NOT NULL,
    private_bytes {int} NOT NULL
);
INSERT INTO account_storage (owner_id, bytes, private_bytes)
    SELECT owner_id, SUM(size), SUM(CASE WHEN private_links > 0 THEN size ELSE 0 END)
    FROM account_blobs GROUP BY owner_id;

-- Whose packages an open upload is for: its bytes need room too.
ALTER TABLE uploads ADD COLUMN owner_id {int} NOT NULL DEFAULT 0;
UPDATE uploads SET owner_id = (SELECT p.owner_id FROM packages p WHERE p.id = uploads.package_id);
CREATE INDEX uploads_open_by_owner ON uploads (owner_id) WHERE digest IS NULL;
