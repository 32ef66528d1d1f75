-- Rules about tags, retention, the tags' past, and jobs that one node does.

-- A rule is its package's, or its owner's and then of all packages of that one. `hold`: 1 immutable, 2 protected;
-- `role`: the least role that changes a protected tag, none for nobody. `exceptions` are patterns, a line each.
CREATE TABLE tag_rules (
    id {id},
    owner_id {int} REFERENCES accounts (id),
    package_id {int} REFERENCES packages (id),
    hold {int} NOT NULL,
    role {int},
    pattern {text} NOT NULL,
    exceptions {text} NOT NULL,
    lets_package_go {int} NOT NULL,
    created_at {int} NOT NULL,
    created_by {int}
);
CREATE INDEX tag_rules_by_owner ON tag_rules (owner_id, id);
CREATE INDEX tag_rules_by_package ON tag_rules (package_id, id);

-- At most one policy of an owner and one of a package, which takes the owner's place for it. `policy` is the service's
-- JSON. `due_at`: when it runs next; none: only by hand. What the last run did.
CREATE TABLE retention (
    id {id},
    owner_id {int} REFERENCES accounts (id),
    package_id {int} REFERENCES packages (id),
    policy {text} NOT NULL,
    changed_at {int} NOT NULL,
    changed_by {int},
    due_at {int},
    ran_at {int},
    kept {int} NOT NULL DEFAULT 0,
    dropped {int} NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX retention_by_owner ON retention (owner_id);
CREATE UNIQUE INDEX retention_by_package ON retention (package_id);
CREATE INDEX retention_due ON retention (due_at, id) WHERE due_at IS NOT NULL;

-- When a version, or what a tag pointed at, was pulled last, to the second or so.
ALTER TABLE versions ADD COLUMN last_pulled_at {int};
ALTER TABLE tag_downloads ADD COLUMN last_pulled_at {int};

-- Work that one node at a time does.
CREATE TABLE jobs (
    name {text} PRIMARY KEY,
    holder {text},
    leased_until {int} NOT NULL,
    ran_at {int}
);
