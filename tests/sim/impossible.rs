//! The pairs of phase and event that no schedule can lead to, each with the reason. They are asserted not to happen.

use crate::reached::{EventName, PhaseName, StageName, TreeEventName};

/// Why this event can't come in this phase; `None`: it can.
pub fn why(_phase: PhaseName, _event: EventName) -> Option<&'static str> {
    None
}

/// Why this event can't come in this stage of the tree; `None`: it can.
pub fn why_not_in_tree(_stage: StageName, _event: TreeEventName) -> Option<&'static str> {
    None
}
