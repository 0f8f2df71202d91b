//! The event loops: wait, read what happened, step, perform.
