//! The configuration: flags before environment before the TOML file before defaults, every value checked.
//!
//! Relative paths are taken from the folder the program was started in, wherever they were written.
//! What surprises: an empty environment variable counts as not given.

mod error;
mod keys;
mod plans;
mod report;
mod sources;
mod values;

pub use error::ConfigError;
pub use keys::{Fallback, KEYS, Key, Section};
pub use report::{Row, reference};
pub use sources::{Inputs, Source};
pub use values::{AdminToken, DatabaseUrl, ExternalUrl, LogFormat, SparseManifests};

use ipnet::IpNet;
use packhouse_blobs::{S3Keys, S3Settings};
use packhouse_oci::AccountName;
use packhouse_service::RateSettings;
use packhouse_service::{CreateRepositories, Limits};
use sources::{Gathered, Raw};
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest token and a line end, and enough more to notice that a file is too long.
const TOKEN_FILE_BYTES_MAX: u64 = 1024;
/// Largest rate limit.
const RATE_MAX: u64 = 1_000_000_000;

/// Everything that can be set, checked. [`KEYS`] says what each value means and what is allowed.
#[derive(Clone, Debug)]
pub struct Config {
    /// `listen`
    pub listen: SocketAddr,
    /// `data`
    pub data: PathBuf,
    /// `external_url`; none: each request's own Host.
    pub external_url: Option<ExternalUrl>,
    /// `database_url`; none: SQLite in the data folder.
    pub database_url: Option<DatabaseUrl>,
    /// `s3.…`; none: blobs are files in the data folder.
    pub s3: Option<S3Settings>,
    /// `s3.lease_seconds`
    pub upload_lease: Duration,
    /// `trusted_proxies`
    pub trusted_proxies: Vec<IpNet>,
    /// `tls.certificate` and `tls.key`; none: plain HTTP.
    pub tls: Option<TlsFiles>,
    /// `admin`
    pub admin: AccountName,
    /// `admin_token`, or what stands in `admin_token_file`.
    pub admin_token: Option<AdminToken>,
    /// `sparse_manifests`
    pub sparse_manifests: SparseManifests,
    /// `known_forges`
    pub known_forges: Vec<String>,
    /// `create_repositories`
    pub create_repositories: CreateRepositories,
    /// `layer_bytes_max`
    pub layer_bytes_max: u64,
    /// `manifest_bytes_max`
    pub manifest_bytes_max: u64,
    /// `upload_idle_seconds_max`
    pub upload_idle_max: Duration,
    /// `token_seconds`
    pub token_life: Duration,
    /// `deleted_retention`
    pub deleted_retention: Duration,
    /// `gc_grace`
    pub gc_grace: Duration,
    /// `cache_bytes`
    pub cache_bytes: u64,
    /// `gc_rate`, things in a second.
    pub gc_rate: u64,
    /// `plans`, with those that are always there.
    pub plans: Vec<(String, Limits)>,
    /// `plan`, one of `plans`.
    pub plan: String,
    /// `snapshot_interval`; zero: none are taken.
    pub snapshot_interval: Duration,
    /// `snapshot_keep`
    pub snapshot_keep: u32,
    /// `deleted_downloads_max`
    pub deleted_downloads_max: u64,
    /// `redirect_renamed`
    pub redirect_renamed: bool,
    /// `connections_max`
    pub connections_max: usize,
    /// `header_seconds`
    pub header_time: Duration,
    /// `stall_seconds`
    pub stall_time: Duration,
    /// `drain_seconds`
    pub drain_time: Duration,
    /// `rate.…`
    pub rates: RateSettings,
    /// `log`
    pub log: String,
    /// `log_format`; none: by whether stderr is a terminal.
    pub log_format: Option<LogFormat>,
    /// `metrics_listen`
    pub metrics_listen: Option<SocketAddr>,
}

impl Config {
    /// How often the catalog is copied into the blob store, and how many copies stay. PostgreSQL has its own ways.
    #[must_use]
    pub fn snapshots(&self) -> Option<(Duration, u32)> {
        let wanted = self.database_url.is_none() && !self.snapshot_interval.is_zero();
        wanted.then_some((self.snapshot_interval, self.snapshot_keep))
    }
}

/// Certificate and key in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, own certificate first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A configuration with where each value came from.
#[derive(Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// The same for people, in the order of [`KEYS`], secrets masked.
    pub rows: Vec<Row>,
    /// What was ignored but looks like a mistake; to be logged once there is a log.
    pub warning: Option<String>,
}

