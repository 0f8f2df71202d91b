//! What zei-init says beside the run records: the order and the calls to all, a slot for each service, the end of an orphan.
//!
//! Owns: the bytes. Must never: be written by anybody but zei-init.

use crate::exit::Exit;
use crate::model::service::Shutdown;
use crate::model::time::Time;
use crate::name::ServiceName;
use crate::protocol::sources::hash;
use crate::text::{self, Text};

/// What zei-init orders every supervisor to do, read by them when a TERM says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Order {
    /// Stop, then leave.
    pub shutdown: Option<Shutdown>,
}

impl Order {
    /// The length of an order in bytes.
    pub const SIZE: usize = 24;

    /// The order's bytes.
    pub fn encode(&self) -> [u8; Order::SIZE] {
        let words = match self.shutdown {
            None => [0; 3],
            Some(Shutdown { deadline, signal }) => [1, deadline.0, u64::from(signal.unwrap_or(0))],
        };
        let mut bytes = [0; Order::SIZE];
        for (slot, word) in bytes.chunks_exact_mut(8).zip(words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads an order; bytes never written are none.
    pub fn decode(bytes: &[u8; Order::SIZE]) -> Order {
        let word = |index: usize| {
            bytes.chunks_exact(8).nth(index).and_then(|word| word.try_into().ok()).map_or(0, u64::from_le_bytes)
        };
        let signal = u8::try_from(word(2)).ok().filter(|signal| *signal != 0);
        Order { shutdown: (word(0) == 1).then_some(Shutdown { deadline: Time(word(1)), signal }) }
    }
}

/// What zei-init asks all supervisors for, each as often as its number has grown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Calls {
    /// To go over to the program that lies on the disk now.
    pub program: u32,
    /// To look whether its files are there.
    pub repair: u32,
}

impl Calls {
    /// The length of calls in bytes.
    pub const SIZE: usize = 8;

    /// As they stand among the arguments of a supervisor: what was called for before it was made.
    pub fn argument(self) -> Text<24> {
        text::format(format_args!("{}.{}", self.program, self.repair))
    }

    /// Reads that.
    pub fn parse(argument: &str) -> Option<Calls> {
        let (program, repair) = argument.split_once('.')?;
        Some(Calls { program: program.parse().ok()?, repair: repair.parse().ok()? })
    }

    /// The calls' bytes.
    pub fn encode(self) -> [u8; Calls::SIZE] {
        (u64::from(self.program) | (u64::from(self.repair) << 32)).to_le_bytes()
    }

    /// Reads calls; bytes never written are none.
    pub fn decode(bytes: [u8; Calls::SIZE]) -> Calls {
        let both = u64::from_le_bytes(bytes);
        // The lower half.
        Calls { program: both as u32, repair: (both >> 32) as u32 }
    }
}

/// What zei-init says of one service to its supervisor and to those that depend on it. It stands outside of the record,
/// which the supervisor writes as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Slot {
    /// Whose index this is, as [`Slot::tag`] has it; 0: nobody's. A definition may name an index that is another's now.
    pub tag: u64,
    /// Stop, then leave.
    pub retire: Option<Retire>,
}

/// What follows when a supervisor has left by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retire {
    /// Another one, with another definition: what is asked for meanwhile is left to it.
    Renew,
    /// Nothing: the service is gone.
    Remove,
}

impl Slot {
    /// The length of a slot in bytes.
    pub const SIZE: usize = 16;

    /// The slot of a service that is to stay.
    pub fn of(name: ServiceName) -> Slot {
        Slot { tag: Slot::tag(name), retire: None }
    }

    /// The number that stands for a service's name.
    pub fn tag(name: ServiceName) -> u64 {
        hash(name.as_str().as_bytes()).max(1)
    }

    /// The slot's bytes.
    pub fn encode(&self) -> [u8; Slot::SIZE] {
        let retire: u64 = match self.retire {
            None => 0,
            Some(Retire::Renew) => 1,
            Some(Retire::Remove) => 2,
        };
        (u128::from(self.tag) | (u128::from(retire) << 64)).to_le_bytes()
    }

