//! The one table of keys: flags, environment names, help, `config check` and docs/configuration.md come from it.

/// A setting: its name in the file, and all that is said about it anywhere.
#[derive(Debug)]
pub struct Key {
    /// Name in the TOML file; `tls.certificate` is `certificate` in the table `[tls]`.
    pub name: &'static str,
    /// Its section in `--help` and in the documentation.
    pub section: Section,
    /// What to write for the value in `--help`, as in `--listen ADDR:PORT`.
    pub placeholder: &'static str,
    /// What is allowed, in words; errors end with it.
    pub allowed: &'static str,
    /// The value when nobody gives one, or in words what happens then.
    pub default: Fallback,
    /// One or two sentences for people.
    pub about: &'static str,
    /// A secret is never a flag (other users of the machine can read command lines) and never printed.
    pub secret: bool,
}

/// What holds when a key is given nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// This value.
    Value(&'static str),
    /// No value; the words say what that means.
    Absent(&'static str),
}

/// Groups of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Where it listens, where its data lies.
    Basics,
    /// A bucket for the blobs.
    Bucket,
    /// Reverse proxies and TLS.
    Network,
    /// The administrator of the first start.
    Administrator,
    /// What clients may send.
    Content,
    /// Time-outs and bounds of connections.
    Limits,
    /// How often somebody may ask.
    Rates,
    /// Logs and metrics.
    Telemetry,
}

impl Section {
    /// The heading in `--help` and in the documentation.
    #[must_use]
    pub fn heading(self) -> &'static str {
        match self {
            Self::Basics => "Basics",
            Self::Bucket => "Blobs in a bucket (S3)",
            Self::Network => "Proxies and TLS",
            Self::Administrator => "First administrator",
            Self::Content => "Content",
            Self::Limits => "Limits and time-outs",
            Self::Rates => "Rate limits",
            Self::Telemetry => "Logs and metrics",
        }
    }
}

impl Key {
    /// `PACKHOUSE_…`: the name in upper case, with `_` for the dot.
    #[must_use]
    pub fn environment(&self) -> String {
        format!("PACKHOUSE_{}", self.name.replace('.', "_").to_ascii_uppercase())
    }

    /// The long flag without its dashes; none for secrets.
    #[must_use]
    pub fn flag(&self) -> Option<String> {
        (!self.secret).then(|| self.name.replace(['.', '_'], "-"))
    }

    /// The key of that name in the file.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }
}

