//! Server-sent events, as far as chat streams use them: the `data` of each event.
//!
//! Source: WHATWG HTML, "Server-sent events", section "Interpreting an event stream".

/// Longest event that is put together, bytes.
const EVENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// An event is longer than can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is longer than {EVENT_BYTES_MAX} bytes")]
pub(crate) struct EventTooLong;

/// Takes the bytes of a stream in any pieces and gives the data of each event that is complete.
#[derive(Debug, Default)]
pub(crate) struct EventParser {
    line: Vec<u8>,
    /// Lines of data of the event so far.
    data: Vec<String>,
    data_bytes: usize,
    /// The last byte was a carriage return: a line feed that follows belongs to it.
    after_return: bool,
    /// The first line is still to come, which may begin with a byte order mark.
    started: bool,
}

impl EventParser {
    /// The events that these bytes complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, EventTooLong> {
        let mut events = Vec::new();
        for byte in bytes {
            let follows_return = std::mem::replace(&mut self.after_return, *byte == b'\r');
            match byte {
                b'\n' if follows_return => {}
                b'\n' | b'\r' => events.extend(self.end_line()),
                other => {
                    self.line.push(*other);
                    if self.line.len() + self.data_bytes > EVENT_BYTES_MAX {
                        return Err(EventTooLong);
                    }
                }
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Option<String> {
        let line = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        let line = if std::mem::replace(&mut self.started, true) { line.as_str() } else { line.trim_start_matches('\u{FEFF}') };
        if line.is_empty() {
            self.data_bytes = 0;
            let data = std::mem::take(&mut self.data);
            return (!data.is_empty()).then(|| data.join("\n"));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        if field == "data" {
            let value = value.strip_prefix(' ').unwrap_or(value);
            self.data_bytes += value.len() + 1;
            self.data.push(value.to_owned());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(pieces: &[&[u8]]) -> Vec<String> {
        let mut parser = EventParser::default();
        pieces.iter().flat_map(|piece| parser.push(piece).unwrap()).collect()
    }

    #[test]
    fn events_are_the_joined_data_lines() {
        let stream =
            b"\xEF\xBB\xBFdata: {\"a\":1}\n\n: comment\nevent: x\ndata:first\ndata:  second\n\nid: 7\n\ndata: [DONE]\r\n\r\ndata: cut";
        assert_eq!(parse(&[stream]), ["{\"a\":1}", "first\n second", "[DONE]"]);
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut parser = EventParser::default();
        let piece = vec![b'a'; EVENT_BYTES_MAX / 2];
        assert_eq!(parser.push(&piece), Ok(Vec::new()));
        assert_eq!(parser.push(&piece), Ok(Vec::new()));
        assert_eq!(parser.push(b"a"), Err(EventTooLong));
    }

    proptest! {
        #[test]
        fn the_split_of_the_bytes_does_not_matter(
            parts in proptest::collection::vec("(data: ?[a-zé😀]{0,5}|: x|event: y|)(\n|\r\n|\r)", 0..12),
            cuts in proptest::collection::vec(0usize..200, 0..6),
        ) {
            let stream = parts.concat().into_bytes();
            let whole = parse(&[&stream]);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&stream[from..cut]);
                from = cut;
            }
            pieces.push(&stream[from..]);
            prop_assert_eq!(parse(&pieces), whole);
        }

        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = EventParser::default().push(&bytes);
        }
    }
}
