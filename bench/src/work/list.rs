//! The list of work: what the project's goals are about first, then the rest of B1 to B20.

use super::growth::Growth;
use super::memory::Memory;
use super::pulls::Pull;
use super::pushes::{Push, Sizes};
use super::reads::{Body, Get, What, Who};
use super::skopeo::Direction;
use super::{MACHINE, Unit, Work, Workload};
use crate::targets::{LARGE, SMALL as SMALL_HOUSE, SMALL_AGAIN};
use crate::wire::How;

const KB: usize = 1_000;
const MB: usize = 1_000_000;
/// As docker's chunks were.
const CHUNK: usize = 5 * 1024 * 1024;
/// Above any number of rounds that somebody asks for.
const EVERY_ROUND: u32 = u32::MAX;

const REGISTRIES: &[&str] = &["packhouse", "distribution", "docker-registry"];
const SMALL: &[&str] = &["packhouse", "distribution", "docker-registry", "nginx"];
const SMALL_TWICE: &[&str] = &["packhouse", "distribution", "docker-registry", "nginx", "nginx-again"];
const BLOBS: &[&str] = &["packhouse", "distribution", "docker-registry", "nginx-sendfile"];
const BLOBS_TWICE: &[&str] =
    &["packhouse", "distribution", "docker-registry", "nginx", "nginx-sendfile", "nginx-sendfile-again"];
const GROWN: &[&str] = &[SMALL_HOUSE, SMALL_AGAIN, LARGE];
const OVER_TLS: &[&str] = &["packhouse", "distribution", "nginx-tls"];

/// What of B1 to B20 is not here, and why.
pub(crate) const LEFT_OUT: &[(&str, &str)] = &[
    (
        "B8 and B9 with 10,000 entries",
        "`--entries 10000` does it; putting them into three registries takes minutes",
    ),
    (
        "B3 with 1 GiB",
        "the blob of 512 MB stands for it: the page cache of a small machine holds all targets' copies",
    ),
    (
        "B12",
        "collection under load is a test that counts wrongly removed blobs, not a figure (tests/tests/gc)",
    ),
    ("B14", "Packhouse does not pull through"),
    ("B5 to B7 with 100 MB", "4 clients in place of zb's 10: a run would write a gigabyte"),
    ("B17", "200 MB in 20 layers in place of 1 GB"),
    ("zb's clean-up and its source addresses", "they are not what is measured"),
];

const fn get(what: What, connections: usize) -> Work {
    Work::Get(Get { what, method: "GET", who: Who::Owner, connections, tls: false, body: Body::Read })
}

/// Of blobs over plain TCP, with bodies that the generator drops.
const fn blob(what: What, connections: usize) -> Work {
    Work::Get(Get { what, method: "GET", who: Who::Owner, connections, tls: false, body: Body::Dropped })
}

const fn head(what: What, connections: usize) -> Work {
    Work::Get(Get { what, method: "HEAD", who: Who::Owner, connections, tls: false, body: Body::Read })
}

const fn anonymous(what: What, connections: usize) -> Work {
    Work::Get(Get { what, method: "GET", who: Who::Nobody, connections, tls: false, body: Body::Read })
}

const fn over_tls(what: What, connections: usize) -> Work {
    Work::Get(Get { what, method: "GET", who: Who::Owner, connections, tls: true, body: Body::Read })
}

const fn push(sizes: Sizes, how: How, clients: usize) -> Work {
    Work::Push(Push { sizes, how, clients, one_package: false })
}

const fn pull(sizes: &'static [(u64, usize)], connections: usize, pushes_percent: u64) -> Work {
    Work::Pull(Pull { sizes, connections, pushes_percent })
}

const fn row(id: &'static str, groups: &'static [&'static str], title: &'static str, work: Work) -> Workload {
    let unit = Unit::RequestsPerSecond;
    Workload { id, groups, title, unit, targets: REGISTRIES, limit: None, rounds_max: EVERY_ROUND, work }
}

impl Workload {
    const fn unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    const fn beside(mut self, targets: &'static [&'static str], limit: &'static str) -> Self {
        self.targets = targets;
        self.limit = Some(limit);
        self
    }

    const fn rounds(mut self, rounds: u32) -> Self {
        self.rounds_max = rounds;
        self
    }

    const fn only(mut self, targets: &'static [&'static str]) -> Self {
        self.targets = targets;
        self
    }
}

