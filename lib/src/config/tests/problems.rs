//! One row per kind of problem: the file and exactly what is said about it.

use super::*;


/// Rows whose file is a service `a` with the command `x`, to which the keys are added on line 4.
const SERVICE: &[(&str, &str)] = &[("user: wwww", r#"user: no user "wwww" here (did you mean "www"?)"#)];

#[test]
fn every_bad_value_of_a_service_is_named_with_file_line_service_and_key() {
    let mut wrong = Vec::new();
    for (keys, expected) in SERVICE {
        let expected: Vec<String> = expected
            .split('\n')
            .map(|line| match line.split_once('|') {
                Some((number, rest)) => format!("z.yaml:{number}: service \"a\": {rest}"),
                None => format!("z.yaml:4: service \"a\": {line}"),
            })
            .collect();
        let found = World::new().problems(&[("z.yaml", &with(keys))]);
        if found != expected {
            wrong.push(format!("{keys}\n  found    {found:#?}\n  expected {expected:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
