//! The table of zei-log: what zei-init tells it about the streams that it is to pump.
//!
//! Owns: the bytes of the table and of the state that outlives a zei-log. Must never: be read by anything but zei-log
//! of the same build.
//!
//! The table lies in a sealed memfd whose number is zei-log's only argument. It names other descriptors by the
//! numbers that they have in zei-log:
//!
//! ```text
//! token=HEX\0 state=FD\0 [services=FD\0] and for each service: name=NAME\0 [pattern=REGEX\0] [notify=FD\0]
//! and for each of its log pipes: stdout=FD\0 or stderr=FD\0, by the container's stream that it goes to
//! ```

use crate::name::ServiceName;

/// A stream of the container.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Side {
    const fn key(self) -> &'static str {
        match self {
            Side::Out => "stdout",
            Side::Err => "stderr",
        }
    }
}

/// What zei-log pumps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// What stands in the marks of runs (see `protocol::boundary`): random for each start of zei-init.
    pub token: u64,
    /// The state of the pump: a memfd of [`Table::state_size`] bytes, all zero at first.
    pub state: i32,
    /// The directory of all services' directories; `None` where zei runs without one.
    pub services: Option<i32>,
    /// The services.
    pub pumped: Vec<Pumped>,
}

/// A service whose output is pumped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pumped {
    /// Its name.
    pub name: ServiceName,
    /// The line that makes it ready.
    pub pattern: Option<String>,
    /// The pipe through which zei-log tells that it is.
    pub notify: Option<i32>,
    /// Its log pipes: two at most, one for each of the container's streams.
    pub streams: Vec<(Side, i32)>,
}

/// In the state: one for the container's streams, then one for each log pipe.
pub const STATE_SLOT: usize = 16;

impl Table {
    /// The bytes of the table.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut put = |key: &str, value: &dyn core::fmt::Display| bytes.extend(format!("{key}={value}\0").into_bytes());
        put("token", &format_args!("{:x}", self.token));
        put("state", &self.state);
        if let Some(services) = &self.services {
            put("services", services);
        }
        for pumped in &self.pumped {
            put("name", &pumped.name);
            if let Some(pattern) = &pumped.pattern {
                put("pattern", pattern);
            }
            if let Some(notify) = &pumped.notify {
                put("notify", notify);
            }
            for (side, pipe) in &pumped.streams {
                put(side.key(), pipe);
            }
        }
        bytes
    }

    /// Reads the table; `None` where it is none.
    pub fn decode(bytes: &[u8]) -> Option<Table> {
        let mut table = Table { token: 0, state: -1, services: None, pumped: Vec::new() };
        for entry in bytes.strip_suffix(b"\0")?.split(|byte| *byte == 0) {
            let (key, value) = core::str::from_utf8(entry).ok()?.split_once('=')?;
            match (key, table.pumped.last_mut()) {
                ("token", _) => table.token = u64::from_str_radix(value, 16).ok()?,
                ("state", _) => table.state = value.parse().ok()?,
                ("services", _) => table.services = Some(value.parse().ok()?),
                ("name", _) => table.pumped.push(Pumped {
                    name: ServiceName::parse(value).ok()?,
                    pattern: None,
                    notify: None,
                    streams: Vec::new(),
                }),
                ("pattern", Some(pumped)) => pumped.pattern = Some(value.to_owned()),
                ("notify", Some(pumped)) => pumped.notify = Some(value.parse().ok()?),
                ("stdout", Some(pumped)) => pumped.streams.push((Side::Out, value.parse().ok()?)),
                ("stderr", Some(pumped)) => pumped.streams.push((Side::Err, value.parse().ok()?)),
                _ => return None,
            }
        }
        (table.state >= 0).then_some(table)
    }

    /// All descriptors that it names, each once.
    pub fn descriptors(&self) -> Vec<i32> {
        let of =
            |pumped: &Pumped| pumped.streams.iter().map(|(_, pipe)| *pipe).chain(pumped.notify).collect::<Vec<_>>();
        let mut all: Vec<i32> = self.pumped.iter().flat_map(of).chain(self.services).chain([self.state]).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// How many log pipes there are.
    pub fn streams(&self) -> usize {
        self.pumped.iter().map(|pumped| pumped.streams.len()).sum()
    }

    /// How large the state is, in bytes.
    pub fn state_size(&self) -> usize {
        (1 + self.streams()) * STATE_SLOT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_back_as_it_was_given() {
        let pumped = |name, pattern: Option<&str>, notify, streams| Pumped {
            name: ServiceName::parse(name).unwrap(),
            pattern: pattern.map(str::to_owned),
            notify,
            streams,
        };
        let table = Table {
            token: u64::MAX,
            state: 20,
            services: Some(7),
            pumped: vec![
                pumped("web", Some("a = b\n$"), Some(30), vec![(Side::Out, 31), (Side::Err, 32)]),
                pumped("worker", None, None, vec![(Side::Err, 33)]),
                pumped("quiet", Some(""), Some(30), vec![]),
            ],
        };
        assert_eq!(Table::decode(&table.encode()), Some(table.clone()));
        assert_eq!(table.descriptors(), [7, 20, 30, 31, 32, 33]);
        assert_eq!((table.streams(), table.state_size()), (3, 64));
        let least = Table { token: 0, state: 3, services: None, pumped: vec![] };
        assert_eq!(Table::decode(&least.encode()), Some(least));
    }

    #[test]
    fn what_is_no_table_is_none() {
        for bytes in [&b""[..], b"token=1\0", b"state=3", b"state=3\0notify=4\0", b"state=3\0other=4\0", b"state=x\0"] {
            assert_eq!(Table::decode(bytes), None, "{}", String::from_utf8_lossy(bytes));
        }
    }
}
