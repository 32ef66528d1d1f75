//! Where values come from: flags, then `PACKHOUSE_…`, then the TOML file.
//!
//! A key that nobody knows is an error in the file, where it can only be a mistake, but a warning in the
//! environment: Kubernetes gives every container `PACKHOUSE_PORT=tcp://10.0.0.1:5000`,
//! `PACKHOUSE_SERVICE_HOST` and more when a Service is named `packhouse`.

use super::error::ConfigError;
use super::keys::{KEYS, Key};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Largest configuration file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Likeness (Jaro-Winkler) from which a known key is offered for an unknown one.
const LIKENESS_MIN: f64 = 0.8;
/// Variables with the prefix that are no keys.
const OTHER_VARIABLES: [&str; 1] = ["PACKHOUSE_CONFIG"];

/// Who gave a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A flag, by its name with dashes.
    Flag(String),
    /// An environment variable.
    Environment(String),
    /// A line of the configuration file.
    File(PathBuf, usize),
    /// Nobody.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "--{flag}"),
            Self::Environment(variable) => f.write_str(variable),
            Self::File(file, line) => write!(f, "{}:{line}", file.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Raw {
    /// One text or number.
    One(String),
    /// A list in the file.
    Many(Vec<String>),
}

/// Values by key, with their sources; the strongest source has won.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    values: BTreeMap<&'static str, (Raw, Source)>,
    /// Variables with our prefix that are no keys.
    pub(super) unknown_variables: Vec<String>,
}

impl Gathered {
    /// Takes what is given for a key.
    pub(super) fn take(&mut self, name: &'static str) -> Option<(Raw, Source)> {
        self.values.remove(name)
    }

    /// Adds values of a weaker source than those there are.
    fn add_weaker(&mut self, more: impl IntoIterator<Item = (&'static str, (Raw, Source))>) {
        for (name, value) in more {
            self.values.entry(name).or_insert(value);
        }
    }
}

/// What the process was started with. Tests make their own.
#[derive(Debug, Default)]
pub struct Inputs {
    /// Key name and value of each flag given.
    pub flags: Vec<(&'static str, String)>,
    /// `--config`.
    pub file: Option<PathBuf>,
    /// The environment.
    pub environment: Vec<(OsString, OsString)>,
}

/// Reads all sources.
///
/// # Errors
/// A file that cannot be read or is no TOML, an unknown key in it, a value of no allowed type, a variable that
/// is not UTF-8.
pub(super) fn gather(inputs: Inputs) -> Result<Gathered, ConfigError> {
    let mut gathered = Gathered::default();
    gathered.add_weaker(inputs.flags.into_iter().filter_map(|(name, value)| {
        let flag = Key::named(name)?.flag()?;
        Some((name, (Raw::One(value), Source::Flag(flag))))
    }));

    let (values, file, unknown) = from_environment(inputs.environment)?;
    gathered.add_weaker(values);
    gathered.unknown_variables = unknown;

    if let Some(file) = inputs.file.or(file) {
        let values = from_file(&file)?;
        gathered.add_weaker(values);
    }
    Ok(gathered)
}

type Values = BTreeMap<&'static str, (Raw, Source)>;

fn from_environment(
    environment: Vec<(OsString, OsString)>,
) -> Result<(Values, Option<PathBuf>, Vec<String>), ConfigError> {
    let mut values = Values::new();
    let mut file = None;
    let mut unknown = Vec::new();
    for (variable, value) in environment {
        let Some(variable) = variable.to_str().filter(|name| name.starts_with("PACKHOUSE_")) else {
            continue;
        };
        // Compose files and unit files often pass a variable on without knowing whether it is set.
        if value.is_empty() {
            continue;
        }
        if variable == "PACKHOUSE_CONFIG" {
            file = Some(PathBuf::from(value));
            continue;
        }
        let Some(key) = KEYS.iter().find(|key| key.environment() == variable) else {
            unknown.push(variable.to_owned());
            continue;
        };
        let value =
            value.into_string().map_err(|_| ConfigError::NotUtf8 { variable: variable.to_owned() })?;
        values.insert(key.name, (Raw::One(value), Source::Environment(variable.to_owned())));
    }
    unknown.sort();
    Ok((values, file, unknown))
}

/// A sentence for the variables that are no keys; none when there are none.
pub(super) fn warning(unknown_variables: &[String]) -> Option<String> {
    let first = unknown_variables.first()?;
    let all = unknown_variables.join("`, `");
    let known = KEYS.iter().map(Key::environment).chain(OTHER_VARIABLES.map(str::to_owned));
    let hint = nearest(first, known)
        .map_or_else(|| "they are no settings".to_owned(), |near| format!("did you mean `{near}`?"));
    Some(format!("ignored the environment variable(s) `{all}`: {hint}"))
}

fn from_file(file: &Path) -> Result<Values, ConfigError> {
    let unreadable = |cause| ConfigError::FileUnreadable { file: file.to_owned(), cause };
    let mut text = String::new();
    File::open(file)
        .and_then(|open| open.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(unreadable)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(ConfigError::FileTooLarge { file: file.to_owned(), bytes_max: FILE_BYTES_MAX });
    }

    let table = DeTable::parse(&text).map_err(|error| ConfigError::FileNotToml {
        file: file.to_owned(),
        line: error.span().map_or(1, |span| line_of(&text, &span)),
        message: error.message().to_owned(),
    })?;
    let mut reader = FileReader { file, text: &text, values: Values::new() };
    reader.read(table.get_ref(), "")?;
    Ok(reader.values)
}

struct FileReader<'a> {
    file: &'a Path,
    text: &'a str,
    values: Values,
}

impl FileReader<'_> {
    fn read(&mut self, table: &DeTable<'_>, prefix: &str) -> Result<(), ConfigError> {
        for (word, value) in table {
            let name = format!("{prefix}{}", word.get_ref());
            let line = line_of(self.text, &word.span());
            let Some(key) = KEYS.iter().find(|key| key.name == name) else {
                match value.get_ref() {
                    DeValue::Table(inner) if is_table(&name) => {
                        self.read(inner, &format!("{name}."))?;
                        continue;
                    }
                    _ => return Err(self.unknown(&name, line)),
                }
            };
            let place = Source::File(self.file.to_owned(), line);
            let raw = match value.get_ref() {
                DeValue::Table(rows) if key.name == "plans" => lines(rows),
                _ => raw(value),
            };
            let raw = raw.map_err(|found| ConfigError::WrongType {
                key: name,
                place: place.clone(),
                found,
                allowed: key.allowed,
            })?;
            self.values.insert(key.name, (raw, place));
        }
        Ok(())
    }

