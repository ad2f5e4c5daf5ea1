//! A recorded trace: JSON lines, read and checked as a whole before anything runs.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::str;
use std::sync::Arc;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Unexpected, Visitor};

/// The longest time that a trace may name: a day.
pub(crate) const MAX_MS: u64 = 24 * 60 * 60 * 1000;

/// The largest trace that is read.
const MAX_BYTES: u64 = 256 << 20;

/// What is wrong with a trace, for the person who wrote it.
pub(crate) type Complaint = String;

/// At least one request, in the order of their times.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) requests: Vec<Request>,
    /// How many different tokens there are.
    pub(crate) tokens: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) at: Duration,
    pub(crate) token: Arc<str>,
    pub(crate) work: Duration,
}

impl Trace {
    /// Reads the file, or standard input for `-`.
    pub(crate) fn read(path: &Path) -> Result<Self, Complaint> {
        let (name, input) = if path == Path::new("-") {
            ("standard input".to_string(), bytes_of(io::stdin().lock()))
        } else {
            let input = File::open(path).and_then(bytes_of);
            (path.display().to_string(), input)
        };
        let input = input.map_err(|why| format!("can not read {name}: {why}"))?;
        Self::parse(&input).map_err(|why| format!("{name}{why}"))
    }

    /// The complaint goes on from the name of the input.
    fn parse(input: &[u8]) -> Result<Self, Complaint> {
        if input.len() as u64 > MAX_BYTES {
            return Err(format!(": more than {} MiB", MAX_BYTES >> 20));
        }
        // Some editors begin a file with a byte order mark.
        let input = input.strip_prefix("\u{feff}".as_bytes()).unwrap_or(input);
        let mut tokens: HashSet<Arc<str>> = HashSet::new();
        let mut requests = Vec::new();
        for (index, bytes) in input.split(|byte| *byte == b'\n').enumerate() {
            let Some(line) = Line::parse(bytes)
                .map_err(|(column, why)| format!(", line {}, column {column}: {why}", index + 1))?
            else {
                continue;
            };
            let token = match tokens.get(line.token.as_str()) {
                Some(known) => known.clone(),
                None => Arc::from(line.token),
            };
            tokens.insert(token.clone());
            requests.push(Request {
                at: line.at_ms.0,
                token,
                work: line.work_ms.0,
            });
        }
        if requests.is_empty() {
            return Err(": no request in it".to_string());
        }
        // Stable: requests of one moment stay in the order of their lines.
        requests.sort_by_key(|request| request.at);
        Ok(Self {
            requests,
            tokens: tokens.len(),
        })
    }

    /// When the last operation has ended, if it is the last to begin and the longest.
    pub(crate) fn length(&self) -> Duration {
        let last = self.requests.last().map(|request| request.at);
        last.unwrap_or_default() + self.longest()
    }

    /// The longest operation.
    pub(crate) fn longest(&self) -> Duration {
        let longest = self.requests.iter().map(|request| request.work).max();
        longest.unwrap_or_default()
    }
}

fn bytes_of(input: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    at_ms: Millis,
    token: String,
    work_ms: Millis,
}

impl Line {
    /// `None` for a blank line. The complaint comes with its column, from 1.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, (usize, Complaint)> {
        let text = str::from_utf8(bytes)
            .map_err(|why| (why.valid_up_to() + 1, "not UTF-8".to_string()))?;
        if text.trim().is_empty() {
            return Ok(None);
        }
        // Else the fields may come as a list, without their names.
        let blank = text.len() - text.trim_start().len();
        if !text[blank..].starts_with('{') {
            return Err((blank + 1, "not a JSON object".to_string()));
        }
        let mut json = serde_json::Deserializer::from_str(text);
        let line = serde_path_to_error::deserialize(&mut json).map_err(|why| {
            let path = why.path().to_string();
            let (column, why) = explain(why.inner());
            // A dot is the line itself, and a name that is not known is in the message already.
            let named = ["at_ms", "token", "work_ms"].contains(&path.as_str());
            (column, if named { format!("{path}: {why}") } else { why })
        })?;
        json.end().map_err(|why| explain(&why))?;
        Ok(Some(line))
    }
}

/// The message without its position: to the parser, each line is line 1.
fn explain(why: &serde_json::Error) -> (usize, Complaint) {
    let text = why.to_string();
    let message = match text.rsplit_once(" at line ") {
        Some((message, _)) if why.line() > 0 => message.to_string(),
        _ => text,
    };
    (why.column().max(1), message)
}

/// A time in a trace.
struct Millis(Duration);

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Whole;

        impl Visitor<'_> for Whole {
            type Value = Millis;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number of milliseconds from 0 to {MAX_MS}")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Millis, E> {
                if value > MAX_MS {
                    return Err(E::invalid_value(Unexpected::Unsigned(value), &self));
                }
                Ok(Millis(Duration::from_millis(value)))
            }
        }

        from.deserialize_u64(Whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"at_ms":5,"token":"a","work_ms":10}"#;

    #[test]
    fn requests_are_replayed_in_the_order_of_their_times_and_lines() {
        let trace = Trace::parse(
            br#"{"at_ms":7,"token":"late","work_ms":1}
                {"work_ms":900,"token":"first","at_ms":0}
                {"at_ms":7,"token":"later","work_ms":2}"#,
        )
        .unwrap();
        let order: Vec<&str> = trace.requests.iter().map(|r| &*r.token).collect();
        assert_eq!(order, ["first", "late", "later"]);
        assert_eq!(trace.tokens, 3);
        assert_eq!(trace.length(), Duration::from_millis(907));
    }

    #[test]
    fn equal_tokens_are_counted_once() {
        let trace = Trace::parse(format!("{GOOD}\n{GOOD}\n").as_bytes()).unwrap();
        assert_eq!((trace.requests.len(), trace.tokens), (2, 1));
    }

    #[test]
    fn blank_lines_carriage_returns_and_a_byte_order_mark_are_no_requests() {
        let trace = Trace::parse(format!("\u{feff}\r\n{GOOD}\r\n  \n\n{GOOD}").as_bytes()).unwrap();
        assert_eq!(trace.requests.len(), 2);
    }

    #[test]
    fn odd_tokens_are_tokens() {
        for token in ["", " ", "\\u0000", "\u{1F980}", &"x".repeat(1 << 20)] {
            let line = format!(r#"{{"at_ms":0,"token":"{token}","work_ms":0}}"#);
            assert!(Trace::parse(line.as_bytes()).is_ok(), "{token:.20}");
        }
    }
}
