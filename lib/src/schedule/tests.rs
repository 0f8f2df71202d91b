//! What is an expression and what is not. When they come is in `instants/tests.rs`.

use super::*;

#[test]
fn expressions_as_crontab_has_them_are_accepted() {
    for text in [
        "* * * * *",
        "30 2 * * *",
        "  0 0\t1 1 * ",
        "*/5 0-23/2 1,15,31 JAN-jun,12 mon-Fri",
        "0 0 * * 7",
        "0 0 * * FRI-SUN",
        "0 0 L * *",
        "0 0 LW * *",
        "0 0 15W * *",
        "0 0 * * FRIL",
        "0 0 * * 5L",
        "0 0 * * MON#2",
        "0 0 ? * MON",
        "15 30 2 * * *",
        "0 0 29 2 *",
        "0 0 29 2 MON",
        "0 0 */29 2 MON",
        "0 0 31 2 MON",
        "@hourly",
        "@Daily",
        "@midnight",
        "@weekly",
        "@monthly",
        "@yearly",
        " @annually ",
    ] {
        assert_eq!(check(text), Ok(()), "{text}");
    }
}

#[test]
fn what_is_wrong_is_said_with_the_field_and_what_to_write() {
    let minute = "is wrong: write 0 to 59, a range A-B, a step */N or A-B/N, a list A,B, or *";
    for (text, problem) in [
        ("60 * * * *", format!("minute \"60\" {minute}")),
        ("5-1 * * * *", format!("minute \"5-1\" {minute}")),
        ("*/0 * * * *", format!("minute \"*/0\" {minute}")),
        ("5/10 * * * *", format!("minute \"5/10\" {minute}")),
        ("5- * * * *", format!("minute \"5-\" {minute}")),
        ("1-2-3 * * * *", format!("minute \"1-2-3\" {minute}")),
        ("-5 * * * *", format!("minute \"-5\" {minute}")),
        ("1,,2 * * * *", format!("minute \"1,,2\" {minute} (a list has something on each side of its comma)")),
        ("JAN * * * *", format!("minute \"JAN\" {minute}")),
        ("61 * * * * *", String::from("second \"61\" is wrong: write 0 to 59")),
        ("0 24 * * *", String::from("hour \"24\" is wrong: write 0 to 23")),
        ("0 0 32 * *", String::from("day of month \"32\" is wrong: write 1 to 31")),
        ("0 0 0 * *", String::from("day of month \"0\" is wrong: write 1 to 31")),
        ("0 0 * 13 *", String::from("month \"13\" is wrong: write 1 to 12 or JAN to DEC")),
        ("0 0 * MON *", String::from("month \"MON\" is wrong: write 1 to 12 or JAN to DEC")),
        ("0 0 * * 8", String::from("weekday \"8\" is wrong: write 0 to 7 (0 and 7 are Sunday) or SUN to SAT")),
        ("0 0 * * FRI-MON", String::from("weekday \"FRI-MON\" is wrong")),
        ("0 0 * * \u{e4}\u{df}", String::from("weekday \"\u{c4}SS\" is wrong")),
        ("", String::from("\"\" is empty: write minute hour day month weekday, such as \"30 2 * * *\"")),
        ("2", String::from("\"2\" has 1 field: write minute")),
        ("0 2 * *", String::from("\"0 2 * *\" has 4 fields: write minute")),
        ("0 0 2 * * * 2027", String::from("has 7 fields: write minute")),
        ("TZ=UTC 0 2 * * *", String::from("set TZ in the environment")),
        ("@every 10m", String::from("use `interval: 10m`")),
        ("@every", String::from("use `interval: 5m`")),
        ("@reboot", String::from("a oneshot without schedule runs when the container starts")),
        ("@daily 5", String::from("\"@daily 5\" is unknown")),
        ("@sometimes", String::from("\"@sometimes\" is unknown: write @hourly, @daily")),
    ] {
        let said = check(text).unwrap_err();
        assert!(said.contains(&problem), "{text:?}: {said}");
    }
}

#[test]
fn a_slip_in_a_word_names_the_word_that_was_meant() {
    for (text, near) in
        [("0 0 * * WDE", "WED"), ("0 0 * JNU *", "JUN"), ("0 0 * * MON-FIR", "FRI"), ("@dayly", "@daily")]
    {
        let said = check(text).unwrap_err();
        assert!(said.contains(&format!("(did you mean {near}?)")), "{said}");
    }
}

#[test]
fn what_never_comes_is_wrong() {
    for text in ["0 0 31 2 *", "0 0 30 FEB *", "0 0 31 4,6,9,11 *", "0 0 31 2 */2", "0 0 * 2 MON#6", "0 0 30W 2 *"] {
        let said = check(text).unwrap_err();
        assert!(said.contains("never comes") || said.contains("is wrong"), "{text}: {said}");
    }
    assert!(check("0 0 31 2 *").unwrap_err().contains("never comes: no month in it has such a day"));
}
