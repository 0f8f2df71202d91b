//! The records in memory that outlive a supervisor. Only zei's own programs write them, but one may be killed while it
//! does.
//!
//! Owns: what must hold for them. Must never: know what a service's life is.

use zei::model::child::Child;
use zei::model::definition::Definitions;
use zei::model::kills::Kills;
use zei::model::record::{Record, SIZE};
use zei::model::slot::{End, Order, Slot};

/// The first byte says whether the sequence numbers are made good: else nearly no bytes are a record.
pub(super) fn run(bytes: &[u8]) {
    plan(bytes);
    let Some((how, bytes)) = bytes.split_first() else { return };
    record(&filled(bytes), how % 2 == 0);
    let order = Order::decode(&filled(bytes));
    assert_eq!(Order::decode(&order.encode()), order);
    let slot = Slot::decode(filled(bytes));
    assert_eq!(Slot::decode(slot.encode()), slot);
    let kills = Kills::decode(&filled(bytes));
    assert_eq!(Kills::decode(&kills.encode()), kills);
    let child = Child::decode(u64::from_le_bytes(filled(bytes)));
    assert_eq!(Child::decode(child.encode()), child);
    if let Some(end) = End::decode(&filled(bytes)) {
        assert_eq!(End::decode(&end.encode()), Some(end));
    }
}

/// As many as are wanted, the missing ones 0.
fn filled<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut filled = [0; N];
    filled.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = *byte);
    filled
}

fn record(bytes: &[u8; SIZE], whole: bool) {
    let mut bytes = *bytes;
    if whole {
        bytes[0] |= 1;
        bytes.copy_within(..8, SIZE - 16);
    }
    if let Some(record) = Record::decode(&bytes) {
        let encoded = record.encode();
        assert_eq!(Record::decode(&encoded), Some(record));
        let mut torn = encoded;
        torn[0] ^= 0xff;
        assert_eq!(Record::decode(&torn), None, "met half-way");
    }
}

/// A plan comes from zei-init's own child: whatever it is, nobody who reads it falls over.
fn plan(bytes: &[u8]) {
    let plan = Definitions(bytes);
    let _outline = plan.outline();
    let (_terms, _sources) = (plan.terms(), plan.sources());
    for index in 0..plan.count().min(8) {
        let (_name, _voice, _needs) = (plan.name(index), plan.voice(index), plan.needs_file(index));
        if let Some(definition) = plan.service(index) {
            let _read = (definition.arguments().count(), definition.environment().count(), definition.needs().count());
        }
    }
}