/// All works, in the order in which they run.
pub(crate) fn list() -> Vec<Workload> {
    [reads(), lists(), pushes(), pulls(), rest(), growth()].concat()
}

fn reads() -> Vec<Workload> {
    use Unit::MegabytesPerSecond as Rate;
    use What::{Base, Blob, ManifestByDigest as ByDigest, ManifestByTag as ByTag, Range};
    let nginx = |row: Workload| row.beside(SMALL, "nginx");
    let files = |row: Workload| row.unit(Rate).beside(BLOBS, "nginx-sendfile");
    vec![
        row(
            "manifest-get-tag",
            &["B2", "B15", "goals"],
            "GET manifest by tag, bearer token, 32 connections",
            get(ByTag, 32),
        )
        .beside(SMALL_TWICE, "nginx"),
        nginx(row(
            "manifest-get-digest",
            &["B2", "B15", "goals"],
            "GET manifest by digest, bearer token, 32 connections",
            get(ByDigest, 32),
        )),
        nginx(row(
            "manifest-head-tag",
            &["B2", "B15", "goals"],
            "HEAD manifest by tag, bearer token, 32 connections",
            head(ByTag, 32),
        )),
        nginx(row(
            "manifest-head-digest",
            &["B2", "B15", "goals"],
            "HEAD manifest by digest, bearer token, 32 connections",
            head(ByDigest, 32),
        )),
        row("blob-512mb-1", &["B3", "goals"], "GET blob 512 MB, 1 connection", blob(Blob(512 * MB), 1))
            .unit(Rate)
            .beside(BLOBS_TWICE, "nginx-sendfile"),
        files(row(
            "blob-512mb-8",
            &["B3", "goals"],
            "GET blob 512 MB, 8 connections",
            blob(Blob(512 * MB), 8),
        )),
        files(row(
            "blob-512mb-read-1",
            &["B3", "goals"],
            "GET blob 512 MB, 1 connection, read by the generator",
            get(Blob(512 * MB), 1),
        )),
        files(row(
            "blob-512mb-read-8",
            &["B3", "goals"],
            "GET blob 512 MB, 8 connections, read by the generator",
            get(Blob(512 * MB), 8),
        )),
        files(row(
            "range-64kib",
            &["B4", "goals"],
            "GET 64 KiB at random places of 512 MB, 16 connections",
            blob(Range { blob: 512 * MB, bytes: 65_536 }, 16),
        ))
        .unit(Unit::RequestsPerSecond),
        row("token", &["B15", "goals"], "token endpoint, 16 connections", get(What::Token, 16))
            .only(&["packhouse"]),
        nginx(row("version", &["B1"], "version check, 16 connections", get(Base, 16))),
        nginx(row(
            "anonymous-tag-1",
            &["B2"],
            "GET manifest by tag, anonymous, 1 connection",
            anonymous(ByTag, 1),
        )),
        nginx(row(
            "anonymous-tag-16",
            &["B2"],
            "GET manifest by tag, anonymous, 16 connections",
            anonymous(ByTag, 16),
        )),
        nginx(row(
            "anonymous-tag-64",
            &["B2"],
            "GET manifest by tag, anonymous, 64 connections",
            anonymous(ByTag, 64),
        )),
        nginx(row(
            "anonymous-tag-256",
            &["B2"],
            "GET manifest by tag, anonymous, 256 connections",
            anonymous(ByTag, 256),
        )),
        nginx(row("blob-1kb", &["B3"], "GET blob 1 kB, 32 connections", get(Blob(KB), 32))),
        files(row("blob-1mb", &["B3"], "GET blob 1 MB, 16 connections", blob(Blob(MB), 16))),
        files(row("blob-10mb", &["B3"], "GET blob 10 MB, 8 connections", blob(Blob(10 * MB), 8))),
        files(row("blob-100mb", &["B3"], "GET blob 100 MB, 4 connections", blob(Blob(100 * MB), 4))),
        row(
            "blob-512mb-tls-1",
            &["B16", "goals"],
            "GET blob 512 MB over TLS, 1 connection",
            over_tls(Blob(512 * MB), 1),
        )
        .unit(Rate)
        .beside(OVER_TLS, "nginx-tls"),
        row(
            "blob-512mb-tls-8",
            &["B16", "goals"],
            "GET blob 512 MB over TLS, 8 connections",
            over_tls(Blob(512 * MB), 8),
        )
        .unit(Rate)
        .beside(OVER_TLS, "nginx-tls"),
        row("manifest-tls", &["B16"], "GET manifest by tag over TLS, 32 connections", over_tls(ByTag, 32))
            .beside(OVER_TLS, "nginx-tls"),
    ]
}

