//! Types of the values that are more than a number, and how each is read from text.
//!
//! A reader returns what is wrong in words; the caller adds key, source and what is allowed.

use ipnet::IpNet;
use packhouse_oci::{AccountName, NameError};
use packhouse_service::CreateRepositories;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;
use tracing_subscriber::EnvFilter;

/// Longest list of proxies; each request is compared with all of them.
const PROXIES_MAX: usize = 64;

/// Whether a manifest may name blobs that its package does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SparseManifests {
    /// Missing configs and layers are taken as they are.
    Allow,
    /// They are refused with `MANIFEST_BLOB_UNKNOWN`.
    Refuse,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object per line.
    Json,
}

/// The origin clients use: `http` or `https`, a host and maybe a port; never a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalUrl(String);

impl ExternalUrl {
    /// The origin, such as `https://packages.example.org`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A PostgreSQL URL. `Debug` and `Display` mask its password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The URL with its password, for who connects.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, query) = self.0.split_once('?').map_or((self.0.as_str(), None), |(b, q)| (b, Some(q)));
        let (scheme, rest) = before.split_once("://").unwrap_or(("postgres", before));
        // The last `@`: a password may hold one that was not encoded.
        let (user, host) = rest.rsplit_once('@').map_or((None, rest), |(user, host)| (Some(user), host));
        write!(f, "{scheme}://")?;
        match user.map(|user| user.split_once(':').map_or((user, false), |(name, _)| (name, true))) {
            Some((name, true)) => write!(f, "{name}:***@")?,
            Some((name, false)) => write!(f, "{name}@")?,
            None => {}
        }
        f.write_str(host)?;
        for (index, pair) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
            f.write_str(if index == 0 { "?" } else { "&" })?;
            match pair.split_once('=') {
                Some((name, _)) if name.to_ascii_lowercase().contains("password") => write!(f, "{name}=***")?,
                _ => f.write_str(pair)?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// The administrator's token, given from outside. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken(String);

impl AdminToken {
    /// The token, for who stores its hash.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is not an IP address and a port"))
}

pub(super) fn number(text: &str, min: u64, max: u64) -> Result<u64, String> {
    let number: u64 = text.parse().map_err(|_| format!("`{text}` is not such a number"))?;
    if (min..=max).contains(&number) { Ok(number) } else { Err(format!("{number} is out of bounds")) }
}

pub(super) fn external_url(text: &str) -> Result<ExternalUrl, String> {
    let trimmed = text.strip_suffix('/').unwrap_or(text);
    let no = |why: &str| Err(format!("`{text}` {why}"));
    let Some((scheme, authority)) = trimmed.split_once("://") else { return no("is not a URL") };
    if !matches!(scheme, "http" | "https") {
        return no("has another scheme");
    }
    if authority.contains(['/', '?', '#']) {
        return no("has more than a host and a port");
    }
    if !crate::origin::is_authority(authority) {
        return no("has no valid host and port");
    }
    Ok(ExternalUrl(trimmed.to_owned()))
}

pub(super) fn database_url(text: &str) -> Result<DatabaseUrl, String> {
    // The text is not repeated: it may hold a password in a form we do not recognise.
    let rest = text
        .strip_prefix("postgres://")
        .or_else(|| text.strip_prefix("postgresql://"))
        .ok_or("it does not begin with `postgres://`")?;
    if rest.is_empty() || rest.contains(char::is_whitespace) {
        return Err("it has no host, or a blank in it".to_owned());
    }
    Ok(DatabaseUrl(text.to_owned()))
}

/// As AWS allows for new buckets.
pub(super) fn bucket(text: &str) -> Result<String, String> {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    if !(3..=63).contains(&text.len()) || !text.bytes().all(good) {
        return Err(format!("`{text}` is not the name of a bucket"));
    }
    Ok(text.to_owned())
}

pub(super) fn endpoint(text: &str) -> Result<String, String> {
    external_url(text).map(|url| url.as_str().to_owned())
}

pub(super) fn region(text: &str) -> Result<String, String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if text.is_empty() || text.len() > 63 || !text.bytes().all(good) {
        return Err(format!("`{text}` is not a region"));
    }
    Ok(text.to_owned())
}

/// Ends with a slash, whether or not it was written.
pub(super) fn prefix(text: &str) -> Result<String, String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let trimmed = text.trim_end_matches('/');
    if trimmed.is_empty() {
        return Ok(String::new());
    }
    let fine = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(good);
    if trimmed.len() > 200 || !trimmed.split('/').all(fine) {
        return Err(format!("`{text}` has an empty part, or a character that is not allowed"));
    }
    Ok(format!("{trimmed}/"))
}

