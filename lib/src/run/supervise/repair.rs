//! What somebody has removed or overwritten in the service's directory comes back.
//!
//! Must never: be needed. zei-init makes the directory and the FIFO anew, and says so; the rest is here.

use super::Supervisor;
use crate::run::place::Place;
use crate::sys::raw;
use nix::sys::stat::fstat;
use std::os::fd::{AsFd, AsRawFd as _};

fn inode(file: impl AsFd) -> Option<u64> {
    fstat(file).ok().map(|stat| stat.st_ino)
}

impl Supervisor<'_> {
    /// Looks whether all is there.
    #[inline(never)]
    pub(super) fn repair(&mut self) {
        self.watch.find_directory(self.init);
        let Some(services) = self.watch.directory() else { return };
        if self.place.as_ref().is_none_or(Place::is_gone)
            && let Some(place) = Place::open(services.as_fd(), self.definition.name.as_str())
        {
            self.place = Some(place);
        }
        let Some(place) = &mut self.place else { return };
        place.distrust();
        if let (Ok(control), Some(own)) = (place.control(), &self.control)
            && inode(&control) != inode(own)
        {
            let number = own.as_raw_fd();
            // What was written into the old one counts.
            self.take_lines();
            // Where the next program looks for it: the number stays this process's, and what was there is closed.
            if raw::duplicate(control.as_raw_fd(), number).is_ok() {
                let _others_have_it_from_zei_init = raw::set_close_on_exec(number, true);
            }
        }
        self.publish();
    }
}
