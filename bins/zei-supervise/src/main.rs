//! zei-supervise: owns exactly one service. Started by zei-init only.
#![no_main]

zei::patient_memory!();
zei::bare_main!(zei::run::supervise::run);
