//! Client of a running zei: list, status, start, stop, restart, signal.
fn main() {}
