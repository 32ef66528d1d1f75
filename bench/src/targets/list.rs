//! The targets that the command starts by itself.

/// A target: its program, its configuration, and what is to be said beside its figures.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) name: &'static str,
    /// The program, as on `PATH` and in `PACKHOUSE_TEST_<NAME>`.
    pub(crate) program: &'static str,
    pub(crate) kind: Kind,
    /// The name of the configuration in the target's folder, which is also the one in `bench/targets`.
    pub(crate) file: &'static str,
    pub(crate) template: &'static str,
    pub(crate) arguments: &'static [&'static str],
    pub(crate) environment: &'static [(&'static str, &'static str)],
    /// Whether what it acknowledges is on disk.
    pub(crate) durability: &'static str,
    pub(crate) authentication: &'static str,
}

/// What may be asked of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The registry that this is about.
    Packhouse,
    /// Another registry.
    Peer,
    /// Files by HTTP.
    Limit,
}

const NO_AUTHENTICATION: &str = "none";
const BEARER: &str = "bearer tokens, rights checked on every request";
/// So that one client may ask for any package.
const PERSONAL: &str = "the owner's personal token, rights checked on every request";
const NO_PUSHES: &str = "takes no pushes";
const REGISTRY_SERVE: &[&str] = &["serve", "{folder}/config.yml"];
const NGINX: &[&str] = &["-p", "{folder}", "-e", "{folder}/error.log", "-c", "{folder}/nginx.conf"];

macro_rules! template {
    ($file:literal) => {
        include_str!(concat!("../../targets/", $file))
    };
}

const fn nginx(name: &'static str, template: &'static str) -> Listed {
    Listed {
        name,
        program: "nginx",
        kind: Kind::Limit,
        file: "nginx.conf",
        template,
        arguments: NGINX,
        environment: &[],
        durability: NO_PUSHES,
        authentication: NO_AUTHENTICATION,
    }
}

const fn packhouse(
    name: &'static str,
    authentication: &'static str,
    environment: &'static [(&'static str, &'static str)],
) -> Listed {
    Listed {
        name,
        program: "packhouse",
        kind: Kind::Packhouse,
        file: "packhouse.toml",
        template: template!("packhouse.toml"),
        arguments: &["serve", "--config", "{folder}/packhouse.toml"],
        environment,
        durability: "acknowledged bytes, folders and rows are synced (docs/durability.md)",
        authentication,
    }
}

/// The Packhouse with few packages, beside which those with many stand.
pub(crate) const SMALL: &str = "packhouse-small";
/// Another one that holds as much.
pub(crate) const SMALL_AGAIN: &str = "packhouse-small-again";
/// The one with many packages.
pub(crate) const LARGE: &str = "packhouse-large";

/// GitHub's limits of its API allow a second of what is measured here, and are no part of it.
const WITHOUT_API_LIMITS: &[(&str, &str)] =
    &[("PACKHOUSE_RATE_API_TOKEN_HOUR", "0"), ("PACKHOUSE_RATE_API_POINTS_MINUTE", "0")];

/// All of them. Those named `…-again` are another start of the same, beside which the first one shows the noise.
pub(crate) const TARGETS: &[Listed] = &[
    packhouse("packhouse", BEARER, &[]),
    Listed {
        name: "distribution",
        program: "distribution",
        kind: Kind::Peer,
        file: "config.yml",
        template: template!("distribution.yml"),
        arguments: REGISTRY_SERVE,
        environment: &[("OTEL_TRACES_EXPORTER", "none")],
        durability: "syncs files, and the folders of small ones; not the one that a blob is moved to",
        authentication: NO_AUTHENTICATION,
    },
    Listed {
        name: "docker-registry",
        program: "docker-registry",
        kind: Kind::Peer,
        file: "config.yml",
        template: template!("docker-registry.yml"),
        arguments: REGISTRY_SERVE,
        environment: &[],
        durability: "syncs files; not the folders that name them",
        authentication: NO_AUTHENTICATION,
    },
    nginx("nginx", template!("nginx.conf")),
    nginx("nginx-again", template!("nginx.conf")),
    nginx("nginx-sendfile", template!("nginx-sendfile.conf")),
    nginx("nginx-sendfile-again", template!("nginx-sendfile.conf")),
    nginx("nginx-tls", template!("nginx-tls.conf")),
    packhouse(SMALL, PERSONAL, WITHOUT_API_LIMITS),
    packhouse(SMALL_AGAIN, PERSONAL, WITHOUT_API_LIMITS),
    packhouse(LARGE, PERSONAL, WITHOUT_API_LIMITS),
];

/// The target of this name.
pub(crate) fn listed(name: &str) -> Option<&'static Listed> {
    TARGETS.iter().find(|target| target.name == name)
}
