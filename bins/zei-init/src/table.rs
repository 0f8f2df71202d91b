//! The options of zei-init, and what `--help` prints of them; the manual page has the same ones.
//!
//! Owns: the spellings. Must never: read one.

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    Config,
    Group,
    Remap,
    ParentDeath,
    Subreaper,
    Warn,
    Verbose,
    Rewrite,
    SingleChild,
    License,
    Help,
    Version,
}

/// A short and a long spelling, the name of the value if it takes one, and a line for `--help`.
pub struct Row(pub Meaning, pub Option<u8>, pub Option<&'static str>, pub Option<&'static str>, pub &'static str);

pub const TABLE: &[Row] = &[
    Row(Meaning::Config, Some(b'c'), None, Some("PATH"), "read this configuration file or directory; may repeat"),
    Row(Meaning::Group, Some(b'g'), None, None, "send signals to the command's process group"),
    Row(Meaning::Remap, Some(b'e'), None, Some("CODE"), "turn this exit code (0 to 255) into 0; may repeat"),
    Row(Meaning::ParentDeath, Some(b'p'), None, Some("SIGNAL"), "get this signal when the parent process ends"),
    Row(Meaning::Subreaper, Some(b's'), None, None, "fail where it can't become a child subreaper"),
    Row(Meaning::Warn, Some(b'w'), None, None, "say which zombies are reaped"),
    Row(Meaning::Verbose, Some(b'v'), Some("verbose"), None, "say more; may repeat"),
    Row(Meaning::Rewrite, Some(b'r'), Some("rewrite"), Some("A:B"), "send signal B for A; B = 0: nothing; may repeat"),
    Row(Meaning::SingleChild, None, Some("single-child"), None, "send signals to the command alone (the default)"),
    Row(Meaning::License, Some(b'l'), None, None, "print the licence"),
    Row(Meaning::Help, Some(b'h'), Some("help"), None, "print this text"),
    Row(Meaning::Version, Some(b'V'), Some("version"), None, "print the version"),
];

pub fn help() -> String {
    let mut text = String::from(
        "Usage: zei-init [OPTIONS] [--] [COMMAND [ARGS...]]\n       zei-init doctor [--json]\n\n\
         Runs the services of /etc/zei/zei.yaml and /etc/zei/zei.d, and COMMAND last; or, without a\n\
         configuration, COMMAND alone: signals are forwarded to it, zombies are reaped, and its exit code\n\
         is that of zei-init. doctor says what works in this container, and what would change it.\n\nOptions:\n",
    );
    for Row(_, short, long, value, line) in TABLE {
        let short = short.map(|letter| format!("-{}", char::from(letter)));
        let spellings: Vec<String> = short.into_iter().chain(long.map(|word| format!("--{word}"))).collect();
        let spelling = format!("{} {}", spellings.join(", "), value.unwrap_or_default());
        text += &format!("  {spelling:22} {line}\n");
    }
    text + "\nVariables: TINI_SUBREAPER (as -s), TINI_KILL_PROCESS_GROUP (as -g), TINI_VERBOSITY (0 to 3),\n\
        DUMB_INIT_SETSID=0 (as --single-child), DUMB_INIT_DEBUG=1 (as -vv), ZEI_CONFIG (as -c, colons between).\n\
        \nExit code: that of the command, 128+N if signal N ended it, or\n  \
        100  bad usage or configuration           126  the command can't be executed\n  \
        111  the system refused something         127  the command was not found\n"
}