    fn unknown(&self, name: &str, line: usize) -> ConfigError {
        let hint = if is_table(name) {
            // `tls = "cert.pem"` must never be read as "no TLS".
            format!("`[{name}]` is a table")
        } else {
            nearest(name, KEYS.iter().map(|key| key.name.to_owned())).map_or_else(
                || "`packhouse serve --help` lists all keys".to_owned(),
                |near| format!("did you mean `{near}`?"),
            )
        };
        ConfigError::UnknownKey { file: self.file.to_owned(), line, key: name.to_owned(), hint }
    }
}

fn is_table(name: &str) -> bool {
    KEYS.iter().any(|key| key.name.split_once('.').is_some_and(|(table, _)| table == name))
}

fn raw(value: &Spanned<DeValue<'_>>) -> Result<Raw, &'static str> {
    match value.get_ref() {
        DeValue::String(text) => Ok(Raw::One(text.to_string())),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(|number| Raw::One(number.to_string()))
            .map_err(|_| "a number that is too large"),
        DeValue::Array(items) => items
            .iter()
            .map(|item| item.get_ref().as_str().map(str::to_owned).ok_or("a list with something but texts"))
            .collect::<Result<_, _>>()
            .map(Raw::Many),
        DeValue::Float(_) => Err("a number with a fraction"),
        DeValue::Boolean(_) => Err("`true` or `false`"),
        DeValue::Datetime(_) => Err("a date or time"),
        DeValue::Table(_) => Err("a table"),
    }
}

/// `[plans.team]` with its limits, as the line that says the same: `team storage=100GB …`.
fn lines(rows: &DeTable<'_>) -> Result<Raw, &'static str> {
    let line = |(name, row): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let DeValue::Table(limits) = row.get_ref() else { return Err("a table of something but tables") };
        let mut line: String = AsRef::<str>::as_ref(name.get_ref()).to_owned();
        for (limit, size) in limits {
            match raw(size)? {
                Raw::One(size) => line.push_str(&format!(" {}={size}", limit.get_ref())),
                Raw::Many(_) => return Err("a list for a limit"),
            }
        }
        Ok(line)
    };
    rows.iter().map(line).collect::<Result<_, _>>().map(Raw::Many)
}

fn line_of(text: &str, span: &Range<usize>) -> usize {
    text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1
}

fn nearest(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    known
        .map(|known| (strsim::jaro_winkler(name, &known), known))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, known)| known)
}