    /// Reads a slot; bytes never written are nobody's.
    pub fn decode(bytes: [u8; Slot::SIZE]) -> Slot {
        let both = u128::from_le_bytes(bytes);
        let retire = match both >> 64 {
            1 => Some(Retire::Renew),
            2 => Some(Retire::Remove),
            _ => None,
        };
        // The lower half.
        Slot { tag: both as u64, retire }
    }
}

/// How a main process ended whose supervisor was killed: it became zei-init's child, and zei-init alone learns it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    /// In which run of the service.
    pub run: u32,
    /// Its pid.
    pub pid: u32,
    /// How.
    pub exit: Exit,
}

impl End {
    /// The length of an end in bytes.
    pub const SIZE: usize = 24;

    /// The end's bytes: run and pid, how, and run and pid again, so that a reader notices a write half-way.
    pub fn encode(&self) -> [u8; End::SIZE] {
        let key = u64::from(self.run) | (u64::from(self.pid) << 32);
        let how = match self.exit {
            Exit::Code(code) => 0x100 | u64::from(code),
            Exit::Signal(signal) => 0x200 | u64::from(signal),
        };
        let mut bytes = [0; End::SIZE];
        for (slot, word) in bytes.chunks_exact_mut(8).zip([key, how, key]) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads an end; `None`: there is none, or not yet.
    pub fn decode(bytes: &[u8; End::SIZE]) -> Option<End> {
        let mut words = bytes.chunks_exact(8).filter_map(|word| Some(u64::from_le_bytes(word.try_into().ok()?)));
        let (key, how, again) = (words.next()?, words.next()?, words.next()?);
        let number = how.to_le_bytes()[0];
        let exit = match how >> 8 {
            1 => Exit::Code(number),
            2 => Exit::Signal(number),
            _ => return None,
        };
        // The lower half.
        (key == again).then_some(End { run: key as u32, pid: (key >> 32) as u32, exit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_back_from_its_own_bytes() {
        for signal in [None, Some(2)] {
            let order = Order { shutdown: Some(Shutdown { deadline: Time(77), signal }) };
            assert_eq!(Order::decode(&order.encode()), order);
        }
        assert_eq!(Order::decode(&[0; Order::SIZE]), Order::default());
    }

    #[test]
    fn calls_are_read_back_from_their_own_bytes() {
        let calls = Calls { program: 3, repair: u32::MAX };
        assert_eq!(Calls::decode(calls.encode()), calls);
        assert_eq!(Calls::decode([0; Calls::SIZE]), Calls::default());
        assert_eq!(Calls::parse(calls.argument().as_str()), Some(calls));
        assert_eq!((Calls::parse("3"), Calls::parse("3.x")), (None, None));
    }

    #[test]
    fn an_end_is_read_back_from_its_own_bytes_and_half_of_one_is_none() {
        let end = |exit| End { run: 3, pid: 77, exit };
        for exit in [Exit::Code(0), Exit::Code(255), Exit::Signal(1), Exit::Signal(64)] {
            assert_eq!(End::decode(&end(exit).encode()), Some(end(exit)));
        }
        assert_eq!(End::decode(&[0; End::SIZE]), None);
        let mut mixed = end(Exit::Code(1)).encode();
        mixed[..16].copy_from_slice(&End { run: 4, ..end(Exit::Code(2)) }.encode()[..16]);
        assert_eq!(End::decode(&mixed), None);
    }

    #[test]
    fn a_slot_is_read_back_from_its_own_bytes_and_names_have_different_tags() {
        let tag = |name: &str| Slot::tag(ServiceName::parse(name).unwrap());
        for retire in [None, Some(Retire::Renew), Some(Retire::Remove)] {
            let slot = Slot { tag: tag("web"), retire };
            assert_eq!(Slot::decode(slot.encode()), slot);
        }
        assert_eq!(Slot::decode([0; Slot::SIZE]), Slot::default());
        assert_ne!(tag("web-1"), tag("web-2"));
        let web = Slot::of(ServiceName::parse("web").unwrap());
        assert_eq!((web, web.tag == 0), (Slot { tag: tag("web"), retire: None }, false));
    }
}
