//! Owns exactly one service: spawn, restart policy, control, stop.
fn main() {}
