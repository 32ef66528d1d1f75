-- GitHub's side: who and what, roles, versions as the API lists them.

-- `login` is the name as it was written; `name` is its lower case. Robots belong to an organization and own nothing;
-- `role` is what a robot may on all packages of its organization.
ALTER TABLE accounts ADD COLUMN login {text};
ALTER TABLE accounts ADD COLUMN display_name {text};
ALTER TABLE accounts ADD COLUMN description {text};
ALTER TABLE accounts ADD COLUMN email {text};
ALTER TABLE accounts ADD COLUMN updated_at {int};
ALTER TABLE accounts ADD COLUMN organization_id {int} REFERENCES accounts (id);
ALTER TABLE accounts ADD COLUMN role {int};
-- Live packages of the account: all, and the public ones.
ALTER TABLE accounts ADD COLUMN package_count {int} NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN public_package_count {int} NOT NULL DEFAULT 0;
-- Repositories of the account: all, and the public ones.
ALTER TABLE accounts ADD COLUMN repository_count {int} NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN public_repository_count {int} NOT NULL DEFAULT 0;
UPDATE accounts SET login = name, updated_at = created_at;
UPDATE accounts SET
    package_count = (SELECT COUNT(*) FROM packages p WHERE p.owner_id = accounts.id AND p.deleted_at IS NULL),
    public_package_count = (SELECT COUNT(*) FROM packages p
        WHERE p.owner_id = accounts.id AND p.visibility = 2 AND p.deleted_at IS NULL);
CREATE INDEX accounts_by_organization ON accounts (organization_id, name) WHERE organization_id IS NOT NULL;

-- What members of an organization may do. No row: GitHub's defaults.
CREATE TABLE policies (
    organization_id {int} PRIMARY KEY REFERENCES accounts (id),
    packages_private {int} NOT NULL,
    packages_internal {int} NOT NULL,
    packages_public {int} NOT NULL,
    packages_default {int} NOT NULL,
    packages_inherit {int} NOT NULL,
    base_role {int} NOT NULL,
    members_create_repositories {int} NOT NULL
);

CREATE TABLE teams (
    id {id},
    organization_id {int} NOT NULL REFERENCES accounts (id),
    slug {text} NOT NULL,
    name {text} NOT NULL,
    description {text},
    secret {int} NOT NULL,
    parent_id {int} REFERENCES teams (id),
    member_count {int} NOT NULL DEFAULT 0,
    repository_count {int} NOT NULL DEFAULT 0,
    created_at {int} NOT NULL,
    updated_at {int} NOT NULL,
    UNIQUE (organization_id, slug)
);
CREATE INDEX teams_by_parent ON teams (parent_id, slug) WHERE parent_id IS NOT NULL;

CREATE TABLE team_members (
    team_id {int} NOT NULL REFERENCES teams (id),
    account_id {int} NOT NULL REFERENCES accounts (id),
    maintainer {int} NOT NULL,
    PRIMARY KEY (team_id, account_id)
);
CREATE INDEX team_members_by_account ON team_members (account_id, team_id);

-- A repository of a forge, as far as packages need it. `path` is `owner/name` in lower case.
CREATE TABLE repositories (
    id {id},
    owner_id {int} NOT NULL REFERENCES accounts (id),
    path {text} NOT NULL UNIQUE,
    name {text} NOT NULL,
    visibility {int} NOT NULL,
    description {text},
    homepage {text},
    default_branch {text} NOT NULL,
    archived {int} NOT NULL DEFAULT 0,
    created_at {int} NOT NULL,
    updated_at {int} NOT NULL
);
CREATE INDEX repositories_by_owner ON repositories (owner_id, path);
CREATE INDEX repositories_by_visibility ON repositories (owner_id, visibility, path);

CREATE TABLE repository_accounts (
    repository_id {int} NOT NULL REFERENCES repositories (id),
    account_id {int} NOT NULL REFERENCES accounts (id),
    role {int} NOT NULL,
    PRIMARY KEY (repository_id, account_id)
);
CREATE INDEX repository_accounts_by_account ON repository_accounts (account_id, repository_id);

CREATE TABLE repository_teams (
    repository_id {int} NOT NULL REFERENCES repositories (id),
    team_id {int} NOT NULL REFERENCES teams (id),
    role {int} NOT NULL,
    PRIMARY KEY (repository_id, team_id)
);
CREATE INDEX repository_teams_by_team ON repository_teams (team_id, repository_id);

