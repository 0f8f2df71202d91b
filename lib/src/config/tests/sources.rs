//! Files, directories, layers, bare services, env_file.

use super::*;
use crate::model::spec::{Origin, Restart, StopScope};
use std::fs;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn load_paths(paths: &[&Path]) -> Result<Option<Config>, Vec<Problem>> {
    load(&Source::Paths(paths.iter().map(|path| path.to_path_buf()).collect()), &World::new().context())
}

fn names(config: &Config) -> Vec<&str> {
    config.services.iter().map(|service| service.name.as_str()).collect()
}

#[test]
fn a_directory_is_read_in_byte_order_and_only_what_is_visible_yaml() {
    let folder = folder(&[
        ("b.yaml", "command: x"),
        ("B.yml", "shell: x"),
        ("a.yaml", "services: {z: {command: x}, y: {command: x}}"),
        (".hidden.yaml", "nonsense"),
        ("c.txt", "nonsense"),
        ("d.yaml/e.yaml", "nonsense"),
    ]);
    let config = load_paths(&[folder.path()]).unwrap().unwrap();
    assert_eq!(names(&config), ["B", "z", "y", "b"]);
    assert_eq!(config.services[3].origin, Origin { file: folder.path().join("b.yaml"), line: 0 });
}

#[test]
fn what_is_named_must_be_there_and_be_text() {
    let folder = folder(&[("good.yaml", "command: x")]);
    let (missing, bad) = (folder.path().join("missing"), folder.path().join("bad.yaml"));
    fs::write(&bad, b"command: x\n# \xff").unwrap();
    let problems = load_paths(&[&folder.path().join("good.yaml"), &missing, &bad]).unwrap_err();
    assert_eq!(
        problems.iter().map(Problem::to_string).collect::<Vec<_>>(),
        [
            format!("{}: can't be read: No such file or directory (os error 2)", missing.display()),
            format!("{}:2: is not UTF-8 text", bad.display()),
        ]
    );
}

#[test]
fn the_default_paths_may_be_missing_or_empty_but_not_broken() {
    let folder = folder(&[]);
    let (file, dir) = (folder.path().join("zei.yaml"), folder.path().join("zei.d"));
    let found = || {
        let mut report = Report::default();
        (files::read_default(&file, &dir, &mut report), report.files().len(), report.is_clean())
    };
    assert_eq!(found(), (false, 0, true));
    fs::create_dir(&dir).unwrap();
    assert_eq!(found(), (false, 0, true));
    fs::write(dir.join("a.yaml"), "command: x").unwrap();
    assert_eq!(found(), (true, 1, true));
    fs::write(&file, "version: 1").unwrap();
    assert_eq!(found(), (true, 2, true));
    fs::remove_file(dir.join("a.yaml")).unwrap();
    assert_eq!(found(), (true, 1, true));
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("nowhere", &file).unwrap();
    assert_eq!(found(), (true, 1, false));
}

#[test]
fn a_bare_file_with_exec_has_the_defaults_of_zinit_and_one_with_command_has_not() {
    let world = World::new();
    let text = "exec: sh -c 'a b'\nafter: [once]\nenv: {A: 1}\nshutdown_timeout: 7\nsignal: {stop: INT}\n";
    let files =
        [("/d/web.yaml", text), ("/d/once.yaml", "exec: x\noneshot: true\ndir: /srv"), ("/d/own.yaml", "command: x")];
    let config = world.read(&files).unwrap();
    let [web, once, own] = &config.services[..] else { panic!() };
    assert_eq!(names(&config), ["web", "once", "own"]);
    assert_eq!((web.policy.restart, web.policy.stop_scope), (Restart::Always, StopScope::Group));
    assert_eq!((web.working_dir.as_deref(), web.policy.stop_signal), (Some(c"/"), crate::signal::INT));
    assert_eq!((web.policy.stop_grace_period, web.dependencies.len()), (Some(Span::seconds(7)), 1));
    assert_eq!((once.policy.restart, once.working_dir.as_deref()), (Restart::Never, Some(c"/srv")));
    assert_eq!((own.policy.restart, own.policy.stop_scope), (Restart::Never, StopScope::Tree));
    assert_eq!(own.working_dir, None);
    let dotted = world.read(&[("/d/web.yaml", "exec: x\nsignal.stop: INT")]).unwrap();
    assert_eq!(dotted.services[0].policy.stop_signal, crate::signal::INT);
    assert_eq!(
        world.problems(&[("/d/a b.yaml", "exec: x"), ("/d/w.yaml", "exec: x\ntest: ''\nuser: wwww")]),
        [
            "/d/a b.yaml: service \"a b\": ' ' can't stand in a service name; use letters, digits, and _ . @ -",
            "/d/w.yaml:2: service \"w\": test: is empty",
            "/d/w.yaml:3: service \"w\": user: no user \"wwww\" here (did you mean \"www\"?)",
        ]
    );
}

