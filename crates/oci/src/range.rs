//! Byte ranges: what a download asks for (RFC 9110 §14.2) and what a chunk of an upload says it is
//! (distribution-spec, "Pushing a blob in chunks").
//!
//! Left out: `multipart/byteranges`. A server may always ignore a range; a request for several gets everything,
//! which clients of zstd:chunked images take as well.

use std::str::FromStr;

/// What to send for a `Range` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requested {
    /// All of it, with 200.
    Whole,
    /// A part, with 206. Always within the content: `first <= last < size`.
    Part {
        /// First byte.
        first: u64,
        /// Last byte, inclusive.
        last: u64,
    },
    /// Nothing, with 416 and `Content-Range: bytes */size`.
    Unsatisfiable,
}

/// Reads a `Range` header for content of `size` bytes.
///
/// A header outside the grammar, of another unit or with several ranges is ignored, as RFC 9110 §14.2 asks.
/// One thing differs from it on purpose: a last byte before the first is unsatisfiable here and would be
/// ignored there; the conformance suite (`bytes=500-0`) wants a 416, and no client sends it.
pub fn requested(header: Option<&str>, size: u64) -> Requested {
    let Some((from, to)) = header.and_then(single_range) else { return Requested::Whole };
    let (first, last) = match (number(from), number(to)) {
        (Some(first), Some(last)) if last < first => return Requested::Unsatisfiable,
        (Some(first), Some(last)) => (first, last),
        (Some(first), None) if to.is_empty() => (first, u64::MAX),
        (None, Some(0)) if from.is_empty() => return Requested::Unsatisfiable,
        (None, Some(length)) if from.is_empty() => (size.saturating_sub(length), u64::MAX),
        _ => return Requested::Whole,
    };
    if size == 0 && first == 0 {
        // All of nothing: there is no way to write its Content-Range, and clients that send `bytes=0-` with
        // every request must not fail on an empty blob. Go's file server does the same.
        return Requested::Whole;
    }
    if first >= size {
        return Requested::Unsatisfiable;
    }
    Requested::Part { first, last: last.min(size - 1) }
}

/// `from` and `to` of `bytes=from-to`, where either may be empty.
fn single_range(header: &str) -> Option<(&str, &str)> {
    let (unit, set) = header.split_once('=')?;
    // Range units are case-insensitive (RFC 9110 §14.1).
    if !unit.trim_matches([' ', '\t']).eq_ignore_ascii_case("bytes") {
        return None;
    }
    set.trim_matches([' ', '\t']).split_once('-')
}

/// A number of any length; those above `u64::MAX` are as good as it, no content is larger.
fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

/// Where a chunk belongs in its upload: both ends inclusive, both at most `i64::MAX`, `first <= last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// First byte.
    pub first: u64,
    /// Last byte, inclusive.
    pub last: u64,
}

impl ContentRange {
    /// Bytes in the chunk, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a range with both ends inclusive is never empty")]
    pub fn len(&self) -> u64 {
        self.last - self.first + 1
    }
}

impl FromStr for ContentRange {
    type Err = ContentRangeError;

    /// Takes `0-1023`, as the distribution-spec has it, and `bytes 0-1023/*` or `bytes 0-1023/4096`, as RFC 9110
    /// §14.4 has it, which careful clients send.
    fn from_str(text: &str) -> Result<Self, ContentRangeError> {
        let text = text.trim_matches([' ', '\t']);
        let range = match text.split_at_checked(6) {
            Some((unit, range)) if unit.eq_ignore_ascii_case("bytes ") => range,
            _ => text,
        };
        let (range, total) = match range.split_once('/') {
            Some((range, "*")) => (range, None),
            Some((range, total)) => (range, Some(number(total).ok_or(ContentRangeError::Form)?)),
            None => (range, None),
        };
        let (first, last) = range.split_once('-').ok_or(ContentRangeError::Form)?;
        let first = number(first).ok_or(ContentRangeError::Form)?;
        let last = number(last).ok_or(ContentRangeError::Form)?;
        if last < first {
            return Err(ContentRangeError::Reversed { first, last });
        }
        if i64::try_from(last).is_err() {
            return Err(ContentRangeError::TooLarge);
        }
        if let Some(total) = total.filter(|&total| last >= total) {
            return Err(ContentRangeError::BeyondTotal { last, total });
        }
        Ok(Self { first, last })
    }
}

