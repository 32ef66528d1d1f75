//! The form of a line of the log.
//!
//! JSON is written here and not by `tracing-subscriber`, whose way (a map of values for each line, the time printed digit
//! by digit) cost more than the rest of a small request's telemetry. The fields, their names and their order are its own:
//! `timestamp`, `level`, those of the event, `target`, and `span` with the id of the request at work.

use super::current;
use std::cell::RefCell;
use std::fmt::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// A number of JSON is no longer.
const NUMBER_CHARS_MAX: usize = 40;
/// Room that a thread keeps from one line to the next.
const LINE_BYTES_KEPT: usize = 4 << 10;

/// One JSON object on a line.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        thread_local! {
            static LINE: RefCell<String> = const { RefCell::new(String::new()) };
        }
        // Put together by itself: a line has some sixty parts, and the writer looks its way up for each of them. What a
        // field's own `Debug` logs meanwhile has a line of its own.
        LINE.with(|line| match line.try_borrow_mut() {
            Ok(mut line) => {
                line.clear();
                line.shrink_to(LINE_BYTES_KEPT);
                write_line(&mut line, event)?;
                writer.write_str(&line)
            }
            Err(_) => {
                let mut line = String::new();
                write_line(&mut line, event)?;
                writer.write_str(&line)
            }
        })
    }
}

fn write_line(line: &mut String, event: &Event<'_>) -> fmt::Result {
    line.push_str("{\"timestamp\":\"");
    stamp(line)?;
    line.push_str("\",\"level\":\"");
    line.push_str(event.metadata().level().as_str());
    line.push('"');
    let mut fields = Fields { line, written: Ok(()), target: None };
    event.record(&mut fields);
    fields.written?;
    let target = fields.target;
    line.push_str(",\"target\":");
    string(line, target.as_deref().unwrap_or(event.metadata().target()))?;
    current::with(|id| {
        if let Some(id) = id {
            // An id needs no escaping.
            line.push_str(",\"span\":{\"request.id\":\"");
            line.push_str(id.as_str());
            line.push_str("\",\"name\":\"request\"}");
        }
    });
    line.push_str("}\n");
    Ok(())
}

/// For people: the usual form of `tracing-subscriber`, with the request at work where it has spans.
#[derive(Clone, Debug)]
pub(super) struct Pretty(Format<Full, ()>);

impl Default for Pretty {
    fn default() -> Self {
        Self(tracing_subscriber::fmt::format().without_time().with_level(false))
    }
}

impl<S, N> FormatEvent<S, N> for Pretty
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = *event.metadata().level();
        let (dim, bold, plain) = match writer.has_ansi_escapes() {
            true => ("\x1b[2m", "\x1b[1m", "\x1b[0m"),
            false => ("", "", ""),
        };
        let colour = match (writer.has_ansi_escapes(), level) {
            (false, _) => "",
            (true, Level::ERROR) => "\x1b[31m",
            (true, Level::WARN) => "\x1b[33m",
            (true, Level::INFO) => "\x1b[32m",
            (true, Level::DEBUG) => "\x1b[34m",
            (true, _) => "\x1b[35m",
        };
        writer.write_str(dim)?;
        stamp(&mut writer)?;
        write!(writer, "{plain} {colour}{:>5}{plain} ", level.as_str())?;
        current::with(|id| match id {
            Some(id) => write!(writer, "{bold}request{{{plain}request.id={id}{bold}}}{plain}{dim}:{plain} "),
            None => Ok(()),
        })?;
        self.0.format_event(context, writer, event)
    }
}

/// The fields of an event as members of an object.
struct Fields<'w> {
    line: &'w mut String,
    /// What went wrong first: a visitor has nobody to tell.
    written: fmt::Result,
    /// Of a line that came by the crate `log`, which has one place for all of its lines in the source.
    target: Option<String>,
}

impl Fields<'_> {
    fn member(&mut self, field: &Field, value: impl FnOnce(&mut String) -> fmt::Result) {
        // `log.file` and the like: where in somebody else's sources.
        if self.written.is_err() || field.name().starts_with("log.") {
            return;
        }
        // Names of fields are identifiers of our sources; those that are reserved words are written `r#type` there.
        let name = field.name();
        self.line.push_str(",\"");
        self.line.push_str(name.strip_prefix("r#").unwrap_or(name));
        self.line.push_str("\":");
        self.written = value(self.line);
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no word for what is no number; it is `null` then.
        self.member(field, |to| number(to, value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field, |to| number(to, value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field, |to| number(to, value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, |to| write!(to, "{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "log.target" {
            self.target = Some(value.to_owned());
        }
        self.member(field, |to| string(to, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.member(field, |to| {
            to.push('"');
            write!(Escaped(to), "{value:?}")?;
            to.push('"');
            Ok(())
        });
    }
}

/// A number, in a tenth of the steps that a formatter takes.
fn number(to: &mut String, value: impl serde::Serialize) -> fmt::Result {
    let mut text = [0; NUMBER_CHARS_MAX];
    let mut rest = text.as_mut_slice();
    serde_json::to_writer(&mut rest, &value).map_err(|_| fmt::Error)?;
    let length = NUMBER_CHARS_MAX - rest.len();
    to.push_str(std::str::from_utf8(&text[..length]).map_err(|_| fmt::Error)?);
    Ok(())
}

fn string(to: &mut String, text: &str) -> fmt::Result {
    to.push('"');
    Escaped(to).write_str(text)?;
    to.push('"');
    Ok(())
}

fn is_escaped(byte: u8) -> bool {
    (byte < b' ') | (byte == b'"') | (byte == b'\\')
}

/// The inside of a string of JSON (RFC 8259 §7).
struct Escaped<'a>(&'a mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Nearly all text needs none; looking at all of it without an end in between takes many bytes at once.
        if !text.bytes().fold(false, |any, byte| any | is_escaped(byte)) {
            self.0.push_str(text);
            return Ok(());
        }
        let mut plain = 0;
        for (at, byte) in text.bytes().enumerate() {
            if !is_escaped(byte) {
                continue;
            }
            self.0.push_str(&text[plain..at]);
            plain = at + 1;
            match byte {
                b'"' => self.0.push_str("\\\""),
                b'\\' => self.0.push_str("\\\\"),
                b'\n' => self.0.push_str("\\n"),
                b'\r' => self.0.push_str("\\r"),
                b'\t' => self.0.push_str("\\t"),
                _ => write!(self.0, "\\u{byte:04x}")?,
            }
        }
        self.0.push_str(&text[plain..]);
        Ok(())
    }
}

/// The time in UTC to the microsecond (RFC 3339). What changes once in a second is kept for it.
fn stamp(to: &mut impl fmt::Write) -> fmt::Result {
    thread_local! {
        static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    SECOND.with_borrow_mut(|(known, text)| {
        if *known != seconds {
            let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
            text.clear();
            write!(text, "{}", time.strftime("%Y-%m-%dT%H:%M:%S"))?;
            *known = seconds;
        }
        to.write_str(text)
    })?;
    let mut rest = now.subsec_micros();
    let mut digits = *b".000000Z";
    for digit in digits[1..7].iter_mut().rev() {
        *digit += u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    to.write_str(std::str::from_utf8(&digits).unwrap_or_default())
}
