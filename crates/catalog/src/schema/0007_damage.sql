-- Damage: what a scrub found, and what is treated as not there until it is pushed again.

-- 1 missing, 2 of another length, 3 other bytes, 4 unreadable; none: whole, as far as anybody knows. A damaged blob or
-- manifest answers as one that is not there, so that clients push it again; whoever does heals it for all packages.
ALTER TABLE blobs ADD COLUMN damage {int};
ALTER TABLE blobs ADD COLUMN damaged_at {int};
CREATE INDEX blobs_damaged ON blobs (size, digest) WHERE damage IS NOT NULL;
ALTER TABLE manifests ADD COLUMN damaged_at {int};
CREATE INDEX manifests_damaged ON manifests (id) WHERE damaged_at IS NOT NULL;

-- What the last scrub found, where, and what was done about it. `done`: 0 nothing, 1 repaired, 2 quarantined.
CREATE TABLE findings (
    id {id},
    kind {text} NOT NULL,
    what {text} NOT NULL,
    place {text} NOT NULL,
    done {int} NOT NULL,
    found_at {int} NOT NULL,
    UNIQUE (kind, place, what)
);
