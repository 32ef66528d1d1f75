//! Setting up the log.

use super::line::{Json, Pretty};
pub use super::writer::Flushing;
use super::writer::Out;
use crate::config::LogFormat;
use std::io::{IsTerminal, Write};
use std::panic::PanicHookInfo;
use tracing::{Dispatch, error};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Logs of this process go to stderr from now on, those of panics included, until what is given back is dropped: what was
/// gathered is written then. A second call changes nothing.
///
/// # Errors
/// A filter that cannot be parsed.
pub fn begin(filter: &str, format: Option<LogFormat>) -> Result<Flushing, ParseError> {
    let terminal = std::io::stderr().is_terminal();
    let format = format.unwrap_or(if terminal { LogFormat::Pretty } else { LogFormat::Json });
    // NO_COLOR (no-color.org) counts when it is not empty.
    let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (log, flushing) = log(filter, format, colours, std::io::stderr())?;
    // A log that is set up already is a test's own.
    let _ = log.try_init();
    std::panic::set_hook(Box::new(panicked));
    Ok(flushing)
}

/// A log as [`begin`] makes it, to any sink.
///
/// # Errors
/// A filter that cannot be parsed.
pub fn log<W: Write + Send + 'static>(
    filter: &str,
    format: LogFormat,
    colours: bool,
    sink: W,
) -> Result<(Dispatch, Flushing), ParseError> {
    let filter = EnvFilter::builder().parse(filter)?;
    let (out, flushing) = Out::begin(sink);
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(out).with_ansi(colours);
    let log = match format {
        LogFormat::Pretty => Dispatch::new(log.event_format(Pretty::default()).finish()),
        LogFormat::Json => Dispatch::new(log.event_format(Json).finish()),
    };
    Ok((log, flushing))
}

fn panicked(panic: &PanicHookInfo<'_>) {
    let reason = panic.payload_as_str().unwrap_or("no text");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    error!(place, "panicked: {reason}");
}
