//! Runs a program under another user and group.
fn main() {}
