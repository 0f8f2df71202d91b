//! What somebody has removed from the run directory, or put something else in the place of, comes back.
//!
//! Must never: look without being asked to: an idle tree does not wake up. Whoever misses something (zei-ctl does it by
//! itself) sends zei-init CHLD, which means nothing to any other process.

use super::Running;
use crate::model::init::Event;
use crate::model::slot::Calls;
use crate::paths;
use crate::protocol::status::{MAX, Status};
use crate::run::place::Place;
use std::collections::{BTreeSet, VecDeque};
use std::os::fd::AsFd as _;

impl Running {
    /// Looks whether all is there, and makes anew what is not.
    pub(super) fn repair(&mut self, events: &mut VecDeque<Event>) {
        // What was written into a FIFO that is removed counts.
        self.take_lines(events);
        let Some(run_dir) = &mut self.run_dir else { return };
        let mut made = Vec::new();
        match run_dir.repair() {
            Ok(files) => made.extend(files),
            Err(errno) => return self.say(format_args!("cannot look after the run directory: {}", errno.desc())),
        }
        if self.place.as_ref().is_none_or(Place::is_gone) {
            self.place = Place::open(run_dir.directory.as_fd(), paths::INIT);
        }
        let mut missing = BTreeSet::new();
        for (index, name) in self.names.iter().enumerate() {
            let Some(control) = self.controls.get_mut(index).filter(|_| self.tree.is_there(index)) else { continue };
            match run_dir.repair_service(*name, control.as_ref()) {
                Ok(Some(fifo)) => {
                    *control = Some(fifo);
                    missing.insert(index);
                    made.push(format!("{}/{name}/{}", paths::SERVICES, paths::CONTROL));
                }
                Ok(None) => {}
                Err(errno) => made.push(format!("not {}/{name}: {}", paths::SERVICES, errno.desc())),
            }
            let mut bytes = [0; MAX];
            let status = run_dir.read(*name, paths::STATUS, &mut bytes);
            // A supervisor that has not told yet is on its way.
            let has_told = self.shared.ledger.read(index).is_some();
            if has_told && status.and_then(Status::decode).is_none() {
                missing.insert(index);
                made.push(format!("{}/{name}/{}", paths::SERVICES, paths::STATUS));
            }
        }
        if let Some(place) = &mut self.place {
            place.distrust();
        }
        self.publish(None);
        if !made.is_empty() {
            let calls = self.shared.ledger.calls();
            self.call(Calls { repair: calls.repair.wrapping_add(1), ..calls }, |index| missing.contains(&index));
            self.say(format_args!(
                "what somebody has removed from the run directory, or replaced, is made anew: {}",
                made.join(", ")
            ));
        }
    }
}
