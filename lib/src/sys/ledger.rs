//! The memfds through which zei-init and its supervisors share definitions and run records.
//!
//! Owns: the descriptors' numbers in a supervisor, and reading and writing whole records.
//! Must never: depend on /run, which may be full, read-only or gone.

use crate::model::heard::{HALF, Heard};
use crate::model::kills::Kills;
use crate::model::record::{CHILD_OFFSET, END_OFFSET, HEARD_OFFSET, Record, SIZE, STRIDE, offset};
use crate::model::slot::{Calls, End, Order, Slot};
use crate::sys::raw;
use crate::text::{self, Text};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, open, splice};
use nix::sys::stat::Mode;
use nix::sys::uio::{pread, pwrite};
use nix::unistd::{ftruncate, read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// In a supervisor: the sealed definitions.
pub const DEFINITIONS: RawFd = 3;
/// In a supervisor: the run records.
pub const LEDGER: RawFd = 4;
/// In a supervisor: the pipe that tells zei-init whose record has changed (4 bytes, little-endian).
pub const REPORT: RawFd = 5;
/// In a supervisor: its service's control FIFO.
pub const CONTROL: RawFd = 6;
/// In a supervisor: the directory of all services' directories.
pub const SERVICES: RawFd = 7;

/// In a supervisor: the journal of the tree.
pub const JOURNAL: RawFd = 8;
/// In a supervisor whose service tells when it is ready: the socket or pipe through which it does.
pub const NOTIFY: RawFd = 9;

/// In a supervisor whose service's output is pumped: the log pipe of its standard output.
pub const LOG_OUT: RawFd = 10;
/// The same of its standard error.
pub const LOG_ERR: RawFd = 11;

/// In zei-init: /dev/null; a supervisor's standard input is a copy of it.
pub const NULL: RawFd = 12;
/// In a supervisor: the control group for those of the services.
pub const GROUPS: RawFd = 13;
/// The first number that supervisors don't inherit.
pub const END: RawFd = GROUPS + 1;

/// Keeps the numbers above free of anything else, until zei-init puts the real ones there.
pub fn reserve() -> Result<(), Errno> {
    raw::occupy(DEFINITIONS..=GROUPS)
}

/// Keeps those of them free where nothing is now: this process has executed itself, and what was only set aside is closed.
/// What is there is closed on exec until it is published anew.
pub fn reserve_missing() -> Result<(), Errno> {
    let is_missing = |number: &RawFd| raw::set_close_on_exec(*number, true).is_err();
    (DEFINITIONS..=GROUPS).filter(is_missing).try_for_each(|number| raw::occupy(number..=number))
}

/// Where [`Kills`] lie, behind the order.
const KILLS: i64 = Order::SIZE as i64;
/// Where the token of marks in log pipes lies, behind those.
const TOKEN: i64 = KILLS + Kills::SIZE as i64;

/// Where [`Calls`] lie, behind that.
const CALLS: i64 = TOKEN + 8;

/// The run records of a whole tree.
#[derive(Debug)]
pub struct Ledger {
    file: OwnedFd,
}

impl Ledger {
    /// Over the descriptor of a memfd that has room for all records.
    pub fn over(file: OwnedFd) -> Ledger {
        Ledger { file }
    }

    /// Makes room for the records of so many services; what was written stays.
    pub fn make_room(&self, services: usize) -> Result<(), Errno> {
        ftruncate(&self.file, place(services))
    }

    /// The record of a service; `None` where none was written yet.
    pub fn read(&self, index: usize) -> Option<Record> {
        self.entry(index).1
    }

    /// What zei-init says of a service, and its record.
    pub fn entry(&self, index: usize) -> (Slot, Option<Record>) {
        let mut bytes = [0; END_OFFSET];
        let mut slot = Slot::default();
        // A write met half-way is over within microseconds.
        for _attempt in 0..1000 {
            if pread(&self.file, &mut bytes, place(index)) != Ok(END_OFFSET) {
                return (slot, None);
            }
            slot = bytes.last_chunk().map_or(slot, |bytes| Slot::decode(*bytes));
            if bytes.starts_with(&[0; 8]) {
                return (slot, None);
            }
            if let Some(record) = bytes.first_chunk().and_then(Record::decode) {
                return (slot, Some(record));
            }
        }
        (slot, None)
    }

    /// Says something of a service to its supervisor and its dependents.
    pub fn mark(&self, index: usize, slot: Slot) -> Result<(), Errno> {
        pwrite(&self.file, &slot.encode(), place(index) + SIZE as i64).map(drop)
    }

    /// How the main process of a service ended that was orphaned; `None`: it was not, or lives.
    pub fn end(&self, index: usize) -> Option<End> {
        let mut bytes = [0; End::SIZE];
        let read = pread(&self.file, &mut bytes, place(index) + END_OFFSET as i64);
        if read == Ok(End::SIZE) { End::decode(&bytes) } else { None }
    }

    /// Makes that known.
    pub fn tell_end(&self, index: usize, end: End) -> Result<(), Errno> {
        pwrite(&self.file, &end.encode(), place(index) + END_OFFSET as i64).map(drop)
    }

    /// Moves what a control FIFO holds, as far as there is room, behind the `known` bytes that were taken before; returns the
    /// length of both. What is moved is in the FIFO or here at each instant, also for whoever is killed meanwhile.
    ///
    /// # Errors
    /// EAGAIN: the FIFO holds nothing.
    pub fn hear(&self, index: usize, heard: Heard, known: usize, fifo: &OwnedFd) -> Result<usize, Errno> {
        let mut at = half(index, heard) + i64::try_from(known).unwrap_or(0);
        let room = HALF.saturating_sub(known);
        match splice(fifo, None, &self.file, Some(&mut at), room, SpliceFFlags::SPLICE_F_NONBLOCK) {
            Err(errno) if errno != Errno::EAGAIN => {
                // It can't be done here, or not now: then it is read and written, and a kill between the two loses it.
                let mut buffer = [0; HALF];
                let length = read(fifo, buffer.get_mut(..room).unwrap_or_default())?;
                pwrite(&self.file, buffer.get(..length).unwrap_or_default(), at)
            }
            result => result,
        }
        .map(|more| known + more)
    }

    /// What lies in a half, zeros behind it.
    pub fn half(&self, index: usize, heard: Heard) -> [u8; HALF] {
        let mut bytes = [0; HALF];
        let _as_far_as_it_goes = pread(&self.file, &mut bytes, half(index, heard));
        bytes
    }

    /// Makes this the content of a half.
    pub fn keep(&self, index: usize, heard: Heard, rest: &[u8]) -> Result<(), Errno> {
        let mut bytes = [0; HALF];
        for (to, from) in bytes.iter_mut().zip(rest) {
            *to = *from;
        }
        pwrite(&self.file, &bytes, half(index, heard)).map(drop)
    }

    /// Nothing is recorded about a service any more.
    pub fn clear(&self, index: usize) -> Result<(), Errno> {
        pwrite(&self.file, &[0; STRIDE], place(index)).map(drop)
    }

    /// Replaces the record of a service.
    pub fn write(&self, index: usize, record: &Record) -> Result<(), Errno> {
        pwrite(&self.file, &record.encode(), place(index)).map(drop)
    }

    /// What zei-init orders.
    pub fn order(&self) -> Order {
        let mut bytes = [0; Order::SIZE];
        if pread(&self.file, &mut bytes, 0) == Ok(Order::SIZE) { Order::decode(&bytes) } else { Order::default() }
    }

    /// Gives the order.
    pub fn give(&self, order: Order) -> Result<(), Errno> {
        pwrite(&self.file, &order.encode(), 0).map(drop)
    }

    /// What is known of deaths for want of memory.
    pub fn kills(&self) -> Kills {
        let mut bytes = [0; Kills::SIZE];
        if pread(&self.file, &mut bytes, KILLS) == Ok(Kills::SIZE) { Kills::decode(&bytes) } else { Kills::default() }
    }

    /// Makes it known.
    pub fn note_kills(&self, kills: Kills) -> Result<(), Errno> {
        pwrite(&self.file, &kills.encode(), KILLS).map(drop)
    }

    /// The token of the marks of runs in log pipes (see `protocol::boundary`).
    pub fn token(&self) -> u64 {
        let mut bytes = [0; 8];
        let _whole = pread(&self.file, &mut bytes, TOKEN);
        u64::from_le_bytes(bytes)
    }

    /// Makes it known.
    pub fn set_token(&self, token: u64) -> Result<(), Errno> {
        pwrite(&self.file, &token.to_le_bytes(), TOKEN).map(drop)
    }

    /// What zei-init asks all supervisors for.
    pub fn calls(&self) -> Calls {
        let mut bytes = [0; Calls::SIZE];
        if pread(&self.file, &mut bytes, CALLS) == Ok(Calls::SIZE) { Calls::decode(bytes) } else { Calls::default() }
    }

    /// Asks for it.
    pub fn call(&self, calls: Calls) -> Result<(), Errno> {
        pwrite(&self.file, &calls.encode(), CALLS).map(drop)
    }

    /// Locks the record of a service, for this process and what it makes until that has become its program; waits for a
    /// predecessor's. `None`: this can't be done here.
    pub fn lock(&self, index: usize) -> Option<OwnedFd> {
        // Not by the shared description: a lock belongs to one.
        let path: Text<32> = text::format(format_args!("/proc/self/fd/{}", self.file.as_raw_fd()));
        let own = open(path.as_str(), OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
        let range = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: place(index),
            l_len: 1,
            l_pid: 0,
        };
        fcntl(&own, FcntlArg::F_OFD_SETLKW(&range)).ok()?;
        Some(own)
    }

    /// Where a new process of this service writes its `model::child::Child`.
    pub fn child_word(&self, index: usize) -> (BorrowedFd<'_>, i64) {
        (self.file.as_fd(), place(index) + CHILD_OFFSET as i64)
    }
}

fn half(index: usize, heard: Heard) -> i64 {
    place(index) + i64::try_from(HEARD_OFFSET + heard.begin()).unwrap_or(0)
}

fn place(index: usize) -> i64 {
    i64::try_from(offset(index)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;
    use crate::model::heard::written;
    use crate::model::service::Service;
    use crate::model::slot::Retire;
    use crate::model::spec::Policy;
    use crate::model::time::Time;
    use crate::name::ServiceName;

    #[test]
    fn a_record_is_locked_until_whoever_has_locked_it_lets_go() {
        let ledger = Ledger::over(crate::sys::memfd::empty("test").unwrap());
        ledger.make_room(2).unwrap();
        let first = ledger.lock(0).unwrap();
        // Another's is free.
        assert!(ledger.lock(1).is_some());
        let (sender, taken) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| sender.send(ledger.lock(0).is_some()));
            assert!(taken.recv_timeout(std::time::Duration::from_millis(100)).is_err());
            drop(first);
            assert_eq!(taken.recv_timeout(std::time::Duration::from_secs(60)), Ok(true));
        });
    }

    #[test]
    fn what_comes_out_of_a_fifo_lies_behind_what_came_before_until_it_is_full() {
        let ledger = Ledger::over(crate::sys::memfd::empty("test").unwrap());
        ledger.make_room(2).unwrap();
        let fifo = crate::sys::pipe::endless(OFlag::O_NONBLOCK).unwrap();
        let (first, second) = (Heard::default(), Heard::default().turned());
        assert_eq!(ledger.hear(0, first, 0, &fifo), Err(Errno::EAGAIN));
        nix::unistd::write(&fifo, b"- st").unwrap();
        assert_eq!(ledger.hear(0, first, 0, &fifo), Ok(4));
        nix::unistd::write(&fifo, b"op\n").unwrap();
        assert_eq!(ledger.hear(0, first, 4, &fifo), Ok(7));
        assert_eq!((written(&ledger.half(0, first)), written(&ledger.half(0, second))), (&b"- stop\n"[..], &b""[..]));
        // What is copied to the other half is all that is there.
        ledger.keep(0, second, &[b'x'; HALF]).unwrap();
        ledger.keep(0, second, b"- re").unwrap();
        nix::unistd::write(&fifo, &[b'y'; HALF]).unwrap();
        assert_eq!(ledger.hear(0, second, 4, &fifo), Ok(HALF));
        assert_eq!(ledger.half(0, second)[..5], *b"- rey");
        assert_eq!(ledger.hear(0, first, 0, &fifo), Ok(4), "the rest");
        // Neither the service's record nor another service is touched.
        assert_eq!((ledger.entry(0), ledger.end(0)), ((Slot::default(), None), None));
        assert_eq!(ledger.half(1, first), [0; HALF]);
        ledger.clear(0).unwrap();
        assert_eq!((ledger.half(0, first), ledger.half(0, second)), ([0; HALF], [0; HALF]));
    }

    #[test]
    fn what_zei_init_says_of_a_service_and_what_its_supervisor_records_are_written_side_by_side() {
        let ledger = Ledger::over(crate::sys::memfd::empty("test").unwrap());
        ledger.make_room(2).unwrap();
        let slot = |name| Slot::of(ServiceName::parse(name).unwrap());
        let record = |seq| {
            let service = Service::new(true, Time(seq), &Policy::default());
            Record { seq, program: 1, ..Record::first(service) }
        };
        for (index, name) in [(0, "db"), (1, "web")] {
            assert_eq!(ledger.entry(index), (Slot::default(), None));
            ledger.mark(index, slot(name)).unwrap();
            assert_eq!(ledger.entry(index), (slot(name), None));
            ledger.write(index, &record(7)).unwrap();
        }
        let leave = Slot { retire: Some(Retire::Remove), ..slot("db") };
        ledger.mark(0, leave).unwrap();
        ledger.write(0, &record(8)).unwrap();
        assert_eq!(ledger.entry(0), (leave, Some(record(8))));
        let end = End { run: 1, pid: 7, exit: Exit::Code(3) };
        ledger.tell_end(0, end).unwrap();
        assert_eq!((ledger.end(0), ledger.end(1), ledger.end(2)), (Some(end), None, None));
        assert_eq!(ledger.entry(0), (leave, Some(record(8))));
        assert_eq!(ledger.entry(2), (Slot::default(), None), "there is none");
        // Room for more takes nothing away, and what is cleared is nobody's.
        ledger.make_room(3).unwrap();
        ledger.clear(0).unwrap();
        assert_eq!((ledger.entry(0), ledger.end(0)), ((Slot::default(), None), None));
        assert_eq!(ledger.entry(1), (slot("web"), Some(record(7))));
        assert_eq!(ledger.order(), Order::default());
    }
}
