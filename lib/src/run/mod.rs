//! What the programs do: event loops, and the chain-loader that needs none.

pub mod report;
pub mod setuidgid;
