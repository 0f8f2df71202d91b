//! What a service's processes may do and use, in its definition.
//!
//! Owns: these keys. Must never: hold what is as it was anyway.

use super::Section;
use crate::model::privileges::Privileges;

pub(super) fn encode(privileges: &Privileges, set: &mut impl FnMut(&str, &str)) {
    let Privileges { nice, oom_score_adj, ulimits, no_new_privileges, capabilities } = privileges;
    if let Some(nice) = nice {
        set("nice", &nice.to_string());
    }
    if let Some(adjustment) = oom_score_adj {
        set("oom_score_adj", &adjustment.to_string());
    }
    for limit in ulimits {
        set("ulimits", &limit.to_string());
    }
    if *no_new_privileges {
        set("no_new_privileges", "1");
    }
    if let Some(kept) = capabilities {
        set("capabilities", &kept.to_string());
    }
}

pub(super) fn decode(section: Section<'_>) -> Privileges {
    Privileges {
        nice: section.number("nice"),
        oom_score_adj: section.number("oom_score_adj"),
        ulimits: section.all("ulimits").filter_map(|limit| limit.to_str().ok()?.parse().ok()).collect(),
        no_new_privileges: section.one("no_new_privileges").is_some(),
        capabilities: section.number("capabilities"),
    }
}
