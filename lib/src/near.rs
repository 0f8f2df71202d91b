//! The known word that was probably meant.
//!
//! Owns: what "near" is. Must never: decide that a near word is good enough to act on.

/// The candidate nearest to `text`, the first of several; `None` where nothing is near.
///
/// Near is at most one slip in words of 2 to 4 characters and at most two in longer ones. A slip is a
/// character too many, missing, wrong, or two swapped. Upper and lower case count as the same.
pub fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = letters(text);
    let budget = match wanted.len() {
        0 | 1 => return None,
        2..=4 => 1,
        _ => 2,
    };
    candidates
        .into_iter()
        .filter_map(|candidate| Some((slips(&wanted, &letters(candidate), budget)?, candidate)))
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

fn letters(text: &str) -> Vec<char> {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// How many slips lead from `left` to `right`, if `budget` is enough. What both begin with never needs
/// one, so the recursion is as deep as the budget and no deeper.
fn slips(mut left: &[char], mut right: &[char], budget: u8) -> Option<u8> {
    while let ([first, left_rest @ ..], [second, right_rest @ ..]) = (left, right)
        && first == second
    {
        (left, right) = (left_rest, right_rest);
    }
    if left.is_empty() && right.is_empty() {
        return Some(0);
    }
    let budget = budget.checked_sub(1)?;
    let (left_rest, right_rest) = (left.get(1..), right.get(1..));
    let swapped = match (left, right) {
        ([a, b, left @ ..], [c, d, right @ ..]) if a == d && b == c => slips(left, right, budget),
        _ => None,
    };
    [
        left_rest.and_then(|left| slips(left, right, budget)),
        right_rest.and_then(|right| slips(left, right, budget)),
        left_rest.zip(right_rest).and_then(|(left, right)| slips(left, right, budget)),
        swapped,
    ]
    .into_iter()
    .flatten()
    .min()
    .map(|slips| slips + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAMES: [&str; 5] = ["root", "web", "www-data", "appuser", "\u{fc}ser"];

    #[test]
    fn a_word_with_one_or_two_slips_is_found() {
        for (slip, meant) in [
            ("wbe", "web"),
            ("we", "web"),
            ("webb", "web"),
            ("Root", "root"),
            ("appusr", "appuser"),
            ("apuserr", "appuser"),
            ("www_dtaa", "www-data"),
            ("\u{dc}ber", "\u{fc}ser"),
        ] {
            assert_eq!(nearest(slip, NAMES), Some(meant), "{slip}");
        }
    }

    #[test]
    fn a_word_that_is_another_word_finds_nothing() {
        for other in ["", "w", "db", "nginx", "wab1", "apxxxer"] {
            assert_eq!(nearest(other, NAMES), None, "{other}");
        }
    }

    #[test]
    fn the_nearest_wins_and_the_first_of_equals() {
        assert_eq!(nearest("worker1", ["worker22", "worker2", "worker3"]), Some("worker2"));
    }

    proptest! {
        #[test]
        fn a_word_is_nearest_to_itself_and_nothing_panics(text in "\\PC{2,40}", other in "\\PC{0,40}") {
            prop_assert_eq!(nearest(&text, [other.as_str(), text.as_str()]).map(letters), Some(letters(&text)));
        }
    }
}
