//! A control group that bounds how many processes a tree can have, where one can be made.
//!
//! Owns: its directory, and taking it away again. Must never: be needed.

use std::fs;
use std::path::{Path, PathBuf};

/// So many processes a tree may have at most, whatever goes wrong.
const MOST: u64 = 600;

/// A control group of the pids controller, of version 1 or 2.
#[derive(Debug)]
pub struct Guard(PathBuf);

impl Guard {
    pub fn new() -> Option<Guard> {
        let name = format!("zei-chaos-{}", std::process::id());
        ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"].into_iter().find_map(|parent| {
            let path = Path::new(parent).join(&name);
            fs::create_dir(&path).ok()?;
            let guard = Guard(path);
            guard.limit(None).then_some(guard)
        })
    }

    /// What joins is to write its pid there.
    pub fn members(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }

    /// So many more than there are now, or as many as ever.
    pub fn limit(&self, more: Option<u64>) -> bool {
        let now = || fs::read_to_string(self.0.join("pids.current")).ok()?.trim().parse::<u64>().ok();
        let most = more.and_then(|more| Some(now()? + more)).unwrap_or(MOST);
        fs::write(self.0.join("pids.max"), most.min(MOST).to_string()).is_ok()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // What was in it has ended, and is about to be gone.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while fs::remove_dir(&self.0).is_err() && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
    }
}