/// Why a `Content-Range` of a chunk is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentRangeError {
    /// Outside the grammar.
    #[error("not a `Content-Range`; write it as `<first>-<last>`, such as `0-1023`")]
    Form,
    /// The last byte is before the first.
    #[error("`Content-Range` ends at {last}, before its start at {first}; both ends are inclusive")]
    Reversed {
        /// First byte.
        first: u64,
        /// Last byte.
        last: u64,
    },
    /// Larger than any blob.
    #[error("`Content-Range` ends beyond {}, the largest size of a blob", i64::MAX)]
    TooLarge,
    /// The chunk reaches beyond the total that is given with it.
    #[error(
        "`Content-Range` ends at {last} of {total} bytes; the last byte is at most one less than the total"
    )]
    BeyondTotal {
        /// Last byte.
        last: u64,
        /// Bytes in all.
        total: u64,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part(first: u64, last: u64) -> Requested {
        Requested::Part { first, last }
    }

    // The six of the conformance suite, then what clients send.
    #[test]
    fn a_range_is_clamped_to_the_content() {
        for (header, answer) in [
            ("bytes=500-1499", part(500, 1499)),
            ("bytes=500-", part(500, 1999)),
            ("bytes=-500", part(1500, 1999)),
            ("bytes=1500-5000", part(1500, 1999)),
            ("bytes=2000-5000", Requested::Unsatisfiable),
            ("bytes=500-0", Requested::Unsatisfiable),
            ("bytes=5000-10000", Requested::Unsatisfiable),
            ("bytes=0-", part(0, 1999)),
            ("bytes=0-0", part(0, 0)),
            ("bytes=1999-", part(1999, 1999)),
            ("bytes=-5000", part(0, 1999)),
            ("bytes=-0", Requested::Unsatisfiable),
            ("Bytes= 1-2 ", part(1, 2)),
            ("bytes=0-99999999999999999999999", part(0, 1999)),
            ("bytes=99999999999999999999999-", Requested::Unsatisfiable),
            ("bytes=-99999999999999999999999", part(0, 1999)),
        ] {
            assert_eq!(requested(Some(header), 2000), answer, "{header}");
        }
    }

    #[test]
    fn a_range_that_is_not_understood_is_ignored() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=1-b",
            "bytes=a-1",
            "bytes=--1",
            "bytes=+1-2",
            "bytes=1-2-3",
            "bytes=0x1-2",
            "bytes=1 - 2",
            "bytes=0-1,3-4",
            "bytes=0-1,",
            "bytes 0-1",
            "items=0-1",
            "seconds=0-",
            "bytes=٣-٤",
        ] {
            assert_eq!(requested(Some(header), 2000), Requested::Whole, "{header}");
        }
        assert_eq!(requested(None, 2000), Requested::Whole);
    }

    #[test]
    fn an_empty_blob_is_sent_whole_to_those_who_ask_from_its_start() {
        for header in ["bytes=0-", "bytes=0-0", "bytes=0-1023", "bytes=-5"] {
            assert_eq!(requested(Some(header), 0), Requested::Whole, "{header}");
        }
        for header in ["bytes=1-", "bytes=1-0", "bytes=-0"] {
            assert_eq!(requested(Some(header), 0), Requested::Unsatisfiable, "{header}");
        }
    }

    #[test]
    fn chunks_are_read_in_both_notations() {
        for text in ["5-9", "bytes 5-9/*", "bytes 5-9/10", "Bytes 5-9/10", " 5-9 ", "5-9/*", "005-009"] {
            let range: ContentRange = text.parse().unwrap();
            assert_eq!((range.first, range.last, range.len()), (5, 9, 5), "{text}");
        }
        let longest: ContentRange = "0-9223372036854775807".parse().unwrap();
        assert_eq!(longest.len(), 1 << 63);
    }

    #[test]
    fn each_mistake_in_a_chunk_has_its_name() {
        for (text, error) in [
            ("", ContentRangeError::Form),
            ("-", ContentRangeError::Form),
            ("5", ContentRangeError::Form),
            ("5-", ContentRangeError::Form),
            ("-5", ContentRangeError::Form),
            ("0--1", ContentRangeError::Form),
            ("bytes=5-9", ContentRangeError::Form),
            ("bytes */10", ContentRangeError::Form),
            ("items 5-9/10", ContentRangeError::Form),
            ("5-9/", ContentRangeError::Form),
            ("5-9/x", ContentRangeError::Form),
            ("９-9", ContentRangeError::Form),
            ("9-5", ContentRangeError::Reversed { first: 9, last: 5 }),
            ("5-9/9", ContentRangeError::BeyondTotal { last: 9, total: 9 }),
            ("0-9223372036854775808", ContentRangeError::TooLarge),
            ("0-99999999999999999999999999", ContentRangeError::TooLarge),
        ] {
            assert_eq!(text.parse::<ContentRange>(), Err(error), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_part_never_exceeds_the_content(header in "bytes=[0-9]{0,20}-[0-9]{0,20}|.*", size: u64) {
            for size in [size, size % 100] {
                if let Requested::Part { first, last } = requested(Some(&header), size) {
                    prop_assert!(first <= last && last < size);
                }
            }
        }

        #[test]
        fn a_range_within_the_content_is_what_is_sent(size in 1..u64::MAX, a: u64, b: u64) {
            let (first, last) = ((a % size).min(b % size), (a % size).max(b % size));
            prop_assert_eq!(requested(Some(&format!("bytes={first}-{last}")), size), part(first, last));
            prop_assert_eq!(requested(Some(&format!("bytes={first}-")), size), part(first, size - 1));
            prop_assert_eq!(requested(Some(&format!("bytes=-{}", size - first)), size), part(first, size - 1));
        }

        #[test]
        fn any_text_is_an_ordered_chunk_or_refused(text in "(bytes )?[0-9]{0,20}-[0-9]{0,20}(/[0-9*]{0,20})?|.*") {
            if let Ok(range) = text.parse::<ContentRange>() {
                prop_assert!(range.first <= range.last && i64::try_from(range.last).is_ok());
                prop_assert_eq!(format!("{}-{}", range.first, range.last).parse(), Ok(range));
            }
        }
    }
}
