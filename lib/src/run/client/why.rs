//! `why`: the chain of causes from a service down to the one that it all hangs on.
//!
//! Owns: who is whose cause. Must never: wait, or guess what the files do not say.

use super::graph::{Graph, Node};
use super::names::{Scope, select};
use super::place::Place;
use super::{Failure, Output, json, words};
use crate::model::order;
use crate::model::time::{Span, Time};
use crate::name::ServiceName;
use crate::protocol::status::{InitState, State};
use crate::sys::clock::now;
use serde::Serialize;
use std::collections::HashSet;

/// So many of the last lines are shown.
const LINES: usize = 10;

/// A service, what is said of it, and why that is so.
#[derive(Serialize, Debug, PartialEq, Eq)]
struct Link {
    service: String,
    /// What whoever stands above it waits for here.
    condition: Option<String>,
    state: Option<&'static str>,
    reason: Option<String>,
    /// In plain words.
    text: String,
    /// Its causes were told above.
    told: bool,
    causes: Vec<Link>,
    /// The last lines of its output, where it is what all hangs on.
    last: Vec<String>,
}

#[derive(Serialize)]
struct Report {
    /// So long the shutdown has gone on, in milliseconds.
    stopping_ms: Option<u64>,
    services: Vec<Link>,
}

/// `zei-ctl why`; no words: all that is not as it should be.
pub(crate) fn why(place: &Place, words: &[String], as_json: bool) -> Result<Output, Failure> {
    let mut output = Output::default();
    let chosen = select(&place.services(), words, Scope::Everything)?;
    let graph = Graph::load(place, &mut output)?;
    let init = place.init_status()?.filter(|init| init.state == InitState::Stopping);
    let now = now();
    let stopping = init.map(|init| now.since(Time(init.since)));
    let last = |name: &ServiceName| last_lines(&place.last(*name));
    let mut teller = Teller::new(&graph, now, stopping.is_some(), &last);
    let indices =
        if words.is_empty() { teller.amiss() } else { chosen.iter().filter_map(|name| graph.find(name)).collect() };
    let links = teller.tell(indices, words.is_empty());
    output.out = if as_json {
        json(&Report { stopping_ms: stopping.map(|span| span.0), services: links })
    } else {
        written(&graph, stopping, &links)
    };
    Ok(output)
}

struct Teller<'a> {
    graph: &'a Graph,
    dependents: Vec<Vec<usize>>,
    now: Time,
    /// zei shuts down.
    leaving: bool,
    last: &'a dyn Fn(&ServiceName) -> Vec<String>,
    told: HashSet<usize>,
}

