//! PID 1 of a container: starts one zei-supervise per service, reaps, shuts down in order.
fn main() {}
