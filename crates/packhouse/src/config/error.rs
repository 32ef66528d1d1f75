//! What can be wrong with a configuration, said so that the reader knows which line to change.

use super::sources::Source;
use std::io;
use std::path::PathBuf;

/// A configuration that cannot be used. No message ever holds a secret's value.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file named by `--config` or `PACKHOUSE_CONFIG` cannot be read.
    #[error("cannot read the configuration file `{}`", file.display())]
    FileUnreadable {
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The file is larger than any configuration.
    #[error("the configuration file `{}` has more than {bytes_max} bytes; is it the right file?", file.display())]
    FileTooLarge {
        /// The file.
        file: PathBuf,
        /// The limit.
        bytes_max: u64,
    },
    /// The file is not TOML 1.0.
    #[error("`{}`, line {line}: {message}", file.display())]
    FileNotToml {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The parser's words.
        message: String,
    },
    /// A key that does not exist.
    #[error("`{}`, line {line}: unknown key `{key}`; {hint}", file.display())]
    UnknownKey {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The key as written, with its table.
        key: String,
        /// The nearest key, or where to find all.
        hint: String,
    },
    /// A value of a type that no key takes, or a list where one value is expected.
    #[error("`{key}` ({place}) is {found}; allowed: {allowed}")]
    WrongType {
        /// The key.
        key: String,
        /// Where it was given.
        place: Source,
        /// What stands there.
        found: &'static str,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A value that is not allowed.
    #[error("`{key}` ({place}): {problem}; allowed: {allowed}")]
    Invalid {
        /// The key.
        key: &'static str,
        /// Where it was given.
        place: Source,
        /// What is wrong with it.
        problem: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// An environment variable of ours that is not UTF-8.
    #[error("the environment variable `{variable}` is not valid UTF-8")]
    NotUtf8 {
        /// Its name.
        variable: String,
    },
    /// One of two keys that belong together is missing.
    #[error("`{given}` ({place}) needs `{missing}` too; give both for TLS, or none for plain HTTP")]
    TlsIncomplete {
        /// The key that was given.
        given: &'static str,
        /// Where.
        place: Source,
        /// The other one.
        missing: &'static str,
    },
    /// A key of the bucket without its secret, or the other way round.
    #[error(
        "`{given}` ({place}) needs `{missing}` too; give both, or none to have them found as AWS's programs do"
    )]
    KeysIncomplete {
        /// The key that was given.
        given: &'static str,
        /// Where.
        place: Source,
        /// The other one.
        missing: &'static str,
    },
    /// The token is given twice.
    #[error("`admin_token` ({token}) and `admin_token_file` ({file}) are both given; drop one of them")]
    TwoAdminTokens {
        /// Where the token was given.
        token: Source,
        /// Where the file was given.
        file: Source,
    },
    /// The token's file cannot be read.
    #[error("cannot read `{}`, named by `admin_token_file` ({place})", file.display())]
    TokenFileUnreadable {
        /// The file.
        file: PathBuf,
        /// Where it was named.
        place: Source,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// Two listeners on one address.
    #[error("`metrics_listen` ({place}) is the same address as `listen`; give another one, or drop it")]
    SameAddress {
        /// Where it was given.
        place: Source,
    },
}