fn lists() -> Vec<Workload> {
    vec![
        row("tags", &["B8"], "page of 100 tags, 8 connections", get(What::Tags, 8)),
        row("catalog", &["B9"], "Get Catalog: page of 100 packages, 8 connections", get(What::Catalog, 8)),
        row("referrers", &["B10"], "referrers of one manifest, 8 connections", get(What::Referrers, 8))
            .only(&["packhouse"]),
    ]
}

fn pushes() -> Vec<Workload> {
    let images = |row: Workload| row.unit(Unit::ImagesPerSecond);
    let rate = |row: Workload| row.unit(Unit::MegabytesPerSecond);
    const THREE: Sizes = Sizes::Layers(&[KB, 10 * KB, 20 * KB]);
    const ONE: Sizes = Sizes::Layers(&[MB]);
    const TEN: Sizes = Sizes::Layers(&[10 * MB]);
    const HUNDRED: Sizes = Sizes::Layers(&[100 * MB]);
    const MIXED: Sizes = Sizes::One(&[(20, MB), (70, 10 * MB), (10, 100 * MB)]);
    const THIRDS: Sizes = Sizes::One(&[(34, MB), (33, 10 * MB), (33, 100 * MB)]);
    vec![
        rate(row(
            "put-512mb",
            &["B20", "goals"],
            "PUT blob 512 MB, 1 connection",
            Work::PutBlob { bytes: 512 * MB },
        ))
        .beside(&["packhouse", "distribution", "docker-registry", MACHINE], MACHINE),
        images(row(
            "image-small",
            &["B5", "B20", "goals"],
            "push image of 3 small layers, 16 clients",
            push(THREE, How::Monolith, 16),
        )),
        images(row(
            "push-monolith-1mb",
            &["B5", "B20"],
            "Push Monolith 1MB, 10 clients",
            push(ONE, How::Monolith, 10),
        )),
        rate(row(
            "push-monolith-10mb",
            &["B5", "B20"],
            "Push Monolith 10MB, 10 clients",
            push(TEN, How::Monolith, 10),
        )),
        rate(row(
            "push-monolith-100mb",
            &["B5", "B20"],
            "Push Monolith 100MB, 4 clients",
            push(HUNDRED, How::Monolith, 4),
        )),
        images(row(
            "push-streamed-1mb",
            &["B6"],
            "Push Chunk Streamed 1MB, 10 clients",
            push(ONE, How::Streamed, 10),
        )),
        rate(row(
            "push-streamed-10mb",
            &["B6"],
            "Push Chunk Streamed 10MB, 10 clients",
            push(TEN, How::Streamed, 10),
        )),
        rate(row(
            "push-streamed-100mb",
            &["B6"],
            "Push Chunk Streamed 100MB, 4 clients",
            push(HUNDRED, How::Streamed, 4),
        )),
        rate(row(
            "push-chunked-100mb",
            &["B6"],
            "push 100 MB in chunks of 5 MiB, 4 clients",
            push(HUNDRED, How::Chunked(CHUNK), 4),
        ))
        .rounds(3),
        rate(row(
            "push-monolith-mixed",
            &["B5"],
            "Push Monolith Mixed 20% 1MB, 70% 10MB, 10% 100MB, 4 clients",
            push(MIXED, How::Monolith, 4),
        ))
        .rounds(3),
        rate(row(
            "push-chunk-mixed",
            &["B6"],
            "Push Chunk Mixed 33% 1MB, 33% 10MB, 33% 100MB, 4 clients",
            push(THIRDS, How::Streamed, 4),
        ))
        .rounds(3),
        images(row(
            "push-100-clients",
            &["B11"],
            "push image of 3 small layers to one package, 100 clients",
            Work::Push(Push { sizes: THREE, how: How::Monolith, clients: 100, one_package: true }),
        )),
    ]
}

