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

/// All of them. Those named `…-again` are another start of the same, beside which the first one shows the noise.
pub(crate) const TARGETS: &[Listed] = &[
    Listed {
        name: "packhouse",
        program: "packhouse",
        kind: Kind::Packhouse,
        file: "packhouse.toml",
        template: template!("packhouse.toml"),
        arguments: &["serve", "--config", "{folder}/packhouse.toml"],
        environment: &[],
        durability: "acknowledged bytes, folders and rows are synced (docs/durability.md)",
        authentication: "bearer tokens, rights checked on every request",
    },
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
];

/// The target of this name.
pub(crate) fn listed(name: &str) -> Option<&'static Listed> {
    TARGETS.iter().find(|target| target.name == name)
}
