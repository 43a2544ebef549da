//! Server-sent events as they come over the wire, piece by piece.

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// Its type; empty for those without one.
    pub kind: String,
    pub data: String,
    /// What to come back with after this event.
    pub id: Option<String>,
}

/// Puts events together from pieces that end anywhere.
#[derive(Default)]
pub struct Parser {
    line: Vec<u8>,
    event: Event,
}

impl Parser {
    /// The events that a piece completes.
    pub fn push(&mut self, piece: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for byte in piece {
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8_lossy(&line);
            events.extend(self.line(line.trim_end_matches('\r')));
        }
        events
    }

    /// An empty line ends an event; one without data is none.
    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            return Some(std::mem::take(&mut self.event)).filter(|event| !event.data.is_empty());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.kind),
            "id" => self.event.id = Some(value.to_owned()),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // A comment, or what only browsers need.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_put_together_wherever_the_pieces_end() {
        let text = "retry: 2000\n\n:\n\nid: 3\ndata: {\"a\":1}\n\nevent: reset\r\ndata: x\r\ndata: y\r\n\r\ndata: half";
        let event = |kind: &str, data: &str, id: Option<&str>| Event { kind: kind.into(), data: data.into(), id: id.map(Into::into) };
        let wanted = [event("", "{\"a\":1}", Some("3")), event("reset", "x\ny", None)];
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let events: Vec<Event> = text.as_bytes().chunks(size).flat_map(|piece| parser.push(piece)).collect();
            assert_eq!(events, wanted, "{size}");
        }
    }
}