fn pulls() -> Vec<Workload> {
    let images = |row: Workload| row.unit(Unit::ImagesPerSecond);
    let rate = |row: Workload| row.unit(Unit::MegabytesPerSecond);
    vec![
        images(row("pull-1mb", &["B3"], "Pull 1MB, 10 clients", pull(&[(100, MB)], 10, 0))),
        rate(row("pull-10mb", &["B3"], "Pull 10MB, 10 clients", pull(&[(100, 10 * MB)], 10, 0))),
        rate(row("pull-100mb", &["B3"], "Pull 100MB, 4 clients", pull(&[(100, 100 * MB)], 4, 0))),
        rate(row(
            "pull-mixed",
            &["B3"],
            "Pull Mixed 20% 1MB, 70% 10MB, 10% 100MB, 10 clients",
            pull(&[(20, MB), (70, 10 * MB), (10, 100 * MB)], 10, 0),
        )),
        images(row(
            "mixed-1mb",
            &["B7"],
            "Pull 75% and Push 25% Mixed 1MB, 10 clients",
            pull(&[(100, MB)], 10, 25),
        )),
        rate(row(
            "mixed-10mb",
            &["B7"],
            "Pull 75% and Push 25% Mixed 10MB, 10 clients",
            pull(&[(100, 10 * MB)], 10, 25),
        )),
        rate(row(
            "mixed-100mb",
            &["B7"],
            "Pull 75% and Push 25% Mixed 100MB, 4 clients",
            pull(&[(100, 100 * MB)], 4, 25),
        ))
        .rounds(3),
    ]
}

fn rest() -> Vec<Workload> {
    let memory = |id, title, memory| {
        row(id, &["B19", "goals"], title, Work::Memory(memory)).unit(Unit::ResidentMegabytes).rounds(3)
    };
    vec![
        row("skopeo-push", &["B17"], "skopeo pushes 200 MB in 20 layers", Work::Skopeo(Direction::Push))
            .unit(Unit::Milliseconds)
            .rounds(3),
        row("skopeo-pull", &["B17"], "skopeo pulls 200 MB in 20 layers", Work::Skopeo(Direction::Pull))
            .unit(Unit::Milliseconds)
            .rounds(3),
        row("disk", &["B18"], "50 images that share 9 of 10 layers of 1 MB", Work::Disk)
            .unit(Unit::DiskMegabytes)
            .rounds(1),
        memory("memory-idle", "memory, idle", Memory::Idle),
        memory("memory-downloads", "memory under 256 downloads of 100 MB", Memory::Downloads(256)),
        memory("memory-uploads", "memory under 256 uploads of 100 MB", Memory::Uploads(256)),
        memory(
            "memory-slow",
            "memory under 1,000 slow downloads; p50 and p99 of manifests beside",
            Memory::Slow(1_000),
        ),
        row("start", &["B13", "goals"], "start to first answer, empty", Work::Start).unit(Unit::Milliseconds),
    ]
}

fn growth() -> Vec<Workload> {
    let grown = |id, title, growth| {
        row(id, &["growth"], title, Work::Growth(growth)).unit(Unit::Milliseconds).beside(GROWN, SMALL_HOUSE)
    };
    vec![
        row("growth-start", &["B13", "growth"], "start to first answer", Work::Growth(Growth::Start))
            .unit(Unit::Milliseconds)
            .beside(GROWN, SMALL_HOUSE),
        row("growth-idle", &["B19", "growth"], "memory, idle", Work::Growth(Growth::Idle))
            .unit(Unit::ResidentMegabytes)
            .beside(GROWN, SMALL_HOUSE)
            .rounds(3),
        grown("growth-tag", "GET manifest by tag, of 500 packages, 4 connections", Growth::Tag),
        grown("growth-tag-any", "GET manifest by tag, of all packages, 4 connections", Growth::AnyTag),
        grown("growth-catalog", "page of 100 of the catalog, anywhere, 4 connections", Growth::Catalog),
        grown("growth-tags", "page of 100 tags, anywhere, 4 connections", Growth::Tags),
        grown("growth-packages", "API: first 100 packages, 4 connections", Growth::Packages),
        grown("growth-versions", "API: first 100 versions, 4 connections", Growth::Versions),
        grown("growth-push", "push image of 1 layer of 1 kB, 8 clients", Growth::Push),
        grown("growth-push-new", "push it to a new package, 8 clients", Growth::PushNew),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::listed;

    #[test]
    fn each_work_has_a_name_of_its_own_and_targets_that_exist() {
        let list = list();
        for (place, work) in list.iter().enumerate() {
            assert!(list[..place].iter().all(|before| before.id != work.id), "{} is there twice", work.id);
            for target in work.targets.iter().chain(&work.limit) {
                assert!(*target == MACHINE || listed(target).is_some(), "{} names {target}", work.id);
            }
            assert!(
                work.limit.is_none_or(|limit| work.targets.contains(&limit)),
                "{} runs its limit",
                work.id
            );
        }
    }
}