-- `inherits`: access is the linked repository's, and the package's own grants do not count.
-- `version_count`: live versions that are no parts, as the default list shows them.
-- `deleted_by`, and `downloads` of all its versions.
-- `source`: the label that linked it last. The same one does not link again what a person unlinked.
ALTER TABLE packages ADD COLUMN repository_id {int} REFERENCES repositories (id);
ALTER TABLE packages ADD COLUMN inherits {int} NOT NULL DEFAULT 0;
ALTER TABLE packages ADD COLUMN description {text};
ALTER TABLE packages ADD COLUMN licenses {text};
ALTER TABLE packages ADD COLUMN source {text};
ALTER TABLE packages ADD COLUMN updated_at {int};
ALTER TABLE packages ADD COLUMN version_count {int} NOT NULL DEFAULT 0;
ALTER TABLE packages ADD COLUMN part_count {int} NOT NULL DEFAULT 0;
ALTER TABLE packages ADD COLUMN tagged_count {int} NOT NULL DEFAULT 0;
ALTER TABLE packages ADD COLUMN downloads {int} NOT NULL DEFAULT 0;
ALTER TABLE packages ADD COLUMN deleted_by {int};
CREATE INDEX packages_by_repository ON packages (repository_id, path) WHERE repository_id IS NOT NULL;
CREATE INDEX packages_in_namespace ON packages (owner_id, visibility, path) WHERE deleted_at IS NULL;
CREATE INDEX packages_inheriting ON packages (owner_id, path) WHERE deleted_at IS NULL AND inherits = 1;
CREATE INDEX packages_deleted_by_path ON packages (path, deleted_at, id) WHERE deleted_at IS NOT NULL;
CREATE INDEX packages_deleted_by_owner ON packages (owner_id, path, id) WHERE deleted_at IS NOT NULL;
CREATE INDEX packages_deleted_by_time ON packages (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE package_teams (
    package_id {int} NOT NULL REFERENCES packages (id),
    team_id {int} NOT NULL REFERENCES teams (id),
    role {int} NOT NULL,
    granted_at {int} NOT NULL,
    PRIMARY KEY (package_id, team_id)
);
CREATE INDEX package_teams_by_team ON package_teams (team_id, package_id);

-- Which repositories' workflows have a role (GitHub: "Manage Actions access").
CREATE TABLE package_repositories (
    package_id {int} NOT NULL REFERENCES packages (id),
    repository_id {int} NOT NULL REFERENCES repositories (id),
    role {int} NOT NULL,
    granted_at {int} NOT NULL,
    PRIMARY KEY (package_id, repository_id)
);
CREATE INDEX package_repositories_by_repository ON package_repositories (repository_id, package_id);

-- Where a package was before it was renamed or transferred. A new package at the old path ends it.
CREATE TABLE redirects (
    path {text} PRIMARY KEY,
    package_id {int} NOT NULL REFERENCES packages (id),
    created_at {int} NOT NULL
);
CREATE INDEX redirects_by_package ON redirects (package_id);

-- `part`: an untagged child of a live index, or referrer of a live subject, in the same package.
-- `deleted_with`: the version whose deletion took this one along; restoring that one brings it back.
ALTER TABLE versions ADD COLUMN part {int} NOT NULL DEFAULT 0;
ALTER TABLE versions ADD COLUMN downloads {int} NOT NULL DEFAULT 0;
ALTER TABLE versions ADD COLUMN deleted_by {int};
ALTER TABLE versions ADD COLUMN deleted_with {int};
CREATE INDEX versions_listed ON versions (package_id, part, id) WHERE deleted_at IS NULL;
CREATE INDEX versions_deleted ON versions (package_id, id) WHERE deleted_at IS NOT NULL;
CREATE INDEX versions_deleted_with ON versions (deleted_with) WHERE deleted_with IS NOT NULL;
CREATE INDEX versions_deleted_by_time ON versions (deleted_at) WHERE deleted_at IS NOT NULL;
ALTER TABLE versions ADD COLUMN updated_at {int};
CREATE INDEX versions_live ON versions (package_id, id) WHERE deleted_at IS NULL;
-- The most downloaded one decides whether a public package may be deleted.
CREATE INDEX versions_downloaded ON versions (package_id, downloads) WHERE deleted_at IS NULL AND downloads > 0;
CREATE INDEX versions_deleted_by_digest ON versions (package_id, digest, id) WHERE deleted_at IS NOT NULL;
-- What the versions of a package name as their children. Beside `manifest_refs`, which all packages share: who
-- names a digest elsewhere must not cost anything here.
CREATE TABLE version_children (
    package_id {int} NOT NULL REFERENCES packages (id),
    digest {bytes} NOT NULL,
    version_id {int} NOT NULL REFERENCES versions (id),
    PRIMARY KEY (package_id, digest, version_id)
);
CREATE INDEX version_children_by_version ON version_children (version_id, digest);
INSERT INTO version_children (package_id, digest, version_id)
    SELECT v.package_id, r.digest, v.id FROM versions v
    JOIN manifest_refs r ON r.manifest_id = v.manifest_id AND r.kind = 3;

CREATE INDEX tags_by_name ON tags (package_id, name, id);
CREATE INDEX tags_closed_by_version ON tags (version_id, valid_to) WHERE valid_to IS NOT NULL;
UPDATE versions SET updated_at = created_at;
UPDATE versions SET part = 1
    WHERE deleted_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM tags t WHERE t.version_id = versions.id AND t.valid_to IS NULL)
    AND (EXISTS (SELECT 1 FROM version_children k JOIN versions w ON w.id = k.version_id
            WHERE k.package_id = versions.package_id AND k.digest = versions.digest AND w.deleted_at IS NULL)
        OR EXISTS (SELECT 1 FROM versions s WHERE s.package_id = versions.package_id
            AND s.digest = versions.subject AND s.deleted_at IS NULL));
