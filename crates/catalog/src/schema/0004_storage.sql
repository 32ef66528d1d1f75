-- What the blob store asked to be recorded of a session's bytes (parts in a bucket; nothing on files), and the lease of
-- the request that writes it where several nodes share a store: its number, which never falls and is compared when
-- bytes are acknowledged, and until when it holds, by the database's clock. Released, `lease_until` is 0.
ALTER TABLE uploads ADD COLUMN store_state {bytes};
ALTER TABLE uploads ADD COLUMN lease_epoch {int} NOT NULL DEFAULT 0;
ALTER TABLE uploads ADD COLUMN lease_until {int} NOT NULL DEFAULT 0;

-- The same of a session that ended without a blob: it says what else than the key is to be removed.
ALTER TABLE trash ADD COLUMN store_state {bytes};
ALTER TABLE trash ADD COLUMN lease_epoch {int} NOT NULL DEFAULT 0;
