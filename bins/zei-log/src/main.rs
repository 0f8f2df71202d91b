//! zei-log: the log pump. Started by zei-init only.
#![no_main]

zei::patient_memory!();
zei::bare_main!(zei::run::log::run);
