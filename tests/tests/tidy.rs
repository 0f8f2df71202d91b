//! The rules of the architecture, held against the source and the documentation.
//!
//! Owns: what may use what, what may stand where, and what must be documented. Must never: look at behaviour.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use zei::config::{Id, KEYS, MAPS};
use zei::model::spec::{SignalMap, SignalUse};
use zei::protocol::control::VERBS;
use zei::{exit, signal};
use zei_tests::source::{Source, paths_from, root, sources};

/// Each module of the library, and the modules that it may use. It is in the order of the levels, so a module
/// only ever uses what stands above it.
const MAY_USE: &[(&str, &[&str])] = &[
    ("calendar", LEAVES),
    ("endpoint", LEAVES),
    ("name", LEAVES),
    ("near", LEAVES),
    ("paths", LEAVES),
    ("pattern", LEAVES),
    ("signal", LEAVES),
    ("text", LEAVES),
    ("visible", &["text"]),
    ("exit", &["signal"]),
    ("schedule", &["calendar", "near"]),
    ("protocol", &["calendar", "name", "near", "paths", "signal", "text", "exit"]),
    ("model", &["name", "near", "paths", "signal", "text", "exit", "protocol"]),
    (
        "config",
        &["endpoint", "name", "near", "paths", "pattern", "signal", "text", "exit", "schedule", "protocol", "model"],
    ),
    ("sys", &["name", "near", "paths", "signal", "text", "exit", "protocol", "model"]),
    (
        "run",
        &[
            "endpoint", "name", "near", "paths", "pattern", "signal", "text", "visible", "exit", "schedule",
            "protocol", "model", "config", "sys",
        ],
    ),
];
const LEAVES: &[&str] = &[];

/// What a program may use of the library: the loops, the arguments, and the words that stand in arguments.
const BINS_MAY_USE: &[&str] = &[
    "run",
    "endpoint",
    "exit",
    "near",
    "name",
    "paths",
    "signal",
    "bare_main",
    "patient_memory",
    "protocol",
    "model::time",
    "sys::raw::Arguments",
];

/// What the pure modules may not touch: the system, the clock, the environment.
const IMPURE: &[&str] =
    &["nix", "libc", "std::fs", "std::env", "std::io", "std::net", "std::process", "std::thread", "std::time"];
const PURE: &[&str] = &[
    "calendar", "endpoint", "pattern", "schedule", "name", "near", "signal", "text", "visible", "exit", "protocol",
    "model",
];

/// The longest Rust file, in lines.
const LONGEST: usize = 500;

const TOP: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "bins",
    "lib",
    "skel",
    "tests",
    "Dockerfile",
    "Makefile",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
];

fn all() -> Vec<Source> {
    ["lib", "bins", "tests"].into_iter().flat_map(sources).collect()
}

/// Fails with all of what is wrong.
fn none(problems: impl IntoIterator<Item = String>) {
    let problems: Vec<String> = problems.into_iter().collect();
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// `lib/src/sys/raw.rs` is of `sys`.
fn module(path: &str) -> &str {
    let inside = path.strip_prefix("lib/src/").unwrap_or_default();
    inside.split('/').next().map(|first| first.strip_suffix(".rs").unwrap_or(first)).unwrap_or_default()
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// Where a word stands by itself.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        !code[..*at].chars().next_back().is_some_and(part) && !code[at + word.len()..].chars().next().is_some_and(part)
    })
}

#[test]
fn arrows_point_one_way() {
    let mut problems = Vec::new();
    for file in sources("lib/src") {
        let own = module(&file.path);
        if own == "lib" {
            continue;
        }
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == own) else {
            problems.push(format!("{}: {own} has no level in MAY_USE", file.path));
            continue;
        };
        for (line, path) in paths_from(&file.code, "crate").into_iter().chain(paths_from(&file.code, "$crate")) {
            let used = path.first().map(String::as_str).unwrap_or_default();
            if used != own && !allowed.contains(&used) {
                problems.push(format!("{}:{line}: {own} may not use {used}", file.path));
            }
        }
        // `super` leads out of a module only from its first file, and then `crate` says it better.
        for (line, path) in paths_from(&file.code, "super") {
            let used = path.iter().find(|segment| *segment != "super").map(String::as_str).unwrap_or_default();
            if MAY_USE.iter().any(|(name, _)| *name == used && *name != own && !allowed.contains(name)) {
                problems.push(format!("{}:{line}: {own} may not use {used}", file.path));
            }
        }
    }
    none(problems);
}

