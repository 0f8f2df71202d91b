//! A datagram of sd_notify(3), from a service that may send anything.
//!
//! Owns: what must hold for it. Must never: know what follows from it.

use zei::protocol::notify::{Doing, Notice, STATUS, Watchdog, parse};
use zei::text::is_harmless;

pub(super) fn run(bytes: &[u8]) {
    let notice = parse(bytes);
    if let Some(status) = notice.status {
        assert!(status.as_bytes().len() <= STATUS && status.chars().all(is_harmless), "{status:?}");
    }
    assert!(notice.main.is_none_or(|pid| (1..=i32::MAX.unsigned_abs()).contains(&pid)));
    assert!(notice.errno.is_none_or(|errno| errno >= 0));

    // The last word counts, and a line means the same wherever it stands.
    let lines = bytes.split(|byte| *byte == b'\n').map(parse);
    assert_eq!(lines.fold(Notice::default(), both), notice);

    // What was understood, said again, is understood as before, but for that a cut status is not cut again.
    let again = parse(&said(&notice));
    assert_eq!(again.status.map(|text| text.as_str().to_owned()), notice.status.map(|text| text.as_str().to_owned()));
    assert_eq!(Notice { status: None, ..again }, Notice { status: None, ..notice });
}

/// One notice after the other.
fn both(first: Notice, second: Notice) -> Notice {
    Notice {
        doing: second.doing.or(first.doing),
        monotonic: second.monotonic.or(first.monotonic),
        status: second.status.or(first.status),
        errno: second.errno.or(first.errno),
        main: second.main.or(first.main),
        watchdog: second.watchdog.or(first.watchdog),
        watchdog_time: second.watchdog_time.or(first.watchdog_time),
        extend: second.extend.or(first.extend),
        barrier: first.barrier || second.barrier,
    }
}

/// The datagram that says so.
fn said(notice: &Notice) -> Vec<u8> {
    let doing = notice.doing.map(|doing| match doing {
        Doing::Ready => "READY=1".to_owned(),
        Doing::Reloading => "RELOADING=1".to_owned(),
        Doing::Stopping => "STOPPING=1".to_owned(),
    });
    let watchdog = notice.watchdog.map(|watchdog| match watchdog {
        Watchdog::Alive => "WATCHDOG=1".to_owned(),
        Watchdog::Trigger => "WATCHDOG=trigger".to_owned(),
    });
    let number = |name: &str, value: Option<u64>| value.map(|value| format!("{name}={value}"));
    let lines = [
        doing,
        watchdog,
        notice.status.map(|status| format!("STATUS={status}")),
        notice.errno.map(|errno| format!("ERRNO={errno}")),
        number("MONOTONIC_USEC", notice.monotonic),
        number("MAINPID", notice.main.map(u64::from)),
        number("WATCHDOG_USEC", notice.watchdog_time),
        number("EXTEND_TIMEOUT_USEC", notice.extend),
        notice.barrier.then(|| "BARRIER=1".to_owned()),
    ];
    lines.into_iter().flatten().collect::<Vec<_>>().join("\n").into_bytes()
}
