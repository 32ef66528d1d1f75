//! The only SQL: schema, migrations and transactions, on SQLite and PostgreSQL with one set of statements.
//!
//! A transaction is a plain synchronous closure, [`Catalog::read`] or [`Catalog::write`]: no await inside, never
//! cut in half by a client that goes away, and repeatable, since it may run again after a serialization
//! failure or a lost batch. Whatever it answers, a refusal too, is released after its commit.
//!
//! Every function that touches a package asks for a [`Granted`](packhouse_access::Granted) of the same
//! transaction. What leaves a transaction is a thing ([`ReadableBlob`], a manifest's bytes), never a right.
//!
//! What is deliberately absent: no type here is serialised (what goes on a wire has its own struct in its
//! edge), nothing here reads a clock, and nothing here knows where bytes lie beyond their storage key.

mod accounts;
mod blobs;
mod catalog;
mod collection;
mod connection;
mod copies;
mod damage;
mod devices;
mod downloads;
mod error;
mod facts;
mod findings;
mod glance;
mod jobs;
mod links;
mod manifests;
mod namespaces_seen;
mod organizations;
mod package_access;
mod package_records;
mod packages;
mod parts;
#[cfg(test)]
mod plans;
mod postgres;
mod referrers;
mod repositories;
mod retention;
mod reviews;
mod robots;
mod rules;
mod schema;
mod scrub;
mod scrub_manifests;
mod scrub_store;
mod scrub_usage;
mod settings;
mod sql;
mod sqlite;
mod stepped;
mod storage;
mod tags;
mod teams;
#[cfg(test)]
#[allow(dead_code, reason = "the other half is for the suite")]
#[path = "../tests/suite/database.rs"]
mod test_database;
mod tokens;
mod transaction;
mod trash;
mod uploads;
mod usage;
mod versions;
mod walks;
mod warm;
mod window;

pub use accounts::{Account, AccountKind, Member};
pub use blobs::ReadableBlob;
pub use catalog::{Catalog, Options, Place};
pub use collection::{Judgement, Removed};
pub use connection::Work;
pub use copies::{DumpReader, Dumped, DumpedBlobs, LoadInto, Loaded, Restoring, StoreCopy, Vacant};
pub use damage::{BlobDamage, DamageTotal, ScrubbedBlob};
pub use devices::{Approved, Device, DeviceAsked, DeviceState, NewDevice};
pub use downloads::Download;
pub use error::{CatalogError, chain};
pub use facts::Presented;
pub use findings::{Done, Finding};
pub use glance::{Ask, Asked};
pub use manifests::{ManifestRow, NewManifest, Pushed};
pub use organizations::{Membership, OrganizationPolicy, Profile};
pub use package_access::{About, Link};
pub use package_records::PackageRecord;
pub use packages::{AccessRow, Package};
pub use referrers::Referrer;
pub use repositories::{
    Affiliation, Affiliations, Collaborator, Repository, RepositoryOwner, RepositoryRecord,
};
pub use retention::{DuePolicy, NewRetention, PruneRow, RetentionRecord};
pub use reviews::{Claimed, Kind as ReviewKind, Waiting};
pub use robots::Robot;
pub use rules::{NewTagRule, TagRuleRecord};
pub use scrub::{Inconsistent, SCRUB_ROWS_MAX, ScrubTable};
pub use scrub_manifests::{DamagedManifest, ManifestDamage};
pub use scrub_store::{ScrubTotal, ScrubbedUpload};
pub use stepped::{Door, Ending, Step, Stepped};
pub use storage::Room;
pub use tags::{Pulls, TagRow};
pub use teams::{Team, TeamAbove, TeamMember, TeamRecord};
pub use tokens::{LimitRow, NewToken, SigningKey, Token, TokenHolder, TokenKind, Used};
pub use transaction::{ReadTx, WriteTx};
pub use trash::{TrashTotal, TrashedKey};
pub use uploads::{BegunUpload, Finished, Leased, Placed, Upload};
pub use usage::{AccountUsage, Plan, Transfer, TransferRoom};
pub use versions::{Listed, Place as VersionsPlace, Version};
pub use walks::StoreWalk;
pub use window::Window;

/// Microseconds since 1970 in UTC. Every time in the catalog is one; who calls brings it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub i64);

impl Micros {
    /// This time and some seconds more.
    #[must_use]
    pub fn plus_seconds(self, seconds: u64) -> Micros {
        let micros = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        Micros(self.0.saturating_add(micros))
    }

    /// This time and some seconds less.
    #[must_use]
    pub fn minus_seconds(self, seconds: u64) -> Micros {
        let micros = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        Micros(self.0.saturating_sub(micros))
    }
}