impl<'a> Teller<'a> {
    fn new(graph: &'a Graph, now: Time, leaving: bool, last: &'a dyn Fn(&ServiceName) -> Vec<String>) -> Teller<'a> {
        Teller { graph, dependents: order::dependents(&graph.edges()), now, leaving, last, told: HashSet::new() }
    }

    /// All that there is to explain, those first whose causes others are.
    fn amiss(&self) -> Vec<usize> {
        let mut order = self.graph.dependents_first();
        if self.leaving {
            order.reverse();
        }
        order.retain(|index| self.is_amiss(*index));
        order
    }

    /// Whether there is something to explain where nobody has asked for a certain service.
    fn is_amiss(&self, index: usize) -> bool {
        let Some(node) = self.graph.nodes.get(index) else { return false };
        let Some(status) = &node.status else { return true };
        if self.leaving {
            return !node.is_over();
        }
        match status.state {
            State::Waiting | State::Starting | State::Stopping | State::RestartPending | State::Failed => true,
            State::Running => !status.ready || !status.health.is_good(),
            State::Scheduled => status.exit.is_some_and(|exit| !exit.is_success()),
            State::Stopped | State::Completed => false,
        }
    }

    /// One chain for each; `once`: none for what has come up in another's.
    fn tell(&mut self, indices: Vec<usize>, once: bool) -> Vec<Link> {
        let mut links = Vec::new();
        for index in indices {
            if !(once && self.told.contains(&index)) {
                links.extend(self.link(index, None));
            }
        }
        links
    }

    fn link(&mut self, index: usize, condition: Option<&str>) -> Option<Link> {
        let node = self.graph.nodes.get(index)?;
        let first = self.told.insert(index);
        let causes = self.causes(index);
        let mut link = Link {
            service: node.name.to_string(),
            condition: condition.map(str::to_string),
            state: node.state().map(State::word),
            reason: node.status.as_ref().map(|status| status.reason.to_string()),
            text: self.text(node, &causes),
            told: !first && !causes.is_empty(),
            causes: Vec::new(),
            last: Vec::new(),
        };
        if first {
            let below = causes.iter().map(|cause| match cause {
                Cause::Node(index, condition) => self.link(*index, *condition),
                Cause::Missing(name, condition) => Some(missing(name, condition)),
            });
            link.causes = below.collect::<Vec<_>>().into_iter().flatten().collect();
            if causes.is_empty() && (condition.is_some() || self.is_amiss(index)) {
                link.last = (self.last)(&node.name);
            }
        }
        Some(link)
    }

    /// Who it is that it waits for, or that it failed by.
    fn causes(&self, index: usize) -> Vec<Cause<'a>> {
        let Some(node) = self.graph.nodes.get(index) else { return Vec::new() };
        let Some(status) = &node.status else { return Vec::new() };
        if self.leaving {
            let waits = !node.is_over() && status.state != State::Stopping;
            let above = self.dependents.get(index).into_iter().flatten().filter(|_| waits);
            let lives = |above: &&usize| self.graph.nodes.get(**above).is_some_and(|node| !node.is_over());
            return above.filter(lives).map(|above| Cause::Node(*above, None)).collect();
        }
        let failed = status.reason.strip_prefix("dependency:").filter(|_| status.state == State::Failed);
        let unmet = |edge: &&'a super::graph::Edge| match failed {
            Some(name) => edge.name.as_str() == name,
            None => {
                let node = edge.node.and_then(|index| self.graph.nodes.get(index));
                status.state == State::Waiting && !node.is_some_and(|node| node.fulfils(&edge.condition))
            }
        };
        let cause = |edge: &'a super::graph::Edge| match edge.node {
            Some(index) => Cause::Node(index, Some(edge.condition.as_str())),
            None => Cause::Missing(&edge.name, &edge.condition),
        };
        node.needs.iter().filter(unmet).map(cause).collect()
    }

    fn text(&self, node: &Node, causes: &[Cause<'_>]) -> String {
        if causes.is_empty() || node.state() == Some(State::Failed) {
            return words::sentence(node.status.as_ref(), self.now, self.leaving);
        }
        let name = |cause: &Cause<'_>| match cause {
            Cause::Node(index, condition) => {
                let name = self.graph.nodes.get(*index).map_or("?", |node| node.name.as_str());
                condition.map_or(name.to_string(), |condition| format!("{name} ({condition})"))
            }
            Cause::Missing(name, condition) => format!("{name} ({condition})"),
        };
        let names = listed(&causes.iter().map(name).collect::<Vec<_>>());
        if self.leaving { format!("is not asked to end before {names} has") } else { format!("is waiting for {names}") }
    }
}

/// Why a service is where it is.
enum Cause<'a> {
    /// Another one, and what must hold there.
    Node(usize, Option<&'a str>),
    /// One that is not there any more.
    Missing(&'a ServiceName, &'a str),
}

fn missing(name: &ServiceName, condition: &str) -> Link {
    Link {
        service: name.to_string(),
        condition: Some(condition.to_string()),
        state: None,
        reason: None,
        text: "is not there: no service of that name is defined any more".to_string(),
        told: false,
        causes: Vec::new(),
        last: Vec::new(),
    }
}

/// `a`, `a and b`, `a, b and c`.
fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [head @ .., last] => format!("{} and {last}", head.join(", ")),
    }
}

/// The last lines of a file, without what would move a cursor about.
fn last_lines(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().collect();
    let clean = |line: &&str| line.chars().filter(|c| !c.is_control() || *c == '\t').collect();
    lines.iter().skip(lines.len().saturating_sub(LINES)).map(clean).collect()
}

fn written(graph: &Graph, stopping: Option<Span>, links: &[Link]) -> String {
    let mut text = String::new();
    if let Some(span) = stopping {
        let waited = |node: &&Node| node.state() == Some(State::Stopping);
        let names: Vec<String> = graph.nodes.iter().filter(waited).map(|node| node.name.to_string()).collect();
        let span = super::view::length(span);
        let waits = if names.is_empty() { String::new() } else { format!(": waiting for {}", listed(&names)) };
        text += &format!("zei shuts down since {span}{waits}\n");
    } else if links.is_empty() {
        text += &match graph.nodes.len() {
            1 => "the service is as it should be\n".to_string(),
            count => format!("all {count} services are as they should be\n"),
        };
    }
    links.iter().for_each(|link| write(&mut text, link, 0));
    text
}

fn write(text: &mut String, link: &Link, depth: usize) {
    let blank = "  ".repeat(depth);
    let told = if link.told { " (see above)" } else { "" };
    *text += &format!("{blank}{} {}{told}\n", link.service, link.text);
    for line in &link.last {
        *text += &format!("{blank}  | {line}\n");
    }
    link.causes.iter().for_each(|cause| write(text, cause, depth + 1));
}

#[cfg(test)]
mod tests {
    use super::super::graph::tests::graph;
    use super::*;
    use crate::protocol::status::{Health, Status};
    use crate::text::Text;

