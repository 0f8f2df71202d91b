//! One service alone, files from elsewhere, and what the disk says.

use super::*;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use zei::paths;
use zei::protocol::status::State;
use zei_tests::tree::{Plan, is_root};

#[test]
fn one_service_is_brought_in_and_dropped_by_its_name() {
    let tree = Tree::start(&services(&[service("db", "")]));
    let db = tree.until_state("db", State::Running);
    let all =
        services(&[service("db", ", environment: {A: b}"), service("web", ", depends_on: [mid]"), service("mid", "")]);
    write(&tree, &all);
    let said = tree.ctl("add web");
    assert_eq!(said.code, 100, "{said:?}");
    assert!(said.err.contains("it depends on mid, which is not there"), "{said:?}");
    assert_eq!(tree.ask("add mid"), "+ mid\n");
    assert_eq!(tree.ask("add web"), "+ web\n");
    tree.ask("wait web mid");
    assert_eq!(tree.ask("add web"), "nothing differs\n");
    // The others are as they were, though the file has more to say of them.
    assert_eq!((tree.status("db").unwrap(), listed(&tree)), (db, vec!["db".into(), "mid".into(), "web".into()]));
    let said = tree.ctl("add wep");
    assert!(said.code == 4 && said.err.contains("did you mean \"web\"?"), "{said:?}");

    for (words, code, text) in [
        ("forget web", 1, "it is running; stop it first: zei-ctl stop web"),
        ("forget mid", 1, "web depends on it; forget that first"),
        ("forget nobody", 4, "no service"),
    ] {
        let said = tree.ctl(words);
        assert!(said.code == code && said.err.contains(text), "{words}: {said:?}");
    }
    tree.ask("stop web mid");
    assert_eq!(tree.ask("forget web"), "- web\n");
    assert_eq!(tree.ask("forget mid"), "- mid\n");
    assert_eq!(listed(&tree), ["db"]);
    let said = tree.ctl("forget db");
    assert!(said.code == 1 && said.err.contains("it is the only service"), "{said:?}");
    // Until the next apply.
    assert_eq!(tree.ask("apply"), "~ db: environment\n+ web\n+ mid\n= 0 unchanged\n");
    tree.ask("wait web mid db");
}

#[test]
fn a_file_from_elsewhere_is_remembered_until_its_service_is_forgotten() {
    let plan = Plan::new(&services(&[service("db", "")]));
    fs::create_dir(plan.directory().join("extra")).unwrap();
    let plan = plan.file("extra/web.yaml", "command: [sleep, infinity]\ndepends_on: [db]\n", 0o644).file(
        "extra/more.yaml",
        "services:\n  a: {command: [sleep, infinity]}\n  b: {command: [sleep, infinity]}\n",
        0o644,
    );
    let tree = plan.start();
    let extra = tree.directory().join("extra");
    assert_eq!(tree.ask(&format!("add {}/web.yaml", extra.display())), "+ web\n");
    assert_eq!(tree.ask(&format!("add {}/more.yaml", extra.display())), "+ a\n+ b\n");
    tree.ask("wait web a b");
    assert_eq!(tree.ask("apply"), "nothing differs\n= 4 unchanged\n");
    fs::write(extra.join("web.yaml"), "command: [sleep, infinity]\ndepends_on: [db]\nenv: {A: b}\n").unwrap();
    assert_eq!(tree.ask("apply"), "~ web: environment\n= 3 unchanged\n");
    tree.ask("stop web a");
    tree.ask("forget web");
    tree.ask("forget a");
    // What is left of the other file brings the rest of it back; the first one is no longer read.
    assert_eq!(tree.ask("apply"), "+ a\n= 2 unchanged\n");
    assert_eq!(listed(&tree), ["a", "b", "db"]);
}

#[test]
fn a_file_that_others_could_have_written_is_refused() {
    let plan = Plan::new(&services(&[service("db", "")]))
        .file("mine.yaml", "command: [sleep, infinity]\n", 0o644)
        .file("open.yaml", "command: [sleep, infinity]\n", 0o666)
        .file("group.yaml", "command: [sleep, infinity]\n", 0o664)
        .file("none.yaml", "shutdown_timeout: 5s\n", 0o644);
    let tree = plan.start();
    let at = |name: &str| tree.directory().join(name);
    symlink(at("mine.yaml"), at("link.yaml")).unwrap();
    nix::unistd::mkfifo(&at("fifo.yaml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let refused = |name: &str, why: &str| {
        let said = tree.ctl(&format!("add {}", at(name).display()));
        assert!(said.code == 100 && said.err.contains(why), "{name}: {said:?}");
    };
    refused("open.yaml", "others may write to it");
    refused("group.yaml", "others may write to it");
    refused("link.yaml", "symbolic link");
    refused("fifo.yaml", "it is no file");
    refused("missing.yaml", "No such file");
    refused("none.yaml", "defines no service of its own");
    if is_root() {
        std::os::unix::fs::chown(at("mine.yaml"), Some(4321), None).unwrap();
        refused("mine.yaml", "it belongs to user 4321");
        std::os::unix::fs::chown(at("mine.yaml"), Some(0), None).unwrap();
    }
    assert_eq!(tree.ask(&format!("add {}", at("mine.yaml").display())), "+ mine\n");
    // It is looked at again whenever it is read.
    fs::set_permissions(at("mine.yaml"), fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(tree.ctl("apply").code, 100);
    tree.pid("mine");
}

#[test]
fn status_says_what_has_changed_on_disk() {
    let plan = Plan::new(&services(&[service("db", ", env_file: variables")])).file("variables", "A=1\n", 0o600);
    let directory = plan.directory().join("zei.d");
    fs::create_dir(&directory).unwrap();
    let tree = plan.arguments(&["-c", "@D/zei.d"]).start();
    tree.pid("db");
    let says = |tree: &Tree| -> Vec<String> {
        let text = tree.ctl("status").out;
        text.lines().skip_while(|line| !line.starts_with("configuration: ")).map(str::to_owned).collect()
    };
    let flag = |tree: &Tree| -> serde_json::Value {
        let json: serde_json::Value = serde_json::from_str(&tree.ctl("status --json").out).unwrap();
        json[0]["changed_on_disk"].clone()
    };
    assert_eq!((says(&tree), flag(&tree)), (vec![], false.into()));
    fs::write(tree.directory().join("variables"), "A=2\n").unwrap();
    fs::write(directory.join("new.yaml"), "command: [sleep, infinity]\n").unwrap();
    let path = |name: &str| tree.directory().join(name).display().to_string();
    let expected = [
        "configuration: changed on disk (zei-ctl apply)".to_owned(),
        format!("  changed     {}", path("variables")),
        format!("  new         {}", path("zei.d/new.yaml")),
    ];
    let mut said = says(&tree);
    said[1..].sort();
    assert_eq!((said, flag(&tree)), (expected.to_vec(), true.into()));
    tree.ask("apply");
    assert_eq!((says(&tree), flag(&tree)), (vec![], false.into()));
    // A comment changes nothing of the tree, and is taken note of.
    write(&tree, &format!("# Hello.\n{}", services(&[service("db", ", env_file: variables")])));
    assert_eq!(flag(&tree), true);
    assert_eq!(tree.ask("apply"), "nothing differs\n= 2 unchanged\n");
    assert_eq!(flag(&tree), false);
    fs::remove_file(directory.join("new.yaml")).unwrap();
    assert_eq!(says(&tree)[1], format!("  gone        {}", path("zei.d/new.yaml")));
    let mode = fs::metadata(tree.file("init", paths::SOURCES)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "a hash tells something of what is in a file");
}
