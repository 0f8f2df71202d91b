//! Programs to which the kernel answers as an older seccomp profile does, or another sandbox.
//!
//! Owns: the filter (seccomp(2)), put together by perl, as only `sys/raw` may do what is unsafe. Must never: refuse
//! what was not named.

use nix::errno::Errno;
use nix::libc::{self, c_long};
use std::process::{Command, Stdio};

/// Puts the filter in place, and becomes the program: ARGV is the number of prctl(2), `CALL=ERRNO,...`, the program.
const SCRIPT: &str = r#"
my ($prctl, $calls, @program) = @ARGV;
my $filter = pack("SCCL", 0x20, 0, 0, 0);
for (split /,/, $calls) {
    my ($call, $errno) = split /=/;
    $filter .= pack("SCCL", 0x15, 0, 1, $call) . pack("SCCL", 0x06, 0, 0, 0x50000 | $errno);
}
$filter .= pack("SCCL", 0x06, 0, 0, 0x7fff0000);
my $whole = pack("S x6 P", length($filter) / 8, $filter);
syscall($prctl, 38, 1, 0, 0, 0) if $>;
syscall($prctl, 22, 2, $whole) == 0 or die "no filter: $!";
exec @program or die "$program[0]: $!";
"#;

/// pidfd_open(2) and pidfd_send_signal(2).
pub const PIDFD: [c_long; 2] = [libc::SYS_pidfd_open, libc::SYS_pidfd_send_signal];
/// close_range(2), and what takes its place where a container may do that.
pub const CLOSE: [c_long; 2] = [libc::SYS_close_range, libc::SYS_unshare];

/// The words in front of a program to which these calls are answered so. `None`, and said: none can be put in place here.
pub fn words(calls: &[c_long], errno: Errno) -> Option<Vec<String>> {
    let refused: Vec<String> = calls.iter().map(|call| format!("{call}={}", errno as i32)).collect();
    let own = ["perl", "-e", SCRIPT, &libc::SYS_prctl.to_string(), &refused.join(",")].map(str::to_owned);
    let tried = Command::new(&own[0]).args(&own[1..]).arg("true").stderr(Stdio::null()).status();
    let can = tried.is_ok_and(|status| status.success());
    (can || crate::skipped("perl and seccomp filters")).then(|| own.to_vec())
}