/// The text is not repeated: it may be the secret, in the wrong place.
pub(super) fn key_text(text: &str) -> Result<String, String> {
    if text.len() > 255 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("it is too long, or holds a character that is not printable ASCII".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) fn proxies(items: &[String]) -> Result<Vec<IpNet>, String> {
    if items.len() > PROXIES_MAX {
        return Err(format!("there are {} of them", items.len()));
    }
    items
        .iter()
        .map(|item| {
            let item = item.trim();
            IpNet::from_str(item)
                .or_else(|_| IpAddr::from_str(item).map(IpNet::from))
                .map(|net| net.trunc())
                .map_err(|_| format!("`{item}` is neither a network nor an address"))
        })
        .collect()
}

pub(super) fn admin_name(text: &str) -> Result<AccountName, String> {
    text.parse().map_err(|why: NameError| format!("`{text}`: {why}"))
}

pub(super) fn admin_token(text: &str) -> Result<AdminToken, String> {
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("it holds a character that is not printable ASCII, or a blank".to_owned());
    }
    match text.len() {
        32..=255 => Ok(AdminToken(text.to_owned())),
        length => Err(format!("it has {length} characters")),
    }
}

/// `30d`, at most ten years.
pub(super) fn retention(text: &str) -> Result<Duration, String> {
    let seconds = crate::cli::duration::seconds(text).map_err(|_| format!("`{text}` is no such time"))?;
    if seconds > 10 * 365 * 86_400 {
        return Err(format!("`{text}` is more than ten years"));
    }
    Ok(Duration::from_secs(seconds))
}

/// A time between two, or `0` for never.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    if text == "0" { Ok(Duration::ZERO) } else { retention(text) }
}

pub(super) fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("`{text}` is neither")),
    }
}

pub(super) fn sparse_manifests(text: &str) -> Result<SparseManifests, String> {
    match text {
        "allow" => Ok(SparseManifests::Allow),
        "refuse" => Ok(SparseManifests::Refuse),
        _ => Err(format!("`{text}` is neither")),
    }
}

pub(super) fn hosts(items: &[String]) -> Result<Vec<String>, String> {
    let items = items.iter().map(|item| item.trim()).filter(|item| !item.is_empty());
    let hosts: Vec<String> = items.map(str::to_ascii_lowercase).collect();
    if hosts.len() > 64 {
        return Err(format!("it has {} entries", hosts.len()));
    }
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    match hosts.iter().find(|host| !host.chars().all(good)) {
        Some(host) => Err(format!("`{host}` is not a host name")),
        None => Ok(hosts),
    }
}

pub(super) fn create_repositories(text: &str) -> Result<CreateRepositories, String> {
    match text {
        "never" => Ok(CreateRepositories::Never),
        "own" => Ok(CreateRepositories::Own),
        "members" => Ok(CreateRepositories::Members),
        _ => Err(format!("`{text}` is none of them")),
    }
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "pretty" => Ok(LogFormat::Pretty),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("`{text}` is neither")),
    }
}

pub(super) fn log_filter(text: &str) -> Result<String, String> {
    // `EnvFilter` takes a bare word for the name of a module, so `log = "inof"` would silence everything.
    let one_word = !text.contains(['=', ',']);
    let level =
        ["off", "error", "warn", "info", "debug", "trace"].iter().any(|l| text.eq_ignore_ascii_case(l));
    if one_word && !level {
        return Err(format!("`{text}` is not a level"));
    }
    EnvFilter::builder()
        .parse(text)
        .map(|_| text.to_owned())
        .map_err(|error| format!("`{text}` is not a filter ({error})"))
}