#[test]
fn every_level_uses_only_those_before_it_and_the_map_of_the_library_shows_them_in_that_order() {
    for (index, (name, allowed)) in MAY_USE.iter().enumerate() {
        let before: Vec<&str> = MAY_USE[..index].iter().map(|(name, _)| *name).collect();
        assert!(allowed.iter().all(|used| before.contains(used)), "{name}");
    }
    let library = fs::read_to_string(root().join("lib/src/lib.rs")).unwrap();
    let map: Vec<&str> = library.lines().take_while(|line| line.starts_with("//!")).collect();
    let line_of = |name: &str| {
        let named = |line: &&str| words(line.split("  level").next().unwrap(), name).next().is_some();
        let fenced = map.iter().position(|line| line.contains("```text")).expect("a map");
        map[fenced + 1..].iter().position(named).unwrap_or_else(|| panic!("the map in lib.rs does not show {name}"))
    };
    for pair in MAY_USE.windows(2) {
        assert!(line_of(pair[0].0) >= line_of(pair[1].0), "{} stands above {} in lib.rs", pair[0].0, pair[1].0);
    }
    let declared: BTreeSet<&str> =
        library.lines().filter_map(|line| line.trim().strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert_eq!(declared, MAY_USE.iter().map(|(name, _)| *name).collect());
}

#[test]
fn programs_use_the_loops_and_the_words_of_arguments_only() {
    let mut problems = Vec::new();
    for file in sources("bins") {
        for (line, path) in paths_from(&file.code, "zei") {
            let path = path.join("::");
            let allowed = |known: &&str| path == **known || path.starts_with(&format!("{known}::"));
            if !BINS_MAY_USE.iter().any(allowed) {
                problems.push(format!("{}:{line}: a program may not use zei::{path}", file.path));
            }
        }
    }
    none(problems);
}

#[test]
fn what_decides_touches_neither_system_nor_clock_nor_environment() {
    let mut problems = Vec::new();
    for file in sources("lib/src").iter().filter(|file| PURE.contains(&module(&file.path))) {
        for outside in IMPURE {
            for at in words(&file.code, outside) {
                problems.push(format!("{}:{}: {outside}", file.path, line_of(&file.code, at)));
            }
        }
    }
    none(problems);
}

#[test]
fn unsafe_stands_in_one_module() {
    let elsewhere = all().into_iter().filter(|file| !file.path.starts_with("lib/src/sys/raw"));
    let used = |file: Source| {
        words(&file.code, "unsafe").next().map(|at| format!("{}:{}", file.path, line_of(&file.code, at)))
    };
    none(elsewhere.filter_map(used));
}

#[test]
fn the_run_directory_is_spelled_in_one_file() {
    // In two parts, or this would be the second file.
    let spelled = ["/run", "/zei"].concat();
    let mut problems = Vec::new();
    for file in all().iter().filter(|file| file.path != "lib/src/paths.rs") {
        for (line, _) in file.strings.iter().filter(|(_, text)| text.contains(&spelled)) {
            problems.push(format!("{}:{line}: use zei::paths", file.path));
        }
    }
    none(problems);
}

#[test]
fn yaml_is_read_in_config_only() {
    let elsewhere = sources("lib").into_iter().chain(sources("bins")).filter(|file| module(&file.path) != "config");
    let used = |file: Source| {
        words(&file.code, "serde_yaml").next().map(|at| format!("{}:{}", file.path, line_of(&file.code, at)))
    };
    none(elsewhere.filter_map(used));
}

#[test]
fn every_file_says_what_it_is_and_is_short_enough_to_be_read() {
    let mut problems = Vec::new();
    for file in all() {
        if !file.text.starts_with("//!") {
            problems.push(format!("{}: does not open with what it is", file.path));
        }
        let lines = file.text.lines().count();
        if lines > LONGEST {
            problems.push(format!("{}: {lines} lines, {LONGEST} is the most", file.path));
        }
    }
    none(problems);
}

#[test]
fn nothing_sleeps_and_no_test_is_ignored() {
    let mut problems = Vec::new();
    for file in all() {
        for (at, what) in words(&file.code, "sleep")
            .map(|at| (at, "sleep"))
            .chain(words(&file.code, "ignore").map(|at| (at, "ignore")))
        {
            let called = what == "sleep" && file.code[..at].ends_with("thread::");
            if called || (what == "ignore" && file.code[..at].ends_with("#[")) {
                problems.push(format!("{}:{}: {what}", file.path, line_of(&file.code, at)));
            }
        }
    }
    none(problems);
}

#[test]
fn the_top_level_holds_what_it_should() {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output();
    let entries: BTreeSet<String> = match listed {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8(output.stdout).unwrap();
            text.lines().filter_map(|line| line.split('/').next()).map(str::to_owned).collect()
        }
        // An unpacked archive holds nothing but what belongs there, and what was built.
        _ => fs::read_dir(root())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "target")
            .collect(),
    };
    none(entries.into_iter().filter(|name| !name.starts_with('.') && !TOP.contains(&name.as_str())));
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn page(program: &str) -> String {
    read(&format!("bins/{program}/{program}.1.md"))
}