impl Inputs {
    /// The inputs of this process, with the given flags.
    #[must_use]
    pub fn of_process(flags: Vec<(&'static str, String)>, file: Option<PathBuf>) -> Self {
        Self { flags, file, environment: std::env::vars_os().collect() }
    }
}

/// Reads and checks the configuration.
///
/// # Errors
/// The first thing that is wrong, with the key, where it was given and what is allowed.
pub fn load(inputs: Inputs) -> Result<Loaded, ConfigError> {
    let mut gathered = sources::gather(inputs)?;
    let warning = sources::warning(&gathered.unknown_variables);
    let mut from = Reader { gathered: &mut gathered, rows: Vec::new() };

    let listen = from.required("listen", values::address)?.0;
    let data = from.required("data", path)?.0;
    let external_url = from.optional("external_url", values::external_url)?.map(|(url, _)| url);
    let database_url = from.shown("database_url", values::database_url, DatabaseUrl::to_string)?;
    let bucket = from.bucket()?;
    let upload_lease = from.seconds("s3.lease_seconds", 3, 3600)?;
    let trusted_proxies = from.proxies()?;
    let tls = tls(from.optional("tls.certificate", path)?, from.optional("tls.key", path)?)?;
    let admin = from.required("admin", values::admin_name)?.0;
    let token = from.shown("admin_token", values::admin_token, |_| "***".to_owned())?;
    let token_file = from.optional("admin_token_file", path)?;
    let admin_token = admin_token(token, token_file)?;
    let sparse_manifests = from.required("sparse_manifests", values::sparse_manifests)?.0;
    let known_forges = from.hosts("known_forges")?;
    let create_repositories = from.required("create_repositories", values::create_repositories)?.0;
    let layer_bytes_max = from.number("layer_bytes_max", 1, 1_000_000_000_000_000)?;
    let manifest_bytes_max = from.number("manifest_bytes_max", 4 << 20, 64 << 20)?;
    let upload_idle_max = from.seconds("upload_idle_seconds_max", 60, 31_536_000)?;
    let token_life = from.seconds("token_seconds", 60, 86_400)?;
    let deleted_retention = from.required("deleted_retention", values::retention)?.0;
    let gc_grace = from.required("gc_grace", values::retention)?.0;
    let cache_bytes = from.number("cache_bytes", 0, 64 << 30)?;
    let gc_rate = from.number("gc_rate", 1, 1_000_000)?;
    let plans = from.plans()?;
    let plan = from.default_plan(&plans)?;
    let snapshot_interval = from.required("snapshot_interval", values::interval)?.0;
    let snapshot_keep = u32::try_from(from.number("snapshot_keep", 1, 1_000)?).unwrap_or(1_000);
    let deleted_downloads_max = from.number("deleted_downloads_max", 0, 1_000_000_000_000_000)?;
    let redirect_renamed = from.required("redirect_renamed", values::on_or_off)?.0;
    let connections_max =
        usize::try_from(from.number("connections_max", 1, 1_000_000)?).unwrap_or(usize::MAX);
    let header_time = from.seconds("header_seconds", 1, 3600)?;
    let stall_time = from.seconds("stall_seconds", 1, 86_400)?;
    let drain_time = from.seconds("drain_seconds", 0, 86_400)?;
    let rates = from.rates()?;
    let log = from.required("log", values::log_filter)?.0;
    let log_format = from.optional("log_format", values::log_format)?.map(|(format, _)| format);
    let metrics = from.optional("metrics_listen", values::address)?;
    if let Some((_, place)) = metrics.as_ref().filter(|(address, _)| *address == listen && listen.port() != 0)
    {
        return Err(ConfigError::SameAddress { place: place.clone() });
    }

    let rows = from.rows;
    let config = Config {
        listen,
        data,
        external_url,
        database_url: database_url.map(|(url, _)| url),
        s3: bucket.map(|bucket| S3Settings { layer_bytes_max, ..bucket }),
        upload_lease,
        trusted_proxies,
        tls,
        admin,
        admin_token,
        sparse_manifests,
        known_forges,
        create_repositories,
        layer_bytes_max,
        manifest_bytes_max,
        upload_idle_max,
        token_life,
        deleted_retention,
        gc_grace,
        cache_bytes,
        gc_rate,
        plans,
        plan,
        snapshot_interval,
        snapshot_keep,
        deleted_downloads_max,
        redirect_renamed,
        connections_max,
        header_time,
        stall_time,
        drain_time,
        rates,
        log,
        log_format,
        metrics_listen: metrics.map(|(address, _)| address),
    };
    Ok(Loaded { config, rows, warning })
}

/// Takes one key after another out of what was gathered, and notes each for `config check`.
struct Reader<'a> {
    gathered: &'a mut Gathered,
    rows: Vec<Row>,
}

