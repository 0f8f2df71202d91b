//! A zei for tests.
use crate::name::ServiceName;
use crate::protocol::status::{State, Status};
use crate::text::Text;

/// A running service's status.
pub(crate) fn status(name: &str) -> Status {
    Status {
        seq: 1,
        name: ServiceName::parse(name).unwrap(),
        state: State::Running,
        reason: Text::new(),
        since: 1000,
        since_wall: 1_700_000_000_000,
        pid: Some(4711),
        start: Some(100),
        supervisor: 12,
        want: true,
        restarts: 0,
        exit: None,
        next: None,
        deadline: None,
        run: 1,
    }
}
