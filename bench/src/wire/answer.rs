//! The head of an answer.

/// How the body of an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Length(u64),
    Chunked,
    UntilEnd,
}

/// The head of an answer, with the few headers that the generator heeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) framing: Framing,
    /// The target will take no further request on this connection.
    pub(crate) closes: bool,
    pub(crate) location: Option<String>,
    pub(crate) challenge: Option<String>,
}

impl Head {
    /// Parses a head with the empty line at its end.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
        let first = lines.next()?;
        if !first.starts_with(b"HTTP/1.") {
            return None;
        }
        let status = std::str::from_utf8(first.get(9..12)?).ok()?.parse().ok()?;
        let none = matches!(status, 100..=199 | 204 | 304);
        let framing = if none { Framing::None } else { Framing::UntilEnd };
        let mut head = Self { status, framing, closes: false, location: None, challenge: None };
        for line in lines {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            // By length first: most headers are none of these.
            match name.len() {
                14 if name.eq_ignore_ascii_case(b"content-length") && !none => {
                    head.framing = Framing::Length(std::str::from_utf8(value).ok()?.parse().ok()?);
                }
                17 if name.eq_ignore_ascii_case(b"transfer-encoding") && !none => {
                    head.framing = Framing::Chunked;
                }
                10 if name.eq_ignore_ascii_case(b"connection") => {
                    head.closes = value.eq_ignore_ascii_case(b"close");
                }
                8 if name.eq_ignore_ascii_case(b"location") => {
                    head.location = Some(String::from_utf8_lossy(value).into_owned());
                }
                16 if name.eq_ignore_ascii_case(b"www-authenticate") => {
                    head.challenge = Some(String::from_utf8_lossy(value).into_owned());
                }
                _ => {}
            }
        }
        head.closes |= head.framing == Framing::UntilEnd;
        Some(head)
    }

    /// Whether the status is one of success (2xx).
    pub(crate) fn succeeded(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

#[cfg(test)]
mod tests {
    use super::{Framing, Head};

    #[test]
    fn the_head_says_how_the_body_ends() {
        let head =
            Head::parse(b"HTTP/1.1 206 Partial Content\r\nContent-Length: 12\r\nX: y\r\n\r\n").unwrap();
        assert_eq!((head.status, head.framing, head.closes), (206, Framing::Length(12), false));
        let head = Head::parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nConnection: close\r\n\r\n")
            .unwrap();
        assert_eq!((head.framing, head.closes), (Framing::Chunked, true));
        let head = Head::parse(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        assert_eq!((head.framing, head.closes), (Framing::None, false));
        assert!(
            Head::parse(b"HTTP/1.0 200 OK\r\n\r\n").unwrap().closes,
            "a body without a length ends with the line"
        );
        assert_eq!(Head::parse(b"SSH-2.0\r\n\r\n"), None);
    }
}