impl Reader<'_> {
    /// A key with a default value.
    fn required<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<(T, Source), ConfigError> {
        let (text, place) = self.text(name)?.unwrap_or((default_of(name).to_owned(), Source::Default));
        let value = parse(&text).map_err(|problem| invalid(name, &place, problem))?;
        self.rows.push(Row::given(name, text, &place));
        Ok((value, place))
    }

    /// A key that may be absent.
    fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<(T, Source)>, ConfigError> {
        let Some((text, place)) = self.text(name)? else {
            self.rows.push(Row::absent(name));
            return Ok(None);
        };
        let value = parse(&text).map_err(|problem| invalid(name, &place, problem))?;
        self.rows.push(Row::given(name, text, &place));
        Ok(Some((value, place)))
    }

    /// A secret, of which only what `show` makes of it is noted.
    fn shown<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
        show: impl Fn(&T) -> String,
    ) -> Result<Option<(T, Source)>, ConfigError> {
        let given = self.optional(name, parse)?;
        if let (Some((value, _)), Some(row)) = (&given, self.rows.last_mut()) {
            row.value = Some(show(value));
        }
        Ok(given)
    }

    fn number(&mut self, name: &'static str, min: u64, max: u64) -> Result<u64, ConfigError> {
        self.required(name, |text| values::number(text, min, max)).map(|(number, _)| number)
    }

    fn seconds(&mut self, name: &'static str, min: u64, max: u64) -> Result<Duration, ConfigError> {
        self.number(name, min, max).map(Duration::from_secs)
    }

    /// What is said of a bucket; all of it is read, so that each row is shown and each mistake told.
    fn bucket(&mut self) -> Result<Option<S3Settings>, ConfigError> {
        let bucket = self.optional("s3.bucket", values::bucket)?;
        let endpoint = self.optional("s3.endpoint", values::endpoint)?.map(|(endpoint, _)| endpoint);
        let region = self.required("s3.region", values::region)?.0;
        let prefix = self.required("s3.prefix", values::prefix)?.0;
        let access_key = self.optional("s3.access_key", values::key_text)?;
        let secret_key = self.shown("s3.secret_key", values::key_text, |_| "***".to_owned())?;
        let path_style = self.required("s3.path_style", values::on_or_off)?.0;
        let redirect = self.required("s3.redirect", values::on_or_off)?.0;
        let life = self.seconds("s3.redirect_seconds", 60, 604_800)?;
        let part_bytes = self.number("s3.part_bytes", 5 << 20, 512 << 20)?;
        let keys = match (access_key, secret_key) {
            (Some((access_key, _)), Some((secret_key, _))) => Some(S3Keys { access_key, secret_key }),
            (None, None) => None,
            (Some((_, place)), None) => {
                return Err(ConfigError::KeysIncomplete {
                    given: "s3.access_key",
                    place,
                    missing: "s3.secret_key",
                });
            }
            (None, Some((_, place))) => {
                return Err(ConfigError::KeysIncomplete {
                    given: "s3.secret_key",
                    place,
                    missing: "s3.access_key",
                });
            }
        };
        let redirect = redirect.then_some(life);
        Ok(bucket.map(|(bucket, _)| S3Settings {
            endpoint,
            bucket,
            region,
            prefix,
            keys,
            path_style,
            redirect,
            part_bytes,
            layer_bytes_max: 0,
        }))
    }

    fn rates(&mut self) -> Result<RateSettings, ConfigError> {
        let mut rate = |name| {
            let number = self.number(name, 0, RATE_MAX)?;
            Ok::<_, ConfigError>(u32::try_from(number).unwrap_or(u32::MAX))
        };
        Ok(RateSettings {
            api_token_hour: rate("rate.api_token_hour")?,
            api_address_hour: rate("rate.api_address_hour")?,
            api_points_minute: rate("rate.api_points_minute")?,
            api_concurrent: rate("rate.api_concurrent")?,
            api_writes_minute: rate("rate.api_writes_minute")?,
            api_writes_hour: rate("rate.api_writes_hour")?,
            registry_reads_minute: rate("rate.registry_reads_minute")?,
            registry_writes_minute: rate("rate.registry_writes_minute")?,
            ..RateSettings::default()
        })
    }

    fn proxies(&mut self) -> Result<Vec<IpNet>, ConfigError> {
        let name = "trusted_proxies";
        let (items, place) = match self.gathered.take(name) {
            Some((Raw::Many(items), place)) => (items, place),
            Some((Raw::One(text), place)) => (text.split(',').map(str::to_owned).collect(), place),
            None => (Vec::new(), Source::Default),
        };
        let nets = values::proxies(&items).map_err(|problem| invalid(name, &place, problem))?;
        let shown = nets.iter().map(IpNet::to_string).collect::<Vec<_>>().join(",");
        self.rows.push(Row::given(name, shown, &place));
        Ok(nets)
    }

    fn hosts(&mut self, name: &'static str) -> Result<Vec<String>, ConfigError> {
        let (items, place) = match self.gathered.take(name) {
            Some((Raw::Many(items), place)) => (items, place),
            Some((Raw::One(text), place)) => (text.split(',').map(str::to_owned).collect(), place),
            None => (default_of(name).split(',').map(str::to_owned).collect(), Source::Default),
        };
        let hosts = values::hosts(&items).map_err(|problem| invalid(name, &place, problem))?;
        self.rows.push(Row::given(name, hosts.join(","), &place));
        Ok(hosts)
    }

    fn plans(&mut self) -> Result<Vec<(String, Limits)>, ConfigError> {
        let (items, place) = match self.gathered.take("plans") {
            Some((Raw::Many(items), place)) => (items, place),
            Some((Raw::One(text), place)) => (text.split(',').map(str::to_owned).collect(), place),
            None => (Vec::new(), Source::Default),
        };
        let plans = plans::plans(&items).map_err(|problem| invalid("plans", &place, problem))?;
        self.rows.push(Row::given("plans", plans::shown(&plans), &place));
        Ok(plans)
    }

    fn default_plan(&mut self, plans: &[(String, Limits)]) -> Result<String, ConfigError> {
        let known = |text: &str| match plans.iter().find(|(name, _)| name == text) {
            Some((name, _)) => Ok(name.clone()),
            None => Err(format!("`{text}` is none of `plans`")),
        };
        Ok(self.required("plan", known)?.0)
    }

    fn text(&mut self, name: &'static str) -> Result<Option<(String, Source)>, ConfigError> {
        match self.gathered.take(name) {
            None => Ok(None),
            Some((Raw::One(text), place)) => Ok(Some((text, place))),
            Some((Raw::Many(_), place)) => Err(ConfigError::WrongType {
                key: name.to_owned(),
                place,
                found: "a list",
                allowed: allowed_for(name),
            }),
        }
    }
}