/// Whether a text names a word as code: alone between backquotes, or as the first word there.
fn names(text: &str, word: &str) -> bool {
    text.match_indices(&format!("`{word}"))
        .any(|(at, found)| text[at + found.len()..].starts_with(['`', ' ', ':', '=']))
}

#[test]
fn every_configuration_key_is_in_the_readme_and_in_the_commented_example() {
    let (readme, example) = (read("README.md"), read("skel/etc/zei/zei.yaml"));
    let mut problems = Vec::new();
    for key in KEYS.iter().filter(|key| key.id != Id::Later) {
        for word in key.words().filter(|word| !names(&readme, word)) {
            problems.push(format!("README.md has no `{word}`: {}", key.doc));
        }
        let shown = |line: &str| line.trim_start_matches([' ', '#']).starts_with(&format!("{}:", key.name));
        if !example.lines().any(shown) {
            problems.push(format!("skel/etc/zei/zei.yaml does not show {}: {}", key.name, key.doc));
        }
    }
    none(problems);
}

#[test]
fn every_word_of_every_map_is_in_a_table_of_the_readme_and_in_the_commented_example() {
    let (readme, example) = (read("README.md"), read("skel/etc/zei/zei.yaml"));
    let tables = tables(&readme);
    let mut problems = Vec::new();
    for map in MAPS {
        let words: Vec<&str> = map.words.iter().map(|word| word.name).collect();
        let place = format!("{:?} {:?}", map.owners, map.path);
        let known = match words.as_slice() {
            // As in `{fd: N}`: that needs no table.
            [only] => readme.contains(&format!("`{{{only}: ")),
            _ => tables.contains(&words),
        };
        if !known {
            problems.push(format!("README.md has no table with exactly {words:?}, the words of {place}"));
        }
        let shown = |word: &&str| example.contains(&format!("{word}: "));
        let missing = words.into_iter().filter(|word| !shown(word));
        problems.extend(missing.map(|word| format!("skel/etc/zei/zei.yaml does not show {word} of {place}")));
    }
    none(problems);
}

/// The words between backquotes at the beginning of each row, by table.
fn tables(text: &str) -> Vec<Vec<&str>> {
    let mut tables = vec![Vec::new()];
    for line in text.lines() {
        match line.strip_prefix("| `").and_then(|row| row.split('`').next()) {
            Some(word) => tables.last_mut().unwrap().push(word),
            None if line.starts_with('|') => {}
            None => tables.push(Vec::new()),
        }
    }
    tables
}

#[test]
fn every_verb_is_documented() {
    let (client, supervisor, init) = (page("zei-ctl"), page("zei-supervise"), page("zei-init"));
    let mut problems = Vec::new();
    for (verb, does) in VERBS {
        let of_init = ["shutdown", "apply", "add", "forget"].contains(verb);
        let (text, name) = if of_init { (&init, "zei-init") } else { (&supervisor, "zei-supervise") };
        if !names(text, verb) {
            problems.push(format!("{name}.1.md has no control verb `{verb}`: {does}"));
        }
    }
    for verb in client_verbs() {
        if !names(&client, &verb) && !names(&client, &format!("zei-ctl {verb}")) {
            problems.push(format!("zei-ctl.1.md has no `{verb}`"));
        }
    }
    none(problems);
}

/// The verbs that `zei-ctl --help` lists.
fn client_verbs() -> Vec<String> {
    let help = help("zei-ctl", &[]);
    let section = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let word = |line: &str| {
        line.strip_prefix("  ").filter(|line| !line.starts_with(' '))?.split(' ').next().map(str::to_owned)
    };
    let verbs: Vec<String> = section.filter_map(word).filter(|verb| verb != "help").collect();
    assert!(verbs.iter().any(|verb| verb == "restart"), "{help}");
    verbs
}

#[test]
fn every_exit_code_is_in_the_page_of_each_program_that_has_it_and_in_the_readme() {
    let readme = read("README.md");
    let row = |text: &str, code: u8| {
        text.lines().any(|line| line.starts_with(&format!("| {code} |")) || line.starts_with(&format!("| `{code}` |")))
    };
    let mut problems = Vec::new();
    for meaning in exit::TABLE {
        let pages: &[&str] = match meaning.code {
            exit::OK | exit::CONFIG | exit::SYSTEM => {
                &["zei-init", "zei-ctl", "zei-setuidgid", "zei-probe", "zei-cron"]
            }
            exit::NOT_TRUE => &["zei-ctl", "zei-probe"],
            exit::NOT_RUNNING | exit::NO_SUCH_SERVICE | exit::NO_ZEI => &["zei-ctl"],
            exit::NO_CODE => &["zei-init"],
            exit::NOT_EXECUTABLE | exit::NOT_FOUND => &["zei-init", "zei-setuidgid"],
            code => panic!("whose code is {code}?"),
        };
        for program in pages.iter().filter(|program| !row(&page(program), meaning.code)) {
            problems.push(format!("{program}.1.md has no row for {}: {}", meaning.code, meaning.text));
        }
        if !row(&readme, meaning.code) {
            problems.push(format!("README.md has no row for {}: {}", meaning.code, meaning.text));
        }
    }
    none(problems);
}

