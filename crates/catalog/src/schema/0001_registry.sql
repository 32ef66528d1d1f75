-- Times are microseconds since 1970 in UTC. Digests are an algorithm byte and the hash.

CREATE TABLE settings (name {text} PRIMARY KEY, value {text} NOT NULL);

-- Users and organizations share one namespace. `name` is lower case; it is the first part of package paths.
CREATE TABLE accounts (
    id {id},
    name {text} NOT NULL UNIQUE,
    kind {int} NOT NULL,
    site_admin {int} NOT NULL DEFAULT 0,
    created_at {int} NOT NULL,
    suspended_at {int}
);

CREATE TABLE memberships (
    organization_id {int} NOT NULL REFERENCES accounts (id),
    account_id {int} NOT NULL REFERENCES accounts (id),
    owner {int} NOT NULL,
    PRIMARY KEY (organization_id, account_id)
);
CREATE INDEX memberships_by_account ON memberships (account_id, organization_id);

-- A token is long and random, so its plain SHA-256 is what is kept.
CREATE TABLE tokens (
    id {id},
    account_id {int} NOT NULL REFERENCES accounts (id),
    kind {int} NOT NULL,
    name {text} NOT NULL,
    hash {bytes} NOT NULL UNIQUE,
    scopes {int} NOT NULL,
    created_at {int} NOT NULL,
    expires_at {int},
    revoked_at {int}
);
CREATE INDEX tokens_by_account ON tokens (account_id, id);

CREATE TABLE signing_keys (
    id {id},
    name {text} NOT NULL UNIQUE,
    private_key {bytes} NOT NULL,
    created_at {int} NOT NULL
);

CREATE TABLE packages (
    id {id},
    path {text} NOT NULL,
    owner_id {int} NOT NULL REFERENCES accounts (id),
    type {int} NOT NULL DEFAULT 1,
    visibility {int} NOT NULL,
    created_at {int} NOT NULL,
    created_by {int},
    deleted_at {int}
);
CREATE UNIQUE INDEX packages_live_by_path ON packages (path) WHERE deleted_at IS NULL;
CREATE INDEX packages_live_by_owner ON packages (owner_id, path) WHERE deleted_at IS NULL;
CREATE INDEX packages_live_by_visibility ON packages (visibility, path) WHERE deleted_at IS NULL;

CREATE TABLE package_grants (
    package_id {int} NOT NULL REFERENCES packages (id),
    account_id {int} NOT NULL REFERENCES accounts (id),
    role {int} NOT NULL,
    granted_at {int} NOT NULL,
    PRIMARY KEY (package_id, account_id)
);
CREATE INDEX package_grants_by_account ON package_grants (account_id, package_id);

-- The bytes of manifests, once for all packages. The media type is part of what a manifest is: a body need
-- not say it, and clients choose their parser by it.
CREATE TABLE manifests (
    id {id},
    digest {bytes} NOT NULL,
    media_type {text} NOT NULL,
    kind {int} NOT NULL,
    size {int} NOT NULL,
    artifact_type {text},
    subject {bytes},
    annotations {text},
    payload {bytes} NOT NULL,
    UNIQUE (digest, media_type)
);

-- What a manifest names, by digest: the child may be a manifest or a blob, and may come later or never.
CREATE TABLE manifest_refs (
    manifest_id {int} NOT NULL REFERENCES manifests (id),
    kind {int} NOT NULL,
    digest {bytes} NOT NULL,
    PRIMARY KEY (manifest_id, kind, digest)
);
CREATE INDEX manifest_refs_by_digest ON manifest_refs (digest);

-- A manifest in a package. `digest` and `subject` are copied here for the indexes.
CREATE TABLE versions (
    id {id},
    package_id {int} NOT NULL REFERENCES packages (id),
    manifest_id {int} NOT NULL REFERENCES manifests (id),
    digest {bytes} NOT NULL,
    subject {bytes},
    created_at {int} NOT NULL,
    created_by {int},
    deleted_at {int}
);
CREATE UNIQUE INDEX versions_live_by_digest ON versions (package_id, digest) WHERE deleted_at IS NULL;
CREATE INDEX versions_live_by_subject ON versions (package_id, subject, id)
    WHERE deleted_at IS NULL AND subject IS NOT NULL;
CREATE INDEX versions_by_manifest ON versions (manifest_id);

-- Rows are closed, never changed: that is the history.
CREATE TABLE tags (
    id {id},
    package_id {int} NOT NULL REFERENCES packages (id),
    name {text} NOT NULL,
    version_id {int} NOT NULL REFERENCES versions (id),
    valid_from {int} NOT NULL,
    valid_to {int},
    moved_by {int}
);
CREATE UNIQUE INDEX tags_open_by_name ON tags (package_id, name) WHERE valid_to IS NULL;
CREATE INDEX tags_open_by_version ON tags (version_id) WHERE valid_to IS NULL;

CREATE TABLE blobs (
    digest {bytes} PRIMARY KEY,
    size {int} NOT NULL,
    storage_key {text} NOT NULL UNIQUE,
    created_at {int} NOT NULL
);

-- A blob is readable in a package only through this link.
CREATE TABLE package_blobs (
    package_id {int} NOT NULL REFERENCES packages (id),
    digest {bytes} NOT NULL REFERENCES blobs (digest),
    linked_at {int} NOT NULL,
    PRIMARY KEY (package_id, digest)
);
CREATE INDEX package_blobs_by_digest ON package_blobs (digest, package_id);

-- The row exists before the first byte is acknowledged and names its key, so what is left over is always
-- named by a row. `digest` is set when it is finished; the row stays until it expires, so a PUT that is sent
-- again gets the same answer.
CREATE TABLE uploads (
    id {text} PRIMARY KEY,
    package_id {int} NOT NULL REFERENCES packages (id),
    account_id {int} NOT NULL REFERENCES accounts (id),
    storage_key {text} NOT NULL UNIQUE,
    received {int} NOT NULL,
    hash_state {bytes} NOT NULL,
    digest {bytes},
    created_at {int} NOT NULL,
    expires_at {int} NOT NULL
);
CREATE INDEX uploads_by_expiry ON uploads (expires_at);

-- Bytes that no row needs, not to be removed before their time.
CREATE TABLE trash (storage_key {text} PRIMARY KEY, not_before {int} NOT NULL);
CREATE INDEX trash_by_time ON trash (not_before);