fn invalid(key: &'static str, place: &Source, problem: String) -> ConfigError {
    ConfigError::Invalid { key, place: place.clone(), problem, allowed: allowed_for(key) }
}

fn allowed_for(name: &str) -> &'static str {
    Key::named(name).map_or("", |key| key.allowed)
}

fn default_of(name: &str) -> &'static str {
    match Key::named(name).map(|key| key.default) {
        Some(Fallback::Value(value)) => value,
        Some(Fallback::Absent(_)) | None => "",
    }
}

fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(PathBuf::from(text)) }
}

fn tls(
    certificate: Option<(PathBuf, Source)>,
    key: Option<(PathBuf, Source)>,
) -> Result<Option<TlsFiles>, ConfigError> {
    match (certificate, key) {
        (Some((certificate, _)), Some((key, _))) => Ok(Some(TlsFiles { certificate, key })),
        (None, None) => Ok(None),
        (Some((_, place)), None) => {
            Err(ConfigError::TlsIncomplete { given: "tls.certificate", place, missing: "tls.key" })
        }
        (None, Some((_, place))) => {
            Err(ConfigError::TlsIncomplete { given: "tls.key", place, missing: "tls.certificate" })
        }
    }
}

fn admin_token(
    token: Option<(AdminToken, Source)>,
    file: Option<(PathBuf, Source)>,
) -> Result<Option<AdminToken>, ConfigError> {
    match (token, file) {
        (Some((_, token)), Some((_, file))) => Err(ConfigError::TwoAdminTokens { token, file }),
        (Some((token, _)), None) => Ok(Some(token)),
        (None, Some((file, place))) => token_from(&file, &place).map(Some),
        (None, None) => Ok(None),
    }
}

fn token_from(file: &Path, place: &Source) -> Result<AdminToken, ConfigError> {
    let mut text = String::new();
    // Opening follows symbolic links, which is how Kubernetes mounts secrets.
    File::open(file).and_then(|open| open.take(TOKEN_FILE_BYTES_MAX).read_to_string(&mut text)).map_err(
        |cause| ConfigError::TokenFileUnreadable { file: file.to_owned(), place: place.clone(), cause },
    )?;
    // Editors and `echo` end a file with a line end that nobody means.
    let token = text.strip_suffix('\n').unwrap_or(&text);
    let token = token.strip_suffix('\r').unwrap_or(token);
    values::admin_token(token).map_err(|problem| {
        let problem = format!("in `{}`: {problem}", file.display());
        ConfigError::Invalid {
            key: "admin_token_file",
            place: place.clone(),
            problem,
            allowed: allowed_for("admin_token_file"),
        }
    })
}

#[cfg(test)]
mod tests;
