//! What zei-init says of a service beside its run record.
//!
//! Owns: the bytes. Must never: be written by anybody but zei-init.

use crate::name::ServiceName;
use crate::protocol::sources::hash;

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

#[cfg(test)]
mod tests {
    use super::*;

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