#[test]
fn every_signal_that_zei_acts_on_is_documented() {
    let (init, supervisor) = (page("zei-init"), page("zei-supervise"));
    let map = SignalMap::default();
    let acted_on = (1..=signal::RTMAX).filter(|number| map.get(*number) != SignalUse::Ignore);
    let mut problems: Vec<String> = acted_on
        .map(|number| signal::Name(number).to_string())
        .filter(|name| words(&init, name).next().is_none() && words(&init, &format!("SIG{name}")).next().is_none())
        .map(|name| format!("zei-init.1.md has no {name}"))
        .collect();
    for word in ["shutdown", "reload", "forward", "ignore"] {
        if !names(&init, word) {
            problems.push(format!("zei-init.1.md has no `{word}`"));
        }
    }
    problems.extend(
        ["TERM", "CHLD"]
            .iter()
            .filter(|name| words(&supervisor, name).next().is_none())
            .map(|name| format!("zei-supervise.1.md has no {name}")),
    );
    none(problems);
}

#[test]
fn the_pages_list_exactly_the_options_that_help_lists() {
    let mut problems = Vec::new();
    let mut compare = |program: &str, documented: &BTreeSet<String>, offered: &BTreeSet<String>| {
        let differ = |what: &str, these: &BTreeSet<String>, those: &BTreeSet<String>| {
            these.difference(those).map(|option| format!("{program}: {option} {what}")).collect::<Vec<_>>()
        };
        problems.extend(differ("is in the page but not in --help", documented, offered));
        problems.extend(differ("is in --help but not in the page", offered, documented));
    };
    for program in ["zei-init", "zei-setuidgid", "zei-probe", "zei-cron"] {
        compare(program, &options_of_page(&page(program)), &options_of_help(&help(program, &[])));
    }
    let mut offered = options_of_help(&help("zei-ctl", &[]));
    for verb in client_verbs() {
        offered.extend(options_of_help(&help("zei-ctl", &[&verb])));
    }
    compare("zei-ctl", &options_of_page(&page("zei-ctl")), &offered);
    none(problems);
}

fn help(program: &str, verb: &[&str]) -> String {
    let output = Command::new(zei_tests::program(program)).args(verb).arg("--help").output().unwrap();
    assert!(output.status.success(), "{program} {verb:?} --help: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The options at the beginning of indented lines.
fn options_of_help(help: &str) -> BTreeSet<String> {
    let line = |line: &str| -> Vec<String> {
        if !line.starts_with(' ') || !line.trim_start().starts_with('-') {
            return Vec::new();
        }
        // The description is two blanks away.
        options_in(line.trim_start().split("  ").next().unwrap_or_default())
    };
    help.lines().flat_map(line).collect()
}

/// The options in the terms of definition lists: `-h`, `--help`, followed by a line that begins with a colon.
fn options_of_page(page: &str) -> BTreeSet<String> {
    let lines: Vec<&str> = page.lines().collect();
    let terms = lines.windows(2).filter(|pair| pair[0].starts_with("`-") && pair[1].starts_with(':'));
    let options: BTreeSet<String> = terms.flat_map(|pair| options_in(&pair[0].replace('`', ""))).collect();
    assert!(!options.is_empty(), "no option in the page");
    options
}

fn options_in(term: &str) -> Vec<String> {
    let word = |word: &str| {
        let option: String = word.chars().take_while(|c| c.is_alphanumeric() || *c == '-').collect();
        (option.starts_with('-') && !option.trim_start_matches('-').is_empty()).then_some(option)
    };
    term.split([' ', ',']).filter_map(word).collect()
}

#[test]
fn each_program_has_a_page_of_the_usual_parts() {
    let mut missing = BTreeMap::new();
    for entry in fs::read_dir(root().join("bins")).unwrap() {
        let program = entry.unwrap().file_name().into_string().unwrap();
        let page = page(&program);
        let parts = ["Name", "Synopsis", "Description", "Exit code", "Files", "Detailed operation"];
        let absent: Vec<&str> =
            parts.into_iter().filter(|part| !page.lines().any(|line| line == format!("## {part}"))).collect();
        if !absent.is_empty() || !page.starts_with(&format!("# {program}(1)\n")) {
            missing.insert(program, absent);
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}
