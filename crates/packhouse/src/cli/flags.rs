//! One flag for each key that is no secret, made from the table of keys.

use crate::config::{Fallback, Inputs, KEYS, Key};
use clap::error::Error;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};
use std::path::PathBuf;

/// Keys whose flags are shown by `-h`; `--help` shows all.
const SHORT_HELP: [&str; 3] = ["listen", "data", "external_url"];

/// The flags of `serve` and `config check`.
#[derive(Clone, Debug, Default)]
pub struct ConfigFlags {
    values: Vec<(&'static str, String)>,
    file: Option<PathBuf>,
}

impl ConfigFlags {
    /// Flags of commands that need to know the data folder only.
    #[must_use]
    pub fn of_data(data: Option<String>, file: Option<PathBuf>) -> Self {
        Self { values: data.into_iter().map(|data| ("data", data)).collect(), file }
    }

    /// With this process's environment.
    #[must_use]
    pub fn into_inputs(self) -> Inputs {
        Inputs::of_process(self.values, self.file)
    }
}

impl Args for ConfigFlags {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help("TOML file to read settings from [environment: PACKHOUSE_CONFIG]");
        KEYS.iter().filter_map(flag).fold(command.arg(file), Command::arg)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ConfigFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let given = |key: &&Key| key.flag().is_some();
        let value = |key: &'static Key| Some((key.name, matches.get_one::<String>(key.name)?.clone()));
        let values = KEYS.iter().filter(given).filter_map(value).collect();
        Ok(Self { values, file: matches.get_one::<PathBuf>("config").cloned() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn flag(key: &'static Key) -> Option<Arg> {
    let default = match key.default {
        Fallback::Value("") => "none",
        Fallback::Value(text) | Fallback::Absent(text) => text,
    };
    let short = key.about.split_inclusive(". ").next().unwrap_or_default().trim();
    let long = format!(
        "{}\n\nAllowed: {}.\n[environment: {}] [default: {default}]",
        key.about,
        key.allowed,
        key.environment()
    );
    let arg = Arg::new(key.name)
        .long(key.flag()?)
        .value_name(key.placeholder)
        .action(ArgAction::Set)
        .help(format!("{short} [default: {default}]"))
        .long_help(long)
        .help_heading(key.section.heading());
    Some(if SHORT_HELP.contains(&key.name) { arg } else { arg.hide_short_help(true) })
}