    // The fake status began its state at 1000.
    const NOW: Time = Time(8000);

    fn change(graph: &mut Graph, name: &str, change: impl Fn(&mut Status)) {
        let node = graph.nodes.iter_mut().find(|node| node.name.as_str() == name).unwrap();
        change(node.status.as_mut().unwrap());
    }

    fn said(graph: &Graph, names: &[&str], stopping: Option<Span>) -> String {
        let last = |name: &ServiceName| if name.as_str() == "db" { vec!["no space".to_string()] } else { Vec::new() };
        let mut teller = Teller::new(graph, NOW, stopping.is_some(), &last);
        let indices = if names.is_empty() {
            teller.amiss()
        } else {
            names.iter().filter_map(|name| graph.find(&ServiceName::parse(name).unwrap())).collect()
        };
        let links = teller.tell(indices, names.is_empty());
        written(graph, stopping, &links)
    }

    #[test]
    fn a_chain_goes_down_to_the_one_that_all_hangs_on() {
        let mut graph =
            graph(&["db:restart_pending", "log:running", "web:waiting>db=service_healthy>log", "proxy:waiting>web"]);
        change(&mut graph, "db", |status| {
            (status.reason, status.restarts, status.next) = (Text::from("exit:1"), 3, Some(12_000));
        });
        let expected = "\
proxy is waiting for web (service_started)
  web is waiting for db (service_healthy)
    db is restart_pending: it ended by exit code 1; starts again in 4s (restart 3)
      | no space
";
        assert_eq!(said(&graph, &["proxy"], None), expected);
        assert_eq!(said(&graph, &[], None), expected, "each once, and what is well not at all");
        assert_eq!(said(&graph, &["log"], None), "log is running since 7s (pid 4711)\n");
    }

    #[test]
    fn a_failure_by_a_dependency_leads_to_that_one() {
        let mut graph = graph(&["db:failed", "log:waiting", "web:failed>log>db"]);
        change(&mut graph, "db", |status| status.reason = Text::from("gave-up:signal:KILL"));
        change(&mut graph, "web", |status| status.reason = Text::from("dependency:db"));
        assert_eq!(
            said(&graph, &["web"], None),
            "web is failed since 7s: it needs db, which failed\n  \
             db is failed since 7s: it was restarted as often as max_restarts allows; the last time it ended by \
             signal KILL\n    | no space\n"
        );
    }

    #[test]
    fn what_has_been_told_is_not_told_again() {
        let graph = graph(&["db:stopped", "web:waiting>db", "a:waiting>web", "b:waiting>web"]);
        let said = said(&graph, &[], None);
        assert_eq!(said.matches("db is stopped since 7s, by request").count(), 1, "{said}");
        assert_eq!(said.matches("web is waiting for db (service_started)").count(), 2, "{said}");
        assert_eq!(said.matches("(see above)").count(), 1, "{said}");
    }

    #[test]
    fn what_is_well_is_not_explained_unless_asked_for() {
        let mut graph = graph(&["a:running", "b:completed", "c:stopped", "d:scheduled"]);
        assert_eq!(said(&graph, &[], None), "all 4 services are as they should be\n");
        change(&mut graph, "a", |status| status.health = Health::Unhealthy);
        change(&mut graph, "d", |status| status.exit = Some(crate::exit::Exit::Code(1)));
        let said = said(&graph, &[], None);
        assert_eq!(said.lines().count(), 2, "{said}");
    }

    #[test]
    fn a_shutdown_says_whom_it_waits_for_and_who_waits_for_them() {
        let mut graph = graph(&["db:running", "log:stopped", "web:stopping>db>log", "cron:completed>db"]);
        change(&mut graph, "web", |status| {
            (status.reason, status.deadline) = (Text::from("asked:TERM"), Some(11_000));
        });
        let expected = "\
zei shuts down since 7s: waiting for web
db is not asked to end before web has
  web is stopping: TERM sent 7s ago, killed in 3s
";
        assert_eq!(said(&graph, &[], Some(Span(7000))), expected);
    }

    #[test]
    fn a_dependency_that_is_gone_and_one_that_is_its_own_are_no_endless_chain() {
        let lost = graph(&["web:waiting>db"]);
        assert!(said(&lost, &["web"], None).contains("\n  db is not there"));
        let own = graph(&["a:waiting>b", "b:waiting>a"]);
        assert_eq!(said(&own, &["a"], None).lines().count(), 3);
    }

    #[test]
    fn output_is_shown_without_what_moves_a_cursor() {
        let text: String = (1..=12).map(|number| format!("line {number}\x1b[2J\r\n")).collect();
        let lines = last_lines(text.as_bytes());
        assert_eq!((lines.len(), lines[0].as_str(), lines[9].as_str()), (10, "line 3[2J", "line 12[2J"));
    }
}