UPDATE packages SET
    updated_at = created_at,
    version_count = (SELECT COUNT(*) FROM versions v
        WHERE v.package_id = packages.id AND v.part = 0 AND v.deleted_at IS NULL),
    part_count = (SELECT COUNT(*) FROM versions v
        WHERE v.package_id = packages.id AND v.part = 1 AND v.deleted_at IS NULL),
    tagged_count = (SELECT COUNT(DISTINCT t.version_id) FROM tags t
        WHERE t.package_id = packages.id AND t.valid_to IS NULL);
-- Blobs that were taken out of a package: what a restored version may get back. Nothing else may be linked by
-- naming its digest.
CREATE TABLE package_blobs_unlinked (
    package_id {int} NOT NULL REFERENCES packages (id),
    digest {bytes} NOT NULL,
    unlinked_at {int} NOT NULL,
    PRIMARY KEY (package_id, digest)
);
CREATE TABLE tag_downloads (
    package_id {int} NOT NULL REFERENCES packages (id),
    name {text} NOT NULL,
    downloads {int} NOT NULL,
    PRIMARY KEY (package_id, name)
);

-- A fine-grained token: one row for each thing it was made for, an owner or a package.
ALTER TABLE tokens ADD COLUMN last_used_at {int};
-- The token that this one was made with: what that one loses by being revoked, this one loses too.
ALTER TABLE tokens ADD COLUMN parent_id {int} REFERENCES tokens (id);
CREATE INDEX tokens_by_parent ON tokens (parent_id);
-- Those that were not revoked, of which an account may have so many.
CREATE INDEX tokens_kept ON tokens (account_id, id) WHERE revoked_at IS NULL;
CREATE TABLE token_limits (
    token_id {int} NOT NULL REFERENCES tokens (id),
    owner_id {int} REFERENCES accounts (id),
    package_id {int} REFERENCES packages (id),
    role {int} NOT NULL
);
CREATE INDEX token_limits_by_token ON token_limits (token_id);

-- Sign-in by a code (RFC 8628). Codes are kept as their SHA-256. `poll_seconds` grows when the client asks too
-- often; `token_id` is what the account approved it with, none when the operator did.
CREATE TABLE device_codes (
    id {id},
    device_hash {bytes} NOT NULL UNIQUE,
    user_hash {bytes} NOT NULL UNIQUE,
    client {text} NOT NULL,
    scopes {int} NOT NULL,
    created_at {int} NOT NULL,
    expires_at {int} NOT NULL,
    poll_seconds {int} NOT NULL,
    polled_at {int},
    account_id {int} REFERENCES accounts (id),
    token_id {int} REFERENCES tokens (id),
    denied {int} NOT NULL DEFAULT 0
);
CREATE INDEX device_codes_by_expiry ON device_codes (expires_at);
CREATE INDEX device_codes_by_account ON device_codes (account_id) WHERE account_id IS NOT NULL;
CREATE INDEX device_codes_by_token ON device_codes (token_id) WHERE token_id IS NOT NULL;

-- Bytes of blobs sent, by the month they were asked for (year * 100 + month).
CREATE TABLE transfers (
    owner_id {int} NOT NULL REFERENCES accounts (id),
    month {int} NOT NULL,
    public {int} NOT NULL,
    bytes {int} NOT NULL,
    PRIMARY KEY (owner_id, month, public)
);
