//! What services have written, as it came out of the container.
//!
//! Owns: whether a line was lost or torn on its way. Must never: mind how often one comes: a killed pump may double some.

use std::collections::BTreeMap;

/// Lines `SERVICE | SERVICE RUN NUMBER`, each run counting from 1: none may be missing before one that came, and each bears
/// the name of its own service, if it bears one.
pub fn is_whole(lines: &[String]) -> Result<(), String> {
    let mut last: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    for line in lines {
        let (label, text) =
            line.split_once(" | ").map_or((None, line.as_str()), |(name, text)| (Some(name.trim_end()), text));
        let words: Vec<&str> = text.split(' ').collect();
        let numbers: Option<Vec<u64>> = words.iter().skip(1).map(|word| word.parse().ok()).collect();
        let (service, run, number) = match (&words[..], numbers.as_deref()) {
            (["ready"], _) => continue,
            ([service, ..], Some([run, number])) if label.is_none_or(|label| label == *service) => {
                (*service, *run, *number)
            }
            _ => return Err(format!("a line of the output is torn: {line:?}")),
        };
        let known = last.entry((service, run)).or_default();
        if number > *known + 1 {
            return Err(format!("{service}: of run {run} line {number} follows {known} in the output"));
        }
        *known = number.max(*known);
    }
    Ok(())
}