/// Every key there is.
pub static KEYS: &[Key] = &[
    Key {
        name: "listen",
        section: Section::Basics,
        placeholder: "ADDR:PORT",
        allowed: "an IP address and a port, such as `0.0.0.0:5000` or `[::]:5000`; port 0 picks a free one",
        default: Fallback::Value("127.0.0.1:5000"),
        about: "Address to listen on.",
        secret: false,
    },
    Key {
        name: "data",
        section: Section::Basics,
        placeholder: "DIR",
        allowed: "a folder",
        default: Fallback::Value("./packhouse-data"),
        about: "Folder for the catalog, the blobs, the lock and the operator's socket; made when it is not there, \
                for its owner only.",
        secret: false,
    },
    Key {
        name: "external_url",
        section: Section::Basics,
        placeholder: "URL",
        allowed: "`http://` or `https://`, a host and maybe a port, no path, such as `https://packages.example.org`",
        default: Fallback::Absent("taken from each request"),
        about: "The address clients use. Without it the request's own Host is taken, and the forwarded headers \
                when they come from `trusted_proxies`.",
        secret: false,
    },
    Key {
        name: "database_url",
        section: Section::Basics,
        placeholder: "URL",
        allowed: "`postgres://user:password@host/database`",
        default: Fallback::Absent("SQLite in the data folder"),
        about: "PostgreSQL for the catalog.",
        secret: true,
    },
    Key {
        name: "s3.bucket",
        section: Section::Bucket,
        placeholder: "NAME",
        allowed: "3 to 63 lower-case letters, digits, `.` and `-`",
        default: Fallback::Absent("files in the data folder"),
        about: "Bucket for the blobs, in place of files. With PostgreSQL, several nodes may then use the same two.",
        secret: false,
    },
    Key {
        name: "s3.endpoint",
        section: Section::Bucket,
        placeholder: "URL",
        allowed: "`http://` or `https://`, a host and maybe a port, no path",
        default: Fallback::Absent("AWS"),
        about: "Address of the engine: Garage, MinIO, Ceph, R2 or another one that speaks S3.",
        secret: false,
    },
    Key {
        name: "s3.region",
        section: Section::Bucket,
        placeholder: "NAME",
        allowed: "letters, digits, `-` and `_`",
        default: Fallback::Value("us-east-1"),
        about: "Region of the bucket; what the engine's own settings say (R2: `auto`).",
        secret: false,
    },
    Key {
        name: "s3.prefix",
        section: Section::Bucket,
        placeholder: "PATH",
        allowed: "letters, digits, `.`, `_`, `-`, with `/` between parts",
        default: Fallback::Value(""),
        about: "What the names of all objects begin with, for a bucket that holds other things too.",
        secret: false,
    },
    Key {
        name: "s3.access_key",
        section: Section::Bucket,
        placeholder: "KEY",
        allowed: "printable ASCII, given together with `s3.secret_key`",
        default: Fallback::Absent(
            "found as AWS's programs do: `AWS_…` variables, web identity, the machine's role",
        ),
        about: "Name of the access key.",
        secret: false,
    },
    Key {
        name: "s3.secret_key",
        section: Section::Bucket,
        placeholder: "KEY",
        allowed: "printable ASCII, given together with `s3.access_key`",
        default: Fallback::Absent("as for `s3.access_key`"),
        about: "Secret of the access key.",
        secret: true,
    },
    Key {
        name: "s3.path_style",
        section: Section::Bucket,
        placeholder: "on|off",
        allowed: "`on` or `off`",
        default: Fallback::Value("on"),
        about: "Whether the bucket's name stands in the path (`host/bucket`) or in the host (`bucket.host`).",
        secret: false,
    },
    Key {
        name: "s3.redirect",
        section: Section::Bucket,
        placeholder: "on|off",
        allowed: "`on` or `off`",
        default: Fallback::Value("off"),
        about: "Whether blobs are pulled from the bucket itself, by a signed address that the client is sent to. Only \
                where all clients reach `s3.endpoint` by that name: some refuse to be sent to a private address.",
        secret: false,
    },
    Key {
        name: "s3.redirect_seconds",
        section: Section::Bucket,
        placeholder: "SECONDS",
        allowed: "a number of seconds from 60 to 604800 (a week)",
        default: Fallback::Value("1200"),
        about: "How long such an address works.",
        secret: false,
    },
    Key {
        name: "s3.part_bytes",
        section: Section::Bucket,
        placeholder: "BYTES",
        allowed: "a number of bytes from 5242880 (5 MiB) to 536870912 (512 MiB)",
        default: Fallback::Value("8388608"),
        about: "Bytes of one part of an upload. A running upload holds two parts in memory. It grows by itself when \
                `layer_bytes_max` asks for it.",
        secret: false,
    },
    Key {
        name: "s3.lease_seconds",
        section: Section::Bucket,
        placeholder: "SECONDS",
        allowed: "a number of seconds from 3 to 3600",
        default: Fallback::Value("30"),
        about: "How long after a node died in the middle of an upload another one may go on with it.",
        secret: false,
    },
    Key {
        name: "trusted_proxies",
        section: Section::Network,
        placeholder: "CIDR,…",
        allowed: "networks or addresses, such as `10.0.0.0/8` or `192.0.2.7`, at most 64; a list in the file, \
                  separated by commas elsewhere",
        default: Fallback::Value(""),
        about: "Reverse proxies whose `Forwarded`, `X-Forwarded-*` and `X-Request-Id` headers are believed. From \
                anybody else they are ignored.",
        secret: false,
    },
    Key {
        name: "tls.certificate",
        section: Section::Network,
        placeholder: "FILE",
        allowed: "a PEM file with the certificate chain, given together with `tls.key`",
        default: Fallback::Absent("plain HTTP"),
        about: "Certificate chain. Read again when the file changes.",
        secret: false,
    },
    Key {
        name: "tls.key",
        section: Section::Network,
        placeholder: "FILE",
        allowed: "a PEM file with the private key, given together with `tls.certificate`",
        default: Fallback::Absent("plain HTTP"),
        about: "Private key of the certificate.",
        secret: false,
    },
    Key {
        name: "admin",
        section: Section::Administrator,
        placeholder: "NAME",
        allowed: "1 to 64 lower-case letters and digits, with single `.`, `_` or `-` between them",
        default: Fallback::Value("admin"),
        about: "Name of the site administrator made by the first start.",
        secret: false,
    },
    Key {
        name: "admin_token",
        section: Section::Administrator,
        placeholder: "TOKEN",
        allowed: "32 to 255 printable ASCII characters without blanks; not together with `admin_token_file`",
        default: Fallback::Absent("the first start makes one and prints it once"),
        about: "The administrator's token, for unattended starts. Another one on a later start replaces it.",
        secret: true,
    },
    Key {
        name: "admin_token_file",
        section: Section::Administrator,
        placeholder: "FILE",
        allowed: "a file with the token in it (32 to 255 printable ASCII characters; one line end is dropped)",
        default: Fallback::Absent("no file"),
        about: "File to read `admin_token` from, such as a mounted secret.",
        secret: false,
    },
    Key {
        name: "sparse_manifests",
        section: Section::Content,
        placeholder: "allow|refuse",
        allowed: "`allow` or `refuse`",
        default: Fallback::Value("refuse"),
        about: "Whether a manifest may name a config or layers that were never pushed. `allow` is for mirrors.",
        secret: false,
    },
    Key {
        name: "known_forges",
        section: Section::Content,
        placeholder: "HOST,…",
        allowed: "host names, with a port or without, at most 64; a list in the file, separated by commas elsewhere",
        default: Fallback::Value("github.com"),
        about: "Forges whose repositories count when an image's label `org.opencontainers.image.source` names one: \
                the package is then linked to the repository of the same owner and name here. This server's own \
                host always counts.",
        secret: false,
    },
    Key {
        name: "create_repositories",
        section: Section::Content,
        placeholder: "never|own|members",
        allowed: "`never`, `own` or `members`",
        default: Fallback::Value("own"),
        about: "Whether a label makes the record of a repository that it mentions first: never, in one's own \
                namespace and in organizations one owns, or for members of organizations that let them make \
                repositories too.",
        secret: false,
    },
    Key {
        name: "layer_bytes_max",
        section: Section::Content,
        placeholder: "BYTES",
        allowed: "a number of bytes from 1 to 1000000000000000",
        default: Fallback::Value("10000000000"),
        about: "Largest layer.",
        secret: false,
    },
    Key {
        name: "manifest_bytes_max",
        section: Section::Content,
        placeholder: "BYTES",
        allowed: "a number of bytes from 4194304 (4 MiB) to 67108864 (64 MiB)",
        default: Fallback::Value("8388608"),
        about: "Largest manifest. The distribution specification asks for at least 4 MiB.",
        secret: false,
    },
    Key {
        name: "upload_idle_seconds_max",
        section: Section::Content,
        placeholder: "SECONDS",
        allowed: "a number of seconds from 60 to 31536000 (a year)",
        default: Fallback::Value("604800"),
        about: "How long an upload session lives after its last byte.",
        secret: false,
    },
    Key {
        name: "token_seconds",
        section: Section::Content,
        placeholder: "SECONDS",
        allowed: "a number of seconds from 60 to 86400 (a day)",
        default: Fallback::Value("300"),
        about: "Life of the bearer tokens that clients get for their credentials. Clients take less than 60 for 60.",
        secret: false,
    },
    Key {
        name: "deleted_retention",
        section: Section::Content,
        placeholder: "TIME",
        allowed: "a number and a unit (s, m, h, d, w or y), such as `30d`, at most ten years",
        default: Fallback::Value("30d"),
        about: "How long packages and versions that the API deleted can be restored.",
        secret: false,
    },
    Key {
        name: "gc_grace",
        section: Section::Content,
        placeholder: "TIME",
        allowed: "a number and a unit (s, m, h, d, w or y), such as `24h`, at most ten years",
        default: Fallback::Value("24h"),
        about: "How long a blob stays that nothing names, after it was uploaded or mounted or a client that may push \
                was told that it is there; and how long its bytes stay after that.",
        secret: false,
    },
    Key {
        name: "cache_bytes",
        section: Section::Content,
        placeholder: "BYTES",
        allowed: "a number of bytes from 0 to 68719476736 (64 GiB)",
        default: Fallback::Value("33554432"),
        about: "Memory for what pulls need again and again: manifests, and on the embedded catalog also who may read what. It \
                is never older than the last change.",
        secret: false,
    },
    Key {
        name: "gc_rate",
        section: Section::Content,
        placeholder: "NUMBER",
        allowed: "a number from 1 to 1000000",
        default: Fallback::Value("1000"),
        about: "Things that the server's collector looks at or removes in a second at the most.",
        secret: false,
    },
    Key {
        name: "plans",
        section: Section::Content,
        placeholder: "PLAN,…",
        allowed: "plans such as `team private_storage=50GB transfer=1TB`: a name of lower-case letters, digits and `-`, and \
                  any of `storage`, `private_storage`, `transfer`, `private_transfer` with a size; at most 64; in \
                  the file a list, or tables such as `[plans.team]`; separated by commas elsewhere",
        default: Fallback::Value(""),
        about: "What accounts may store, and send in a month, in all or from packages that are not public. `unlimited` and \
                `github-free` (500 MB and 1 GB, not public) are there anyway. `packhouse plan set` gives an account one.",
        secret: false,
    },
    Key {
        name: "plan",
        section: Section::Content,
        placeholder: "NAME",
        allowed: "one of `plans`, `unlimited` or `github-free`",
        default: Fallback::Value("unlimited"),
        about: "The plan of accounts that were given none.",
        secret: false,
    },
    Key {
        name: "snapshot_interval",
        section: Section::Content,
        placeholder: "TIME",
        allowed: "a number and a unit (s, m, h, d, w or y), such as `1h`, at most ten years; `0` for never",
        default: Fallback::Value("1h"),
        about: "How often an embedded catalog (SQLite) is copied into the blob store, when something was changed. \
                Bytes that a kept copy names stay as long as it does.",
        secret: false,
    },
    Key {
        name: "snapshot_keep",
        section: Section::Content,
        placeholder: "NUMBER",
        allowed: "a number from 1 to 1000",
        default: Fallback::Value("24"),
        about: "How many of these copies are kept; none of them longer than that many intervals, but always the newest.",
        secret: false,
    },
    Key {
        name: "deleted_downloads_max",
        section: Section::Content,
        placeholder: "NUMBER",
        allowed: "a number from 0 to 1000000000000000",
        default: Fallback::Value("5000"),
        about: "A public version with more downloads is not deleted through the API, nor a public package that has \
                such a version. The distribution protocol is not bound by it.",
        secret: false,
    },
    Key {
        name: "redirect_renamed",
        section: Section::Content,
        placeholder: "on|off",
        allowed: "`on` or `off`",
        default: Fallback::Value("on"),
        about: "Whether pulls by the name that a package had before it was renamed or transferred lead to it, until \
                a package is made under that name.",
        secret: false,
    },
    Key {
        name: "connections_max",
        section: Section::Limits,
        placeholder: "NUMBER",
        allowed: "a number from 1 to 1000000",
        default: Fallback::Value("10000"),
        about: "Connections served at once; more wait in the system's queue.",
        secret: false,
    },
    Key {
        name: "header_seconds",
        section: Section::Limits,
        placeholder: "SECONDS",
        allowed: "a number of seconds from 1 to 3600",
        default: Fallback::Value("30"),
        about: "Time for a TLS handshake, and for a request's header once it has begun.",
        secret: false,
    },
    Key {
        name: "stall_seconds",
        section: Section::Limits,
        placeholder: "SECONDS",
        allowed: "a number of seconds from 1 to 86400",
        default: Fallback::Value("60"),
        about: "A transfer in which the client moves nothing (less than 1 KiB) for so long is cut. Transfers that \
                move take as long as they take.",
        secret: false,
    },
    Key {
        name: "drain_seconds",
        section: Section::Limits,
        placeholder: "SECONDS",
        allowed: "a number of seconds from 0 to 86400",
        default: Fallback::Value("60"),
        about: "How long running transfers may go on after SIGTERM or SIGINT. A second signal ends at once.",
        secret: false,
    },
    Key {
        name: "rate.api_token_hour",
        section: Section::Rates,
        placeholder: "NUMBER",
        allowed: "a number from 0 to 1000000000; 0 is no limit",
        default: Fallback::Value("5000"),
        about: "Requests to the API of one token in an hour.",
        secret: false,
    },
    Key {
        name: "rate.api_address_hour",
        section: Section::Rates,
        placeholder: "NUMBER",
        allowed: "a number from 0 to 1000000000; 0 is no limit",
        default: Fallback::Value("60"),
        about: "Requests to the API of one address in an hour, without a token or with one that is refused.",
        secret: false,
    },
    Key {
        name: "rate.api_points_minute",
        section: Section::Rates,
        placeholder: "NUMBER",
        allowed: "a number from 0 to 1000000000; 0 is no limit",
        default: Fallback::Value("900"),
        about: "Points of one token or address at the API in a minute: a read is 1, a write 5.",
        secret: false,
    },
    Key {
        name: "rate.api_concurrent",
        section: Section::Rates,
        placeholder: "NUMBER",
        allowed: "a number from 0 to 1000000000; 0 is no limit",
        default: Fallback::Value("100"),
        about: "Requests to the API of one token or address at once.",
        secret: false,
    },
    Key {
        name: "rate.api_writes_minute",
        section: Section::Rates,
        placeholder: "NUMBER",
        allowed: "a number from 0 to 1000000000; 0 is no limit",
        default: Fallback::Value("80"),
        about: "Requests of one token or address that create or change something at the API in a minute; deletions are not counted.",
        secret: false,
    },
    Key {
        name: "rate.api_writes_hour",
        section: Section::Rates,
        placeholder: "NUMBER",
        allowed: "a number from 0 to 1000000000; 0 is no limit",
        default: Fallback::Value("500"),
        about: "The same in an hour.",
        secret: false,
    },
    Key {
        name: "rate.registry_reads_minute",
        section: Section::Rates,
        placeholder: "NUMBER",
        allowed: "a number from 0 to 1000000000; 0 is no limit",
        default: Fallback::Value("6000000"),
        about: "Reads of the registry by one token, or without one by one address, in a minute.",
        secret: false,
    },
    Key {
        name: "rate.registry_writes_minute",
        section: Section::Rates,
        placeholder: "NUMBER",
        allowed: "a number from 0 to 1000000000; 0 is no limit",
        default: Fallback::Value("600000"),
        about: "Writes (POST, PUT, PATCH, DELETE) to the registry by one token in a minute; of one address at most 2000 refused credentials.",
        secret: false,
    },
    Key {
        name: "log",
        section: Section::Telemetry,
        placeholder: "FILTER",
        allowed: "a level (`error`, `warn`, `info`, `debug`, `trace`) or a list such as `info,packhouse=debug`",
        default: Fallback::Value("info"),
        about: "What is logged, to stderr.",
        secret: false,
    },
    Key {
        name: "log_format",
        section: Section::Telemetry,
        placeholder: "pretty|json",
        allowed: "`pretty` or `json`",
        default: Fallback::Absent("`pretty` on a terminal, `json` otherwise"),
        about: "Form of the log.",
        secret: false,
    },
    Key {
        name: "metrics_listen",
        section: Section::Telemetry,
        placeholder: "ADDR:PORT",
        allowed: "an IP address and a port, other than `listen`",
        default: Fallback::Absent("`/metrics` on `listen`"),
        about: "Address of its own for `/metrics`, `/healthz` and `/readyz`, always plain HTTP; `listen` then has \
                no `/metrics`.",
        secret: false,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_key_has_one_flag_and_one_variable() {
        let names: BTreeSet<_> = KEYS.iter().map(|key| key.name).collect();
        let variables: BTreeSet<_> = KEYS.iter().map(Key::environment).collect();
        assert_eq!(names.len(), KEYS.len());
        assert_eq!(variables.len(), KEYS.len());
        assert_eq!(
            Key::named("tls.certificate").map(Key::environment).as_deref(),
            Some("PACKHOUSE_TLS_CERTIFICATE")
        );
        assert_eq!(Key::named("external_url").and_then(Key::flag).as_deref(), Some("external-url"));
    }

    #[test]
    fn secrets_are_no_flags() {
        for key in KEYS.iter().filter(|key| {
            key.name.ends_with("token") || key.name.ends_with("_url") || key.name.ends_with("secret_key")
        }) {
            assert_eq!(key.flag().is_none(), key.name != "external_url", "{}", key.name);
        }
    }
}
