//! libFuzzer in front of the targets of the test library; `ZEI_FUZZ_TARGET` names the one.
//!
//! Owns: nothing but that. Must never: hold what a target claims.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use zei_tests::fuzz::{Target, target};

static TARGET: LazyLock<Target> = LazyLock::new(|| target(&std::env::var("ZEI_FUZZ_TARGET").unwrap_or_default()));

fuzz_target!(|bytes: &[u8]| {
    if bytes.len() <= TARGET.longest {
        (TARGET.run)(bytes);
    }
});
