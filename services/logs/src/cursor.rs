//! Places between events, and the tokens that name them.
//!
//! `GetLogEvents` answers the token that it was given when there is nothing more, so a token is the place itself and not sealed: it tells
//! nothing that its stream does not. It names the stream, and is refused with another.

use crate::error::LogsError;

const TIME_DIGITS: usize = 14;
const SEQUENCE_DIGITS: usize = 20;
const INDEX_DIGITS: usize = 5;
const STREAM_DIGITS: usize = 17;

/// A place in the order of a stream's events: by time, then by the batch that brought the event, then by the place in it. A cursor is in front of
/// the event of the same numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cursor {
    pub time_ms: i64,
    pub sequence: u64,
    pub index: u32,
}

/// Which way a token leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Backward,
}

impl Cursor {
    /// Before every event of this time.
    pub(crate) fn at(time_ms: i64) -> Self {
        Self { time_ms, sequence: 0, index: 0 }
    }

    /// Behind the event that this cursor is in front of.
    pub(crate) fn behind(self) -> Self {
        Self { index: self.index.saturating_add(1), ..self }
    }

    /// As digits: the identifier of an event, and the inner part of a token.
    pub(crate) fn digits(self, stream_id: &str) -> String {
        format!(
            "{:0TIME_DIGITS$}{:0SEQUENCE_DIGITS$}{:0INDEX_DIGITS$}{:0STREAM_DIGITS$}",
            self.time_ms.max(0),
            self.sequence,
            self.index,
            stream_number(stream_id)
        )
    }

    pub(crate) fn token(self, direction: Direction, stream_id: &str) -> String {
        let mark = if direction == Direction::Forward { 'f' } else { 'b' };
        format!("{mark}/{}", self.digits(stream_id))
    }

    /// The place and direction of a token of this stream.
    pub(crate) fn parse(token: &str, stream_id: &str) -> Result<(Self, Direction), LogsError> {
        let invalid = || LogsError::parameter("The specified nextToken is invalid.");
        let (mark, digits) = token.split_once('/').ok_or_else(invalid)?;
        let direction = match mark {
            "f" => Direction::Forward,
            "b" => Direction::Backward,
            _ => return Err(invalid()),
        };
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(invalid());
        }
        let mut rest = digits;
        let mut take = |length: usize| {
            let (part, behind) = rest.split_at_checked(length)?;
            rest = behind;
            part.parse::<u64>().ok()
        };
        let (Some(time), Some(sequence), Some(index), Some(stream)) =
            (take(TIME_DIGITS), take(SEQUENCE_DIGITS), take(INDEX_DIGITS), take(STREAM_DIGITS))
        else {
            return Err(invalid());
        };
        if !rest.is_empty() || stream != stream_number(stream_id) {
            return Err(invalid());
        }
        let time_ms = i64::try_from(time).map_err(|_| invalid())?;
        Ok((Self { time_ms, sequence, index: u32::try_from(index).map_err(|_| invalid())? }, direction))
    }
}

/// A number that stands for the stream in tokens and identifiers.
fn stream_number(stream_id: &str) -> u64 {
    const BELOW: u64 = 100_000_000_000_000_000;
    let hash = transparency::merkle::sha256(stream_id.as_bytes());
    hash.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte)) % BELOW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_name_place_direction_and_stream() {
        let cursor = Cursor { time_ms: 1_790_000_000_123, sequence: 7, index: 9_999 };
        for direction in [Direction::Forward, Direction::Backward] {
            let token = cursor.token(direction, "one");
            assert_eq!(token.len(), 58);
            assert_eq!(Cursor::parse(&token, "one"), Ok((cursor, direction)));
            assert!(Cursor::parse(&token, "two").is_err());
        }
        for bad in
            ["", "f/", "x/1", "f/12", &format!("f/{}", "9".repeat(56)), &format!("f/{}", "é".repeat(28)), &format!("f/+{}", "1".repeat(55))]
        {
            assert!(Cursor::parse(bad, "one").is_err(), "{bad}");
        }
    }

    #[test]
    fn a_place_behind_an_event_is_before_the_next() {
        let first = Cursor { time_ms: 5, sequence: 1, index: 0 };
        let second = Cursor { time_ms: 5, sequence: 1, index: 1 };
        assert!(first < first.behind() && first.behind() <= second && Cursor::at(5) < first && Cursor::at(6) > second);
    }
}
