//! Setting up the log.

use crate::config::LogFormat;
use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use tracing::error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Logs of this process go to stderr from now on, those of panics included. A second call changes nothing.
///
/// # Errors
/// A filter that cannot be parsed.
pub fn begin(filter: &str, format: Option<LogFormat>) -> Result<(), ParseError> {
    let filter = EnvFilter::builder().parse(filter)?;
    let terminal = std::io::stderr().is_terminal();
    let format = format.unwrap_or(if terminal { LogFormat::Pretty } else { LogFormat::Json });
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A log that is set up already is a test's own.
    let _ = match format {
        // NO_COLOR (no-color.org) counts when it is not empty.
        LogFormat::Pretty => {
            let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            log.with_ansi(colours).try_init()
        }
        LogFormat::Json => log.json().flatten_event(true).with_span_list(false).try_init(),
    };
    std::panic::set_hook(Box::new(panicked));
    Ok(())
}

fn panicked(panic: &PanicHookInfo<'_>) {
    let reason = panic.payload_as_str().unwrap_or("no text");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    error!(place, "panicked: {reason}");
}
