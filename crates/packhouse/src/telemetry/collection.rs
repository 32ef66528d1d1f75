//! What the collector does, as metrics.

use packhouse_service::{GcStatus, ReviewKind, Swept};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct What {
    kind: &'static str,
}

/// Counters and gauges of the collector. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Collection {
    collected: Family<What, Counter>,
    reclaimed: Counter,
    files: Counter,
    waiting: Family<What, Gauge>,
    due: Family<What, Gauge>,
    reclaimable: Gauge,
    held: Gauge,
    quarantined: Family<What, Gauge>,
}

impl Collection {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "gc_collected",
            "Things that this process removed from the catalog, by kind",
            self.collected.clone(),
        );
        registry.register(
            "gc_reclaimed_bytes",
            "Bytes that this process removed from the store",
            self.reclaimed.clone(),
        );
        registry.register(
            "gc_removed_files",
            "Files or objects that this process removed from the store",
            self.files.clone(),
        );
        registry.register("gc_reviews", "Things that wait to be looked at, by kind", self.waiting.clone());
        registry.register("gc_reviews_due", "Those of them whose time has come", self.due.clone());
        registry.register(
            "gc_reclaimable_bytes",
            "Bytes in the trash, which are removed when their grace is over",
            self.reclaimable.clone(),
        );
        registry.register(
            "gc_held_keys",
            "Storage keys in the trash that backups or snapshots hold",
            self.held.clone(),
        );
        registry.register(
            "quarantined",
            "Blobs and manifests that are damaged, and answer as if they were not there until they are pushed again",
            self.quarantined.clone(),
        );
    }

    /// A round is over.
    pub fn note(&self, swept: &Swept) {
        for (&kind, &count) in &swept.collected.things {
            self.collected.get_or_create(&What { kind }).inc_by(count);
        }
        self.reclaimed.inc_by(swept.bytes);
        self.files.inc_by(swept.files);
    }

    /// How things stand.
    pub fn show(&self, status: &GcStatus) {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        for kind in ReviewKind::ALL {
            let what = What { kind: kind.name() };
            let found = status.waiting.iter().find(|waiting| waiting.kind == kind);
            self.waiting.get_or_create(&what).set(found.map_or(0, |waiting| number(waiting.count)));
            self.due.get_or_create(&what).set(found.map_or(0, |waiting| number(waiting.due)));
        }
        self.reclaimable.set(number(status.trash.bytes));
        self.held.set(number(status.trash.held));
        self.quarantined.get_or_create(&What { kind: "blob" }).set(number(status.damaged.blobs));
        self.quarantined.get_or_create(&What { kind: "manifest" }).set(number(status.damaged.manifests));
    }
}