#[test]
fn a_later_file_merges_or_replaces_where_it_says_so() {
    let first = "
shutdown_timeout: 1s
defaults: {umask: 0027, max_restarts: 3}
services:
  a: {command: x, restart: always, environment: {A: 1, B: 1}}
  b: {command: x, restart: always}
";
    let second = "
override: merge
shutdown_timeout: 2s
defaults: {umask: 0077}
services:
  a: {shell: y, environment: {B: 2}}
  b: {command: z, override: replace}
  c: {command: x}
";
    let config = World::new().read(&[("1.yaml", first), ("2.yaml", second)]).unwrap();
    let [a, b, _] = &config.services[..] else { panic!() };
    assert_eq!(config.shutdown_timeout, Span::seconds(2));
    assert_eq!((a.command[2].as_c_str(), a.policy.restart), (c"y", Restart::Always));
    assert_eq!(a.environment, [c"A=1".to_owned(), c"B=1".into(), c"B=2".into()]);
    assert_eq!((b.command[0].as_c_str(), b.policy.restart), (c"z", Restart::Never));
    assert_eq!((a.umask, a.policy.max_restarts), (Some(0o77), 3));
}

#[test]
fn an_env_file_is_read_as_docker_does_and_never_expanded() {
    let folder = folder(&[
        ("z.yaml", "services: {a: {command: x, env_file: [e/one, e/two], environment: {B: last}}}"),
        ("e/one", "\u{feff}A=1\r\n# no\n\n  B = x\nC=\"q\" ${FOO} #x\nFOO\nNONE\nD=\n"),
        ("e/two", "A=2"),
    ]);
    let problems = load_paths(&[&folder.path().join("z.yaml")]).unwrap_err();
    let one = folder.path().join("e/one");
    assert_eq!(problems[0].text, format!("{}:4: \"B \" is no name of a variable", one.display()));
    fs::write(&one, "\u{feff}A=1\r\n# no\n\n  B=x\nC=\"q\" ${FOO} #x\nFOO\nNONE\nD=\n").unwrap();
    let config = load_paths(&[&folder.path().join("z.yaml")]).unwrap().unwrap();
    let expected = ["A=1", "B=x", "C=\"q\" ${FOO} #x", "FOO=foo", "D=", "A=2", "B=last"];
    let found: Vec<_> = config.services[0].environment.iter().map(|variable| variable.to_str().unwrap()).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_thousand_services_are_read_in_their_order() {
    let mut text = "services:\n".to_owned();
    for number in 0..1000 {
        text += &format!(
            "  s{number}: {{command: [sleep, inf], after: [{}]}}\n",
            match number {
                0 => String::new(),
                _ => format!("s{}", number - 1),
            }
        );
    }
    let config = World::new().config(&text);
    assert_eq!(config.services.len(), 1000);
    assert_eq!(config.services[999].dependencies[0].service, 998);
}

/// The services of the commented example without their `#`; a comment within a comment stays one.
#[test]
fn the_commented_example_is_valid_once_it_is_uncommented() {
    let text = include_str!("../../../../skel/etc/zei/zei.yaml");
    let (top, services) = text.split_once("services: {}\n").unwrap();
    let services: String =
        services.lines().map(|line| format!("{}\n", line.strip_prefix('#').unwrap_or(line))).collect();
    let uncommented = format!("{top}services:\n{services}  db: {{command: x, test: y}}\n");
    let uncommented = uncommented.replace("user: app", "user: www").replace("user: nobody", "user: db");
    let config = World::new().config(&uncommented);
    assert_eq!(names(&config), ["web", "migrate", "tick", "db"]);
    assert_eq!((config.services[0].dependencies.len(), World::new().warnings(&uncommented).len()), (2, 1));
    // Each line that is left out, alone in the place of the same key.
    let mut tried = 0;
    for line in services.lines().filter_map(|line| line.trim().strip_prefix("# ")) {
        let Some((word, _)) = line.split_once(':').filter(|(word, _)| KEYS.iter().any(|key| key.name == *word)) else {
            continue;
        };
        let timer = if word == "catch_up" { "\n    schedule: '@daily'" } else { "" };
        let oneshot = if ["schedule", "catch_up"].contains(&word) { "\n    oneshot: true" } else { "" };
        let (command, line) = if word == "shell" { ("", line) } else { ("command: x", line) };
        let line = line.replace("user: app", "user: www").replace("/etc/web.env", "/dev/null");
        let line = line.replace("[video, audio]", "[www, db]").replace("group: app", "group: www");
        let text = format!(
            "services:\n  a:\n    {command}\n    {line}{timer}{oneshot}\n  migrate: {{command: x, oneshot: true}}\n  db: {{command: x}}\n"
        );
        World::new().config(&text);
        tried += 1;
    }
    assert!(tried > 20, "{tried}");
}

#[test]
fn what_is_missed_at_the_end_of_a_file_is_missed_in_its_last_line() {
    for (text, line) in [("services:\n{}{}", 2), ("services: {\n", 1), ("a: [\r\n\r\nb\r\n", 3), ("a: 'x\n\n", 2)] {
        let problems = World::new().problems(&[("z.yaml", text)]);
        assert!(problems[0].starts_with(&format!("z.yaml:{line}: is no valid YAML")), "{problems:?}");
    }
}

#[test]
fn what_aliases_have_multiplied_is_told_as_far_as_that_takes_no_more_than_seconds() {
    let keys: String = (0..150).map(|key| format!("x{key}: 1, ")).collect();
    let more: String = (0..100).map(|service| format!("  b{service}: *a\n")).collect();
    let text = format!("services:\n  a: &a {{{keys}}}\n{more}");
    let problems = World::new().problems(&[("z.yaml", &text)]);
    assert!(problems.len() > 100 && problems.len() < 150 * 100, "{}", problems.len());
    assert!(problems[0].starts_with("z.yaml:2: ") && problems[100].starts_with("z.yaml:2: "), "{problems:?}");
    let last = problems.last().unwrap();
    assert!(last.starts_with("z.yaml: and ") && last.ends_with(" more, which are told when these are dealt with"));
}

#[test]
fn a_fifo_is_read_where_somebody_writes_to_it_and_not_waited_for_where_nobody_does() {
    let folder = folder(&[("zei.yaml", "services: {a: {command: x, env_file: fifo}}")]);
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for source in [folder.path().join("zei.yaml"), fifo.clone()] {
        let problems = load_paths(&[&source]).unwrap_err();
        assert!(problems[0].to_string().contains("it is a FIFO that nobody writes to"), "{problems:?}");
    }
    // More than fits in, written when it is read, and not all at once.
    let long = "x".repeat(100_000);
    let holder = fs::File::options().read(true).write(true).open(&fifo).unwrap();
    let mut writer = fs::File::options().write(true).open(&fifo).unwrap();
    let text = format!("command: x\nenvironment: {{A: {long}}}\n");
    let config = std::thread::scope(|scope| {
        let writing = scope.spawn(move || {
            std::io::Write::write_all(&mut writer, text.as_bytes()).unwrap();
            drop((writer, holder));
        });
        let config = load_paths(&[&fifo]);
        writing.join().unwrap();
        config
    });
    assert_eq!(config.unwrap().unwrap().services[0].environment[0].to_str(), Ok(format!("A={long}").as_str()));
}
